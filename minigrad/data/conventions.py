"""What scikit-learn asks of a transformer, so that Pipeline, GridSearchCV and clone take ours.

Its own `check_estimator` passes but for two checks that contradict what is promised here: bad
arguments are refused in the constructor, and samples may have any shape.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Any, Self

import numpy as np

from minigrad.checks import one_of
from minigrad.tape import Array

FRAMES = ("default", "pandas", "polars")


class NotFittedError(ValueError, RuntimeError):
    """What was asked for is known only after `fit`. Scikit-learn's is a ValueError, too."""


class Transformer:
    """Parameters by name, a repr, and the names of features.

    A subclass keeps each argument of its constructor, as it came, in an attribute of that name, and
    raises in the constructor for bad ones.
    """

    shape_: tuple[int, ...]  # of one sample; known once fitted
    n_features_in_: int  # of samples (D,); known once fitted
    feature_names_in_: Array  # where what was fitted had columns with names

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor by name. `deep` is taken for scikit-learn."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor; what was learnt stays until the next `fit`.

        Raises:
            ValueError, TypeError: a name that it does not have, or a value that the constructor
                refuses; then nothing is changed.
        """
        own = self.get_params()
        for name in params:
            if name not in own:
                known = ", ".join(map(repr, own)) or "none"
                raise ValueError(
                    f"{type(self).__name__}.set_params: there is no parameter {name!r}, expected "
                    f"one of: {known}"
                )
        type(self)(**{**own, **params})  # refuses bad values
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def set_output(self, *, transform: str | None = None) -> Self:
        """What `transform` returns: "pandas" or "polars" frames, whose columns have the features'
        names, or with "default" what it was given. None changes nothing.

        Raises:
            ValueError: another name.
        """
        if transform is not None:
            one_of(f"{type(self).__name__}.set_output", "transform", transform, FRAMES)
            self._sklearn_output_config = {"transform": transform}  # scikit-learn's clone copies it
        return self

    def _framed(self, result: Any, x: Any) -> Any:
        """The result of transform(x), as a frame where one was asked for, here or of all by
        scikit-learn's set_config(transform_output=)."""
        everywhere = sys.modules.get("sklearn")
        kind = getattr(self, "_sklearn_output_config", {}).get("transform")
        if kind is None and everywhere is not None:
            kind = everywhere.get_config()["transform_output"]
        if kind not in FRAMES[1:]:
            return result
        library, names = importlib.import_module(kind), list(self.get_feature_names_out())
        if kind == "polars":
            return library.DataFrame(np.asarray(result), schema=names, orient="row")
        index = x.index if isinstance(x, library.DataFrame) else None
        return library.DataFrame(np.asarray(result), index=index, columns=names)

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """The names of the features that `transform` returns, as an array of strings.

        Args:
            input_features: the names of the input's features; by default those of the data frame
                that was fitted, or else x0, x1, ….

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: samples that are no rows of features, or other or too few names.
        """
        name = f"{type(self).__name__}.get_feature_names_out"
        self._check_fitted(name)
        if not hasattr(self, "n_features_in_"):
            raise ValueError(f"{name}: expected samples (D,) in fit, they had shape {self.shape_}")
        known = getattr(self, "feature_names_in_", None)
        if input_features is None:
            default = [f"x{i}" for i in range(self.n_features_in_)]
            return self._names_out(np.asarray(default if known is None else known, dtype=object))
        given = np.asarray(input_features, dtype=object)
        if given.shape != (self.n_features_in_,):
            raise ValueError(
                f"{name}: expected {self.n_features_in_} names in input_features, got {given.size}"
            )
        if known is not None and not np.array_equal(given, known):
            raise ValueError(f"{name}: input_features are not the names that fit saw")
        return self._names_out(given)

    def _names_out(self, names: Array) -> Array:
        """By default every feature comes out under its own name."""
        return names

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        if cls.__init__ is object.__init__:
            return {}
        return {p.name: p.default for p in inspect.signature(cls).parameters.values()}

    def _see_features(self, x: Any, shape: tuple[int, ...]) -> None:
        """Note the number of features, and their names where x is a data frame."""
        for attribute in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(attribute, None)
        if len(shape) == 1:
            self.n_features_in_ = shape[0]
        if (names := _columns(x)) is not None:
            self.feature_names_in_ = names

    def _check_fitted(self, name: str) -> None:
        if not hasattr(self, "shape_"):
            raise NotFittedError(f"{name}: call fit on the training data first")

    def _shape_advice(self, got: tuple[int, ...]) -> str:
        """The end of the sentence that refuses a shape, in scikit-learn's words where it has some:
        its tools look for them."""
        if len(self.shape_) == 1 and len(got) == 1:
            return ". Reshape your data, one sample a row"
        if len(self.shape_) == 1 and len(got) == 2:
            return (
                f": X has {got[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        return ""

    def _check_features(self, name: str, x: Any) -> None:
        """Refuse a data frame with other columns than the one that was fitted."""
        known, names = getattr(self, "feature_names_in_", None), _columns(x)
        if known is not None and names is not None and not np.array_equal(known, names):
            raise ValueError(
                f"{name}: expected the columns that fit saw, {known.tolist()}, in this order, got "
                f"{names.tolist()}"
            )

    def __repr__(self) -> str:
        """The constructor with the arguments that are not its defaults, as scikit-learn's."""
        defaults = self._defaults()
        own = {k: v for k, v in self.get_params().items() if v != defaults[k]}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in own.items())})"

    def __sklearn_tags__(self) -> Any:
        """What kind of estimator it is; asked by scikit-learn 1.6 and later."""
        from sklearn.utils import Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None, target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(), classifier_tags=None, regressor_tags=None,
        )  # fmt: skip


def _columns(x: Any) -> Array | None:
    """The names of a data frame's columns, if all are strings."""
    columns = getattr(x, "columns", None)
    if columns is None:
        return None
    names = np.asarray(list(columns), dtype=object)
    return names if all(isinstance(n, str) for n in names) else None
