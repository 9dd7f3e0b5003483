"""numpy's functions of tensors are the ops, and give what numpy gives of the arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor
from minigrad.autograd import gradcheck
from minigrad.ops.from_numpy import FUNCTIONS, UFUNCS

INTEGERS = {u for u in UFUNCS if u.__name__.startswith(("bitwise", "invert", "gcd", "lcm"))}
INTEGERS |= {np.left_shift, np.right_shift}


def values(ufunc: Any, shape: tuple[int, ...], seed: int) -> Any:
    rng = np.random.default_rng(seed)
    if ufunc in INTEGERS or (ufunc is np.ldexp and seed == 1):
        return rng.integers(0, 9, shape)
    return rng.uniform(0.5, 2, shape)


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda u: u.__name__)
def test_a_ufunc(ufunc: Any) -> None:
    for shapes in (((2, 2), (2, 2)), ((3, 3), (3, 3))):
        arrays = [values(ufunc, s, i) for i, s in enumerate(shapes[: ufunc.nin])]
        found = ufunc(*map(mg.from_numpy, arrays))
        with np.errstate(invalid="ignore"):  # arcsin(2)
            expected = ufunc(*arrays)
        assert type(found) is Tensor and found.dtype == expected.dtype
        # some ops have kernels of their own, a rounding or two from numpy's
        np.testing.assert_allclose(found.array, expected, rtol=1e-14)
        if ufunc.nin == 2:  # an array on either side is the same op
            for mixed in (
                (arrays[0], mg.from_numpy(arrays[1])),
                (mg.from_numpy(arrays[0]), arrays[1]),
            ):
                found = ufunc(*mixed)
                assert type(found) is Tensor
                np.testing.assert_allclose(found.array, expected, rtol=1e-14)


def test_the_walk_finds_ufuncs() -> None:
    assert len(UFUNCS) > 70 and len(INTEGERS) == 8


@pytest.mark.parametrize(
    "ufunc", [u for u in UFUNCS if u.nin == 2 and not u.signature], ids=lambda u: u.__name__
)
def test_a_ufunc_of_a_number(ufunc: Any) -> None:
    x, n = values(ufunc, (3,), 0), 2 if ufunc in INTEGERS or ufunc is np.ldexp else 2.0
    for number in (n, np.asarray(n)[()]):
        calls = [lambda a, n=number: ufunc(a, n), lambda a, n=number: ufunc(n, a)]
        for call in calls if ufunc is not np.ldexp else calls[:1]:
            found = call(mg.from_numpy(x))
            assert type(found) is Tensor
            np.testing.assert_allclose(found.array, call(x), rtol=1e-14)


CALLS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: np.sum(x, axis=0), "sum all": np.sum, "prod": lambda x: np.prod(x, 1),
    "sum kept": lambda x: np.sum(x, axis=1, keepdims=True), "mean": lambda x: np.mean(x, (0, 1)),
    "mean of no axis": np.mean, "max": np.max, "min": lambda x: np.min(x, axis=1),
    "amax": lambda x: np.amax(x, axis=0), "amin": np.amin, "any": np.any, "all": np.all,
    "any of": lambda x: np.any(x > 1, axis=0), "all of": lambda x: np.all(x > 1, axis=1),
    "var": np.var, "var of": lambda x: np.var(x, axis=0, ddof=1), "std": lambda x: np.std(x, 1),
    "std by correction": lambda x: np.std(x, correction=1), "nonzero": np.count_nonzero,
    "cumsum": np.cumsum, "cumsum of": lambda x: np.cumsum(x, axis=1), "cumprod": np.cumprod,
    "argmax": np.argmax, "argmin": lambda x: np.argmin(x, axis=1), "sort": np.sort,
    "sort of": lambda x: np.sort(x, axis=0), "argsort": np.argsort,
    "clip": lambda x: np.clip(x, 0.8, 1.2), "clip above": lambda x: np.clip(x, None, 1.2),
    "clip by names": lambda x: np.clip(x, min=0.7, max=1.0), "round": np.round,
    "round to": lambda x: np.round(x, 1), "around": lambda x: np.round(x, decimals=2),
    "where": lambda x: np.where(x > 1, x, 0.5), "indices": lambda x: np.where(x > 1)[1],
    "isclose": lambda x: np.isclose(x, x + 1e-9), "reshape": lambda x: np.reshape(x, (4, 3)),
    "ravel": np.ravel, "transpose": np.transpose, "transposed": lambda x: np.transpose(x, (1, 0)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1), "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "squeeze": lambda x: np.squeeze(x[:1]), "squeeze of": lambda x: np.squeeze(x[:1], axis=0),
    "expand_dims": lambda x: np.expand_dims(x, 1), "copy": np.copy, "diag": np.diag,
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 3, 4)), "tril": lambda x: np.tril(x, 1),
    "triu": np.triu, "concatenate": lambda x: np.concatenate([x, x], axis=1),
    "concatenate rows": lambda x: np.concatenate((x, x)), "stack": lambda x: np.stack([x, x], 1),
    "flip": np.flip, "flip of": lambda x: np.flip(x, axis=1), "roll": lambda x: np.roll(x, 2),
    "roll of": lambda x: np.roll(x, 1, axis=0), "tile": lambda x: np.tile(x, (2, 1)),
    "tile once": lambda x: np.tile(x, 2), "repeat": lambda x: np.repeat(x, 2),
    "repeat of": lambda x: np.repeat(x, 2, axis=1), "outer": lambda x: np.outer(x, x),
    "take_along_axis": lambda x: np.take_along_axis(x, np.array([[0], [2], [1]]), axis=1),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x), "zeros_like": np.zeros_like,
    "ones_like": np.ones_like, "empty_like": lambda x: np.empty_like(x) * 0,
    "full_like": lambda x: np.full_like(x, 3.0), "shape": np.shape, "ndim": np.ndim,
    "size": np.size, "allclose": lambda x: np.allclose(x, x), "array_equal":
    lambda x: np.array_equal(x, x), "median": np.median, "percentile": lambda x:
    np.percentile(x, 30), "vstack": lambda x: np.vstack([x, x]), "tan": np.tan, "hypot":
    lambda x: np.hypot(x, 2.0), "add.reduce": np.add.reduce, "modf": lambda x: np.modf(x)[0],
    "dtype=": lambda x: np.exp(x, dtype=np.float64),
    "nonzero of": lambda x: np.nonzero(x > 1)[1], "argwhere": lambda x: np.argwhere(x > 1),
    "isin": lambda x: np.isin(x, [0.5]), "isposinf": np.isposinf, "isneginf": np.isneginf,
    "nan_to_num": lambda x: np.nan_to_num(x, nan=1.0), "sinc": np.sinc, "i0": np.i0,
    "fix": np.fix, "nansum": lambda x: np.nansum(x, axis=0), "nanmean": np.nanmean,
    "quantile": lambda x: np.quantile(x, 0.3, axis=0), "quantiles": lambda x:
    np.quantile(x, [0.3, 0.5]), "lower": lambda x: np.quantile(x, 0.3, method="lower"),
    "percentiles": lambda x: np.percentile(x, [30, 90], axis=1), "nanquantile": lambda x:
    np.nanquantile(x, 0.25, axis=1, keepdims=True), "nanpercentile": lambda x:
    np.nanpercentile(x, 25), "median of": lambda x: np.median(x, axis=1), "nanmedian": np.nanmedian,
    "hstack": lambda x: np.hstack([x, x]), "dstack": lambda x: np.dstack([x, x]), "column_stack":
    lambda x: np.column_stack([x, x]), "atleast_1d": np.atleast_1d, "atleast_2d":
    lambda x: np.atleast_2d(x[0]), "array_split": lambda x: np.array_split(x, 2)[0],
    "split": lambda x: np.split(x, [1], axis=1)[1], "fliplr": np.fliplr, "flipud": np.flipud,
    "rot90": lambda x: np.rot90(x, 3), "take": lambda x: np.take(x, [3, 0], axis=1),
    "take of all": lambda x: np.take(x, [[7, 1]]), "pad": lambda x: np.pad(x, 1),
    "pad sides": lambda x: np.pad(x, ((1, 0), (2, 3)), constant_values=5.0),
    "diff": lambda x: np.diff(x, axis=0), "meshgrid": lambda x: np.meshgrid(x[0], x[0, :2])[0],
    "diagonal": lambda x: np.diagonal(x, 1), "trace": np.trace, "dot": lambda x: np.dot(x, x[0]),
    "dot of many": lambda x: np.dot(x, np.ones((2, 4, 3))), "dot of a number": lambda x:
    np.dot(x, 2.0), "inner": lambda x: np.inner(x, x), "vdot": lambda x: np.vdot(x, x),
    "kron": lambda x: np.kron(x, x), "tensordot": lambda x: np.tensordot(x, x),
    "cross": lambda x: np.cross(x[:, :3], x[:, 1:]), "cov": np.cov, "corrcoef": np.corrcoef,
    "cov of columns": lambda x: np.cov(x, rowvar=False), "vander": lambda x: np.vander(x[0], 3),
    "inv": lambda x: np.linalg.inv(square(x)), "pinv": np.linalg.pinv,
    "det": lambda x: np.linalg.det(square(x)), "slogdet": lambda x: np.linalg.slogdet(square(x))[1],
    "solve": lambda x: np.linalg.solve(square(x), np.ones((3, 2))), "cholesky": lambda x:
    np.linalg.cholesky(square(x)), "qr": lambda x: np.linalg.qr(x)[1], "svd": lambda x:
    np.linalg.svd(x)[1], "svdvals": np.linalg.svdvals, "eigh":
    lambda x: np.linalg.eigh(square(x))[0],
    "eigvalsh": lambda x: np.linalg.eigvalsh(square(x)), "matrix_power": lambda x:
    np.linalg.matrix_power(square(x), 3), "multi_dot":
    lambda x: np.linalg.multi_dot([x, np.eye(4)]),
    "norm": np.linalg.norm, "norm of": lambda x: np.linalg.norm(x, 1, axis=1, keepdims=True),
}  # fmt: skip
if np.lib.NumpyVersion(np.__version__) < "2.1.0":
    del CALLS["clip by names"]  # numpy has them from then on


def square(x: Any) -> Any:
    """A matrix whose lower triangle is that of a positive definite one."""
    return x[:, :3] + 5 * np.eye(3)


@pytest.mark.parametrize("name", CALLS)
def test_a_function(name: str) -> None:
    x = np.random.default_rng(0).uniform(0.5, 2, (3, 4))
    found, expected = CALLS[name](mg.from_numpy(x)), CALLS[name](x)
    if isinstance(found, Tensor):
        assert found.dtype == np.asarray(expected).dtype
        found = found.array
    # sums are taken in other orders; `repeat_interleave` and the like are exact
    np.testing.assert_allclose(found, expected, rtol=1e-13, strict=not isinstance(found, int))


def test_every_function_has_a_call() -> None:
    called = set()
    for name, call in CALLS.items():
        x = Watched(name, called)
        with pytest.raises(Stop):
            call(x)
    assert set(FUNCTIONS) - called == set()


class Stop(Exception):
    """What ends a call once numpy's function is known."""


