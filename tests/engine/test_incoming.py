"""The door: what comes in from numpy and other libraries, and what goes out to them."""

from __future__ import annotations

import array
import enum
import io
import operator
import pickle
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.autograd import record
from minigrad.data import DataLoader, Subset, TensorDataset, default_collate

DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]


def numbers(dtype: str) -> Any:
    return np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)


class Interface:
    """Has `__array_interface__` and nothing else."""

    def __init__(self, a: Any) -> None:
        self.a = a
        self.__array_interface__ = a.__array_interface__


class DLPack:
    """Has `__dlpack__` and nothing else."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def __dlpack__(self, **options: Any) -> Any:
        return self.a.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.a.__dlpack_device__()


# Where numbers come from: a library's object with these numbers, and whether the door shares its
# memory. Libraries that are not installed are skipped.


def from_torch(a: Any) -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed").from_numpy(a)


def from_pandas(a: Any) -> Any:
    return pytest.importorskip("pandas", reason="pandas is not installed").DataFrame(a)


def from_polars(a: Any) -> Any:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    if a.dtype == np.float16:
        pytest.skip("polars has no float16 in all versions")
    return polars.DataFrame(a, schema=["a", "b", "c"])


def from_pillow(a: Any) -> Any:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    if a.dtype != np.uint8:
        pytest.skip("images are uint8")
    return image.fromarray(a)


def from_jax(a: Any) -> Any:
    jax = pytest.importorskip("jax", reason="jax is not installed")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray(a)


SOURCES: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "numpy": (lambda a: a, True),
    "a minigrad tensor": (mg.from_numpy, True),
    "__array_interface__": (Interface, True),
    "__dlpack__": (DLPack, True),
    "a buffer": (memoryview, True),
    "a list of arrays": (list, False),
    "a tuple of lists of numpy's numbers": (lambda a: tuple(map(list, a)), False),
    "a deque of tensors": (lambda a: deque(map(mg.tensor, a)), False),
    "torch": (from_torch, True),
    "a list of torch tensors": (lambda a: list(from_torch(a)), False),
    "pandas": (from_pandas, False),
    "polars": (from_polars, False),
    "Pillow": (from_pillow, False),
    "jax": (from_jax, False),
}

# Where they come in: each gives the tensor that they became. The second argument is their dtype.


def gradient(data: Any, dtype: Any) -> Any:
    x = mg.zeros(2, 3, dtype=dtype, requires_grad=True)
    (x * 1).backward(data)
    return x.grad


def state_dict(data: Any, dtype: Any) -> Any:
    module = nn.Module()
    module.register_buffer("b", mg.zeros(2, 3, dtype=dtype))
    module.load_state_dict({"b": data})
    return module.b


def optimiser_state(data: Any, dtype: Any) -> Any:
    p = nn.Parameter(mg.zeros(2, 3, dtype=dtype))
    optimiser = optim.SGD([p], 0.1, momentum=0.5)
    optimiser.load_state_dict(optimiser.state_dict() | {"state": {0: {"momentum_buffer": data}}})
    return optimiser.state[p]["momentum_buffer"]


def changed(data: Any, dtype: Any) -> Any:
    x = mg.zeros(2, 3, dtype=dtype)
    x[...] = data
    return x


Door = Callable[[Any, Any], Any]
EVERYTHING: dict[str, Door] = {
    "tensor": lambda data, dtype: mg.tensor(data),
    "as_tensor": lambda data, dtype: mg.as_tensor(data),
    "asarray": lambda data, dtype: mg.asarray(data),
    "setitem": changed,
}
ARRAYS: dict[str, Door] = {  # and no lists
    "Tensor": lambda data, dtype: mg.Tensor(data),
    "TensorDataset": lambda data, dtype: TensorDataset(data).tensors[0],
    "default_collate": lambda data, dtype: default_collate([data])[0],
    "loader": lambda data, dtype: next(iter(DataLoader(TensorDataset(data), 2)))[0],
    "load_state_dict": state_dict,
}
FLOATS: dict[str, Door] = {"gradient": gradient, "optimiser state": optimiser_state}
SHARING = ("as_tensor", "asarray", "TensorDataset")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("source", SOURCES)
def test_everything_keeps_its_dtype_at_every_door(source: str, dtype: str) -> None:
    make, shares = SOURCES[source]
    lists = any(word in source for word in ("list", "deque"))
    doors = EVERYTHING if lists else EVERYTHING | ARRAYS
    if dtype.startswith("float") and not lists:
        doors = doors | FLOATS
    for name, door in doors.items():
        a = numbers(dtype)
        x = door(make(a), dtype)
        assert x.dtype == dtype, name
        np.testing.assert_array_equal(x.array, a, err_msg=name)
        a[0, 0] = 1
        if name not in SHARING:
            assert x.array[0, 0] == 0, f"{name} promises a copy"
        elif shares:
            assert x.array[0, 0] == 1, f"{name} promises to share the memory"


def test_plain_numbers_are_float32_int64_and_bool() -> None:
    assert [mg.tensor(v).dtype for v in (1.0, 1, True)] == ["float32", "int64", "bool"]
    assert [mg.tensor(v).dtype for v in ([1, 2.0], [], [[], []])] == ["float32"] * 3
    assert [mg.tensor(v).dtype for v in ([True, 2], range(3))] == ["int64"] * 2


def mixtures(m: Any) -> list[Any]:
    """Lists of numbers, of arrays and of the library's tensors."""
    return [
        [np.float64(1)], [np.float16(1)], [np.int32(1), np.int32(2)], np.float64(1), np.int8(1),
        [np.uint8(1), 2], [m.tensor(1.0, dtype=m.float64), 2], [m.tensor(1), 2.0], [np.bool_(1)],
        [m.tensor(1, dtype=m.uint8)], [np.ones(2), np.ones(2)], [np.float16(1), np.float32(1)],
        [np.int64(1), 2.5], [[np.float64(1)], [2]], [np.int8(1), True], [m.tensor(True), 1],
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy.ndarrays")
def test_mixtures_have_pytorchs_dtype() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for ours, theirs in zip(mixtures(mg), mixtures(torch), strict=True):
        expected = str(torch.tensor(theirs).dtype).removeprefix("torch.")
        assert mg.tensor(ours).dtype == expected, ours


def test_buffers_of_python() -> None:
    assert mg.tensor(bytearray(b"ab")).tolist() == mg.tensor(b"ab").tolist() == [97, 98]
    assert mg.tensor(b"ab").dtype == "uint8"
    data = array.array("d", [1.0, 2.0])
    x = mg.as_tensor(data)
    x[0] = 5
    assert x.dtype == "float64" and data.tolist() == [5.0, 2.0]


NO_NUMBERS = [
    ("text", "str"), (None, "NoneType"), ({}, "dict"), ({1}, "set"), (object(), "object"),
    ([1, "a"], "str"), ([[1], None], "NoneType"), (np.array(["a"]), "<U1"), ([np.float32], "type"),
    (np.array([None]), "object"), (np.array(["2000-01-01"], "M8[D]"), "datetime64"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "words"), NO_NUMBERS)
def test_what_is_no_number_is_refused(value: Any, words: str) -> None:
    for door in (mg.tensor, mg.as_tensor, mg.asarray):
        with pytest.raises(TypeError, match=words):
            door(value)


def test_what_gives_no_array_says_why() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    tracked, brain = torch.ones(2, 3, requires_grad=True), torch.ones(2, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError, match=r"tensor: torch\.Tensor gives no array: .*detach"):
        mg.tensor(tracked)
    with pytest.raises(RuntimeError, match=r"as_tensor: torch\.Tensor gives no array: .*BFloat16"):
        mg.as_tensor(brain)
    module = nn.Linear(3, 2)
    before = module.weight.tolist()
    with pytest.raises(RuntimeError, match=r"load_state_dict: bias: torch\.Tensor gives no array"):
        module.load_state_dict({"weight": torch.ones(2, 3), "bias": tracked[:, 0]})
    assert module.weight.tolist() == before


# PyTorch's checkpoints.


def test_a_state_dict_of_pytorch_loads() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    layers = lambda m: (m.nn.Linear(4, 3), m.nn.BatchNorm1d(3), m.nn.Linear(3, 2))  # noqa: E731
    theirs, ours = torch.nn.Sequential(*layers(torch)), nn.Sequential(*layers(mg))
    x = np.random.default_rng(0).standard_normal((5, 4)).astype("f4")
    theirs(torch.from_numpy(x))  # running statistics
    ours.load_state_dict(theirs.state_dict())
    assert ours[1].num_batches_tracked.item() == 1
    y = theirs.eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(mg.tensor(x)).detach().numpy(), y, rtol=1e-5, atol=1e-6)


OPTIMISERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1, "momentum": 0.9}), ("SGD", {"lr": 0.1}), ("Adam", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1}), ("Adam", {"lr": 0.1, "amsgrad": True}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), OPTIMISERS)
def test_an_optimiser_of_pytorch_is_continued(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    start = np.random.default_rng(0).standard_normal((3, 2)).astype("f4")
    p, q = torch.nn.Parameter(torch.from_numpy(start.copy())), nn.Parameter(mg.tensor(start))
    theirs = getattr(torch.optim, name)([p], **options)
    for _ in range(3):
        (p**2).sum().backward()
        theirs.step()
        theirs.zero_grad()
    with mg.no_grad():
        q.copy_(mg.tensor(p.detach()))
    ours = getattr(optim, name)([q], lr=5.0)
    ours.load_state_dict(theirs.state_dict())
    for _ in range(3):
        (p**2).sum().backward()
        (q**2).sum().backward()
        theirs.step()
        ours.step()
        theirs.zero_grad()
        ours.zero_grad()
    np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-5)


# Byte order.


def swapped(a: Any) -> Any:
    """The same numbers in the other byte order."""
    a = np.asarray(a)
    return a.astype(a.dtype.newbyteorder())


def test_arrays_in_another_byte_order_are_converted_at_every_door() -> None:
    a = swapped(numbers("float64"))
    assert not a.dtype.isnative
    x = mg.zeros(2, 3, dtype=mg.float64)
    y = mg.ones(2, 3, dtype=mg.float64, requires_grad=True)
    doors = EVERYTHING | ARRAYS | FLOATS
    elsewhere = mg.tensor(0.0)  # as a machine of that byte order would write it
    elsewhere.array = a
    file = io.BytesIO()
    mg.save(elsewhere, file)
    found = {name: door(a, "float64") for name, door in doors.items()}
    found |= {
        "from_numpy": mg.from_numpy(a),
        "a list": mg.tensor([a[0], a[1]]),
        "tensor in a dtype": mg.tensor(a, dtype=">f4"),
        "zeros": mg.zeros(2, dtype=">f4"),
        "full": mg.full((2,), 1.0, dtype=">f4"),
        "arange": mg.arange(3, dtype=">i4"),
        "randn": mg.randn(2, dtype=">f4"),
        "zeros_like": mg.zeros_like(a),
        "ones_like": mg.ones_like(a),
        "to": x.to(np.dtype(">f4")),
        "view": x.view(np.dtype(">f8")),
        "an operand": mg.add(x, a),
        "operands": mg.add(a, a),
        "the only one": mg.exp(a),
        "cat": mg.cat([x, a]),
        "where": mg.where(a > 1, x, a),
        "record": record("f", a, (y,), lambda g: g),
        "record without gradient": record("f", a, (x,), lambda g: g),
        "Parameter": nn.Parameter(a),
        "a collated number": default_collate([a[0, 0], a[0, 1]]),
        "the array of a loader": next(iter(DataLoader(a, 2))),
        "a file": mg.load(file),
        "a pickle": pickle.loads(pickle.dumps(elsewhere)),
        "a mask": x.masked_fill(a > 1, a[0, 0]),
    }
    for name, value in found.items():
        assert value.dtype.isnative and value.array.dtype.isnative, name
    x[...] = a
    x += mg.from_numpy(a)
    assert x.dtype.isnative and x.tolist() == (2 * numbers("float64")).tolist()
    assert Subset(a, swapped(np.array([1, 0])))[0].tolist() == [3, 4, 5]
    assert x[swapped(np.array([1]))].tolist() == [[6.0, 8.0, 10.0]]


