"""Files that are damaged, cut, mixed up or made to deceive: read rightly, or refused by name."""

from __future__ import annotations

import copy
import gzip
import io
import json
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import data
from minigrad.data import sources


def damaged(content: bytes, rng: random.Random) -> bytes:
    """One to four random changes: bytes flipped, inserted, removed, doubled or moved."""
    b = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, n = rng.randrange(len(b) + 1), rng.choice([1, 1, 2, 8, 40])
        match rng.randrange(6):
            case 0 if at < len(b):
                b[at] ^= 1 << rng.randrange(8)
            case 1:
                b[at:at] = rng.randbytes(n)
            case 2:
                del b[at : at + n]
            case 3:
                b[at:at] = b[at : at + n]
            case 4:
                b[at : at + n] = rng.choice([b"\0", b"\xff", b"9", b'"', b","]) * n
            case _:
                del b[rng.randrange(len(b) + 1) :]
    return bytes(b)


# ---------------------------------------------------------------------------- IDX


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_damaged_idx_files(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    rng, file = random.Random(0), tmp_path / "name-idx"
    array = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    refused = 0
    for _ in range(1500):
        content = damaged(compress(idx(array)), rng)
        file.write_bytes(content)
        try:
            found = sources.read_idx(file)
        except ValueError as error:
            refused += 1
            assert "name-idx" in str(error)
        else:  # what is then read is what the file says
            plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
            assert idx(found) == plain
    assert refused > 500


@pytest.mark.parametrize("head", [b"\0\0\x08\x03" + b"\xff" * 12, b"\0\0\x08\xff" + b"\xff" * 1020])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_idx_headers_that_promise_too_much(
    tmp_path: Path, head: bytes, compress: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "x").write_bytes(compress(head + b"few bytes"))
    with pytest.raises(ValueError, match=r"x: truncated: expected \d+ bytes"):
        sources.read_idx(tmp_path / "x")


@pytest.mark.slow
def test_a_small_file_that_unpacks_to_a_large_one(tmp_path: Path) -> None:
    content = gzip.compress(idx(np.zeros((2, 2))) + bytes(1 << 28))
    (tmp_path / "x").write_bytes(content)
    assert len(content) < 1 << 20
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"x: corrupt: expected 16 bytes.*got more"):
        sources.read_idx(tmp_path / "x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 23


@pytest.mark.parametrize("part", ["train", "t10k"])
@pytest.mark.parametrize("label", [10, 99, 255])
def test_labels_that_are_no_digits(tmp_path: Path, part: str, label: int) -> None:
    for p in ("train", "t10k"):
        labels = np.arange(8)
        labels[5:] = label if p == part else 9
        (tmp_path / f"{p}-images-idx3-ubyte").write_bytes(idx(np.zeros((8, 28, 28))))
        (tmp_path / f"{p}-labels-idx1-ubyte").write_bytes(idx(labels))
    with pytest.raises(ValueError, match=f"{part}-labels.*: label 5 is {label}, expected digits"):
        data.mnist(tmp_path)


# ---------------------------------------------------------------------------- CSV

HEADER = "PassengerId,Survived,Pclass,Name,Age,Fare"
ROWS = [
    f'{i},{i % 2},{1 + i % 3},"Name, {i}",{"" if i % 4 == 0 else 20 + i},{7.25 * i}'
    for i in range(1, 9)
]


def write(folder: Path, rows: list[str], header: str = HEADER, end: str = "\n") -> Path:
    (folder / "t.csv").write_text(end.join([header, *rows]) + end, encoding="utf-8", newline="")
    return folder / "t.csv"


@pytest.mark.parametrize("column", ["Pclass", "Age", "Fare", "Survived"])
@pytest.mark.parametrize(
    "text",
    ["inf", "-inf", "Infinity", "1e39", "-1e39", "1e999", "1_000", "\u0663", "0x10", "--1", "1 2",
     "true", "1,5", "\0"],
)  # fmt: skip
def test_values_that_are_no_finite_numbers(tmp_path: Path, column: str, text: str) -> None:
    names = HEADER.split(",")
    fields = dict(zip(names, ["3", "1", "1", '"Name, 3"', "23", "21.75"], strict=True))
    fields[column] = f'"{text}"'
    rows = [*ROWS[:2], ",".join(fields.values()), *ROWS[3:]]
    with pytest.raises(ValueError, match=rf"titanic: .*t\.csv.*(line 4.*{column}|not a CSV file)"):
        data.titanic(write(tmp_path, rows))


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    rows = [ROWS[0].replace("Name, 1", "Name\nover\nthree lines"), "", ROWS[1], ROWS[2] + "x"]
    with pytest.raises(ValueError, match=r"line 7, passenger 3, Fare: expected a number"):
        data.titanic(write(tmp_path, rows))


@pytest.mark.parametrize("text", ["2", "", "nan", "0.5", "-1"])
def test_survived_is_0_or_1(tmp_path: Path, text: str) -> None:
    rows = [*ROWS[:4], f'5,{text},1,"Name",20,1', *ROWS[5:]]
    with pytest.raises(ValueError, match=f"line 6, passenger 5: Survived must be 0 or 1.*'{text}'"):
        data.titanic(write(tmp_path, rows))


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    file = write(tmp_path, [row + ",1" for row in ROWS], HEADER + ",age")
    with pytest.raises(ValueError, match="2 columns 'Age'"):
        data.titanic(file)
    assert data.titanic(file, ["Fare"])[0].shape == (8, 1)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_blank_lines_and_ends_of_lines(tmp_path: Path, end: str) -> None:
    expected = data.titanic(write(tmp_path, ROWS))
    found = data.titanic(write(tmp_path, ["", *ROWS[:3], "", *ROWS[3:], "", ""], end=end))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_damaged_csv_files(tmp_path: Path) -> None:
    rng, file = random.Random(0), write(tmp_path, ROWS)
    whole, refused = file.read_bytes(), 0
    for _ in range(1500):
        file.write_bytes(damaged(whole, rng))
        try:
            x, y = data.titanic(file)
        except ValueError as error:
            refused += 1
            assert str(error).startswith("titanic: ") and "t.csv" in str(error)
        else:
            assert x.shape == (len(y), 3) and not np.isinf(x).any() and set(y) <= {0, 1}
    assert refused > 300


# ---------------------------------------------------------------------------- our own


OBJECT = {
    "w": mg.tensor([[1.0, 2.0]], requires_grad=True),
    "n": [1, 2.5, None, True, "text", (float("nan"), 1 + 2j)],
    "a": np.arange(6, dtype=np.int16).reshape(2, 3),
    3: {"s": np.float32(1)},
}


def read(content: bytes) -> Any:
    """What is loaded, or None if it was refused as it should be."""
    try:
        return mg.load(io.BytesIO(content))
    except ValueError as error:
        assert str(error).startswith("load: ")
        return None


def text(obj: Any) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, mg.Tensor):
            return ["tensor", value.requires_grad, plain(value.array)]
        if isinstance(value, np.ndarray | np.generic):
            return [str(value.dtype), value.shape, value.tobytes()]
        if isinstance(value, dict):
            return [[plain(k), plain(v)] for k, v in value.items()]
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    return repr(plain(obj))


