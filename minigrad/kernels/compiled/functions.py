"""float32 functions that LLVM can inline and vectorise: exp, log, tanh, erf and their like.

A call of libm keeps a loop scalar; these are arithmetic only. Each reduces its argument to a small
interval and is a polynomial there, whose coefficients make the greatest error least
(tests/kernels/fit_functions.py computes them). What remains is rounding: at most 2 units in the
last place everywhere (6 of erfc, ndtr and their inverses, which multiply several such results),
tiny arguments and denormal results included; infinities and NaN are as in numpy.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from minigrad.kernels.machinery.launch import contracted, exact, intrinsic

f4, i4 = np.float32, np.int32
HALF, ONE, TWO, INF = f4(0.5), f4(1), f4(2), f4(np.inf)


@intrinsic
def bits(typingctx, x):
    """The bits of a float32 as an integer."""
    return types.int32(types.float32), lambda _, b, sig, args: b.bitcast(args[0], ir.IntType(32))


@intrinsic
def from_bits(typingctx, n):
    """The float32 of these bits."""
    return types.float32(types.int32), lambda _, b, sig, args: b.bitcast(args[0], ir.FloatType())


@intrinsic
def whole(typingctx, x):
    """x without its fraction, as an int32."""
    return types.int32(types.float32), lambda _, b, sig, args: b.fptosi(args[0], ir.IntType(32))


@intrinsic
def real(typingctx, n):
    """An int32 as a float32."""
    return types.float32(types.int32), lambda _, b, sig, args: b.sitofp(args[0], ir.FloatType())


@intrinsic
def fma(typingctx, a, b, c):
    """a·b + c, in one instruction where the CPU has it, and never by a call of libm."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.f32")
        return builder.call(function, args)

    return types.float32(types.float32, types.float32, types.float32), codegen


@contracted
def nearest(x):
    """The integer next to x, for |x| < 2²²: adding 1.5·2²³ leaves no room for a fraction."""
    return (x + f4(12582912)) - f4(12582912)


@contracted
def power_of_two(n):
    """2ⁿ for integers -126 <= n <= 127: n goes into the exponent's bits."""
    return from_bits((whole(n) + i4(127)) << i4(23))


@contracted
def with_sign(x, sign):
    """The positive x with the sign of `sign`."""
    return from_bits(bits(x) | (bits(sign) & i4(-(2**31))))


@contracted
def reduced(x):
    """n and e^r - 1, where x = n·ln 2 + r and |r| <= ln 2 / 2.

    ln 2 has two parts, the first of so few digits that n times it is exact.
    """
    n = nearest(x * f4(1.44269504))
    r = fma(n, f4(-0.693145752), x)
    return n, expm1_near_0(fma(n, f4(-1.42860677e-6), r))


@contracted
def expm1_near_0(r):
    """e^r - 1 for |r| <= ln 2 / 2."""
    p = fma(f4(0.00138131424), r, f4(0.00836941904))
    p = fma(p, r, f4(0.0416684568))
    p = fma(p, r, f4(0.166665148))
    p = fma(p, r, f4(0.499999931))
    return fma(p, r * r, r)


@contracted
def exp2(x):
    t = min(max(x, f4(-151)), f4(128.5))
    n = nearest(t)
    half = nearest(n * HALF)
    p = expm1_near_0((t - n) * f4(0.693147181))
    y = (p + ONE) * power_of_two(half) * power_of_two(n - half)
    return y if x == x else x


@contracted
def exp(x):
    # e^x = 2ⁿ·e^r. 2ⁿ is given in two factors: beyond -126 and 127 it has no float32 itself.
    n, p = reduced(min(max(x, f4(-104)), f4(88.8)))
    half = nearest(n * HALF)
    y = (p + ONE) * power_of_two(half) * power_of_two(n - half)
    return y if x == x else x


@contracted
def exp_of_negative(x):
    """e^x for x <= 0, 0 where the result would be denormal; cheaper than exp. NaN gives any."""
    n, p = reduced(max(x, f4(-87.3)))
    return (p + ONE) * power_of_two(n)


@contracted
def expm1(x):
    # e^x - 1 = 2ⁿ·(p + (1 - 2⁻ⁿ)), where near 0 n is 0 and p alone is left
    n, p = reduced(min(max(x, f4(-25)), f4(88.8)))
    half = nearest(n * HALF)
    y = (p + (ONE - power_of_two(-min(n, f4(126))))) * power_of_two(half) * power_of_two(n - half)
    return y if x == x and x != 0 else x  # -0 keeps its sign


@contracted
def sigmoid(x):
    """1/(1 + e⁻ˣ) = e^min(x, 0)/(1 + e^-|x|)."""
    e = exp(-abs(x))
    return (ONE if x >= 0 else e) / (ONE + e)


