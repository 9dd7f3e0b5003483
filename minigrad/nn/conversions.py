"""What a module converts its tensors to: floating dtypes; and the devices that there are."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from minigrad.device import check_device, only_cpu, only_threads
from minigrad.dtypes import bfloat16
from minigrad.interrupts import deferred
from minigrad.nn import state
from minigrad.nn.parameter import UninitializedParameter
from minigrad.ops.create import empty_like


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

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Give all parameters and buffers, or with `recurse=False` the module's own, new memory
        whose values are not set; the CPU is the only device there is."""
        check_device("to_empty", device)
        own: Any = self
        with deferred():
            for tensor in (*own.parameters(recurse), *own.buffers(recurse)):
                if not isinstance(tensor, UninitializedParameter):
                    tensor.data = empty_like(tensor.data)
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
        return self.to(bfloat16)

    def compile(self, *args: Any, **options: Any) -> None:
        """Nothing, as `minigrad.compile`: kernels are compiled as they are."""

    def cpu(self) -> Self:
        """The module itself: the CPU is the only device."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Refused: the CPU is the only device there is."""
        raise only_cpu("cuda")

    def share_memory(self) -> Self:
        """Refused: memory is shared between threads, not between processes."""
        raise only_threads("share_memory")
