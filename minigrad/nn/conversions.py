"""What a module converts its tensors to: floating dtypes; and the devices that there are."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from minigrad.device import only_cpu, only_threads
from minigrad.names import INSTEAD
from minigrad.nn import state


class Conversions:
    """Those of a module."""

    def to(
        self, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False
    ) -> Self:
        """Convert all floating parameters and buffers to a dtype; the CPU changes nothing."""
        dtype = state.floating_dtype(args, dtype, device)
        if dtype is not None:
            own: Any = self
            state.convert([*own.parameters(), *own.buffers()], dtype)
        return self

    def float(self) -> Self:
        """Convert to float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Convert to float64."""
        return self.to(np.float64)

    def half(self) -> Self:
        """Convert to float16."""
        return self.to(np.float16)

    def bfloat16(self) -> Self:
        """Refused: numpy has no such dtype."""
        raise TypeError(f"bfloat16: {INSTEAD['bfloat16']}")

    def cpu(self) -> Self:
        """The module itself: the CPU is the only device."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Refused: the CPU is the only device there is."""
        raise only_cpu("cuda")

    def share_memory(self) -> Self:
        """Refused: memory is shared between threads, not between processes."""
        raise only_threads("share_memory")
