"""Cycles, chains and step(epoch) against PyTorch, and states that go from one to the other."""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, optim
from minigrad.optim import lr_scheduler

CYCLES = {
    "one cycle": lambda s, o: s.OneCycleLR(o, 0.3, 100),
    "one cycle, epochs": lambda s, o: s.OneCycleLR(
        o, [0.3, 0.1], epochs=20, steps_per_epoch=5, pct_start=0.2, anneal_strategy="linear"
    ),
    "one cycle, three phases": lambda s, o: s.OneCycleLR(
        o, 0.3, 100, three_phase=True, div_factor=10, final_div_factor=50, base_momentum=[0.8, 0.7]
    ),
    "one cycle, no momentum": lambda s, o: s.OneCycleLR(o, 0.3, 100, cycle_momentum=False),
    "one cycle, no rise": lambda s, o: s.OneCycleLR(o, 0.3, 100, pct_start=0.0),
    "triangles": lambda s, o: s.CyclicLR(o, 0.01, 0.3, 7),
    "triangles, lower": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.3, 7, 12, "triangular2"),
    "falling range": lambda s, o: s.CyclicLR(o, 0.01, [0.3, 0.2], 7, mode="exp_range", gamma=0.98),
    "own scale": lambda s, o: s.CyclicLR(o, 0.01, 0.3, 6, scale_fn=lambda n: 1 / (n + 1)),
    "own scale of steps": lambda s, o: s.CyclicLR(
        o, 0.01, 0.3, 6, scale_fn=lambda n: 0.9**n, scale_mode="iterations", cycle_momentum=False
    ),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 9),
    "restarts, longer": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 2, 0.01),
    "polynomial": lambda s, o: s.PolynomialLR(o, 60, 2.0),
    "line": lambda s, o: s.PolynomialLR(o),
    "products": lambda s, o: s.MultiplicativeLR(o, [lambda e: 0.95, lambda e: 1 - 0.1 / (e + 1)]),
    "chain": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 5), s.ExponentialLR(o, 0.97), s.CosineAnnealingLR(o, 40)]
    ),
    "sequence of restarts": lambda s, o: s.SequentialLR(
        o,
        [s.LinearLR(o, 0.1, 1, 5), s.CosineAnnealingWarmRestarts(o, 7), s.PolynomialLR(o, 50)],
        [5, 40],
    ),
    "sequence from restarts": lambda s, o: s.SequentialLR(
        o, [s.CosineAnnealingWarmRestarts(o, 7), s.StepLR(o, 3, 0.5)], [20]
    ),
    # of those that were there before, for the states
    "milestones": lambda s, o: s.MultiStepLR(o, [3, 9, 9], 0.5),
    "function": lambda s, o: s.LambdaLR(o, lambda e: 0.9**e),
    "steps": lambda s, o: s.StepLR(o, 3),
}
OPTIMISERS = {
    "SGD": lambda o, p: o.SGD(p, lr=0.1, momentum=0.5),
    "Adam": lambda o, p: o.Adam(p, lr=0.1),
}


def two_groups(library, name="SGD"):
    if library is optim:
        p, q = (Tensor(np.ones(2), requires_grad=True) for _ in range(2))
    else:
        torch = pytest.importorskip("torch")
        p, q = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = OPTIMISERS[name](library, [{"params": [p], "lr": 0.5}, {"params": [q]}])
    optimizer.step()
    return optimizer


def moved(optimizer):
    """All that a schedule may set."""
    return [
        (group["lr"], group.get("momentum"), group.get("betas", [0])[0])
        for group in optimizer.param_groups
    ]


def both(kind, name="SGD"):
    """An optimiser and its schedule, of ours and of PyTorch's."""
    torch = pytest.importorskip("torch")
    a, b = two_groups(optim, name), two_groups(torch.optim, name)
    s, t = CYCLES[kind](lr_scheduler, a), CYCLES[kind](torch.optim.lr_scheduler, b)
    a.step()
    b.step()
    return a, b, s, t


