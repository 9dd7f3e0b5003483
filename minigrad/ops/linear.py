"""Matrix products. Unlike elementwise ops they refuse mixed dtypes, as in PyTorch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from typing import Any, Unpack

import numpy as np

from minigrad import kernels
from minigrad.dtypes import float32, result_dtype
from minigrad.incoming import as_array
from minigrad.names import Axis, numpy_names
from minigrad.ops.arithmetic import add, clamp, div, mul, scaled
from minigrad.ops.convert import to
from minigrad.ops.reductions import norm
from minigrad.ops.reductions import sum as total
from minigrad.ops.shape import broadcast_tensors, reshape, transpose
from minigrad.ops.windows import conj
from minigrad.recording import check_broadcast, fit, needs_grad, record, require
from minigrad.tensor import Tensor

LAYER = ("input", "weight", "bias")


def matrices(name: str, *tensors: Any, names: Sequence[str] = LAYER) -> tuple[Any, ...]:
    """The arrays of the inputs, of one floating or integer dtype (complex probes mix freely)."""
    arrays = tuple([x.array if isinstance(x, Tensor) else as_array(x) for x in tensors])
    first = arrays[0].dtype
    if first is not float32 and first.kind == "b":
        raise RuntimeError(f"{name}: bool tensors are not supported: convert them")
    for a in arrays[1:]:
        if a.dtype is not first and a.dtype != first and "c" not in (a.dtype.kind, first.kind):
            raise RuntimeError(_mixed(name, names, [b.dtype for b in arrays]))
    return arrays


def _mixed(name: str, names: Sequence[str], dtypes: list[Any]) -> str:
    """Which argument has which dtype, and how to convert the first that is not as the second (as
    the weight of a layer), or as the first floating one."""
    found = ", ".join(f"{n} {d}" for n, d in zip(names, dtypes, strict=False))
    floating = [d for d in (dtypes[1], *dtypes) if d.kind == "f"]
    wanted = floating[0] if floating else dtypes[1]
    odd = next(n for n, d in zip(names, dtypes, strict=False) if d != wanted)
    hint = f"{odd}.to(minigrad.{wanted})"
    if odd == "input" and names is LAYER and dtypes[0].kind == "f":
        hint += f", or the layer with .to(minigrad.{dtypes[0]})"
    return f"{name}: expected one dtype, got {found}: convert with {hint}"


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x·Wᵀ + b for x (…, in), weight (out, in) or (in,), bias (out,)."""
    # y = x·Wᵀ + b        dL/dx = g·W        dL/dW = gᵀ·x        dL/db = Σ g over the rows
    inputs = (input, weight) if bias is None else (input, weight, bias)
    a, w, *rest = matrices("linear", *inputs)
    shape, w_shape = a.shape, w.shape
    if not shape or len(w_shape) not in (1, 2) or shape[-1] != w_shape[-1]:
        raise RuntimeError(
            f"linear: input of shape {shape} does not fit weight of shape {w_shape}, expected "
            f"the input's last size to be {w_shape[-1] if w_shape else 'the in_features'}"
        )
    if len(w_shape) == 1:
        out = matmul(input, weight)
        return out if bias is None else out + bias
    out_features = w_shape[0]
    b_shape, b_dtype = (rest[0].shape, rest[0].dtype) if rest else ((), a.dtype)
    if b_shape not in ((out_features,), (1,), ()):
        raise RuntimeError(f"linear: bias of shape {b_shape}, expected ({out_features},)")
    rows = a if len(shape) > 1 else a[None]
    product = kernels.backend_for(a, w, *rest).product
    y = product(rows, w.T, *rest)
    each = prod(shape[:-1])
    need_x, need_w, need_b = needs_grad(input), needs_grad(weight), needs_grad(bias)
    kept_w = w if need_x else None
    kept_x = rows if need_w else None

    def vjp(g: Any) -> Any:
        db = fit(g.reshape(each, out_features), b_shape, b_dtype) if need_b else None
        g = g if g.ndim > 1 else g[None]
        dx = product(g, kept_w).reshape(shape) if need_x else None
        dw = product(g.swapaxes(-1, -2), kept_x, summed=True) if need_w else None
        return dx, dw, db

    y = y if len(shape) > 1 else y[0]
    return record("linear", y, (input, weight, bias), vjp)


