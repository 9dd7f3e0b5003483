"""Schedules over long runs, and optimisers and schedules that are saved, loaded and continued."""

from __future__ import annotations

import copy
import io
import itertools
import math
import random
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.optim import lr_scheduler

OPTIMISERS: dict[str, Any] = {
    "SGD": lambda p, o: o.SGD(p, lr=0.1),
    "momentum": lambda p, o: o.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda p, o: o.Adam(p, lr=0.01),
    "amsgrad": lambda p, o: o.Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p, o: o.AdamW(p, lr=0.01, weight_decay=0.1),
}

# Random schedules of every kind, for s = lr_scheduler or torch's, an optimiser and random numbers.
SCHEDULES: dict[str, Any] = {
    "LambdaLR": lambda s, o, r: _lambda(s, o, r.uniform(0.9, 1)),
    "StepLR": lambda s, o, r: s.StepLR(o, r.randint(1, 30), r.uniform(0, 1.1)),
    "MultiStepLR": lambda s, o, r: s.MultiStepLR(
        o, sorted(r.randint(1, 200) for _ in range(5)), r.uniform(0, 1.2)
    ),
    "ExponentialLR": lambda s, o, r: s.ExponentialLR(o, r.uniform(0.9, 1.001)),
    "CosineAnnealingLR": lambda s, o, r: s.CosineAnnealingLR(
        o, r.randint(1, 300), r.choice([0.0, 1e-3])
    ),
    "LinearLR": lambda s, o, r: s.LinearLR(
        o, r.uniform(0.01, 1), r.choice([0.0, r.random(), 1.0]), r.randint(1, 300)
    ),
    "ConstantLR": lambda s, o, r: s.ConstantLR(o, r.uniform(0.01, 1), r.randint(1, 300)),
    "SequentialLR": lambda s, o, r: _sequence(s, o, r),
    "ReduceLROnPlateau": lambda s, o, r: s.ReduceLROnPlateau(
        o, patience=r.randint(0, 9), factor=r.random(), cooldown=r.randint(0, 5),
        min_lr=r.choice([0, 1e-4, [1e-3, 1e-5]]),
    ),
}  # fmt: skip


def _lambda(s: Any, o: Any, base: float) -> Any:
    return s.LambdaLR(o, lambda epoch: base**epoch)


def _sequence(s: Any, o: Any, r: random.Random) -> Any:
    kinds = r.sample([k for k in SCHEDULES if not k.startswith(("Seq", "Reduce"))], 3)
    parts = [SCHEDULES[kind](s, o, r) for kind in kinds]
    return s.SequentialLR(o, parts, sorted(r.sample(range(1, 100), 2)))


def two_groups(make: Any, library: Any = optim) -> Any:
    if library is optim:
        p, q = (nn.Parameter(mg.tensor(np.full((2, 3), v, np.float32))) for v in (1, 2))
    else:
        import torch

        p, q = (torch.full((2, 3), float(v), requires_grad=True) for v in (1, 2))
    return make([{"params": [p], "lr": 0.5}, {"params": [q]}], library)


def rates(optimizer: Any) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def advance(scheduler: Any, loss: float) -> None:
    if type(scheduler).__name__ == "ReduceLROnPlateau":
        scheduler.step(loss)
    else:
        scheduler.step()


def losses(seed: int) -> Any:
    rng = random.Random(seed)
    return (rng.random() + 10 / (1 + i) for i in itertools.count())


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_long_runs_are_pytorchs(name: str) -> None:
    """And no rate falls below 0, where PyTorch's may by rounding."""
    torch = pytest.importorskip("torch")
    worst = 0.0
    for seed in range(12):
        pair = []
        for s, o in ((lr_scheduler, optim), (torch.optim.lr_scheduler, torch.optim)):
            optimizer = two_groups(OPTIMISERS["SGD"], o)
            optimizer.step()
            pair.append((optimizer, SCHEDULES[name](s, optimizer, random.Random(seed))))
        (a, ours), (b, theirs) = pair
        b.step()
        a.has_stepped = True
        for _, loss in zip(range(1000), losses(seed), strict=False):
            worst = max(worst, *(abs(x - y) for x, y in zip(rates(a), rates(b), strict=True)))
            assert worst <= 1e-12, (seed, ours.last_epoch)
            assert min(rates(a)) >= 0
            for scheduler in (ours, theirs):
                advance(scheduler, loss)


