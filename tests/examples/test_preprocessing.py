"""The experiments about preprocessing and regularisation, run with --quick: what they find."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
pytest.importorskip("sklearn")

from quick import NO_TITANIC, mnist_folder, real_data, run_quick

__all__ = ["mnist_folder"]  # a fixture


@pytest.mark.slow
@pytest.mark.parametrize("source", ["Titanic", pytest.param("stand-in", marks=pytest.mark.fuzz)])
def test_conditioning(source, tmp_path):
    data = real_data("titanic.csv") if source == "Titanic" else tmp_path
    if data is None:
        pytest.skip(NO_TITANIC)
    record = run_quick("conditioning", data, tmp_path / "out")
    assert record["settings"]["inputs"].startswith(source)
    results, limit = record["results"], record["settings"]["limit"]
    condition = {kind: np.array(values) for kind, values in results["condition"].items()}
    assert condition["raw"].min() > 3e4
    assert condition["min-max"].min() > 100 and condition["min-max"].max() < 400
    assert condition["standardised"].max() < 10
    assert condition["ZCA"] == pytest.approx([1.0] * len(condition["ZCA"]), abs=1e-9)
    # the excess loss shrinks by ((κ - 1)/(κ + 1))² a step, or faster
    for kind, kappa in condition.items():
        bound = 1 + np.log(1e-6) / (2 * np.log1p(-2 / (kappa + 1 + 1e-9)))
        steps = np.array([limit if s is None else s for s in results["steps"][kind]])
        assert (steps <= bound + 1).all()
    assert results["steps"]["raw"] == [None] * len(condition["raw"])
    assert results["steps"]["ZCA"] == [1] * len(condition["ZCA"])
    assert min(results["steps"]["min-max"]) > 20 * max(results["steps"]["standardised"])
    assert min(results["times fewer samples"]) > 2


@pytest.mark.slow
def test_whitening(tmp_path):
    results = run_quick("whitening", tmp_path, tmp_path / "out")["results"]
    condition = results["condition"]
    assert condition["raw"] > 10 * condition["centred"] > 50 * condition["standardised"] / 2
    for kind in ("PCA-whitened", "ZCA-whitened"):
        assert condition[kind] == pytest.approx(1, abs=1e-9)
    assert condition["rotated"] == pytest.approx(condition["centred"])  # an angle changes nothing
    for pair in results["batches"]:
        assert pair["zca"] < 0.5 * pair["pca"]
        assert pair["zca swapped"] == 0 < pair["pca swapped"]
    assert np.min(results["cost ratio"], axis=0)[-1] > 1.5  # of 256 features
    assert 0 < results["clipped"] < 0.1


@pytest.mark.slow
@pytest.mark.fuzz  # the longest of the examples
def test_regularisers(mnist_folder, tmp_path):
    results = run_quick("regularisers", mnist_folder, tmp_path)["results"]
    runs = results["regularisers"]
    assert min(run["test"] for of_seeds in runs.values() for run in of_seeds) > 50
    for run in runs["BN"]:  # it helps on new images without learning less of the others
        assert run["train"] > max(99, run["test"])
    assert results["gains"]["BN over none"]["mean"] > 0
    # decay does not shrink a normalised network's function, it lengthens its steps
    assert min(results["lr ratio"]) > 1.3
    for scale in results["scale"]:
        assert scale["output"] < 1e-12 and scale["gradient"] < 1e-12
    loose, tight = (np.array(results["contrast"][eps]) for eps in ("1e-05", "1e-10"))
    assert loose[0] > 1  # contrast 0.001: gone, since a²·var is below eps
    assert tight[len(tight) // 2 :].max() < 1e-6
    assert (tight <= loose + 1e-12).all()
    rho = {q: [np.mean(run["rho"][0]) for run in of] for q, of in results["gates"].items()}
    assert np.mean(rho["digit"]) < np.mean(rho["colour"]) - 0.1
    for of_seeds in results["gates"].values():
        for run in of_seeds:
            assert np.min(run["rho"]) >= 0 and np.max(run["rho"]) <= 1
            assert run["accuracy"] > 50