def matmul(input: Any, other: Any) -> Tensor:
    """The matrix product in all ranks: vectors, matrices, and stacks of matrices that broadcast."""
    # Y = A·B        dL/dA = g·Bᵀ        dL/dB = Aᵀ·g        (a vector: row left, column right)
    a, b = matrices("matmul", input, other, names=("input", "other"))
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise RuntimeError(f"matmul: shapes {a.shape} and {b.shape} cannot be multiplied")
    rows = a if a.ndim > 1 else a[None]
    columns = b if b.ndim > 1 else b[:, None]
    try:
        stack = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    except ValueError:
        raise RuntimeError(f"matmul: the stacks {a.shape} and {b.shape} do not broadcast") from None
    product = kernels.backend_for(a, b).product
    out = product(rows, columns)
    shape = out.shape
    out = out.reshape(stack + a.shape[-2:-1] + (b.shape[-1:] if b.ndim > 1 else ()))
    need_a, need_b = needs_grad(input), needs_grad(other)
    a_shape, b_shape, a_dtype, b_dtype = a.shape, b.shape, a.dtype, b.dtype
    kept_b = columns if need_a else None
    kept_a = rows if need_b else None
    rows_shape, columns_shape = rows.shape, columns.shape
    one_b = columns.ndim == 2  # which meets all of the stack

    def vjp(g: Any) -> Any:
        g = g.reshape(shape)
        da = db = None
        if kept_b is not None:
            da = fit(product(g, kept_b.swapaxes(-1, -2)), rows_shape, a_dtype).reshape(a_shape)
        if kept_a is not None:
            db = product(kept_a.swapaxes(-1, -2), g, summed=one_b)
            db = fit(db, columns_shape, b_dtype).reshape(b_shape)
        return da, db

    return record("matmul", out, (input, other), vjp)


def _ranked(name: str, x: Any, y: Any, rank: int, second: str | None = None) -> tuple[Any, Any]:
    """The arrays of two inputs of `rank` axes each; of one dtype if the second's name is given."""
    a, b = as_array(x), as_array(y)
    if second is not None:
        matrices(name, a, b, names=("input", second))
    if a.ndim != rank or b.ndim != rank:
        raise RuntimeError(f"{name}: expected {rank} axes each, got shapes {a.shape} and {b.shape}")
    return a, b


def mm(input: Any, mat2: Any) -> Tensor:
    """The product of two matrices."""
    _ranked("mm", input, mat2, 2, "mat2")
    return matmul(input, mat2)


def bmm(input: Any, mat2: Any) -> Tensor:
    """The products of two stacks (B, n, k) and (B, k, m) of the same length."""
    a, b = _ranked("bmm", input, mat2, 3, "mat2")
    if a.shape[0] != b.shape[0]:
        raise RuntimeError(f"bmm: stacks of {a.shape[0]} and {b.shape[0]} matrices")
    return matmul(input, mat2)


def mv(input: Any, vec: Any) -> Tensor:
    """A matrix times a vector."""
    a, b = matrices("mv", input, vec, names=("input", "vec"))
    if a.ndim != 2 or b.ndim != 1:
        raise RuntimeError(f"mv: expected a matrix and a vector, got shapes {a.shape}, {b.shape}")
    return matmul(input, vec)


def dot(input: Any, tensor: Any) -> Tensor:
    """The inner product of two vectors."""
    return _inner("dot", input, tensor, "tensor")


def vdot(input: Any, other: Any) -> Tensor:
    """The inner product of two vectors, of the conjugate of the first if they are complex."""
    require("vdot", input=input)
    return _inner("vdot", conj(input), other, "other")


def _inner(name: str, x: Any, y: Any, second: str) -> Tensor:
    a, b = _ranked(name, x, y, 1, second)
    if a.shape != b.shape:
        raise RuntimeError(f"{name}: vectors of {a.shape[0]} and {b.shape[0]} elements")
    return matmul(x, y)


def inner(input: Any, other: Any) -> Tensor:
    """The sums of products over the last axis of both: x (…, k) and y (*, k) give (…, *). A 0-d
    tensor is a factor."""
    require("inner", input=input, other=other)
    a, b = matrices("inner", input, other, names=("input", "other"))
    if not a.ndim or not b.ndim:
        return mul(input, other)
    if a.shape[-1] != b.shape[-1]:
        raise RuntimeError(f"inner: the last sizes of {a.shape} and {b.shape} are not equal")
    x, y = (reshape(v, prod(v.shape[:-1]), v.shape[-1]) for v in (input, other))
    return reshape(matmul(x, transpose(y, 0, 1)), (*a.shape[:-1], *b.shape[:-1]))


@numpy_names
def vecdot(x: Any, y: Any, *, dim: int = -1, **names: Unpack[Axis]) -> Tensor:
    """The inner products of vectors that lie along `dim`; the other axes broadcast."""
    a, b = matrices("vecdot", x, y, names=("x", "y"))
    check_broadcast("vecdot", (a, b))
    return total(mul(x, y), dim)


