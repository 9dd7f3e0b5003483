"""Tensor: an array, and the node that recorded it. A thin face over numpy.

The operators and most methods of Tensor *are* the functions of `ops/`, by the names that
`ops/methods.py` gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, cast

import numpy as np
from numpy import ndarray

from minigrad import modes, tape
from minigrad.checks import boolean, refuse_create_graph
from minigrad.dtypes import PYTHON_DTYPE, float32
from minigrad.hooks import RemovableHandle, register_post_accumulate_grad_hook
from minigrad.incoming import Holder, Size, as_array, made
from minigrad.made_by import GradFn
from minigrad.names import NoAttribute
from minigrad.printing import text_of
from minigrad.tape import Array, Leaf, Node
from minigrad.views import Window

if TYPE_CHECKING:  # the ops, as methods and operators, for those who read types
    from minigrad.ops.methods import Methods
else:

    class Methods:
        __slots__ = ()


T = TypeVar("T", bound="Tensor")
_new = object.__new__


class Tensor(Methods, Holder):  # what reads types goes through the bases from left to right
    """An n-dimensional array that can be differentiated.

    Args:
        data: sizes, whose memory is left as it comes (`Tensor(2, 3)`, and `Tensor(5)`, of 5
            elements); or what is copied: a nested list, whose numbers become float32; an array or
            tensor of any library, which keeps its dtype (of integers, too; PyTorch makes those of
            an array float32). `minigrad.tensor` keeps integers, and takes a number.
        requires_grad: collect a gradient in `.grad` when something computed from it runs
            `backward()`. Floating dtypes only.
        dtype: convert to this dtype.

    >>> x = Tensor([1.0, 2.0], requires_grad=True); (x * x).sum().backward(); x.grad
    tensor([2., 4.])
    """

    # __dict__ has what users hang on a tensor, p.no_decay = True; it is made when they do.
    __slots__ = ("__dict__", "__weakref__", "array", "base", "leaf", "node", "seen")

    array: Array
    node: Node | None  # None: no gradient is wanted here
    leaf: Leaf | None  # its node as a leaf, with .grad and hooks; stays while it is frozen
    base: Tensor | None  # what it is a view of; a base has no base
    seen: Node | None  # of a view: base.node as it was when `node` was made

    def __init__(
        self, *data: Any, requires_grad: bool = False, dtype: Any = None, device: Any = None
    ) -> None:
        self.array = made(data, dtype, device)
        self.node = self.leaf = self.base = None
        if requires_grad is not False:
            self.requires_grad = requires_grad

    # The arrays' own properties.

    @property
    def shape(self) -> Size:
        """The sizes of the axes."""
        return Size(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype."""
        return cast("np.dtype[Any]", self.array.dtype)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

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
            raise RuntimeError(f"bool() of shape {self.shape} is ambiguous: use any() or all()")
        return bool(self.array.reshape(()))

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(f"item() needs one element, got shape {self.shape}")
        return self.array.item()

    def __float__(self) -> float:
        if self.array.size != 1:  # TypeError is what Python wants: matplotlib asks a matrix's rows
            raise TypeError(f"float() needs one element, got shape {self.shape}")
        return float(self.array.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iub" or self.array.size != 1:
            raise TypeError(
                f"only integer tensors of one element can be an index, got {self.dtype} of shape "
                f"{self.shape}"
            )
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
        array, node = value.array, node_of(self)
        if node is not None and array.dtype.kind != "f":
            raise RuntimeError(
                f"data: a tensor that requires grad must be floating, got dtype {array.dtype}"
            )
        other = node is not None and (node.shape != array.shape or node.dtype != array.dtype)
        if node is not None and node.vjp is not None and other:
            raise RuntimeError(
                f"data: {array.dtype} of shape {array.shape} cannot take the place of the result "
                f"of {node.name!r}, {node.dtype} of shape {node.shape}: use detach()"
            )
        if self.leaf is not None:
            self.leaf.become(array.shape, array.dtype)
        self.array, self.base = array, None

    def numpy(self, *, force: bool = False) -> Array:
        """The array itself, sharing memory; refused while it requires a gradient, unless forced."""
        if self.requires_grad and not force:
            raise RuntimeError("numpy() of a tensor that requires grad: use .detach().numpy()")
        return self.array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        """The memory for another library, as its `from_dlpack(x)` asks for it."""
        if self.requires_grad:
            raise BufferError("a tensor that requires grad cannot be exported: use .detach()")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        """The CPU."""
        return self.array.__dlpack_device__()

    def __repr__(self) -> str:
        text = text_of(self.array, "tensor(")
        if self.dtype not in (PYTHON_DTYPE.values() if self.array.size else (float32,)):
            text += f", dtype={self.dtype}"
        if not self.requires_grad:
            return f"tensor({text})"
        tail = "requires_grad=True" if self.is_leaf else f"grad_fn=<{self.node and self.node.name}>"
        return f"tensor({text}, {tail})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.array.size == 1 else repr(self)

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise RuntimeError("only leaf tensors can be copied or pickled: detach() it first")
        return rebuild, (type(self), self.array, self.requires_grad), self.__dict__ or None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        self.__reduce__()  # which refuses what is no leaf
        memo[id(self)] = copy = rebuild(type(self), self.array.copy(), self.requires_grad)
        if type(self) is Tensor:  # as in PyTorch, whose parameters leave theirs behind
            copy.__dict__.update(deepcopy(self.__dict__, memo))
        if self.grad is not None:
            copy.grad = wrap(self.grad.array.copy())
        return copy

    # The tape.

    @property
    def requires_grad(self) -> bool:
        """Whether backward reaches this tensor."""
        return node_of(self) is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not self.is_leaf:
            raise RuntimeError(
                f"requires_grad can only be set on a leaf, this is the result of "
                f"{self.node and self.node.name!r}: use detach()"
            )
        if boolean("requires_grad", "the value", value) and self.array.dtype.kind != "f":
            raise RuntimeError(
                f"only floating tensors can require gradients, got dtype {self.dtype}: convert it "
                "with .float() or .double()"
            )
        # The node stays the tensor's own, frozen or not: graphs that lead to it, .grad and hooks.
        self.node = self._own_leaf() if value else None
        if self.leaf is not None:
            self.leaf.keep_grad = bool(value)

    def _own_leaf(self) -> Leaf:
        if self.leaf is None:
            self.leaf = Leaf(self.array.shape, self.array.dtype)
        return self.leaf

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        node = node_of(self)
        return node is None or node.vjp is None

    @property
    def grad_fn(self) -> GradFn | None:
        """The operation that made this tensor, None for a leaf."""
        return None if self.is_leaf or self.node is None else GradFn(self.node)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward has collected here, or None."""
        node = node_of(self) or self.leaf
        return None if node is None or node.grad is None else wrap(node.grad)

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is None:
            for node in filter(None, (self.node, self.leaf)):
                node.grad = None
            return
        if not isinstance(value, Tensor):
            raise TypeError(f"grad must be a Tensor or None, got {type(value).__name__}")
        if value.shape != self.shape or value.dtype != self.dtype:
            raise RuntimeError(
                f"grad of shape {value.shape} and dtype {value.dtype} was set on a tensor of shape "
                f"{self.shape} and dtype {self.dtype}"
            )
        array, node = value.array, node_of(self) or self._own_leaf()
        if self.node is None:  # it requires no grad: what is given stays, and nothing is added
            node.keep_grad = False
        node.grad = array if array.flags.writeable else array.copy()  # added to in place later

    def backward(
        self, gradient: Tensor | Array | None = None, retain_graph: bool | None = None,
        create_graph: bool = False,
    ) -> None:  # fmt: skip
        """Add the gradient of this tensor to `.grad` of every leaf it was computed from.

        Args:
            gradient: the gradient with respect to this tensor, of its shape; a scalar may leave it
                out (1).
            retain_graph: keep the graph for another backward; otherwise it is consumed.
            create_graph: refused; for second derivatives see `func.grad`.
        """
        refuse_create_graph("backward", create_graph)
        node, cotangent = seed(self, gradient, "backward")
        tape.backward((node,), (cotangent,), bool(retain_graph), modes.inspector())

    def retain_grad(self) -> None:
        """Collect `.grad` here too, although this is not a leaf."""
        node = node_of(self)
        if node is None:
            raise RuntimeError("retain_grad() of a tensor that does not require grad")
        node.keep_grad = True

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(gradient)` in backward; a tensor it returns replaces the gradient."""
        node = node_of(self)
        if node is None:
            raise RuntimeError("register_hook() on a tensor that does not require grad")

        def on_array(grad: Array) -> Array:
            result = hook(wrap(np.asarray(grad)))
            if result is not None and not isinstance(result, Tensor):
                raise TypeError(f"a hook must return a Tensor or None, got {type(result).__name__}")
            return grad if result is None else result.array

        if node.hooks is None:
            node.hooks = {}
        return RemovableHandle(node.hooks, hook, on_array)

    register_post_accumulate_grad_hook = register_post_accumulate_grad_hook

    def detach(self) -> Tensor:
        """The same memory, cut off from the graph: changes of it are not recorded here."""
        return wrap(self.array.real if modes.probing.get() else self.array)

    def detach_(self) -> Self:
        """Cut this tensor off from the graph; `.grad` stays."""
        if self.base is not None:
            raise RuntimeError(
                "detach_() of a view: its base would stay in the graph, use detach()"
            )
        node = self.node
        if node is not None and node.grad is not None:
            self._own_leaf().grad = node.grad
        if self.leaf is not None:
            self.leaf.keep_grad = False
        self.node = None
        return self

    if not TYPE_CHECKING:  # where it would let every name pass

        def __getattr__(self, name: str) -> NoReturn:
            raise NoAttribute(f"{type(self).__name__!r} object", name, lambda: dir(type(self)))


def wrap(data: Any, node: Node | None = None, base: Tensor | None = None) -> Tensor:
    """Make a Tensor that shares `data`; `base` marks it as a view of another tensor."""
    out = _new(Tensor)
    out.array = data if type(data) is ndarray else np.asarray(data)
    out.node = node
    out.leaf = None
    out.base = base
    if base is not None:
        out.seen = base.node
    return out


def origin(x: Tensor) -> Tensor:
    """The tensor that x is a view of: itself if it is none."""
    return x if x.base is None else x.base


def node_of(x: Tensor) -> Node | None:
    """x.node. If x is a view and its base was changed in place and recorded since, first made anew:
    x shows what the base has become, and its gradient goes the same way."""
    base = x.base
    if base is not None and base.node is not x.seen:
        node = x.seen = base.node
        if node is not None and node.vjp is not None:  # None: a leaf, or detached; x keeps its own
            window, before = Window(base.array, x.array), x.node
            x.node = Node("view", (node,), x.array.shape, x.array.dtype, window.place)
            if modes.watchers:
                modes.made(x.node, x.array, (base,))
            if before is not None and before.keep_grad and before.vjp is not None:
                before.keep_grad, x.node.keep_grad = False, True
    return x.node


def rebuild(kind: type[T], data: Array, requires_grad: bool) -> T:
    """Unpickle a leaf."""
    out = kind.__new__(kind)
    out.array = as_array(data)
    out.node = out.leaf = out.base = None
    out.requires_grad = requires_grad
    return out


def seed(output: Tensor, gradient: Any, who: str) -> tuple[Node, Array]:
    """The node of `output` and the cotangent to start from, checked."""
    node = node_of(output)
    if node is None:
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
        return node, np.ones(output.array.shape, output.array.dtype)
    gradient = as_array(gradient, name=who)
    if gradient.shape != output.array.shape:
        raise RuntimeError(
            f"{who}: got a gradient of shape {gradient.shape} for an output of shape {output.shape}"
        )
    return node, gradient.astype(output.array.dtype, copy=False)
