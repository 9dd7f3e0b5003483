"""Winograd's transforms along one axis, of vectors: a small matrix times as many arrays.

conv_windows has the equations of F(2, 3). Those of F(2, 2), of two taps, are

    y0 = m0 + m1      m0 = w0·(d0 - d1)      m1 = (w0 + w1)·d1
    y1 = m1 + m2      m2 = w1·(d2 - d1)

In both, what an output does not depend on, zeros of the padding beside it included, adds nothing to
it, not even a rounding error.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from minigrad.kernels.compiled.conv_rows import Masked
from minigrad.kernels.compiled.conv_tile import Vectors, constant
from minigrad.kernels.machinery.launch import intrinsic

# Bᵀ, G and Aᵀ for three taps, with four components, and for two taps, with three.
INPUTS = (
    np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
    np.array([[1, -1, 0], [0, 1, 0], [0, -1, 1]]),
)
FILTERS = (
    np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    np.array([[1, 0], [1, 1], [0, 1]]),
)
OUTPUTS = np.array([[1, 1, 1, 0], [0, 1, -1, -1]]), np.array([[1, 1, 0], [0, 1, 1]])


def _linear(four: Any, three: Any, added: bool = False) -> Any:
    """The code of a matrix times vectors: the one for four components or the one for three."""

    @intrinsic
    def transform(typingctx, components, source, step, target, apart, n):
        """target[i·apart + k] = Σ_j matrix[i, j]·source[j·step + k] for k < n."""

        def codegen(context, b, signature, args):
            components, source, step, target, apart, n = args
            v = Vectors(b, signature.args[1].dtype)
            masked, lanes = Masked(v), constant(v.lanes)

            def total(row, vectors):
                sum_ = None
                for factor, vector in zip(row, vectors, strict=True):
                    if factor:
                        if abs(factor) != 1:
                            vector = b.fmul(vector, ir.Constant(v.type, [abs(factor)] * v.lanes))
                        if sum_ is None:
                            sum_ = vector if factor > 0 else b.fsub(v.zero, vector)
                        else:
                            sum_ = (b.fadd if factor > 0 else b.fsub)(sum_, vector)
                return sum_

            def some(of, load, store):
                froms = [b.gep(source, [b.mul(step, constant(j))]) for j in range(of.shape[1])]
                tos = [b.gep(target, [b.mul(apart, constant(i))]) for i in range(of.shape[0])]
                vectors = [load(place) for place in froms]
                for row, place in zip(of, tos, strict=True):
                    sum_ = total(row, vectors)
                    store(b.fadd(load(place), sum_) if added else sum_, place)

            def whole(of):
                rest = b.srem(n, lanes)
                end = b.sub(n, rest)
                with cgutils.for_range_slice(b, constant(0), end, lanes) as (k, _):
                    some(of, lambda p: v.load(p, k), lambda value, p: v.store(value, p, k))
                with b.if_then(b.icmp_signed(">", rest, constant(0))):
                    mask = masked.lanes(constant(0), rest)
                    some(
                        of,
                        lambda p: masked.load(b.gep(p, [end]), mask),
                        lambda value, p: masked.store(value, b.gep(p, [end]), mask),
                    )

            with b.if_else(b.icmp_signed("==", components, constant(3))) as (then, otherwise):
                with then:
                    whole(three)
                with otherwise:
                    whole(four)
            return context.get_dummy_value()

        i = types.intp
        return types.void(i, source, i, source, i, i), codegen

    return transform


inputs, filters, outputs = _linear(*INPUTS), _linear(*FILTERS), _linear(*OUTPUTS)
add_inputs = _linear(INPUTS[0].T, INPUTS[1].T, added=True)
to_filters = _linear(FILTERS[0].T, FILTERS[1].T)
to_outputs = _linear(OUTPUTS[0].T, OUTPUTS[1].T)
