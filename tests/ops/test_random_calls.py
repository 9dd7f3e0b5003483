"""Random calls beside PyTorch: changes in place, attention, matrices, and what decides the dtype.

Each draws shapes, dtypes, layouts and arguments, and compares values, dtypes, who requires a
gradient, and gradients for random cotangents. Where one library refuses, so must the other, but for
what `..._LAXER` and `..._STRICTER` name.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import minigrad

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch has advice for many of these calls

Rng = np.random.Generator
Call = Callable[..., Any]  # (library, *tensors) -> a tensor or several
REFUSALS = (ValueError, TypeError, IndexError, RuntimeError)
DTYPES = ["float32", "float64", "int64", "bool", "int32", "uint8"]
ODDS = [0.3, 0.3, 0.15, 0.1, 0.1, 0.05]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """For PyTorch: two libraries' pools wait for one another ten times as long as they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def numbers(rng: Rng, shape: Sequence[int], dtype: str) -> Any:
    """Random numbers of this dtype in a random layout."""
    if dtype == "bool":
        a: Any = rng.random(shape) < 0.5
    elif dtype.startswith("float"):
        a = rng.standard_normal(shape)
        a = a + np.copysign(0.5, a)
    else:
        a = rng.integers(0 if dtype == "uint8" else -4, 5, shape)
    a = np.asarray(a, dtype)
    how = rng.integers(4)
    if how == 0 and a.ndim > 1:
        return np.ascontiguousarray(a.T).T
    if how == 1 and a.size:
        wide = np.repeat(a[..., None], 2, -1)
        return wide[..., 0]
    return a


def tensors(m: Any, arrays: Sequence[Any], wanted: Sequence[bool]) -> list[Any]:
    """Copies that lie in memory as these do."""
    made = []
    for a, want in zip(arrays, wanted, strict=True):
        base = (a if a.base is None else a.base).copy("K")
        copy = as_strided(base, a.shape, a.strides) if a.size else a.copy()
        made.append(m.from_numpy(copy).requires_grad_(bool(want)))
    return made


def results(m: Any, call: Call, arrays: Sequence[Any], wanted: Sequence[bool], seed: int) -> Any:
    """The outputs and the gradients of the inputs; or the refusal."""
    inputs = tensors(m, arrays, wanted)
    try:
        outputs = call(m, *inputs)
        outputs = list(outputs) if isinstance(outputs, tuple | list) else [outputs]
        tracked = [y for y in outputs if y.requires_grad]
        draw = np.random.default_rng(seed).standard_normal
        kinds = [y.detach().numpy().dtype for y in tracked]
        seeds = [np.asarray(draw(tuple(y.shape)), k) for y, k in zip(tracked, kinds, strict=True)]
        if tracked:
            m.autograd.backward(tracked, [m.from_numpy(g) for g in seeds])
    except (*REFUSALS, NotImplementedError) as error:
        return error
    return outputs, [x.grad for x in inputs]


def beside(
    call: Call, arrays: Sequence[Any], wanted: Sequence[bool], seed: int,
    laxer: Sequence[str] = (), stricter: Sequence[str] = (),
) -> bool:  # fmt: skip
    """Compare one call; whether both took it. `laxer` and `stricter` are what PyTorch's refusal,
    and ours, may say where the other takes the call."""
    theirs = results(torch, call, arrays, wanted, seed)
    ours = results(minigrad, call, arrays, wanted, seed)
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        if isinstance(theirs, Exception) and not isinstance(ours, Exception):
            assert any(text in str(theirs) for text in laxer), theirs
        elif not isinstance(theirs, Exception):
            assert any(text in str(ours) for text in stricter), ours
        assert not isinstance(ours, NotImplementedError)
        return False
    single = any(a.dtype == np.float32 for a in arrays)
    for y, t in zip(ours[0], theirs[0], strict=True):
        assert y.requires_grad == t.requires_grad
        agree(y.detach().numpy(), t.detach().numpy(), single)
    for g, t in zip(ours[1], theirs[1], strict=True):
        assert (g is None) == (t is None)
        if g is not None:
            agree(g.numpy(), t.numpy(), single)
    return True


def agree(found: Any, expected: Any, single: bool) -> None:
    """Same dtypes, shapes and values, up to some roundings of the largest, or single ones."""
    assert found.dtype == expected.dtype
    rtol, atol = (2e-4, 2e-5) if single or found.dtype == np.float32 else (1e-8, 1e-9)
    finite = np.abs(expected[np.isfinite(expected)], dtype=float)
    scale = max(finite.max(initial=0), 0.1)
    np.testing.assert_allclose(found, expected, rtol, atol * scale)


