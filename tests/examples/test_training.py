"""The experiments about training with batch normalisation, run with --quick: what they find."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
pytest.importorskip("sklearn")

from quick import NO_TITANIC, mnist_folder, real_data, run_quick

__all__ = ["mnist_folder"]  # a fixture


@pytest.mark.slow
class TestScripts:
    def test_mnist_batch_norm(self, mnist_folder, tmp_path):
        record = run_quick("mnist_batch_norm", mnist_folder, tmp_path)
        final = {net: row["1000"]["mean"] for net, row in record["accuracy"].items()}
        assert final["BN"] > 80
        assert final["plain"] < final["BN"] - 40
        # without normalisation the input of a sigmoid hardly depends on the image yet
        spread = {}
        for net, (run, *_) in record["results"].items():
            low, _, high = run["percentiles"][run["steps"].index(500)]
            spread[net] = high - low
        assert spread["plain"] < spread["BN"] / 4

    @pytest.mark.fuzz  # the longest of the examples
    def test_mnist_batch_norm_sweep(self, mnist_folder, tmp_path):
        record = run_quick(
            "mnist_batch_norm", mnist_folder, tmp_path, "--sweep", "--seeds", "1", suffix="-sweep"
        )
        accuracies = {net: [] for net in ("plain", "BN")}
        for row in record["results"]:
            accuracies[row["net"]].append(row["mean"])
        assert len(accuracies["plain"]) == len(accuracies["BN"]) == 4
        assert min(accuracies["BN"]) > 70
        assert np.ptp(accuracies["plain"]) > 3 * np.ptp(accuracies["BN"])

    @pytest.mark.fuzz  # one of the longest
    def test_batch_size(self, mnist_folder, tmp_path):
        record = run_quick("batch_size", mnist_folder, tmp_path)
        errors = {(r["kind"], r["batch"]): np.mean(r["error"]) for r in record["results"]}
        for other in ("LN", "GN"):
            assert errors["BN", 2] > 1.5 * errors[other, 2]
        assert errors["BN", 2] > 2 * errors["BN", 32]
        # of 4 x 6 x 5 cells: a channel; a sample; a channel of a sample; half a sample
        assert record["shared_cells"] == {"BN": 4 * 5, "LN": 6 * 5, "IN": 5, "GN": 3 * 5}

    def test_placement(self, mnist_folder, tmp_path):
        record = run_quick("placement", mnist_folder, tmp_path)
        assert len(record["results"]) == 9  # three activations at three rates
        for row in record["results"]:
            # nothing collapses, and chance would be 90 % wrong
            assert max(np.mean(row[p]) for p in ("before", "after", "both")) < 45, row
        after = record["after_minus_before"]
        # after is better at the small rate, and the better the smaller the rate
        assert after["0.01"]["mean"] < -1
        assert after["0.5"]["mean"] > after["0.01"]["mean"] + 2

    def test_placement_pairs_by_seed(self):
        import placement  # what run_quick finds too: the folder is on the path

        row = {"net": "MLP", "activation": "tanh", "before": [5.0, 9.0], "after": [4.0, 8.0]}
        worse = {**row, "rate": 0.5, "after": [50.0, 60.0]}
        results = [{**row, "rate": 0.1}, worse]
        assert placement.differences(results, "after", rate=0.1).tolist() == [[-1.0, -1.0]]
        # the pair of best rates takes "after" at 0.1; its differences do not vary over the seeds
        best = placement.at_best_rates(results)
        assert (best.mean, best.low, best.high) == (-1.0, -1.0, -1.0)
        assert placement.clearly(best) == "lower"

    def test_titanic(self, tmp_path):
        data = real_data("titanic.csv")
        if data is None:
            pytest.skip(NO_TITANIC)
        record = run_quick("titanic", data, tmp_path)
        raw, standardised = record["results"]
        assert standardised["wins"] == len(standardised["differences"]) == record["flags"]["seeds"]
        assert np.mean(standardised["differences"]) > 5
        assert np.mean(raw["differences"]) > -2
        assert 60 < np.mean(raw["BN"]) < 80

    def test_train_and_inference(self, mnist_folder, tmp_path):
        record = run_quick("train_and_inference", mnist_folder, tmp_path)
        assert record["fold_gap"] < 1e-11
        estimates = record["variance_of_sorted_batches"]
        assert estimates["cumulative"] < 0.01 * estimates["true"]
        assert estimates["pooled"] == pytest.approx(estimates["true"], rel=0.05)
        shuffled = record["variance_of_shuffled_batches"]
        assert shuffled["cumulative"] == pytest.approx(estimates["true"], rel=0.05)
        for momentum in (0.5, 0.1):
            expected = 2 / math.sqrt(4) * math.sqrt(momentum / (2 - momentum))
            # 2,000 channels: the root mean square is known to 1/√4000 = 1.6 %
            assert record["stray"][str(momentum)] == pytest.approx(expected, rel=0.06)
        (run,) = record["results"]["32"]
        assert run["shifted"][3] > run["shifted"][0] + 20
        assert run["repaired"][3] < run["shifted"][3] - 15
        assert run["repaired"][0] == run["methods"]["sequential"]

    @pytest.mark.fuzz  # the longest of the examples
    def test_mnist_parallel(self, mnist_folder, tmp_path):
        pytest.importorskip("mpi4py")
        record = run_quick("mnist_parallel", mnist_folder, tmp_path)
        one, two = (record["results"]["ranks"][n]["accuracy"][0] for n in ("1", "2"))
        # the same gradients but for the order of sums; one image in 400 is a quarter of a point
        assert abs(one - two) < 1
        # two images have hundreds of values a channel: that they are not alone changes little
        small = record["results"]["small"]
        assert max(small["BN"][0], small["SyncBN"][0]) < 60  # chance is 90 % wrong
        assert abs(small["BN"][0] - small["SyncBN"][0]) < 15
