"""Random numbers, from one generator that `manual_seed` restarts or one that is given; dropout."""

from __future__ import annotations

import os
import threading
import warnings
from typing import Any, Self

import numpy as np

from minigrad.checks import integer, probability
from minigrad.device import check_device
from minigrad.device import device as _device
from minigrad.dtypes import float32, float64, int64, native
from minigrad.incoming import as_array, check_numbers
from minigrad.ops.create import shape_of
from minigrad.recording import check_broadcast, operand, record_each
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

# What a Generator starts from, as in PyTorch.
FIRST_SEED = 67280421310721

_default: Generator | None = None  # made when first asked for: numpy.random takes long
_making = threading.Lock()


def _held_across_forks(lock: Any) -> None:
    """Let a fork wait for other threads to release it: in the child, they would not be there."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )


_held_across_forks(_making)


class Generator:
    """A stream of random numbers of its own, for the `generator=` of whatever draws some.

    As PyTorch's, a new one starts from the same seed every time; the numbers are numpy's, so the
    same seed gives others than there. Threads may share one.

    Args:
        device: the CPU, the only one there is.
    """

    device = _device()

    def __init__(self, device: Any = "cpu") -> None:
        check_device("Generator", device)
        self.numpy = np.random.default_rng(FIRST_SEED)
        self._seed = FIRST_SEED

    def manual_seed(self, seed: int) -> Self:
        """Restart from an integer seed, from -2^63 to 2^64 - 1; -1 is 2^64 - 1. Returns itself."""
        number = integer("manual_seed", "seed", seed, None)
        if not -(1 << 63) <= number < 1 << 64:
            raise ValueError(f"manual_seed: seed must be in -2^63 ... 2^64 - 1, got {seed!r}")
        self._seed = number % (1 << 64)
        self.numpy.bit_generator.state = np.random.default_rng(self._seed).bit_generator.state
        return self

    def seed(self) -> int:
        """Restart from a seed of the operating system's, and return it."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self) -> int:
        """The seed it was last restarted from."""
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """Where it stands, to be given to `set_state`: numpy's state, and the seed."""
        return {**self.numpy.bit_generator.state, "initial_seed": self._seed}

    def set_state(self, new_state: dict[str, Any]) -> None:
        """Continue from a state that `get_state` returned."""
        try:
            seed = new_state.get("initial_seed", self._seed)
            self.numpy.bit_generator.state = new_state
        except (AttributeError, KeyError, TypeError, ValueError):
            raise TypeError(
                "set_state: expected what get_state returned, a dict of numpy's state, got "
                f"{type(new_state).__name__}"
            ) from None
        self._seed = seed

    def clone_state(self) -> Generator:
        """A generator that continues as this one would."""
        other = Generator()
        other.set_state(self.get_state())
        return other

    def __getstate__(self) -> dict[str, Any]:
        return self.get_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        Generator.__init__(self)
        self.set_state(state)


def default_generator() -> Generator:
    """The generator that everything random in the library draws from unless it is given another."""
    global _default
    if _default is None:
        with _making:
            if _default is None:
                made = Generator()
                made.seed()
                # numpy holds it as long as it draws
                _held_across_forks(made.numpy.bit_generator.lock)
                _default = made
    return _default


def generator() -> np.random.Generator:
    """numpy's generator of the library's."""
    return (_default or default_generator()).numpy


def stream(name: str, given: Generator | None) -> np.random.Generator:
    """What the op `name` draws from: the generator that it was given, or else the library's."""
    if given is None:
        return generator()
    if not isinstance(given, Generator):
        raise TypeError(
            f"{name}: generator must be a minigrad.Generator, got {type(given).__name__}"
        )
    return given.numpy


def manual_seed(seed: int) -> Generator:
    """Restart the library's generator from an integer seed, from -2^63 to 2^64 - 1; returns it."""
    return default_generator().manual_seed(seed)


def seed() -> int:
    """Restart the library's generator from a seed of the operating system's, and return it."""
    return default_generator().seed()


def initial_seed() -> int:
    """The seed that the library's generator was last restarted from."""
    return default_generator().initial_seed()


def get_rng_state() -> dict[str, Any]:
    """The state of the library's generator, to be given to `set_rng_state`."""
    return default_generator().get_state()


def set_rng_state(new_state: dict[str, Any]) -> None:
    """Continue from a state that `get_rng_state` returned."""
    default_generator().set_state(new_state)


def _made(name: str, array: Any, dtype: Any, device: Any, requires_grad: bool = False) -> Tensor:
    check_device(name, device)
    return wrap(as_array(np.asarray(array), dtype, name)).requires_grad_(requires_grad)


def probabilities(name: str, p: Any) -> Array:
    """p as an array, if all of it is in [0, 1]."""
    chance = as_array(p, name=name)
    if chance.size and not (chance.min() >= 0 and chance.max() <= 1):
        raise RuntimeError(
            f"{name}: probabilities must be in [0, 1], got {chance.min()} to {chance.max()}"
        )
    return chance


def _floating(name: str, p: Array) -> None:
    if p.dtype.kind not in "fc":
        raise RuntimeError(f"{name}: probabilities must be floating, got {p.dtype}: use .float()")


