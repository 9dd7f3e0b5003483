"""What the examples share, and the experiments about training with batch normalisation.

The scripts run with --quick, on MNIST where MINIGRAD_DATA names a folder that has it and otherwise
on scikit-learn's digits, enlarged. What is checked is what they find.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
datasets = pytest.importorskip("sklearn.datasets")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
import common  # noqa: E402

# The project holds no data. Where MINIGRAD_DATA names a folder with the real files, as in CI, they
# are used; what has no stand-in is skipped elsewhere.
NO_TITANIC = "the passengers have no stand-in: set MINIGRAD_DATA to a folder with titanic.csv"


def real_data(name: str) -> Path | None:
    folder = os.environ.get("MINIGRAD_DATA")
    return Path(folder) if folder and (Path(folder) / name).exists() else None


def write_idx(file: Path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    file.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes(), 1))


@pytest.fixture(scope="session")
def mnist_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MNIST, or with digits of 8 x 8 pixels enlarged to 28 x 28 in its place."""
    real = real_data("mnist")
    if real is not None:
        return real
    folder = tmp_path_factory.mktemp("data")
    (folder / "mnist").mkdir()
    images, labels = datasets.load_digits(return_X_y=True)
    near = np.arange(28) * 8 // 28
    images = (images * 255 / 16).reshape(-1, 8, 8)[:, near][:, :, near]
    order = np.random.default_rng(0).permutation(len(labels))
    for part, chosen in (("train", order[:-400]), ("t10k", order[-400:])):
        write_idx(folder / "mnist" / f"{part}-images-idx3-ubyte.gz", images[chosen])
        write_idx(folder / "mnist" / f"{part}-labels-idx1-ubyte.gz", labels[chosen])
    return folder


def run_quick(name: str, data: Path, out: Path, *more: str, suffix: str = "") -> dict:
    """Run a script with --quick; return its record, which must agree with what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / f"{name}.py", "--quick",
         "--data", data, "--out", out, *more],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((out / f"{name}{suffix}.json").read_text("utf-8"))
    assert done.stdout.splitlines()[-1] == record["finding"]
    assert (out / f"{name}{suffix}.png").stat().st_size > 20_000
    assert {p.name for p in out.iterdir()} == {
        f"{name}{suffix}.json", f"{name}{suffix}.png", f"{name}-quick.jsonl",
    }  # fmt: skip
    assert str(out) not in json.dumps(record)
    return record


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

    def test_batch_size(self, mnist_folder, tmp_path):
        record = run_quick("batch_size", mnist_folder, tmp_path)
        errors = {(r["kind"], r["batch"]): np.mean(r["error"]) for r in record["results"]}
        for other in ("LN", "GN"):
            assert errors["BN", 2] > 1.5 * errors[other, 2]
        assert errors["BN", 2] > 2 * errors["BN", 32]
        # of 4 x 6 x 5 cells: a channel; a sample; a channel of a sample; half a sample
        assert record["shared_cells"] == {"BN": 4 * 5, "LN": 6 * 5, "IN": 5, "GN": 3 * 5}

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


def flags_for(folder: Path, **more) -> argparse.Namespace:
    return argparse.Namespace(**{"out": folder, "name": "test", "quick": False, **more})


class TestResults:
    def test_an_interrupted_run_continues(self, tmp_path):
        calls = []

        def work(number, fail=False):
            calls.append(number)
            if number == 2 and len(calls) == 3:
                raise KeyboardInterrupt
            return {"square": np.float32(number) ** 2, "list": np.arange(2), "nan": math.nan}

        configurations = [{"number": n} for n in range(4)]
        with pytest.raises(KeyboardInterrupt):
            common.run_all(flags_for(tmp_path), work, configurations)
        results = common.run_all(flags_for(tmp_path), work, configurations)
        assert calls == [0, 1, 2, 2, 3]
        assert [r["square"] for r in results] == [0, 1, 4, 9]
        assert results[0]["list"] == [0, 1]
        assert math.isnan(results[1]["nan"])
        # other settings are other results
        common.run_all(flags_for(tmp_path), work, [{"number": 3, "fail": True}])
        common.run_all(flags_for(tmp_path, quick=True), work, [{"number": 3}])
        assert calls[5:] == [3, 3]

    def test_a_torn_line_is_computed_anew(self, tmp_path):
        def double(n):
            calls.append(n)
            return 2 * n

        calls: list[int] = []
        configurations = [{"n": n} for n in range(3)]
        common.run_all(flags_for(tmp_path), double, configurations)
        (file,) = tmp_path.iterdir()
        file.write_bytes(file.read_bytes()[:-9])
        assert common.run_all(flags_for(tmp_path), double, configurations) == [0, 2, 4]
        assert calls == [0, 1, 2, 2]
        assert common.run_all(flags_for(tmp_path), double, configurations) == [0, 2, 4]
        assert len(calls) == 4

    def test_a_record_is_json_proper_and_is_replaced_whole(self, tmp_path):
        flags = flags_for(tmp_path, seeds=2, data=Path("somewhere"))
        file = common.save_record(flags, "found", results={1: [math.nan, np.float64(2)]})
        record = json.loads(file.read_text("utf-8"), parse_constant=pytest.fail)
        assert record["results"] == {"1": [None, 2.0]}
        assert record["flags"] == {"name": "test", "quick": False, "seeds": 2}
        with pytest.raises(TypeError):
            common.save_record(flags, "not JSON", results=object())
        assert json.loads(file.read_text("utf-8")) == record
        assert [p.name for p in tmp_path.iterdir()] == ["test.json"]


class TestStatistics:
    def test_the_interval_is_students(self):
        s = common.summarise([1.0, 2.0, 3.0, 4.0])
        assert s.mean == 2.5
        assert s.sd == pytest.approx(math.sqrt(5 / 3))
        # t with 3 degrees of freedom: 3.182
        assert s.high - s.mean == pytest.approx(3.182 * s.sd / 2, rel=1e-3)
        assert s.mean - s.low == pytest.approx(s.high - s.mean)
        assert f"{s:.1f}" == "2.5 ± 1.3"
        assert s.interval() == "+2.5 [+0.4, +4.6]"

    def test_one_seed_has_no_spread(self):
        s = common.summarise([3.0])
        assert f"{s:.1f}" == "3.0"
        assert s.interval() == "+3.0"
        assert math.isnan(s.sd)


def test_missing_data_end_with_advice(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "titanic.py", "--quick", "--data", tmp_path,
         "--out", tmp_path / "out"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "titanic.csv does not exist" in done.stderr
    assert "--data" in done.stderr
    assert "Traceback" not in done.stderr