def sweep(check: Callable[[Rng, int], bool], seeds: range, least: float) -> None:
    """Go through the seeds; at least such a part must be taken by both libraries."""
    taken = 0
    for seed in seeds:
        try:
            taken += check(np.random.default_rng(seed), seed)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    assert taken > least * len(seeds)


# Changes in place: of a view of a tensor, plain or in a graph, by a number or a tensor.

OPERATORS = [
    "iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor",
    "ilshift", "irshift",
]  # fmt: skip
BY_OTHER = [
    "add_", "sub_", "mul_", "div_", "copy_", "fill_", "pow_", "fmod_", "remainder_", "hypot_",
    "atan2_", "clamp_min_", "xlogy_", "copysign_",
]  # fmt: skip
ALONE = ["zero_", "exp_", "neg_", "abs_", "relu_", "sigmoid_", "sqrt_", "square_", "tanh_", "sign_"]
VIEWS: list[Callable[[Any], Any]] = [
    lambda x: x, lambda x: x, lambda x: x.transpose(0, -1), lambda x: x[1:], lambda x: x[0],
    lambda x: x[..., ::2], lambda x: x.unsqueeze(0), lambda x: x.squeeze(),
    lambda x: x.diagonal(0, 0, 1), lambda x: x.permute(*range(x.ndim)[::-1]),
]  # fmt: skip
IN_PLACE_LAXER = ["derivative for aten::floor_divide", "bool tensor is not supported"]
IN_PLACE_STRICTER = ["does not fit"]


def other_shape(rng: Rng, shape: Sequence[int]) -> tuple[int, ...]:
    """One that mostly broadcasts to it."""
    kept = [1 if rng.random() < 0.25 else n for n in shape]
    if rng.random() < 0.03:
        kept = [3, *kept]
    return tuple(kept[int(rng.integers(len(kept) + 1)) :] if rng.random() < 0.3 else kept)


def changed(rng: Rng, seed: int) -> bool:
    shape = tuple(rng.integers(0 if rng.random() < 0.1 else 1, 5, int(rng.integers(4))))
    dtype, kind = rng.choice(DTYPES, 2, p=ODDS)
    kind = dtype if rng.random() < 0.5 else kind
    x, view = numbers(rng, shape, dtype), VIEWS[int(rng.integers(len(VIEWS)))]
    try:
        part = view(torch.from_numpy(np.zeros(shape))).shape
    except REFUSALS:
        return False
    other = numbers(rng, other_shape(rng, part), kind)
    number = [None, 0.7, -1.25, 2, -1, True][int(rng.integers(6))]
    factor = [2, -1, 0.3][int(rng.integers(3))]
    mask = rng.random(other_shape(rng, part)) < 0.5
    names = [*OPERATORS, *BY_OTHER, *ALONE, "alpha", "masked", "scattered", "self", "slice"]
    name, recorded = str(rng.choice(names)), dtype.startswith("float") and rng.random() < 0.7

    def call(m: Any, x: Any, other: Any) -> Any:
        base = x * 1 if recorded else x
        y = view(base)
        operand = other if number is None else number
        if name in OPERATORS:
            y = getattr(operator, name)(y, operand)
        elif name in BY_OTHER:
            getattr(y, name)(operand)
        elif name in ALONE:
            getattr(y, name)()
        elif name == "alpha":
            y.add_(operand, alpha=factor)
        elif name == "masked":
            y.masked_fill_(m.from_numpy(mask), number or 0)
        elif name == "scattered":
            y.masked_scatter_(m.from_numpy(mask), other)
        elif name == "self":
            y.mul_(y)
            y.add_(y)
        else:
            y[...] = operand
        return base, y

    wanted = [recorded, kind.startswith("float") and rng.random() < 0.5]
    return beside(call, [x, other], wanted, seed, IN_PLACE_LAXER, IN_PLACE_STRICTER)


def test_changes_in_place() -> None:
    sweep(changed, range(500), 0.4)


# Operations on tensors and numbers of several dtypes.

PAIRS = [
    "add", "sub", "mul", "div", "floor_divide", "remainder", "fmod", "maximum", "minimum", "atan2",
    "hypot", "logaddexp", "eq", "lt", "logical_and", "bitwise_xor", "xlogy", "fmax", "float_power",
]  # fmt: skip
PAIRED_LAXER = [
    "derivative for", "not implemented for", "Integer division", "bool tensor is not supported",
]  # fmt: skip