def test_damaged_files_of_our_own() -> None:
    rng, file = random.Random(0), io.BytesIO()
    mg.save(OBJECT, file)
    refused = 0
    for _ in range(2000):
        found = read(damaged(file.getvalue(), rng))
        refused += found is None
        assert found is None or text(found) == text(OBJECT)
    assert refused > 1000


VALUES: list[Any] = [
    None, True, 0, -1, 2**70, 1e308, "", "0.npy", "9.npy", "manifest.json", [], [[]], {}, [1, 2],
    {"tensor": "0.npy"}, {"array": "1.npy"}, {"float": "nan"}, {"float": []}, {"complex": ["1"]},
    {"list": 1}, {"dict": [[1, 2, 3]]}, {"dict": [[{"dict": []}, 1]]}, {"tuple": "text"},
    {"scalar": "1.npy"}, {"OrderedDict": {}}, {"tensor": None, "requires_grad": 1},
]  # fmt: skip


def changed(content: Any, rng: random.Random) -> Any:
    """A manifest with something else in a random place."""
    content = copy.deepcopy(content)
    places: list[tuple[Any, Any]] = []

    def visit(value: Any) -> None:
        keys = value.keys() if isinstance(value, dict) else range(len(value))
        for key in list(keys):
            places.append((value, key))
            if isinstance(value[key], dict | list):
                visit(value[key])

    visit(content)
    holder, key = rng.choice(places)
    if rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = copy.deepcopy(rng.choice(VALUES))
    return content


@pytest.mark.slow
def test_manifests_that_are_mixed_up() -> None:
    rng, file = random.Random(0), io.BytesIO()
    mg.save(OBJECT, file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    loaded = 0
    for _ in range(2000):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr("manifest.json", json.dumps(changed(manifest, rng)))
            for name, content in members.items():
                archive.writestr(name, content)
        loaded += read(made.getvalue()) is not None
    assert 100 < loaded < 1900


def test_array_headers_that_are_mixed_up() -> None:
    rng = random.Random(0)
    for _ in range(1500):
        member = io.BytesIO()
        np.save(member, np.arange(6.0).reshape(2, 3))
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            manifest = {"format": "minigrad", "version": 1, "content": {"array": "0.npy"}}
            archive.writestr("manifest.json", json.dumps(manifest))
            archive.writestr("0.npy", damaged(member.getvalue(), rng))
        found = read(made.getvalue())
        assert found is None or isinstance(found, np.ndarray)


@pytest.mark.parametrize("shape", [(-2, -3), (2**40, 0), (2**62, 4), (1 << 65,), (True, 6)])
@pytest.mark.parametrize("descr", ["<f8", "|V0", "|S0", "<U0", "|O"])
def test_array_headers_made_to_deceive(shape: tuple[int, ...], descr: str) -> None:
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    member = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(48)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        manifest = {"format": "minigrad", "version": 1, "content": {"tensor": "0.npy"}}
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("0.npy", member)
    found = read(made.getvalue())
    assert found is None or found.array.nbytes == 48
