"""Devices, of which there is one: the CPU. It has a name so that scripts that ask for it run."""

from __future__ import annotations

from typing import Any


class device:
    """The CPU: `device("cpu")`; any other is refused."""

    index = None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        self.type = "cpu"
        check_device("device", type)

    def __str__(self) -> str:
        return self.type

    def __repr__(self) -> str:
        return f"device(type={self.type!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device)

    def __hash__(self) -> int:
        return hash(self.type)


def check_device(name: str, value: Any) -> None:
    """Raise unless `value` is None or names the CPU."""
    if value is not None and not isinstance(value, device) and value not in ("cpu", "cpu:0"):
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
