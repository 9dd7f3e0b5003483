"""A module's parameters, buffers and submodules as dicts, under the names that code which walks
PyTorch's modules by hand reads and writes: `module._modules[name] = another`."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView
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

    def become(self, others: Mapping[str, Any]) -> None:
        """Hold these instead."""
        others = dict(others)  # which may be this registry itself
        for name in self.copy().keys() - others.keys():
            del self[name]
        self.update(others)
        listed = self._names()
        for name in others:  # in their order
            listed[name] = listed.pop(name)

    def copy(self) -> dict[str, Any]:
        """What is listed now, as a dict."""
        return {name: self._module.__dict__[name] for name in self._names()}


class Registries:
    """The three of a module."""

    @property
    def _parameters(self) -> Registry:
        return Registry(self, "_parameter_names", "register_parameter")

    @_parameters.setter
    def _parameters(self, others: Mapping[str, Any]) -> None:
        self._parameters.become(others)

    @property
    def _buffers(self) -> Registry:
        return Registry(self, "_buffer_names", "register_buffer")

    @_buffers.setter
    def _buffers(self, others: Mapping[str, Any]) -> None:
        self._buffers.become(others)

    @property
    def _modules(self) -> Registry:
        return Registry(self, "_module_names", "register_module")

    @_modules.setter
    def _modules(self, others: Mapping[str, Any]) -> None:
        self._modules.become(others)