def outer(input: Any, vec2: Any) -> Tensor:
    """The outer product of two vectors."""
    _ranked("outer", input, vec2, 1)
    return mul(reshape(input, -1, 1), vec2)


ger = outer


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta·x + alpha·(mat1 @ mat2)."""
    a, *_ = matrices("addmm", input, mat1, mat2, names=("input", "mat1", "mat2"))
    _ranked("addmm", mat1, mat2, 2)
    product = mm(mat1, mat2)
    try:
        fits = beta == 0 or np.broadcast_shapes(a.shape, product.shape) == product.shape
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(f"addmm: input of shape {a.shape} does not expand to {product.shape}")
    return weighted("addmm", input, product, beta, alpha)


def weighted(name: str, x: Any, product: Tensor, beta: float, alpha: float) -> Tensor:
    """beta·x + alpha·product; nothing of x, which may be NaN, where beta is 0."""
    product = product if alpha == 1 else scaled(name, "alpha", alpha, product)
    if beta == 0:
        return product
    return add(product, x if beta == 1 else scaled(name, "beta", beta, x, product))


def einsum(equation: str, *operands: Any) -> Tensor:
    """Einstein's summation: "ij,jk->ik" is the matrix product."""
    # dL/dA_k = einsum of g with all other inputs, to the letters of A_k
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    if not isinstance(equation, str) or not operands:
        raise TypeError('einsum: expected an equation such as "ij,jk->ik", then its tensors')
    names = [f"operand {i}" for i in range(len(operands))]
    arrays = tuple([x.array if isinstance(x, Tensor) else as_array(x) for x in operands])
    subscripts, result = _letters(equation, arrays)
    pairs = [set(s) & set(t) for i, s in enumerate(subscripts) for t in subscripts[:i]]
    if len({a.dtype for a in arrays}) > 1 and not set().union(*pairs) - set(result):
        kind = result_dtype(*operands)  # nothing is summed: operands of two dtypes fit, as in mul
        operands = tuple([to(x, kind) if isinstance(x, Tensor) else x for x in operands])
    arrays = matrices("einsum", *operands, names=names)
    sizes: dict[str, int] = {}
    for letters, a in zip(subscripts, arrays, strict=True):
        seen = dict(zip(letters, a.shape, strict=True))
        for letter, n in zip(letters, a.shape, strict=True):
            if n != seen[letter]:
                raise RuntimeError(
                    f"einsum: letter {letter!r} has sizes {n} and {seen[letter]} in shape {a.shape}"
                )
            if sizes.get(letter, 1) not in (1, n) and n != 1:
                raise RuntimeError(f"einsum: letter {letter!r} has sizes {sizes[letter]} and {n}")
            sizes[letter] = n if n != 1 else sizes.get(letter, 1)
    # sizes of 1 broadcast: drop such an axis here and give it back in the gradient
    out = _contract(subscripts, arrays, result, sizes)
    nodes = [needs_grad(x) for x in operands]
    dtypes = [a.dtype for a in arrays]
    shapes = [a.shape for a in arrays]

    def vjp(g: Any) -> Any:
        grads: list[Any] = []
        for k, letters in enumerate(subscripts):
            if not nodes[k]:
                grads.append(None)
                continue
            others = [s for i, s in enumerate(subscripts) if i != k]
            values = [a for i, a in enumerate(arrays) if i != k]
            unique = "".join(dict.fromkeys(letters))
            known = set(result).union(*others)
            reach = "".join(c for c in unique if c in known)
            d = _contract([result, *others], (g, *values), reach, sizes)
            lone = tuple(i for i, c in enumerate(unique) if c not in known)
            d = np.broadcast_to(np.expand_dims(d, lone), [sizes[c] for c in unique])
            if len(unique) < len(letters):  # a repeated letter reads a diagonal: write it back
                full = np.zeros([sizes[c] for c in letters], d.dtype)
                spot = np.ogrid[tuple(slice(sizes[c]) for c in unique)]
                full[tuple(spot[unique.index(c)] for c in letters)] = d
                d = full
            grads.append(fit(d, shapes[k], dtypes[k]))
        return grads

    return record("einsum", out, operands, vjp)


def _contract(subscripts: list[str], arrays: Any, result: str, sizes: dict[str, int]) -> Any:
    """The sum of products to the letters of the result: pair by pair, in the order that np.einsum
    would choose. Axes of size 1 are stretched to their letter's size."""
    terms = [
        (letters, np.broadcast_to(a, [sizes[c] for c in letters]))
        for letters, a in zip(subscripts, arrays, strict=True)
    ]
    pairs: Any = [(0, 1)] * (len(terms) - 1)
    if len(terms) > 2:
        equation = f"{','.join(subscripts)}->{result}"
        pairs = np.einsum_path(equation, *(a for _, a in terms), optimize="greedy")[0][1:]
    for places in pairs:
        chosen = [terms.pop(i) for i in sorted(places, reverse=True)][::-1]
        kept = set(result).union(*(letters for letters, _ in terms))
        if len(chosen) == 2:
            terms.append(_pair(chosen[0], chosen[1], kept))
        else:
            letters = "".join(c for c in sizes if c in kept and any(c in s for s, _ in chosen))
            terms.append((letters, _sums(letters, *chosen)))
    return _sums(result, *terms)


