"""Preprocessing by scikit-learn's conventions: in its Pipeline, in its GridSearchCV, cloned."""

from __future__ import annotations

import inspect
import pickle
import sys

import numpy as np
import pytest

from minigrad import data

base = pytest.importorskip("sklearn.base")
linear_model = pytest.importorskip("sklearn.linear_model")
model_selection = pytest.importorskip("sklearn.model_selection")
pipeline = pytest.importorskip("sklearn.pipeline")
preprocessing = pytest.importorskip("sklearn.preprocessing")
check_is_fitted = pytest.importorskip("sklearn.utils.validation").check_is_fitted

rng = np.random.default_rng(0)
X = rng.standard_normal((120, 3)) * [1, 20, 0.3] + [0, 5, -1]
Y = (X @ [1.0, 0.1, 2.0] + rng.standard_normal(120) > -1).astype(int)

ALL = [
    (data.Standardize, {}, "Standardize()"),
    (data.MinMax, {"feature_range": (-1, 1)}, "MinMax(feature_range=(-1, 1))"),
    (data.Whiten, {"kind": "zca", "eps": 1}, "Whiten(kind='zca', eps=1)"),
    (data.Whiten, {"kind": "pca", "eps": 0.0}, "Whiten()"),
    (data.ClipOutliers, {"k": 2}, "ClipOutliers(k=2)"),
]


@pytest.mark.parametrize(("cls", "params", "text"), ALL)
def test_parameters_repr_and_clone(cls, params, text):
    made = cls(**params)
    assert made.get_params() == made.get_params(deep=False) == params
    assert repr(made) == text
    fitted = made.fit(X)
    copy = base.clone(fitted)  # refuses parameters that a constructor changes
    assert copy is not made and copy.get_params() == params
    assert not hasattr(copy, "shape_")
    check_is_fitted(fitted)
    assert cls().set_params(**params).get_params() == params
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"range": (0, 1)}, "MinMax.set_params: there is no parameter 'range', expected one of: "),
        ({"feature_range": (1, 0)}, "expected low < high"),
    ],
)
def test_bad_parameters_change_nothing(params, message):
    made = data.MinMax((0, 2))
    with pytest.raises(ValueError, match=message):
        made.set_params(**params)
    assert made.get_params() == {"feature_range": (0, 2)}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (data.Standardize(), preprocessing.StandardScaler()),
        (data.MinMax((-1, 1)), preprocessing.MinMaxScaler((-1, 1))),
    ],
)
def test_a_pipeline_predicts_as_scikit_learns(ours, theirs):
    found, expected = (
        pipeline.make_pipeline(step, linear_model.LogisticRegression()).fit(X, Y)
        for step in (ours, theirs)
    )
    # the solver stops at a tolerance of 1e-4; from the same inputs it takes the same way
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), rtol=1e-9)
    assert found[:1].get_feature_names_out().tolist() == ["x0", "x1", "x2"]
    # only what differs from the defaults is shown, in the HTML of notebooks too
    assert repr(ours) in repr(found) and type(ours).__name__ in found._repr_html_()


def test_a_search_over_its_parameters():
    steps = [("prepare", data.Whiten()), ("classify", linear_model.LogisticRegression())]
    grid = {"prepare__eps": [0.0, 100.0], "prepare__kind": ["pca", "zca"]}
    search = model_selection.GridSearchCV(pipeline.Pipeline(steps), grid, cv=3).fit(X, Y)
    assert len(search.cv_results_["params"]) == 4
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] != scores[2]  # the parameters arrive
    # a rotation changes nothing for a penalty that has no preferred direction
    np.testing.assert_allclose(scores[[0, 2]], scores[[1, 3]])
    replaced = {"prepare": [data.Standardize(), data.MinMax(), "passthrough"]}
    search = model_selection.GridSearchCV(pipeline.Pipeline(steps), replaced, cv=3).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


class Frame:
    """What is asked of a data frame; pandas is not needed."""

    def __init__(self, values, columns):
        self.values, self.columns = values, columns

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


EARLY = "bad arguments are refused in the constructor, where they are"
SHAPES = "samples may have any shape, as images have: (N,) is one number each"


