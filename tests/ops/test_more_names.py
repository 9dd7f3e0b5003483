"""Names that scripts type, beside PyTorch's: windows of signals, dtypes of results, counts and
ranks; and settings that are settled here."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad import nn
from minigrad.nn import functional as F

torch = pytest.importorskip("torch")
KINDS = ("bool", "int8", "uint8", "int16", "int64", "float16", "float32", "float64")


@pytest.mark.parametrize(
    "name",
    ["hann_window", "hamming_window", "blackman_window", "bartlett_window", "kaiser_window"],
)
def test_windows(name: str) -> None:
    for n, periodic in itertools.product(range(9), (True, False)):
        found = getattr(minigrad, name)(n, periodic, dtype=minigrad.float64).array
        expected = getattr(torch, name)(n, periodic=periodic, dtype=torch.float64).numpy()
        np.testing.assert_allclose(found, expected, 1e-10, 1e-12)
    assert getattr(minigrad, name)(4, requires_grad=True).dtype == minigrad.float32
    with pytest.raises(RuntimeError, match=f"{name}: dtype"):
        getattr(minigrad, name)(4, dtype=minigrad.int64)
    with pytest.raises(ValueError, match=f"{name}: window_length"):
        getattr(minigrad, name)(-1)


def test_dtypes_of_results() -> None:
    for a, b in itertools.product(KINDS, KINDS):
        ours, theirs = ([getattr(m, k) for k in (a, b)] for m in (minigrad, torch))
        assert minigrad.can_cast(*ours) == torch.can_cast(*theirs), (a, b)
        for n, k in ((0, 1), (1, 0), (1, 1)):
            pair = [m.ones([1] * r, dtype=t) for m, t, r in
                    ((minigrad, ours[0], n), (minigrad, ours[1], k))]  # fmt: skip
            other = [torch.ones([1] * r, dtype=t) for t, r in zip(theirs, (n, k), strict=True)]
            expected = str(torch.result_type(*other)).removeprefix("torch.")
            assert str(minigrad.result_type(*pair)) == expected, (a, b, n, k)
    for a, number in itertools.product(KINDS, (True, 2, 1.5)):
        found = minigrad.result_type(minigrad.ones(2, dtype=getattr(minigrad, a)), number)
        theirs = torch.result_type(torch.ones(2, dtype=getattr(torch, a)), number)
        assert str(found) == str(theirs).removeprefix("torch.")
        x = minigrad.ones(2, dtype=getattr(minigrad, a))
        assert x.is_signed() == torch.ones(2, dtype=getattr(torch, a)).is_signed()


def test_rank() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        m, n, r = rng.integers(1, 6, 3)
        a = rng.standard_normal((2, m, r)) @ rng.standard_normal((2, r, n))
        for options in ({}, {"rtol": 0.3}, {"atol": 1.0}, {"atol": 0.5, "rtol": 0.1}):
            found, expected = (m.linalg.matrix_rank(m.tensor(a), **options).tolist()
                               for m in (minigrad, torch))  # fmt: skip
            assert found == expected


@pytest.mark.parametrize("p", [None, 2, -2, 1, -1, np.inf, -np.inf, "fro", "nuc"])
def test_condition_numbers(p: Any) -> None:
    rng = np.random.default_rng(1)
    for shape in ((3, 3), (2, 4, 4), (1, 1)):
        a = rng.standard_normal(shape)
        found, expected = (m.linalg.cond(m.tensor(a), p).numpy() for m in (minigrad, torch))
        np.testing.assert_allclose(found, expected, 1e-9)
    assert minigrad.linalg.cond(minigrad.zeros(2, 2), "fro").item() == np.inf


def test_integers_and_memory() -> None:
    for m in (minigrad, torch):
        x = m.arange(12).reshape(3, 4)
        assert m.argwhere(x > 9).tolist() == x.gt(9).argwhere().tolist() == [[2, 2], [2, 3]]
        assert m.bitwise_left_shift(x, 2)[1].tolist() == [16, 20, 24, 28]
        assert m.bitwise_right_shift(-x, 1)[1].tolist() == [-2, -3, -3, -4]
        assert x[1:, 2:].storage_offset() == 6 and x.storage_offset() == 0
        assert x.new([1, 2]).dtype == m.int64 and tuple(x.new(2, 3).shape) == (2, 3)
        y = m.zeros(7, 3).fill_diagonal_(2, True)
        assert y.nonzero().tolist() == [[0, 0], [1, 1], [2, 2], [4, 0], [5, 1], [6, 2]]
        z = m.tensor([1.0, -1.0])
        assert m.nextafter(z, m.zeros(2)).tolist() == [1 - 2**-24, 2**-24 - 1]
        assert m.is_nonzero(m.tensor([[2.0]])) and not m.tensor(0).is_nonzero()
        for name in ("less", "less_equal", "greater", "greater_equal", "not_equal"):
            assert getattr(m, name)(z, 1).tolist() == getattr(z, name)(1).tolist()
        assert m.frombuffer(bytearray(b"\1\0\2\0"), dtype=m.int16, offset=2).tolist() == [2]
        with pytest.warns(UserWarning, match="deprecated"):
            assert m.range(1, 2.2, 0.5).tolist() == [1, 1.5, 2]
        assert (m.arange(3) << 1).tolist() == [0, 2, 4] and (m.arange(4) >> 1).tolist()[3] == 1
        answers = [getattr(z, f"is_{what}") for what in ("sparse", "quantized", "mps")]
        assert answers == [False] * 3 and z.itemsize == 4
        for form in (None, m.preserve_format, m.contiguous_format):
            assert m.zeros_like(z, memory_format=form).tolist() == [0, 0]
            assert m.full_like(z, 2, memory_format=form).tolist() == [2, 2]
            assert z.clone(memory_format=form).tolist() == m.ones_like(z).mul(z).tolist()
        assert z.contiguous(memory_format=m.contiguous_format) is z
    x = minigrad.ones(2)
    assert x.pin_memory() is x
    with pytest.raises(RuntimeError, match=r"zeros_like: tensors lie in row-major.*'nhwc'"):
        minigrad.zeros_like(minigrad.ones(2), memory_format="nhwc")
    with pytest.raises(ValueError, match="frombuffer: "):
        minigrad.frombuffer(b"\1", dtype=minigrad.int16)
    with pytest.raises(RuntimeError, match="is_nonzero: "):
        minigrad.is_nonzero(minigrad.ones(2))


def test_poisson() -> None:
    rates = minigrad.tensor([0.0, 0.5, 4.0]).expand(20_000, 3)
    x = minigrad.poisson(rates, generator=minigrad.Generator().manual_seed(0)).array
    assert x.dtype == np.float32 and (x == np.round(x)).all()
    np.testing.assert_allclose(x.mean(0), [0, 0.5, 4], atol=0.08)
    np.testing.assert_allclose(x.var(0), [0, 0.5, 4], atol=0.3)
    with pytest.raises(RuntimeError, match="poisson: "):
        minigrad.poisson(minigrad.tensor([-1.0]))


def test_settings_take_what_changes_nothing() -> None:
    minigrad.set_float32_matmul_precision("high")
    assert minigrad.get_float32_matmul_precision() == "highest"
    minigrad.use_deterministic_algorithms(True, warn_only=True)
    assert minigrad.are_deterministic_algorithms_enabled()
    minigrad.set_default_device("cpu")
    assert minigrad.get_default_device() == minigrad.device("cpu")
    minigrad.set_default_tensor_type("torch.FloatTensor")
    minigrad.set_default_tensor_type(minigrad.FloatTensor)
    minigrad.set_num_interop_threads(1)
    assert minigrad.set_flush_denormal(False) and not minigrad.set_flush_denormal(True)
    for refused, name in (
        (lambda: minigrad.set_default_device("cuda"), "set_default_device"),
        (lambda: minigrad.set_float32_matmul_precision("low"), "set_float32_matmul_precision"),
        (lambda: minigrad.set_default_tensor_type(minigrad.DoubleTensor), "float32"),
    ):
        with pytest.raises((RuntimeError, ValueError), match=name):
            refused()


# ---------------------------------------------------------------------------- tables and places


def test_embeddings_of_bounded_norm_and_by_frequency() -> None:
    rng = np.random.default_rng(2)
    for trial in range(60):
        rows, width = rng.integers(2, 7), rng.integers(1, 4)
        i, w = rng.integers(0, rows, (3, 4)), rng.standard_normal((rows, width))
        options = {
            "padding_idx": None if trial % 2 else int(rng.integers(rows)),
            "max_norm": None if trial % 3 else 0.7, "norm_type": float(rng.integers(1, 4)),
            "scale_grad_by_freq": bool(trial % 5),
        }  # fmt: skip
        g, results = rng.standard_normal((3, 4, width)), []
        for m in (minigrad, torch):
            table = m.tensor(w, requires_grad=True)
            out = m.nn.functional.embedding(m.tensor(i), table, **options)
            out.backward(m.tensor(g))
            results.append([v.detach().numpy() for v in (out, table, table.grad)])
        for found, expected in zip(*results, strict=True):
            np.testing.assert_allclose(found, expected, 1e-10, 1e-12)


def test_bags_by_frequency_and_of_bounded_norm() -> None:
    """PyTorch's bags divide by the frequency of another row: the gradient is embedding's here."""
    i, w = minigrad.tensor([3, 3, 4]), minigrad.randn(5, 2, requires_grad=True)
    F.embedding_bag(
        i, w, minigrad.tensor([0]), mode="sum", scale_grad_by_freq=True
    ).sum().backward()
    assert w.grad is not None and w.grad.tolist() == [[0, 0]] * 3 + [[1, 1]] * 2
    layer = nn.EmbeddingBag(5, 2, max_norm=1.0)
    with minigrad.no_grad():
        layer.weight.fill_(3.0)
    out = layer(minigrad.tensor([[0, 1]]))
    np.testing.assert_allclose(out.array, [[0.5**0.5] * 2], 1e-5)
    assert (layer.weight.array[2:] == 3).all()


def test_an_optional_axis_of_corners_warns_as_in_pytorch() -> None:
    for m in (minigrad, torch):
        with pytest.warns(UserWarning, match="align_corners"):
            m.nn.functional.grid_sample(m.zeros(1, 1, 2, 2), m.zeros(1, 1, 1, 2))


def test_bits_of_grids_and_bags_do_not_depend_on_threads() -> None:
    """Of random shapes, large enough to be shared out, with places and rows that repeat."""
    before, rng = minigrad.get_num_threads(), np.random.default_rng(3)
    try:
        for _ in range(3):
            c, h, w = rng.integers(8, 40, 3)
            x, g = rng.standard_normal((2, c, h, w)), rng.uniform(-1.2, 1.2, (2, 41, 37, 2))
            rows = rng.integers(0, 50, (301, 29))
            table, seen = rng.standard_normal((50, c)), set()
            for threads in (1, 2, 3):
                minigrad.set_num_threads(threads)
                leaves = [
                    minigrad.tensor(a.astype("f4"), requires_grad=True) for a in (x, g, table)
                ]
                y = F.grid_sample(*leaves[:2], align_corners=False)
                z = F.embedding_bag(minigrad.tensor(rows), leaves[2])
                ((y * y).sum() + (z * z).sum()).backward()
                parts = [y, z, *(leaf.grad for leaf in leaves)]
                seen.add(b"".join(p.array.tobytes() for p in parts if p is not None))
            assert len(seen) == 1
    finally:
        minigrad.set_num_threads(before)
