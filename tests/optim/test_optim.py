"""Optimisers and schedules: agreement with PyTorch over 100 steps, and what is refused."""

from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, optim
from minigrad.optim import lr_scheduler

SHAPES = [(3, 4), (5,), (), (0, 2), (2, 3, 1)]
SGD = [
    {"lr": 0.1},
    {"lr": 0.1, "momentum": 0.9},
    {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1},
    {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1, "maximize": True},
    {"lr": 0.0},
]
ADAM = [
    {},
    {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1},
    {"amsgrad": True, "weight_decay": 0.1},
    {"amsgrad": True, "maximize": True},
    {"maximize": True, "weight_decay": 0.01},
]
RUNS = [("SGD", kw) for kw in SGD] + [(name, kw) for name in ("Adam", "AdamW") for kw in ADAM]


def leaves(arrays):
    return [Tensor(a, requires_grad=True) for a in arrays]


def parameters(n=2):
    return leaves([np.arange(3.0) + i for i in range(n)])


def give_gradients(params, seed=0):
    rng = np.random.default_rng(seed)
    for p in params:
        p.grad = Tensor(rng.standard_normal(p.shape).astype(p.dtype))


def texts(optimizer):
    return [p.array.tobytes() for group in optimizer.param_groups for p in group["params"]]


class TestAgreement:
    @pytest.mark.slow
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize(("name", "options"), RUNS)
    def test_100_steps(self, kernels, name, options, dtype):
        torch = pytest.importorskip("torch")
        rng = np.random.default_rng(1)
        starts = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
        ours = leaves(starts)
        theirs = [torch.tensor(a, requires_grad=True) for a in starts]
        a = getattr(optim, name)(ours, **options)
        b = getattr(torch.optim, name)(theirs, **options)
        for step in range(100):
            for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
                if (step + i) % 7 == 0:  # now and then a parameter has no gradient
                    p.grad = q.grad = None
                    continue
                g = rng.standard_normal(p.shape).astype(dtype)
                p.grad, q.grad = Tensor(g), torch.tensor(g)
            a.step()
            b.step()
        rtol, atol = (1e-10, 1e-11) if dtype == "f8" else (1e-4, 1e-5)
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.array, q.detach().numpy(), rtol, atol)
        saved, expected = a.state_dict(), b.state_dict()
        assert list(saved["state"]) == list(expected["state"])
        for key, entry in expected["state"].items():
            assert list(saved["state"][key]) == list(entry)
            for what, value in entry.items():
                np.testing.assert_allclose(
                    saved["state"][key][what].array, value.numpy(), rtol, atol
                )
        for ours_, theirs_ in zip(saved["param_groups"], expected["param_groups"], strict=True):
            assert ours_ == theirs_

    def test_groups_with_options_of_their_own(self):
        torch = pytest.importorskip("torch")
        p, q = parameters(), [torch.tensor(np.arange(3.0) + i, requires_grad=True) for i in (0, 1)]
        for ns, (x, y) in ((optim, p), (torch.optim, q)):
            groups = [{"params": [x], "lr": 0.5}, {"params": y, "weight_decay": 0.1}]
            opt = ns.SGD(groups, lr=0.1, momentum=0.9)
            for _ in range(10):
                opt.zero_grad()
                (x * x).sum().backward()
                (y * y * y).sum().backward()
                opt.step()
        for x, y in zip(p, q, strict=True):
            np.testing.assert_allclose(x.array, y.detach().numpy(), 1e-12)

    @pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
    def test_repr_and_defaults_are_pytorchs(self, name):
        torch = pytest.importorskip("torch")
        ours = getattr(optim, name)(parameters(), lr=0.5)
        theirs = getattr(torch.optim, name)([torch.ones(2, requires_grad=True)], lr=0.5)
        assert repr(ours) == repr(theirs)
        assert list(ours.param_groups[0]) == list(theirs.param_groups[0])