def paired(rng: Rng, seed: int) -> bool:
    shape = rng.integers(0 if rng.random() < 0.1 else 1, 5, int(rng.integers(4)))
    kinds = rng.choice(DTYPES, 3, p=ODDS)
    arrays = [numbers(rng, other_shape(rng, shape), kind) for kind in kinds]
    number = [None, None, 0.7, -1.25, 3, 0, True][int(rng.integers(7))]
    factor = [2, -1, 0.3, 1.7][int(rng.integers(4))]
    name = str(rng.choice([*PAIRS, "where", "cat", "alpha", "addcmul", "addcdiv", "clamp"]))

    def call(m: Any, x: Any, y: Any, z: Any) -> Any:
        other = y if number is None else number
        if name == "where":
            return m.where(z > 0, x, other)
        if name == "cat":
            return m.cat([x.reshape(-1), y.reshape(-1), z.reshape(-1)])
        if name == "alpha":
            return m.add(x, other, alpha=factor), m.sub(x, other, alpha=factor)
        if name in ("addcmul", "addcdiv"):
            return getattr(m, name)(x, y, z, value=factor)
        return m.clamp(x, other) if name == "clamp" else getattr(m, name)(x, other)

    floats, fused = [a.dtype.kind == "f" for a in arrays], name in ("addcmul", "addcdiv")
    if fused and not any(floats):
        factor = 2  # PyTorch cuts a fraction off
    # PyTorch takes some gradients in the dtype of the integers, or in float32 for them.
    tracked = all(floats) or not (fused or "uint8" in kinds)
    wanted = [tracked and floating and rng.random() < 0.7 for floating in floats]
    return beside(call, arrays, wanted, seed, PAIRED_LAXER)


def test_several_dtypes() -> None:
    sweep(paired, range(800), 0.5)


# Matrices: rectangular, in stacks, singular and empty ones.

MATRICES: dict[str, Call] = {
    "lu": lambda m, a, b: list(m.linalg.lu(a)),
    "lu_factor": lambda m, a, b: list(m.linalg.lu_factor(a)),
    "lu_unpack": lambda m, a, b: list(m.lu_unpack(*m.linalg.lu_factor(a))),
    "lu_solve": lambda m, a, b: m.linalg.lu_solve(*m.linalg.lu_factor(a), b),
    "lu_solve adjoint": lambda m, a, b: m.linalg.lu_solve(
        *m.linalg.lu_factor(a), b.mT, left=False, adjoint=True
    ),
    "lower": lambda m, a, b: m.linalg.solve_triangular(a, b, upper=False),
    "upper": lambda m, a, b: m.linalg.solve_triangular(a, b.mT, upper=True, left=False),
    "unit": lambda m, a, b: m.linalg.solve_triangular(a, b, upper=True, unitriangular=True),
    "triangular_solve": lambda m, a, b: list(m.triangular_solve(b, a, transpose=True)),
    "solve": lambda m, a, b: m.linalg.solve(a, b),
    "inv": lambda m, a, b: m.linalg.inv(a),
    "eigh": lambda m, a, b: (lambda w, q: [w, q.abs()])(*m.linalg.eigh(spread(m, a))),
    "eigh upper": lambda m, a, b: m.linalg.eigh(spread(m, a), UPLO="U")[1] ** 2,
    "cholesky": lambda m, a, b: m.linalg.cholesky(a @ a.mT + 2 * m.eye(a.shape[-2]).double()),
    "qr": lambda m, a, b: (lambda q, r: [q @ r, r.abs()])(*m.linalg.qr(a)),
    "svd": lambda m, a, b: (lambda u, s, v: [s, u @ v])(*m.linalg.svd(a, full_matrices=False)),
    "slogdet": lambda m, a, b: m.linalg.slogdet(a)[1],
    "pinv": lambda m, a, b: m.linalg.pinv(a),
    "matrix_exp": lambda m, a, b: m.linalg.matrix_exp(a),
    "cdist": lambda m, a, b: [m.cdist(a, b.mT, p) for p in (1.0, float("inf"))],
    "tensordot": lambda m, a, b: m.tensordot(a, b.reshape(-1, b.shape[-1]), 1),
}
MATRIX_LAXER = ["view size is not compatible"]  # matrix_exp, of some stacks
RECTANGULAR = ("lu", "lu_factor", "lu_unpack", "qr", "svd", "pinv")
SINGULAR = ("lu", "lu_factor", "lower", "upper")  # others divide by a rounding, or by nothing


def spread(m: Any, a: Any) -> Any:
    """With eigenvalues that differ, and not symmetric: half of it is not read."""
    return a + m.from_numpy(4.0 * np.diag(np.arange(a.shape[-1])))


