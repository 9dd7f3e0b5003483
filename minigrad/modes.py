"""The ambient state: what a computation depends on beside its arguments.

A ContextVar belongs to a thread or async task, which does not see the settings of others. There are
five. Four are kept here:

    grad_enabled              whether operations are recorded; no_grad, enable_grad
    probing                   whether gradcheck, hvp or a second derivative sends complex numbers
                              through a function
    frozen_layers             the layers whose running statistics stay; nn.utils.frozen_stats
    watch                     who sees the operations, and the layers around them; detect_anomaly,
                              remember, profile; watchers counts the observers anywhere

and one where it is asked about:

    kernels                   the backend of a block, and that of the process; use_kernels

The process has the rest to itself:

    kernels.machinery.threads how many threads kernels may use, and whether BLAS is held at one
    kernels.machinery.cache   whether it has said that compiled kernels cannot be kept
    kernels.machinery.pool    the threads that share a loop's tasks, one loop at a time
    kernels.machinery.memory  blocks of memory that wait to be used again, and how much may wait
    changes                   the clock, and when each array was last changed in place
    distributed               the processes that know of each other, and what prints their errors
    printing                  how tensors are printed; set_printoptions
    ops.random                the generator that everything random draws from
"""

from __future__ import annotations

import functools
import inspect
import linecache
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from minigrad.checks import boolean

_LIBRARIES = tuple(os.path.dirname(f) + os.sep for f in (__file__, np.__file__))

F = TypeVar("F", bound=Callable[..., Any])
V = TypeVar("V")


@contextmanager
def setting(variable: ContextVar[V], value: V) -> Iterator[None]:
    """Give a variable this value in the block, and at its end the one that it had before.

    Every block of the library ends so, and none by `variable.reset(token)`: a token is refused
    anywhere but in the context that it is from, and a generator may be advanced in one thread or
    task and closed in another. What is set there is what the block had found, as in PyTorch.
    """
    before = variable.get()
    variable.set(value)
    try:
        yield
    finally:
        variable.set(before)


grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)


class _Grad:
    """Switch recording on or off: a context manager, also usable as a decorator. On a generator
    function the mode holds while the generator's own code runs, not while its caller's does."""

    mode: bool

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self._before: list[bool] = []
        self._function = function  # `@no_grad` without parentheses
        if function is not None:
            functools.update_wrapper(self, function)

    def __enter__(self) -> Self:
        before = grad_enabled.get()
        self._before.append(before)
        try:  # an interrupt must find recording as it was, or this block entered
            grad_enabled.set(self.mode)
            return self
        except BaseException:
            grad_enabled.set(before)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        grad_enabled.set(self._before[-1])  # first of all, in case of an interrupt
        del self._before[-1]

    def _again(self) -> _Grad:
        return type(self)()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._function is not None:
            return self._wrap(self._function)(*args, **kwargs)
        return self._wrap(args[0])

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if self._function is None or instance is None:
            return self
        return functools.partial(self, instance)

    def _wrap(self, function: F) -> F:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Generator[Any, None, Any]:
                steps = function(*args, **kwargs)
                resume: Callable[[], Any] = lambda: next(steps)  # noqa: E731
                while True:
                    try:
                        with self._again():
                            item = resume()
                    except StopIteration as stop:
                        return stop.value
                    try:  # what the caller sends or throws goes on to the generator
                        sent = yield item
                        resume = functools.partial(steps.send, sent)
                    except GeneratorExit:
                        with self._again():
                            steps.close()
                        raise
                    except BaseException as thrown:
                        resume = functools.partial(steps.throw, thrown)

            return generator  # type: ignore[return-value]

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return coroutine  # type: ignore[return-value]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return call  # type: ignore[return-value]


class no_grad(_Grad):
    """Record nothing inside: `with no_grad():` or `@no_grad()`, as in PyTorch.

    >>> w = mg.ones(2, requires_grad=True)
    >>> with mg.no_grad():
    ...     y = 3 * w
    >>> y.requires_grad
    False
    """

    mode = False


