"""Statistics over seeds."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes half a second to import


class Summary(NamedTuple):
    """Mean, standard deviation over the seeds, and the mean's 95 % confidence interval."""

    mean: float
    sd: float
    low: float
    high: float
    n: int

    def __format__(self, spec: str) -> str:
        """``f"{summary:.1f}"`` is mean ± sd."""
        spread = "" if self.n < 2 else f" ± {self.sd:{spec}}"
        return f"{self.mean:{spec}}{spread}"

    def interval(self, spec: str = "+z.1f") -> str:
        """The mean with its interval: ``+2.0 [+0.9, +3.1]``, and no -0.0."""
        if self.n < 2:
            return f"{self.mean:{spec}}"
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def summarise(values: Iterable[float]) -> Summary:
    """Statistics of one number per seed; the interval is Student's t."""
    x = np.asarray(list(values), dtype=float)
    n, mean = len(x), float(x.mean())
    sd = float(x.std(ddof=1)) if n > 1 else math.nan
    reach = float(stdtrit(n - 1, 0.975)) * sd / math.sqrt(n) if n > 1 else math.nan
    return Summary(mean, sd, mean - reach, mean + reach, n)