@contracted
def tanh(x):
    # t + t³·q(t²) of t = |x| near 0, elsewhere 1 - 2/(e^2t + 1); then the sign of x
    t = min(abs(x), f4(10))
    z = t * t
    q = fma(f4(-0.00551516718), z, f4(0.0204694235))
    q = fma(q, z, f4(-0.0536880245))
    q = fma(q, z, f4(0.133308304))
    q = fma(q, z, f4(-0.333332598))
    n, p = reduced(t * TWO)
    scale = power_of_two(n)
    far = ONE - TWO / (fma(scale, p, scale) + ONE)
    y = with_sign(fma(q * z, t, t) if t < f4(0.6) else far, x)
    return y if x == x else x


@contracted
def erf(x):
    # t + t·q(t²) of t = |x| near 0, elsewhere 1 - e^-(t + t·s(t)); then the sign of x
    t = min(abs(x), f4(4.1))
    z = t * t
    q = fma(f4(-0.00058622281), z, f4(0.00496754337))
    q = fma(q, z, f4(-0.0267488976))
    q = fma(q, z, f4(0.11281322))
    q = fma(q, z, f4(-0.376124462))
    q = fma(q, z, f4(0.128379142))
    s = fma(f4(1.04331193e-05), t, f4(-0.000314858157))
    s = fma(s, t, f4(0.00361034211))
    s = fma(s, t, f4(-0.0236945663))
    s = fma(s, t, f4(0.106159049))
    s = fma(s, t, f4(0.635198034))
    s = fma(s, t, f4(0.128637075))
    far = ONE - exp_of_negative(-fma(s, t, t))
    y = with_sign(fma(q, t, t) if t < f4(0.93) else far, x)
    return y if x == x else x


@contracted
def mantissa(x):
    """n and f of x = 2ⁿ·(1 + f), with 1/√2 <= 1 + f < √2, for x > 0 and finite."""
    tiny = x < f4(1.17549435e-38)
    b = bits(x * f4(8388608) if tiny else x)
    k = (b - i4(0x3F3504F3)) >> i4(23)
    return real(k) - (f4(23) if tiny else f4(0)), from_bits(b - (k << i4(23))) - ONE


@contracted
def log_of_1(f):
    """log(1 + f) - f for 1/√2 <= 1 + f < √2: -f²/2 + f³·p(f)."""
    p = fma(f4(-0.0765770121), f, f4(0.127967107))
    p = fma(p, f, f4(-0.13168206))
    p = fma(p, f, f4(0.141976087))
    p = fma(p, f, f4(-0.166221658))
    p = fma(p, f, f4(0.2000136))
    p = fma(p, f, f4(-0.250008552))
    p = fma(p, f, f4(0.333333307))
    return p * f * (f * f) - HALF * (f * f)


@contracted
def where_log_is_defined(y, x):
    """y for finite x > 0, else what a logarithm gives."""
    y = y if x < INF else x
    return y if x > 0 else (-INF if x == 0 else f4(np.nan))


@contracted
def log(x):
    n, f = mantissa(x)
    y = fma(n, f4(0.693359375), fma(n, f4(-2.12194440e-4), log_of_1(f)) + f)
    return where_log_is_defined(y, x)


@contracted
def log2(x):
    n, f = mantissa(x)
    rest = log_of_1(f)
    y = fma(f, f4(1.44269504), fma(rest, f4(1.44269504), f * f4(1.92596303e-08)))
    return where_log_is_defined(n + y, x)  # exact for powers of two


@contracted
def log10(x):
    n, f = mantissa(x)
    rest = log_of_1(f)
    y = fma(n, f4(-1.14324398e-08), fma(rest, f4(0.434294482), f * f4(0.434294482)))
    return where_log_is_defined(fma(n, f4(0.301030010), y), x)


@contracted
def log1p(x):
    # log u + (x - (u - 1))/u for u = 1 + x rounded: the second term is what rounding took
    u = ONE + x
    d = u - ONE
    y = log(u) + (x - d) / u
    y = x if d == 0 else y
    return y if 0 < u < INF else log(u)


@contracted
def erfc_tail(t, low):
    """erfc(t + low) for t >= 0.48, low being what t lacks of an argument that float32 has not."""
    # e^(-t²)·w·q(w - 1/2), w = 1/(1 + t/2); t² in two parts, as its rounding would show in e^(-t²)
    w = ONE / fma(t, HALF, ONE)
    v = w - HALF
    q = fma(f4(-0.0620212191), v, f4(0.0511106321))
    q = fma(q, v, f4(0.0963485383))
    q = fma(q, v, f4(-0.103496182))
    q = fma(q, v, f4(-0.171970459))
    q = fma(q, v, f4(0.14576504))
    q = fma(q, v, f4(0.558942396))
    q = fma(q, v, f4(0.687160704))
    q = fma(q, v, f4(0.510791357))
    square = t * t
    rest = fma(t, t, -square) + TWO * t * low
    return exp(-square) * (ONE - rest) * (w * q)


