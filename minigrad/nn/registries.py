"""A module's parameters, buffers and submodules as dicts, under the names that code which walks
PyTorch's modules by hand reads and writes: `module._modules[name] = another`."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, MutableMapping, ValuesView
from typing import Any


class Registry(MutableMapping[str, Any]):
    """The attributes of a module whose names one of its registries lists; what is put in or
    deleted here is put in or deleted there."""

    def __init__(self, module: Any, names: str, register: str) -> None:
        self._module, self._listed, self._register = module, names, register

    def _names(self) -> dict[str, Any]:
        return self._module._names(self._listed)  # type: ignore[no-any-return]

    def __getitem__(self, name: str) -> Any:
        if name not in self._names():
            raise KeyError(name)
        return self._module.__dict__[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._names():
            setattr(self._module, name, value)
        else:
            getattr(self._module, self._register)(name, value)

    def __delitem__(self, name: str) -> None:
        self[name]  # a KeyError where there is none
        delattr(self._module, name)

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._names()))

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        return repr(dict(self))

    # Those of a dict, which can be read backwards; the abstract class's cannot.
    def __reversed__(self) -> Iterator[str]:
        return reversed(self.copy())

    def keys(self) -> KeysView[str]:
        return self.copy().keys()

    def values(self) -> ValuesView[Any]:
        return self.copy().values()

    def items(self) -> ItemsView[str, Any]:
        return self.copy().items()

    def copy(self) -> dict[str, Any]:
        """What is listed now, as a dict."""
        return {name: self._module.__dict__[name] for name in self._names()}


class Registries:
    """The three of a module."""

    @property
    def _parameters(self) -> Registry:
        return Registry(self, "_parameter_names", "register_parameter")

    @property
    def _buffers(self) -> Registry:
        return Registry(self, "_buffer_names", "register_buffer")

    @property
    def _modules(self) -> Registry:
        return Registry(self, "_module_names", "register_module")
