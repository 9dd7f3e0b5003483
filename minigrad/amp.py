"""Mixed precision, which is not here: what scripts write around their steps, so that they run.

All is computed in the dtypes that the tensors have, as in PyTorch where these are told so or find
no accelerator. Whoever asks for more is warned.
"""

from __future__ import annotations

import warnings
from contextlib import ContextDecorator
from typing import Any

from minigrad.checks import boolean, users_level

__all__ = ["GradScaler", "autocast", "is_autocast_enabled"]


class autocast(ContextDecorator):
    """A block, or a function, in the dtypes that its tensors have.

    Args:
        device_type: accepted, as are `dtype` and `cache_enabled`.
        enabled: True warns that nothing is cast.

    >>> with mg.amp.autocast("cuda", enabled=False):
    ...     print((mg.ones(2) * 2).dtype)
    float32
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"autocast: device_type must be a string, got {device_type!r}")
        if boolean("autocast", "enabled", enabled):
            _warn("autocast")

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


class GradScaler:
    """A scaler of the loss that leaves it as it is: gradients of float32 need none.

    Args:
        device: accepted, as are `init_scale`, `growth_factor`, `backoff_factor` and
            `growth_interval`.
        enabled: True warns that nothing is scaled.

    >>> w = mg.ones(1, requires_grad=True)
    >>> optimizer = optim.SGD([w], lr=0.5)
    >>> scaler = mg.amp.GradScaler(enabled=False)
    >>> scaler.scale((w * w).sum()).backward()
    >>> scaler.step(optimizer); scaler.update(); w
    tensor([0.], requires_grad=True)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled:
            _warn("GradScaler")

    def scale(self, outputs: Any) -> Any:
        """The loss, or losses, themselves."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Nothing."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step(…)`."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Nothing."""

    def get_scale(self) -> float:
        """1."""
        return 1.0

    def is_enabled(self) -> bool:
        """False."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """An empty dict, as that of a scaler which is not enabled."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing."""


class CudaAutocast(autocast):
    """`autocast` as `cuda.amp` has it, without `device_type`."""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class CudaGradScaler(GradScaler):
    """`GradScaler` as `cuda.amp` has it, without `device`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("cuda", *args, **kwargs)


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """False, in a block of `autocast` too: tensors keep their dtypes."""
    return False


def _warn(name: str) -> None:
    warnings.warn(
        f"{name}: there is no mixed precision, and tensors keep their dtypes: enabled=False says "
        "so",
        stacklevel=users_level(),
    )
