"""Preprocessing, fitted on the training data and then applied to any data.

Every class has scikit-learn's `fit`, `transform`, `fit_transform` and `inverse_transform`, takes
arrays and tensors (N, …) with one sample a row, and returns the same kind in the same dtype
(integers as float32). Statistics are per feature, over the samples, in float64. They go into
scikit-learn's Pipeline and GridSearchCV; data frames are taken, and give arrays, or frames after
`set_output`.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from minigrad.checks import number, one_of
from minigrad.data.conventions import Transformer
from minigrad.dtypes import native
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap


class _Preprocessing(Transformer):
    """The common face: `_learn` and the two maps work on float64 arrays (N, …)."""

    def fit(self, x: Any, y: Any = None) -> Self:
        """Learn the statistics of x (N, …); y is ignored.

        Raises:
            ValueError: no samples, or NaN or infinite values.
            TypeError: not an array or tensor of real numbers.
        """
        array, _ = self._floats("fit", x)
        if not len(array):
            raise ValueError(f"{type(self).__name__}.fit: got no samples (shape {array.shape})")
        if not array.size:
            raise ValueError(
                f"{type(self).__name__}.fit: got 0 feature(s) (shape={array.shape}) while a "
                "minimum of 1 is required."
            )
        self._check_finite("fit", array)
        self._learn(array)
        self.shape_ = array.shape[1:]
        self._see_features(x, self.shape_)
        return self

    def transform(self, x: Any) -> Any:
        """Apply what `fit` learnt to x (N, …).

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: NaN or infinite values, or samples of another shape than in `fit`.
        """
        return self._framed(self._apply("transform", x, self._forward), x)

    def inverse_transform(self, x: Any) -> Any:
        """Undo `transform`."""
        return self._apply("inverse_transform", x, self._backward)

    def fit_transform(self, x: Any, y: Any = None) -> Any:
        """`fit` and then `transform` the same data."""
        return self.fit(x, y).transform(x)

    def _apply(self, method: str, x: Any, function: Any) -> Any:
        name = f"{type(self).__name__}.{method}"
        self._check_fitted(name)
        self._check_features(name, x)
        array, dtype = self._floats(method, x)
        if array.shape[1:] != self.shape_:
            raise ValueError(
                f"{name}: expected samples of shape {self.shape_} as in fit, got an input of shape "
                f"{array.shape}{self._shape_advice(array.shape)}"
            )
        if method == "transform":
            self._check_finite(method, array)
        result = function(array).astype(dtype, copy=False)
        return wrap(result) if isinstance(x, Tensor) else result

    def _floats(self, method: str, x: Any) -> tuple[Array, np.dtype[Any]]:
        """x in float64, and the dtype of the result."""
        name = f"{type(self).__name__}.{method}"
        if isinstance(x, Tensor):
            if x.requires_grad:
                raise RuntimeError(
                    f"{name} is not differentiable, and the input requires grad: detach() it"
                )
            x = x.array
        if hasattr(x, "toarray"):  # scipy's, of which numpy makes one object
            raise TypeError(f"{name}: sparse input is not taken: make it dense, with .toarray()")
        array = np.asarray(x)
        if array.dtype == object:  # the columns of a frame that have several dtypes, say
            try:
                array = array.astype(np.float64)
            except (TypeError, ValueError) as error:
                raise TypeError(f"{name}: expected real numbers ({error})") from error
        if array.dtype.kind == "c":
            raise ValueError(
                f"{name}: expected real numbers, got dtype {array.dtype}. "
                "Complex data not supported"
            )
        if array.dtype.kind not in "buif":
            raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
        if array.ndim < 1:
            raise ValueError(f"{name}: expected samples (N, …), got a single number")
        dtype = native(array.dtype) if array.dtype.kind == "f" else np.dtype(np.float32)
        return array.astype(np.float64), dtype

    def _check_finite(self, method: str, array: Array) -> None:
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise ValueError(
                f"{type(self).__name__}.{method}: {bad} of {array.size} values are NaN or "
                "infinite: remove or replace them first"
            )

    def _learn(self, x: Array) -> None:
        raise NotImplementedError

    def _forward(self, x: Array) -> Array:
        raise NotImplementedError

    def _backward(self, x: Array) -> Array:
        raise NotImplementedError


class Standardize(_Preprocessing):
    """x ↦ (x - mean)/std per feature: mean 0 and variance 1, whatever the distribution's shape.

    Constant features become 0. Learnt: `mean_` and `scale_` (the biased standard deviation, 1 for
    constant features).

    >>> data.Standardize().fit_transform(np.array([[1.0, 5.0], [3.0, 5.0]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    """

    mean_: Array
    scale_: Array

    def _learn(self, x: Array) -> None:
        self.mean_ = x.mean(axis=0)
        constant = x.max(axis=0) == x.min(axis=0)
        self.mean_ = np.where(constant, x[0], self.mean_)  # exactly, so that x - mean is 0
        self.scale_ = np.where(constant, 1.0, x.std(axis=0))

    def _forward(self, x: Array) -> Array:
        return (x - self.mean_) / self.scale_

    def _backward(self, x: Array) -> Array:
        return x * self.scale_ + self.mean_


class MinMax(_Preprocessing):
    """x ↦ low + (x - min)/(max - min)·(high - low) per feature: the training data fill the range.

    Constant features become `low`. Learnt: `min_` and `max_`.

    Args:
        feature_range: (low, high).
    """

    min_: Array
    max_: Array

    def __init__(self, feature_range: tuple[float, float] = (0, 1)) -> None:
        low, high = feature_range
        if not low < high:
            raise ValueError(f"MinMax: expected low < high, got {feature_range}")
        self.feature_range = feature_range

    def _learn(self, x: Array) -> None:
        self.min_, self.max_ = x.min(axis=0), x.max(axis=0)

    def _range(self) -> Array:
        return np.where(self.max_ > self.min_, self.max_ - self.min_, 1.0)

    def _forward(self, x: Array) -> Array:
        low, high = self.feature_range
        part = (x - self.min_) / self._range()
        return low * (1 - part) + high * part  # exact at both ends

    def _backward(self, x: Array) -> Array:
        low, high = self.feature_range
        return self.min_ + (x - low) / (high - low) * self._range()


class Whiten(_Preprocessing):
    """x ↦ (x - mean)·W: mean 0 and covariance I, features correlated no longer.

    With the covariance V·diag(λ)·Vᵀ of the centred data,

        "pca"  W = V·diag(1/√(λ + eps))        the principal axes become the features, largest first
        "zca"  W = V·diag(1/√(λ + eps))·Vᵀ     rotated back: of all whitenings nearest to the data

    Directions in which the data do not vary (fewer samples than features, one a combination of
    others) become 0, and `inverse_transform` restores them to the mean. Learnt: `mean_`,
    `components_` (Vᵀ, a row each), `variances_` (λ), `rank_`.

    Args:
        kind: "pca" or "zca".
        eps: added to λ; damps directions of little variance, and then the covariance is
            λ/(λ + eps).

    Source: Kessy, Lewin and Strimmer, Optimal whitening and decorrelation, 2018.
    """

    mean_: Array
    components_: Array
    variances_: Array
    rank_: int

    def __init__(self, kind: str = "pca", eps: float = 0.0) -> None:
        one_of("Whiten", "kind", kind, ("pca", "zca"))
        number("Whiten", "eps", eps, at_least=0)
        self.kind = kind
        self.eps = eps

    def fit(self, x: Any, y: Any = None) -> Self:
        """Learn the statistics of x (N, …); y is ignored."""
        dtype = self._floats("fit", x)[1]
        self._resolution = float(np.finfo(dtype).eps)  # rounding of the data looks like variance
        return super().fit(x, y)

    def _learn(self, x: Array) -> None:
        rows = x.reshape(len(x), -1)
        self.mean_ = rows.mean(axis=0)
        s, vt, noise = _axes(rows - self.mean_, self._resolution * np.abs(rows).max(initial=0.0))
        self.rank_ = int((s > noise).sum())
        largest = vt[np.arange(len(vt)), np.abs(vt).argmax(axis=1)]
        self.components_ = vt * np.sign(largest)[:, None]  # the same signs on every machine
        self.variances_ = np.zeros(len(vt))
        self.variances_[: self.rank_] = s[: self.rank_] ** 2 / len(rows)

    def _names_out(self, names: Array) -> Array:
        if self.kind == "zca":  # rotated back: a feature is nearest to itself
            return names
        return np.asarray([f"whiten{i}" for i in range(len(names))], dtype=object)

    def _scale(self) -> Array:
        scale = np.sqrt(self.variances_ + self.eps)
        scale[self.rank_ :] = np.inf
        return scale

    def _forward(self, x: Array) -> Array:
        y = (x.reshape(len(x), -1) - self.mean_) @ self.components_.T / self._scale()
        return (y @ self.components_ if self.kind == "zca" else y).reshape(x.shape)

    def _backward(self, x: Array) -> Array:
        y = x.reshape(len(x), -1)
        if self.kind == "zca":
            y = y @ self.components_.T
        scale = self._scale()
        scale[self.rank_ :] = 0
        return ((y * scale) @ self.components_ + self.mean_).reshape(x.shape)


def _axes(x: Array, rounding: float) -> tuple[Array, Array, float]:
    """Singular values of x (N, D), largest first, right singular vectors (rows), and noise level.

    Singular values at or below the level can be made by rounding errors alone, of `rounding` in
    each value of x or of the computation.
    """
    n, d = x.shape
    noise = rounding * (n**0.5 + d**0.5)  # the norm of a random matrix with entries that large
    exact = float(np.finfo(x.dtype).eps)
    if rounding > 1e4 * exact * np.abs(x).max(initial=0.0):
        # float32 data: eigenvectors of xᵀx are fast, and their error is below the data's own
        values, vectors = np.linalg.eigh(x.T @ x)
        s, vt = np.sqrt(np.maximum(values[::-1], 0)), vectors.T[::-1]
        return s, vt, max(noise, s[0] * (exact * d) ** 0.5)
    _, s, vt = np.linalg.svd(np.linalg.qr(x, mode="r"))  # xᵀx would square the condition number
    return s, vt, max(noise, s[0] * exact * max(n, d) if s.size else 0.0)


class ClipOutliers(_Preprocessing):
    """x ↦ x clipped per feature to mean ± k standard deviations of the training data.

    `outliers(x)` tells which values lie outside. What was clipped is lost, so `inverse_transform`
    returns its input. Learnt: `low_` and `high_`.

    Args:
        k: how many standard deviations are kept.
    """

    low_: Array
    high_: Array

    def __init__(self, k: float = 3.0) -> None:
        number("ClipOutliers", "k", k, above=0)
        self.k = k

    def _learn(self, x: Array) -> None:
        mean, reach = x.mean(axis=0), self.k * x.std(axis=0)
        self.low_, self.high_ = mean - reach, mean + reach

    def _forward(self, x: Array) -> Array:
        return np.clip(x, self.low_, self.high_)

    def _backward(self, x: Array) -> Array:
        return x

    def outliers(self, x: Any) -> Array:
        """True where a value of x (N, …) would be clipped."""
        array, _ = self._floats("outliers", x)
        clipped = np.asarray(self._apply("outliers", array, self._forward))
        outside: Array = array != clipped
        return outside
