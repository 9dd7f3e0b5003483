"""Modules made of modules."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from minigrad.nn import functional as F
from minigrad.nn.activation import ReLU
from minigrad.nn.errors import described
from minigrad.nn.module import Module
from minigrad.nn.norm.batch import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minigrad.ops.activations import relu as relu_op
from minigrad.tensor import Tensor


class _Numbered(Module):
    """A list of modules, the i-th named str(i) (in a Sequential, names may be given)."""

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[Module]:
        own = self.__dict__
        return (own[name] for name in tuple(self._module_names))

    def _name(self, index: Any) -> str:
        i = operator.index(index)
        if not -len(self) <= i < len(self):
            raise IndexError(
                f"{type(self).__name__}: index {i} is out of range for {len(self)} modules"
            )
        return list(self._module_names)[i]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            names = list(self._module_names)[index]
            return type(self)._of([(name, self.__dict__[name]) for name in names])
        return self.__dict__[self._name(index)]

    @classmethod
    def _of(cls, items: list[tuple[str, Module]]) -> Self:
        raise NotImplementedError

    def __setitem__(self, index: Any, module: Module) -> None:
        name = self._name(index)
        self.register_module(name, self._checked(module))

    def __delitem__(self, index: Any) -> None:
        names = list(self._module_names)
        doomed = names[index] if isinstance(index, slice) else [self._name(index)]
        self._renumber([self.__dict__[name] for name in names if name not in doomed])

    def _renumber(self, modules: list[Module]) -> None:
        """Take these modules, named by their positions (given names are lost, as in PyTorch)."""
        for name in list(self._module_names):
            delattr(self, name)
        for i, module in enumerate(modules):
            self.register_module(str(i), module)

    def _checked(self, module: Any) -> Module:
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: expected a Module, got {described(module)}")
        return module

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.register_module(str(len(self)), self._checked(module))
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in [self._checked(module) for module in modules]:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Add a module before the one at `index`."""
        if not -len(self) <= index <= len(self):
            raise IndexError(
                f"{type(self).__name__}: index {index} is out of range for {len(self)} modules"
            )
        modules = list(self)
        modules.insert(index, self._checked(module))
        self._renumber(modules)
        return self

    def pop(self, index: int = -1) -> Module:
        """Remove a module and return it."""
        module: Module = self[index]
        del self[index]
        return module


class Sequential(_Numbered):
    """Modules applied one after another: `Sequential(a, b)` or, named, `Sequential({"one": a})`.

    Indexing and slicing give its modules; a slice is a Sequential that shares them. A batch
    normalisation and the ReLU after it run as one op, where nobody can notice: without hooks, and
    with nothing put in the place of what they do.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> model(mg.ones(5, 4)).shape
    (5, 1)
    >>> [name for name, _ in model.named_parameters()]
    ['0.weight', '0.bias', '2.weight', '2.bias']
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.register_module(name, self._checked(module))
        else:
            for module in args:
                self.append(module)

    @classmethod
    def _of(cls, items: list[tuple[str, Module]]) -> Self:
        return cls(dict(items))

    def forward(self, input: Any) -> Any:
        """The last module's output."""
        modules = [self.__dict__[name] for name in self._module_names]
        fused = False
        for module, after in zip(modules, [*modules[1:], None], strict=False):
            if fused:  # this is the ReLU
                fused = False
                continue
            fused = type(after) is ReLU and fusable(module, after)
            input = module(input, relu=True) if fused else module(input)
        return input


# What Python runs when one of these layers is called, as long as nobody has replaced it.
OURS = {k: (k.__call__, k.forward) for k in (ReLU, BatchNorm1d, BatchNorm2d, BatchNorm3d)}


def fusable(norm: Module, relu: ReLU) -> bool:
    """Whether nobody can notice that the two run as one op: no hooks, no subclass, and no forward,
    __call__ or F.relu that somebody has put in the place of ours."""
    for module in (norm, relu):
        kind = type(module)
        if kind not in OURS or OURS[kind] != (kind.__call__, kind.forward):
            return False
        if module._hooked() or "forward" in module.__dict__:
            return False
    return F.relu is relu_op


class ModuleList(_Numbered):
    """A list of modules that belong to the tree; it has no forward of its own."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    @classmethod
    def _of(cls, items: list[tuple[str, Module]]) -> Self:
        return cls(module for _, module in items)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def _checked(self, module: Any) -> Any:
        """None keeps a place free, for code that asks whether there is a module."""
        return None if module is None else super()._checked(module)

    def _child_lines(self) -> list[str]:
        """Equal neighbours share a line: (0-2): 3 x Linear(…)."""
        runs: list[list[Any]] = []
        for i, module in enumerate(self):
            if runs and runs[-1][2] == repr(module):
                runs[-1][1] = i
            else:
                runs.append([i, i, repr(module)])
        return [
            f"({a}): {text}" if a == b else f"({a}-{b}): {b - a + 1} x {text}"
            for a, b, text in ((a, b, text.replace("\n", "\n  ")) for a, b, text in runs)
        ]


class ModuleDict(Module):
    """A dict of modules that belong to the tree; it has no forward of its own."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[Any] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        if key not in self._module_names:
            raise KeyError(
                f"{key}: this ModuleDict has {', '.join(self._module_names) or 'no keys'}"
            )
        return self.__dict__[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(self._module_names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._module_names)

    def __contains__(self, key: object) -> bool:
        return key in self._module_names

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._module_names.keys()

    def values(self) -> Iterable[Any]:
        """The modules."""
        return [self.__dict__[name] for name in self._module_names]

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of name and module."""
        return [(name, self.__dict__[name]) for name in self._module_names]

    def update(self, modules: Mapping[str, Module] | Iterable[Any]) -> None:
        """Add modules from a dict or from pairs of name and module."""
        for name, module in dict(modules).items():
            self[name] = module

    def pop(self, key: str) -> Any:
        """Remove a module and return it."""
        module = self[key]
        delattr(self, key)
        return module

    def clear(self) -> None:
        """Remove all modules."""
        for name in list(self._module_names):
            delattr(self, name)


class Identity(Module):
    """Its input; takes and ignores any arguments, to stand in for another layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """The input."""
        return input


class DataParallel(Module):
    """The module itself, as `.module`: on the CPU there is nothing to spread a batch over.

    Args:
        module: what is called.
        device_ids, output_device, dim: accepted, and not used, as in PyTorch without accelerators.
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        if not isinstance(module, Module):
            raise TypeError(f"DataParallel: expected a Module, got {described(module)}")
        self.module = module
        self.device_ids: list[int] = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        return self.module(*inputs, **kwargs)


class Residual(Module):
    """x + f(x), with f the given modules in sequence (He et al. 2016, equation 1).

    Args:
        modules: f.
        shortcut: applied to x before the sum where f changes the shape (equation 2).
    """

    shortcut: Module | None

    def __init__(self, *modules: Module, shortcut: Module | None = None) -> None:
        super().__init__()
        self.body = Sequential(*modules)
        self.register_module("shortcut", shortcut)

    def forward(self, input: Any) -> Any:
        """x + f(x); refused where the two shapes differ."""
        change: Tensor = self.body(input)
        kept: Tensor = input if self.shortcut is None else self.shortcut(input)
        if change.shape != kept.shape:
            raise ValueError(
                f"Residual: f(x) has shape {change.shape} but the shortcut has {kept.shape}: give "
                "shortcut= a module that makes them equal"
            )
        return kept + change
