"""numpy's decompositions that iterate, for matrices that are not finite, too.

LAPACK may never return from an infinity: it never found the singular values of a 3 x 3 matrix with
one in it. As in PyTorch, a NaN is refused, and a matrix with infinities has NaN for its values and
vectors, and 0 for its pseudo-inverse, as no singular value is large.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np


def _for_all(f: Callable[..., Any], of_infinite: float) -> Callable[..., Any]:
    @functools.wraps(f)
    def call(a: Any, *args: Any, **options: Any) -> Any:
        finite = np.isfinite(a).all((-2, -1))
        if finite.all():
            return f(a, *args, **options)
        if np.isnan(a).any():
            raise np.linalg.LinAlgError("a matrix has NaN among its elements")
        found = f(np.where(finite[..., None, None], a, 0), *args, **options)

        def known(v: Any) -> Any:
            whole = finite.reshape(*finite.shape, *[1] * (v.ndim - finite.ndim))
            return np.where(whole, v, np.asarray(of_infinite, v.dtype))

        return tuple(map(known, found)) if isinstance(found, tuple) else known(found)

    return call


svd, eigh = _for_all(np.linalg.svd, np.nan), _for_all(np.linalg.eigh, np.nan)
pinv = _for_all(np.linalg.pinv, 0.0)
