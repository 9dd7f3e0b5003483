"""Reading and writing by index: random indices beside PyTorch, and rules by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

# PyTorch has advice for uint8 masks, and for lists that are read as tuples.
pytestmark = pytest.mark.filterwarnings("ignore:indexing with dtype", "ignore:Using a non-tuple")
REFUSALS = (IndexError, TypeError, ValueError, RuntimeError)
Make = Callable[[Any], Any]  # an item of an index, made for a library


def tensor(a: Any) -> Make:
    return lambda lib: lib.from_numpy(np.array(a)) if lib is not mg else mg.tensor(np.array(a))


def number(rng: np.random.Generator, n: int) -> int:
    """A position along an axis of size n, sometimes one that is out of range."""
    if rng.random() < 0.02 or not n:
        return int(rng.integers(-n - 2, n + 2))
    return int(rng.integers(-n, n))


def positions(rng: np.random.Generator, n: int, shape: tuple[int, ...]) -> Any:
    """An array of positions along an axis of size n, sometimes with one that is out of range."""
    if rng.random() < 0.02:
        return rng.integers(-n - 2, n + 2, shape)
    return rng.integers(-n, n, shape) if n else np.zeros((0,), np.int64)


def slices(rng: np.random.Generator, n: int) -> Make:
    ends = [
        None if rng.random() < 0.4 else int(rng.integers(-n - 2, n + 3)),
        None if rng.random() < 0.4 else int(rng.integers(-n - 2, n + 3)),
        None if rng.random() < 0.6 else int(rng.integers(1, 4)),
    ]
    if rng.random() < 0.02:
        ends[int(rng.integers(3))] = (0, -1)[int(rng.integers(2))]
    how = int(rng.integers(12))

    def make(lib: Any) -> Any:
        if how == 0:  # whatever has __index__
            return slice(*(None if v is None else np.int64(v) for v in ends))
        if how == 1:
            return slice(*(None if v is None else lib.tensor(v) for v in ends))
        return slice(*ends)

    return make


BAD: list[Make] = [  # what is no index
    lambda lib: 1.0, lambda lib: 1j, lambda lib: "a", lambda lib: ["a"], lambda lib: [None],
    lambda lib: {}, lambda lib: {0}, lambda lib: object(), lambda lib: 2**63, lambda lib: np.True_,
    lambda lib: np.float32(1), lambda lib: [[0], [0, 0]], lambda lib: slice(0.0, 1),
    lambda lib: slice("0", 1), lambda lib: slice(None, None, 1.5), lambda lib: lib.tensor([]),
    lambda lib: lib.tensor(1.0), lambda lib: lib.tensor([0.0]),
    lambda lib: lib.tensor([0], dtype=lib.int8), lambda lib: lib.tensor([0], dtype=lib.int16),
    lambda lib: slice(lib.tensor([0, 1]), None), lambda lib: slice(lib.tensor(1.5), None),
]  # fmt: skip


def random_index(rng: np.random.Generator, shape: tuple[int, ...]) -> Make:
    """An index for an array of this shape, mostly a good one."""
    several = ((), (1,), (2,), (2,), (3,), (2, 3), (2, 1), (1, 3), (0,))
    common = several[int(rng.integers(len(several)))]  # most arrays of an index broadcast
    items: list[Make] = []
    axis, end = 0, len(shape)
    ellipsis_at = int(rng.integers(0, 3 * (end + 1)))
    while True:
        if axis == ellipsis_at:
            items.append(lambda lib: ...)
            axis = int(rng.integers(axis, max(end, axis) + 1))
            ellipsis_at = -1 if rng.random() < 0.95 else axis
            continue
        stop = axis >= end
        if rng.random() < 0.12:
            items.append(lambda lib: None)
            continue
        if rng.random() < 0.03:
            flag = bool(rng.random() < 0.7)
            kind = int(rng.integers(3))
            items.append((lambda lib, f=flag: f, tensor(flag), tensor(np.uint8(flag)))[kind])
            continue
        if rng.random() < 0.004:
            items.append(BAD[int(rng.integers(len(BAD)))])
            axis += 1
            continue
        if stop or rng.random() < 0.12:
            if stop and rng.random() < 0.01:
                items.append(lambda lib: 0)
            break
        n = shape[axis]
        how = rng.random()
        if how < 0.3:
            items.append(slices(rng, n))
        elif how < 0.5:
            i = number(rng, n)
            dtype = (np.int64, np.int32, np.int8, np.int16)[int(rng.integers(4))]
            options: list[Make] = [
                lambda lib, i=i: i, lambda lib, i=i: i, lambda lib, i=i: np.int64(i),
                tensor(np.array(i, dtype)), lambda lib, i=i, d=dtype: np.array(i, d),
            ]  # fmt: skip
            items.append(options[int(rng.integers(len(options)))])
        elif how < 0.8:
            size = common if rng.random() < 0.8 else several[int(rng.integers(len(several)))]
            a = positions(rng, n, size)
            kinds: list[Make] = [
                tensor(a), tensor(a), tensor(a.astype(np.int32)), lambda lib, a=a: a,
                lambda lib, a=a: a.astype(np.int16), lambda lib, a=a: a.tolist(),
                lambda lib, a=a: tuple(a.reshape(-1).tolist()),
                lambda lib, n=n: range(max(n - 1, 0)),
            ]  # fmt: skip
            items.append(kinds[int(rng.integers(len(kinds)))])
        else:
            count = int(rng.integers(1, min(end - axis, 3) + 1))
            size = shape[axis : axis + count]
            if rng.random() < 0.02:
                size = (*size[:-1], size[-1] + 1)
            mask = rng.random(size) < 0.5
            if rng.random() < 0.4:
                mask[...] = False
                mask.reshape(-1)[: common[-1] if common else 1] = True
            kinds = [tensor(mask), tensor(mask.astype(np.uint8))]
            if count == 1:  # beside an ellipsis PyTorch counts arrays and lists as one axis
                kinds += [lambda lib, m=mask: m, lambda lib, m=mask: m.tolist()]
            items.append(kinds[int(rng.integers(len(kinds)))])
            axis += count - 1
        axis += 1
    how = rng.random()
    if len(items) == 1 and how < 0.5:
        return items[0]
    if how < 0.05:
        return lambda lib: [make(lib) for make in items]  # a list that may be read as a tuple
    return lambda lib: tuple(make(lib) for make in items)


def random_shape(rng: np.random.Generator) -> tuple[int, ...]:
    low = 0 if rng.random() < 0.1 else 1
    return tuple(int(n) for n in rng.integers(low, 5, int(rng.integers(0, 5))))


def attempt(action: Callable[[], Any]) -> Any:
    """What an action returns, or the error it raises."""
    try:
        return action()
    except (*REFUSALS, SystemError) as error:  # PyTorch's tensors as slices raise SystemError
        return error


def reads_nothing(error: Any, theirs: Any) -> bool:
    """We refuse an index out of range also where the result has no elements; PyTorch does not."""
    return isinstance(error, IndexError) and "out of bounds" in str(error) and not theirs.numel()


def value_shape(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that mostly broadcasts to `shape`."""
    if rng.random() < 0.03:
        return tuple(int(n) for n in rng.integers(1, 4, len(shape)))
    kept = [1 if rng.random() < 0.2 else n for n in shape]
    kept = kept[int(rng.integers(0, len(kept) + 1)) :] if rng.random() < 0.3 else kept
    return tuple([1] * int(rng.integers(0, 3)) + kept if rng.random() < 0.2 else kept)