class TestStep:
    def test_returns_the_closures_loss_computed_with_gradients(self):
        (p,) = parameters(1)
        opt = optim.SGD([p], lr=0.1)

        def closure():
            opt.zero_grad()
            loss = (p * p).sum()
            loss.backward()
            return loss

        with minigrad.no_grad():
            loss = opt.step(closure)
        assert loss.item() == 5.0
        np.testing.assert_allclose(p.array, [0, 0.8, 1.6])

    def test_an_update_is_noticed_by_backward(self):
        (p,) = parameters(1)
        opt = optim.SGD([p], lr=0.1)
        loss = (p * p).sum()
        give_gradients([p])
        opt.step()
        with pytest.raises(RuntimeError, match="changed in place"):
            loss.backward()

    @pytest.mark.parametrize("spoil", ["shape", "dtype", "read-only", "state"])
    @pytest.mark.parametrize("name", ["SGD", "Adam"])
    def test_nothing_is_updated_if_one_gradient_does_not_fit(self, name, spoil):
        params = parameters(3)
        options = {"momentum": 0.9} if name == "SGD" else {}
        opt = getattr(optim, name)(params, **options)
        give_gradients(params)
        opt.step()
        state = copy.deepcopy(opt.state_dict())
        before = texts(opt)
        if spoil == "read-only":
            params[1].array.flags.writeable = False
        elif spoil == "state":
            params[1].array = np.ones((4, 2))
            params[1].node.grad = np.ones((4, 2))
            before = texts(opt)
        else:
            params[1].node.grad = np.ones(4) if spoil == "shape" else np.ones(3, "f4")
        with pytest.raises(RuntimeError, match=r"parameter 1 of group 0.*nothing was updated"):
            opt.step()
        assert texts(opt) == before
        for key, entry in opt.state_dict()["state"].items():
            for what, value in entry.items():
                np.testing.assert_array_equal(value.array, state["state"][key][what].array)

    def test_names_of_parameters_appear_in_errors(self):
        p, q = parameters()
        opt = optim.SGD([("first", p), ("second", q)])
        q.node.grad = np.ones(7)
        with pytest.raises(RuntimeError, match="'second'"):
            opt.step()

    def test_infinite_gradients_make_no_warnings(self, kernels):
        p = Tensor(np.full(3, 3e38, "f4"), requires_grad=True)
        p.grad = Tensor(np.array([-np.inf, np.nan, -3e38], "f4"))
        optim.SGD([p], lr=10, momentum=0.9).step()
        assert not np.isfinite(p.array).any()

    def test_a_transposed_parameter(self, kernels):
        array = np.arange(6.0).reshape(2, 3).T
        p = minigrad.from_numpy(array)
        p.requires_grad = True
        g = np.random.default_rng(0).standard_normal((3, 2))
        p.grad = Tensor(g)
        opt = optim.SGD([p], lr=0.1, momentum=0.9)
        opt.step()
        np.testing.assert_allclose(array, np.arange(6.0).reshape(2, 3).T - 0.1 * g)

    def test_zero_grad(self):
        params = parameters()
        opt = optim.SGD(params)
        give_gradients(params)
        opt.zero_grad(set_to_none=False)
        assert all((p.grad.array == 0).all() for p in params)
        opt.zero_grad()
        assert all(p.grad is None for p in params)


