"""Algorithm 2, line 11: in evaluation batch normalisation is y = s·x + t for each channel, with
s = gamma/√(var + eps) and t = beta - mean·s, and so can be made part of the layer beside it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from minigrad import modes
from minigrad.incoming import as_array
from minigrad.nn.container import Identity, Sequential
from minigrad.nn.conv import Conv1d, Conv2d
from minigrad.nn.linear import Dropout, Linear
from minigrad.nn.module import Module, Parameter
from minigrad.nn.norm.batch import BatchNormBase
from minigrad.nn.pooling import Flatten
from minigrad.tape import Array, Node
from minigrad.tensor import Tensor, wrap

Slot = tuple[Module, str]  # the owner of a module, and its name there


def fold_batchnorm(model: Module, x: Any = None, *, strict: bool = True) -> Module:
    """A copy of a model, in evaluation mode, whose batch normalisations are part of other layers.

        into Linear, Conv1d or Conv2d before:  W' = s·W of each output,   b' = s·b + t
        into Linear after:                     W' = W·s of each input,    b' = b + W·t

    Between the two may stand what evaluation passes through (Identity, Dropout), and before a
    Linear Flatten. The layer before is preferred. In the place of a normalisation stays an
    Identity, so paths do not change, which refuses inputs of a rank for which the fold would not
    be exact: after a Linear, (N, L, C), where the normalisation acts on another axis.

    Args:
        model: any module; it is not changed.
        x: an input. Without one, layers that follow one another in a Sequential are folded. With
            one, the model runs on it, and layers are folded wherever one alone uses the output of
            the other.
        strict: refuse a model some of whose batch normalisations cannot be folded; else they stay.

    Returns:
        The folded model. Each fold was compared with the layers it replaces on random inputs; with
        `x`, the two models were compared on it, too.

    Raises:
        ValueError: naming the batch normalisations that cannot be folded, and why.
        RuntimeError: an output came out different.

    Source: Ioffe and Szegedy, 2015, Algorithm 2.
    """
    if not isinstance(model, Module):
        raise TypeError(f"fold_batchnorm: model must be a Module, got {type(model).__name__}")
    folded = copy.deepcopy(model).eval()
    expected = None
    if x is None:
        chains = _used_once(list(_in_sequentials(folded, None)))
    else:
        expected, chains = _traced(folded, x)
    problems: dict[Module, str] = {}
    for chain in chains:
        for i, (owner, name) in enumerate(chain):
            layer = owner.__dict__[name]
            if isinstance(layer, BatchNormBase) and (problem := _fold(chain, i, layer)):
                problems[layer] = problem
    left = {p: m for p, m in folded.named_modules() if isinstance(m, BatchNormBase)}
    if left and strict:
        other = "it is not in a Sequential, or in several; an input x= shows how layers connect"
        if x is not None:
            other = "it was not called once, with a single layer's output that no other layer uses"
        lines = [f"  {path or 'the model'}: {problems.get(m, other)}" for path, m in left.items()]
        raise ValueError(
            "fold_batchnorm: cannot fold (strict=False leaves them as they are)\n"
            + "\n".join(lines)
        )
    if x is not None:
        with modes.no_grad():
            _compare("the model", expected, folded(x))
    return folded


# Which layers follow one another.


def _in_sequentials(module: Module, chain: list[Slot] | None) -> Iterator[list[Slot]]:
    """The chains of layers in Sequentials; one inside another is part of its chain."""
    whole = type(module).forward is Sequential.forward and not module._hooked()
    if not whole:
        chain = None
    elif chain is None:
        yield (chain := [])
    for name in module._module_names:
        child = module.__dict__[name]
        if child is None:
            continue
        if chain is not None and type(child).forward is not Sequential.forward:
            chain.append((module, name))
        yield from _in_sequentials(child, chain)


def _used_once(chains: list[list[Slot]]) -> list[list[Slot]]:
    """The chains without slots that occur twice, because a Sequential does; cut in two there."""
    counts = Counter(slot for chain in chains for slot in chain)
    pieces: list[list[Slot]] = []
    for chain in chains:
        pieces.append([])
        for slot in chain:
            if counts[slot] == 1:
                pieces[-1].append(slot)
            else:
                pieces.append([])
    return pieces


def _traced(model: Module, x: Any) -> tuple[Any, list[list[Slot]]]:
    """The output for x, and the chains of layers each of which alone uses the one before."""
    slots: dict[Module, list[Slot]] = {}
    for owner in model.modules():
        for name in owner._module_names:
            if owner.__dict__[name] is not None:
                slots.setdefault(owner.__dict__[name], []).append((owner, name))
    calls: list[tuple[Module, Any, Any]] = []
    handles = [
        module.register_forward_hook(
            lambda m, args, y: calls.append((m, args[0] if args else None, y))
        )
        for module in model.modules()
        if not module._module_names
    ]
    if isinstance(x, Tensor) and x.array.dtype.kind == "f":
        x = Tensor(x.array, requires_grad=True)  # so that all that comes of it is on the tape
    try:
        with modes.enable_grad():
            out = model(x)
    finally:
        for handle in handles:
            handle.remove()
    users = _users(out)
    called = [module for module, _, _ in calls]
    chains: list[list[Slot]] = []
    makers: dict[int, tuple[Any, list[Slot]]] = {}  # id -> the tensor, the chain it ends
    for module, given, y in calls:
        _, chain = makers.get(id(given), (None, None))
        alone = isinstance(given, Tensor) and users.get(given.node, 0) == 1
        if chain is None or not alone:
            chains.append(chain := [])
        if called.count(module) == 1 and len(slots.get(module, ())) == 1:
            chain.append(slots[module][0])
            makers[id(y)] = (y, chain)
        else:
            makers.pop(id(y), None)
    return out, chains


def _leaves(out: Any) -> Iterator[Any]:
    """What lies in an output, however nested."""
    if isinstance(out, tuple | list | dict):
        for part in out.values() if isinstance(out, dict) else out:
            yield from _leaves(part)
    else:
        yield out


def _users(out: Any) -> dict[Any, int]:
    """How many operations (or places in the output) use each node below an output."""
    counts: dict[Any, int] = {}
    todo: list[Node] = []

    def use(node: Node | None) -> None:
        if node is not None:
            counts[node] = counts.get(node, 0) + 1
            if counts[node] == 1:
                todo.append(node)

    for y in _leaves(out):
        use(y.node if isinstance(y, Tensor) else None)
    while todo:
        for parent in todo.pop().parents:
            use(parent)
    return counts


# Folding one.


def _fold(chain: list[Slot], i: int, layer: BatchNormBase) -> str | None:
    """Fold the i-th layer of a chain, or say why not."""
    if not layer.per_channel:
        return f"{type(layer).__name__} is no fixed scale and shift of each channel"
    if layer.running_mean is None:
        return "it has no running statistics (track_running_stats=False)"
    if layer._hooked():
        return "it has forward hooks"
    j = _neighbour(chain, i, -1, (Identity, Dropout))
    if j is not None and _takes_outputs(_at(chain, j), layer):
        first = _at(chain, j)
        rank = 2 if isinstance(first, Linear) else 2 + first.axes
        _replace(chain, j, _scaled_outputs(first, *_scale_and_shift(layer)), i, {rank})
        return None
    j = _neighbour(chain, i, 1, (Identity, Dropout, Flatten))
    if j is not None and isinstance(last := _at(chain, j), Linear) and not last._hooked():
        flat = any(isinstance(_at(chain, k), Flatten) for k in range(i, j))
        fits = last.in_features % layer.num_features == 0
        if (flat and fits) or (2 in layer.ranks and last.in_features == layer.num_features):
            ranks = set(layer.ranks) if flat else {2}
            _replace(chain, j, _scaled_inputs(last, *_scale_and_shift(layer)), i, ranks)
            return None
    return "neither a layer before it, used by nothing else, nor a Linear after it can take it in"


def _at(chain: list[Slot], i: int) -> Any:
    owner, name = chain[i]
    return owner.__dict__[name]


def _neighbour(chain: list[Slot], i: int, step: int, through: tuple[Any, ...]) -> int | None:
    """The next position in this direction of a layer that changes its input."""
    i += step
    while 0 <= i < len(chain):
        module: Any = _at(chain, i)
        whole_flatten = (getattr(module, "start_dim", 1), getattr(module, "end_dim", -1)) == (1, -1)
        if not isinstance(module, through) or not whole_flatten or module._hooked():
            return i
        i += step
    return None


def _takes_outputs(module: Module, layer: BatchNormBase) -> bool:
    """Whether the channels of the layer are the outputs of the module."""
    if isinstance(module, Linear):
        fits = 2 in layer.ranks and module.out_features == layer.num_features
    elif isinstance(module, Conv1d | Conv2d):
        rank = 2 + module.axes
        fits = rank in layer.ranks and module.out_channels == layer.num_features
    else:
        return False
    return fits and not module._hooked()


def _scale_and_shift(layer: BatchNormBase) -> tuple[Array, Array]:
    """s and t, float64."""
    mean, inv_std = layer.eval_statistics()
    s = inv_std if layer.weight is None else inv_std * layer.weight.array
    return s, -mean * s if layer.bias is None else layer.bias.array - mean * s


def _scaled_outputs(module: Any, s: Array, t: Array) -> Any:
    """W' = s·W, b' = s·b + t."""
    weight = module.weight.array * s.reshape(-1, *[1] * (module.weight.ndim - 1))
    return _with(module, weight, t if module.bias is None else s * module.bias.array + t)


def _scaled_inputs(linear: Linear, s: Array, t: Array) -> Any:
    """W' = W·s, b' = b + W·t; after Flatten each channel is a run of inputs."""
    run = linear.in_features // len(s)
    s, t = np.repeat(s, run), np.repeat(t, run)
    bias = linear.weight.array @ t
    return _with(
        linear, linear.weight.array * s, bias if linear.bias is None else bias + linear.bias.array
    )


def _with(module: Any, weight: Array, bias: Array) -> Any:
    """A copy of the module with these parameters (whoever shares the old ones keeps them)."""
    new, old = copy.copy(module), module.weight
    for name, value in vars(module).items():
        if isinstance(value, dict):  # its registries of names and hooks
            setattr(new, name, dict(value))
    new.weight = Parameter(wrap(weight.astype(old.dtype)), old.requires_grad)
    new.bias = Parameter(wrap(bias.astype(old.dtype)), old.requires_grad)
    return new


class FoldedBatchNorm(Identity):
    """Stands where a batch normalisation was; refuses inputs for which the fold is not exact."""

    def __init__(self, kind: str, ranks: set[int]) -> None:
        super().__init__()
        self.kind, self.ranks = kind, ranks

    def forward(self, input: Any) -> Any:
        """The input."""
        if input.ndim not in self.ranks:
            raise ValueError(
                f"{self.kind} was folded for inputs of {' or '.join(map(str, self.ranks))} axes, "
                f"got shape {input.shape}: on these it acts along another axis"
            )
        return input

    def extra_repr(self) -> str:
        """What it was."""
        return self.kind


def _replace(chain: list[Slot], j: int, new: Module, i: int, ranks: set[int]) -> None:
    """Put `new` at j and nothing at i, if what lies between then computes the same as before."""
    layer = _at(chain, i)
    span = range(min(i, j), max(i, j) + 1)
    old = [_at(chain, k) for k in span]
    put = {j: new, i: FoldedBatchNorm(f"{type(layer).__name__}({layer.num_features})", ranks)}
    x = _trial(layer, old)
    with modes.no_grad():
        y = z = x
        for k, module in zip(span, old, strict=True):
            y, z = module(y), put.get(k, module)(z)
    shift = _scale_and_shift(layer)[1]
    # before a normalisation, values are as large as its shift, and so is their rounding
    _compare(repr(layer), y, z, float(np.abs(shift).max()) if j < i else 0.0)
    for k, module in put.items():
        owner, name = chain[k]
        setattr(owner, name, module)


def _trial(layer: BatchNormBase, modules: list[Any]) -> Tensor:
    """A random input for a stretch of layers; for the normalisation, one like its data."""
    rng, first, C = np.random.default_rng(0), modules[0], layer.num_features
    mean, inv_std = layer.eval_statistics()
    if isinstance(first, Linear):
        x = rng.standard_normal((7, first.in_features))
    elif isinstance(first, Conv1d | Conv2d):
        sizes = zip(first.kernel_size, first.dilation, first.stride, strict=True)
        x = rng.standard_normal((3, first.in_channels, *[(k - 1) * d + 4 * s for k, d, s in sizes]))
    else:
        rank, run = max(layer.ranks), modules[-1].in_features // C
        shape = (7, C, run, *[1] * (rank - 3)) if run > 1 or rank > 3 else (7, C)
        along = (-1, *[1] * (len(shape) - 2))
        x = rng.standard_normal(shape) / inv_std.reshape(along) + mean.reshape(along)
    dtype = next(p.dtype for m in modules for p in m.parameters())
    return wrap(x.astype(dtype))


def _compare(what: str, expected: Any, found: Any, size: float = 0.0) -> None:
    """Refuse an output that differs by more than rounding."""
    if isinstance(expected, tuple | list | dict):
        for x, y in zip(_leaves(expected), _leaves(found), strict=True):
            _compare(what, x, y)
    if not isinstance(expected, Tensor | np.ndarray) or not as_array(expected).size:
        return
    a, b = (as_array(v).astype(np.float64) for v in (expected, found))
    dtype = expected.dtype if expected.dtype.kind == "f" else np.float64
    tolerance = np.sqrt(np.finfo(dtype).eps) * max(float(np.abs(a).max()), size)
    error = float(np.abs(a - b).max())
    if not error <= tolerance:
        raise RuntimeError(
            f"fold_batchnorm: {what} gives another output after folding, by up to {error:.3g}; the "
            "model was not changed"
        )
