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


def _guarded(f: Callable[..., Any], of_infinite: float) -> Callable[..., Any]:
    """f of stacks of matrices, which never sees those with infinities: the elements of their
    results are `of_infinite`."""

    @functools.wraps(f)
    def call(a: Any, *args: Any, **options: Any) -> Any:
        finite = np.isfinite(a).all((-2, -1))
        if finite.all():
            return f(a, *args, **options)
        if np.isnan(a).any():
            raise np.linalg.LinAlgError("a matrix has NaN among its elements")
        found = f(np.where(finite[..., None, None], a, 0), *args, **options)

        def replaced(v: Any) -> Any:
            stays = finite.reshape(*finite.shape, *[1] * (v.ndim - finite.ndim))
            return np.where(stays, v, np.asarray(of_infinite, v.dtype))

        return tuple(map(replaced, found)) if isinstance(found, tuple) else replaced(found)

    return call


svd, eigh = _guarded(np.linalg.svd, np.nan), _guarded(np.linalg.eigh, np.nan)
pinv = _guarded(np.linalg.pinv, 0.0)
