"""Tensor: an array, and the node that recorded it. A thin face over numpy.

The operators and most methods of Tensor *are* the functions of `ops/`; the tables in
`ops/__init__.py` install them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import numpy as np
from numpy import ndarray

from minigrad import modes, tape
from minigrad.checks import axis_of
from minigrad.dtypes import CATEGORY, PYTHON_DTYPE, WEAK_DTYPE, float32
from minigrad.tape import Array, Node

T = TypeVar("T", bound="Tensor")
_new = object.__new__


class Tensor:
    """An n-dimensional array that can be differentiated.

    Args:
        data: a number, a nested list, an array or a Tensor; copied. Python numbers and lists become
            float32 (or int64, bool); arrays keep their dtype.
        requires_grad: collect a gradient in `.grad` when something computed from it runs
            `backward()`. Floating dtypes only.
        dtype: convert to this dtype.
    """

    __slots__ = ("__weakref__", "array", "base", "node")
    __array_ufunc__ = None  # `ndarray + Tensor` asks Tensor.__radd__ instead of looping over it
    __hash__ = object.__hash__

    array: Array
    node: Node | None
    base: Tensor | None

    def __init__(self, data: Any, requires_grad: bool = False, dtype: Any = None) -> None:
        self.array = np.array(as_array(data, dtype))
        self.node = None
        self.base = None
        if requires_grad:
            self.requires_grad = True

    # The arrays' own properties.

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the axes."""
        return cast("tuple[int, ...]", self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def dim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        return (
            self.array.shape if dim is None else self.array.shape[axis_of("size", dim, self.ndim)]
        )

    def numel(self) -> int:
        """The number of elements."""
        return self.array.size

    def element_size(self) -> int:
        """Bytes per element."""
        return self.array.itemsize

    def is_contiguous(self) -> bool:
        """Whether the elements lie in memory in row-major order."""
        return bool(self.array.flags.c_contiguous)

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating one."""
        return self.array.dtype.kind == "f"

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self.array.ctypes.data

    def __len__(self) -> int:
        if not self.array.ndim:
            raise TypeError("len() of a 0-d tensor")
        return int(self.array.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if not self.array.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self.array.shape[0]))

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise RuntimeError(
                f"bool() of a tensor of shape {self.shape} is ambiguous: use any() or all()"
            )
        return bool(self.array.reshape(()))

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(f"item() needs one element, got shape {self.shape}")
        return self.array.item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iub":
            raise TypeError(f"only integer tensors can be an index, got dtype {self.dtype}")
        return int(self.item())

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self.array.tolist()

    @property
    def data(self) -> Tensor:
        """The detached tensor on the same memory: changes of it are changes of this one, and are
        noted as such. The numpy array itself is `.array`. A tensor assigned to it takes its place,
        and may have another shape and dtype."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(
                f"data: expected a Tensor, got {type(value).__name__}: assign "
                "minigrad.as_tensor(value), or write into the array with x.array[...] = value"
            )
        array, node = value.array, self.node
        if node is not None and array.dtype.kind != "f":
            raise RuntimeError(
                f"data: a tensor that requires grad must be floating, got dtype {array.dtype}"
            )
        if node is not None and (node.shape != array.shape or node.dtype != array.dtype):
            if node.vjp is not None:
                raise RuntimeError(
                    f"data: {array.dtype} of shape {array.shape} cannot take the place of the "
                    f"result of {node.name!r}, {node.dtype} of shape {node.shape}: use detach()"
                )
            node.shape, node.dtype = array.shape, array.dtype  # gradients will be of these
        self.array = array
        self.base = None

    def numpy(self) -> Array:
        """The array itself, sharing memory; refused while it requires a gradient."""
        if self.node is not None:
            raise RuntimeError("numpy() of a tensor that requires grad: use .detach().numpy()")
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        text = np.array2string(self.array, separator=", ", prefix="tensor(", precision=4)
        if self.dtype not in PYTHON_DTYPE.values() or (
            not self.array.size and self.dtype != float32
        ):
            text += f", dtype={self.dtype}"
        if self.node is None:
            return f"tensor({text})"
        tail = "requires_grad=True" if self.is_leaf else f"grad_fn=<{self.node.name}>"
        return f"tensor({text}, {tail})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.array.size == 1 else repr(self)

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise RuntimeError("only leaf tensors can be copied or pickled: detach() it first")
        return rebuild, (type(self), self.array, self.requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if not self.is_leaf:
            raise RuntimeError("only leaf tensors can be copied or pickled: detach() it first")
        memo[id(self)] = copy = rebuild(type(self), self.array.copy(), self.requires_grad)
        if self.grad is not None:
            copy.grad = wrap(self.grad.array.copy())
        return copy

    # The tape.

    @property
    def requires_grad(self) -> bool:
        """Whether backward reaches this tensor."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not self.is_leaf:
            raise RuntimeError(
                f"requires_grad can only be set on a leaf, this is the result of "
                f"{self.node and self.node.name!r}: use detach()"
            )
        if value and self.array.dtype.kind != "f":
            raise RuntimeError(
                f"only floating tensors can require gradients, got dtype {self.dtype}: convert it "
                "with .float() or .double()"
            )
        if not value:
            self.node = None
        elif self.node is None:
            self.node = Node("leaf", (), self.array.shape, self.array.dtype, None)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self.node is None or self.node.vjp is None

    @property
    def grad_fn(self) -> Node | None:
        """The node that recorded this tensor, None for a leaf."""
        return None if self.is_leaf else self.node

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward has collected here, or None."""
        return None if self.node is None or self.node.grad is None else wrap(self.node.grad)

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is None:
            if self.node is not None:
                self.node.grad = None
            return
        if not isinstance(value, Tensor):
            raise TypeError(f"grad must be a Tensor or None, got {type(value).__name__}")
        if self.node is None:
            raise RuntimeError("grad was set on a tensor that does not require grad")
        if value.shape != self.shape or value.dtype != self.dtype:
            raise RuntimeError(
                f"grad of shape {value.shape} and dtype {value.dtype} was set on a tensor of shape "
                f"{self.shape} and dtype {self.dtype}"
            )
        data = value.array  # later gradients are added to it in place
        self.node.grad = data if data.flags.writeable else data.copy()

    def backward(self, gradient: Tensor | Array | None = None, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor to `.grad` of every leaf it was computed from.

        Args:
            gradient: the gradient with respect to this tensor, of its shape; a scalar may leave it
                out (1).
            retain_graph: keep the graph for another backward; otherwise it is consumed.
        """
        node, cotangent = seed(self, gradient, "backward")
        tape.backward((node,), (cotangent,), retain_graph, modes.inspector())

    def retain_grad(self) -> None:
        """Collect `.grad` here too, although this is not a leaf."""
        if self.node is None:
            raise RuntimeError("retain_grad() of a tensor that does not require grad")
        self.node.keep_grad = True

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(gradient)` in backward; a tensor it returns replaces the gradient."""
        if self.node is None:
            raise RuntimeError("register_hook() on a tensor that does not require grad")

        def on_array(grad: Array) -> Array:
            result = hook(wrap(np.asarray(grad)))
            if result is not None and not isinstance(result, Tensor):
                raise TypeError(f"a hook must return a Tensor or None, got {type(result).__name__}")
            return grad if result is None else result.array

        if self.node.hooks is None:
            self.node.hooks = {}
        return RemovableHandle(self.node.hooks, on_array)

    def detach(self) -> Tensor:
        """The same memory, cut off from the graph."""
        data = self.array.real if modes.probing.get() else self.array
        return wrap(data, base=origin(self))

    def detach_(self) -> Self:
        """Cut this tensor off from the graph."""
        self.node = None
        return self

    if TYPE_CHECKING:  # installed by ops/__init__.py

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...


class RemovableHandle:
    """What registering a hook returns: `remove()` takes the hook off again."""

    _ids = iter(range(sys.maxsize))

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self.hooks, self.id = hooks, next(self._ids)
        hooks[self.id] = hook

    def remove(self) -> None:
        """Take the hook off."""
        self.hooks.pop(self.id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def wrap(data: Any, node: Node | None = None, base: Tensor | None = None) -> Tensor:
    """Make a Tensor that shares `data`; `base` marks it as a view of another tensor."""
    out = _new(Tensor)
    out.array = data if type(data) is ndarray else np.asarray(data)
    out.node = node
    out.base = base
    return out


def origin(x: Tensor) -> Tensor:
    """The tensor that x is a view of: itself if it is none."""
    return x if x.base is None else x.base


def rebuild(kind: type[T], data: Array, requires_grad: bool) -> T:
    """Unpickle a leaf."""
    out = kind.__new__(kind)
    out.array, out.node, out.base = data, None, None
    out.requires_grad = requires_grad
    return out


def as_array(data: Any, dtype: Any = None) -> Array:
    """The array of a number, list, array or Tensor, by the rules of `Tensor(data, dtype=...)`."""
    if isinstance(data, Tensor):
        array = data.array
    elif isinstance(data, np.ndarray | np.generic):
        array = np.asarray(data)
    else:
        if isinstance(data, list | tuple):
            data = _plain(data)
        try:
            array = np.asarray(data)
        except ValueError as error:
            raise ValueError(f"tensor: the nested list is not rectangular ({error})") from None
        if dtype is None and array.dtype.kind in CATEGORY:
            array = array.astype(WEAK_DTYPE[array.dtype.kind])
    if array.dtype.kind not in CATEGORY:
        raise TypeError(
            f"tensor: cannot hold {type(data).__name__} of dtype {array.dtype}, expected numbers"
        )
    return array if dtype is None else array.astype(np.dtype(dtype), copy=False)


def _plain(items: Any) -> Any:
    """Nested lists with tensors in them as nested lists of numbers and arrays."""
    if isinstance(items, Tensor):
        return items.array
    return [_plain(item) for item in items] if isinstance(items, list | tuple) else items


def seed(output: Tensor, gradient: Any, who: str) -> tuple[Node, Array]:
    """The node of `output` and the cotangent to start from, checked."""
    if output.node is None:
        raise RuntimeError(
            f"{who}: the output does not require grad; nothing it was computed from has "
            "requires_grad=True, or it was computed under no_grad"
        )
    if gradient is None:
        if output.array.size != 1:
            raise RuntimeError(
                f"{who}: a gradient can be left out for a scalar only, got an output of shape "
                f"{output.shape}: reduce it to a loss, or pass the gradient with respect to it"
            )
        return output.node, np.ones(output.shape, output.dtype)
    if isinstance(gradient, Tensor):
        gradient = gradient.array
    gradient = np.asarray(gradient)
    if gradient.shape != output.shape:
        raise RuntimeError(
            f"{who}: got a gradient of shape {gradient.shape} for an output of shape {output.shape}"
        )
    return output.node, gradient.astype(output.dtype, copy=False)
