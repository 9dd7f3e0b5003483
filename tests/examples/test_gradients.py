"""The experiments about gradients and the loss, run with --quick: what they find, not only that."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
pytest.importorskip("sklearn")

from quick import mnist_folder, run_quick

__all__ = ["mnist_folder"]  # a fixture


@pytest.mark.slow
def test_vanishing_gradients(tmp_path):
    results = run_quick("vanishing_gradients", tmp_path, tmp_path / "out")["results"]
    ratio = {name: np.log10(v) for name, v in results["ratio of first to last"].items()}
    first = {name: np.log10(v) for name, v in results["norm in the first layer"].items()}
    assert max(ratio["sigmoid, Xavier, plain"]) < -4.5
    assert max(ratio["sigmoid, N(0, 0.01²), plain"]) < -12
    assert min(ratio["tanh, N(0, 0.5²), plain"]) > 1.5
    assert max(first["ReLU, N(0, 0.01²), plain"]) < -10
    assert min(first["ReLU, N(0, 0.5²), plain"]) > 4
    for name in ratio:
        if name.endswith("batch norm"):  # whatever the activation and the initialisation
            assert np.abs(ratio[name]).max() < 1
            assert np.abs(first[name]).max() < 1
        if name.endswith("residual"):  # nothing vanishes
            assert min(first[name]) > -2
    # it does not help where the initialisation fits
    better = np.abs(ratio["ReLU, He, plain"]) - np.abs(ratio["ReLU, He, batch norm"])
    assert better.mean() < 0.2


@pytest.mark.slow
@pytest.mark.fuzz  # the longest of the examples
def test_landscape(mnist_folder, tmp_path):
    results = run_quick("landscape", mnist_folder, tmp_path)["results"]

    def times(key):
        return np.array(results[key]["plain"]) / np.array(results[key]["batch norm"])

    assert times("loss range").min() > 2
    assert times("gradient change").min() > 1.5
    assert times("smoothness, largest").min() > 1
    # the curvature gains much less than the loss range
    assert times("sharpness, median").mean() < times("loss range").mean() / 2
    assert set(results["loss range"]) == {"plain", "batch norm", "residual"}


@pytest.mark.slow
@pytest.mark.fuzz  # the longest of the examples
def test_noisy_batch_norm(mnist_folder, tmp_path):
    results = run_quick("noisy_batch_norm", mnist_folder, tmp_path)["results"]

    def mean(kind, rate, key="test error (%)"):
        return np.mean(results[f"{kind}, lr {rate}"][key])

    for noise in ("", " + noise"):  # normalised, it trains at the large rate in spite of the noise
        assert mean(f"batch norm{noise}", 0.5) < 25
        assert mean(f"plain{noise}", 0.5) > mean(f"batch norm{noise}", 0.5) + 15
        assert mean(f"plain{noise}", 0.1) < 60  # which does not stop a plain network at a small one
    movement = {k: mean(k, 0.1, "movement") for k in ("plain", "batch norm", "batch norm + noise")}
    assert movement["batch norm + noise"] > 2 * movement["batch norm"]
    assert movement["plain"] > 1.5 * movement["batch norm"]
    cosines = [np.mean(row["ICS cosine"]) for row in results.values()]
    assert min(cosines) >= -1 and max(cosines) < 1


@pytest.mark.slow
def test_inside_the_graph(tmp_path):
    results = run_quick("inside_the_graph", tmp_path, tmp_path / "out")["results"]
    assert results["bias outside the graph"] == pytest.approx([200.0] * 3, rel=1e-9)
    assert max(results["loss change outside"]) < 1e-10
    assert np.abs(results["bias inside the graph"]).max() < 1e-10
    assert max(results["sigmoid beyond linear (%), gamma=1"]) < 4
    assert min(results["sigmoid beyond linear (%), gamma=4"]) > 10
    assert max(results["identity error"]) < 1e-13
    assert max(results["scale error, eps=0"]) < 1e-13
    errors = results["scale error at a=0.01, eps=1e-05"]
    assert min(errors) > 0.01 and max(errors) < 0.3
