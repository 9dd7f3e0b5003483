"""gradcheck must find what is wrong, hvp must be exact."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad
from minigrad import Tensor
from minigrad.autograd import functional, gradcheck, record
from minigrad.nn import functional as F
from minigrad.ops.random import get_rng_state

RNG = np.random.default_rng(11)
MATRIX = RNG.standard_normal((3, 3))


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


# Planted errors: each op has the right forward and a vjp with one typical mistake.


def elementwise_op(forward: Any, vjp: Any) -> Any:
    def op(x: Tensor) -> Tensor:
        a = x.array
        return record("planted", forward(a), (x,), lambda g: (vjp(g, a),))

    return op


def batch_norm_op(drop: str) -> Any:
    """Equation (11) of batch normalisation without one of its terms."""

    def op(x: Tensor) -> Tensor:
        a, m = x.array, len(x.array)
        mean = a.mean(axis=0)
        centred = a - mean
        inv_std = 1 / np.sqrt((centred * centred).mean(axis=0) + 1e-5)
        x_hat = centred * inv_std

        def vjp(g: Any) -> Any:
            dx = g - (0 if drop == "mean" else g.mean(axis=0))
            if drop != "variance":
                dx = dx - x_hat * (g * x_hat).sum(axis=0) / m
            return ((1 if drop == "scale" else inv_std) * dx,)

        return record("planted batch_norm", x_hat, (x,), vjp)

    return op


def matmul_op(vjp: Any) -> Any:
    def op(x: Tensor) -> Tensor:
        return record("planted matmul", x.array @ MATRIX, (x,), lambda g: (vjp(g),))

    return op


def log_softmax_of(a: Any) -> Any:
    return a - np.log(np.exp(a).sum(axis=-1, keepdims=True))


PLANTED = {
    "wrong sign": elementwise_op(np.sin, lambda g, a: -g * np.cos(a)),
    "missing factor": elementwise_op(lambda a: a * a, lambda g, a: g * a),
    "forgotten cotangent": elementwise_op(np.exp, lambda g, a: np.exp(a)),
    "cotangent added": elementwise_op(np.exp, lambda g, a: g + np.exp(a) - 1),
    "zero": elementwise_op(np.tanh, lambda g, a: np.zeros_like(g)),
    "off by 1e-7": elementwise_op(np.exp, lambda g, a: g * np.exp(a) * (1 + 1e-7)),
    "one element off by 1e-7": elementwise_op(
        np.sin, lambda g, a: g * np.cos(a) + 1e-7 * (np.arange(a.size).reshape(a.shape) == 4)
    ),
    "derivative of a neighbour": elementwise_op(np.sin, lambda g, a: np.roll(g * np.cos(a), 1)),
    "input for output": elementwise_op(np.tanh, lambda g, a: g * (1 - a * a)),
    "rounded to float32": elementwise_op(
        np.exp, lambda g, a: (g * np.exp(a)).astype(np.float32).astype(np.float64)
    ),
    "batch norm without the mean's term": batch_norm_op("mean"),
    "batch norm without the variance's term": batch_norm_op("variance"),
    "batch norm without inv_std": batch_norm_op("scale"),
    "matmul not transposed": matmul_op(lambda g: g @ MATRIX),
    "gradient transposed": matmul_op(lambda g: (g @ MATRIX.T).T.copy()),
    "softmax as if elementwise": elementwise_op(
        log_softmax_of, lambda g, a: g * (1 - np.exp(log_softmax_of(a)))
    ),
    "sum over the wrong axis": elementwise_op(
        log_softmax_of,
        lambda g, a: g - np.exp(log_softmax_of(a)) * g.sum(axis=0, keepdims=True),
    ),
    "abs as if positive": elementwise_op(lambda a: np.where(a.real > 0, a, -a), lambda g, a: g),
}
RIGHT = {
    "sin": elementwise_op(np.sin, lambda g, a: g * np.cos(a)),
    "batch norm": batch_norm_op("nothing"),
    "matmul": matmul_op(lambda g: g @ MATRIX.T),
    "log_softmax": elementwise_op(
        log_softmax_of,
        lambda g, a: g - np.exp(log_softmax_of(a)) * g.sum(axis=-1, keepdims=True),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_gradcheck_rejects(name: str) -> None:
    with pytest.raises(RuntimeError, match="gradient of input 0 is wrong"):
        gradcheck(PLANTED[name], leaf(3, 3))
    assert gradcheck(PLANTED[name], leaf(3, 3), raise_exception=False) is False


@pytest.mark.parametrize("name", RIGHT)
def test_gradcheck_accepts(name: str) -> None:
    assert gradcheck(RIGHT[name], leaf(3, 3)) is True


@pytest.mark.parametrize("name", ["wrong sign", "off by 1e-7", "forgotten cotangent"])
def test_gradcheck_rejects_in_large_tensors(name: str) -> None:
    """Above 400 elements random directions stand for the elements."""
    assert not gradcheck(PLANTED[name], leaf(30, 30), raise_exception=False)


def test_gradcheck_looks_at_every_input_and_output() -> None:
    def second_wrong(x: Tensor, y: Tensor) -> Tensor:
        a, b = x.array, y.array
        return record("planted", a * b, (x, y), lambda g: (g * b, g * b))

    with pytest.raises(RuntimeError, match="gradient of input 1 is wrong"):
        gradcheck(second_wrong, (leaf(3), leaf(3, seed=1)))

    def second_output_wrong(x: Tensor) -> Any:
        return x * 2, PLANTED["missing factor"](x)

    assert not gradcheck(second_output_wrong, leaf(3), raise_exception=False)


def test_gradcheck_sees_a_path_that_detach_cut() -> None:
    """A tensor that is detached is a constant: neither derivative sees it."""
    assert gradcheck(lambda x: x * x.detach(), leaf(3))
    with minigrad.no_grad():
        assert gradcheck(lambda x: x * 2, leaf(3))


def test_gradcheck_where_no_complex_version_exists() -> None:
    """Central differences decide there, and still find a wrong sign."""

    def smallest(sign: float) -> Any:
        def op(x: Tensor) -> Tensor:
            if x.array.dtype.kind == "c":
                raise TypeError("no complex version")
            values, vectors = np.linalg.eigh((x.array + x.array.T) / 2)
            v = vectors[:, 0]
            return record("eigh", values[0], (x,), lambda g: (sign * g * np.outer(v, v),))

        return op

    assert gradcheck(smallest(1.0), leaf(4, 4))
    assert not gradcheck(smallest(-1.0), leaf(4, 4), raise_exception=False)


def test_gradcheck_of_nonanalytic_numpy() -> None:
    """np.abs of a complex number is no analytic function: the fallback must decide, either way."""

    def magnitude(factor: float) -> Any:
        return elementwise_op(
            lambda a: np.abs(a).astype(a.dtype), lambda g, a: factor * g * np.sign(a)
        )

    assert gradcheck(magnitude(1.0), leaf(4))
    assert not gradcheck(magnitude(2.0), leaf(4), raise_exception=False)


def test_gradcheck_refuses_float32() -> None:
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    with pytest.raises(ValueError, match=r"input 0 is float32.*double"):
        gradcheck(lambda x: x * 2, x)


def test_gradcheck_refuses_what_has_no_gradient() -> None:
    with pytest.raises(ValueError, match="no input requires grad"):
        gradcheck(lambda x: x * 2, Tensor(np.ones(3)))
    with pytest.raises(RuntimeError, match="no output depends on an input"):
        gradcheck(lambda x: x.detach() * 2, leaf(3))


def test_gradcheck_replays_random_numbers_and_leaves_them_alone() -> None:
    state = get_rng_state()
    assert gradcheck(lambda x: F.dropout(x, 0.5), leaf(4, 5))
    assert get_rng_state() == state
    assert not gradcheck(
        lambda x: PLANTED["missing factor"](F.dropout(x, 0.5)), leaf(4, 5), raise_exception=False
    )
    assert get_rng_state() == state


def test_gradcheck_leaves_everything_as_it_was() -> None:
    x, other = leaf(6, 2), leaf(2, seed=1)
    mean, var = Tensor(np.zeros(2)), Tensor(np.ones(2))
    before, node = x.array.copy(), x.node
    (x * 1).sum().backward()
    assert gradcheck(lambda x: F.batch_norm(x, mean, var, training=True) * other, x)
    with pytest.raises(ZeroDivisionError):
        gradcheck(lambda x: x * (1 // 0), x)
    assert x.node is node and x.dtype == np.float64
    np.testing.assert_array_equal(x.array, before)
    np.testing.assert_array_equal(x.grad.array, 1.0)  # type: ignore[union-attr]
    assert other.grad is None
    np.testing.assert_array_equal(mean.array, 0.0)
    np.testing.assert_array_equal(var.array, 1.0)
    F.batch_norm(x, mean, var, training=True)  # outside, statistics move
    assert (mean.array != 0).all()


def test_gradcheck_passes_a_repeated_tensor_as_one_variable() -> None:
    x = leaf(3)
    assert gradcheck(lambda a, b: a * b, (x, x))


# Hessian-vector products.

IMAGES, LABELS = RNG.standard_normal((4, 2, 6, 6)), np.array([0, 2, 1, 0])
PARAMETERS = [
    0.5 * RNG.standard_normal(shape) for shape in ((3, 2, 3, 3), (3,), (3,), (3,), (3, 12), (3,))
]


def network(m: Any, *parameters: Any) -> Any:
    """Convolution, batch norm, relu, max pooling, linear, cross entropy; in either library."""
    f = m.nn.functional
    w, b, gamma, beta, v, c = parameters
    x = f.conv2d(m.from_numpy(IMAGES), w, b)
    x = f.relu(f.batch_norm(x, None, None, gamma, beta, training=True))
    x = f.max_pool2d(x, 2).flatten(1)
    return f.cross_entropy(f.linear(x, v, c), m.from_numpy(LABELS))


def ours(directions: Any) -> list[Any]:
    tensors = tuple(map(minigrad.from_numpy, PARAMETERS))
    vs = tuple(map(minigrad.from_numpy, directions))
    value, products = functional.hvp(lambda *p: network(minigrad, *p), tensors, vs)
    return [value.array, *(p.array for p in products)]


def directions(seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(p.shape) for p in PARAMETERS]


def test_hvp_of_a_network_is_exact() -> None:
    torch = pytest.importorskip("torch")
    vs = directions(1)
    value, products = torch.autograd.functional.hvp(
        lambda *p: network(torch, *p),
        tuple(map(torch.from_numpy, PARAMETERS)),
        tuple(map(torch.from_numpy, vs)),
    )
    scale = max(float(p.abs().max()) for p in products)
    for got, want in zip(ours(vs), (value, *products), strict=True):
        # the bias before batch norm has none: zero to rounding, relative to the others
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-10, atol=1e-13 * scale)


def test_hvp_is_symmetric() -> None:
    """u·Hv = v·Hu, which no reference is needed for."""
    us, vs = directions(2), directions(3)
    left = math.fsum(float((u * h).sum()) for u, h in zip(us, ours(vs)[1:], strict=True))
    right = math.fsum(float((v * h).sum()) for v, h in zip(vs, ours(us)[1:], strict=True))
    assert left == pytest.approx(right, rel=1e-11)
    assert abs(left) > 1e-3  # symmetric zeros would prove nothing


def test_hvp_of_a_quadratic_form() -> None:
    x, v = Tensor(RNG.standard_normal(3)), Tensor(RNG.standard_normal(3))
    value, product = functional.hvp(lambda x: x @ Tensor(MATRIX) @ x / 2, x, v)
    np.testing.assert_allclose(value.item(), x.array @ MATRIX @ x.array / 2, rtol=1e-14)
    np.testing.assert_allclose(product.array, (MATRIX + MATRIX.T) @ v.array / 2, rtol=1e-13)


@pytest.mark.parametrize(
    ("f", "second"),
    [
        (lambda x: x.exp(), np.exp), (lambda x: x.sin(), lambda a: -np.sin(a)),
        (lambda x: x**3, lambda a: 6 * a),
        (lambda x: x.tanh(), lambda a: -2 * np.tanh(a) / np.cosh(a) ** 2),
        (lambda x: F.relu(x), lambda a: 0 * a), (lambda x: F.relu(x) ** 2, lambda a: 2.0 * (a > 0)),
        (lambda x: x.abs() * x, lambda a: 2 * np.sign(a)), (lambda x: 1 / x, lambda a: 2 / a**3),
        (lambda x: x.log1p(), lambda a: -1 / (1 + a) ** 2),
        (lambda x: minigrad.maximum(x * x, x), lambda a: 2.0 * (a * a > a)),
        (lambda x: F.gelu(x), lambda a: (2 - a * a) * np.exp(-a * a / 2) / math.sqrt(2 * math.pi)),
    ],
)  # fmt: skip
def test_second_derivatives(f: Any, second: Any) -> None:
    a, v = np.array([0.7, 1.9, 0.2]), np.array([1.0, -2.0, 0.5])
    _, product = functional.hvp(lambda x: f(x).sum(), Tensor(a), Tensor(v))
    np.testing.assert_allclose(product.array, second(a) * v, rtol=1e-12, atol=1e-15)


def test_hvp_through_mean_var_softmax_and_indexing() -> None:
    torch = pytest.importorskip("torch")
    x, v = RNG.standard_normal((3, 4)), RNG.standard_normal((3, 4))

    def f(m: Any, x: Any) -> Any:
        y = m.softmax(x, 1) * x.var(0) + x[:, [1, 1, 0, 3]].exp() / x.std()
        return (y.cumsum(1).amax(0) * m.logsumexp(x, 0)).sum() + m.log_softmax(x, 0).norm()

    _, got = functional.hvp(lambda x: f(minigrad, x), Tensor(x), Tensor(v))
    _, want = torch.autograd.functional.hvp(
        lambda x: f(torch, x), torch.from_numpy(x), torch.from_numpy(v)
    )
    np.testing.assert_allclose(got.array, want.numpy(), rtol=1e-10, atol=1e-12)


def test_hvp_changes_nothing() -> None:
    mean, var = Tensor(np.zeros(2)), Tensor(np.ones(2))
    x = leaf(5, 2)
    state, node = get_rng_state(), x.node
    loss = lambda x: F.dropout(F.batch_norm(x, mean, var, training=True) ** 3).sum()  # noqa: E731
    first = functional.hvp(loss, x, Tensor(np.ones((5, 2))))[1]
    second = functional.hvp(loss, x, Tensor(np.ones((5, 2))))[1]
    np.testing.assert_array_equal(first.array, second.array)
    assert get_rng_state() == state and x.node is node and x.grad is None
    np.testing.assert_array_equal(mean.array, 0.0)


def test_hvp_refusals() -> None:
    x = leaf(3)
    with pytest.raises(RuntimeError, match="v can be left out"):
        functional.hvp(lambda x: x.sum(), x)
    with pytest.raises(RuntimeError, match=r"v of shapes \[\(2,\)\] for inputs .* \[\(3,\)\]"):
        functional.hvp(lambda x: x.sum(), x, Tensor([1.0, 2.0]))
    with pytest.raises(RuntimeError, match="one element"):
        functional.hvp(lambda x: x * x, x, x)
    with pytest.raises(RuntimeError, match="does not depend on input 1"):
        functional.hvp(lambda x, y: (x * x).sum(), (x, x), (x, x), strict=True)
    with pytest.raises(NotImplementedError, match="create_graph"):
        functional.hvp(lambda x: x.sum(), x, x, create_graph=True)


def test_complex_tensors_refuse_requires_grad() -> None:
    with pytest.raises(RuntimeError, match="only floating tensors can require gradients"):
        Tensor(np.ones(2, np.complex128), requires_grad=True)


def test_what_lies_behind_the_inputs_of_grad_stays() -> None:
    """The steps of an inner loop: each is differentiated with respect to weights that the step
    before has made, of several ages, and then the whole with respect to the first ones."""
    first = [leaf(3), leaf(3, seed=1)]
    weights: list[Tensor] = first
    for _ in range(3):
        loss = ((weights[0] * weights[1]).sin() + weights[1]).sum()
        grads = minigrad.autograd.grad(loss, weights)
        weights = [w - 0.1 * g for w, g in zip(weights, grads, strict=True) if g is not None]
    (weights[0] * weights[1]).sum().backward()
    # the gradients are constants here: so d/dw is what it is at the last weights
    for w, other in zip(first, weights[::-1], strict=True):
        assert w.grad is not None and minigrad.allclose(w.grad, other)


def test_grad_runs_no_hook_beside_its_path() -> None:
    x, y = leaf(3), leaf(3)
    calls = []
    middle, beside = x * 2, y * 3
    beside.register_hook(lambda g: calls.append("beside"))
    out = (middle * beside).sum()
    (g,) = minigrad.autograd.grad(out, middle, retain_graph=True)
    assert g is not None and minigrad.equal(g, beside) and not calls
    out.backward()
    assert calls == ["beside"] and x.grad is not None


def test_grad_of_a_used_graph_says_so() -> None:
    x = leaf(3)
    middle = x * 2
    out = (middle * middle).sum()
    out.backward()
    with pytest.raises(RuntimeError, match="a second time"):
        minigrad.autograd.grad(out, x)
    with pytest.raises(RuntimeError, match="a second time"):
        minigrad.autograd.grad(out, middle)


PLACES = st.integers(0, 15)
STEPS = st.lists(
    st.tuples(st.integers(1, 3), st.one_of(st.none(), PLACES)), min_size=3, max_size=14
)
CALLS = st.lists(
    st.tuples(PLACES, st.lists(PLACES, min_size=1, max_size=4), st.booleans()),
    min_size=3, max_size=3,
)  # fmt: skip


def _grads(lib: Any, steps: Any, calls: Any) -> list[Any]:
    """A graph: each step takes the sine of a late node, or its product with another node. Then
    calls of grad, each somewhere in it: their results, or "refused"."""
    nodes = [lib.tensor([x], dtype=lib.float64, requires_grad=True) for x in (0.7, 1.1, 1.3)]
    for back, other in steps:
        x = nodes[-back]
        nodes.append(x.sin() if other is None else x * nodes[other % len(nodes)])
    found: list[Any] = []
    for back, places, retain in calls:
        out = nodes[-1 - back % (len(nodes) - 3)]
        wanted = [nodes[i % len(nodes)] for i in places]
        try:
            grads = lib.autograd.grad(out, wanted, retain_graph=retain, allow_unused=True)
            found.append([None if g is None else round(g.item(), 10) for g in grads])
        except RuntimeError as error:
            assert "second time" in str(error)
            found.append("refused")
    return found


@pytest.mark.slow
def test_grad_between_random_places_of_random_graphs() -> None:
    """As PyTorch, or refused: a used node has forgotten its parents, so that it may be refused
    where PyTorch still knows that none of the wanted is behind it."""
    torch = pytest.importorskip("torch")
    agreed = []

    @settings(max_examples=300)
    @given(STEPS, CALLS)
    def check(steps: Any, calls: Any) -> None:
        found = zip(_grads(minigrad, steps, calls), _grads(torch, steps, calls), strict=True)
        for ours, theirs in found:
            assert ours in (theirs, "refused")
            agreed.append(ours == theirs)

    check()
    assert sum(agreed) > 0.7 * len(agreed)


def test_grad_of_many_inputs_takes_as_long_as_backward() -> None:
    def graph(n: int = 1500) -> tuple[Tensor, list[Tensor]]:
        leaves = [minigrad.ones(2, requires_grad=True) for _ in range(n)]
        return minigrad.stack([x * x for x in leaves]).sum(), leaves

    (out, leaves), (other, _) = graph(), graph()
    start = time.perf_counter()
    other.backward()
    middle = time.perf_counter()
    minigrad.autograd.grad(out, leaves)
    # it walks the graph twice; looking for each node among the inputs took a hundred times as long
    assert time.perf_counter() - middle < 20 * (middle - start)


def test_a_complex_probe_passes_by_parameters_that_are_real() -> None:
    w, x, v = leaf(3, seed=1), leaf(3, seed=2), leaf(3, seed=3).detach()
    value, product = functional.hvp(lambda y: (w * y**3).sum(), x, v)
    np.testing.assert_allclose(value.array, (w.array * x.array**3).sum(), rtol=1e-12)
    np.testing.assert_allclose(product.array, 6 * (w * x).array * v.array, rtol=1e-12)
    assert w.grad is None and x.grad is None