class Watched:
    """Notes which function is called with it."""

    def __init__(self, name: str, called: set[Any]) -> None:
        self.called = called

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        self.called.add(function)
        raise Stop

    def __array_ufunc__(self, *args: Any, **options: Any) -> Any:
        raise Stop

    def __gt__(self, other: Any) -> Any:
        return self

    def __add__(self, other: Any) -> Any:
        return self

    def __getitem__(self, index: Any) -> Any:
        return self


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.exp(x) * np.sqrt(x) - np.log(x),
        lambda x: np.mean(np.tanh(x), axis=0) + np.var(x, axis=0),
        lambda x: np.concatenate([x, np.ones((1, 4)) + x[:1]]) @ np.ones((4, 2)),
        lambda x: np.cumsum(x) + np.ravel(np.transpose(x)) + np.float64(2) * np.std(x),
        lambda x: np.where(x > 1, x, np.square(x)) / np.sum(x, axis=1, keepdims=True),
        lambda x: np.arctan2(np.sinh(x), np.hypot(x, 2.0)) + np.pad(np.diff(x), ((0, 0), (0, 1))),
        lambda x: np.vstack([np.dot(x, x.T), np.median(x, axis=1)]) * np.linalg.norm(x),
    ],
)
def test_gradients_pass(kernels: str, function: Any) -> None:
    x = np.random.default_rng(0).uniform(0.5, 2, (3, 4))
    assert gradcheck(function, Tensor(x, requires_grad=True))


