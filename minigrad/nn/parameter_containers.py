"""Lists and dicts of parameters, for modules that make them in a loop."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from minigrad.nn.errors import described
from minigrad.nn.module import Module
from minigrad.nn.parameter import Parameter
from minigrad.tensor import Tensor


def _parameter(name: str, value: Any) -> Parameter:
    """A parameter as it is, and one that shares the memory of a tensor."""
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Tensor):
        return Parameter(value)
    raise TypeError(f"{name}: expected a Parameter or a Tensor, got {described(value)}")


class _Parameters(Module):
    """What the two have in common: parameters by name, in order."""

    def __len__(self) -> int:
        return len(self._parameter_names)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{type(self).__name__}: it cannot be called: call what uses it")

    def _child_lines(self) -> list[str]:
        return [
            f"({name}): Parameter containing: "
            f"[{p.dtype} of size {'x'.join(map(str, p.shape)) or '1'}]"
            for name, p in self.named_parameters(recurse=False, remove_duplicate=False)
        ]


class ParameterList(_Parameters):
    """A list of parameters that belong to the tree, the i-th named str(i).

    Args:
        values: parameters, or tensors, of which parameters are made that share their memory.

    >>> weights = nn.ParameterList([mg.ones(2), mg.ones(3)])
    >>> [name for name, _ in weights.named_parameters()], weights[-1].shape
    (['0', '1'], (3,))
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        if values is not None:
            self.extend(values)

    def __iter__(self) -> Iterator[Parameter]:
        return iter([self.__dict__[name] for name in self._parameter_names])

    def _name(self, index: Any) -> str:
        i = operator.index(index)
        if not -len(self) <= i < len(self):
            raise IndexError(
                f"{type(self).__name__}: index {i} is out of range for {len(self)} parameters"
            )
        return str(i % len(self))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self.__dict__[self._name(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        self.register_parameter(self._name(index), _parameter(type(self).__name__, value))

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        self.register_parameter(str(len(self)), _parameter(type(self).__name__, value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end."""
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise TypeError(
                f"{type(self).__name__}: expected a list of parameters, got {described(values)}"
            )
        for value in [_parameter(type(self).__name__, value) for value in values]:
            self.append(value)
        return self


class ParameterDict(_Parameters):
    """A dict of parameters that belong to the tree.

    Args:
        parameters: a dict, or pairs of name and parameter; of tensors parameters are made that
            share their memory.

    >>> scales = nn.ParameterDict({"left": mg.ones(2), "right": mg.ones(3)})
    >>> [name for name, _ in scales.named_parameters()], scales["right"].shape
    (['left', 'right'], (3,))
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[Any] | None = None) -> None:
        super().__init__()
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._parameter_names:
            raise KeyError(
                f"{key}: this ParameterDict has {', '.join(self._parameter_names) or 'no keys'}"
            )
        return self.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_parameter(key, _parameter(type(self).__name__, value))

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameter_names)

    def __contains__(self, key: object) -> bool:
        return key in self._parameter_names

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._parameter_names.keys()

    def values(self) -> Iterable[Any]:
        """The parameters."""
        return [self.__dict__[name] for name in self._parameter_names]

    def items(self) -> Iterable[tuple[str, Any]]:
        """Pairs of name and parameter."""
        return [(name, self.__dict__[name]) for name in self._parameter_names]

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of this name, or the default."""
        return self.__dict__[key] if key in self._parameter_names else default

    def update(self, parameters: Mapping[str, Any] | Iterable[Any]) -> None:
        """Add parameters from a dict or from pairs of name and parameter; all of them or none."""
        name = type(self).__name__
        for key, value in {k: _parameter(name, v) for k, v in dict(parameters).items()}.items():
            self[key] = value

    def pop(self, key: str) -> Any:
        """Remove a parameter and return it."""
        parameter = self[key]
        delattr(self, key)
        return parameter

    def clear(self) -> None:
        """Remove all parameters."""
        for name in list(self._parameter_names):
            delattr(self, name)