class enable_grad(_Grad):
    """Record again inside a `no_grad` block."""

    mode = True


class inference_mode(_Grad):
    """`no_grad` by another name; with `mode=False`, `enable_grad`. What was computed inside is an
    ordinary tensor, which may be used in a graph later."""

    def __init__(self, mode: bool | Callable[..., Any] = True) -> None:
        super().__init__(mode if callable(mode) else None)
        self.mode = not (callable(mode) or boolean("inference_mode", "mode", mode))

    def _again(self) -> _Grad:
        return (enable_grad if self.mode else no_grad)()


class set_grad_enabled(_Grad):
    """Switch recording at once; as a context manager, restore it at the end."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = boolean("set_grad_enabled", "mode", mode)
        self._before.append(grad_enabled.get())
        grad_enabled.set(self.mode)

    def __enter__(self) -> Self:
        return self

    def _again(self) -> _Grad:
        return (enable_grad if self.mode else no_grad)()

    def _wrap(self, function: F) -> F:
        grad_enabled.set(self._before.pop())  # a decorator changes nothing before the call
        return super()._wrap(function)


def is_grad_enabled() -> bool:
    """Tell whether operations are being recorded."""
    return grad_enabled.get()


# While gradcheck and hvp probe a function, complex numbers stand for a real number and its
# derivative, and running statistics stay as they are.
probing: ContextVar[bool] = ContextVar("probing", default=False)


@contextmanager
def probe() -> Iterator[None]:
    """Mark that the function being run is probed, not used."""
    with setting(probing, True):
        yield


# The layers, by their ids, whose running statistics stay as they are.
frozen_layers: ContextVar[frozenset[int]] = ContextVar("frozen_layers", default=frozenset())


@contextmanager
def frozen_stats(model: Any) -> Iterator[None]:
    """Run `model` without moving the running statistics of its layers, or their counters.

    In training mode the layers still normalise by the batch. For this thread or task only. To
    normalise by the running statistics instead, use `BatchNorm1d.freeze`.
    """
    if not hasattr(model, "modules"):
        raise TypeError(f"frozen_stats: expected a Module, got {type(model).__name__}")
    with setting(frozen_layers, frozen_layers.get() | {id(module) for module in model.modules()}):
        yield


def stats_may_move(layer: Any) -> bool:
    """Whether a forward pass in training mode may move this layer's running statistics."""
    return not probing.get() and id(layer) not in frozen_layers.get()


# Who watches is asked at every operation, so a plain counter answers "nobody, anywhere" before the
# ContextVar is looked at: the observers, and the layers that are running, outermost first.
Watch = tuple[tuple["Observer", ...], tuple[Any, ...]]
watch: ContextVar[Watch] = ContextVar("watch", default=((), ()))
watchers = 0