def test_linear_decay_never_falls_below_zero() -> None:
    for total in range(1, 400):
        optimizer = two_groups(OPTIMISERS["SGD"])
        optimizer.has_stepped = True
        scheduler = lr_scheduler.LinearLR(optimizer, end_factor=0.0, total_iters=total)
        for _ in range(total + 2):
            scheduler.step()
            assert min(rates(optimizer)) >= 0
        assert max(rates(optimizer)) < 1e-12
        two_groups(OPTIMISERS["SGD"]).load_state_dict(optimizer.state_dict())


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    mg.save(state, file)
    file.seek(0)
    return mg.load(file)


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_what_is_saved_is_loaded_and_continues(optimiser: str, name: str) -> None:
    for seed in range(6):
        rng = random.Random(seed)
        runs = []
        for _ in range(2):
            optimizer = two_groups(OPTIMISERS[optimiser])
            runs.append((optimizer, SCHEDULES[name](lr_scheduler, optimizer, random.Random(seed))))
        (a, ours), (b, again) = runs
        values = losses(seed)

        def epoch(optimizer: Any, scheduler: Any, loss: float) -> None:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.grad = mg.sin(p.detach() + loss)
            optimizer.step()
            advance(scheduler, loss)

        for _ in range(rng.choice([0, 1, rng.randrange(400)])):
            epoch(a, ours, next(values))
        way = through_a_file if seed % 2 else copy.deepcopy
        b.load_state_dict(way(a.state_dict()))
        again.load_state_dict(way(ours.state_dict()))
        parameters = [[g["params"][0] for g in o.param_groups] for o in (a, b)]
        for p, q in zip(*parameters, strict=True):
            q.array[...] = p.array
        b.has_stepped = a.has_stepped = True
        for _, loss in zip(range(50), values, strict=False):
            for run in runs:
                epoch(*run, loss)
            assert rates(a) == rates(b)
        for p, q in zip(*parameters, strict=True):
            assert p.array.tobytes() == q.array.tobytes()


@pytest.mark.parametrize("gamma", [-0.5, math.inf, math.nan])
def test_any_rate_of_a_schedule_is_loaded_again(gamma: float) -> None:
    """PyTorch's schedules, too, may be told to set such rates."""
    optimizer = two_groups(OPTIMISERS["SGD"])
    optimizer.has_stepped = True
    scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: gamma if epoch else 1)
    scheduler.step()
    again = two_groups(OPTIMISERS["SGD"])
    again.load_state_dict(through_a_file(optimizer.state_dict()))
    assert np.array_equal(rates(again), rates(optimizer), equal_nan=True)


