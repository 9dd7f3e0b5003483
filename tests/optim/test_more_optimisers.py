"""The optimisers beside SGD and Adam, against PyTorch, and optimisers of one's own."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, optim

SHAPES = [(3, 4), (5,), (), (0, 2), (2, 3, 1)]
DECAY = [{"weight_decay": 0.1}, {"maximize": True}, {"maximize": True, "weight_decay": 0.1}]
BETAS = {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3}
OPTIONS = {
    "RMSprop": [
        {},
        {"lr": 0.1, "alpha": 0.5, "eps": 1e-3},
        {"momentum": 0.9},
        {"centered": True},
        {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "maximize": True},
        *DECAY,
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.3, "eps": 1e-3},
        {"initial_accumulator_value": 0.5},
        *DECAY,
    ],
    "Adadelta": [{}, {"lr": 0.3, "rho": 0.5, "eps": 1e-3}, *DECAY],
    "NAdam": [
        {},
        BETAS,
        {"momentum_decay": 0.1},
        {"decoupled_weight_decay": True, "weight_decay": 0.1},
        *DECAY,
    ],
    "RAdam": [{}, BETAS, {"decoupled_weight_decay": True, "weight_decay": 0.1}, *DECAY],
    "Adamax": [{}, BETAS, *DECAY],
    "Rprop": [{}, {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.05, 0.3)}, {"maximize": True}],
    "ASGD": [{}, {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 7}, *DECAY],
    "Adafactor": [
        {},
        {"lr": 0.5, "beta2_decay": -0.5, "eps": (1e-3, 0.1), "d": 1.5},
        {"eps": (None, 10.0), "d": 2},
        *DECAY,
    ],
}
RUNS = [(name, options) for name, several in OPTIONS.items() for options in several]
# Twenty steps of the same formulas: what differs is the order of a few products. Where float32
# adds steps up, by as much as eps32 for each.
TOLERANCE = {"f4": (1e-4, 1e-5), "f8": (1e-10, 1e-12)}


def leaves(arrays):
    return [Tensor(a, requires_grad=True) for a in arrays]


def pairs(dtype="f8", name=""):
    """Parameters of ours and PyTorch's, of the same values. PyTorch's Adafactor divides by the
    number of elements, and so takes none that is empty."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    shapes = [s for s in SHAPES if name != "Adafactor" or 0 not in s]
    starts = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    return leaves(starts), [torch.tensor(a, requires_grad=True) for a in starts]


def run(ours, theirs, a, b, steps=20, seed=0):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    for step in range(steps):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            if (step + i) % 7 == 0:  # now and then a parameter has no gradient
                p.grad = q.grad = None
                continue
            g = rng.standard_normal(p.shape).astype(p.dtype)
            p.grad, q.grad = Tensor(g), torch.tensor(g)
        a.step()
        b.step()


def compare(ours, theirs, rtol, atol):
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol, atol)


def through_numpy(state):
    """A state dict of PyTorch's as a file of arrays would give it back."""
    if isinstance(state, dict):
        return {key: through_numpy(value) for key, value in state.items()}
    if isinstance(state, list):
        return [through_numpy(value) for value in state]
    return state.numpy() if hasattr(state, "numpy") else state


def through_torch(state):
    """A state dict of ours as PyTorch's tensors."""
    torch = pytest.importorskip("torch")
    if isinstance(state, dict):
        return {key: through_torch(value) for key, value in state.items()}
    if isinstance(state, list):
        return [through_torch(value) for value in state]
    return torch.tensor(state.array) if isinstance(state, Tensor) else state


