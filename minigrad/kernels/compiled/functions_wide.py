"""Functions of a float32 that need float64's digits on the way, vectorised as functions.py's.

Their results are sums and products of parts that are larger than they are, or powers, in which the
error of a logarithm grows.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types

from minigrad.kernels.compiled.functions import (
    HALF,
    INF,
    f4,
    i4,
    mantissa,
    nearest,
    power_of_two,
    with_sign,
)  # fmt: skip
from minigrad.kernels.machinery.launch import contracted, exact, intrinsic

I64 = ir.IntType(64)


@intrinsic
def high_bits(typingctx, x):
    """The upper half of a float64's bits, with its sign and exponent."""

    def codegen(_, b, sig, args):
        return b.trunc(b.lshr(b.bitcast(args[0], I64), ir.Constant(I64, 32)), ir.IntType(32))

    return types.int32(types.float64), codegen


@intrinsic
def divided_by_power_of_two(typingctx, x, n):
    """x/2ⁿ, whose exponent is one that float64 has."""

    def codegen(_, b, sig, args):
        down = b.shl(b.sext(args[1], I64), ir.Constant(I64, 52))
        return b.bitcast(b.sub(b.bitcast(args[0], I64), down), ir.DoubleType())

    return types.float64(types.float64, types.int32), codegen


@exact
def nearest_wide(x):
    """The integer next to x, for |x| < 2⁵¹."""
    return (x + 6755399441055744.0) - 6755399441055744.0


@contracted
def log_of_1_wide(f):
    """log(1 + f) = 2·artanh(s), for 1/√2 <= 1 + f < √2."""
    s = f / (2.0 + f)
    z = s * s
    p = ((((((z / 15 + 1 / 13) * z + 1 / 11) * z + 1 / 9) * z + 1 / 7) * z + 1 / 5) * z + 1 / 3) * z
    return 2 * (s + s * p)


@contracted
def log_wide(x):
    """log x of a finite x > 0 that is not denormal."""
    n = (high_bits(x) - i4(0x3FE6A09E)) >> i4(20)
    return n * 0.6931471805599453 + log_of_1_wide(divided_by_power_of_two(x, n) - 1.0)


@contracted
def times_exp2(factor, t):
    """factor·2ᵗ, rounded once, for a factor from 2⁻¹⁰⁰ to 1; beyond 250, t is taken for that."""
    t = min(max(t, -160.0), 250.0)
    m = nearest_wide(t)
    r = (t - m) * 0.6931471805599453
    q = 1 + r * (1 + r / 2 * (1 + r / 3 * (1 + r / 4 * (1 + r / 5 * (1 + r / 6 * (1 + r / 7))))))
    half = nearest(f4(m) * HALF)
    return f4(factor * q) * power_of_two(half) * power_of_two(f4(m) - half)


@contracted
def exp2_wide(t, x):
    """2ᵗ; x is NaN where t is, which comparisons may lose."""
    y = times_exp2(1.0, t)
    return y if x == x else x


@contracted
def power(x, b, parity):
    """|x|ᵇ for a finite b != 0, with the sign of xᵇ; parity is 0 unless b is an integer, then 2 if
    it is even and 1 if it is odd."""
    a = abs(x)
    n, f = mantissa(a)
    t = b * (n + log_of_1_wide(f) * 1.4426950408889634)
    y = times_exp2(1.0, t)
    big = b > 0
    y = y if a > 0 else (f4(0) if big else INF)
    y = y if a < INF else (INF if big else f4(0))
    y = with_sign(y, x) if parity == 1 else y
    y = f4(np.nan) if x < 0 and parity == 0 and a < INF else y
    return y if x == x else x


# The gamma function, by Stirling's series at x + 8, or at x from 8 on (ops/special.py, whose
# numbers of Bernoulli these are). Up to 0 it is mirrored: Γ(x)·Γ(1 - x) = π/sin πx.

EIGHT = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)


@contracted
def sine_of_turn(r):
    """sin πr for |r| <= 1/2."""
    a = 3.141592653589793 * r
    z = a * a
    p = 1.0
    for k in (18, 16, 14, 12, 10, 8, 6, 4, 2):
        p = 1.0 - p * z / (k * (k + 1))
    return a * p


@contracted
def mirrored(x):
    """x or, up to 0, 1 - x in float64; and how far x is from the next integer."""
    w = np.float64(x)
    r = w - nearest_wide(w) if abs(w) < 8388608 else 0.0
    return (w if x > 0 else 1.0 - w), r


