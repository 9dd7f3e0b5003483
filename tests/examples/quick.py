"""What the tests of the examples share: data, and a script run with --quick.

The scripts run on MNIST where MINIGRAD_DATA names a folder that has it, and otherwise on
scikit-learn's digits, enlarged. What is checked is what they find.
"""

from __future__ import annotations

import gzip
import json
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

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples"))

# The project holds no data. Where MINIGRAD_DATA names a folder with the real files, as in CI, they
# are used; what has no stand-in is skipped elsewhere.
NO_TITANIC = "the passengers have no stand-in: set MINIGRAD_DATA to a folder with titanic.csv"


def real_data(name: str) -> Path | None:
    folder = os.environ.get("MINIGRAD_DATA")
    return Path(folder) if folder and (Path(folder) / name).exists() else None


of_mnist = pytest.mark.skipif(
    real_data("mnist") is None,
    reason="two quick seeds on the digits that stand in for MNIST do not show it: set MINIGRAD_DATA"
    " to a folder with MNIST",
)


# A script has its processor to itself where several tests run at once: helpers that wait, awake,
# for more work would take turns with the other test. Its numbers are the same on any number.
ENVIRONMENT = dict(os.environ)
if "PYTEST_XDIST_WORKER" in os.environ:
    ENVIRONMENT["NUMBA_NUM_THREADS"] = "1"


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
        capture_output=True, text=True, timeout=300, check=False, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    quick = f"{name}{suffix}-quick"
    record = json.loads((out / f"{quick}.json").read_text("utf-8"))
    assert done.stdout.splitlines()[-1] == record["finding"]
    assert "(quick version)" in record["finding"]
    assert (out / f"{quick}.png").stat().st_size > 20_000
    assert {p.name for p in out.iterdir()} == {
        f"{quick}.json", f"{quick}.png", f"{name}-quick.jsonl",
    }  # fmt: skip
    assert str(out) not in json.dumps(record)
    return record
