"""The chi-squared distribution."""

from __future__ import annotations

from typing import Any, ClassVar

from minigrad.distributions.constraints import positive
from minigrad.distributions.gamma import Gamma
from minigrad.ops.create import full_like
from minigrad.tensor import Tensor


class Chi2(Gamma):
    """The sum of the squares of df standard normal numbers.

    Args:
        df: the degrees of freedom, above 0, a number or a tensor.
    """

    arg_constraints: ClassVar = {"df": positive}
    df: Tensor

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        self._hold(validate_args, df=df)

    @property
    def concentration(self) -> Tensor:  # type: ignore[override]
        """df/2."""
        return 0.5 * self.df

    @property
    def rate(self) -> Tensor:  # type: ignore[override]
        """1/2."""
        return full_like(self.df, 0.5)
