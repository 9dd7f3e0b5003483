"""What the examples share: results that are kept, and statistics."""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("tqdm")
pytest.importorskip("sklearn")

from quick import ROOT

sys.path.insert(0, str(ROOT / "examples"))
from matplotlib.figure import Figure

import common


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
        with pytest.raises(SystemExit, match="interrupted: 2 of 4 runs are kept in"):
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


class TestQuick:
    """A quick result says so in the file's name, the title and the finding."""

    @pytest.mark.parametrize("title", ["Who survived?", None])
    def test_it_takes_no_other_results_place(self, tmp_path, capsys, title):
        def results(quick, finding):
            flags = flags_for(tmp_path, quick=quick)
            common.run_all(flags, lambda n: n, [{"n": int(quick)}])
            figure = Figure()
            if title:
                figure.suptitle(title, fontsize=14)
            common.finish(flags, figure, finding)
            assert capsys.readouterr().out.splitlines()[-1] == (
                f"{finding[:-1]} (quick version)." if quick else finding
            )
            return figure

        full = results(False, "It gains 2 points.")
        assert full.get_suptitle() == (title or "")
        before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
        assert set(before) == {"test.json", "test.jsonl", "test.png"}
        quick = results(True, "It gains 3 points.")
        (text,) = quick.texts
        assert text.get_text() == (f"{title}\n(quick version)" if title else "(quick version)")
        assert not title or text.get_fontsize() == 14
        after = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
        assert set(after) - set(before) == {
            "test-quick.json", "test-quick.jsonl", "test-quick.png",
        }  # fmt: skip
        assert all(after[name] == content for name, content in before.items())
        assert json.loads(after["test-quick.json"])["finding"] == (
            "It gains 3 points (quick version)."
        )

    @pytest.mark.parametrize("name", ["digits", "spirals"])
    def test_the_first_examples(self, tmp_path, name):
        endings = {"digits": ("png", "npz"), "spirals": ("png",)}[name]
        for ending in endings:
            (tmp_path / f"{name}.{ending}").write_text("the full result")
        done = subprocess.run(
            [sys.executable, "-W", "error", ROOT / "examples" / f"{name}.py", "--quick",
             "--epochs", "1", "--out", tmp_path],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        last = done.stdout.splitlines()[-1]
        assert last.startswith("held-out accuracy: ") and last.endswith(" % (quick version)")
        for ending in endings:
            assert (tmp_path / f"{name}.{ending}").read_text() == "the full result"
            assert (tmp_path / f"{name}-quick.{ending}").stat().st_size > 10_000
        assert len(list(tmp_path.iterdir())) == 2 * len(endings)


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
