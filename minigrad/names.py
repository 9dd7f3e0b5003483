"""Names: numpy's where PyTorch has others, and the near one where a name is unknown."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypedDict, TypeVar, cast

from minigrad.checks import boolean

Op = TypeVar("Op", bound=Callable[..., Any])

# PyTorch's names by numpy's.
TORCH = {"axis": "dim", "keepdims": "keepdim"}


class Axis(TypedDict, total=False):
    """The names that an op with `dim` takes besides its own."""

    axis: Any


class Keepdims(TypedDict, total=False):
    """The names that an op with `keepdim` takes besides its own."""

    keepdims: bool


class AxisKeepdims(Axis, Keepdims, total=False):
    """The names that an op with `dim` and `keepdim` takes besides its own."""


def numpy_names(op: Op) -> Op:
    """Let an op be called with numpy's `axis=` and `keepdims=` for its `dim=` and `keepdim=`.

    The op declares them as `**names: Unpack[AxisKeepdims]`, by which type checkers know them. None
    arrives there: they are renamed here, and an unknown name is refused. So is anything but True
    and False where the default is one of them.
    """
    inner: Any = op
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    code = inner.__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    defaults = inspect.signature(inner).parameters
    flags = [(i, name) for i, name in enumerate(own) if isinstance(defaults[name].default, bool)]

    @functools.wraps(op)
    def call(*args: Any, **options: Any) -> Any:
        for name in options:
            if name not in own:
                _rename(inner.__name__, own, options)
                break
        # x.sum(0, 1) is meant to be over two axes, and has to say so.
        for i, name in flags:
            given = args[i] if len(args) > i else options.get(name, False)
            if given is not True and given is not False:
                boolean(inner.__name__, name, given)
        return op(*args, **options)

    return cast("Op", call)


def numpy_overloads(op: Any) -> Any:
    """`numpy_names` for an op with overloads, by which type checkers know the two ways to call it:
    one that cannot do without its `dim`, or whose result depends on it."""
    return numpy_names(op)


def _rename(op: str, own: tuple[str, ...], options: dict[str, Any]) -> None:
    """Put `options` under the op's own names."""
    for name in [name for name in options if name not in own]:
        torch = TORCH.get(name)
        if torch not in own:
            known = [*own, *(numpy for numpy, torch in TORCH.items() if torch in own)]
            raise TypeError(f"{op}: there is no argument {name!r}{near(name, known)}")
        if torch in options:
            raise TypeError(f"{op}: got both {torch}= and {name}=")
        options[torch] = options.pop(name)


def near(name: str, known: Iterable[str]) -> str:
    """ ": did you mean 'sigmoid'?" for 'sigmod', and nothing where no known name is near."""
    import difflib  # needed only where something went wrong

    spelt: dict[str, list[str]] = {}  # Conv2D is near to Conv2d: letters matter more than capitals
    for other in known:
        if not other.startswith("_"):
            spelt.setdefault(other.lower(), []).append(other)
    found = difflib.get_close_matches(name.lower(), spelt, n=1, cutoff=0.7)
    if not found:
        return ""
    return f": did you mean {difflib.get_close_matches(name, spelt[found[0]], n=1, cutoff=0)[0]!r}?"


class NoAttribute(AttributeError):
    """Of an attribute that `owner` does not have, with the near one among those it has.

    The text is made when somebody reads it: `hasattr` and `getattr` with a default do not, and
    looking for near names takes a millisecond. It carries no `obj`, from which the interpreter
    would make a second suggestion. Private names, which protocols ask for and do without, get none.
    """

    def __init__(
        self, owner: str, name: str, known: Callable[[], Iterable[str]], more: str = ""
    ) -> None:
        super().__init__(name=name)
        self._parts = owner, known, more

    def __str__(self) -> str:
        (owner, known, more), name = self._parts, str(self.name)
        hint = "" if name.startswith("_") else near(name, known())
        return f"{owner} has no attribute {name!r}{more}{hint}"

    def __repr__(self) -> str:
        return f"AttributeError({str(self)!r})"

    def __reduce__(self) -> Any:  # to another process as its text
        return AttributeError, (str(self),)


# What to write instead of names of PyTorch that are not here, nor near to one that is.
INSTEAD = {
    # minigrad
    "onnx": "there is no export: save model.state_dict() with minigrad.save",
    "quantization": "there are no quantized tensors: use float32",
    "ao": "there are no quantized tensors: use float32",
    "view_as_complex": "there are no complex tensors: keep the real and the imaginary part",
    "polar": "there are no complex tensors: use cos and sin for the two parts",
    "fft": "there are no complex tensors: use numpy.fft",
    "stft": "there are no complex tensors: use numpy.fft on frames of unfold, times hann_window",
    "sparse_coo_tensor": "there are no sparse tensors: use dense ones",
    "spmm": "there are no sparse tensors: use mm",
    "sparse": "there are no sparse tensors: use dense ones",
    "index_reduce": "use scatter_reduce, with the index expanded to the source's shape",
    "xpu": "the CPU is the only device there is",
    "channels_last": "tensors lie in row-major order: leave memory_format out",
    "export": "there is no export: save model.state_dict() with minigrad.save",
    "profiler": "use minigrad.profile()",
    # minigrad.linalg
    "eig": "there are no complex tensors: use eigh for symmetric matrices",
    "eigvals": "there are no complex tensors: use eigvalsh for symmetric matrices",
    "inv_ex": "use linalg.inv, which raises RuntimeError where PyTorch's `info` is not 0",
    "cholesky_ex": "use linalg.cholesky, which raises RuntimeError where PyTorch's `info` is not 0",
    "solve_ex": "use linalg.solve, which raises RuntimeError where PyTorch's `info` is not 0",
    # minigrad.optim
    "SparseAdam": "there are no sparse tensors: use optim.Adam",
}


def no_name(module: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error of a module that is asked for a name that it does not have."""
    instead = INSTEAD.get(name)
    more = f": {instead}" if instead else ""
    return NoAttribute(f"module {module!r}", name, lambda: () if instead else known, more)


def suggest_names(*modules: str) -> None:
    """Let these modules, asked for a name that they do not have, answer with the near one."""
    for module in modules:
        namespace = sys.modules[module].__dict__
        namespace["__getattr__"] = functools.partial(_no_name, module, namespace)


def _no_name(module: str, namespace: dict[str, Any], name: str) -> NoReturn:
    raise no_name(module, name, namespace.get("__all__", namespace))