def check_index(seed: int) -> bool:
    """Read and write by a random index in both libraries; whether PyTorch took the index."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    shape = random_shape(rng)
    make = random_index(rng, shape)
    x = rng.standard_normal(shape)
    if shape and rng.random() < 0.3:
        x = np.ascontiguousarray(x.T).T
    a = torch.from_numpy(x.copy(order="K")).requires_grad_()
    b = mg.from_numpy(x.copy(order="K")).requires_grad_()
    theirs, ours = attempt(lambda: a[make(torch)]), attempt(lambda: b[make(mg)])
    if isinstance(theirs, Exception) or isinstance(ours, Exception):
        if isinstance(theirs, Exception) and isinstance(ours, REFUSALS):
            assert "getitem: index" in str(ours)
        else:
            assert reads_nothing(ours, theirs), (theirs, ours)
        value: Any = 1.0
        theirs = attempt(lambda: torch.zeros(shape).__setitem__(make(torch), value))
        target = mg.zeros(shape)
        ours = attempt(lambda: target.__setitem__(make(mg), value))
        assert isinstance(ours, Exception) and not target.array.any()
        return False
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_array_equal(ours.array, theirs.detach().numpy())
    assert (ours.base is b) == theirs._is_view(), "view or copy"
    assert ours.is_contiguous() or not theirs.is_contiguous()
    g = rng.standard_normal(ours.shape)
    if theirs.requires_grad:
        theirs.backward(torch.from_numpy(g))
        ours.backward(mg.from_numpy(g))
        np.testing.assert_allclose(b.grad.array, a.grad.numpy(), rtol=1e-12, atol=1e-14)

    values = rng.standard_normal(value_shape(rng, ours.shape))
    u = torch.from_numpy(values.copy()).requires_grad_()
    v = mg.from_numpy(values.copy()).requires_grad_()
    a.grad = b.grad = None
    c, d = a * 1, b * 1
    theirs = attempt(lambda: c.__setitem__(make(torch), u))
    ours = attempt(lambda: d.__setitem__(make(mg), v))
    if not c[make(torch)].numel() and isinstance(ours, Exception):  # PyTorch may not look at values
        return True
    if "masked_fill_ only supports boolean" in str(theirs):  # uint8 masks and values of one element
        return True
    assert isinstance(theirs, Exception) == isinstance(ours, Exception), (theirs, ours)
    np.testing.assert_array_equal(d.array, c.detach().numpy())
    if isinstance(ours, Exception):
        return True
    g = rng.standard_normal(shape)
    c.backward(torch.from_numpy(g))
    d.backward(mg.from_numpy(g))
    np.testing.assert_allclose(b.grad.array, a.grad.numpy(), rtol=1e-12, atol=1e-14)
    # PyTorch gives values that another one replaced a gradient, too: the derivative is asked
    step = rng.standard_normal(v.shape)
    e = mg.from_numpy(x.copy())
    e[make(mg)] = mg.tensor(values + step)
    np.testing.assert_allclose(
        (v.grad.array * step).sum(), ((e.array - d.array) * g).sum(), rtol=1e-9, atol=1e-9
    )
    return True


def run(seeds: range) -> None:
    taken = 0
    for seed in seeds:
        try:
            taken += check_index(seed)
        except Exception as error:
            error.add_note(f"index {seed}")
            raise
    assert 0.7 * len(seeds) < taken < 0.98 * len(seeds)  # some are refused, most are not


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_random_indices_agree_with_pytorch(part: int) -> None:
    run(range(1500 * part, 1500 * (part + 1)))


@pytest.mark.fuzz
def test_a_hundred_thousand_random_indices() -> None:
    run(range(10_000, 110_000))


# What the random indices are about, by name.


def numbers(*shape: int, **options: Any) -> Any:
    return mg.arange(int(np.prod(shape)), **options).reshape(shape)


def test_axes_stand_where_pytorch_puts_them() -> None:
    x = numbers(4, 4, 3)
    assert x[0, :, [2]].shape == (4, 1)
    assert x[:, [0, 1], 1:, None].shape == (4, 2, 2, 1)
    assert numbers(4, 4, 3, 2)[:, [0, 1], 1:, -1].shape == (4, 2, 2)
    square = mg.zeros(2, 3, 3)
    square[0, :, [0, 1, 2]] = mg.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert square[0].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]


def test_lists_are_read_as_pytorch_reads_them() -> None:
    x = numbers(3, 3)
    assert x[[[0, 1], [1, 2]]].tolist() == [1, 5]  # a tuple of two
    assert x[[0, 2]].tolist() == [[0, 1, 2], [6, 7, 8]]
    assert x[[0, slice(1)]].tolist() == [0]
    assert x[[True, False, True]].tolist() == [[0, 1, 2], [6, 7, 8]]
    assert x[[mg.tensor(0), 1]].item() == 1
    assert x[[]].shape == (0, 3) and x[range(1)].shape == (1, 3)


def test_masks_are_bool_or_uint8() -> None:
    x = numbers(3)
    uint8 = mg.tensor([1, 0, 1], dtype=mg.uint8)
    assert x[uint8].tolist() == x[uint8.array].tolist() == [0, 2]
    assert x[mg.tensor([1, 0, 1])].tolist() == [1, 0, 1]  # places
    for mask in (mg.tensor([1, 0, 1]), uint8, np.array([1.0, 0.0, 1.0])):
        with pytest.raises(RuntimeError, match="masked_select: the mask must be bool"):
            mg.masked_select(x, mask)
        with pytest.raises(RuntimeError, match="masked_fill: the mask must be bool"):
            x.masked_fill(mask, 5)
    with pytest.raises(ValueError, match="masked_select: shapes"):
        x.masked_select(mg.tensor([True, False]))


def test_positions_of_any_integer_dtype_in_gather_take_and_select() -> None:
    x = numbers(300)
    for dtype in (mg.uint8, mg.int8, mg.int32, mg.int64):
        i = mg.tensor([3, 0, 3], dtype=dtype)
        for found in (x.gather(0, i), x.take(i), x.index_select(0, i)):
            assert found.tolist() == [3, 0, 3]
        assert x.scatter(0, i, value=-1)[:4].tolist() == [-1, 1, 2, -1]
    with pytest.raises(RuntimeError, match="take: the index must be an integer"):
        x.take(mg.tensor([1.0]))


def test_numpy_scalars_are_no_masks_and_floats_no_places() -> None:
    x = numbers(3)
    for index in (np.True_, 1.0, np.float64(1), "a", {}, [0.5], np.array([0.0])):
        with pytest.raises(IndexError, match="getitem: index"):
            x[index]
    for index in (slice(2.7), slice("0", "1"), slice(None, None, np.float64(1))):
        with pytest.raises(TypeError, match="getitem: index"):
            x[index]
        with pytest.raises(TypeError, match="setitem: index"):
            x[index] = 5
    assert x.tolist() == [0, 1, 2]


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
def test_a_value_that_another_replaces_gets_no_gradient(shape: tuple[int, ...]) -> None:
    for index in ([0, 1, 1], (..., [2, 0, 2]), ([1, 0, 1], ..., [0, 0, 0])):
        values = mg.randn(*mg.zeros(shape)[index].shape, dtype=mg.float64, requires_grad=True)

        def written(v: Any, index: Any = index) -> Any:
            x = mg.zeros(shape, dtype=mg.float64)
            x[index] = v
            return x * x

        assert mg.autograd.gradcheck(written, (values,))


def test_scatter_of_several_to_one_place_gives_the_last_the_gradient() -> None:
    x, src = (mg.randn(2, 3, dtype=mg.float64, requires_grad=True) for _ in range(2))
    i = mg.tensor([[0, 0, 1], [0, 0, 0]])
    assert mg.autograd.gradcheck(lambda x, s: x.scatter(0, i, s), (x, src))
    assert mg.autograd.gradcheck(lambda x, s: x.scatter(1, i, s), (x, src))
    assert mg.autograd.gradcheck(lambda x, s: x.scatter_add(1, i, s), (x, src))


def test_values_at_places_that_tensors_name_have_the_dtype() -> None:
    x = mg.zeros(3)
    with pytest.raises(RuntimeError, match="setitem: values of dtype float64"):
        x[[0, 1]] = mg.ones(2, dtype=mg.float64)
    with pytest.raises(RuntimeError, match="setitem: values of dtype int64"):
        x[x == 0] = mg.tensor([1, 2, 3])
    x[x == 0] = mg.tensor(2)  # a mask takes a single one of any dtype
    x[1:] = mg.tensor([3, 4])  # and so does a view many
    assert x.tolist() == [2.0, 3.0, 4.0]


def test_an_index_that_changes_before_backward_is_noticed() -> None:
    x, i = mg.ones(3, requires_grad=True), mg.tensor([0, 1])
    for y in (x[i], x[None, i], x.index_select(0, i)):
        i[0] = 2
        with pytest.raises(RuntimeError, match="changed in place"):
            y.sum().backward()


def test_masks_change_in_place() -> None:
    mask, other = mg.tensor([True, True, False, False]), mg.tensor([True, False, True, False])
    seen = mask.view(2, 2)
    whole = mask
    mask &= other
    assert mask is whole and seen.tolist() == [[True, False], [False, False]]
    mask |= mg.tensor([False, True, False, False])
    mask ^= other
    assert whole.tolist() == [False, True, True, False]
    bits = mg.tensor([6, 3])
    bits &= 2
    assert bits.bitwise_or_(4).bitwise_xor_(1).bitwise_not_().tolist() == [-8, -8]
    for wrong in (1, mg.tensor([1, 1, 1, 1]), mg.ones(4), mg.ones(2, 4).bool()):
        with pytest.raises((RuntimeError, TypeError), match="bitwise_and"):
            mask &= wrong
    assert whole.tolist() == [False, True, True, False]
