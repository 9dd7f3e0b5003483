"""Files that other programs read and write: .npz by numpy, .safetensors by its library.

They hold tensors by name, and nothing else: a state dict, say. Neither can hold code.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.dtypes import CATEGORY
from minigrad.incoming import as_array
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

if TYPE_CHECKING:  # imported where it is used: it takes long
    from zipfile import ZipFile

SUFFIXES = (".npz", ".safetensors")
PICKLED = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how files of PyTorch before 1.6 begin


def suffix_of(f: Any) -> str | None:
    """The suffix of a path that is one of these, in small letters."""
    if not isinstance(f, str | os.PathLike):
        return None
    suffix = os.path.splitext(os.fspath(f))[1].lower()
    return suffix if suffix in SUFFIXES else None


def writer(suffix: str, obj: Any) -> Callable[[Any, Callable[[], None]], None]:
    """What writes `obj` to a file of this kind; it is checked before anything is written. The
    second argument is called where the writing may be interrupted."""
    arrays = _flat(suffix, obj)
    if suffix == ".npz":
        return lambda file, check: _write_npz(file, arrays, check)
    library = _safetensors("save")

    def write(file: Any, check: Callable[[], None]) -> None:
        content = library.save(arrays)
        check()
        file.write(content)

    return write


def _flat(suffix: str, obj: Any) -> dict[str, Array]:
    """The arrays by name, in row-major order."""
    other = "save other things under another suffix, in minigrad's own format"
    if not isinstance(obj, dict):
        raise TypeError(
            f"save: {suffix} holds a dict of tensors, got a {type(obj).__name__}: {other}"
        )
    arrays = {}
    for name, value in obj.items():
        if not isinstance(name, str) or not isinstance(value, Tensor | np.ndarray):
            raise TypeError(
                f"save: {suffix} holds tensors by name, got a {type(value).__name__} at {name!r}: "
                f"{other}"
            )
        if not _holds_name(suffix, name):
            raise ValueError(f"save: {suffix} does not hold a tensor named {name[:60]!r}: {other}")
        if isinstance(value, Tensor) and not value.is_leaf:
            raise RuntimeError(f"save: {name!r} is a tensor with a graph: detach() it")
        array = value.array if isinstance(value, Tensor) else value
        if array.dtype.kind not in CATEGORY or (suffix != ".npz" and array.dtype.kind == "c"):
            raise TypeError(f"save: {name!r} has dtype {array.dtype}, which {suffix} does not hold")
        arrays[name] = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    return arrays


def _holds_name(suffix: str, name: str) -> bool:
    """Whether what is written under this name can be read under it."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return False
    if suffix == ".npz":  # zip ends a name at a NUL, and counts its bytes in 16 bits
        return b"\0" not in encoded and len(encoded) + len(".npy") < 1 << 16
    return name != "__metadata__"  # under which safetensors has texts


def _write_npz(file: Any, arrays: dict[str, Array], check: Callable[[], None]) -> None:
    from zipfile import ZIP_STORED, ZipFile

    with ZipFile(file, "w", ZIP_STORED) as archive:
        for name, array in arrays.items():
            write_member(archive, f"{name}.npy", array, check)


def write_member(archive: ZipFile, name: str, array: Array, check: Callable[[], None]) -> None:
    """Write an array as numpy does, in pieces of 16 MiB at most, before each of which `check` may
    raise."""
    with archive.open(name, "w", force_zip64=True) as member:
        pieces: Any = _Pieces(member, check)
        np.lib.format.write_array(pieces, np.asanyarray(array), allow_pickle=False)


class _Pieces:
    def __init__(self, member: Any, check: Callable[[], None]) -> None:
        self._member, self._check = member, check

    def write(self, piece: bytes) -> int:
        self._check()
        return int(self._member.write(piece))


def read(suffix: str, f: str) -> dict[str, Tensor]:
    """The tensors of a file of this kind by their names.

    Raises:
        ValueError: the file is damaged, of another kind, or holds something that is no number.
    """
    library = _safetensors("load") if suffix == ".safetensors" else None
    try:
        with open(f, "rb") as file:
            if library is not None:
                arrays = library.load(file.read())
            else:
                archive = np.load(file, allow_pickle=False)
                members = archive.zip.namelist()  # archive["a.npy"] may be the member of "a"
                arrays = {name.removesuffix(".npy"): archive[name] for name in members}
        return {name: wrap(as_array(array, name=name)) for name, array in arrays.items()}
    except OSError as error:
        if error.errno is not None:  # the system's; numpy has one for what is no archive
            raise
        problem: Exception = error
    except Exception as error:  # a damaged file can make both libraries raise anything
        problem = error
    raise ValueError(
        f"load: {f} is damaged or no {suffix} file of numbers ({type(problem).__name__}: {problem})"
    ) from problem


def _safetensors(who: str) -> Any:
    try:
        return importlib.import_module("safetensors.numpy")
    except ImportError:
        raise RuntimeError(
            f"{who}: .safetensors needs the package safetensors: install it, or use .npz"
        ) from None


def conversion(name: str) -> str:
    """What a file that PyTorch wrote is answered with."""
    return (
        f"load: {name} was written by PyTorch, whose format can hold any code; where PyTorch is "
        "installed, convert a state dict by these two lines:\n"
        f"    state = torch.load({name!r}, map_location='cpu', weights_only=True)\n"
        f"    numpy.savez({os.path.splitext(name)[0] + '.npz'!r}, "
        "**{k: v.numpy() for k, v in state.items()})"
    )