class TestGroups:
    @pytest.mark.parametrize(
        ("params", "error", "message"),
        [
            ([], ValueError, "empty parameter list.*generator"),
            (iter(()), ValueError, "used up"),
            ([{"params": []}], ValueError, "no parameters"),
            ([{"lr": 0.1}], ValueError, "needs 'params'"),
            ([3.0], TypeError, "float, expected a Tensor"),
            (Tensor([1.0], requires_grad=True), TypeError, "one Tensor"),
            ([{"params": set(parameters())}], TypeError, "order varies"),
            ([Tensor([1.0], requires_grad=True) * 2], ValueError, "result of 'mul'.*leaf"),
            ([("a", parameters(1)[0]), *parameters(1)], ValueError, "all parameters"),
        ],
    )
    def test_refuses(self, params, error, message):
        with pytest.raises(error, match=message):
            optim.SGD(params)

    def test_refuses_a_parameter_of_another_group_and_stays_as_it_was(self):
        p, q = parameters()
        opt = optim.SGD([p])
        with pytest.raises(ValueError, match="another group"):
            opt.add_param_group({"params": [q, p]})
        with pytest.raises(ValueError, match="lr must be at least 0"):
            opt.add_param_group({"params": q, "lr": -1})
        assert len(opt.param_groups) == 1
        opt.add_param_group({"params": q, "lr": 0.5})
        assert [g["lr"] for g in opt.param_groups] == [1e-3, 0.5]

    def test_warns_of_a_parameter_twice_in_one_group(self):
        (p,) = parameters(1)
        with pytest.warns(UserWarning, match="more than once"):
            optim.SGD([p, p])

    @pytest.mark.parametrize(
        ("name", "options", "error"),
        [
            ("SGD", {"lr": -1}, ValueError),
            ("SGD", {"lr": float("nan")}, ValueError),
            ("SGD", {"lr": "fast"}, TypeError),
            ("SGD", {"momentum": -0.1}, ValueError),
            ("SGD", {"weight_decay": -1}, ValueError),
            ("SGD", {"nesterov": True}, ValueError),
            ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, ValueError),
            ("Adam", {"betas": (1.0, 0.9)}, ValueError),
            ("Adam", {"betas": 0.9}, TypeError),
            ("AdamW", {"eps": -1}, ValueError),
        ],
    )
    def test_refuses_options(self, name, options, error):
        with pytest.raises(error, match=name):
            getattr(optim, name)(parameters(), **options)


class TestState:
    @pytest.mark.parametrize(("name", "options"), RUNS)
    def test_a_saved_run_continues_with_the_same_bits(self, name, options):
        rng = np.random.default_rng(3)
        starts = [rng.standard_normal(shape) for shape in SHAPES]

        def steps(params, opt, seeds):
            for seed in seeds:
                give_gradients(params, seed)
                opt.step()

        one = leaves(starts)
        opt = getattr(optim, name)(one, **options)
        steps(one, opt, range(5))
        file = io.BytesIO()
        minigrad.save(opt.state_dict(), file)
        two = leaves([p.array for p in one])
        other = getattr(optim, name)(two)
        file.seek(0)
        other.load_state_dict(minigrad.load(file))
        steps(one, opt, range(5, 10))
        steps(two, other, range(5, 10))
        assert texts(opt) == texts(other)

    def test_loading_copies(self):
        params = parameters()
        opt = optim.SGD(params, momentum=0.9)
        give_gradients(params)
        opt.step()
        saved = opt.state_dict()
        opt.load_state_dict(saved)
        kept = saved["state"][0]["momentum_buffer"].array.copy()
        give_gradients(params, 1)
        opt.step()
        np.testing.assert_array_equal(saved["state"][0]["momentum_buffer"].array, kept)

    def test_pytorchs_state_loads(self):
        torch = pytest.importorskip("torch")
        q = [torch.tensor(p.array, requires_grad=True) for p in parameters()]
        theirs = torch.optim.Adam(q, lr=0.1)
        for x in q:
            x.grad = torch.ones_like(x)
        theirs.step()
        state = theirs.state_dict()
        state["state"] = {
            k: {what: v.numpy() for what, v in entry.items()} for k, entry in state["state"].items()
        }
        params = leaves([x.detach().numpy() for x in q])
        ours = optim.Adam(params)
        ours.load_state_dict(state)
        for p, x in zip(params, q, strict=True):
            p.grad, x.grad = Tensor(np.arange(3.0)), torch.arange(3.0, dtype=torch.float64)
        ours.step()
        theirs.step()
        for p, x in zip(params, q, strict=True):
            np.testing.assert_allclose(p.array, x.detach().numpy(), 1e-12)

    def test_what_does_not_match_changes_nothing(self):
        params = parameters()
        opt = optim.SGD(params, lr=0.1, momentum=0.9)
        give_gradients(params)
        opt.step()
        good = opt.state_dict()
        wrong_shape = copy.deepcopy(good)
        wrong_shape["state"][1]["momentum_buffer"] = Tensor([1.0])
        wrong_lr = copy.deepcopy(good)
        wrong_lr["param_groups"][0]["lr"] = -1
        unknown = copy.deepcopy(good)
        unknown["state"][7] = {}
        bad = [{}, wrong_shape, wrong_lr, unknown, optim.SGD(parameters(1)).state_dict()]
        for state in bad:
            with pytest.raises(ValueError):
                opt.load_state_dict(state)
            assert opt.param_groups[0]["lr"] == 0.1
            np.testing.assert_array_equal(
                opt.state_dict()["state"][1]["momentum_buffer"].array,
                good["state"][1]["momentum_buffer"].array,
            )

    def test_a_deep_copy_is_independent(self):
        params = parameters()
        opt = optim.SGD(params, momentum=0.9)
        give_gradients(params)
        opt.step()
        again, theirs = copy.deepcopy((opt, params))
        give_gradients(theirs)
        before = texts(opt)
        again.step()
        assert texts(opt) == before != texts(again)


