"""numpy's decompositions that iterate, for matrices with numbers that are not finite, too.

LAPACK may never return from those: it never found the singular values of a 3 x 3 matrix with an
infinity in it. Here all that comes out for such a matrix is NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np


def _of_finite(f: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(f)
    def call(a: Any, *args: Any, **options: Any) -> Any:
        finite = np.isfinite(a).all((-2, -1))
        if finite.all():
            return f(a, *args, **options)
        found = f(np.where(finite[..., None, None], a, 0), *args, **options)

        def known(v: Any) -> Any:
            whole = finite.reshape(*finite.shape, *[1] * (v.ndim - finite.ndim))
            return np.where(whole, v, np.asarray(np.nan, v.dtype))

        return tuple(map(known, found)) if isinstance(found, tuple) else known(found)

    return call


svd, eigh, pinv = _of_finite(np.linalg.svd), _of_finite(np.linalg.eigh), _of_finite(np.linalg.pinv)