class TestStates:
    @staticmethod
    def stepped(name: str) -> Any:
        optimizer = two_groups(OPTIMISERS[name])
        for group in optimizer.param_groups:
            group["params"][0].grad = mg.ones(2, 3)
        optimizer.step()
        return optimizer

    @staticmethod
    def contents(optimizer: Any) -> Any:
        return [
            [(k, v) for k, v in group.items() if k != "params"] for group in optimizer.param_groups
        ], [
            [(k, id(v), v.tolist()) for k, v in entry.items()] for entry in optimizer.state.values()
        ]

    @pytest.mark.parametrize("name", ["momentum", "Adam", "amsgrad", "AdamW"])
    @pytest.mark.parametrize(
        "kind", ["numpy", "float64", "torch", "lists", "strided", "big-endian"]
    )
    def test_array_likes_are_converted(self, name: str, kind: str) -> None:
        torch = pytest.importorskip("torch") if kind == "torch" else None
        convert = {
            "numpy": lambda a: a.copy(),
            "float64": lambda a: a.astype(np.float64),
            "torch": lambda a: torch.tensor(a),  # type: ignore[union-attr]
            "lists": lambda a: a.tolist(),
            "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
            "big-endian": lambda a: a.astype(">f4"),
        }[kind]
        optimizer, again = self.stepped(name), self.stepped(name)
        state = copy.deepcopy(optimizer.state_dict())
        for entry in state["state"].values():
            for key, value in entry.items():
                entry[key] = convert(value.array)
        again.load_state_dict(state)
        for ours, theirs in zip(again.state.values(), optimizer.state.values(), strict=True):
            for key, value in ours.items():
                assert type(value) is mg.Tensor and value.array.dtype is np.dtype(np.float32)
                assert value.array.flags.carray and (value.array == theirs[key].array).all()
        again.step()

    @pytest.mark.parametrize("name", OPTIMISERS)
    def test_pytorchs_own_state(self, name: str) -> None:
        torch = pytest.importorskip("torch")
        ours, theirs = two_groups(OPTIMISERS[name]), two_groups(OPTIMISERS[name], torch.optim)
        rng = np.random.default_rng(0)
        for i in range(6):
            if i == 3:
                ours.load_state_dict(theirs.state_dict())
                for a, b in zip(ours.param_groups, theirs.param_groups, strict=True):
                    a["params"][0].array[...] = b["params"][0].detach().numpy()
            for a, b in zip(ours.param_groups, theirs.param_groups, strict=True):
                g = rng.standard_normal((2, 3)).astype(np.float32)
                a["params"][0].grad, b["params"][0].grad = mg.tensor(g), torch.tensor(g)
            theirs.step()
            if i >= 3:
                ours.step()
        for a, b in zip(ours.param_groups, theirs.param_groups, strict=True):
            np.testing.assert_allclose(
                a["params"][0].array, b["params"][0].detach().numpy(), rtol=1e-6
            )

    def test_amsgrad_may_be_switched_on(self) -> None:
        optimizer = self.stepped("Adam")
        state = copy.deepcopy(optimizer.state_dict())
        state["param_groups"][0]["amsgrad"] = True
        optimizer.load_state_dict(state)
        optimizer.step()
        first, second = (optimizer.state[g["params"][0]] for g in optimizer.param_groups)
        assert (first["max_exp_avg_sq"].array == first["exp_avg_sq"].array).all()
        assert "max_exp_avg_sq" not in second

    BAD_VALUES: tuple[Any, ...] = (
        "text", b"bytes", ["1", "2"], [[1.0], [2.0, 3.0]], {"a": 1}, object(), 1 + 2j,
        np.ones((2, 3), complex), np.ones((3, 2)), np.ones((2, 3), "M8[s]"), np.array("x"), (), 7.0,
    )  # fmt: skip

    @pytest.mark.parametrize("name", ["momentum", "Adam", "amsgrad", "AdamW"])
    @pytest.mark.parametrize("value", BAD_VALUES, ids=lambda value: type(value).__name__)
    def test_other_values_are_refused(self, name: str, value: Any) -> None:
        """In every entry of every parameter; nothing has changed then."""
        optimizer = self.stepped(name)
        good, before = optimizer.state_dict(), self.contents(optimizer)
        for number, entry in good["state"].items():
            for key in entry:
                if key == "step" and isinstance(value, float):
                    continue
                state = copy.deepcopy(good)
                state["param_groups"][0]["lr"] = 77.0
                state["state"][number][key] = value
                with pytest.raises((TypeError, ValueError), match=f"parameter {number}.*{key!r}"):
                    optimizer.load_state_dict(state)
                assert self.contents(optimizer) == before
        optimizer.step()

    def test_a_tensor_that_does_not_convert(self) -> None:
        torch = pytest.importorskip("torch")
        optimizer = self.stepped("Adam")
        before, state = self.contents(optimizer), copy.deepcopy(optimizer.state_dict())
        for value in (torch.ones(2, 3, requires_grad=True), torch.ones(2, 3, dtype=torch.bfloat16)):
            state["state"][1]["exp_avg"] = value
            with pytest.raises(TypeError, match=r"parameter 1: 'exp_avg' must be a tensor or an"):
                optimizer.load_state_dict(state)
            assert self.contents(optimizer) == before

    @pytest.mark.parametrize("step", [math.nan, math.inf, -1.0, [1.0], "1", None])
    def test_a_step_that_is_none(self, step: Any) -> None:
        optimizer = self.stepped("Adam")
        before, state = self.contents(optimizer), copy.deepcopy(optimizer.state_dict())
        state["state"][1]["step"] = step
        with pytest.raises((TypeError, ValueError), match=r"parameter 1.*step"):
            optimizer.load_state_dict(state)
        assert self.contents(optimizer) == before

    @pytest.mark.parametrize("name", OPTIMISERS)
    def test_missing_and_unknown_entries(self, name: str) -> None:
        optimizer = self.stepped(name)
        good, before = optimizer.state_dict(), self.contents(optimizer)
        optional = {"momentum_buffer", "max_exp_avg_sq"}
        for number in (0, 1):
            for key in good["state"].get(number, ()):
                state = copy.deepcopy(good)
                del state["state"][number][key]
                if key in optional:
                    copy.deepcopy(optimizer).load_state_dict(state)
                    continue
                with pytest.raises(ValueError, match=f"parameter {number}.*missing: \\['{key}'"):
                    optimizer.load_state_dict(state)
                assert self.contents(optimizer) == before
            state = copy.deepcopy(good)
            state["state"].setdefault(number, {})["square_avg"] = mg.ones(2, 3)
            with pytest.raises(ValueError, match=f"parameter {number}.*unknown: .*square_avg"):
                optimizer.load_state_dict(state)
            assert self.contents(optimizer) == before

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda s: s.pop("state"),
            lambda s: s.update(state=[1]),
            lambda s: s.update(param_groups={}),
            lambda s: s.update(param_groups=[1, 2]),
            lambda s: s["param_groups"].pop(),
            lambda s: s["param_groups"][1].pop("params"),
            lambda s: s["param_groups"][1].update(params=[0, 1]),
            lambda s: s["param_groups"][1].update(params=["x"]),
            lambda s: s["param_groups"][1].update(params=7),
            lambda s: s["param_groups"][1].update(lr="0.1"),
            lambda s: s["param_groups"][1].update(lr=None),
            lambda s: s["param_groups"][1].update(lr=-1.0),
            lambda s: s["param_groups"][1].update(lr="0.1", initial_lr=0.1),
            lambda s: s["param_groups"][1].update(initial_lr="0.1"),
            lambda s: s["param_groups"][1].update(betas=(0.9,)),
            lambda s: s["param_groups"][1].update(eps=math.nan),
            lambda s: s["state"].update({5: {}}),
            lambda s: s["state"].update({1: "text"}),
            lambda s: s["state"].update({1: [1, 2]}),
        ],
    )
    def test_a_spoilt_structure(self, spoil: Any) -> None:
        optimizer = self.stepped("Adam")
        before, state = self.contents(optimizer), copy.deepcopy(optimizer.state_dict())
        spoil(state)
        with pytest.raises((TypeError, ValueError), match=r"^Adam"):
            optimizer.load_state_dict(state)
        assert self.contents(optimizer) == before
        optimizer.step()

    def test_an_optimiser_of_the_users_own_may_remember_anything(self) -> None:
        class Own(optim.Optimizer):
            def check(self, group: Any) -> None: ...
            def update(self, group: Any, entries: Any) -> None:
                for p, _, _ in entries:
                    self.state[p] = {"n": 3, "what": "text", "m": mg.ones(1)}

        p = nn.Parameter(mg.zeros(1))
        p.grad = mg.ones(1)
        first, second = Own([p], {}), Own([p], {})
        first.step()
        second.load_state_dict(through_a_file(first.state_dict()))
        assert {k: v for k, v in second.state[p].items() if k != "m"} == {"n": 3, "what": "text"}


