"""Save and load nested data: state dicts, optimiser states, results.

A file is a zip archive: `manifest.json` describes the structure, and every tensor and array is one
.npy member (numpy.load opens it, too). There is no pickle in it, so loading a file from a stranger
cannot run code, and members are stored uncompressed, so a small file cannot fill the memory.

Paths that end in .npz or .safetensors are written and read by exchange.py, in those formats.
"""

from __future__ import annotations

import io
import math
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from minigrad import exchange
from minigrad.device import check_device
from minigrad.dtypes import CATEGORY
from minigrad.files import replacing
from minigrad.incoming import as_array
from minigrad.interrupts import deferred
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

if TYPE_CHECKING:  # json and zipfile are imported where they are used: they take long
    from zipfile import ZipFile, ZipInfo

FORMAT = "minigrad"
VERSION = 1
MANIFEST = "manifest.json"

File = str | os.PathLike[str] | BinaryIO


def save(obj: Any, f: File) -> None:
    """Write numbers, strings, tensors, arrays, and nested dicts, lists and tuples of them.

    Args:
        obj: what to save. Kept: dtype, shape, requires_grad, the kinds of containers, keys that are
            numbers or tuples.
        f: a path, or a file opened for writing bytes. A file at that path is replaced only once all
            has been written, so an interrupted save loses nothing; it keeps its mode. A path that
            ends in .npz (for numpy) or .safetensors takes tensors by name: a state dict, say, of
            which it keeps names, dtypes and shapes.

    Raises:
        TypeError: something of another kind; the message says where. Nothing is written then.
        ValueError: a container that contains itself; a name that the other format does not hold.
        RuntimeError: a tensor that was computed with gradients: detach() it.
        OSError: the file cannot be written; what was there is as it was.
    """
    suffix = exchange.suffix_of(f)
    write = _writer(obj) if suffix is None else exchange.writer(suffix, obj)
    # zipfile does not bear an interrupt everywhere; `write` says where it may come.
    with deferred(insistent=True) as interrupt:
        if isinstance(f, str | os.PathLike):
            with replacing(os.fspath(f), "save") as file:
                write(file, interrupt.check)
        elif hasattr(f, "write"):
            write(f, interrupt.check)
        else:
            raise TypeError(f"save: expected a path or a file, got {type(f).__name__}")


def load(
    f: File, map_location: Any = None, *, weights_only: bool = True, mmap: bool | None = None
) -> Any:
    """Read what `save` wrote.

    Args:
        f: a path, or a file opened for reading bytes. A path that ends in .npz or .safetensors
            gives a dict of tensors, whichever program wrote it.
        map_location: the CPU, or a function or dict that would say where tensors go.
        weights_only, mmap: accepted; no file can run code here, and all of it is read.

    Raises:
        ValueError: the file is truncated or corrupt, was not written by `save`, or by a newer
            version of it; it was written by PyTorch, and the message says how to convert it.
        FileNotFoundError: there is no such file.
        RuntimeError: map_location names another device than the CPU.
    """
    from zipfile import BadZipFile, ZipFile

    if not callable(map_location) and not isinstance(map_location, dict):
        check_device("load", map_location)
    name = os.fspath(f) if isinstance(f, str | os.PathLike) else getattr(f, "name", "the file")
    if not isinstance(f, str | os.PathLike) and not hasattr(f, "read"):
        raise TypeError(f"load: expected a path or a file, got {type(f).__name__}")
    suffix = exchange.suffix_of(f)
    if suffix is not None and not (suffix == ".npz" and _is_own(f)):
        return exchange.read(suffix, name)
    try:
        with ZipFile(f) as archive:
            return _read(archive)
    except OSError:
        raise
    except _NewerError as error:
        raise ValueError(f"load: {name} {error}") from None
    except _PyTorchsError:
        raise ValueError(exchange.conversion(str(name))) from None
    except (BadZipFile, _CorruptError) as error:
        if _begins_like_pytorchs(f):
            raise ValueError(exchange.conversion(str(name))) from None
        raise ValueError(
            f"load: {name} is truncated, corrupt or was not written by save ({error})"
        ) from None
    except Exception as error:  # a damaged archive can make zipfile, json and numpy raise anything
        raise ValueError(f"load: {name} is corrupt ({type(error).__name__}: {error})") from error


class _CorruptError(Exception):
    pass


class _NewerError(Exception):
    pass


class _PyTorchsError(Exception):
    pass


def _is_own(f: Any) -> bool:
    """Whether the archive is of our own format, which was once written under .npz, too."""
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(f) as archive:
            return MANIFEST in archive.namelist()
    except BadZipFile:
        return False


def _begins_like_pytorchs(f: Any) -> bool:
    if not isinstance(f, str | os.PathLike):
        return False
    with open(f, "rb") as file:
        return file.read(len(exchange.PICKLED)) == exchange.PICKLED


# ---------------------------------------------------------------------------- writing
# JSON's own null, booleans, strings, integers and finite floats stand for themselves; everything
# else is an object with one key, its kind.


def _writer(obj: Any) -> Callable[[Any, Callable[[], None]], None]:
    """What writes `obj` to a file; it is encoded before anything is written."""
    import json

    arrays: list[Array] = []
    try:
        content = _encode(obj, "the object", arrays, set())
        manifest = json.dumps({"format": FORMAT, "version": VERSION, "content": content})
    except RecursionError:
        raise ValueError("save: the object is nested too deeply") from None
    return lambda file, check: _write(file, manifest, arrays, check)


