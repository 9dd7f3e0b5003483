"""Distributions, against PyTorch's: what they say, their gradients, and what they draw."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad import distributions as ours
from minigrad.autograd import gradcheck

torch = pytest.importorskip("torch")
theirs = torch.distributions
TOLERANCE = {np.float64: 1e-12, np.float32: 2e-5}  # some rounding errors of numbers up to 10

LOC, SCALE = [[0.3, -1.2, 2.0]], [[0.5], [2.0]]
PROBS = [[0.2, 0.5, 0.9]]
ROWS = [[0.2, 0.5, 0.3], [3.0, 1.0, 0.5]]

# Name, parameters, and values at which log_prob is asked.
CASES = {
    "Normal": ("Normal", {"loc": LOC, "scale": SCALE}, [[0.1, -2.0, 3.0]]),
    "Normal 0-d": ("Normal", {"loc": 0.5, "scale": 2.0}, [0.0, 4.0]),
    "Uniform": ("Uniform", {"low": LOC, "high": [[2.5], [4.0]]}, [[0.3, -0.5, 2.4]]),
    "Uniform 0-d": ("Uniform", {"low": -1.0, "high": 2.0}, [-1.0, 0.5, 2.0]),
    "Bernoulli probs": ("Bernoulli", {"probs": PROBS}, [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]),
    "Bernoulli logits": ("Bernoulli", {"logits": LOC}, [[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]),
    "Bernoulli certain": ("Bernoulli", {"probs": [0.0, 1.0]}, [[0.0, 1.0], [1.0, 0.0]]),
    "Bernoulli 0-d": ("Bernoulli", {"probs": 0.25}, [0.0, 1.0]),
    "Categorical probs": ("Categorical", {"probs": ROWS}, [[0, 2], [1, 1], [2, 0]]),
    "Categorical logits": ("Categorical", {"logits": ROWS}, [[0.0, 2.0]]),
    "Categorical one row": ("Categorical", {"probs": ROWS[0]}, [0, 1, 2, 2]),
    "Categorical certain": ("Categorical", {"probs": [0.0, 1.0]}, [0, 1]),
    "Categorical one value": ("Categorical", {"probs": [[2.0]]}, [0]),
    "Normal of none": ("Normal", {"loc": np.zeros((0, 2)), "scale": 1.0}, np.zeros((1, 2))),
}
QUANTITIES: dict[str, Callable[[Any, Any], Any]] = {
    "log_prob": lambda d, x: d.log_prob(x),
    "entropy": lambda d, x: d.entropy(),
    "perplexity": lambda d, x: d.perplexity(),
    "mean": lambda d, x: d.mean,
    "variance": lambda d, x: d.variance,
    "stddev": lambda d, x: d.stddev,
    "mode": lambda d, x: d.mode,
    "cdf": lambda d, x: d.cdf(x),
    "icdf": lambda d, x: d.icdf(x * 0.1 + 0.4),
    "probs": lambda d, x: d.probs,
    "logits": lambda d, x: d.logits,
    "enumerate_support": lambda d, x: d.enumerate_support(),
    "enumerate_support, narrow": lambda d, x: d.enumerate_support(expand=False),
    "expanded": lambda d, x: d.expand((4, *d.batch_shape)).log_prob(x[:1]),
    "expanded entropy": lambda d, x: d.expand((4, *d.batch_shape)).entropy(),
}


def make(case: str, m: Any, dtype: Any = np.float64) -> tuple[Any, dict[str, Any], Any]:
    """The distribution in a library, its parameters as leaves, and the values."""
    name, given, values = CASES[case]
    kind = {np.float32: m.float32, np.float64: m.float64}[dtype]
    leaves = {k: m.tensor(np.array(v, dtype)).requires_grad_() for k, v in given.items()}
    x = np.array(values)
    return getattr(m.distributions, name)(**leaves), leaves, m.tensor(
        x.astype(dtype) if x.dtype.kind == "f" else x, dtype=kind if x.dtype.kind == "f" else None
    )  # fmt: skip


def has(case: str, quantity: str) -> bool:
    """Whether distributions of that name have it, here and in PyTorch."""
    of = {"cdf": ("Normal", "Uniform"), "icdf": ("Normal", "Uniform")}
    if quantity in ("probs", "logits") or "support" in quantity:
        return CASES[case][0] in ("Bernoulli", "Categorical")
    return CASES[case][0] in of.get(quantity, CASES[case][0])


ASKED = [(case, quantity) for case in CASES for quantity in QUANTITIES if has(case, quantity)]


@pytest.mark.parametrize("case", ["Normal", "Bernoulli probs", "Categorical probs", "Uniform"])
@pytest.mark.parametrize("quantity", ["cdf", "icdf", "enumerate_support"])
def test_what_there_is_not_is_refused(case: str, quantity: str) -> None:
    d, _, x = make(case, mg)
    if has(case, quantity):
        assert QUANTITIES[quantity](d, x).numel()
        return
    with pytest.raises(NotImplementedError, match=f"{CASES[case][0]}: there is no {quantity}"):
        QUANTITIES[quantity](d, x)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("case", "quantity"), ASKED)
def test_values_and_gradients_are_pytorchs(case: str, quantity: str, dtype: Any) -> None:
    f = QUANTITIES[quantity]
    (own, own_leaves, x), (other, other_leaves, y) = make(case, mg, dtype), make(case, torch, dtype)
    a, b = f(own, x), f(other, y)
    assert a.shape == tuple(b.shape) and str(a.dtype) == str(b.dtype).removeprefix("torch.")
    assert a.requires_grad == b.requires_grad
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(
        a.detach().numpy(), b.detach().numpy(), rtol=tolerance, atol=tolerance
    )
    if not b.requires_grad:
        return
    g = np.random.default_rng(3).normal(size=a.shape).astype(dtype)
    a.backward(Tensor(g))
    b.backward(torch.from_numpy(np.asarray(g)))
    for name, leaf in own_leaves.items():
        expected = other_leaves[name].grad
        if expected is None:
            assert leaf.grad is None or not leaf.grad.array.any()
            continue
        np.testing.assert_allclose(
            leaf.grad.numpy(), expected.numpy(), rtol=10 * tolerance, atol=10 * tolerance
        )


@pytest.mark.parametrize("case", [c for c in CASES if "certain" not in c and "none" not in c])
def test_gradcheck(case: str, kernels: str) -> None:
    name, given, _ = CASES[case]
    d, leaves, x = make(case, mg)
    if name == "Uniform":  # away from the bounds, where log_prob has a step
        x = (d.mean + 0.9 * (x - d.mean)).detach()
    weights = Tensor(np.random.default_rng(1).normal(size=2))

    def f(*parameters: Any) -> Any:
        d = getattr(ours, name)(**dict(zip(given, parameters, strict=True)))
        return (d.log_prob(x) * weights[0]).sum() + (d.entropy() * weights[1]).sum()

    assert gradcheck(f, tuple(leaves.values()))


@pytest.mark.parametrize("case", ["Normal", "Normal 0-d", "Uniform", "Uniform 0-d"])
def test_gradients_pass_through_rsample(case: str, kernels: str) -> None:
    name, given, _ = CASES[case]
    d, leaves, _ = make(case, mg)
    assert d.has_rsample and d.rsample((2,)).requires_grad
    assert not d.sample((2,)).requires_grad
    g = mg.randn(5, *d.batch_shape, dtype=mg.float64)

    def f(*parameters: Any) -> Any:
        return getattr(ours, name)(**dict(zip(given, parameters, strict=True))).rsample((5,)) * g

    assert gradcheck(lambda *p: f(*p).sum(), tuple(leaves.values()))


@pytest.mark.parametrize("case", [c for c in CASES if "none" not in c])
def test_samples_have_the_distribution_they_claim(case: str) -> None:
    d, _, _ = make(case, mg)
    n = 20_000
    x = d.sample((n,))
    assert x.shape == (n, *d.batch_shape) and not x.requires_grad and x.is_contiguous()
    assert x.dtype == (mg.int64 if "Cat" in case else mg.float64)
    if "Cat" in case:
        for k, p in enumerate(np.moveaxis(d.probs.detach().numpy(), -1, 0)):
            error = 5 * np.sqrt(p * (1 - p) / n) + 1e-12  # 5 standard errors
            assert (abs((x.numpy() == k).mean(axis=0) - p) <= error).all()
        return
    mean, variance = d.mean.detach().numpy(), d.variance.detach().numpy()
    assert (abs(x.numpy().mean(axis=0) - mean) <= 5 * np.sqrt(variance / n)).all()
    square = (x.numpy() - mean) ** 2
    error = 5 * square.std(axis=0) / np.sqrt(n) + 5 * variance / n  # of the variance, and the mean
    assert (abs(square.mean(axis=0) - variance) <= error + 1e-12).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", [(), (3,), [2, 1], (0,), (2, 0)])
def test_shapes_of_samples(case: str, shape: Any) -> None:
    d, _, _ = make(case, mg)
    other, _, _ = make(case, torch)
    assert d.batch_shape == tuple(other.batch_shape) and d.event_shape == other.event_shape == ()
    x = d.sample(shape)
    assert x.shape == (*shape, *d.batch_shape)
    if 0 not in shape:
        assert x.shape == tuple(other.sample(shape).shape)
        assert d.log_prob(x).shape == x.shape
    mg.manual_seed(1)
    first = d.sample(shape).tolist()
    mg.manual_seed(1)
    assert d.sample(shape).tolist() == first


@pytest.mark.parametrize("name", [*ours.__all__])
def test_names_and_arguments_are_pytorchs(name: str) -> None:
    own, other = getattr(ours, name), getattr(theirs, name)
    assert list(inspect.signature(own).parameters) == list(inspect.signature(other).parameters)
    for method in ("sample", "rsample", "log_prob", "entropy", "cdf", "enumerate_support"):
        if hasattr(own, method):
            found = list(inspect.signature(getattr(own, method)).parameters)
            assert found == list(inspect.signature(getattr(other, method)).parameters)
    if isinstance(own, type) and issubclass(own, ours.Distribution):
        # those made of another distribution have what that has, which no class can tell
        assert own.has_rsample == other.has_rsample or not isinstance(other.has_rsample, bool)


def test_modules_bear_pytorchs_names() -> None:
    for name in ours.__all__:
        path = getattr(theirs, name).__module__.replace("torch", "minigrad", 1)
        assert getattr(importlib.import_module(path), name) is getattr(ours, name)
    with pytest.raises(AttributeError, match="did you mean 'Categorical'"):
        _ = ours.Categoricl  # type: ignore[attr-defined]


def test_repr_and_numbers() -> None:
    assert repr(ours.Normal(0, 1)) == "Normal(loc: 0.0, scale: 1.0)"
    assert repr(ours.Bernoulli(logits=mg.zeros(2))) == "Bernoulli(logits: (2,))"
    d = ours.Normal(mg.zeros(2, dtype=mg.float64), 1)
    assert d.scale.dtype == mg.float64 and d.scale.shape == (2,)
    assert ours.Normal(mg.tensor([1, 2]), 1).sample().dtype == mg.float32
    assert ours.Categorical(mg.tensor([1, 1, 2])).probs.tolist() == [0.25, 0.25, 0.5]


# ---------------------------------------------------------------------- divergence

CERTAIN = [[0.0, 0.5, 1.0]]
PAIRS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("Normal", {"loc": LOC, "scale": SCALE}, "Normal", {"loc": [0.1], "scale": [0.7, 1.0, 3.0]}),
    ("Uniform", {"low": [0.0, 1.0], "high": 2.0}, "Uniform", {"low": [-1.0], "high": [2.5, 2.0]}),
    ("Uniform", {"low": [0.0, 1.0], "high": 2.0}, "Uniform", {"low": [0.5], "high": [2.5, 2.0]}),
    ("Uniform", {"low": [0.0, 1.0], "high": 2.0}, "Normal", {"loc": [0.5], "scale": [2.5, 2.0]}),
    ("Normal", {"loc": [0.0, 1.0], "scale": 2.0}, "Uniform", {"low": [0.5], "high": 2.0}),
    ("Bernoulli", {"probs": PROBS}, "Bernoulli", {"logits": LOC}),
    ("Bernoulli", {"probs": CERTAIN}, "Bernoulli", {"probs": [[0.0, 0.0, 0.3]]}),
    ("Bernoulli", {"probs": CERTAIN}, "Bernoulli", {"probs": [[1.0, 1.0, 1.0]]}),
    ("Categorical", {"probs": ROWS}, "Categorical", {"logits": [[0.5, 2.0, -1.0]]}),
    ("Categorical", {"logits": ROWS}, "Categorical", {"probs": [0.5, 0.2, 0.3]}),
    ("Categorical", {"probs": CERTAIN}, "Categorical", {"probs": [[0.0, 0.0, 1.0], [0.1, 1, 1]]}),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: f"{p[0]} {p[2]}")
def test_divergences_are_pytorchs(pair: Any) -> None:
    found, leaves = [], []
    for m in (mg, torch):
        of = [{k: m.tensor(np.array(v, float)).requires_grad_() for k, v in p.items()}
              for p in (pair[1], pair[3])]  # fmt: skip
        p, q = (getattr(m.distributions, n)(**x) for n, x in zip(pair[::2], of, strict=True))
        found.append(m.distributions.kl_divergence(p, q))
        leaves.append([x for each in of for x in each.values()])
    a, b = found
    assert a.shape == tuple(b.shape)
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-14)
    finite = np.isfinite(b.detach().numpy())
    if not b.requires_grad or not finite.all():
        return
    g = np.random.default_rng(3).normal(size=a.shape)
    a.backward(Tensor(g))
    b.backward(torch.from_numpy(g))
    for x, y in zip(*leaves, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_a_divergence_of_ones_own() -> None:
    class Mine(ours.Normal):
        pass

    p, q = Mine(0.0, 1.0), ours.Normal(1.0, 1.0)
    assert ours.kl_divergence(p, q).item() == 0.5  # that of Normal, which it is

    @ours.register_kl(Mine, ours.Normal)
    def _(p: Any, q: Any) -> Tensor:
        return mg.tensor(7.0)

    assert ours.kl_divergence(p, q).item() == 7 and ours.kl_divergence(q, p).item() == 0.5
    with pytest.raises(NotImplementedError, match="Bernoulli and Categorical"):
        ours.kl_divergence(ours.Bernoulli(0.5), ours.Categorical(mg.ones(2)))
    with pytest.raises(TypeError, match="register_kl: expected subclasses"):
        ours.register_kl(int, ours.Normal)


# ---------------------------------------------------------------------- refusals

nan = math.nan
REFUSED = {
    "Normal: scale": lambda m, d: d.Normal(0.0, -1.0),
    "Normal: scale must be above 0, got 0.0": lambda m, d: d.Normal(m.zeros(2), m.zeros(2)),
    "Normal: loc": lambda m, d: d.Normal(m.tensor([0.0, nan]), 1.0),
    "Normal: shapes": lambda m, d: d.Normal(m.zeros(2), m.ones(3)),
    "Normal: value": lambda m, d: d.Normal(0.0, 1.0).log_prob(m.tensor(nan)),
    "Normal: value must": lambda m, d: d.Normal(0.0, 1.0).log_prob(1.0),
    "Normal: value of shape": lambda m, d: d.Normal(m.zeros(2), 1.0).log_prob(m.zeros(3)),
    "Normal: sample_shape": lambda m, d: d.Normal(0.0, 1.0).sample(3),
    "Normal: loc must": lambda m, d: d.Normal("a", 1),
    "Normal: loc must be": lambda m, d: d.Normal([0.0], 1),
    "Bernoulli: expected either": lambda m, d: d.Bernoulli(),
    "Bernoulli: expected either probs or": lambda m, d: d.Bernoulli(0.5, 0.5),
    "Bernoulli: probs must be in": lambda m, d: d.Bernoulli(1.5),
    "Bernoulli: logits": lambda m, d: d.Bernoulli(logits=m.tensor(nan)),
    "Bernoulli: value must be 0 or 1": lambda m, d: d.Bernoulli(0.5).log_prob(m.tensor(0.5)),
    "Bernoulli: there is no rsample": lambda m, d: d.Bernoulli(0.5).rsample(),
    "Categorical: probs must have an axis": lambda m, d: d.Categorical(m.tensor(1.0)),
    "Categorical: probs": lambda m, d: d.Categorical(m.tensor([1.0, -0.5])),
    "Categorical: probs must be above 0": lambda m, d: d.Categorical(m.zeros(2)),
    "Categorical: probs must have": lambda m, d: d.Categorical(m.ones(2, 0)),
    "Categorical: logits": lambda m, d: d.Categorical(logits=m.tensor([0.0, nan])),
    "Categorical: expected": lambda m, d: d.Categorical(m.ones(2), m.ones(2)),
    "Categorical: value": lambda m, d: d.Categorical(m.ones(2, 3)).log_prob(m.tensor(3)),
    "Categorical: value must": lambda m, d: d.Categorical(m.ones(3)).log_prob(m.tensor(0.5)),
    "Categorical: value of": lambda m, d: d.Categorical(m.ones(2, 3)).log_prob(m.zeros(5)),
    "Categorical: there is no rsample": lambda m, d: d.Categorical(m.ones(3)).rsample(),
    "Uniform: low": lambda m, d: d.Uniform(0.0, 0.0),
    "Uniform: value": lambda m, d: d.Uniform(0.0, 1.0).log_prob(m.tensor(2.0)),
    "Distribution: there is no": lambda m, d: d.Distribution(validate_args=False).log_prob(1.0),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_pytorch_refuses(message: str) -> None:
    with pytest.raises(Exception):  # noqa: B017
        REFUSED[message](torch, theirs)
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=f"^{message}"):
        REFUSED[message](mg, ours)


def test_validation_can_be_left_out() -> None:
    assert ours.Normal(0.0, 1.0, validate_args=False).log_prob(1.0).shape == ()
    assert ours.Uniform(0.0, 1.0, validate_args=False).log_prob(mg.tensor(2.0)).item() == -math.inf
    ours.Distribution.set_default_validate_args(False)
    try:
        assert ours.Normal(0.0, -1.0).scale.item() == -1
        with pytest.raises(ValueError, match="scale must be above 0"):
            ours.Normal(0.0, -1.0, validate_args=True)
    finally:
        ours.Distribution.set_default_validate_args(True)


def test_a_policy_learns() -> None:
    """The use that scripts make of it: the gradient of log_prob, weighted by the reward."""
    mg.manual_seed(0)
    logits = mg.zeros(4, requires_grad=True)
    optimizer = mg.optim.SGD([logits], lr=0.5)
    for _ in range(200):
        policy = ours.Categorical(logits=logits)
        action = policy.sample((16,))
        reward = (action == 2).float()
        loss = -(policy.log_prob(action) * reward).mean() - 0.01 * policy.entropy()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ours.Categorical(logits=logits).probs[2].item() > 0.9
