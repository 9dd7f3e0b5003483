"""Random numbers, from one generator that `manual_seed` restarts, and dropout."""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any

import numpy as np

from minigrad.checks import integer, probability
from minigrad.device import check_device
from minigrad.dtypes import float32, float64, int64
from minigrad.incoming import as_array, check_numbers
from minigrad.ops.create import shape_of
from minigrad.recording import operand, record_each
from minigrad.tensor import Tensor, wrap

_generator: np.random.Generator | None = None  # made when first asked for: numpy.random takes long
_making = threading.Lock()


def _held_across_forks(lock: Any) -> None:
    """Let a fork wait for other threads to release it: in the child, they would not be there."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )


_held_across_forks(_making)


def generator() -> np.random.Generator:
    """The generator that everything random in the library draws from."""
    global _generator
    if _generator is None:
        with _making:
            if _generator is None:
                made = np.random.default_rng()
                _held_across_forks(made.bit_generator.lock)  # numpy holds it as long as it draws
                _generator = made
    return _generator


def manual_seed(seed: int) -> np.random.Generator:
    """Restart the generator from an integer seed; returns it."""
    seed = abs(integer("manual_seed", "seed", seed, None))
    own = generator()
    own.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    return own


def get_rng_state() -> dict[str, Any]:
    """The generator's state, to be given to `set_rng_state`."""
    return dict(generator().bit_generator.state)


def set_rng_state(state: dict[str, Any]) -> None:
    """Continue from a state that `get_rng_state` returned."""
    generator().bit_generator.state = state


def _made(name: str, array: Any, dtype: Any, device: Any, requires_grad: bool = False) -> Tensor:
    check_device(name, device)
    return wrap(as_array(np.asarray(array), dtype, name)).requires_grad_(requires_grad)


def rand(
    *sizes: Any, size: Any = (), dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform in [0, 1)."""
    shape, kind = shape_of("rand", sizes, size), np.dtype(float32 if dtype is None else dtype)
    # rounding a float64 to float32 could give 1.0
    array = generator().random(shape, kind if kind in (float32, float64) else float64)
    return _made("rand", array, kind, device, requires_grad)


def randn(
    *sizes: Any, size: Any = (), dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Standard normal."""
    array = generator().standard_normal(shape_of("randn", sizes, size))
    return _made("randn", array, float32 if dtype is None else dtype, device, requires_grad)


def randint(
    low: Any = 0, high: Any = None, size: Any = None, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """Integers from low (0 if one bound is given) to high, exclusive: randint(high, size) or
    randint(low, high, size)."""
    if isinstance(high, tuple | list):
        high, size = None, high
    if high is None:
        low, high = 0, low
    if size is None:
        raise TypeError("randint: size must be given, a tuple of integers")
    if high <= low:
        raise RuntimeError(f"randint: expected low < high, got {low} and {high}")
    kind = np.dtype(int64 if dtype is None else dtype)
    check_numbers("randint", kind, low, high - 1)
    array = generator().integers(low, high, shape_of("randint", (size,)))
    return _made("randint", array, kind, device)


def randperm(n: int, *, dtype: Any = None, device: Any = None) -> Tensor:
    """A random order of 0 … n-1."""
    order = generator().permutation(integer("randperm", "n", n, 0))
    return _made("randperm", order, int64 if dtype is None else dtype, device)


def rand_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`rand` in the shape and dtype of x."""
    a = as_array(input)
    kind = a.dtype if dtype is None else dtype
    return rand(a.shape, dtype=kind, device=device, requires_grad=requires_grad)


def randn_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`randn` in the shape and dtype of x."""
    a = as_array(input)
    kind = a.dtype if dtype is None else dtype
    return randn(a.shape, dtype=kind, device=device, requires_grad=requires_grad)


def normal(mean: Any, std: Any, size: Any = None) -> Tensor:
    """Normal with the given mean and standard deviation."""
    m, s = as_array(mean), as_array(std)
    shape = np.broadcast_shapes(m.shape, s.shape) if size is None else tuple(size)
    kind = m.dtype if m.ndim else (s.dtype if s.ndim else float32)
    return wrap(np.asarray(generator().normal(m, s, shape)).astype(kind))


def bernoulli(input: Any, p: float | None = None) -> Tensor:
    """1 with the probability that each element gives, else 0."""
    a = as_array(input)
    chance = a if p is None else p
    if p is None and a.size and not (a.min() >= 0 and a.max() <= 1):
        raise RuntimeError(
            f"bernoulli: probabilities must be in [0, 1], got {a.min()} to {a.max()}"
        )
    return wrap(np.asarray(generator().random(a.shape) < chance).astype(a.dtype))


def multinomial(input: Any, num_samples: int, replacement: bool = False) -> Tensor:
    """Positions drawn with probabilities proportional to the rows of x."""
    a, num_samples = as_array(input), integer("multinomial", "num_samples", num_samples)
    rows = np.atleast_2d(a).astype(np.float64)
    if (rows < 0).any() or not (rows.sum(axis=1) > 0).all():
        raise RuntimeError("multinomial: each row needs non-negative weights, not all zero")
    draws = [
        generator().choice(rows.shape[1], num_samples, replacement, row / row.sum()) for row in rows
    ]
    return wrap(np.stack(draws).reshape(*a.shape[:-1], num_samples).astype(int64))


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability p and scale the rest by 1/(1-p); nothing in eval mode."""
    return _dropped("dropout", input, p, training, as_array(input).shape)


def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of (N, C, L) or (C, L)."""
    return _channel_dropout("dropout1d", input, p, training, 1)


def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of (N, C, H, W). Three axes are, as in PyTorch, (N, C, L)."""
    if as_array(input).ndim == 3:
        warnings.warn(
            "dropout2d: an input of three axes is taken for (N, C, L), as in PyTorch: use "
            "dropout1d for that, or unsqueeze(0) for (C, H, W)",
            UserWarning,
            stacklevel=2,
        )
        return _channel_dropout("dropout2d", input, p, training, 1)
    return _channel_dropout("dropout2d", input, p, training, 2)


def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """`dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _channel_dropout("dropout3d", input, p, training, 3)


def _channel_dropout(name: str, x: Any, p: float, training: bool, spatial: int) -> Tensor:
    shape = as_array(x).shape
    if len(shape) - spatial not in (1, 2):
        raise RuntimeError(
            f"{name}: expected {spatial + 1} or {spatial + 2} axes, got shape {shape}"
        )
    return _dropped(name, x, p, training, shape[:-spatial] + (1,) * spatial)


def _dropped(name: str, x: Any, p: float, training: bool, shape: tuple[int, ...]) -> Tensor:
    # dL/dx = g·mask/(1-p)
    p = probability(name, "p", p)
    if not training or p == 0:
        return x if isinstance(x, Tensor) else wrap(as_array(x))
    a = operand(name, x, floating=True)
    scale = np.zeros(shape, a.real.dtype)
    if p < 1:
        kind = scale.dtype if scale.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        scale[...] = np.asarray(generator().random(shape, kind) >= p) / (1 - p)
    return record_each(name, a * scale, (x, lambda g: g * scale))