SCHEDULES = {
    "LambdaLR": lambda s, o: [s.LambdaLR(o, [lambda e: 0.95**e, lambda e: 1 / (1 + e)])],
    "StepLR": lambda s, o: [s.StepLR(o, 7, 0.5)],
    "MultiStepLR": lambda s, o: [s.MultiStepLR(o, [30, 5, 5, 60], 0.3)],
    "ExponentialLR": lambda s, o: [s.ExponentialLR(o, 0.97)],
    "CosineAnnealingLR": lambda s, o: [s.CosineAnnealingLR(o, 13, 0.01)],
    "LinearLR": lambda s, o: [s.LinearLR(o, 0.2, 0.7, 9)],
    "LinearLR to 0": lambda s, o: [s.LinearLR(o, 1.0, 0.0, 50)],
    "ConstantLR": lambda s, o: [s.ConstantLR(o, 0.3, 6)],
    "five at once": lambda s, o: [
        s.StepLR(o, 7, 0.9),
        s.ExponentialLR(o, 0.99),
        s.LinearLR(o, 0.5, 1, 9),
        s.CosineAnnealingLR(o, 40),
        s.ConstantLR(o, 0.5, 3),
    ],
    "warm-up, cosine, tail": lambda s, o: [
        s.SequentialLR(
            o,
            [
                s.LinearLR(o, 0.1, 1, 5),
                s.CosineAnnealingLR(o, 20),
                s.ExponentialLR(o, 0.9),
                s.StepLR(o, 3, 0.5),
            ],
            [5, 25, 40],
        )
    ],
    "short stretches": lambda s, o: [
        s.SequentialLR(
            o,
            [s.ConstantLR(o, 0.1, 5), s.LinearLR(o, 0.1, 1, 5), s.MultiStepLR(o, [3, 4])],
            [10, 11],
        )
    ],
}
PLATEAUS = [
    {},
    {"mode": "max", "patience": 2, "factor": 0.5, "threshold": 0.1, "threshold_mode": "abs",
     "cooldown": 2, "min_lr": [0.01, 0.001]},
    {"patience": 1, "threshold": 0.05},
    {"mode": "max", "patience": 0, "min_lr": 0.05},
]  # fmt: skip


def two_groups():
    p, q = parameters()
    return optim.SGD([{"params": p, "lr": 0.5}, {"params": q}], lr=0.1)


def torch_groups(torch):
    p, q = (torch.ones(2, requires_grad=True) for _ in range(2))
    return torch.optim.SGD([{"params": p, "lr": 0.5}, {"params": q}], lr=0.1)


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


