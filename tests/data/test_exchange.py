"""Files that other programs read and write: .npz and .safetensors; PyTorch's are refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, nn

SUFFIXES = [".npz", ".safetensors"]


@pytest.fixture(params=SUFFIXES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"x{request.param}"


def theirs(path: Path) -> dict[str, Any]:
    """What the format's own library reads."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    from safetensors.numpy import load_file

    return load_file(path)


def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))


def test_a_state_dict(path: Path) -> None:
    net = model()
    net(mg.randn(4, 1, 4, 4))
    state = net.state_dict()
    mg.save(state, path)
    found = theirs(path)
    assert found.keys() == state.keys()
    loaded = mg.load(str(path))
    for key, tensor in state.items():
        np.testing.assert_array_equal(found[key], tensor.array, strict=True)
        np.testing.assert_array_equal(loaded[key].array, tensor.array, strict=True)
        assert type(loaded[key]) is Tensor
    fresh = model()
    fresh.load_state_dict(loaded)
    x = mg.randn(2, 1, 4, 4)
    np.testing.assert_array_equal(fresh.eval()(x).array, net.eval()(x).array)


def test_dtypes_and_shapes(path: Path) -> None:
    obj: dict[str, Any] = {
        dtype: np.arange(6).reshape(2, 3).astype(dtype)
        for dtype in ("?", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
    }
    obj |= {"0-d": np.array(5.0), "empty": np.zeros((0, 3)), "columns": np.ones((3, 4)).T[::2]}
    obj |= {
        "big": np.arange(3, dtype=">f4"),
        "file": np.ones(1),
        "a/b.c": np.ones(2),
        "열쇠": np.ones(1),
    }
    mg.save(obj | {"tensor": mg.ones(2, requires_grad=True)}, path)
    loaded = mg.load(path)
    assert set(loaded) == {*obj, "tensor"} == set(theirs(path))
    for key, array in obj.items():
        expected = array.astype(array.dtype.newbyteorder("="))
        np.testing.assert_array_equal(loaded[key].array, expected, strict=True)
    loaded["f4"] += 1  # can be written
    mg.save({}, path)
    assert mg.load(path) == {}


def test_what_others_wrote(path: Path) -> None:
    arrays = {"w": np.arange(4.0), "n": np.array(3)}
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        torch = pytest.importorskip("torch")
        from safetensors.torch import save_file

        save_file({k: torch.from_numpy(v) for k, v in arrays.items()}, path)
    for key, tensor in mg.load(path).items():
        np.testing.assert_array_equal(tensor.array, arrays[key], strict=True)


@pytest.mark.parametrize(
    ("obj", "error", "words"),
    [
        ([1.0], TypeError, "holds a dict of tensors, got a list"),
        ({"a": {"b": mg.ones(1)}}, TypeError, "got a dict at 'a': save other things under another"),
        ({"a": 1.0}, TypeError, "got a float at 'a'"),
        ({1: mg.ones(1)}, TypeError, "got a Tensor at 1"),
        ({"a": np.array(["text"])}, TypeError, "'a' has dtype <U4"),
        ({"a": np.array([object()])}, TypeError, "'a' has dtype object"),
        ({"a": mg.ones(1, requires_grad=True) * 2}, RuntimeError, "'a' is a tensor with a graph"),
    ],
)
def test_what_is_refused_leaves_the_old_file(path: Path, obj: Any, error: Any, words: str) -> None:
    mg.save({"a": mg.ones(1)}, path)
    before = path.read_bytes()
    with pytest.raises(error, match=f"^save: .*{words}"):
        mg.save(obj, path)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


def test_damaged_files(path: Path) -> None:
    mg.save({"w": mg.ones(100), "v": mg.ones(3)}, path)
    whole = path.read_bytes()
    for end in (0, 1, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=f"^load: .*x{path.suffix} is damaged or no"):
            mg.load(path)
    with pytest.raises(FileNotFoundError):
        mg.load(path.with_name(f"none{path.suffix}"))


def test_objects_in_an_npz_are_not_unpickled(tmp_path: Path) -> None:
    for values in (np.array([object()]), np.array(["text"])):
        np.savez(tmp_path / "x.npz", a=values)
        with pytest.raises(ValueError, match=r"^load: .*x\.npz is damaged or no \.npz file of num"):
            mg.load(tmp_path / "x.npz")


def test_our_own_format_is_known_by_its_content(tmp_path: Path) -> None:
    nested = {"epoch": 3, "state": {"w": [1.0, 2.0]}}
    mg.save(nested, tmp_path / "x")
    os.rename(tmp_path / "x", tmp_path / "x.npz")
    assert mg.load(tmp_path / "x.npz") == nested


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda p: mg.save({"a": mg.ones(1)}, p), mg.load):
        with pytest.raises(RuntimeError, match="needs the package safetensors"):
            call(tmp_path / "x.safetensors")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorchs_files_say_how_to_convert_them(tmp_path: Path, zipped: bool) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "net.pt"
    net = torch.nn.Linear(3, 2)
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"^load: .*net\.pt was written by PyTorch") as caught:
        mg.load(path)
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert len(lines) == 2
    exec("\n".join(lines), {"torch": torch, "numpy": np})
    ours = nn.Linear(3, 2)
    ours.load_state_dict(mg.load(tmp_path / "net.npz"))
    np.testing.assert_array_equal(ours.weight.array, net.weight.detach().numpy())
    mg.save({"epoch": 1}, path)  # the name alone says nothing
    assert mg.load(path) == {"epoch": 1}
