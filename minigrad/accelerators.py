"""Accelerators, of which there are none: what scripts ask and set before they choose a device.

The answers are PyTorch's on a machine that has only a CPU. Each class stands for the module of that
name, and can be imported as one: `import minigrad.backends.cudnn as cudnn`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from minigrad import amp as _amp
from minigrad.device import device as device_type
from minigrad.device import only_cpu


class _Absent(type):
    """The class of these classes: it says why there is nothing more in them."""

    if not TYPE_CHECKING:  # where it would let every name pass

        def __getattr__(cls, name: str) -> Any:
            if name.startswith("_"):  # what protocols ask for and do without
                raise AttributeError(name)
            raise AttributeError(
                f"minigrad.{cls.__qualname__} has no attribute {name!r}: the CPU is the only "
                "device there is",
                name=name,
            )


class cuda(metaclass=_Absent):
    """There is none."""

    _initialized = False  # scripts that save and restore random states look at it

    class amp(metaclass=_Absent):
        """There is no mixed precision: what is called leaves everything as it is."""

        autocast = _amp.CudaAutocast
        GradScaler = _amp.CudaGradScaler

    @staticmethod
    def is_available() -> bool:
        """False."""
        return False

    @staticmethod
    def is_initialized() -> bool:
        """False."""
        return False

    @staticmethod
    def is_bf16_supported(including_emulation: bool = True) -> bool:
        """False."""
        return False

    @staticmethod
    def device_count() -> int:
        """0."""
        return 0

    @staticmethod
    def manual_seed(seed: int) -> None:
        """Nothing: `minigrad.manual_seed` seeds all there is."""

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        """Nothing: `minigrad.manual_seed` seeds all there is."""

    @staticmethod
    def empty_cache() -> None:
        """Nothing."""

    @staticmethod
    def memory_allocated(device: Any = None) -> int:
        """0 bytes."""
        return 0

    @staticmethod
    def max_memory_allocated(device: Any = None) -> int:
        """0 bytes."""
        return 0

    @staticmethod
    def memory_reserved(device: Any = None) -> int:
        """0 bytes."""
        return 0

    @staticmethod
    def max_memory_reserved(device: Any = None) -> int:
        """0 bytes."""
        return 0

    @staticmethod
    def reset_peak_memory_stats(device: Any = None) -> None:
        """Refused."""
        raise only_cpu("cuda.reset_peak_memory_stats")

    @staticmethod
    def synchronize(device: Any = None) -> None:
        """Refused."""
        raise only_cpu("cuda.synchronize")

    @staticmethod
    def current_device() -> int:
        """Refused."""
        raise only_cpu("cuda.current_device")

    @staticmethod
    def set_device(device: Any) -> None:
        """Refused."""
        raise only_cpu("cuda.set_device")

    @staticmethod
    def get_device_name(device: Any = None) -> str:
        """Refused."""
        raise only_cpu("cuda.get_device_name")


class mps(metaclass=_Absent):
    """There is none."""

    @staticmethod
    def is_available() -> bool:
        """False."""
        return False

    @staticmethod
    def device_count() -> int:
        """0."""
        return 0

    @staticmethod
    def manual_seed(seed: int) -> None:
        """Nothing: `minigrad.manual_seed` seeds all there is."""

    @staticmethod
    def empty_cache() -> None:
        """Refused."""
        raise only_cpu("mps.empty_cache")

    @staticmethod
    def synchronize() -> None:
        """Refused."""
        raise only_cpu("mps.synchronize")


class accelerator(metaclass=_Absent):
    """There is none."""

    @staticmethod
    def is_available() -> bool:
        """False."""
        return False

    @staticmethod
    def device_count() -> int:
        """0."""
        return 0

    @staticmethod
    def current_accelerator(check_available: bool = False) -> device_type | None:
        """None."""
        return None

    @staticmethod
    def synchronize(device: Any = None) -> None:
        """Refused."""
        raise only_cpu("accelerator.synchronize")


class backends(metaclass=_Absent):
    """Whose kernels PyTorch would use. What is set here changes nothing."""

    class cudnn(metaclass=_Absent):
        """There is none; the flags are PyTorch's, with its defaults."""

        enabled = True
        benchmark = False
        deterministic = False
        allow_tf32 = True

        @staticmethod
        def is_available() -> bool:
            """False."""
            return False

        @staticmethod
        def version() -> int | None:
            """None."""
            return None

    class cuda(metaclass=_Absent):
        """There is none."""

        @staticmethod
        def is_built() -> bool:
            """False."""
            return False

        class matmul(metaclass=_Absent):
            """The flag is PyTorch's, with its default."""

            allow_tf32 = False

    class mps(metaclass=_Absent):
        """There is none."""

        @staticmethod
        def is_available() -> bool:
            """False."""
            return False

        @staticmethod
        def is_built() -> bool:
            """False."""
            return False


# An import looks here first, and then for files.
_MODULES: Any = (
    cuda, cuda.amp, mps, accelerator, backends, backends.cudnn, backends.cuda, backends.mps
)  # fmt: skip
sys.modules.update({f"minigrad.{module.__qualname__}": module for module in _MODULES})
