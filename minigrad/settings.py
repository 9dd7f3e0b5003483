"""What scripts set at their beginning and is settled here: accepted where it changes nothing, and
refused where it would."""

from __future__ import annotations

from typing import Any

from minigrad.checks import boolean, integer, one_of
from minigrad.device import check_device, device


def set_float32_matmul_precision(precision: str) -> None:
    """Takes "highest", "high" and "medium", which say how inexact products may be; they are always
    taken in full float32."""
    one_of("set_float32_matmul_precision", "precision", precision, ("highest", "high", "medium"))


def get_float32_matmul_precision() -> str:
    """ "highest": products are taken in full float32."""
    return "highest"


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Nothing: all results are reproducible, for every number of threads."""
    boolean("use_deterministic_algorithms", "mode", mode)
    boolean("use_deterministic_algorithms", "warn_only", warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """True: all results are reproducible."""
    return True


def set_default_device(device: Any) -> None:
    """Takes the CPU, which the default always is.

    Raises:
        RuntimeError: another device.
    """
    check_device("set_default_device", device)


def get_default_device() -> device:
    """The CPU."""
    return device()


def set_flush_denormal(mode: bool) -> bool:
    """Takes False; True, which would make the smallest numbers 0, has no effect. Returns whether it
    was done."""
    return not boolean("set_flush_denormal", "mode", mode)


def set_num_interop_threads(threads: int) -> None:
    """Nothing: operations run one after the other."""
    integer("set_num_interop_threads", "threads", threads)
