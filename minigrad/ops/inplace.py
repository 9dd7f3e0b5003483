"""In-place changes. All go through `overwrite` (recording.py), which records and notes them."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from minigrad import modes
from minigrad.checks import integer, number
from minigrad.dtypes import CATEGORY
from minigrad.incoming import as_array, fitting
from minigrad.ops import (
    activations,
    arithmetic,
    arranging,
    compare,
    cumulative,
    elementary,
    indexing,
    linear,
    products,
    rounding,
    scattering,
    shape,
    special,
    sums,
    trigonometry,
)
from minigrad.ops.random import Generator, probabilities, stream
from minigrad.recording import Pair, carry, needs_grad, overwrite, require
from minigrad.tensor import Tensor, node_of, wrap

P = ParamSpec("P")
T = TypeVar("T", bound=Tensor)
# numpy's functions of two arrays of one dtype, or an array and a number, which write their results
# into the first at once where nothing is recorded.
AT_ONCE = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}


def _assign(name: str, x: T, result: Tensor) -> T:
    """x takes the values and the history of `result`, computed from it out of place."""
    if result.shape != x.shape:
        raise RuntimeError(f"{name}: a result of shape {result.shape} does not fit shape {x.shape}")
    carry(x, result.array)
    if CATEGORY[result.dtype.kind] > CATEGORY[x.dtype.kind]:
        raise RuntimeError(f"{name}: a {result.dtype} result does not fit a {x.dtype} tensor")
    values = result.array
    # What has no gradient, a comparison, leaves none to the old values either.
    pair: Pair = (result, lambda g: g) if needs_grad(result) else (x, np.zeros_like)
    return overwrite(name, x, lambda out: np.copyto(out, values, casting="unsafe"), pair)


def _unconverted(other: Any, x: Any) -> Any:
    """The array or the number that needs no conversion to be written into x with it; else None."""
    if not isinstance(x, Tensor) or x.array.dtype.kind != "f" or x.array.dtype == np.float16:
        return None
    if type(other) is float:
        return x.array.dtype.type(other)
    if isinstance(other, Tensor) and other.array.dtype == x.array.dtype:
        return other.array if other.array.shape in (x.array.shape, ()) else None
    return None


# PyTorch's first years had the numbers before the tensors, and its methods still take them so:
# x.add_(0.1, y), x.addmm_(1, -2, a, b). How many tensors there are, and the numbers' names.
OLD_ORDER: dict[str, tuple[int, tuple[str, ...]]] = {
    "add": (1, ("alpha",)), "sub": (1, ("alpha",)), "addcmul": (2, ("value",)),
    "addcdiv": (2, ("value",)), "addmm": (2, ("beta", "alpha")), "addmv": (2, ("beta", "alpha")),
    "addr": (2, ("beta", "alpha")), "baddbmm": (2, ("beta", "alpha")),
}  # fmt: skip


def _new_order(name: str, args: Any, options: Any) -> tuple[Any, Any]:
    """The arguments that were given in the old order, in today's, with a warning."""
    tensors, names = OLD_ORDER[name.removesuffix("_")]
    numbers = len(args) - tensors
    named = dict(zip(names[:numbers], args, strict=False))
    if numbers > len(names) or options:
        raise TypeError(f"{name}: expected {tensors} tensors, got {len(args)} arguments")
    wanted = ", ".join(["…"] * tensors + [f"{k}={v}" for k, v in named.items()])
    warnings.warn(
        f"{name}: numbers before tensors are PyTorch's old order: write {name}({wanted})",
        stacklevel=3,
    )
    return args[numbers:], named