class TestAgreement:
    @pytest.mark.slow
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize(("name", "options"), RUNS)
    def test_20_steps(self, name, options, dtype):
        torch = pytest.importorskip("torch")
        ours, theirs = pairs(dtype, name)
        a = getattr(optim, name)(ours, **options)
        b = getattr(torch.optim, name)(theirs, **options)
        run(ours, theirs, a, b)
        compare(ours, theirs, *TOLERANCE[dtype])
        saved, expected = a.state_dict(), b.state_dict()
        assert list(saved["state"]) == list(expected["state"])
        for key, entry in expected["state"].items():
            assert list(saved["state"][key]) == list(entry)
            for what, value in entry.items():
                found = saved["state"][key][what].array
                np.testing.assert_allclose(found, value.numpy(), *TOLERANCE[dtype])
        for group, other in zip(saved["param_groups"], expected["param_groups"], strict=True):
            assert group == other

    @pytest.mark.parametrize("name", OPTIONS)
    def test_the_defaults_are_pytorchs(self, name):
        torch = pytest.importorskip("torch")
        ours, theirs = pairs()
        a = getattr(optim, name)(ours).defaults
        b = getattr(torch.optim, name)(theirs).defaults
        assert a == dict(b)

    @pytest.mark.parametrize(("name", "options"), RUNS)
    def test_a_run_goes_on_from_pytorchs_state_and_pytorch_from_ours(self, name, options):
        torch = pytest.importorskip("torch")
        ours, theirs = pairs(name=name)
        a = getattr(optim, name)(ours, **options)
        b = getattr(torch.optim, name)(theirs, **options)
        run(ours, theirs, a, b, 5)
        c = getattr(optim, name)(ours)
        c.load_state_dict(through_numpy(b.state_dict()))
        d = getattr(torch.optim, name)(theirs)
        d.load_state_dict(through_torch(a.state_dict()) | {"param_groups": d_groups(a, d)})
        run(ours, theirs, c, d, 10, seed=1)
        compare(ours, theirs, 1e-10, 1e-12)

    def test_a_saved_run_continues_with_the_same_bits(self):
        for name, options in RUNS:
            one = leaves([np.arange(6.0).reshape(2, 3), np.float64(2.0)])
            a = getattr(optim, name)(one, **options)
            steps(one, a, range(3))
            file = io.BytesIO()
            minigrad.save(a.state_dict(), file)
            file.seek(0)
            two = leaves([p.array.copy() for p in one])
            b = getattr(optim, name)(two)
            b.load_state_dict(minigrad.load(file))
            steps(one, a, range(3, 6))
            steps(two, b, range(3, 6))
            assert [p.array.tobytes() for p in one] == [p.array.tobytes() for p in two]


def d_groups(ours, theirs):
    """Our groups with the options that PyTorch has besides."""
    both = zip(ours.state_dict()["param_groups"], theirs.state_dict()["param_groups"], strict=True)
    return [{**b, **a} for a, b in both]


def steps(params, optimizer, seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for p in params:
            p.grad = Tensor(rng.standard_normal(p.shape))
        optimizer.step()


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "options", "error"),
        [
            ("RMSprop", {"lr": -1}, ValueError),
            ("RMSprop", {"alpha": -1}, ValueError),
            ("RMSprop", {"momentum": -1}, ValueError),
            ("Adagrad", {"lr_decay": -1}, ValueError),
            ("Adagrad", {"initial_accumulator_value": -1}, ValueError),
            ("Adadelta", {"rho": 1.5}, ValueError),
            ("Adadelta", {"eps": "small"}, TypeError),
            ("NAdam", {"momentum_decay": -1}, ValueError),
            ("NAdam", {"betas": 0.9}, TypeError),
            ("RAdam", {"betas": (1.0, 0.9)}, ValueError),
            ("Adamax", {"weight_decay": -1}, ValueError),
            ("Rprop", {"etas": (1.0, 1.2)}, ValueError),
            ("Rprop", {"step_sizes": 0.1}, TypeError),
            ("ASGD", {"weight_decay": -1}, ValueError),
            ("Adafactor", {"d": 0.5}, ValueError),
            ("Adafactor", {"beta2_decay": 0.1}, ValueError),
            ("LBFGS", {"line_search_fn": "wolfe"}, ValueError),
            ("LBFGS", {"max_iter": 2.5}, TypeError),
        ],
    )
    def test_options(self, name, options, error):
        with pytest.raises(error, match=f"{name}: "):
            getattr(optim, name)(leaves([np.ones(2)]), **options)

    @pytest.mark.parametrize("name", OPTIONS)
    def test_a_gradient_that_does_not_fit_moves_nothing(self, name):
        params = leaves([np.ones(2), np.ones(3)])
        optimizer = getattr(optim, name)(params)
        steps(params, optimizer, [0])
        before = [p.array.copy() for p in params]
        params[1].node.grad = np.ones(4)
        with pytest.raises(RuntimeError, match=rf"{name}\.step: parameter 1"):
            optimizer.step()
        for p, array in zip(params, before, strict=True):
            np.testing.assert_array_equal(p.array, array)
        assert optimizer.state[params[0]]["step"].item() == 1

    @pytest.mark.parametrize("name", OPTIONS)
    def test_a_state_of_another_kind(self, name):
        params = leaves([np.ones(2)])
        optimizer = getattr(optim, name)(params)
        steps(params, optimizer, [0])
        state = optimizer.state_dict()
        state["state"][0].popitem()
        with pytest.raises(ValueError, match="must have the state"):
            optimizer.load_state_dict(state)


