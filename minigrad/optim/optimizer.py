"""What all optimisers share: parameter groups, state, and a step that changes all or nothing."""

from __future__ import annotations

import functools
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any, ClassVar, cast

import numpy as np

from minigrad import changes, modes
from minigrad.checks import integer, number
from minigrad.incoming import is_array, taken
from minigrad.interrupts import deferred
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

required = object()  # PyTorch's mark of a hyperparameter without a default, which scripts import
Group = dict[str, Any]
Entry = tuple[Tensor, Array, Array]  # a parameter, its array, its gradient's array


class Optimizer:
    """Base of the optimisers; a subclass gives `update`, or a `step` of its own, as in PyTorch.

    `param_groups` is a list of dicts, each with a list `params` and the group's hyperparameters,
    which may be changed between steps. `state` maps a parameter to a dict of what is remembered
    about it.

    Args:
        params: parameters, (name, parameter) pairs, or dicts with `params` and hyperparameters of
            their own.
        defaults: hyperparameters of the groups that do not name their own.
    """

    state_dtypes: ClassVar[dict[str, Any]] = {}  # entries that do not have the parameter's dtype

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: dict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self.has_stepped = False  # a scheduler warns if it is stepped before the optimiser
        name = type(self).__name__
        self.check(defaults)
        if isinstance(params, Tensor):
            raise TypeError(f"{name}: expected an iterable of parameters, got one Tensor: use [p]")
        groups = _listed(name, params)
        if not groups:
            raise ValueError(
                f"{name}: got an empty parameter list. A generator such as model.parameters() may "
                "have been used up already: call it again. A model has no parameters if its layers "
                "are in a plain list or dict: use nn.ModuleList or nn.ModuleDict"
            )
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = _noted(cls.step)  # type: ignore[method-assign]

    def check(self, group: Group) -> None:
        """Raise if a hyperparameter of `group` is out of range; without a rule of its own all
        pass."""

    def update(self, group: Group, entries: list[Entry]) -> None:
        """Change the parameters of one group, in place."""
        raise NotImplementedError(
            f"{type(self).__name__} has neither step(closure=None) nor update(group, entries): "
            "define one"
        )

    def add_param_group(self, param_group: Group) -> None:
        """Optimise more parameters: a dict with `params` and hyperparameters of their own.

        Raises:
            TypeError: not a dict, not tensors, or a set (whose order changes between runs).
            ValueError: no parameters, one that another group has, a result of an operation, a
                hyperparameter out of range. Nothing is added then.
        """
        name = type(self).__name__
        if not isinstance(param_group, dict):
            raise TypeError(
                f"{name}: expected a parameter group (a dict), got {type(param_group).__name__}"
            )
        if "params" not in param_group:
            raise ValueError(f"{name}: a parameter group needs 'params', got {list(param_group)}")
        params = param_group["params"]
        if isinstance(params, set | frozenset):
            raise TypeError(f"{name}: params is a set, whose order varies between runs: use a list")
        params = [params] if isinstance(params, Tensor) else _listed(name, params)
        if not params:
            raise ValueError(
                f"{name}: a parameter group has no parameters: a generator may have been used up, "
                "or layers are in a plain list (use nn.ModuleList)"
            )
        group = {**self.defaults, **param_group}
        if any(isinstance(p, tuple) for p in params):
            if not all(isinstance(p, tuple) and len(p) == 2 for p in params):
                raise ValueError(f"{name}: either all parameters are (name, parameter) or none is")
            group["param_names"] = [pair[0] for pair in params]
            params = [pair[1] for pair in params]
        group["params"] = params
        self._check_params(group)
        self.check(group)
        # `params` first, then the hyperparameters, as printed and saved
        self.param_groups.append({"params": params, **group})

    def _check_params(self, group: Group) -> None:
        name, params = type(self).__name__, group["params"]
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                kind = type(p).__name__
                hint = ": use its parameters()" if hasattr(p, "parameters") else ""
                raise TypeError(f"{name}: parameter {i} is a {kind}, expected a Tensor{hint}")
            if not (p.is_leaf or (p.node is not None and p.node.keep_grad)):
                raise ValueError(
                    f"{name}: parameter {i} of shape {p.shape} is the result of "
                    f"{p.node and p.node.name!r}; only leaf tensors can be optimised: detach() it "
                    "and call requires_grad_()"
                )
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for i, p in enumerate(params):
            if id(p) in known:
                raise ValueError(f"{name}: parameter {i} of the group is in another group already")
        if len({id(p) for p in params}) != len(params):
            warnings.warn(
                f"{name}: a parameter is in the group more than once and will be updated as often",
                UserWarning,
                stacklevel=5,
            )
        if any(("param_names" in group) != ("param_names" in other) for other in self.param_groups):
            raise ValueError(f"{name}: either all parameter groups have names or none has")

    def entries(self, group: Group) -> dict[str, bool] | None:
        """What is remembered about a parameter, by name: True for what a step cannot do without
        once there is anything. None, for optimisers that do not say: tensors and plain values."""
        return None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; with set_to_none=False, fill them with zeros instead."""
        for group in self.param_groups:
            for p in group["params"]:
                node = p.node or p.leaf
                if node is None or node.grad is None:
                    continue
                if set_to_none:
                    node.grad = None
                else:
                    node.grad[...] = 0
                    changes.note_change(node.grad)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; return what `closure` returned, if given.

        Args:
            closure: computes the loss again, gradients included, before the update.

        Raises:
            RuntimeError: a gradient does not have its parameter's shape and dtype, or the
                parameter is read-only; nothing has been updated then.

        An interrupt (Ctrl-C) during the update is raised when all parameters have been updated.
        """
        loss = None
        if closure is not None:
            with modes.enable_grad():
                loss = closure()
        # All gradients are looked at before the first parameter changes.
        work = [(group, self._entries(group, i)) for i, group in enumerate(self.param_groups)]
        # A diverging run says inf and NaN, not where it overflowed.
        with deferred(), np.errstate(all="ignore"):
            for group, entries in work:
                if entries:
                    self.update(group, entries)
            self.has_stepped = True
        return loss

    def _entries(self, group: Group, index: int) -> list[Entry]:
        entries = []
        for p in group["params"]:
            node = p.node or p.leaf  # a frozen one is moved, too, while it has a gradient
            if node is None or (grad := node.grad) is None:
                continue
            data = p.array
            if (
                grad.shape != data.shape
                or grad.dtype != data.dtype
                or not data.flags.writeable
                or not self._fits(p, data.shape)
            ):
                raise RuntimeError(self._misfit(group, index, p, grad))
            entries.append((p, data, grad))
        return entries

    def entry_shape(self, key: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of what is remembered under that name about a parameter of this shape."""
        return () if key in self.state_dtypes else shape

    def _fits(self, p: Tensor, shape: tuple[int, ...]) -> bool:
        """Whether what is remembered about p has the shape that belongs to p's."""
        for key, value in self.state.get(p, {}).items():
            if (
                type(value) is Tensor
                and value.array.shape != shape
                and key not in self.state_dtypes
                and value.array.shape != self.entry_shape(key, shape)
            ):
                return False
        return True

    def _misfit(self, group: Group, index: int, p: Tensor, grad: Array) -> str:
        at = next(i for i, q in enumerate(group["params"]) if q is p)
        names = group.get("param_names")
        which = f"parameter {at} of group {index}" + (f" ({names[at]!r})" if names else "")
        where = f"{type(self).__name__}.step: {which}"
        what = f"has shape {p.shape} and dtype {p.dtype}"
        if not p.array.flags.writeable:
            return f"{where} is read-only; nothing was updated: give it a copy of its array"
        if grad.shape == p.shape and grad.dtype == p.dtype:
            shapes = {k: v.shape for k, v in self.state[p].items() if isinstance(v, Tensor)}
            return f"{where} {what}, but its state has {shapes}; nothing was updated"
        return (
            f"{where} {what}, but its gradient has shape {grad.shape} and dtype {grad.dtype}; "
            "nothing was updated: call zero_grad() after a parameter was replaced"
        )

    # ------------------------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, Any]:
        """The state and the groups as plain dicts, parameters numbered in order.

        The tensors in it share memory with the optimiser's own.
        """
        number: dict[int, int] = {}
        for group in self.param_groups:
            for p in group["params"]:
                number.setdefault(id(p), len(number))
        groups = []
        for group in self.param_groups:
            packed = {key: value for key, value in group.items() if key != "params"}
            packed["params"] = [number[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {number[id(p)]: dict(entry) for p, entry in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, for the same parameters in the same order.

        Tensors and arrays, PyTorch's as well, are copied and take their parameter's dtype.

        Raises:
            ValueError, TypeError: the groups or shapes do not match, or an entry is missing,
                unknown or of another kind; nothing has changed then.
        """
        name = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, dict) or {"state", "param_groups"} - set(state_dict):
            raise ValueError(f"{name}: expected a dict with 'state' and 'param_groups'")
        groups = self._loaded_groups(name, state_dict["param_groups"])
        group_of: dict[int, tuple[Group, Tensor]] = {}
        for group, other in zip(groups, state_dict["param_groups"], strict=True):
            owners = ((group, p) for p in group["params"])
            group_of.update(zip(other["params"], owners, strict=True))
        entries = state_dict["state"]
        if not isinstance(entries, dict):
            raise TypeError(f"{name}: 'state' must be a dict, got {type(entries).__name__}")
        state = {}
        for key, entry in entries.items():
            if key not in group_of:
                raise ValueError(f"{name}: state for parameter {key!r}, which no group has")
            if not isinstance(entry, dict):
                kind = type(entry).__name__
                raise TypeError(f"{name}: the state of parameter {key} must be a dict, got {kind}")
            group, p = group_of[key]
            state[p] = self._loaded_entry(f"{name}: parameter {key}", group, p, entry)
        self.param_groups, self.state = groups, defaultdict(dict, state)
        self.has_stepped = True  # a run goes on: a scheduler has nothing to warn of

    def _loaded_groups(self, name: str, saved: Any) -> list[Group]:
        plain = isinstance(saved, list) and all(isinstance(group, dict) for group in saved)
        if not plain or not all(isinstance(group.get("params"), list) for group in saved):
            raise ValueError(
                f"{name}: 'param_groups' must be a list of dicts with a list 'params' of numbers"
            )
        ours = [len(group["params"]) for group in self.param_groups]
        theirs = [len(group["params"]) for group in saved]
        if ours != theirs:
            raise ValueError(
                f"{name}: expected groups of {ours} parameters as this optimiser has, got {theirs}"
            )
        groups: list[Group] = []
        for group, other in zip(self.param_groups, saved, strict=True):
            for k in other["params"]:
                integer(name, "a parameter's number", k, 0)
            merged = {**self.defaults, **deepcopy(other), "params": group["params"]}
            if "param_names" in group:
                merged.setdefault("param_names", group["param_names"])
            if "initial_lr" in merged:  # a schedule may set any rate, but it starts at a good one
                rate = merged["lr"]
                if not (isinstance(rate, float) and math.isnan(rate)):
                    number(name, "lr", rate)
                self.check({**merged, "lr": merged["initial_lr"]})
            else:
                self.check(merged)
            groups.append({"params": group["params"], **merged})
        return groups

    def _loaded_entry(self, where: str, group: Group, p: Tensor, entry: dict[str, Any]) -> Any:
        known = self.entries(group)
        if known is None:
            return {
                key: self._loaded(where, p, key, value) if is_array(value) else deepcopy(value)
                for key, value in entry.items()
            }
        unknown = [key for key in entry if key not in known]
        present = {key: value for key, value in entry.items() if value is not None}
        missing = [key for key, needed in known.items() if needed and key not in present]
        if unknown or (missing and present):
            found = f"unknown: {unknown}" if unknown else f"missing: {missing}"
            raise ValueError(f"{where} must have the state {list(known)}; {found}")
        return {key: self._loaded(where, p, key, value) for key, value in present.items()}

    def _loaded(self, where: str, p: Tensor, key: str, value: Any) -> Tensor:
        try:
            data = taken(where, value) if is_array(value) else np.asarray(value)
            if data.dtype.kind not in "biuf":
                raise TypeError(f"dtype {data.dtype}")
        except Exception as error:  # another library's array may refuse to convert
            raise TypeError(
                f"{where}: {key!r} must be a tensor or an array of numbers, got "
                f"{type(value).__name__} ({error})"
            ) from None
        count = key in self.state_dtypes
        shape = self.entry_shape(key, p.shape)
        if data.shape != shape:
            raise ValueError(f"{where}: {key!r} has shape {data.shape}, expected {shape}")
        if count and not (np.isfinite(data) and data >= 0):
            raise ValueError(f"{where}: {key!r} must be a number of steps, got {data}")
        with np.errstate(all="ignore"):
            return wrap(np.array(data, self.state_dtypes.get(key, p.dtype), order="C"))

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _noted(step: Callable[..., Any]) -> Callable[..., Any]:
    """A `step` of one's own, which a schedule will see to have been called."""

    @functools.wraps(step)
    def call(self: Optimizer, *args: Any, **options: Any) -> Any:
        result = step(self, *args, **options)
        self.has_stepped = True
        return result

    return call


def _listed(name: str, params: Any) -> list[Any]:
    """Parameters, or groups of them, as a list."""
    kind, hint = type(params).__name__, None
    if isinstance(params, Iterable) and hasattr(params, "parameters"):  # a module of parameters
        params = list(params) if all(isinstance(p, Tensor) for p in params) else params
    if isinstance(params, type):
        kind, hint = f"class {params.__name__}", ""
    elif hasattr(params, "parameters"):
        hint = ": use its parameters()"
    elif isinstance(params, Mapping):
        hint = ": a group is put in a list, [group]"
    elif callable(params):
        kind, hint = f"{kind} {getattr(params, '__name__', '')}".rstrip(), ": call it, with ()"
    elif isinstance(params, str | bytes) or not isinstance(params, Iterable):
        hint = ""
    if hint is not None:
        raise TypeError(f"{name}: expected an iterable of parameters, got a {kind}{hint}")
    return list(cast(Any, params))