@contracted
def erfc(x):
    t = min(max(abs(x), f4(0.48)), f4(10.1))
    far = erfc_tail(t, f4(0))
    y = ONE - erf(x) if abs(x) < f4(0.48) else (far if x > 0 else TWO - far)
    return y if x == x else x


@contracted
def ndtr(x):
    """erfc(-x/√2)/2."""
    size = min(abs(x), f4(14.2))
    t = size * f4(0.707106769)
    low = fma(size, f4(0.707106769), -t) + size * f4(1.21016175e-08)
    far = HALF * erfc_tail(max(t, f4(0.48)), low)
    y = HALF + HALF * erf(x * f4(0.707106769)) if t < f4(0.48) else (far if x < 0 else ONE - far)
    return y if x == x else x


@contracted
def erfinv_over_x(w):
    """erfinv(x)/x, where w = -log(1 - x²)."""
    v = min(w, f4(5)) - f4(2.5)
    near = fma(f4(-8.79105648e-09), v, f4(2.32326443e-08))
    near = fma(near, v, f4(4.66170664e-07))
    near = fma(near, v, f4(-3.46270476e-06))
    near = fma(near, v, f4(-4.96334785e-06))
    near = fma(near, v, f4(0.000218344439))
    near = fma(near, v, f4(-0.00125274188))
    near = fma(near, v, f4(-0.00417738678))
    near = fma(near, v, f4(0.246640286))
    near = fma(near, v, f4(1.50140936))
    s = np.sqrt(max(w, f4(5)))
    v = min(s, f4(4.1)) - f4(3)
    middle = fma(f4(0.000114323533), v, f4(-0.000309047219))
    middle = fma(middle, v, f4(-5.39135561e-05))
    middle = fma(middle, v, f4(0.00148418638))
    middle = fma(middle, v, f4(-0.00359926904))
    middle = fma(middle, v, f4(0.00568738329))
    middle = fma(middle, v, f4(-0.00763685054))
    middle = fma(middle, v, f4(0.0094452361))
    middle = fma(middle, v, f4(1.00167494))
    middle = fma(middle, v, f4(2.8329768))
    v = min(s, f4(10.25)) - f4(7)
    far = fma(f4(-2.3496717e-09), v, f4(1.54757421e-08))
    far = fma(far, v, f4(-4.28766833e-08))
    far = fma(far, v, f4(2.50408007e-07))
    far = fma(far, v, f4(-1.67395966e-06))
    far = fma(far, v, f4(6.28495991e-06))
    far = fma(far, v, f4(6.40553197e-06))
    far = fma(far, v, f4(-0.000512937656))
    far = fma(far, v, f4(1.00859554))
    far = fma(far, v, f4(6.86901971))
    return near if w < f4(5) else (middle if s < f4(4.1) else (far if w < INF else w))


@contracted
def erfinv(x):
    return x * erfinv_over_x(-log(fma(-x, x, ONE)))


@contracted
def ndtri(p):
    """√2·erfinv(2p - 1), of whose 1 - (2p - 1)² = 4·p·(1 - p) small p keep all digits."""
    x = TWO * p - ONE
    return f4(1.41421356) * x * erfinv_over_x(-log(f4(4) * p * (ONE - p)))


@contracted
def logit(x):
    return log(x / (ONE - x))


@contracted
def entr(x):
    """-x·log x, 0 at 0 and -inf below."""
    return -x * log(x) if x > 0 else (-INF if x < 0 else x)


@contracted
def softplus(x):
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    return max(x, f4(0)) + log1p(exp(-abs(x)))


@exact
def ordered(x):
    """An integer that sorts as x does (NaN beyond the infinities): LLVM makes vectors of the
    largest of integers, not of floats, where a NaN would be in the way."""
    b = bits(x)
    return b ^ ((b >> i4(31)) & i4(0x7FFFFFFF))


@exact
def from_ordered(n):
    """The x of ordered(x)."""
    return from_bits(n ^ ((n >> i4(31)) & i4(0x7FFFFFFF)))


@exact
def largest(row):
    """The largest of a row; a NaN may be taken for the largest or be passed over."""
    top = i4(-(2**31))
    for i in range(row.size):
        top = max(top, ordered(row[i]))
    return from_ordered(top)