# Rosenbrock's valley, whose floor is bent, and a bowl of very different curvatures.
def valley(p, q):
    return ((1 - p) ** 2).sum() + 100 * ((q - p * p) ** 2).sum()


def bowl(p, q):
    return (p * p).sum() * 50 + (q * q + q * q * q * q).sum() + (p * q).sum()


LBFGS = [
    {},
    {"lr": 0.1, "max_iter": 5},
    {"lr": 0.5, "history_size": 2, "max_iter": 6},
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "lr": 0.01, "max_iter": 5, "history_size": 3},
    {"line_search_fn": "strong_wolfe", "max_eval": 4, "tolerance_grad": 1e-3},
    {"lr": 1e-3, "tolerance_change": 1e-3},
]


class TestLBFGS:
    @pytest.mark.parametrize("loss", [valley, bowl])
    @pytest.mark.parametrize("options", LBFGS)
    def test_as_pytorch(self, options, loss):
        torch = pytest.importorskip("torch")
        start = np.random.default_rng(0).standard_normal((2, 3)) * 0.3
        ours = leaves(start)
        theirs = [torch.tensor(a, requires_grad=True) for a in start]
        a, b = optim.LBFGS(ours, **options), torch.optim.LBFGS(theirs, **options)
        losses = []
        for optimizer, params in ((a, ours), (b, theirs)):

            def closure(optimizer=optimizer, params=params):
                optimizer.zero_grad()
                value = loss(*params)
                value.backward()
                return value

            losses.append([optimizer.step(closure).item() for _ in range(3)])
        assert len(set(losses[1])) > 1
        # Each iteration multiplies the rounding of those before: by about 10^4 in twenty.
        np.testing.assert_allclose(losses[0], losses[1], 1e-8, 1e-11)
        compare(ours, theirs, 1e-8, 1e-9)
        mine, known = a.state[ours[0]], b.state[theirs[0]]
        assert list(mine) and set(mine) == set(known)
        assert (mine["func_evals"], mine["n_iter"]) == (known["func_evals"], known["n_iter"])

    @pytest.mark.parametrize("options", [{"lr": 0.1}, {"line_search_fn": "strong_wolfe"}])
    def test_states_go_both_ways(self, options):
        torch = pytest.importorskip("torch")
        start = np.random.default_rng(0).standard_normal((2, 3)) * 0.3
        ours = leaves(start)
        theirs = [torch.tensor(a, requires_grad=True) for a in start]

        def run(optimizer, params):
            def closure():
                optimizer.zero_grad()
                value = valley(*params)
                value.backward()
                return value

            optimizer.step(closure)

        a = optim.LBFGS(ours, max_iter=4, **options)
        b = torch.optim.LBFGS(theirs, max_iter=4, **options)
        run(a, ours)
        run(b, theirs)
        c, d = optim.LBFGS(ours), torch.optim.LBFGS(theirs)
        c.load_state_dict(through_numpy(b.state_dict()))
        d.load_state_dict(through_torch(a.state_dict()))
        run(c, ours)
        run(d, theirs)
        compare(ours, theirs, 1e-8, 1e-10)

    def test_needs_a_closure_and_one_group(self):
        params = leaves([np.ones(2), np.ones(3)])
        with pytest.raises(ValueError, match="LBFGS: expected one group"):
            optim.LBFGS([{"params": params[:1]}, {"params": params[1:]}])
        with pytest.raises(TypeError, match=r"LBFGS\.step: expected a closure"):
            optim.LBFGS(params).step()

    def test_a_gradient_that_does_not_fit_moves_nothing(self):
        params = leaves([np.ones(2), np.ones(3)])
        optimizer = optim.LBFGS(params)

        def closure():
            params[0].node.grad, params[1].node.grad = np.ones(2), np.ones(4)
            return 1.0

        with pytest.raises(RuntimeError, match=r"LBFGS\.step: parameter 1 of group 0"):
            optimizer.step(closure)
        assert (params[0].array == 1).all() and (params[1].array == 1).all()