class TestGroupsThatAreAddedLater:
    @pytest.mark.parametrize("options", [{}, {"min_lr": 0.01}, {"min_lr": [0.01, 0.02]}])
    def test_plateau(self, options: Any) -> None:
        torch = pytest.importorskip("torch")
        ours = optim.SGD([{"params": nn.Parameter(mg.zeros(1))} for _ in range(2)], lr=0.1)
        theirs = torch.optim.SGD(
            [{"params": torch.zeros(1, requires_grad=True)} for _ in range(2)], lr=0.1
        )
        s = lr_scheduler.ReduceLROnPlateau(ours, patience=1, **options)
        t = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, patience=1, **options)
        ours.add_param_group({"params": nn.Parameter(mg.zeros(1)), "lr": 1.0})
        theirs.add_param_group({"params": torch.zeros(1, requires_grad=True), "lr": 1.0})
        for epoch in range(12):
            if epoch > 1 and isinstance(options.get("min_lr"), list):
                for scheduler in (s, t):
                    before = s.last_epoch
                    with pytest.raises(RuntimeError, match="groups"):
                        scheduler.step(1.0)
                    assert s.last_epoch == before  # PyTorch has counted the epoch
                s.min_lrs, t.min_lrs = [[*options["min_lr"], 0.03] for _ in range(2)]
                t.last_epoch, t.num_bad_epochs = s.last_epoch, s.num_bad_epochs
                options = {}
            s.step(1.0)
            t.step(1.0)
            assert rates(ours) == rates(theirs)
        again = lr_scheduler.ReduceLROnPlateau(ours)
        again.load_state_dict(through_a_file(s.state_dict()))
        assert vars(again) == vars(s)

    def test_a_plateau_saved_before_it_knew(self) -> None:
        optimizer = two_groups(OPTIMISERS["SGD"])
        s = lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=0.01)
        old = s.state_dict()
        del old["default_min_lr"]
        s.load_state_dict(old)
        assert s.default_min_lr == 0.01

    @pytest.mark.parametrize("name", SCHEDULES)
    def test_the_others_go_on_or_say_so(self, name: str) -> None:
        torch = pytest.importorskip("torch")
        ends = []
        for s, o in ((lr_scheduler, optim), (torch.optim.lr_scheduler, torch.optim)):
            optimizer = two_groups(OPTIMISERS["SGD"], o)
            optimizer.step()
            scheduler = SCHEDULES[name](s, optimizer, random.Random(4))
            optimizer.step()
            one = nn.Parameter(mg.zeros(1)) if o is optim else torch.zeros(1, requires_grad=True)
            optimizer.add_param_group({"params": one, "lr": 1.0})
            try:
                for _, loss in zip(range(120), losses(0), strict=False):
                    advance(scheduler, loss)
                ends.append(rates(optimizer))
            except (ValueError, RuntimeError) as error:
                ends.append(type(error))
                assert o is not optim or "groups" in str(error)
        if isinstance(ends[0], list) and isinstance(ends[1], list):
            np.testing.assert_allclose(*ends, rtol=0, atol=1e-12)
        else:
            assert ends[0] == ends[1]


def test_a_step_of_a_schedule_that_raises_changes_nothing() -> None:
    optimizer = two_groups(OPTIMISERS["SGD"])
    optimizer.has_stepped = True

    def rate(epoch: int) -> float:
        if epoch == 3:
            raise ZeroDivisionError
        return 0.5**epoch

    scheduler = lr_scheduler.LambdaLR(optimizer, rate)
    outer = lr_scheduler.SequentialLR(
        optimizer, [scheduler, lr_scheduler.ConstantLR(optimizer)], [9]
    )
    for _ in range(2):
        outer.step()
    before = dict(vars(scheduler)), dict(vars(outer)), rates(optimizer)
    with pytest.raises(ZeroDivisionError):
        outer.step()
    assert (vars(scheduler), vars(outer), rates(optimizer)) == before