@pytest.mark.filterwarnings("ignore")  # of scikit-learn's own, such as for a class not derived
@pytest.mark.parametrize("made", [cls(**params) for cls, params, _ in ALL], ids=repr)
def test_scikit_learns_own_checks(made):
    checks = pytest.importorskip("sklearn.utils.estimator_checks").check_estimator
    if "on_fail" not in inspect.signature(checks).parameters:
        pytest.skip("before scikit-learn 1.6 the checks cannot be told what is meant to fail")
    allowed = {
        "check_do_not_raise_errors_in_init_or_set_params": EARLY,
        "check_fit1d": SHAPES,
    }
    found = checks(made, expected_failed_checks=allowed, on_fail=None, on_skip=None)
    failed = {r["check_name"]: r["exception"] for r in found if r["status"] == "failed"}
    assert not failed
    assert sum(r["status"] == "passed" for r in found) > 30
    assert {r["check_name"] for r in found if r["status"] == "xfail"} <= allowed.keys()


def test_columns_of_several_dtypes():
    frame = Frame(np.array([[1, 2.5], [True, np.float32(3)]], dtype=object), ["a", "b"])
    found = data.MinMax().fit_transform(frame)
    np.testing.assert_array_equal(found, np.array([[0.0, 0], [0, 1]]), strict=True)
    with pytest.raises(TypeError, match=r"MinMax.fit: expected real numbers \(.*'x'"):
        data.MinMax().fit(np.array([[1, "x"]], dtype=object))


def test_names_of_features():
    frame = Frame(X, ["age", "fare", "class"])
    fitted = data.Standardize().fit(frame)
    assert fitted.n_features_in_ == 3
    assert fitted.feature_names_in_.tolist() == ["age", "fare", "class"]
    assert fitted.get_feature_names_out().tolist() == ["age", "fare", "class"]
    np.testing.assert_array_equal(fitted.transform(frame), fitted.transform(X))
    with pytest.raises(ValueError, match=r"Standardize.transform: expected the columns that fit"):
        fitted.transform(Frame(X, ["fare", "age", "class"]))
    with pytest.raises(ValueError, match="not the names that fit saw"):
        fitted.get_feature_names_out(["a", "b", "c"])
    assert not hasattr(fitted.fit(X), "feature_names_in_")
    assert fitted.get_feature_names_out(["a", "b", "c"]).tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="expected 3 names"):
        fitted.get_feature_names_out(["a"])
    assert data.Whiten().fit(X).get_feature_names_out()[0] == "whiten0"
    assert data.Whiten("zca").fit(frame).get_feature_names_out()[0] == "age"
    with pytest.raises(RuntimeError, match="call fit"):
        data.MinMax().get_feature_names_out()
    with pytest.raises(ValueError, match=r"expected samples \(D,\)"):
        data.MinMax().fit(X.reshape(60, 2, 3)).get_feature_names_out()


class FakePandas:
    """As much of the library as a frame needs."""

    class DataFrame(Frame):
        def __init__(self, values, index=None, columns=None):
            super().__init__(values, columns)
            self.index = index


def test_frames_come_out_where_they_are_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", FakePandas)
    frame = FakePandas.DataFrame(X, index=range(120), columns=["age", "fare", "class"])
    made = data.Standardize().set_output(transform="pandas")
    found = base.clone(made).fit_transform(frame)
    assert found.columns == ["age", "fare", "class"] and found.index is frame.index
    np.testing.assert_array_equal(found.values, data.Standardize().fit_transform(X))
    assert data.Whiten().set_output(transform="pandas").fit_transform(X).columns[0] == "whiten0"
    assert type(made.set_output().fit(X).inverse_transform(X)) is np.ndarray
    assert type(made.set_output(transform="default").transform(frame)) is np.ndarray
    steps = pipeline.make_pipeline(data.Standardize(), data.MinMax())
    assert type(steps.set_output(transform="pandas").fit_transform(X)) is FakePandas.DataFrame
    with base.config_context(transform_output="pandas"):
        assert type(data.MinMax().fit_transform(X)) is FakePandas.DataFrame
        assert type(made.transform(X)) is np.ndarray  # its own choice counts
    with pytest.raises(ValueError, match="set_output: transform must be 'default', 'pandas'"):
        made.set_output(transform="arrow")
