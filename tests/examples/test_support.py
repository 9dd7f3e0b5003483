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

import support
from support.runs import code_of


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
            support.run_all(flags_for(tmp_path), work, configurations)
        results = support.run_all(flags_for(tmp_path), work, configurations)
        assert calls == [0, 1, 2, 2, 3]
        assert [r["square"] for r in results] == [0, 1, 4, 9]
        assert results[0]["list"] == [0, 1]
        assert math.isnan(results[1]["nan"])
        # other settings are other results
        support.run_all(flags_for(tmp_path), work, [{"number": 3, "fail": True}])
        support.run_all(flags_for(tmp_path, quick=True), work, [{"number": 3}])
        assert calls[5:] == [3, 3]

    def test_a_torn_line_is_computed_anew(self, tmp_path):
        def double(n):
            calls.append(n)
            return 2 * n

        calls: list[int] = []
        configurations = [{"n": n} for n in range(3)]
        support.run_all(flags_for(tmp_path), double, configurations)
        (file,) = tmp_path.iterdir()
        file.write_bytes(file.read_bytes()[:-9])
        assert support.run_all(flags_for(tmp_path), double, configurations) == [0, 2, 4]
        assert calls == [0, 1, 2, 2]
        assert support.run_all(flags_for(tmp_path), double, configurations) == [0, 2, 4]
        assert len(calls) == 4

    def test_a_record_is_json_proper_and_is_replaced_whole(self, tmp_path):
        flags = flags_for(tmp_path, seeds=2, data=Path("somewhere"))
        file = support.save_record(flags, "found", results={1: [math.nan, np.float64(2)]})
        record = json.loads(file.read_text("utf-8"), parse_constant=pytest.fail)
        assert record["results"] == {"1": [None, 2.0]}
        assert record["flags"] == {"name": "test", "quick": False, "seeds": 2}
        with pytest.raises(TypeError):
            support.save_record(flags, "not JSON", results=object())
        assert json.loads(file.read_text("utf-8")) == record
        assert [p.name for p in tmp_path.iterdir()] == ["test.json"]


class TestQuick:
    """A quick result says so in the file's name, the title and the finding."""

    @pytest.mark.parametrize("title", ["Who survived?", None])
    def test_it_takes_no_other_results_place(self, tmp_path, capsys, title):
        def results(quick, finding):
            flags = flags_for(tmp_path, quick=quick)
            support.run_all(flags, lambda n: n, [{"n": int(quick)}])
            figure = Figure()
            if title:
                figure.suptitle(title, fontsize=14)
            support.finish(flags, figure, finding)
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

    @pytest.mark.slow
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


SCRIPT = """
import numpy as np
RATE, TITLE = 0.1, "a title"
SIZES = {"small": 1}

def half(x):
    title = x / 2
    return title

def unused(x):
    return x

class Net:
    size = SIZES["small"]

def main():
    data = half(8)  # a comment
    title, x = "another title", 3

    def train(n):
        return np.add(n, data + RATE + Net.size)

    print(TITLE)
    return train
"""


class TestTheCodeOfResults:
    """Results are kept as long as the code that computes them stays."""

    def digest(self, folder: Path, text: str) -> str:
        file = folder / "script.py"
        file.write_text(text, encoding="utf-8")
        names: dict = {}
        exec(compile(text, str(file), "exec"), names)
        return code_of(names["main"]())

    @pytest.mark.parametrize(
        ("old", "new"),
        [("n, data", "2 * n, data"), ("x / 2", "x / 3"), ("0.1,", "0.2,"),
         ('"small": 1', '"small": 2'), ("half(8)", "half(9)"),
         ('size = SIZES["small"]', "size = 3")],
    )  # fmt: skip
    def test_what_computes_counts(self, tmp_path, old, new):
        changed = SCRIPT.replace(old, new, 1)
        assert changed != SCRIPT
        assert self.digest(tmp_path, changed) != self.digest(tmp_path, SCRIPT)

    @pytest.mark.parametrize(
        ("old", "new"),
        [("  # a comment", ""), ("another title", "that"),
         ("    return x\n", "    return x + 1\n"), ("(TITLE)", "(1)")],
    )  # fmt: skip
    def test_the_rest_does_not(self, tmp_path, old, new):
        changed = SCRIPT.replace(old, new, 1)
        assert changed != SCRIPT
        assert self.digest(tmp_path, changed) == self.digest(tmp_path, SCRIPT)


class TestStatistics:
    def test_the_interval_is_students(self):
        s = support.summarise([1.0, 2.0, 3.0, 4.0])
        assert s.mean == 2.5
        assert s.sd == pytest.approx(math.sqrt(5 / 3))
        # t with 3 degrees of freedom: 3.182
        assert s.high - s.mean == pytest.approx(3.182 * s.sd / 2, rel=1e-3)
        assert s.mean - s.low == pytest.approx(s.high - s.mean)
        assert f"{s:.1f}" == "2.5 ± 1.3"
        assert s.interval() == "+2.5 [+0.4, +4.6]"

    def test_one_seed_has_no_spread(self):
        s = support.summarise([3.0])
        assert f"{s:.1f}" == "3.0"
        assert s.interval() == "+3.0"
        assert math.isnan(s.sd)


@pytest.mark.slow
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


COUNTING = """
import sys, time
sys.path.insert(0, {examples!r})
from support import runs
seen = []
class Seen(runs._Lines):
    def write(self, text):
        seen.append(text.strip())
        super().write(text)
runs._Lines = Seen
pause = dict.fromkeys(("delay", "mininterval", "maxinterval"), 0.05)
for i in runs.progress(range(400), "counting", **pause):
    time.sleep(0.3 if i == 0 else 0.001)
print(max(int(text.split("|")[2].split("/")[0]) for text in seen if text))
"""


@pytest.mark.slow
def test_a_pipe_gets_whole_lines_and_true_counts(tmp_path):
    script = COUNTING.format(examples=str(ROOT / "examples"))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "400\n", done.stderr
    assert "\r" not in done.stderr and len(done.stderr.splitlines()) > 3
    assert max(map(len, done.stderr.splitlines())) <= 80


def test_an_interrupt_of_a_training_ends_in_one_line():
    end = pytest.raises(SystemExit, match=r"^\ninterrupted after 2 of 5 epochs: nothing is kept")
    with end, support.progress(range(5), "training", "epoch") as bar:
        for epoch in bar:
            if epoch == 2:
                raise KeyboardInterrupt


def test_a_title_that_is_wider_than_its_figure_is_set_smaller(tmp_path):
    for title, changed in (("short", False), ("a finding of many words, " * 5, True)):
        figure = Figure(figsize=(8, 3))
        text = figure.suptitle(title, fontsize=13)
        support.save_figure(flags_for(tmp_path), figure)
        assert (text.get_fontsize() < 13) == changed
        assert text.get_window_extent().width <= figure.bbox.width * 1.1  # it is saved at 110 dpi
