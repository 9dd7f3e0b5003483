"""examples/sklearn_estimator.py: a network that scikit-learn takes for one of its classifiers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from quick import ROOT

from minigrad import data

sklearn = pytest.importorskip("sklearn", minversion="1.6")  # validate_data
base = pytest.importorskip("sklearn.base")
model_selection = pytest.importorskip("sklearn.model_selection")
estimator = pytest.importorskip("sklearn_estimator")


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "sklearn_estimator.py", "--quick",
         "--out", tmp_path],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    last = done.stdout.splitlines()[-1]
    said = re.fullmatch(
        r"Best of 8: .* inputs, .*; ([\d.]+) % in cross-validation, ([\d.]+) % held out "
        r"\(quick version\)\.", last,
    )  # fmt: skip
    assert said and all(float(s) > 90 for s in said.groups()), last  # ten classes: chance is 10
    assert [p.name for p in tmp_path.iterdir()] == ["sklearn_estimator-quick.png"]


def test_a_classifier_by_the_book() -> None:
    """Labels of any kind, clones that learn the same, and a refusal of what was not fitted."""
    images, labels = data.digits()
    x, y = images[:300].reshape(300, 64), np.array(["even", "odd"])[labels[:300] % 2]
    made = estimator.NetworkClassifier(hidden=16, epochs=5)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        made.predict(x)
    fitted = made.fit(x, y)
    assert fitted.classes_.tolist() == ["even", "odd"] and fitted.score(x, y) > 0.9
    again = base.clone(fitted).fit(x, y)
    np.testing.assert_array_equal(again.predict_proba(x), fitted.predict_proba(x))
    np.testing.assert_allclose(fitted.predict_proba(x).sum(axis=1), 1, rtol=1e-6)
    assert model_selection.cross_val_score(made, x, y, cv=3).mean() > 0.8
    with pytest.raises(ValueError, match="features"):
        fitted.predict(x[:, :5])
