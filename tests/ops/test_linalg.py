"""minigrad.linalg and products of matrices: values, gradients and second ones against PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import func, linalg
from minigrad.autograd import gradcheck

torch = pytest.importorskip("torch")

SQUARE = [(3, 3), (2, 4, 4), (1, 1), (2, 0, 3, 3)]
TALL = [(4, 2), (2, 5, 3), (3, 3)]
BOTH = [*TALL, (2, 4), (2, 3, 5)]


def positive(m: Any, x: Any) -> Any:
    return x @ x.mT + m.eye(x.shape[-1], dtype=m.float64)


# name: (function of the library and its tensors, shapes of the first, shapes of the others)
CASES: dict[str, Any] = {
    "inv": (lambda m, x: m.linalg.inv(x), SQUARE),
    "inverse": (lambda m, x: m.inverse(x), SQUARE[:1]),
    "det": (lambda m, x: m.linalg.det(x), SQUARE),
    "slogdet": (lambda m, x: tuple(m.linalg.slogdet(x)), SQUARE),
    "logdet": (lambda m, x: m.logdet(positive(m, x)), SQUARE),
    "cholesky": (lambda m, x: m.linalg.cholesky(positive(m, x)), SQUARE),
    "cholesky upper": (lambda m, x: m.linalg.cholesky(positive(m, x), upper=True), SQUARE),
    "torch.cholesky": (lambda m, x: m.cholesky(positive(m, x)), SQUARE[:1]),
    "solve": (lambda m, x, y: m.linalg.solve(x, y), [((3, 3), (3, 2)), ((2, 4, 4), (4, 1)),
              ((4, 4), (2, 4, 3)), ((3, 3), (3,)), ((2, 3, 3), (2, 3))]),
    "solve right": (lambda m, x, y: m.linalg.solve(x, y, left=False), [((3, 3), (2, 3))]),
    **{f"solve_triangular {o}": (lambda m, x, y, o=o: m.linalg.solve_triangular(x, y, **o), s)
       for o, s in (
           ({"upper": True}, [((3, 3), (3, 2)), ((2, 4, 4), (4, 1)), ((1, 1), (2, 1, 3)),
                              ((2, 0, 3, 3), (3, 1)), ((0, 0), (0, 2)), ((2, 2), (2, 0))]),
           ({"upper": False}, [((3, 3), (3, 2)), ((4, 4), (2, 4, 3))]),
           ({"upper": False, "left": False}, [((3, 3), (2, 3)), ((2, 3, 3), (1, 3))]),
           ({"upper": True, "unitriangular": True}, [((3, 3), (3, 2))]),
       )},
    **{f"triangular_solve {o}": (lambda m, x, y, o=o: m.triangular_solve(y, x, *o), s)
       for o, s in (((), [((3, 3), (3, 2))]), ((False, True), [((3, 3), (3, 2))]),
                    ((True, True, True), [((2, 3, 3), (2, 3, 1))]))},
    # (PyTorch's gradient takes the factor to be a triangle, though only one is read.)
    "cholesky_solve": (lambda m, x, y: m.cholesky_solve(y, x.tril()),
                       [((3, 3), (3, 2)), ((2, 3, 3), (3, 1))]),
    "cholesky_solve upper": (lambda m, x, y: m.cholesky_solve(y, x.triu(), True),
                             [((3, 3), (3, 2))]),
    "lu_factor": (
        lambda m, x: m.linalg.lu_factor(x).LU, [*SQUARE, (0, 0), (5, 3), (2, 3, 5), (0, 2), (2, 0)]
    ),
    **{f"lu_solve {o}": (lambda m, x, y, o=o: m.linalg.lu_solve(*m.linalg.lu_factor(x), y, **o), s)
       for o, s in (({}, [((4, 4), (4, 2)), ((2, 3, 3), (3, 1)), ((3, 3), (2, 3, 1))]),
                    ({"adjoint": True}, [((4, 4), (4, 2)), ((2, 3, 3), (2, 3, 1))]),
                    ({"left": False}, [((4, 4), (2, 4))]),
                    ({"left": False, "adjoint": True}, [((2, 4, 4), (2, 4))]))},
    "lstsq": (lambda m, x, y: m.linalg.lstsq(x, y).solution, [((4, 2), (4, 3)), ((2, 4), (2, 1)),
              ((3, 3), (3, 2)), ((5, 2), (5,)), ((2, 4, 3), (2, 4))]),
    "matrix_exp": (lambda m, x: m.matrix_exp(x), [*SQUARE, (0, 0)]),
    "linalg.matrix_exp": (lambda m, x: m.linalg.matrix_exp(8 * x) / 1000, SQUARE[:1]),
    "qr": (lambda m, x: tuple(m.linalg.qr(x)), TALL),
    "eigh": (lambda m, x: m.linalg.eigh(x + x.mT)[1] ** 2, SQUARE[:3]),
    "eigh upper": (lambda m, x: m.linalg.eigh(x + x.mT, "U")[1] ** 2, SQUARE[:3]),
    "eigvalsh": (lambda m, x: m.linalg.eigvalsh(x + x.mT), SQUARE[:3]),
    "pinv": (lambda m, x: m.linalg.pinv(x), BOTH),
    "pinverse": (lambda m, x: m.pinverse(x), BOTH[:1]),
    "power 3": (lambda m, x: m.linalg.matrix_power(x, 3), SQUARE),
    "power 6": (lambda m, x: m.matrix_power(x, 6), SQUARE[:2]),
    "power 1": (lambda m, x: m.linalg.matrix_power(x, 1), SQUARE[:2]),
    "power -2": (lambda m, x: m.linalg.matrix_power(x, -2), SQUARE[:2]),
    "cross": (lambda m, x, y: m.cross(x, y, dim=-1), [((3,), (3,)), ((4, 3), (1, 3))]),
    "linalg.cross": (lambda m, x, y: m.linalg.cross(x, y, dim=0), [((3, 2), (3, 2))]),
    "kron": (lambda m, x, y: m.kron(x, y), [((2, 3), (3, 2)), ((2,), (3, 1, 2)), ((), (2,))]),
    "trace": (lambda m, x: m.trace(x), [(3, 4), (0, 2), (2, 2)]),
    "addmv": (lambda m, x, y, z: m.addmv(x, y, z, beta=0.5, alpha=2), [((3,), (3, 2), (2,))]),
    "addr": (lambda m, x, y, z: m.addr(x, y, z, beta=0.5), [((3, 2), (3,), (2,))]),
    "baddbmm": (lambda m, x, y, z: m.baddbmm(x, y, z, alpha=2), [((4,), (2, 3, 5), (2, 5, 4))]),
    "addbmm": (lambda m, x, y, z: m.addbmm(x, y, z, beta=2), [((3, 4), (2, 3, 5), (2, 5, 4))]),
    "tensordot": (lambda m, x, y: m.tensordot(x, y), [((2, 3, 4), (3, 4, 5)), ((2, 3), (2, 3))]),
    "tensordot 0": (lambda m, x, y: m.tensordot(x, y, 0), [((2, 3), (4,))]),
    "tensordot lists": (lambda m, x, y: m.tensordot(x, y, ([2, 0], [0, -1])),
                        [((2, 3, 4), (4, 5, 2))]),
    "multi_dot": (lambda m, *xs: m.linalg.multi_dot(xs), [((2, 3), (3, 4), (4, 1), (1, 2)),
                  ((3,), (3, 4), (4,)), ((2, 3), (3, 2))]),
    "cov": (lambda m, x: m.cov(x), [(3, 5), (4,), (1, 3)]),
    "cov 0": (lambda m, x: m.cov(x, correction=0), [(3, 5)]),
    "corrcoef": (lambda m, x: m.corrcoef(x), [(3, 5)]),
    "vector_norm": (lambda m, x: m.linalg.vector_norm(x), [(3, 4), (5,), (2, 3, 2)]),
    "vector_norm 3": (lambda m, x: m.linalg.vector_norm(x, 3, 1, True), [(3, 4), (2, 3, 2)]),
    "norm": (lambda m, x: m.linalg.norm(x), [(3, 4), (2, 3, 2)]),
    "norm 1": (lambda m, x: m.linalg.norm(x, 1), [(3, 4), (5,)]),
    "norm dim": (lambda m, x: m.linalg.norm(x, dim=1), [(3, 4)]),
    "norm pair": (lambda m, x: m.linalg.norm(x, "fro", (0, 2), True), [(3, 2, 4)]),
    "diagonal": (lambda m, x: m.linalg.diagonal(x, offset=1), [(2, 3, 4)]),
    **{f"matrix_norm {o}": (lambda m, x, o=o: m.linalg.matrix_norm(x, o), [(3, 4), (2, 3, 2)])
       for o in ("fro", 1, -1, math.inf, -math.inf)},
}  # fmt: skip
# Second derivatives by singular vectors are refused; PyTorch has none of cdist.
ONCE: dict[str, Any] = {
    "cdist": (lambda m, x, y: m.cdist(x, y), [((3, 2), (4, 2)), ((2, 3, 2), (2, 4, 2))]),
    "cdist 1": (lambda m, x, y: m.cdist(x, y, 1.0), [((3, 2), (4, 2))]),
    "cdist 3": (lambda m, x, y: m.cdist(x, y, 3.0), [((3, 2), (4, 2))]),
    **{f"dist {p}": (lambda m, x, y, p=p: m.dist(x, y, p), [((3, 2), (3, 2)), ((2, 3, 2), (2,))])
       for p in (2, 1.0, 3.0, math.inf, -math.inf)},
    "svd": (lambda m, x: (m.linalg.svd(x, False)[0] ** 2, m.linalg.svd(x, False)[2] ** 2), BOTH),
    "torch.svd": (lambda m, x: (m.svd(x)[0] ** 2, m.svd(x)[1], m.svd(x)[2] ** 2), BOTH),
    "torch.svd full": (lambda m, x: m.svd(x, False)[1], BOTH),
    "svdvals": (lambda m, x: m.linalg.svdvals(x), BOTH),
    "svd full": (lambda m, x: m.linalg.svd(x)[1], BOTH),
    **{f"matrix_norm {o}": (lambda m, x, o=o: m.linalg.matrix_norm(x, o), [(3, 4), (2, 3, 2)])
       for o in ("nuc", 2, -2)},
    "matrix_norm dim": (lambda m, x: m.linalg.matrix_norm(x, 2, (0, 2), True), [(3, 2, 4)]),
}  # fmt: skip


def listed(cases: Any) -> list[Any]:
    return [
        pytest.param(f, shapes if isinstance(shapes[0] if shapes else 0, tuple) else (shapes,),
                     id=f"{name}-{shapes}")
        for name, (f, several) in cases.items() for shapes in several
    ]  # fmt: skip


def arrays(shapes: Any) -> list[Any]:
    rng = np.random.default_rng(5)
    return [np.asarray(rng.standard_normal(s)) for s in shapes]


def parts(y: Any) -> list[Any]:
    return list(y) if isinstance(y, tuple) else [y]


def value(m: Any, f: Any, xs: Any) -> Any:
    """Σ w·y + w·y²."""
    rng, out = np.random.default_rng(6), 0.0
    for y in parts(f(m, *xs)):
        w = m.from_numpy(np.asarray(rng.standard_normal(y.shape)))
        out = out + (w * y + w * y * y).sum()
    return out


@pytest.mark.filterwarnings("ignore:[\\s\\S]*torch.\\w+ is deprecated:UserWarning")
@pytest.mark.parametrize(("f", "shapes"), listed(CASES | ONCE))
def test_values_and_gradients(f: Any, shapes: Any) -> None:
    given = arrays(shapes)
    ours = [minigrad.from_numpy(a).requires_grad_() for a in given]
    theirs = [torch.from_numpy(a.copy()).requires_grad_() for a in given]
    for y, t in zip(parts(f(minigrad, *ours)), parts(f(torch, *theirs)), strict=True):
        assert y.shape == t.shape
        np.testing.assert_allclose(y.array, t.detach().numpy(), 1e-10, 1e-12)
    value(minigrad, f, ours).backward()
    value(torch, f, theirs).backward()
    for x, t in zip(ours, theirs, strict=True):
        # Inverses of inverses: conditions up to about 100 here.
        scale = max(float(np.abs(t.grad.numpy()).max(initial=0)), 1)
        np.testing.assert_allclose(x.grad.array, t.grad.numpy(), 1e-8, 1e-11 * scale)
    if all(a.size for a in given):
        assert gradcheck(lambda *xs: tuple(parts(f(minigrad, *xs))), tuple(ours))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:[\\s\\S]*torch.\\w+ is deprecated:UserWarning")
@pytest.mark.parametrize(("f", "shapes"), listed(CASES))
def test_second_derivatives(f: Any, shapes: Any) -> None:
    given = arrays(shapes)
    if not all(a.size for a in given):
        pytest.skip("nothing to differentiate")
    ours = [minigrad.from_numpy(a).requires_grad_() for a in given]
    theirs = [torch.from_numpy(a.copy()).requires_grad_() for a in given]
    first = func.grad(lambda *xs: value(minigrad, f, xs), tuple(range(len(ours))))(*ours)
    expected = torch.autograd.grad(value(torch, f, theirs), theirs, create_graph=True)
    weights = arrays(shapes)
    sum((minigrad.from_numpy(w) * g).sum() for w, g in zip(weights, first, strict=True)).backward()
    sum((torch.from_numpy(w) * g).sum() for w, g in zip(weights, expected, strict=True)).backward()
    for x, t in zip(ours, theirs, strict=True):
        want = t.grad.numpy()
        scale = max(float(np.abs(want).max(initial=0)), 1)
        np.testing.assert_allclose(x.grad.array, want, 1e-6, 1e-9 * scale)


def test_single_precision() -> None:
    for name, (f, several) in CASES.items():
        if "positive" in name or name in ("logdet",) or "cholesky" in name:
            continue  # they add a float64 unit matrix here
        shapes = (
            several[0] if isinstance(several[0][0] if several[0] else 0, tuple) else (several[0],)
        )
        given = [a.astype(np.float32) for a in arrays(shapes)]
        ours = [minigrad.from_numpy(a).requires_grad_() for a in given]
        for y, t in zip(parts(f(minigrad, *ours)),
                        parts(f(torch, *map(torch.from_numpy, given))), strict=True):  # fmt: skip
            assert y.dtype == np.float32, name
            scale = max(float(t.abs().max()), 1)  # of condition numbers up to about 100
            np.testing.assert_allclose(y.array, t.numpy(), 1e-3, 1e-4 * scale, err_msg=name)


def test_modes_of_qr() -> None:
    x = np.random.default_rng(0).standard_normal((4, 2))
    for mode in ("reduced", "complete", "r"):
        for got, want in zip(linalg.qr(minigrad.from_numpy(x), mode),
                             torch.linalg.qr(torch.from_numpy(x), mode), strict=True):  # fmt: skip
            np.testing.assert_allclose(got.array, want.numpy(), 1e-12, 1e-14)
    wide = minigrad.from_numpy(x.T.copy()).requires_grad_()
    q, r = linalg.qr(wide)
    np.testing.assert_allclose((q @ r).array, x.T, 1e-12)
    assert minigrad.autograd.gradcheck(lambda x: tuple(linalg.qr(x)), (wide,))
    q, r = linalg.qr(minigrad.from_numpy(x).requires_grad_(), "complete")
    with pytest.raises(RuntimeError, match="qr: no gradient for matrices of shape"):
        r.sum().backward()


def test_a_determinant_of_zero_has_the_cofactors_as_its_gradient() -> None:
    x = minigrad.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=minigrad.float64).requires_grad_()
    linalg.det(x).backward()
    np.testing.assert_allclose(x.grad.array, [[4, -2], [-2, 1]], 1e-14, 1e-14)
    x.grad = None
    y = minigrad.zeros(3, 3, dtype=minigrad.float64).requires_grad_()
    linalg.det(y).backward()
    np.testing.assert_array_equal(y.grad.array, np.zeros((3, 3)))
    assert linalg.slogdet(y)[1].item() == -math.inf
    assert math.isnan(minigrad.logdet(minigrad.tensor([[-1.0]])).item())


def test_tolerances_of_pinv() -> None:
    x = np.diag([1.0, 1e-3, 1e-9])
    for options in ({}, {"rtol": 1e-2}, {"atol": 1e-2}, {"atol": 1e-12}):
        got = linalg.pinv(minigrad.from_numpy(x), **options)
        want = torch.linalg.pinv(torch.from_numpy(x), **options)
        np.testing.assert_allclose(got.array, want.numpy(), 1e-10)


def test_pivots() -> None:
    x = np.random.default_rng(0).standard_normal((2, 5, 5))
    got = linalg.lu_factor(minigrad.from_numpy(x))
    want = torch.linalg.lu_factor(torch.from_numpy(x))
    assert got.pivots.dtype == np.int32
    np.testing.assert_array_equal(got.pivots.array, want.pivots.numpy())


def test_what_lstsq_finds_on_the_way() -> None:
    rng = np.random.default_rng(0)
    tall = rng.standard_normal((2, 4, 3))
    flat = np.outer([1.0, 2, 3], [1.0, 2])  # of rank 1
    for a, b in ((tall, tall[:, :, :1] + 1), (flat, np.ones((3, 2))), (tall[0].T, np.ones((3, 1)))):
        for driver in (None, "gelsy", "gelsd", "gelss"):
            got = linalg.lstsq(minigrad.from_numpy(a), minigrad.from_numpy(b), driver=driver)
            want = torch.linalg.lstsq(torch.from_numpy(a), torch.from_numpy(b), driver=driver)
            for name in ("solution", "residuals", "rank", "singular_values"):
                y, z = getattr(got, name), getattr(want, name).numpy()
                assert y.shape == z.shape and y.dtype == z.dtype, (name, driver)
                np.testing.assert_allclose(y.array, z, 1e-10, 1e-12)
    loose = linalg.lstsq(minigrad.eye(2) * minigrad.tensor([1.0, 0.1]), minigrad.ones(2), 0.5)
    assert loose.rank.item() == 1 and loose.solution.tolist() == [1, 0]


def test_factors_that_divide_by_zero() -> None:
    a = np.array([[0.0, 0], [1, 1]])
    got = linalg.solve_triangular(minigrad.from_numpy(a), minigrad.ones(2, 1).double(), upper=False)
    want = torch.linalg.solve_triangular(
        torch.from_numpy(a), torch.ones(2, 1).double(), upper=False
    )
    np.testing.assert_array_equal(got.array, want.numpy())


def test_matrix_exp_of_what_is_large_or_not_finite() -> None:
    inf, nan = math.inf, math.nan
    for a in ([[nan, 1], [0, 1]], [[0, -inf], [0, 1]], [[-inf]], [[inf]], [[nan]], [[800.0]],
              [[[nan, 0], [0, 1]], [[0, 1], [1, 0]]], [[0.0, 60], [-60, 0]], [[-90, 20], [3, -80]],
              [[[1e-9, 2e-9], [0, 1e-9]], [[30.0, 1], [2, 20]]]):  # fmt: skip
        x = np.array(a, np.float64)
        got, want = (m.matrix_exp(m.from_numpy(x)).numpy() for m in (minigrad, torch))
        scale = np.abs(want[np.isfinite(want)]).max(initial=0)
        np.testing.assert_allclose(got, want, 1e-11, 1e-13 * scale)
    x = np.full((3, 3), 1e-20)
    np.testing.assert_array_equal(minigrad.matrix_exp(minigrad.from_numpy(x)).array, np.eye(3) + x)


def test_svd_without_vectors() -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    for some in (True, False):
        got = minigrad.from_numpy(x).svd(some, compute_uv=False)
        want = torch.from_numpy(x).svd(some, compute_uv=False)
        for y, z in zip(got, want, strict=True):
            np.testing.assert_allclose(y.array, z.numpy(), 1e-12)


def t(*shape: int) -> Any:
    return minigrad.ones(*shape, dtype=minigrad.float64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linalg.inv(t(2, 3)), RuntimeError, r"inv: expected square.*\(2, 3\)"),
        (lambda: linalg.inv(t(2, 2)), RuntimeError, "inv: a matrix is singular"),
        (lambda: linalg.solve(t(2, 2), t(2)), RuntimeError, "solve: a matrix is singular"),
        (lambda: linalg.solve(t(2, 2), t(3, 1)), RuntimeError, "solve: A of shape"),
        (lambda: linalg.cholesky(-t(1, 1)), RuntimeError, "cholesky: a matrix is not positive"),
        (lambda: linalg.det(minigrad.ones(2, 2, dtype=minigrad.int64)), TypeError, "det: expected"),
        (lambda: linalg.inv(t(2, 2).half()), RuntimeError, "inv: float16"),
        (lambda: linalg.qr(t(2, 2), "economic"), ValueError, "qr: mode"),
        (lambda: linalg.matrix_norm(t(2, 2), 3), ValueError, "matrix_norm: ord"),
        (lambda: linalg.matrix_norm(t(2)), RuntimeError, "matrix_norm: expected at least two"),
        (lambda: linalg.norm(t(2, 2, 2), 2), RuntimeError, "norm: ord=2 of 3 axes"),
        (lambda: linalg.norm(t(2, 2, 2), "fro"), RuntimeError, "norm: ord='fro'"),
        (lambda: linalg.multi_dot([t(2)]), RuntimeError, "multi_dot: expected at least two"),
        (lambda: linalg.multi_dot([t(2), t(2), t(2)]), RuntimeError, "multi_dot: expected mat"),
        (lambda: minigrad.cross(t(2), t(2)), RuntimeError, "cross: expected 3 elements"),
        (lambda: minigrad.trace(t(2)), RuntimeError, "trace: expected a matrix"),
        (lambda: minigrad.cdist(t(2, 3), t(2, 2)), RuntimeError, "cdist: expected"),
        (lambda: minigrad.tensordot(t(2, 3), t(2, 2)), RuntimeError, "tensordot: the axes"),
        (lambda: minigrad.tensordot(t(2), t(2), 3), RuntimeError, "tensordot: 3 axes"),
        (lambda: minigrad.cov(t(2, 2), fweights=t(2)), RuntimeError, "cov: fweights"),
        (lambda: minigrad.cov(t(2, 2), aweights=t(3)), RuntimeError, "cov: weights"),
        (lambda: linalg.matrix_power(t(2, 2), 1.5), TypeError, "matrix_power: n"),
        (lambda: minigrad.matrix_exp(t(2, 3)), RuntimeError, "matrix_exp: expected square"),
        (lambda: minigrad.matrix_exp(t(2, 2).long()), TypeError, "matrix_exp: expected a floating"),
        (lambda: linalg.solve_triangular(t(2, 2), t(2), upper=True), RuntimeError, "solve_triang"),
        (
            lambda: linalg.solve_triangular(t(2, 2), t(2), upper=True, left=False),
            RuntimeError,
            "solve_triangular: B must have at least 2 axes",
        ),
        (
            lambda: linalg.solve_triangular(t(2, 2), t(2, 1).float(), upper=True),
            RuntimeError,
            "solve_triangular: ",
        ),
        (lambda: linalg.solve_triangular(t(2, 3), t(2, 1), upper=True), RuntimeError, "square"),
        (lambda: minigrad.triangular_solve(t(3, 1), t(2, 2)), RuntimeError, "triangular_solve: A"),
        (lambda: minigrad.cholesky_solve(t(3, 1), t(2, 2)), RuntimeError, "cholesky_solve: A of"),
        (lambda: linalg.lu_factor(t(2, 2)), RuntimeError, "lu_factor: a matrix is singular"),
        (lambda: linalg.lu_factor(t(2, 2), pivot=False), RuntimeError, "lu_factor: pivot=False"),
        (lambda: linalg.lu_solve(t(2, 2), t(2).int(), t(3, 1)), RuntimeError, "lu_solve: A of"),
        (lambda: linalg.lu_solve(t(2, 2), t(2).int() - 1, t(2, 1)), RuntimeError, "from 1 to 2"),
        (lambda: linalg.lstsq(t(3, 2), t(2, 1)), RuntimeError, "lstsq: A of shape"),
        (lambda: linalg.lstsq(t(2, 3, 2), t(4, 3, 1)), RuntimeError, "lstsq: A of shape"),
        (lambda: linalg.lstsq(t(3, 2), t(3, 1), driver="qr"), ValueError, "lstsq: driver"),
        (lambda: minigrad.dist(t(3), t(2)), ValueError, "dist: shapes .* do not broadcast"),
        (lambda: minigrad.dist(t(3), 1.0), TypeError, "dist: other must be a tensor"),
        (lambda: minigrad.dist(t(3).long(), t(3).long()), TypeError, "dist: expected a floating"),
        (lambda: minigrad.svd(t(3)), RuntimeError, "svd: expected matrices"),
    ],
)
def test_refusals(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