def rand(
    *sizes: Any, size: Any = (), generator: Generator | None = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Uniform in [0, 1)."""
    shape, dtype = shape_of("rand", sizes, size), native(float32 if dtype is None else dtype)
    # rounding a float64 to float32 could give 1.0
    drawn = dtype if dtype in (float32, float64) else float64
    array = stream("rand", generator).random(shape, drawn)
    return _made("rand", array, dtype, device, requires_grad)


def randn(
    *sizes: Any, size: Any = (), generator: Generator | None = None, dtype: Any = None,
    device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Standard normal."""
    array = stream("randn", generator).standard_normal(shape_of("randn", sizes, size))
    return _made("randn", array, float32 if dtype is None else dtype, device, requires_grad)


def randint(
    low: Any = 0, high: Any = None, size: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
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
    dtype = native(int64 if dtype is None else dtype)
    check_numbers("randint", dtype, low, high - 1)
    array = stream("randint", generator).integers(low, high, shape_of("randint", (size,)))
    return _made("randint", array, dtype, device, requires_grad)


def randint_like(
    input: Any, low: Any = 0, high: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`randint` in the shape and dtype of x."""
    a = as_array(input)
    dtype = a.dtype if dtype is None else dtype
    return randint(
        low, high, a.shape, generator=generator, dtype=dtype, device=device,
        requires_grad=requires_grad,
    )  # fmt: skip


def randperm(
    n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """A random order of 0 … n-1."""
    order = stream("randperm", generator).permutation(integer("randperm", "n", n, 0))
    return _made("randperm", order, int64 if dtype is None else dtype, device, requires_grad)


def rand_like(
    input: Any, *, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`rand` in the shape and dtype of x."""
    a = as_array(input)
    dtype = a.dtype if dtype is None else dtype
    return rand(
        a.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad
    )


def randn_like(
    input: Any, *, generator: Generator | None = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """`randn` in the shape and dtype of x."""
    a = as_array(input)
    dtype = a.dtype if dtype is None else dtype
    return randn(
        a.shape, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad
    )


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None,
    dtype: Any = None, device: Any = None, requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Normal with the given mean and standard deviation, which may be tensors that broadcast. The
    result has their shape, or `size`."""
    m, s = as_array(mean, name="normal"), as_array(std, name="normal")
    if s.size and not s.min() >= 0:
        raise RuntimeError(f"normal: std must be at least 0, got {s.min()}")
    check_broadcast("normal", (m, s))
    shape = np.broadcast_shapes(m.shape, s.shape) if size is None else shape_of("normal", (size,))
    if size is not None and (m.ndim or s.ndim):
        raise TypeError("normal: size is for numbers as mean and std; tensors bring a shape")
    own = m.dtype if m.ndim else (s.dtype if s.ndim else float32)
    array = stream("normal", generator).normal(m, s, shape)
    return _made("normal", array, own if dtype is None else dtype, device, requires_grad)


def bernoulli(input: Any, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element gives (or with probability p), else 0."""
    a = as_array(input, name="bernoulli")
    if p is None:
        _floating("bernoulli", a)
    chance = probabilities("bernoulli", a if p is None else p)
    uniform = stream("bernoulli", generator).random(a.shape)
    return wrap(np.asarray(uniform < chance).astype(a.dtype))


def poisson(input: Any, generator: Generator | None = None) -> Tensor:
    """How often something happens that happens on average as often as each element says."""
    a = as_array(input, name="poisson")
    if a.dtype.kind != "f" or (a.size and not a.min() >= 0):
        raise RuntimeError(f"poisson: expected rates of at least 0, floating, got dtype {a.dtype}")
    return wrap(np.asarray(stream("poisson", generator).poisson(a)).astype(a.dtype))


def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Positions drawn with probabilities proportional to the rows of x."""
    a, num_samples = as_array(input), integer("multinomial", "num_samples", num_samples)
    _floating("multinomial", a)
    if a.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: expected weights (C,) or (N, C), got shape {a.shape}")
    rows = np.atleast_2d(a).astype(np.float64)  # a copy
    sums = rows.sum(axis=1)
    if (rows < 0).any() or not ((sums > 0) & (sums < np.inf)).all():
        raise RuntimeError("multinomial: each row needs finite weights, none below 0, not all 0")
    least = (rows > 0).sum(axis=1).min(initial=num_samples)
    if least < num_samples and not replacement:
        raise RuntimeError(
            f"multinomial: a row has {least} positive weights, too few for {num_samples} samples "
            "without replacement"
        )
    rng = stream("multinomial", generator)
    rows /= sums[:, None]
    if not replacement and num_samples > 1:
        # of exponential times of rates p_i, the first is that of i with probability p_i, of the
        # others the next one again, and so on
        with np.errstate(all="ignore"):
            times = rng.standard_exponential(rows.shape) / rows
        times[rows == 0] = np.nan  # never, which is later than any
        draws = np.argpartition(times, num_samples - 1, axis=1)[:, :num_samples]
        order = np.argsort(np.take_along_axis(times, draws, 1), axis=1)
        draws = np.take_along_axis(draws, order, 1).astype(int64)
        return wrap(draws.reshape(*a.shape[:-1], num_samples))
    # a number uniform in [0, 1) lies in position i with probability p_i of the cumulated sum
    ends = np.cumsum(rows, axis=1)
    ends /= ends[:, -1:]
    u = rng.random((len(rows), num_samples))
    out = np.empty(u.shape, int64)
    if ends.shape[1] < 128 and num_samples <= len(ends):  # to count all takes less than calls
        for j in range(num_samples):
            out[:, j] = (ends <= u[:, j : j + 1]).sum(1)
        return wrap(out.reshape(*a.shape[:-1], num_samples))
    for i, end in enumerate(ends):
        out[i] = np.searchsorted(end, u[i], side="right")
    return wrap(out.reshape(*a.shape[:-1], num_samples))


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
        dtype = scale.dtype if scale.dtype in (np.float32, np.float64) else np.dtype(np.float64)
        scale[...] = np.asarray(generator().random(shape, dtype) >= p) / (1 - p)
    return record_each(name, a * scale, (x, lambda g: g * scale))