def in_place(op: Callable[Concatenate[Any, P], Tensor]) -> Callable[Concatenate[T, P], T]:
    """The op that writes the result of `op` into its first operand, and returns that."""
    name = op.__name__ + "_"
    ufunc: Any = AT_ONCE.get(op.__name__)
    most = OLD_ORDER[op.__name__][0] if op.__name__ in OLD_ORDER else math.inf

    @functools.wraps(op)
    def method(x: T, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if len(args) > most:
            args, kwargs = _new_order(name, args, kwargs)
        old: Tensor = x
        given: list[Any] = [*args, *kwargs.values()]
        if modes.grad_enabled.get() and any(needs_grad(v) for v in (x, *given)):
            old = wrap(x.array.copy(), node_of(x))  # what a vjp saves must outlive the change
        elif ufunc is not None and len(given) == len(args) == 1:
            with np.errstate(all="ignore"):
                other = _unconverted(given[0], x)
                if other is not None:
                    return overwrite(name, x, lambda out: ufunc(out, other, out=out))
        return _assign(name, x, op(old, *args, **kwargs))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{op.__name__}` in place."
    return method


add_ = in_place(arithmetic.add)
sub_ = in_place(arithmetic.sub)
mul_ = in_place(arithmetic.mul)
div_ = in_place(arithmetic.div)
floor_divide_ = in_place(arithmetic.floor_divide)
remainder_ = in_place(arithmetic.remainder)
neg_ = in_place(arithmetic.neg)
pow_ = in_place(elementary.pow)
square_ = in_place(elementary.square)
exp_ = in_place(elementary.exp)
expm1_ = in_place(elementary.expm1)
log_ = in_place(elementary.log)
log2_ = in_place(elementary.log2)
log10_ = in_place(elementary.log10)
log1p_ = in_place(elementary.log1p)
sqrt_ = in_place(elementary.sqrt)
rsqrt_ = in_place(elementary.rsqrt)
reciprocal_ = in_place(elementary.reciprocal)
sin_ = in_place(elementary.sin)
cos_ = in_place(elementary.cos)
abs_ = in_place(arithmetic.abs)
clamp_ = in_place(arithmetic.clamp)
lerp_ = in_place(trigonometry.lerp)
addcdiv_ = in_place(trigonometry.addcdiv)
addcmul_ = in_place(trigonometry.addcmul)
sign_ = in_place(rounding.sign)
sgn_ = in_place(rounding.sgn)
floor_ = in_place(rounding.floor)
ceil_ = in_place(rounding.ceil)
trunc_ = in_place(rounding.trunc)
round_ = in_place(rounding.round)
relu_ = in_place(activations.relu)
sigmoid_ = in_place(activations.sigmoid)
tanh_ = in_place(activations.tanh)
erf_ = in_place(activations.erf)
erfinv_ = in_place(special.erfinv)
lgamma_ = in_place(special.lgamma)
digamma_ = in_place(special.digamma)
i0_ = in_place(special.i0)
cumsum_ = in_place(cumulative.cumsum)
cumprod_ = in_place(cumulative.cumprod)
triu_ = in_place(shape.triu)
tril_ = in_place(shape.tril)
addmm_ = in_place(linear.addmm)
index_fill_ = in_place(arranging.index_fill)
index_add_ = in_place(arranging.index_add)
index_copy_ = in_place(arranging.index_copy)
masked_fill_ = in_place(indexing.masked_fill)
scatter_ = in_place(indexing.scatter)
scatter_add_ = in_place(indexing.scatter_add)
scatter_reduce_ = in_place(scattering.scatter_reduce)
put_ = in_place(scattering.put)
index_put_ = in_place(scattering.index_put)
masked_scatter_ = in_place(scattering.masked_scatter)
bitwise_and_ = in_place(compare.bitwise_and)
bitwise_or_ = in_place(compare.bitwise_or)
bitwise_xor_ = in_place(compare.bitwise_xor)
bitwise_not_ = in_place(compare.bitwise_not)
bitwise_left_shift_ = in_place(compare.bitwise_left_shift)
bitwise_right_shift_ = in_place(compare.bitwise_right_shift)
nextafter_ = in_place(compare.nextafter)
ldexp_ = in_place(elementary.ldexp)
tan_ = in_place(trigonometry.tan)
sinh_ = in_place(trigonometry.sinh)
cosh_ = in_place(trigonometry.cosh)
asin_ = in_place(trigonometry.asin)
acos_ = in_place(trigonometry.acos)
atan_ = in_place(trigonometry.atan)
asinh_ = in_place(trigonometry.asinh)
acosh_ = in_place(trigonometry.acosh)
atanh_ = in_place(trigonometry.atanh)
atan2_ = in_place(trigonometry.atan2)
hypot_ = in_place(trigonometry.hypot)
deg2rad_ = in_place(trigonometry.deg2rad)
rad2deg_ = in_place(trigonometry.rad2deg)
frac_ = in_place(trigonometry.frac)
fmod_ = in_place(trigonometry.fmod)
copysign_ = in_place(trigonometry.copysign)
heaviside_ = in_place(trigonometry.heaviside)
exp2_ = in_place(trigonometry.exp2)
logit_ = in_place(trigonometry.logit)
xlogy_ = in_place(trigonometry.xlogy)
float_power_ = in_place(trigonometry.float_power)
nan_to_num_ = in_place(trigonometry.nan_to_num)
clamp_min_ = in_place(trigonometry.clamp_min)
clamp_max_ = in_place(trigonometry.clamp_max)
sinc_ = in_place(trigonometry.sinc)
eq_ = in_place(compare.eq)
ne_ = in_place(compare.ne)
lt_ = in_place(compare.lt)
le_ = in_place(compare.le)
gt_ = in_place(compare.gt)
ge_ = in_place(compare.ge)
logical_and_ = in_place(compare.logical_and)
logical_or_ = in_place(compare.logical_or)
logical_xor_ = in_place(compare.logical_xor)
logical_not_ = in_place(compare.logical_not)
gcd_ = in_place(compare.gcd)
lcm_ = in_place(compare.lcm)
erfc_ = in_place(special.erfc)
mvlgamma_ = in_place(special.mvlgamma)
renorm_ = in_place(sums.renorm)
addmv_ = in_place(products.addmv)
addr_ = in_place(products.addr)
baddbmm_ = in_place(products.baddbmm)
# Other names for the same.
absolute_, negative_, clip_, fix_ = abs_, neg_, clamp_, trunc_
subtract_, multiply_, divide_, true_divide_ = sub_, mul_, div_, div_
greater_, greater_equal_, less_, less_equal_, not_equal_ = gt_, ge_, lt_, le_, ne_
arcsin_, arccos_, arctan_, arcsinh_, arccosh_ = asin_, acos_, atan_, asinh_, acosh_
arctanh_, arctan2_ = atanh_, atan2_


def fill_(x: T, value: Any) -> T:
    """Every element becomes `value`."""
    v = as_array(value, name="fill_")
    if v.ndim:
        raise RuntimeError(f"fill_: expected a number or 0-d tensor, got shape {v.shape}")
    if needs_grad(value) or v.dtype.kind == "c":
        return copy_(x, value)
    v = fitting("fill_", value, x.array.dtype)
    return overwrite("fill_", x, lambda out: out.fill(v), (x, np.zeros_like))


def zero_(x: T) -> T:
    """Every element becomes 0."""
    require("zero_", input=x)
    return overwrite("zero_", x, lambda out: out.fill(0), (x, np.zeros_like))


def copy_(x: T, src: Any, non_blocking: bool = False) -> T:
    """The values of `src`, broadcast and converted. `non_blocking` changes nothing."""
    v = indexing.writable("copy_", src, x.array)
    try:
        values = np.broadcast_to(v, x.shape)
    except ValueError:
        raise RuntimeError(f"copy_: shape {v.shape} does not broadcast to {x.shape}") from None
    carry(x, values)
    write: Callable[[Any], None] = lambda out: np.copyto(out, values, casting="unsafe")  # noqa: E731
    return overwrite("copy_", x, write, (x, np.zeros_like), (src, lambda g: g))


def _floating(name: str, x: Tensor) -> None:
    """Raise where PyTorch fills no integers: rounded, the numbers would not be those drawn."""
    dtype = x.array.real.dtype
    if dtype.kind != "f":
        raise RuntimeError(f"{name}: expected a floating tensor, got dtype {dtype}")


def _drawn(name: str, x: T, draw: Callable[[tuple[int, ...]], Any]) -> T:
    """x filled with what `draw` gives for its shape, which is asked once x is known to be writable:
    a refusal draws no random numbers."""

    def write(out: Any) -> None:
        with np.errstate(over="ignore"):  # a float16 may be too small for what is drawn
            np.copyto(out, draw(out.shape), casting="unsafe")

    return overwrite(name, x, write, (x, np.zeros_like))


def uniform_(x: T, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> T:
    """Random numbers uniform in [from_, to)."""
    _floating("uniform_", x)
    if not from_ <= to:
        raise RuntimeError(f"uniform_: expected from <= to, got {from_} and {to}")
    rng = stream("uniform_", generator)
    return _drawn("uniform_", x, lambda shape: rng.uniform(from_, to, shape))


def normal_(x: T, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> T:
    """Random numbers from a normal distribution."""
    _floating("normal_", x)
    if not std >= 0:
        raise RuntimeError(f"normal_: std must be at least 0, got {std}")
    rng = stream("normal_", generator)
    return _drawn("normal_", x, lambda shape: rng.normal(mean, std, shape))


def bernoulli_(x: T, p: Any = 0.5, *, generator: Generator | None = None) -> T:
    """1 with probability p, a number or a tensor that broadcasts, else 0."""
    if isinstance(p, Tensor) and p.dtype.kind not in "fc":
        raise RuntimeError(f"bernoulli_: p must be floating, got {p.dtype}: use .float()")
    chance = probabilities("bernoulli_", p)
    try:
        chance = np.broadcast_to(chance, x.shape)
    except ValueError:
        raise RuntimeError(
            f"bernoulli_: p of shape {chance.shape} does not broadcast to {x.shape}"
        ) from None
    rng = stream("bernoulli_", generator)
    return _drawn("bernoulli_", x, lambda shape: rng.random(shape) < chance)


def exponential_(x: T, lambd: float = 1.0, *, generator: Generator | None = None) -> T:
    """Random numbers from the exponential distribution, of density lambd·exp(-lambd·x), x > 0."""
    _floating("exponential_", x)
    rate = number("exponential_", "lambd", lambd, above=0)
    rng, least = stream("exponential_", generator), np.finfo(x.array.real.dtype).smallest_normal
    return _drawn(  # above 0, for logarithms of it
        "exponential_", x, lambda shape: np.maximum(rng.standard_exponential(shape) / rate, least)
    )


def log_normal_(
    x: T, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> T:
    """Random numbers whose logarithms are normal with this mean and standard deviation."""
    _floating("log_normal_", x)
    m, s = number("log_normal_", "mean", mean), number("log_normal_", "std", std, above=0)
    rng = stream("log_normal_", generator)
    return _drawn("log_normal_", x, lambda shape: rng.lognormal(m, s, shape))


def cauchy_(
    x: T, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> T:
    """Random numbers from the Cauchy distribution, of density sigma/π/((x - median)² + sigma²)."""
    _floating("cauchy_", x)
    m, s = number("cauchy_", "median", median), number("cauchy_", "sigma", sigma, above=0)
    rng = stream("cauchy_", generator)
    return _drawn("cauchy_", x, lambda shape: m + s * rng.standard_cauchy(shape))


def geometric_(x: T, p: float, *, generator: Generator | None = None) -> T:
    """How often one tries until the first success, of probability p each time: 1, 2, …"""
    chance, dtype = number("geometric_", "p", p, above=0, below=1), x.array.real.dtype
    if dtype.kind == "b":
        raise RuntimeError("geometric_: expected a tensor of numbers, got dtype bool")
    rng = stream("geometric_", generator)
    most = np.iinfo(dtype if dtype.kind in "iu" else np.int64).max
    return _drawn("geometric_", x, lambda shape: np.minimum(rng.geometric(chance, shape), most))


def random_(
    x: T, from_: int | None = None, to: int | None = None, *, generator: Generator | None = None
) -> T:
    """Random integers from from_ (0 if one bound is given) to `to`, exclusive: random_(to) or
    random_(from_, to).

    Without bounds they go from 0 to the largest of an integer dtype, and to 2^24 in float32, 2^53
    in float64, 2^11 in float16, up to where every integer is representable.
    """
    dtype = x.array.real.dtype
    if from_ is None and to is None:
        if dtype.kind == "f":
            low, high = 0, 2 ** (np.finfo(dtype).nmant + 1) + 1
        else:
            low, high = 0, 2 if dtype.kind == "b" else int(np.iinfo(dtype).max) + 1
    else:
        low, high = (0, from_) if to is None else (from_ or 0, to)
        low, high = integer("random_", "from", low, None), integer("random_", "to", high, None)
        if low >= high:
            raise RuntimeError(f"random_: expected from < to, got {low} and {high}")
        fitting("random_", low, dtype)
        fitting("random_", high - 1, dtype)
    rng = stream("random_", generator)
    return _drawn("random_", x, lambda shape: rng.integers(low, high, shape))