def matrix(rng: Rng, seed: int) -> bool:
    name = str(rng.choice(list(MATRICES)))
    m, n, k = rng.integers(0 if rng.random() < 0.1 else 1, 6, 3)
    rows = m if name in RECTANGULAR else n
    stack = tuple(rng.integers(1, 4, int(rng.integers(3))))
    a, b = numbers(rng, (*stack, rows, n), "float64"), numbers(rng, (*stack, n, k), "float64")
    if name not in SINGULAR:
        a = a + 3 * np.eye(rows, n)
    elif rng.random() < 0.4 and min(rows, n) > 1:
        a[..., 0] = 0.0  # exactly singular
        name = "lu"
    if name in ("lower", "upper"):
        a = a + 3 * np.sign(a) * np.eye(n)
    if rng.random() < 0.2 and name in ("triangular_solve", "lower", "solve"):
        b = b[:1] if stack else np.stack([b, -b])
    regular = name != "lu" or bool(a[..., :1, :1].any())
    wanted = [regular and rng.random() < 0.9, regular and rng.random() < 0.9]
    if name == "triangular_solve":
        wanted = [True, True]  # PyTorch's copy of A requires a gradient with either
    return beside(MATRICES[name], [a, b], wanted, seed, MATRIX_LAXER)


@pytest.mark.slow
def test_matrices() -> None:
    sweep(matrix, range(500), 0.8)


# Attention: stacks that broadcast, groups of heads, masks of all kinds, rows without a key.


def attention(rng: Rng, seed: int) -> bool:
    n, heads, queries, keys, size, wide = rng.integers(0 if rng.random() < 0.1 else 1, 6, 6)
    groups, dtype = int(rng.integers(1, 4)), str(rng.choice(["float32", "float64"]))
    grouped = bool(heads) and rng.random() < 0.4
    few = 1 if not grouped and rng.random() < 0.3 else heads
    many = heads * groups if grouped else heads
    arrays = [
        numbers(rng, (n, many, queries, size), dtype),
        numbers(rng, (n, few, keys, size), dtype),
        numbers(rng, (n, few, keys, wide), dtype),
    ]
    sizes = [1 if rng.random() < 0.3 else i for i in (n, many, queries, keys)]
    sizes = sizes[int(rng.integers(3)) :]
    kind = str(rng.choice(["none", "causal", "bool", "numbers", "nowhere"]))
    mask = numbers(rng, sizes, dtype)
    looks = rng.random(sizes) < 0.7
    if kind == "nowhere":
        mask = np.where(looks, mask, np.asarray(-np.inf, dtype))
    # of one number for a row all gradients are rounding; PyTorch has none for empty scores
    scored = 0 not in (n, many, queries, keys, size, wide) and sizes[-1] > 1
    wanted = [bool(rng.random() < 0.8) for _ in arrays]
    arrays, wanted = [*arrays, mask], [*wanted, scored and kind in ("numbers", "nowhere")]

    def call(m: Any, q: Any, k: Any, v: Any, added: Any) -> Any:
        given = {"bool": m.from_numpy(looks), "numbers": added, "nowhere": added}.get(kind)
        return m.nn.functional.scaled_dot_product_attention(
            q, k, v, given, is_causal=kind == "causal", scale=float(1 + groups) / 3,
            enable_gqa=grouped,
        )  # fmt: skip

    return beside(call, arrays, wanted, seed)


def test_attention() -> None:
    sweep(attention, range(400), 0.9)


def test_a_mask_that_broadcasts_beside_is_causal_has_a_gradient() -> None:
    q = minigrad.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 4)))
    mask = minigrad.zeros(2, 1, 3, dtype=minigrad.float64, requires_grad=True)
    both = minigrad.from_numpy(np.where(np.tri(3), 0, -np.inf)) + mask
    attend = minigrad.nn.functional.scaled_dot_product_attention
    (expected,) = minigrad.autograd.grad((attend(q, q, q, both) * q).sum(), mask)
    (found,) = minigrad.autograd.grad((attend(q, q, q, mask, is_causal=True) * q).sum(), mask)
    assert found.shape == mask.shape and np.abs(expected.array).max() > 0.01
    np.testing.assert_allclose(found.array, expected.array, rtol=1e-12)


def test_shifts_change_the_tensor_and_its_base() -> None:
    for sign in ("<<=", ">>="):
        x = minigrad.tensor([4, 8, 16])
        view = kept = x[1:]
        view = operator.ilshift(view, 1) if sign == "<<=" else operator.irshift(view, 1)
        assert view is kept
        assert x.tolist() == ([4, 16, 32] if sign == "<<=" else [4, 4, 8])


def test_a_norm_of_a_negative_power_takes_minus_zero_for_zero() -> None:
    x = [0.0, -0.0, -2.0]
    for m in (torch, minigrad):
        assert m.norm(m.tensor(x), -1.0).item() == m.norm(m.tensor(x), -3.0).item() == 0