class TestAgreement:
    @pytest.mark.parametrize("name", OPTIMISERS)
    @pytest.mark.parametrize("kind", CYCLES)
    def test_100_steps(self, kind, name):
        a, b, s, t = both(kind, name)
        seen = set()
        for step in range(100):
            assert moved(a) == moved(b), step
            assert s.get_last_lr() == t.get_last_lr() == [g["lr"] for g in a.param_groups]
            seen.add(moved(a)[0])
            s.step()
            t.step()
        assert len(seen) > 2

    @pytest.mark.parametrize("kind", [k for k in CYCLES if not k.startswith(("chain", "seq"))])
    def test_a_step_to_an_epoch(self, kind):
        a, b, s, t = both(kind)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # both say that the argument is deprecated
            for epoch in (3, 4, 17, 2, 0, 30, 6):
                s.step(epoch)
                t.step(epoch)
                assert moved(a) == moved(b), epoch
                assert s.last_epoch == t.last_epoch == epoch
        for _ in range(10):
            s.step()
            t.step()
            assert moved(a) == moved(b)

    def test_restarts_between_epochs(self):
        for kind in ("restarts", "restarts, longer"):
            a, b, s, t = both(kind)
            for i in range(60):
                s.step(i / 3)
                t.step(i / 3)
                assert moved(a) == moved(b)
                assert s.last_epoch == t.last_epoch == i // 3

    def test_an_epoch_warns_where_pytorch_does(self):
        s = both("steps")[2]
        with pytest.warns(UserWarning, match=r"StepLR\.step\(4\).*deprecated"):
            s.step(4)


class TestStates:
    @pytest.mark.parametrize("kind", CYCLES)
    def test_go_to_pytorch_and_back(self, kind):
        a, b, s, t = both(kind)
        c, d, again, theirs = both(kind)
        for _ in range(12):
            s.step()
            t.step()
        again.load_state_dict(copy.deepcopy(t.state_dict()))
        if kind != "milestones":  # a Counter there, which files of ours do not hold
            theirs.load_state_dict(copy.deepcopy(s.state_dict()))
            pairs = ((a, c), (b, d))
        else:
            pairs = ((a, c),)
        for one, other in pairs:
            for group, new in zip(one.param_groups, other.param_groups, strict=True):
                new.update({key: value for key, value in group.items() if key != "params"})
        for _ in range(20):
            for schedule in (s, t, again, theirs):
                schedule.step()
            assert moved(a) == moved(b) == moved(c)
            if kind != "milestones":
                assert moved(a) == moved(d)

    @pytest.mark.parametrize("kind", CYCLES)
    def test_go_through_a_file(self, kind):
        a, _, s, _ = both(kind)
        c, _, again, _ = both(kind)
        for _ in range(12):
            s.step()
        file = io.BytesIO()
        minigrad.save([a.state_dict(), s.state_dict()], file)
        file.seek(0)
        state, schedule = minigrad.load(file)
        c.load_state_dict(state)
        again.load_state_dict(schedule)
        for _ in range(20):
            s.step()
            again.step()
            assert moved(a) == moved(c)

    def test_of_a_sequence_as_older_files_have_it(self):
        _, _, s, _ = both("sequence from restarts")
        for _ in range(22):
            s.step()
        state = s.state_dict()
        old = {key.replace("_schedulers", "schedulers"): v for key, v in state.items()}
        old = {key.replace("_milestones", "milestones"): v for key, v in old.items()}
        assert "schedulers" in old and "milestones" in old
        again = CYCLES["sequence from restarts"](lr_scheduler, two_groups(optim))
        again.load_state_dict(old)
        assert again.state_dict() == state

    def test_of_another_kind_changes_nothing(self):
        _, _, s, _ = both("chain")
        state = s.state_dict()
        wrong = copy.deepcopy(state)
        wrong["_schedulers"][2] = wrong["_schedulers"][0]
        wrong["_schedulers"][0]["last_epoch"] = 77
        with pytest.raises(ValueError, match=r"CosineAnnealingLR\.load_state_dict"):
            s.load_state_dict(wrong)
        assert s.state_dict() == state

    def test_of_a_callable_object(self):
        class Factor:
            def __init__(self):
                self.calls = 0

            def __call__(self, epoch):
                self.calls += 1
                return 0.5**epoch

        first, second = Factor(), Factor()
        s = lr_scheduler.LambdaLR(two_groups(optim), first)
        s.step()
        lr_scheduler.LambdaLR(two_groups(optim), second).load_state_dict(s.state_dict())
        assert second.calls == first.calls == 4