def own_optimiser(library):
    """As scripts write it for PyTorch."""

    class Momentum(library.optim.Optimizer):
        def __init__(self, params, lr=0.1, decay=0.9):
            super().__init__(params, {"lr": lr, "decay": decay})

        @library.no_grad()
        def step(self, closure=None):
            loss = None
            if closure is not None:
                with library.enable_grad():
                    loss = closure()
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    state = self.state[p]
                    if len(state) == 0:
                        state["step"] = 0
                        state["mean"] = library.zeros_like(p)
                    state["step"] += 1
                    state["mean"].mul_(group["decay"]).add_(p.grad, alpha=1 - group["decay"])
                    p.add_(state["mean"], alpha=-group["lr"])
            return loss

    return Momentum


class TestOnesOwn:
    def test_runs_as_in_pytorch(self):
        torch = pytest.importorskip("torch")
        ours, theirs = pairs()
        a, b = own_optimiser(minigrad)(ours, lr=0.05), own_optimiser(torch)(theirs, lr=0.05)
        run(ours, theirs, a, b)
        compare(ours, theirs, 1e-12, 1e-14)
        again = own_optimiser(minigrad)(ours)
        again.load_state_dict(a.state_dict())
        assert again.param_groups[0]["lr"] == 0.05
        assert again.state[ours[0]]["step"] == a.state[ours[0]]["step"] > 10

    def test_a_schedule_sees_its_steps(self):
        params = leaves([np.ones(2)])
        optimizer = own_optimiser(minigrad)(params)
        schedule = optim.lr_scheduler.StepLR(optimizer, 1)
        steps(params, optimizer, [0])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            schedule.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)

    def test_without_a_step_it_says_what_to_define(self):
        class Half(optim.Optimizer):
            pass

        params = leaves([np.ones(2)])
        optimizer = Half(params, {"lr": 0.1})
        params[0].grad = Tensor(np.ones(2))
        with pytest.raises(NotImplementedError, match=r"Half has neither step\(closure=None\)"):
            optimizer.step()


@pytest.mark.parametrize("name", sorted({"SGD", "Adam", "AdamW"} | {n for n, _ in RUNS}))
def test_ways_to_compute_a_step(name: str) -> None:
    """foreach and fused change nothing; what would change more is refused, as misspellings are."""
    make = getattr(optim, name)
    params = [Tensor(np.ones(3), requires_grad=True) for _ in range(2)]
    (params[0] * params[1]).sum().backward()
    optimizer = make(params[:1], foreach=True, differentiable=False)
    optimizer.step()
    assert optimizer.param_groups[0]["foreach"] is True
    make(params[1:]).step()
    np.testing.assert_array_equal(params[0].array, params[1].array)
    for option in ("differentiable", "capturable"):
        with pytest.raises(ValueError, match=f"{name}: {option}=True"):
            make(params, **{option: True})
    with pytest.raises(TypeError, match=f"{name}.* got an unexpected keyword argument 'momentun'"):
        make(params, momentun=0.9)
