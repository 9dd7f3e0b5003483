"""Devices, of which there is one: the CPU. It has a name, as the others have, so that scripts that
ask for it run.
"""

from __future__ import annotations

from typing import Any

TYPES = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia", "xla", "meta")


class device:
    """A device's name: `device("cpu")`, `device("cuda:0")`, `device("cuda", 0)`.

    There is the CPU alone. The others can be named, as in PyTorch on a machine without them, and
    are refused where something is to lie there.

    Raises:
        RuntimeError: no name of a device.
    """

    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index
        kind, colon, number = str(type).partition(":")
        if kind not in TYPES or (colon and not (number.isdecimal() and index is None)):
            raise RuntimeError(
                f"device: expected one of {', '.join(TYPES)}, then perhaps ':' and a number, got "
                f"{type!r}" + (f" with index {index!r}" if index is not None else "")
            )
        self.type = kind
        self.index = int(number) if colon else index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        number = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{number})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


def check_device(name: str, value: Any) -> None:
    """Raise unless `value` is None or names the CPU."""
    if value is not None and str(value) not in ("cpu", "cpu:0"):
        raise RuntimeError(f"{name}: device must be 'cpu', the only one there is, got {value!r}")


class memory_format:
    """An order of elements in memory, of which there is one, that of rows."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"minigrad.{self._name}"


preserve_format, contiguous_format = (
    memory_format("preserve_format"), memory_format("contiguous_format")
)  # fmt: skip


def check_memory_format(name: str, value: Any) -> None:
    """Raise unless `value` is None or one of these two."""
    if value is not None and not isinstance(value, memory_format):
        raise RuntimeError(
            f"{name}: tensors lie in row-major order, there is no memory_format={value!r}"
        )


def only_cpu(name: str) -> RuntimeError:
    """What a request for another device is answered with."""
    return RuntimeError(
        f"{name}: the CPU is the only device there is: leave it out, or choose the device by "
        "minigrad.device('cuda' if minigrad.cuda.is_available() else 'cpu')"
    )


def only_threads(name: str) -> RuntimeError:
    """What a request to share memory between processes is answered with."""
    return RuntimeError(
        f"{name}: tensors are not shared between processes: use threads, which share all memory"
    )