def test_networks_train_on_either_byte_order(kernels: str) -> None:
    x = np.random.default_rng(0).standard_normal((4, 1, 6, 6)).astype("f4")
    gradients = []
    for data in (x, swapped(x)):
        mg.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(8, 3),
        )  # fmt: skip
        optimiser = optim.Adam(net.parameters())
        batch, labels = next(iter(DataLoader(TensorDataset(data, swapped(np.arange(4) % 3)), 4)))
        y = net(batch)
        y.backward(swapped(np.ones((4, 3), "f4")))
        nn.functional.cross_entropy(net(mg.from_numpy(data)), labels).backward()
        optimiser.step()
        gradients.append([p.grad.numpy() for p in net.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_array_equal(a, b)


# Tensor(...) as PyTorch has it.


def test_tensor_makes_sizes_or_floats() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for data in (
        (), (5,), (0,), (2, 3), (2, 0, 3), ([1, 2],), ((2, 3),), ([True, False],), ([[1], [2]],),
        (range(3),), ([],), ([[]],), (np.int64(3),), (np.array([1.5, 2], "f4"),), ([2**40],),
    ):  # fmt: skip
        ours, theirs = mg.Tensor(*data), torch.Tensor(*data)
        assert ours.shape == tuple(theirs.shape) and ours.dtype == "float32"
        if data and not isinstance(data[0], int | np.integer):
            np.testing.assert_array_equal(ours.array, theirs.numpy())
    for data in ((2.5,), (True,), (None,), ("a",), (2, -3), ([1, 2], [3]), (2, 2.5)):
        with pytest.raises((TypeError, RuntimeError)):
            torch.Tensor(*data)
        with pytest.raises((TypeError, ValueError), match="Tensor"):
            mg.Tensor(*data)
    with pytest.raises(TypeError, match=r"minigrad\.tensor\(2\.5\) takes a number"):
        mg.Tensor(2.5)


def test_tensor_keeps_the_dtype_of_arrays_and_takes_keywords() -> None:
    a = np.array([1, 2])
    x = mg.Tensor(a)
    a[0] = 5
    assert x.dtype == "int64" and x.tolist() == [1, 2]
    assert mg.Tensor(mg.tensor(3)).item() == 3 and mg.Tensor(np.float64(3)).dtype == "float64"
    x = mg.Tensor([1, 2], requires_grad=True, dtype=mg.float64)
    assert x.requires_grad and x.dtype == "float64"
    assert mg.Tensor([1, 2], dtype=mg.int32).dtype == "int32" == mg.Tensor(2, dtype=mg.int32).dtype


# as_tensor, asarray, and pad by nothing.


def test_as_tensor_in_another_dtype_stays_in_the_graph() -> None:
    x = mg.ones(2, requires_grad=True)
    for convert in (mg.as_tensor, lambda v, dtype: mg.asarray(v, dtype=dtype)):
        y = convert(x, dtype=mg.float64)
        (y * 3).sum().backward()
        assert x.grad is not None and x.grad.tolist() == [3.0, 3.0] and x.grad.dtype == "float32"
        assert convert(x, dtype=mg.float32) is x is mg.as_tensor(x)
        x.grad = None


def test_asarray_copies_on_demand_and_never_in_secret() -> None:
    a = np.ones(2, np.float32)
    assert np.shares_memory(mg.asarray(a).array, a)
    assert np.shares_memory(mg.asarray(a, copy=False).array, a)
    assert not np.shares_memory(mg.asarray(a, copy=True).array, a)
    x = mg.tensor(a)
    assert mg.asarray(x, copy=True) is not x
    for data, options in (([1.0], {}), (a, {"dtype": mg.float64}), (swapped(a), {})):
        with pytest.raises(ValueError, match=r"asarray: .* without a copy"):
            mg.asarray(data, copy=False, **options)
    assert mg.asarray([1.0], requires_grad=True).requires_grad


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_padding_by_nothing_is_a_tensor_of_its_own(mode: str) -> None:
    x = mg.ones(2, 3, 4, requires_grad=True)
    for amounts in ((0, 0), (0, 0, 0, 0)):
        y = nn.functional.pad(x, amounts[:2], mode)
        assert y is not x and not np.shares_memory(y.array, x.array)
        (y * 2).sum().backward()
        assert x.grad is not None and x.grad.tolist() == mg.full((2, 3, 4), 2.0).tolist()
        x.grad = None


# What goes out.


def test_memory_goes_to_other_libraries_and_comes_back() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for dtype in DTYPES:
        x = mg.tensor(numbers(dtype))
        out: dict[str, Any] = {
            "torch.from_dlpack": torch.from_dlpack(x).numpy(),
            "torch.as_tensor": torch.as_tensor(x).numpy(),
            "np.from_dlpack": np.from_dlpack(x),
            "np.asarray": np.asarray(x),
            "numpy": x.numpy(),
            "minigrad.from_dlpack": mg.from_dlpack(torch.from_dlpack(x)).numpy(),
            "from_dlpack of a transpose": mg.from_dlpack(x.t()).numpy().T,
        }
        x[0, 0] = not x[0, 0].item()
        for name, a in out.items():
            assert a.dtype == dtype, name
            if name != "torch.as_tensor":  # PyTorch may copy
                np.testing.assert_array_equal(a, x.array, err_msg=name)
        y = torch.zeros(2, 3).to(getattr(torch, dtype))
        mg.from_dlpack(y)[1, 2] = 1
        assert y[1, 2].item() == 1
    assert x.__dlpack_device__() == torch.zeros(1).__dlpack_device__()
    with pytest.raises(TypeError, match="from_dlpack: list has no __dlpack__"):
        mg.from_dlpack([1.0])


def test_a_tensor_with_a_gradient_leaves_only_by_force() -> None:
    x = mg.ones(2, requires_grad=True)
    y = x * 2
    for tracked in (x, y):
        with pytest.raises(BufferError, match="detach"):
            tracked.__dlpack__()
        with pytest.raises(BufferError, match="detach"):
            np.from_dlpack(tracked)
        with pytest.raises(RuntimeError, match="detach"):
            tracked.numpy()
        assert tracked.numpy(force=True) is tracked.array
        np.from_dlpack(tracked.detach())
    with mg.no_grad():
        x.numpy(force=True)[0] = 5
    assert x.tolist() == [5.0, 1.0]


def test_bytes_of_all_elements() -> None:
    assert mg.zeros(2, 3).nbytes == 24 and mg.zeros(2, dtype=mg.uint8)[:0].nbytes == 0
    assert mg.zeros(3).expand(4, 3).nbytes == 48


# float16 and plain numbers.


def test_a_number_is_not_rounded_to_float16_first() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = np.array([0, 1e-3, 1, -2, 30000, np.inf], np.float16)
    g = np.linspace(1, 2, 6).astype(np.float16)
    for number in (65536.0, 70000, -1e-6, 0.1, 3, 1e5, 1e-30):
        for name in ("mul", "div"):
            t, m = torch.from_numpy(x.copy()).requires_grad_(), mg.tensor(x, requires_grad=True)
            for n, theirs, ours in ((number, t, m), (0.5, t, m)):
                y, z = getattr(theirs, name)(n), getattr(ours, name)(n)
                y.backward(torch.from_numpy(g))
                z.backward(g)
                assert z.dtype == "float16"
                np.testing.assert_array_equal(z.detach().numpy(), y.detach().numpy())
            np.testing.assert_array_equal(m.grad.numpy(), t.grad.numpy())
    assert (mg.tensor(x)[2:3] * 65536.0).item() == float("inf")
    assert (mg.tensor(x)[1:2] * 65536.0).item() == pytest.approx(65.6, rel=1e-3)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"])
def test_float16_and_numbers_are_rounded_once(name: str) -> None:
    f = getattr(operator, name)
    x = np.array([1e-3, 0.3, 1, 2, 300, 30000], np.float16)
    wide = x.astype(np.float32)
    for number in (65536.0, 70000, 0.1, 3, 1e-6):
        n = np.float32(number)
        with np.errstate(all="ignore"):
            forward, backward = f(wide, n).astype(np.float16), f(n, wide).astype(np.float16)
        for other in (number, mg.tensor(float(number))):
            for y, expected in (
                (f(mg.tensor(x), other), forward),
                (f(other, mg.tensor(x)), backward),
            ):
                assert y.dtype == "float16"
                np.testing.assert_array_equal(y.array, expected)


def test_float16_in_place() -> None:
    x = mg.tensor([1.0, 2.0], dtype=mg.float16)
    x *= 0.1
    x.div_(1e-3)
    assert x.dtype == "float16" and x.tolist() == pytest.approx([100.0, 200.0], rel=1e-3)


def test_masked_elements_are_no_numbers() -> None:
    masked = np.ma.masked_equal([1.0, 2.0, 2.0], 2.0)
    for read in (mg.tensor, mg.as_tensor, mg.from_numpy, mg.Tensor, lambda a: mg.tensor([a, a])):
        with pytest.raises(ValueError, match=r"2 elements are masked.*\.filled\(value\)"):
            read(masked)
    assert mg.tensor(masked.filled(0.0)).tolist() == [1.0, 0.0, 0.0]
    assert mg.tensor(np.ma.array([1.0, 2.0])).tolist() == [1.0, 2.0]  # nothing is masked


class Colour(enum.IntEnum):
    RED = 0
    BLUE = 2


class Metres(float):
    pass


def test_numbers_of_derived_types_are_numbers() -> None:
    """As in PyTorch: labels are often the members of an IntEnum."""
    labels = mg.tensor([Colour.RED, [Colour.BLUE][0]])
    assert labels.dtype == "int64" and labels.tolist() == [0, 2]
    assert mg.tensor(Colour.BLUE).item() == 2 and mg.tensor([[Metres(1.5)], [2]]).dtype == "float32"
    assert mg.full((2,), Colour.BLUE).tolist() == mg.zeros(2).fill_(Colour.BLUE).tolist() == [2, 2]
    assert (mg.ones(2) * Colour.BLUE).tolist() == (Metres(2) * mg.ones(2)).tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="tensor: -1 does not fit dtype uint8"):
        mg.tensor(enum.IntEnum("Odd", {"A": -1}).A, dtype=mg.uint8)


def test_objects_say_how_they_become_numbers() -> None:
    with pytest.raises(
        TypeError, match=r"ndarray of dtype object: convert it, with .astype\(float"
    ):
        mg.tensor(np.array([1, 2.5], dtype=object))


def test_an_index_of_another_library() -> None:
    x = mg.arange(3.0)
    for index in (Wrapped(np.array([True, False, True])), Wrapped(np.array([0, 2]))):
        assert x[index].tolist() == [0, 2]
    x[Wrapped(np.array([1]))] = 7.0
    assert x.tolist() == [0, 7, 2]
    for bad in (b"a", Wrapped(np.array([0.0])), np.float64(1), {}):
        with pytest.raises(IndexError):
            x[bad]


class Wrapped:
    """What a pandas Series is to an index: no sequence, and an array inside."""

    def __init__(self, array: Any) -> None:
        self.array_ = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.array_


def test_operators_take_pytorchs_tensors() -> None:
    """Its own operators do not know ours, and == would have fallen back on identity: False."""
    torch = pytest.importorskip("torch")
    ours, theirs = mg.tensor([1.0, 2.0], requires_grad=True), torch.tensor([1.0, 3.0])
    assert (ours == theirs).tolist() == (theirs == ours).tolist() == [True, False]
    assert (ours != theirs).tolist() == (ours < theirs).tolist() == [False, True]
    assert (theirs - ours).tolist() == [0, 1] and (theirs / ours).tolist() == [1, 1.5]
    (ours * theirs).sum().backward()
    assert ours.grad is not None and ours.grad.tolist() == [1, 3]
    assert (mg.eye(2) @ torch.eye(2)).tolist() == (torch.eye(2) @ mg.eye(2)).tolist()
    with pytest.raises(RuntimeError, match=r"add: torch.Tensor gives no array: .*detach"):
        ours + torch.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match=r"exp: .* got torch\.Tensor: take it by minigrad\.as_t"):
        mg.exp(theirs)
    with pytest.raises(RuntimeError, match=r"numpy has no torch\.bfloat16, convert it with \."):
        mg.tensor(theirs.bfloat16())


