"""Where the examples' data come from. Only what is found nowhere else is downloaded."""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.tape import Array

if TYPE_CHECKING:  # what only reads files is imported where it does: it takes long
    from pathlib import Path

Pair = tuple[Array, Array]
Location = str | os.PathLike[str]

# Of the compressed files as the mirrors hold them. Files in a folder of yours are not compared with
# these: the same data compressed anew, or not at all, have other checksums.
MNIST_MD5 = {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TITANIC_URL = (
    "https://raw.githubusercontent.com/mwaskom/seaborn-data/"
    "71e2436a092d714350de0fc409ca8a8714e7e78f/titanic.csv"
)
TITANIC_SHA256 = "81787d320d7f7b03df935e91de8bd19e11d45c5bbcab86ef4d4a76dc91b7d4f2"
CLASSES = 10
FLOAT32_MAX = float(np.finfo(np.float32).max)
IDX_BYTES = 0x08  # the type code of unsigned bytes


def digits() -> Pair:
    """scikit-learn's handwritten digits: images (1797, 1, 8, 8) in [0, 1], float32, and labels.

    Source: E. Alpaydin and C. Kaynak, Optical recognition of handwritten digits, UCI, 1998; comes
    with scikit-learn.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return (images / 16).astype(np.float32).reshape(-1, 1, 8, 8), labels.astype(np.int64)


def mnist(path: Location | None = None) -> tuple[Pair, Pair]:
    """MNIST: (images, labels) for training (60,000) and for testing (10,000).

    Images are (N, 1, 28, 28) in [0, 1], float32; labels int64.

    Args:
        path: a folder with the four IDX files, compressed or not, or with a folder `mnist` that
            holds them. Without it: the folder that the environment variable MINIGRAD_DATA names, or
            else the cache of this user, into which the files are downloaded from mirrors, whose
            checksums are compared (needs pooch and, once, a network).

    Raises:
        FileNotFoundError: the folder or a file in it is missing.
        ValueError: a file is truncated or corrupt, or a label is no digit.

    Source: LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document
    recognition, 1998.
    """
    folder = path if path is not None else os.environ.get("MINIGRAD_DATA") or None
    train, test = (
        _images_and_labels(_mnist_file(folder, f"{part}-images-idx3-ubyte"),
                           _mnist_file(folder, f"{part}-labels-idx1-ubyte"))
        for part in ("train", "t10k")
    )  # fmt: skip
    return train, test


def _mnist_file(folder: Location | None, name: str) -> Path:
    if folder is None:
        urls = [f"{mirror}{name}.gz" for mirror in MNIST_MIRRORS]
        instead = "the folder with the four IDX files"
        return _download("mnist", urls, f"md5:{MNIST_MD5[name]}", f"mnist/{name}.gz", instead)
    from pathlib import Path

    tried = []
    for base in (Path(folder), Path(folder) / "mnist"):
        for spelling in (name, name.replace("-idx", ".idx")):
            for file in (base / f"{spelling}.gz", base / spelling):
                if file.is_file():
                    return file
        tried.append(str(base))
    raise FileNotFoundError(f"mnist: found neither {name}.gz nor {name} in {' or '.join(tried)}")


def _download(source: str, urls: Sequence[str], checksum: str, name: str, instead: str) -> Path:
    """The file `name` of the cache, which is asked first, from the first of the urls that works."""
    hint = f"pass {instead} as path or in the environment variable MINIGRAD_DATA"
    try:
        import pooch
    except ImportError:
        raise FileNotFoundError(
            f"{source}: downloading needs the package pooch; install it, or {hint}"
        ) from None
    from pathlib import Path

    failures = []
    file = Path(pooch.os_cache("minigrad")) / name
    for url in urls:
        try:
            return Path(pooch.retrieve(url, checksum, fname=file.name, path=file.parent))
        except (OSError, ValueError) as error:  # no network, or another checksum
            failures.append(f"{url}: {error}")
    raise FileNotFoundError(
        f"{source}: {file.name} could not be downloaded; {hint}\n  " + "\n  ".join(failures)
    )


def _images_and_labels(image_file: Path, label_file: Path) -> Pair:
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.ndim != 3:
        raise ValueError(f"{image_file}: expected images (N, H, W), got shape {images.shape}")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{label_file}: expected {len(images)} labels for the images of {image_file.name}, got "
            f"shape {labels.shape}"
        )
    if len(labels) and labels.max() >= CLASSES:
        at = int(np.argmax(labels >= CLASSES))
        raise ValueError(
            f"{label_file}: label {at} is {labels[at]}, expected digits, 0 to {CLASSES - 1}"
        )
    return (images / np.float32(255))[:, None], labels.astype(np.int64)


def read_idx(file: Location) -> Array:
    """Read an IDX file of unsigned bytes, gzip-compressed or not.

    Raises:
        ValueError: the file is truncated, corrupt or of another kind.
    """
    import gzip

    with open(os.fspath(file), "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"  # what every gzip file starts with
        raw.seek(0)
        try:
            return _read_idx(file, gzip.open(raw) if compressed else raw)
        except (EOFError, OSError, zlib.error) as error:
            if not compressed:
                raise
            raise ValueError(f"{file}: truncated or corrupt gzip file ({error})") from None


def _read_idx(file: Location, stream: Any) -> Array:
    # two zero bytes, the type code, the number of axes, the sizes (4 bytes each, big-endian), data
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != IDX_BYTES:
        raise ValueError(f"{file}: not an IDX file of bytes, it starts with {start.hex()!r}")
    ndim = start[3]
    sizes = stream.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(f"{file}: truncated in its header, {4 + len(sizes)} bytes")
    shape = struct.unpack(f">{ndim}I", sizes)
    expected, data = math.prod(shape), bytearray()
    # No more is read than is there, nor than the header says: a small gzip file may hold a lot.
    while len(data) <= expected and (piece := stream.read(min(expected + 1 - len(data), 1 << 20))):
        data += piece
    if len(data) != expected:
        problem, got = "truncated", str(4 + len(sizes) + len(data))
        if len(data) > expected:
            problem, got = "corrupt", "more"
        raise ValueError(
            f"{file}: {problem}: expected {4 + len(sizes) + expected} bytes for shape {shape}, got "
            f"{got}"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def titanic(
    path: Location | None = None, columns: Sequence[str] = ("Pclass", "Fare", "Age")
) -> Pair:
    """The Titanic's passengers: features (891, columns), float32, and survived (891,), 0 or 1.

    Missing values (177 ages) are NaN.

    Args:
        path: the CSV file with a header line, or a folder that holds `titanic.csv`. Two public
            files of 891 rows will do: the one with `PassengerId` first, and seaborn-data's, in
            small letters. Without it: the folder that the environment variable MINIGRAD_DATA names,
            or else the cache of this user, into which the latter is downloaded (needs pooch and,
            once, a network).
        columns: names of numerical columns, in the order wanted; case does not matter.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing or twice there, a value is not a finite number, a line is
            cut off, or the file is empty.
    """
    import csv

    file = _titanic_file(path if path is not None else os.environ.get("MINIGRAD_DATA") or None)
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            rows = [
                (reader.line_num, row) for row in reader if row
            ]  # as DictReader, without blanks
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"titanic: {file} is truncated or not a CSV file ({error})") from None
    if len(rows) < 2:
        raise ValueError(f"titanic: {file} has no passengers")
    header = [name.strip().lower() for name in rows[0][1]]
    wanted = []
    for name in ("Survived", *columns):
        found = header.count(name.lower())
        if found != 1:
            raise ValueError(
                f"titanic: {file} has {found or 'no'} column{'s' * (found > 1)} {name!r}, expected "
                f"one of {rows[0][1]}"
            )
        wanted.append((name, header.index(name.lower())))
    table = np.empty((len(rows) - 1, len(wanted)))
    for i, (line, row) in enumerate(rows[1:]):
        where = f"titanic: {file}, line {line}, passenger {i + 1}"
        if len(row) != len(header):
            raise ValueError(f"{where}: expected {len(header)} fields, got {len(row)}")
        for j, (name, column) in enumerate(wanted):
            table[i, j] = _number(row[column], f"{where}, {name}")
        if table[i, 0] not in (0, 1):
            raise ValueError(f"{where}: Survived must be 0 or 1, got {row[wanted[0][1]]!r}")
    return table[:, 1:].astype(np.float32), table[:, 0].astype(np.int64)


def _titanic_file(path: Location | None) -> Path:
    if path is None:
        return _download(
            "titanic",
            [TITANIC_URL],
            f"sha256:{TITANIC_SHA256}",
            "titanic.csv",
            "the CSV file, or a folder with titanic.csv,",
        )
    from pathlib import Path

    file = Path(path)
    if file.is_dir():
        file = file / "titanic.csv"
    if not file.is_file():
        raise FileNotFoundError(
            f"titanic: {file} does not exist; pass the CSV file, or a folder with titanic.csv, as "
            "path or in the environment variable MINIGRAD_DATA"
        )
    return file


def _number(text: str, where: str) -> float:
    """A finite float32, or NaN for nothing or "nan"."""
    plain = text.strip()
    try:
        if not plain.isascii() or "_" in plain:  # which float() would take
            raise ValueError
        number = float(plain) if plain else math.nan
    except ValueError:
        raise ValueError(f"{where}: expected a number, got {text!r}") from None
    if abs(number) > FLOAT32_MAX:
        raise ValueError(f"{where}: expected a finite number, got {text!r}")
    return number