def _encode(obj: Any, where: str, arrays: list[Array], inside: set[int]) -> Any:
    kind = type(obj)
    if obj is None or kind in (bool, str, int):
        return obj
    if kind is float:
        return obj if math.isfinite(obj) else {"float": repr(obj)}
    if kind is complex:
        return {"complex": [repr(obj.real), repr(obj.imag)]}
    if isinstance(obj, Tensor):
        if not obj.is_leaf:
            raise RuntimeError(
                f"save: {where} is a tensor with a graph (the result of "
                f"{obj.node and obj.node.name!r}): detach() it"
            )
        return {"tensor": _member(obj.array, where, arrays), "requires_grad": obj.requires_grad}
    if isinstance(obj, np.ndarray):
        return {"array": _member(obj, where, arrays)}
    if isinstance(obj, np.generic):
        return {"scalar": _member(np.asarray(obj), where, arrays)}
    if kind not in (list, tuple, dict, OrderedDict):
        raise TypeError(
            f"save: {where} is a {kind.__name__}; expected numbers, strings, tensors, arrays, or "
            "dicts, lists and tuples of them"
        )
    if id(obj) in inside:
        raise ValueError(f"save: {where} contains itself")
    inside.add(id(obj))
    if isinstance(obj, dict):
        items: list[Any] = []
        for key, value in obj.items():
            at = f"{where}[{key!r}]"
            encoded = _encode(key, f"a key of {where}", arrays, inside)
            items.append([encoded, _encode(value, at, arrays, inside)])
    else:
        items = [_encode(v, f"{where}[{i}]", arrays, inside) for i, v in enumerate(obj)]
    inside.discard(id(obj))
    return {kind.__name__: items}


def _member(array: Array, where: str, arrays: list[Array]) -> str:
    if array.dtype.hasobject:
        raise TypeError(f"save: {where} is an array of Python objects, expected numbers")
    arrays.append(array)
    return f"{len(arrays) - 1}.npy"


def _write(file: Any, manifest: str, arrays: list[Array], check: Callable[[], None]) -> None:
    from zipfile import ZIP_STORED, ZipFile

    with ZipFile(file, "w", ZIP_STORED) as archive:
        archive.writestr(MANIFEST, manifest)
        for i, array in enumerate(arrays):
            exchange.write_member(archive, f"{i}.npy", array, check)


# ---------------------------------------------------------------------------- reading


def _read(archive: ZipFile) -> Any:
    import json

    members = {info.filename: info for info in archive.infolist()}
    if MANIFEST not in members:
        if any(name.rpartition("/")[2] == "data.pkl" for name in members):
            raise _PyTorchsError
        raise _CorruptError(f"no {MANIFEST} in it")
    try:
        manifest = json.loads(_bytes(archive, members.pop(MANIFEST)))
    except (ValueError, RecursionError) as error:
        raise _CorruptError(f"{MANIFEST}: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _CorruptError(f"{MANIFEST} names another format")
    version = manifest.get("version")
    if not isinstance(version, int) or version < 1:
        raise _CorruptError(f"version {version!r}")
    if version > VERSION:
        raise _NewerError(
            f"has format version {version}, this release reads up to {VERSION}: update minigrad"
        )
    return _decode(manifest["content"], archive, members)


def _bytes(archive: ZipFile, info: ZipInfo) -> bytes:
    from zipfile import ZIP_STORED

    if info.compress_type != ZIP_STORED:
        raise _CorruptError(f"{info.filename} is compressed")
    return archive.read(info)  # compares the checksum


def _decode(value: Any, archive: ZipFile, members: dict[str, ZipInfo]) -> Any:
    if not isinstance(value, dict | list):
        return value
    if isinstance(value, list) or not value:
        raise _CorruptError("a container without its kind")
    kind, content = next(iter(value.items()))
    if kind == "float":
        return float(content)
    if kind == "complex":
        return complex(*map(float, content))
    if kind in ("tensor", "array", "scalar"):
        # each member serves once: a small manifest must not multiply a large array
        if content not in members:
            raise _CorruptError(f"{content!r} is missing")
        array = _array(_bytes(archive, members.pop(content)), content)
        if kind == "array":
            return array
        if kind == "scalar":
            return array[()]
        if array.dtype.kind not in CATEGORY:
            raise _CorruptError(f"{content} has dtype {array.dtype}, no tensor's")
        return wrap(as_array(array)).requires_grad_(bool(value.get("requires_grad")))
    if kind in ("list", "tuple"):
        items = [_decode(item, archive, members) for item in content]
        return items if kind == "list" else tuple(items)
    if kind in ("dict", "OrderedDict"):
        made: dict[Any, Any] = {} if kind == "dict" else OrderedDict()
        for key, item in content:
            made[_decode(key, archive, members)] = _decode(item, archive, members)
        return made
    raise _CorruptError(f"unknown kind {kind!r}")


def _array(data: bytes, name: str) -> Array:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else (np.lib.format.read_array_header_2_0)
    )
    shape, _, dtype = read(stream)
    # before numpy allocates what the header promises
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise _CorruptError(f"{name} does not hold what its header says")
    stream.seek(0)
    array: Array = np.lib.format.read_array(stream, allow_pickle=False)
    return array