def _sums(result: str, *terms: tuple[str, Any]) -> Any:
    return np.einsum(f"{','.join(s for s, _ in terms)}->{result}", *(a for _, a in terms))


def _pair(left: tuple[str, Any], right: tuple[str, Any], kept: set[str]) -> tuple[str, Any]:
    """Two terms as one, with the letters that are kept: a stack of matrix products, where there is
    something to sum over."""
    for i, (own, other) in enumerate(((left, right), (right, left))):
        letters = "".join(c for c in dict.fromkeys(own[0]) if c in kept or c in other[0])
        if letters != own[0]:  # diagonals, and sums of one term alone
            term = letters, _sums(letters, own)
            left, right = (term, right) if i == 0 else (left, term)
    (s, a), (t, b) = left, right
    stack = [c for c in s if c in t and c in kept]
    inner = [c for c in s if c in t and c not in kept]
    rows, columns = [c for c in s if c not in t], [c for c in t if c not in s]
    letters = "".join(stack + rows + columns)
    if not inner or not (rows or columns) or a.dtype.char not in "fdFD" or not a.size or not b.size:
        return letters, _sums(letters, left, right)
    size = dict(zip(s + t, a.shape + b.shape, strict=True))

    def matrices_of(letters: str, x: Any, *groups: list[str]) -> Any:
        x = x.transpose([letters.index(c) for c in stack + groups[0] + groups[1]])
        return x.reshape(*(size[c] for c in stack), *(prod(size[c] for c in g) for g in groups))

    out = kernels.backend_for(a, b).product(
        matrices_of(s, a, rows, inner), matrices_of(t, b, inner, columns)
    )
    return letters, out.reshape([size[c] for c in letters])


def _letters(equation: str, arrays: Any) -> tuple[list[str], str]:
    """Explicit letters for every axis, with ... replaced and the result spelt out."""
    left, arrow, right = equation.partition("->")
    for term in (*left.split(","), right):
        if not re.fullmatch(r"[A-Za-z ]*(\.\.\.)?[A-Za-z ]*", term):
            raise RuntimeError(
                f"einsum: {term.strip()!r} in {equation!r} must be letters with at most one '...'"
            )
    left, right = left.replace(" ", ""), right.replace(" ", "")
    terms = left.split(",")
    if len(terms) != len(arrays):
        raise RuntimeError(f"einsum: {equation!r} has {len(terms)} terms for {len(arrays)} tensors")
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in equation]
    widest = 0
    for term, a in zip(terms, arrays, strict=True):
        named = len(term.replace("...", ""))
        if ("..." in term and a.ndim < named) or ("..." not in term and a.ndim != named):
            raise RuntimeError(f"einsum: term {term!r} does not fit shape {a.shape}")
        widest = max(widest, a.ndim - named)
    dots = "".join(spare[:widest])
    spelt = []
    for term, a in zip(terms, arrays, strict=True):
        extra = a.ndim - len(term.replace("...", ""))
        spelt.append(term.replace("...", dots[widest - extra :] if extra else ""))
    if arrow:
        result = right.replace("...", dots)
    else:
        once = [c for c in sorted(set(left) - set(",.")) if left.count(c) == 1]
        result = (dots if "..." in left else "") + "".join(once)
    for c in result:
        if result.count(c) > 1 or not any(c in s for s in spelt):
            raise RuntimeError(
                f"einsum: output letter {c!r} of {equation!r} is repeated or unknown"
            )
    return spelt, result


@numpy_names
def cosine_similarity(
    x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8, **names: Unpack[Axis]
) -> Tensor:
    """x·y/(|x|·|y|) along `dim`, each norm at least eps."""
    require("cosine_similarity", x1=x1, x2=x2)
    x1, x2 = broadcast_tensors(x1, x2)
    lengths = clamp(norm(x1, 2, dim), min=eps) * clamp(norm(x2, 2, dim), min=eps)
    return div(total(x1 * x2, dim), lengths)


@numpy_names
def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, **names: Unpack[Axis]
) -> Tensor:
    """x divided by its p-norm along `dim`, at least eps."""
    return div(input, clamp(norm(input, p, dim, keepdim=True), min=eps))