@pytest.mark.parametrize("dtype", ["nope", object()])
def test_what_is_no_dtype_is_named(dtype: Any) -> None:
    def linear(n: int, dtype: Any) -> Any:
        return nn.Linear(n, 2, dtype=dtype)

    for make in (mg.ones, mg.rand, mg.eye, mg.arange, linear):
        with pytest.raises(TypeError, match=r"expected a dtype such as minigrad\.float32 or its"):
            make(2, dtype=dtype)


def test_from_dlpack_says_what_it_cannot_take() -> None:
    for odd in (np.ones(2, ">f4"), np.array(["a"])):
        with pytest.raises(BufferError, match=r"^from_dlpack: numpy\.ndarray gives no array: DLP"):
            mg.from_dlpack(odd)


def test_matplotlib_takes_tensors() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes, x = figure.subplots(), mg.randn(4, 2)
    _, second = axes.plot(x)  # a line for each column
    np.testing.assert_array_equal(second.get_ydata(), x.array[:, 1])
    axes.plot(x[:, 0], x[:, 1])
    axes.scatter(x[:, 0], x[:, 1])
    axes.hist(x.flatten())
    axes.imshow(x)
    figure.canvas.draw()
    for shape in ((4,), (4, 2)):
        with pytest.raises(RuntimeError, match=r"detach\(\)"):
            axes.plot(mg.ones(*shape, requires_grad=True))
    with pytest.raises(TypeError, match=r"^float\(\) needs one element, got shape \(2,\)"):
        float(x[0])