class Origin:
    """Where an operation was made: the user's line, and the layers that were running around it."""

    __slots__ = ("file", "kept", "layers", "line")

    def __init__(self, layers: tuple[Any, ...]) -> None:
        self.layers = layers
        self.file, self.line = "", 0
        self.kept: Any = None  # what remember() keeps of the operation

    def locate(self) -> None:
        """Look for the user's line: the innermost outside this package and numpy."""
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
            frame = frame.f_back
        if frame is not None:
            self.file, self.line = frame.f_code.co_filename, frame.f_lineno

    @property
    def source(self) -> str:
        """The text of the line, as far as its file can be read."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.source}" if self.file else "an unknown line"


class Observer:
    """What sees the operations of a thread or task, from `watched_by`. All watching goes this way:
    detect_anomaly, remember, profile."""

    replaces = True  # of two nested observers of this kind, only the inner one sees
    lines = True  # wants to know the user's line, which takes a microsecond or two

    def start(self, layers: tuple[Any, ...] = ()) -> None:
        """A layer begins to run, the last of `layers`, inside the others; or a walk backwards."""

    def made(self, node: Any, out: Any, inputs: Sequence[Any]) -> None:
        """`node` has run forward; it has no parents if it was not recorded."""

    def passed(self, node: Any, grads: Sequence[Any]) -> None:
        """`node` has run backward, and handed on the gradients of its inputs."""


@contextmanager
def watched_by(observer: Observer) -> Iterator[None]:
    """Show the observer what this thread or task does in the block."""
    global watchers
    others, layers = watch.get()
    if observer.replaces:
        others = tuple(o for o in others if type(o) is not type(observer))
    watchers += 1
    try:
        with setting(watch, ((*others, observer), layers)):
            yield
    finally:
        watchers -= 1


@contextmanager
def inside(layer: Any) -> Iterator[None]:
    """Tell the observers, if there are any, that operations in the block belong to this layer."""
    observers, layers = watch.get()
    layers = (*layers, layer)
    for observer in observers:
        observer.start(layers)
    with setting(watch, (observers, layers)):
        yield


def made(node: Any, out: Any, inputs: Sequence[Any] = ()) -> None:
    """Show a new node to the observers, and write its origin down."""
    observers, layers = watch.get()
    if observers:
        node.origin = Origin(layers)
        if any(observer.lines for observer in observers):
            node.origin.locate()
    for observer in observers:
        observer.made(node, out, inputs)


def inspector() -> Callable[[Any, Any], None] | None:
    """What a walk backwards shows its nodes to, or None if nobody wants to see them."""
    observers = watch.get()[0] if watchers else ()
    if not observers:
        return None

    def inspect(node: Any, grads: Any) -> None:
        for observer in observers:
            observer.passed(node, grads)

    for observer in observers:
        observer.start()
    return inspect


class _Anomaly(Observer):
    """Refuses NaN, infinities or both."""

    def __init__(self, check_nan: bool, check_inf: bool) -> None:
        self.check_nan = boolean("detect_anomaly", "check_nan", check_nan)
        self.check_inf = boolean("detect_anomaly", "check_inf", check_inf)

    def made(self, node: Any, out: Any, inputs: Sequence[Any]) -> None:
        if bad := self._bad(out):
            raise RuntimeError(f"forward of {node.name!r} made {bad} at {node.origin}")

    def passed(self, node: Any, grads: Sequence[Any]) -> None:
        for i, grad in enumerate(grads):
            if grad is not None and (bad := self._bad(grad)):
                where = node.origin or "a line that ran before detect_anomaly()"
                raise RuntimeError(
                    f"backward of {node.name!r} made {bad} for input {i}; it ran at {where}"
                )

    def _bad(self, array: Any) -> str | None:
        if self.check_nan and np.isnan(array).any():
            return "a NaN"
        return "an infinity" if self.check_inf and np.isinf(array).any() else None


@contextmanager
def detect_anomaly(check_nan: bool = True, *, check_inf: bool = False) -> Iterator[None]:
    """Raise at the first operation that makes a NaN (an infinity too with `check_inf`), forward or
    backward: the error names it and the line that ran it. Costs a pass over every result."""
    with watched_by(_Anomaly(check_nan, check_inf)):
        yield


class set_detect_anomaly(AbstractContextManager[Any]):
    """`detect_anomaly` from now on, or in a `with` statement, for this thread; False ends it."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before, layers = watch.get()
        others = tuple(o for o in self._before if not isinstance(o, _Anomaly))
        on = (_Anomaly(check_nan, False),) if boolean("set_detect_anomaly", "mode", mode) else ()
        self._set((*others, *on), layers)

    def _set(self, observers: tuple[Observer, ...], layers: tuple[Any, ...]) -> None:
        global watchers
        watchers += len(observers) - len(watch.get()[0])
        watch.set((observers, layers))

    def __exit__(self, *exception: object) -> None:
        self._set(self._before, watch.get()[1])