class TestRefusals:
    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda s, o: s.OneCycleLR(o, 0.1), ValueError, "expected total_steps"),
            (lambda s, o: s.OneCycleLR(o, 0.1, 0), ValueError, "total_steps"),
            (lambda s, o: s.OneCycleLR(o, [0.1], 9), ValueError, "one max_lr or 2"),
            (lambda s, o: s.OneCycleLR(o, 0.1, 9, pct_start=1.5), ValueError, "pct_start"),
            (lambda s, o: s.OneCycleLR(o, 0.1, 9, anneal_strategy="up"), ValueError, "anneal"),
            (lambda s, o: s.OneCycleLR(o, 0.1, 10, pct_start=0.1), ValueError, "no length"),
            (lambda s, o: s.OneCycleLR("sgd", 0.1, 9), TypeError, "expected an Optimizer"),
            (lambda s, o: s.OneCycleLR(o, 0.1, 9, last_epoch=3), KeyError, "max_lr"),
            (lambda s, o: s.CyclicLR(o, 0.1, 0.2, mode="square"), ValueError, "mode"),
            (lambda s, o: s.CyclicLR(o, 0.1, 0.2, 0), ValueError, "step_size_up"),
            (lambda s, o: s.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0"),
            (lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 1.5), TypeError, "T_mult"),
            (lambda s, o: s.PolynomialLR(o, 0), ValueError, "total_iters"),
            (lambda s, o: s.MultiplicativeLR(o, 0.9), TypeError, "function of the epoch"),
            (lambda s, o: s.ChainedScheduler([]), ValueError, "at least one"),
            (
                lambda s, o: s.ChainedScheduler([s.ReduceLROnPlateau(o)]),
                TypeError,
                "takes no argument",
            ),
            (
                lambda s, o: s.ChainedScheduler([s.StepLR(two_groups(optim), 1)], o),
                ValueError,
                "another optimiser",
            ),
        ],
    )
    def test_arguments(self, make, error, message):
        optimizer = two_groups(optim)
        before = moved(optimizer)
        with pytest.raises(error, match=message):
            make(lr_scheduler, optimizer)
        if "no length" not in message:
            assert moved(optimizer) == before

    def test_a_momentum_that_the_optimiser_lacks(self):
        p = Tensor(np.ones(2), requires_grad=True)
        for kind in ("one cycle", "triangles"):
            with pytest.raises(ValueError, match="neither momentum nor betas"):
                CYCLES[kind](lr_scheduler, optim.Adagrad([p]))

    def test_a_step_beyond_the_cycle(self):
        a, _, s, t = both("one cycle")
        for _ in range(100):
            s.step()
            t.step()
        before = moved(a)
        with pytest.raises(ValueError, match="step 101 of a cycle of 100"):
            s.step()
        with pytest.raises(ValueError):
            t.step()
        assert moved(a) == before and s.last_epoch == 100


def test_a_schedule_with_a_step_of_its_own() -> None:
    """PyTorch starts a schedule by its step; one that counts in it would be one step behind."""
    torch = pytest.importorskip("torch")
    found = []
    for m in (minigrad, torch):

        class Restarts(m.optim.lr_scheduler.LRScheduler):  # type: ignore[misc,name-defined]
            def __init__(self, optimizer: Any, cycle: int, after: bool) -> None:
                self.cycle, self.place, self.after = cycle, -1, after
                super().__init__(optimizer)

            def get_lr(self) -> list[float]:
                return [base / (1 + self.place % self.cycle) for base in self.base_lrs]

            def step(self, epoch: int | None = None) -> None:
                self.place += 1
                if self.after:
                    super().step()
                else:
                    self.last_epoch += 1
                    for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
                        group["lr"] = lr

        for after in (False, True):
            optimizer = m.optim.SGD([m.ones(2, requires_grad=True)], lr=0.3)
            schedule = Restarts(optimizer, 3, after)
            rates = [optimizer.param_groups[0]["lr"], schedule.last_epoch]
            for _ in range(7):
                optimizer.step()
                schedule.step()
                rates += [optimizer.param_groups[0]["lr"], schedule.last_epoch]
            found.append(rates)
    np.testing.assert_allclose(found[:2], found[2:], 1e-15)
