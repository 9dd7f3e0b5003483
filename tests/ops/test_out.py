"""`out=` beside PyTorch: what is written where, by every function that takes it."""

from __future__ import annotations

import itertools
import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sweeps import each

import minigrad

torch = pytest.importorskip("torch")

# Those of the top level and of linalg that take `out=`: around which the package put it.
NAMES = [
    (owner, name)
    for owner in ("", "linalg")
    for name in (minigrad.linalg if owner else minigrad).__all__
    if callable(op := getattr(getattr(minigrad, owner) if owner else minigrad, name))
    and getattr(op, "__code__", None) is minigrad.add.__code__
]
DRAWN = {"bernoulli", "multinomial", "normal", "rand", "randint", "randn", "randperm", "empty"}
# Arguments by their letters: X Y Z are square matrices, P a positive definite one, L a triangle,
# I J integers, B a mask, V W vectors, T three matrices, N 1, and S a list of X and Y.
CALLS = ["X", "XY", "XN", "I", "IJ", "B", "BB", "S", "VW", "V", "XYZ", "XV", "TU", "N", "NN", "Q"]
SPECIAL = {
    "addmv": "VXV", "addr": "XVW", "baddbmm": "TTU", "addbmm": "XTU", "eye": "N", "full": "QN",
    "cholesky": "P", "cholesky_solve": "XP", "index_select": "XNV0", "gather": "XNI0",
    "masked_select": "XB", "take": "XI0", "take_along_dim": "XI0N", "clamp": "XNN", "clip": "XNN",
    "polygamma": "NX", "renorm": "XNNN", "topk": "XN", "kthvalue": "XN", "where": "BXY",
    "arange": "NN", "cross": "CC", "bernoulli": "D", "linalg.cholesky": "P",
    "linalg.eigh": "P", "linalg.pinv": "X", "norm": "X", "normal": "XY",
    "randint": "NQ", "searchsorted": "RV", "bucketize": "VR", "histc": "X",
    "linspace": "NNN", "logspace": "NNN", "range": "NN", "index_add": "XNV0Y", "scatter": "XNI0Y",
    "scatter_add": "XNI0Y", "quantile": "XF", "nanquantile": "XF", "kron": "XY", "tensordot": "XY",
    "lu_solve": "lu", "linalg.lu_solve": "LU", "logit": "X", "triangular_solve": "XP",
    "softmax": "XN", "mvlgamma": "PN", "linalg.solve_triangular": "tri", "lerp": "XYZ",
    "linalg.multi_dot": "S", "isin": "XY", "linalg.vecdot": "XY", "linalg.cross": "CC",
    "linalg.matrix_power": "XN", "matrix_power": "XN", "addmm": "XYZ", "linalg.lstsq": "XY",
}  # fmt: skip


def arguments(lib: Any, letters: str) -> tuple[list[Any], dict[str, Any]]:
    rng = np.random.default_rng(0)
    x, y, z = rng.random((3, 3, 3)) + 0.5
    three = rng.random((2, 3, 3))
    lu = lib.linalg.lu_factor(lib.tensor(x))
    if letters == "lu":
        return [lib.tensor(y), *lu], {}
    if letters == "LU":
        return [*lu, lib.tensor(y)], {}
    if letters == "tri":
        return [lib.tensor(np.triu(x)), lib.tensor(y)], {"upper": True}
    known = {
        "X": x, "Y": y, "Z": z, "P": x @ x.T + np.eye(3), "V": x[0], "W": y[0], "T": three,
        "U": three + 1, "I": np.array([[3, 5, 6]]), "J": np.array([[2, 3, 1]]), "B": x > 1,
        "I0": np.array([[0, 2, 1]]), "V0": np.array([0, 2, 1]), "C": x, "R": np.sort(x[0]),
        "D": x / 2,
    }  # fmt: skip
    found: list[Any] = []
    for letter in re.findall("I0|V0|.", letters):
        if letter in known:
            found.append(lib.tensor(known[letter]))
        else:
            found.append(
                {"N": 1, "F": 0.3, "Q": (2, 3), "S": [lib.tensor(x), lib.tensor(y)]}[letter]
            )
    return found, {}


def owner_of(lib: Any, owner: str) -> Any:
    return getattr(lib, owner) if owner else lib


