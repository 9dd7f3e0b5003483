"""Module: a tree of layers, and what can be done to all of it at once.

A module's parameters, buffers and submodules are ordinary attributes. Three ordered registries of
names say which attribute is which; assigning a Parameter or a Module enters its name there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from minigrad import modes
from minigrad.hooks import RemovableHandle
from minigrad.names import NoAttribute
from minigrad.nn import state
from minigrad.nn.backward_hooks import Call
from minigrad.nn.conversions import Conversions
from minigrad.nn.errors import described, joined, name_own_init, note_path
from minigrad.nn.parameter import Buffer, Parameter
from minigrad.nn.registries import Registries
from minigrad.nn.state import IncompatibleKeys
from minigrad.tensor import Tensor

__all__ = ["Module", "Parameter"]


class Module(Registries, Conversions):
    """The base class of all layers and networks: write `__init__` and `forward`.

    `__init__` begins with `super().__init__()`; parameters, buffers and modules assigned to
    attributes from then on belong to the tree.
    """

    training: bool

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.startswith("minigrad."):
            name_own_init(cls)

    def __init__(self) -> None:
        self.training = True
        self._parameter_names: dict[str, None] = {}  # dicts, because they keep their order
        self._buffer_names: dict[str, bool] = {}  # name -> is it part of the state dict?
        self._module_names: dict[str, None] = {}
        self._forward_hooks: dict[int, Callable[..., Any]] = {}
        self._forward_pre_hooks: dict[int, Callable[..., Any]] = {}
        self._backward_hooks: dict[int, Callable[..., Any]] = {}
        self._backward_pre_hooks: dict[int, Callable[..., Any]] = {}

    # Running it.

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every layer and network writes its own."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(): define it")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if modes.watchers:
                with modes.inside(self):
                    return self._call_hooked(args, kwargs)
            if (  # _hooked(), whose call every layer's would wait for
                self._forward_hooks or self._forward_pre_hooks
                or self._backward_hooks or self._backward_pre_hooks
            ):  # fmt: skip
                return self._call_hooked(args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception as error:
            note_path(error, self)
            raise

    def _hooked(self) -> bool:
        return bool(
            self._forward_hooks or self._forward_pre_hooks
            or self._backward_hooks or self._backward_pre_hooks
        )  # fmt: skip

    def _call_hooked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for pre_hook in tuple(self._forward_pre_hooks.values()):
            changed = pre_hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        call = None
        if self._backward_hooks or self._backward_pre_hooks:
            call = Call(self, self._backward_pre_hooks.values(), self._backward_hooks.values())
            args = call.arguments(args)
        output = self.forward(*args, **kwargs)
        for hook in tuple(self._forward_hooks.values()):
            changed = hook(self, args, output)
            if changed is not None:
                output = changed
        return output if call is None else call.output(output)

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward; what it returns replaces the output."""
        return RemovableHandle(self._forward_hooks, hook)

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns replaces the arguments."""
        return RemovableHandle(self._forward_pre_hooks, hook)

    def register_full_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` in backward, when the gradients of the
        arguments given by place are there (None for what is no tensor): a tuple replaces them."""
        return RemovableHandle(self._backward_hooks, hook)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, grad_output)` in backward, before the module's own; a tuple replaces
        the gradients of the output."""
        return RemovableHandle(self._backward_pre_hooks, hook)

    # Its attributes.

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._register(self._names("_parameter_names"), name, value)
        elif isinstance(value, Module):
            self._register(self._names("_module_names"), name, value)
        elif isinstance(value, Buffer):  # a copy of one, by deepcopy or pickle, has no flag
            kept = getattr(value, "persistent", True)
            self._register(self._names("_buffer_names"), name, value, kept)
        elif value is None or self._may_become(name, value):
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        for registry in (self._parameter_names, self._buffer_names, self._module_names):
            registry.pop(name, None)

    if not TYPE_CHECKING:  # where it would let every name pass; a buffer's needs an annotation

        def __getattr__(self, name: str) -> Any:  # called only for what is not there
            kind = type(self).__name__
            if hasattr(type(self), name):  # a property whose own code raised AttributeError
                raise AttributeError(f"computing the property {kind}.{name} raised AttributeError")
            if "_parameter_names" not in self.__dict__:
                what = kind if name.startswith("_") else f"{kind} has no attribute {name!r}"
                raise AttributeError(f"{what}: its __init__ must call super().__init__() first")
            own = [n for n in self.__dict__ if not n.startswith("_") and n != "training"]
            it_has = f"; it has {', '.join(own) or 'none of its own'}"
            raise NoAttribute(kind, name, lambda: dir(self), it_has)

    def _names(self, registry: str) -> dict[str, Any]:
        try:
            return self.__dict__[registry]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(
                f"{type(self).__name__}: its __init__ must call super().__init__() first, before "
                "it assigns parameters and modules"
            ) from None

    def _may_become(self, name: str, value: Any) -> bool:
        """Refuse to put something else in the place of a parameter, buffer or module."""
        own = self.__dict__
        if name in own.get("_parameter_names", ()):
            kind, wanted = "parameter", "a Parameter"
        elif name in own.get("_module_names", ()):
            kind, wanted = "module", "a Module"
        elif name in own.get("_buffer_names", ()) and not isinstance(value, Tensor):
            kind, wanted = "buffer", "a Tensor"
        else:
            return True
        raise TypeError(
            f"{type(self).__name__}: {name!r} is a {kind}, so it can only be set to {wanted} or "
            f"None, got {type(value).__name__}"
        )

    def _register(
        self, registry: dict[str, Any], name: str, value: Any, entry: bool | None = None
    ) -> None:
        object.__setattr__(self, name, value)
        if name not in self.__dict__:  # a property's setter has put it elsewhere
            return
        for other in (self._parameter_names, self._buffer_names, self._module_names):
            if other is not registry:
                other.pop(name, None)
        registry[name] = entry

    def _register_new(
        self, registry: dict[str, Any], kind: type, name: str, value: Any, entry: bool | None = None
    ) -> None:
        who = f"{type(self).__name__}: "
        if not isinstance(name, str):
            raise TypeError(f"{who}a name must be a string, got {name!r}")
        if not name or "." in name:
            raise ValueError(f"{who}a name must not be empty nor contain a dot, got {name!r}")
        if name not in registry and (name in self.__dict__ or hasattr(type(self), name)):
            raise ValueError(f"{who}the attribute {name!r} already exists: choose another name")
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"{who}{name!r} must be a {kind.__name__} or None, got {described(value)}"
            )
        self._register(registry, name, value, entry)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or with None the place for one."""
        self._register_new(self._names("_parameter_names"), Parameter, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state but is not trained, such as running statistics.

        Args:
            name: the attribute's name.
            tensor: the buffer, or None for the place of one.
            persistent: whether it is part of the state dict.
        """
        names = self._names("_buffer_names")
        self._register_new(names, Tensor, name, tensor, bool(persistent))

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name."""
        self._register_new(self._names("_module_names"), Module, name, module)

    add_module = register_module

    def __copy__(self) -> Self:
        """A module with the same tensors and submodules, to which others may be added."""
        return state.shallow_copy(self)

    # Walking the tree.

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules with their names, each once."""
        seen = set()
        for name in self._module_names:
            module = self.__dict__[name]
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it with their paths, each once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name in self._module_names:
            module = self.__dict__[name]
            if module is not None:
                yield from module.named_modules(memo, joined(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def _named_tensors(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name in module._names(registry):
                tensor = module.__dict__[name]
                if tensor is None or tensor in seen:
                    continue
                if remove_duplicate:
                    seen.add(tensor)
                yield joined(path, name), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their paths, each once."""
        return self._named_tensors("_parameter_names", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once, in the order in which they were assigned."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with their paths, each once."""
        return self._named_tensors("_buffer_names", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as "body.0"; the empty path is this module."""
        module = self
        for name in target.split(".") if target else ():
            child = getattr(module, name)
            if not isinstance(child, Module):
                raise AttributeError(f"{type(module).__name__}: {name!r} is not a module")
            module = child
        return module

    def _get_tensor(self, registry: str, what: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        value = getattr(module, name)
        if name not in module._names(registry):
            raise AttributeError(f"{type(module).__name__}: {name!r} is not a {what}")
        return value

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as "body.0.weight"."""
        return self._get_tensor("_parameter_names", "parameter", target)  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path such as "body.1.running_mean"."""
        return self._get_tensor("_buffer_names", "buffer", target)  # type: ignore[no-any-return]

    # Its state.

    def state_dict(self, *, prefix: str = "") -> OrderedDict[str, Any]:
        """All parameters and persistent buffers by path; the tensors share the module's memory.

        A module that defines `get_extra_state()` adds what that returns as "_extra_state".
        """
        return state.collect(self, prefix)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy a state dict's values into the parameters and buffers, then give each module that
        defines `set_extra_state(state)` its "_extra_state"; all of it or nothing.

        Args:
            state_dict: tensors or arrays by path, as `state_dict()` returns them.
            strict: refuse missing and unexpected keys. `num_batches_tracked` may be missing.

        Raises:
            RuntimeError: naming all missing, unexpected and unfit entries; nothing has changed.
        """
        return state.load(self, state_dict, strict)

    # Changing all of it.

    def train(self, mode: bool = True) -> Self:
        """Set training mode here and below: what batch normalisation and dropout behave by."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be True or False, got {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Leave training mode: `train(False)`."""
        return self.train(False)

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` with every module below, children first, and with this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` of every parameter."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop every parameter's gradient, or with `set_to_none=False` fill it with zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.zero_()

    # Its text.

    def extra_repr(self) -> str:
        """What `repr` shows between the parentheses; layers write their own."""
        return ""

    def _child_lines(self) -> list[str]:
        return [
            f"({name}): " + repr(self.__dict__[name]).replace("\n", "\n  ")
            for name in self._module_names
        ]

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = self._child_lines()
        lines = extra.split("\n") if extra else []
        if not children and len(lines) <= 1:
            return f"{type(self).__name__}({extra})"
        body = "\n  ".join(lines + children)
        return f"{type(self).__name__}(\n  {body}\n)"
