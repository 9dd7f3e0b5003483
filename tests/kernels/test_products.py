"""Compiled products: right in every layout, the same bits on any number of threads, and BLAS and
everything else of the process as they were."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import kernels
from minigrad.kernels import reference

products: Any = pytest.importorskip("minigrad.kernels.compiled.products")
blas_calls: Any = pytest.importorskip("minigrad.kernels.machinery.blas_calls")
pytestmark = pytest.mark.skipif(kernels.blas() is None, reason="numpy's BLAS is not OpenBLAS")
RNG = np.random.default_rng
Array = np.ndarray


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    from minigrad.kernels.machinery import threads

    before = threads._threads
    yield
    threads._threads = before


@pytest.fixture
def _small_too(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Products of any size take the compiled way."""
    monkeypatch.setattr(products, "FROM", 1)
    monkeypatch.setattr(products, "FROM_VECTOR", 1)
    products._plans.clear()
    yield
    products._plans.clear()


def threads_of_blas() -> list[int]:
    from threadpoolctl import threadpool_info

    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def in_a_layout(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers of this shape, that lie somehow."""
    *stack, rows, columns = shape
    kind = rng.integers(7)
    if kind == 1:  # transposed
        return rng.standard_normal((*stack, columns, rows)).swapaxes(-1, -2)
    if kind == 2:  # every second
        x = rng.standard_normal([2 * n for n in shape])
        return x[tuple(slice(None, None, 2) for _ in shape)]
    if kind == 3:  # one for all of the stack
        return np.broadcast_to(rng.standard_normal((rows, columns)), shape)
    if kind == 4 and stack:  # the stack within the rows
        return np.moveaxis(rng.standard_normal((rows, *stack, columns)), 0, -2)
    if kind == 5:  # backwards
        return rng.standard_normal(shape)[..., ::-1]
    if kind == 6:  # a part of larger matrices
        return rng.standard_normal((*stack, rows + 3, columns + 5))[..., 1:-2, 2:-3]
    return rng.standard_normal(shape)


def check(seed: int) -> None:
    rng = RNG(seed)
    stack = ((), (3,), (2, 3), (1,), (5, 1))[rng.integers(5)]
    m, k, n = (int(size) for size in rng.integers(1, 70, 3))
    k = 0 if rng.random() < 0.05 else k
    if rng.random() < 0.1:
        m, n = 700, 300
    dtype = np.float32 if rng.random() < 0.5 else np.float64
    shapes = [(*stack, m, k), (*(stack if rng.random() < 0.6 else ()), k, n)]
    a, b = (in_a_layout(rng, shape).astype(dtype, order="K") for shape in shapes)
    bias = (None, rng.standard_normal(n), rng.standard_normal((m, 1)))[rng.integers(3)]
    bias = None if bias is None else bias.astype(dtype)
    summed = bool(rng.integers(2))
    want = a.astype("d") @ b.astype("d")
    want = want.sum(tuple(range(want.ndim - 2))) if summed else want
    want = want if bias is None else want + bias
    # A sum of K products of numbers near 1 is rounded K times, by half a unit of its size or less.
    tolerance = np.finfo(dtype).eps * 10 * max(1.0, np.abs(want).max(initial=0))
    for backend in (reference, products):
        got = backend.product(a, b, bias, summed)
        assert got.shape == want.shape and got.dtype == dtype
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(1, k) ** 0.5)


@pytest.mark.slow
@pytest.mark.usefixtures("_small_too")
def test_random_products_in_random_layouts() -> None:
    for seed in range(600):
        try:
            check(seed)
        except BaseException as error:
            error.add_note(f"product {seed}")
            raise


SIZES = [
    (60, 784, 100),
    (1, 784, 300),
    (300, 784, 1),
    (256, 256, 256),
    (64, 4608, 512),
    (700, 33, 65),
]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("stack", [(), (5,)], ids=str)
def test_the_same_bits_on_any_number_of_threads(size: Any, stack: Any) -> None:
    m, k, n = size
    a, b = RNG(0).standard_normal((*stack, m, k)), RNG(1).standard_normal((*stack, n, k))
    for x, y in ((a, b), (a.astype("f"), b.astype("f"))):
        found = []
        for threads in (1, 2, 4):
            minigrad.set_num_threads(threads)
            found.append([products.product(x, y.swapaxes(-1, -2), None, s) for s in (False, True)])
        for each, summed in found[1:]:
            assert (each == found[0][0]).all() and (summed == found[0][1]).all()


def test_blas_keeps_its_threads() -> None:
    from threadpoolctl import threadpool_limits

    a = RNG(0).standard_normal((256, 256))
    for n in (1, 2, 3):
        with threadpool_limits(n, user_api="blas"):
            before = threads_of_blas()
            products.product(a, a)
            assert threads_of_blas() == before and n in before


def test_blas_keeps_its_threads_when_many_multiply_at_once() -> None:
    before = threads_of_blas()
    a = RNG(0).standard_normal((160, 160))
    want, wrong = products.product(a, a), []

    def work() -> None:
        for _ in range(200):
            wrong.extend([1] * int(not (products.product(a, a) == want).all()))

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong and threads_of_blas() == before
    assert not blas_calls._state.any(where=[1, 1, 0, 1])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_a_process_that_multiplies() -> None:
    """A fork while another thread is in BLAS: the child's BLAS has its threads, and multiplies."""
    before, stop = threads_of_blas(), threading.Event()
    a = RNG(0).standard_normal((400, 400))
    want = products.product(a, a)

    def work() -> None:
        while not stop.is_set():
            products.product(a, a)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(10):
            child = os.fork()
            if not child:
                right = threads_of_blas() == before and not blas_calls._state[1]
                right = right and (products.product(a, a) == want).all()
                os._exit(0 if right else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        worker.join()


def test_where_numpy_has_another_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "blas", lambda: None)
    products._plans.clear()
    a = RNG(0).standard_normal((128, 128))
    assert (products.product(a, a) == a @ a).all()
    products._plans.clear()


def test_geometries_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "PLANS", 3)
    for n in range(90, 100):
        products.product(np.ones((n, n)), np.ones((n, n)))
        assert len(products._plans) <= 3