class TestSchedules:
    @pytest.mark.parametrize("name", SCHEDULES)
    def test_100_epochs(self, name):
        torch = pytest.importorskip("torch")
        a, b = two_groups(), torch_groups(torch)
        ours = SCHEDULES[name](lr_scheduler, a)
        theirs = SCHEDULES[name](torch.optim.lr_scheduler, b)
        for epoch in range(100):
            assert rates(a) == rates(b), epoch
            for opt in (a, b):
                opt.step()
            for s, t in zip(ours, theirs, strict=True):
                assert s.get_last_lr() == t.get_last_lr()
                s.step()
                t.step()

    @pytest.mark.parametrize("options", PLATEAUS)
    def test_reduce_on_plateau(self, options):
        torch = pytest.importorskip("torch")
        a, b = two_groups(), torch_groups(torch)
        s = lr_scheduler.ReduceLROnPlateau(a, **options)
        t = torch.optim.lr_scheduler.ReduceLROnPlateau(b, **options)
        walk = np.cumsum(np.random.default_rng(0).standard_normal(100) * 0.1) + 1
        walk[50] = np.nan
        for value in walk:
            s.step(Tensor(value))
            t.step(value)
            assert s.get_last_lr() == t.get_last_lr()
        assert rates(a) != [0.5, 0.1]

    @pytest.mark.parametrize("name", SCHEDULES)
    def test_a_saved_schedule_continues(self, name):
        a, b = two_groups(), two_groups()
        ours, again = (SCHEDULES[name](lr_scheduler, opt) for opt in (a, b))
        for opt in (a, b):
            opt.step()
        for _ in range(8):
            for s in ours:
                s.step()
        file = io.BytesIO()
        minigrad.save([a.state_dict(), [s.state_dict() for s in ours]], file)
        file.seek(0)
        state, schedules = minigrad.load(file)
        b.load_state_dict(state)
        for s, saved in zip(again, schedules, strict=True):
            s.load_state_dict(saved)
        for _ in range(40):
            for s in (*ours, *again):
                s.step()
            assert rates(a) == rates(b)

    def test_resumed_by_last_epoch(self):
        torch = pytest.importorskip("torch")
        a, b = two_groups(), torch_groups(torch)
        for opt in (a, b):
            for group in opt.param_groups:
                group["initial_lr"] = 1.0
        s = lr_scheduler.StepLR(a, 4, 0.5, last_epoch=6)
        t = torch.optim.lr_scheduler.StepLR(b, 4, 0.5, last_epoch=6)
        assert rates(a) == rates(b) == s.get_last_lr() == t.get_last_lr()
        with pytest.raises(KeyError, match="initial_lr"):
            lr_scheduler.StepLR(two_groups(), 4, last_epoch=6)

    def test_warns_if_stepped_before_the_optimiser(self):
        a = two_groups()
        s = lr_scheduler.StepLR(a, 4)
        with pytest.warns(UserWarning, match="before optimizer.step"):
            s.step()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            s.step()

    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda o: lr_scheduler.StepLR("sgd", 3), TypeError, "expected an Optimizer, got str"),
            (lambda o: lr_scheduler.StepLR(o, 0), ValueError, "step_size must be at least 1"),
            (lambda o: lr_scheduler.StepLR(o, 1.5), TypeError, "integer"),
            (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "one function or 2"),
            (lambda o: lr_scheduler.LinearLR(o, 0), ValueError, "start_factor"),
            (lambda o: lr_scheduler.LinearLR(o, 1, 2), ValueError, "end_factor"),
            (lambda o: lr_scheduler.ConstantLR(o, 1.5), ValueError, "factor"),
            (lambda o: lr_scheduler.CosineAnnealingLR(o, 0), ValueError, "T_max"),
            (lambda o: lr_scheduler.SequentialLR(o, [], []), ValueError, "one schedule more"),
            (lambda o: lr_scheduler.ReduceLROnPlateau(o, "up"), ValueError, "mode.*'up'"),
            (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1), ValueError, "below 1"),
            (
                lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ReduceLROnPlateau(o)], []),
                TypeError,
                "takes no argument",
            ),
            (
                lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(two_groups(), 1)], []),
                ValueError,
                "another optimiser",
            ),
        ],
    )
    def test_refuses(self, make, error, message):
        with pytest.raises(error, match=message):
            make(two_groups())

    def test_refuses_the_state_of_another_schedule(self):
        a = two_groups()
        s = lr_scheduler.StepLR(a, 4)
        with pytest.raises(ValueError, match=r"StepLR\.load_state_dict"):
            s.load_state_dict(lr_scheduler.ExponentialLR(a, 0.5).state_dict())
        assert s.step_size == 4