@contracted
def lgamma(x):
    """log |Γ(x)|."""
    w, r = mirrored(x)
    product = 1.0
    for k in EIGHT:
        product *= w + k
    product = product if w < 8 else 1.0
    z = w + 8 if w < 8 else min(w, 1e39)
    v = 1 / (z * z)
    s = 1 / 156
    for c in (-691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12):
        s = s * v + c
    y = (z - 0.5) * log_wide(z) - z + 0.9189385332046727 + s / z
    turn = max(abs(sine_of_turn(r)), 1e-300)
    logs = log_wide(product if x > 0 else product * 3.141592653589793 / turn)
    y = f4(y - logs if x > 0 else logs - y)
    y = f4(0) if x == 1 or x == 2 else y
    y = INF if (x <= 0 and r == 0) or abs(x) == INF else y
    return y if x == x else x


@contracted
def digamma(x):
    """The derivative of lgamma."""
    w, r = mirrored(x)
    up, down = 0.0, 1.0  # the sum of 1/(w + k) as one fraction
    for k in EIGHT:
        up = up * (w + k) + down
        down = down * (w + k)
    steps = up / down if w < 8 else 0.0
    z = w + 8 if w < 8 else min(w, 1e39)
    v = 1 / (z * z)
    s = 1 / 12
    for c in (-691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12):
        s = s * v + c
    y = log_wide(z) - 0.5 / z - s * v - steps
    cosine = sine_of_turn(0.5 - abs(r))
    y = y if x > 0 else y - 3.141592653589793 * cosine / sine_of_turn(r)
    y = f4(y)
    y = y if x > 0 or r != 0 else (f4(np.nan) if x != 0 else with_sign(INF, -x))
    y = y if abs(x) < INF else (x if x > 0 else f4(np.nan))
    return y if x == x else x


@contracted
def trigamma(x):
    """The derivative of digamma."""
    w, r = mirrored(x)
    steps = 0.0
    for k in EIGHT:
        steps += 1 / ((w + k) * (w + k))
    z = w + 8 if w < 8 else min(w, 1e39)
    v = 1 / (z * z)
    s = 7 / 6
    for c in (-691 / 2730, 5 / 66, -1 / 30, 1 / 42, -1 / 30, 1 / 6):
        s = s * v + c
    y = 1 / z + (0.5 + s / z) * v + (steps if w < 8 else 0.0)
    turn = 3.141592653589793 / sine_of_turn(r)
    y = f4(y if x > 0 else turn * turn - y)
    y = INF if x <= 0 and r == 0 else y
    return y if x == x else x


# The modified Bessel functions I₀ and I₁, by polynomials of x/4 - 1 up to 8 and of 16/x - 1 beyond.

# fmt: off
I0_SMALL = (
    -0.000737029918055, 0.00193828243797, -0.00122848679817, 0.00139570083248,
    -0.00721793816133, 0.0142639436228, -0.0195716617788, 0.0288235988886, -0.0429567736026,
    0.0572370875515, -0.0695661714453, 0.0791884850141, -0.0849578241161, 0.0873515252614,
    -0.0890439028925, 0.0945153394836, -0.113004316664, 0.207001922904,
)
I0_LARGE = (
    1.0894076711e-07, 3.62155675397e-07, 1.47562755085e-06, 1.11127741903e-05,
    0.000136217405841, 0.00336055555002, 0.4021765094,
)
I1_SMALL = (
    -9.26471264372e-05, 0.000293110849927, -0.000329087262472, 0.000466843332564,
    -0.00148762529221, 0.00327464122493, -0.00561288788764, 0.00943778898777,
    -0.0155222182385, 0.0237312280097, -0.0336869508148, 0.0446669860978, -0.0552775670028,
    0.0637680141245, -0.0684827746825, 0.0680575821223, -0.0611243348068, 0.0446877099531,
)
I1_LARGE = (
    -1.23747451937e-07, -4.20485433965e-07, -1.82407702771e-06, -1.5004640985e-05,
    -0.000219237786078, -0.009749581207, 0.389398459102,
)
# fmt: on


@contracted
def bessel(x, small, large, order):
    """I(|x|) of this order."""
    a = np.float64(abs(x))
    near, far = min(a, 8.0) / 4 - 1, 16 / max(a, 8.0) - 1
    p, q = 0.0, 0.0
    for c in small:
        p = p * near + c
    for c in large:
        q = q * far + c
    p = p * a if order else p
    y = times_exp2(p if a < 8 else q / np.sqrt(a), a * 1.4426950408889634)
    y = INF if a == np.inf else y
    return y if x == x else x


@contracted
def i0(x):
    return bessel(x, I0_SMALL, I0_LARGE, 0)


@contracted
def i1(x):
    return with_sign(bessel(x, I1_SMALL, I1_LARGE, 1), x)