def test_no_gradient_is_lost() -> None:
    x = mg.ones(2, 2, requires_grad=True)
    a = np.zeros((2, 2), np.float32)
    calls: list[Any] = [
        np.cbrt, np.unique, np.add.reduce, lambda x: np.exp(x, out=a), lambda x: np.ptp(x + a),
        lambda x: np.exp(x, where=a > 0), lambda x: np.add.at(a, 0, x[0]),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(RuntimeError, match=r"the gradient would be lost: use \.detach\(\)"):
            call(x)
    with pytest.raises(RuntimeError, match=r"^cov with these arguments: no op computes it"):
        np.cov(x, rowvar=False)  # type: ignore[call-overload]
    with pytest.raises(RuntimeError, match=r"^add with out=: no op computes it"):
        a += x
    assert not a.any()
    assert np.shape(x) == (2, 2) and np.allclose(x, x) and np.result_type(x, a) == np.float32
    with pytest.raises(TypeError, match=r"^exp with out=: expected an array there"):
        np.exp(a, out=x.detach())  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="there is no argument 'where'"):
        np.mean(x, where=a > 0)  # type: ignore[call-overload]


def test_numbers_and_arrays_on_the_left() -> None:
    x = mg.tensor([1.0, 3.0])
    for number in (np.float64(2), np.float32(2), np.int64(2), np.array(2.0)):
        y = number * x
        assert type(y) is Tensor and y.dtype == mg.float32  # a number is weak, whose ever it is
        assert (number < x).tolist() == [False, True] and (number >= x).tolist() == [True, False]
        assert (number == x).tolist() == [False, False] and (number != x).tolist() == [True, True]
    a = np.ones(2)
    b = a
    a += x
    assert a is b and a.tolist() == [2.0, 4.0]
    assert (np.array([2.0, 3.0]) > x).tolist() == [True, False]


def test_what_others_take() -> None:
    torch = pytest.importorskip("torch")
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert x.nbytes == 16 and x.__dlpack_device__()[0] == 1
    for shared in (torch.from_dlpack(x), torch.from_dlpack(x.T), np.from_dlpack(x)):
        assert int(np.asarray(shared).ctypes.data) == x.data_ptr()
    np.testing.assert_array_equal(torch.from_dlpack(x.T).numpy(), x.array.T)
    x.requires_grad_()
    with pytest.raises(BufferError, match=r"use \.detach\(\)"):
        torch.from_dlpack(x)
    assert x.numpy(force=True) is x.array and (x * 2).numpy(force=True).tolist() == [[2, 4], [6, 8]]
