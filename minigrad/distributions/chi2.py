"""The chi-squared distribution."""

from __future__ import annotations

from typing import Any, ClassVar

from minigrad.distributions.constraints import positive
from minigrad.distributions.distribution import parameters
from minigrad.distributions.gamma import Gamma
from minigrad.tensor import Tensor


class Chi2(Gamma):
    """The sum of the squares of df standard normal numbers.

    Args:
        df: the degrees of freedom, above 0, a number or a tensor.
    """

    arg_constraints: ClassVar = {"df": positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        (df,) = parameters("Chi2", df=df)
        self._validate_args = self._validate_args if validate_args is None else validate_args
        self._check("df", df, df.array.real > 0, positive.words)
        super().__init__(0.5 * df, 0.5, validate_args)

    @property
    def df(self) -> Tensor:
        """The degrees of freedom."""
        return 2 * self.concentration
