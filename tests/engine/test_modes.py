"""Grad mode in all its uses, anomaly detection, promotion."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, enable_grad, is_grad_enabled, modes, no_grad
from minigrad.autograd import detect_anomaly, record, set_detect_anomaly, set_grad_enabled
from minigrad.function import FunctionCtx


def leaf(*shape: int, value: float = 2.0, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.full(shape, value, dtype), requires_grad=True)


def test_no_grad_and_enable_grad_nest() -> None:
    a = leaf()
    assert is_grad_enabled()
    with no_grad():
        assert not is_grad_enabled()
        assert not (a * 2).requires_grad
        with enable_grad():
            assert (a * 2).requires_grad
        assert not is_grad_enabled()
    assert is_grad_enabled()
    assert (a * 2).requires_grad


def test_the_mode_comes_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert is_grad_enabled()


def test_one_instance_can_be_entered_again() -> None:
    mode = no_grad()
    with mode:
        with mode:
            assert not is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_decorators_with_and_without_parentheses() -> None:
    @no_grad()
    def called() -> bool:
        """doc"""
        return is_grad_enabled()

    @no_grad
    def bare(x: int, *, y: int) -> tuple[bool, int]:
        return is_grad_enabled(), x + y

    class Model:
        @no_grad()
        def predict(self, x: int) -> tuple[bool, int]:
            return is_grad_enabled(), x

        @no_grad
        def bare(self, x: int) -> tuple[bool, int]:
            return is_grad_enabled(), x

    assert called() is False
    assert called.__name__ == "called" and called.__doc__ == "doc"
    assert bare(1, y=2) == (False, 3)
    assert Model().predict(3) == (False, 3)
    assert Model().bare(4) == (False, 4)
    assert is_grad_enabled()


def test_a_recursive_decorated_function() -> None:
    @no_grad()
    def down(n: int) -> bool:
        return is_grad_enabled() or (n > 0 and down(n - 1))

    assert down(5) is False
    assert is_grad_enabled()


def test_a_generator_is_switched_off_inside_and_its_caller_is_not() -> None:
    @no_grad()
    def numbers() -> Iterator[bool]:
        for _ in range(2):
            yield is_grad_enabled()

    seen = [(inside, is_grad_enabled()) for inside in numbers()]
    assert seen == [(False, True), (False, True)]


def test_a_generator_still_receives_what_is_sent_and_thrown() -> None:
    @no_grad()
    def echo() -> Any:
        got = None
        try:
            while True:
                got = yield (got, is_grad_enabled())
        except KeyError:
            yield ("caught", is_grad_enabled())
        finally:
            closed.append(is_grad_enabled())

    closed: list[bool] = []
    running = echo()
    assert next(running) == (None, False)
    assert running.send(5) == (5, False)
    assert running.throw(KeyError()) == ("caught", False)
    running.close()
    assert closed == [False]
    assert is_grad_enabled()


def test_async_functions_and_tasks_do_not_see_one_another() -> None:
    @no_grad()
    async def off(inside: asyncio.Event, done: asyncio.Event) -> list[bool]:
        inside.set()
        await done.wait()
        return [is_grad_enabled()]

    async def on(inside: asyncio.Event, done: asyncio.Event) -> list[bool]:
        await inside.wait()  # the other task is now in the middle of its no_grad
        seen = is_grad_enabled()
        done.set()
        return [seen]

    async def both() -> list[list[bool]]:
        events = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(off(*events), on(*events))

    assert asyncio.run(both()) == [[False], [True]]
    assert is_grad_enabled()


def test_threads_do_not_see_one_another() -> None:
    inside, done, seen = threading.Event(), threading.Event(), []

    def off() -> None:
        with no_grad():
            inside.set()
            done.wait(10)
            seen.append(is_grad_enabled())

    thread = threading.Thread(target=off)
    thread.start()
    assert inside.wait(10)
    assert is_grad_enabled()
    a = leaf()
    (a * 2).backward()
    done.set()
    thread.join(10)
    assert seen == [False]


def test_backward_in_many_threads_on_separate_graphs() -> None:
    found: dict[int, float] = {}

    def work(i: int) -> None:
        a = leaf(value=float(i))
        y = a
        for _ in range(200):
            y = y * 1.0 + a * 0.0
        (y * y).backward()
        assert a.grad is not None
        found[i] = a.grad.item()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert found == {i: 2.0 * i for i in range(8)}


def test_set_grad_enabled_as_a_call_and_as_a_context() -> None:
    set_grad_enabled(False)
    try:
        assert not is_grad_enabled()
    finally:
        set_grad_enabled(True)
    with set_grad_enabled(False):
        assert not is_grad_enabled()
    assert is_grad_enabled()


@pytest.mark.parametrize("bad", ["yes", 1, None])
@pytest.mark.parametrize(
    ("switch", "argument"),
    [
        (lambda bad: minigrad.set_grad_enabled(bad), "mode"),
        (lambda bad: minigrad.inference_mode(bad), "mode"),
        (lambda bad: detect_anomaly(bad).__enter__(), "check_nan"),
        (lambda bad: detect_anomaly(check_inf=bad).__enter__(), "check_inf"),
        (lambda bad: set_detect_anomaly(bad), "mode"),
        (lambda bad: set_detect_anomaly(True, check_nan=bad), "check_nan"),
        (lambda bad: minigrad.use_deterministic_algorithms(bad), "mode"),
        (lambda bad: minigrad.use_deterministic_algorithms(True, warn_only=bad), "warn_only"),
        (lambda bad: minigrad.set_flush_denormal(bad), "mode"),
        (lambda bad: minigrad.amp.autocast("cpu", enabled=bad), "enabled"),
        (lambda bad: FunctionCtx().set_materialize_grads(bad), "value"),
        (lambda bad: minigrad.distributions.Normal.set_default_validate_args(bad), "value"),
        (lambda bad: minigrad.zeros(2).requires_grad_(bad), "value"),
        (lambda bad: minigrad.zeros(2, requires_grad=bad), "value"),
        (lambda bad: minigrad.tensor([2.0], requires_grad=bad), "value"),
        (lambda bad: minigrad.Tensor([2.0], requires_grad=bad), "value"),
        (lambda bad: minigrad.nn.Parameter(minigrad.zeros(2), requires_grad=bad), "value"),
    ],
)
def test_a_switch_takes_true_and_false_only(
    switch: Callable[[Any], Any], argument: str, bad: Any
) -> None:
    with pytest.raises(TypeError, match=rf"{argument} must be True or False, got {bad!r}"):
        switch(bad)
    # Nothing has been switched.
    assert is_grad_enabled() and not modes.watch.get()[0]


def test_detach_shares_memory_and_stops_gradients() -> None:
    a = leaf(3)
    d = a.detach()
    assert not d.requires_grad and np.shares_memory(d.array, a.array)
    (a * d).sum().backward()
    np.testing.assert_array_equal(a.grad.array, 2.0)  # type: ignore[union-attr]
    assert (a * 2).detach().is_leaf


# detect_anomaly.


def test_anomaly_in_forward_names_op_and_line() -> None:
    a = leaf(value=-1.0)
    message = r"forward of 'log' made a NaN at .*test_modes\.py:\d+: a\.log"
    with detect_anomaly(), pytest.raises(RuntimeError, match=message):
        a.log()


def test_anomaly_in_backward_names_op_and_forward_line() -> None:
    a = leaf(value=0.0)
    message = r"backward of 'sqrt' made a NaN for input 0; it ran at .*modes\.py:\d+: y = a\.sqrt"
    with detect_anomaly():
        y = a.sqrt()
        loss = y * 0  # 0·inf
        with pytest.raises(RuntimeError, match=message):
            loss.backward()
    assert a.grad is None


def test_anomaly_finds_infinities_on_request() -> None:
    a = leaf(value=0.0)
    with detect_anomaly():
        assert np.isinf((1 / a).array)
    with detect_anomaly(check_inf=True), pytest.raises(RuntimeError, match="'div' made an inf"):
        1 / a
    with detect_anomaly(check_inf=True):
        y = a.sqrt()
        with pytest.raises(RuntimeError, match="backward of 'sqrt' made an infinity"):
            y.backward()


def test_anomaly_also_looks_at_what_is_not_recorded() -> None:
    with detect_anomaly(), pytest.raises(RuntimeError, match="forward of 'log' made a NaN"):
        minigrad.tensor(-1.0).log()


def test_anomaly_of_ops_of_ones_own_and_through_grad() -> None:
    a = leaf(2)
    with detect_anomaly():
        y = record("mine", a.array * 2, (a,), lambda g: (g * np.nan,))
        with pytest.raises(RuntimeError, match="backward of 'mine' made a NaN"):
            minigrad.autograd.grad(y.sum(), a)


def test_no_anomaly_no_complaint() -> None:
    a = leaf(value=-1.0)
    with detect_anomaly():
        (a * 2).backward()
    assert np.isnan(a.log().array)  # off again


def test_anomaly_detection_belongs_to_its_thread() -> None:
    seen: list[Any] = []

    def other() -> None:
        seen.append(minigrad.tensor(-1.0).log().item())

    with detect_anomaly():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
    assert len(seen) == 1 and np.isnan(seen[0])