def run(call: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()


def candidates(owner: str, name: str) -> list[str]:
    special = SPECIAL.get(f"{owner}.{name}" if owner else name)
    return [special] if special else CALLS


@each("owner name", NAMES, by=lambda owner, name: owner or "top")
def test_every_function(owner: str, name: str) -> None:
    """Empty tensors, right ones, too wide ones and the inputs themselves are written to alike."""
    ours, theirs = (getattr(owner_of(lib, owner), name) for lib in (minigrad, torch))
    tried = 0
    for letters in candidates(owner, name):
        args, options = arguments(torch, letters)
        try:
            plain = run(lambda args=args, options=options: theirs(*args, **options))
        except (TypeError, RuntimeError, ValueError, IndexError):
            continue
        several = not isinstance(plain, torch.Tensor)
        shapes = [tuple(p.shape) for p in plain] if several else [tuple(plain.shape)]
        dtypes = [p.dtype for p in plain] if several else [plain.dtype]
        names = [str(d).removeprefix("torch.") for d in dtypes]
        for kind in ("right", "empty"):
            outs = {}
            for lib in (torch, minigrad):
                made = [
                    lib.zeros(s if kind == "right" else 0, dtype=getattr(lib, d))
                    for s, d in zip(shapes, names, strict=True)
                ]
                outs[lib] = tuple(made) if several else made[0]
            try:
                given = run(lambda o=outs, a=args, k=options: theirs(*a, out=o[torch], **k))
            except TypeError:  # PyTorch has no out= for this way to call it
                continue
            tried += 1
            mine, more = arguments(minigrad, letters)
            found = run(lambda o=outs, m=mine, k=more: ours(*m, out=o[minigrad], **k))
            for a, b, o in zip(
                found if several else [found], given if several else [given],
                outs[minigrad] if several else [outs[minigrad]], strict=True,
            ):  # fmt: skip
                assert a is o
                assert str(a.dtype) == str(b.dtype).removeprefix("torch."), letters
                assert tuple(a.shape) == tuple(b.shape), letters
                if name not in DRAWN:
                    size = np.abs if name == "eigh" else np.asarray  # vectors have either sign
                    np.testing.assert_allclose(
                        size(a.numpy()), size(b.numpy()), 1e-6, 1e-9, err_msg=letters
                    )
    assert tried, f"{name}: no call that PyTorch takes with out="


def test_an_input_may_be_written_to() -> None:
    for lib in (minigrad, torch):
        most, x = lib.tensor([1.0, 2.0, 3.0]), lib.tensor([2.0, 1.0, 5.0])
        row = lib.zeros(2, 3)[1]
        assert lib.maximum(most, x, out=most) is most
        assert lib.max(most, x * 2, out=most) is most
        assert lib.round(x + 0.4, out=x) is x
        lib.add(most, x, out=row)
        assert (most.tolist(), x.tolist(), row.tolist()) == ([4, 2, 10], [2, 1, 5], [6, 3, 15])


def test_what_is_written_is_as_wide_as_out() -> None:
    for lib in (minigrad, torch):
        wide = lib.zeros((), dtype=lib.float64)
        assert lib.sum(lib.full((10,), 0.1), 0, out=wide).dtype == lib.float64
        assert abs(wide.item() - 10 * np.float32(0.1)) < 1e-12  # the sum is one of float64
        index = lib.arange(0, 3.0, 1, out=lib.LongTensor())
        assert index.dtype == lib.int64 and index.tolist() == [0, 1, 2]


def test_refusals() -> None:
    x, w = minigrad.ones(3), minigrad.ones(3, requires_grad=True)
    for args, out in (((w, x), minigrad.empty(3)), ((x, x), w)):
        with pytest.raises(RuntimeError, match=r"add: .* requires grad"):
            minigrad.add(*args, out=out)
    with pytest.raises(RuntimeError, match=r"cat: .* requires grad"):
        minigrad.cat([x, w], out=minigrad.empty(6))
    with pytest.raises(RuntimeError, match="float32 cannot be written to out of int64"):
        minigrad.exp(x, out=minigrad.zeros(3, dtype=minigrad.int64))
    with pytest.raises(TypeError, match="exp: out must be a tensor, got float"):
        minigrad.exp(x, out=3.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="exp: out must be a tensor, got a sequence of 1"):
        minigrad.exp(x, out=[x])
    with pytest.raises(TypeError, match="max: out must be 2 tensors, got a tensor"):
        minigrad.max(x, 0, out=minigrad.empty(()))
    assert x.tolist() == [1, 1, 1]
    with minigrad.no_grad():
        assert minigrad.add(w, x, out=w) is w and w.tolist() == [2, 2, 2] and w.requires_grad


def test_another_shape_is_resized_with_a_warning() -> None:
    out = minigrad.zeros(7)
    with pytest.warns(UserWarning, match=r"exp: out of shape \(7,\) is resized to \(2,\)") as seen:
        minigrad.exp(minigrad.zeros(2), out=out)
    assert out.tolist() == [1, 1] and seen[0].filename == __file__


def test_a_saved_tensor_that_is_written_to_is_noticed() -> None:
    x, b = minigrad.ones(3, requires_grad=True), minigrad.ones(3)
    y = x * b
    minigrad.mul(b, 2, out=b)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_functions_are_pickled_by_name() -> None:
    for (owner, name), protocol in itertools.product(NAMES, (2, 5)):
        op = getattr(owner_of(minigrad, owner), name)
        assert pickle.loads(pickle.dumps(op, protocol)) is op
