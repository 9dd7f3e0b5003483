"""The benchmark: its arithmetic, its refusal of wrong results, and what a run writes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad
from bench import __main__ as program
from bench import by_hand, figure, report, torchlike
from bench.cases import BIG, BY_NAME, CASES, Case
from bench.rounds import Contender, Plan, alternate, measure, timed
from bench.rows import Row, Spread, Target, overall, spread
from bench.work import TOLERANCE, TOLERANCE_TRAINED, Timer, Work, validate
from bench.worker import Bench

PLAN = Plan(1, 3, 0.001, 1)


class Fake:
    """A contender whose times are known."""

    def __init__(self, times: Sequence[float], log: list[str], name: str = "") -> None:
        self._times, self._log, self._name = list(times), log, name

    def ask(self, request: str, *args: Any) -> Any:
        if request == "prepare":
            return {"first": 9.0, "bits": "0"}
        self._log.append(self._name)
        return self._times.pop(0)


def fakes(**times: Sequence[float]) -> tuple[dict[str, Fake], list[str]]:
    log: list[str] = []
    return {name: Fake(values, log, name) for name, values in times.items()}, log


# ---------------------------------------------------------------------------- ratios


def test_a_ratio_is_the_median_of_the_rounds_and_not_of_the_times() -> None:
    workers, _ = fakes(numba=[0.5, 9.0, 0.2], torch=[1.0, 10.0, 2.0])
    case = BY_NAME["batch_norm (64,256)"]
    row, _ = measure(case, workers, PLAN, "numba", "torch")
    ratios = row.ratios("numba", "torch")
    assert ratios == pytest.approx([0.5, 0.9, 0.1])
    assert spread(ratios) == pytest.approx((0.5, 0.3, 0.7))  # 0.5 / 2 were the medians of times
    assert row.first == {"numba": 9.0, "torch": 9.0}
    assert row.as_json()["ratios"]["numba"]["rounds"] == ratios


def test_contenders_take_turns_and_another_begins_each_round() -> None:
    workers, log = fakes(a=[1, 2, 3], b=[4, 5, 6], c=[7, 8, 9])
    assert alternate(workers, PLAN) == {"a": [1, 2, 3], "b": [4, 5, 6], "c": [7, 8, 9]}
    assert "".join(log) == "abcbcacab"


@pytest.mark.parametrize(
    ("times", "target", "base", "verdict"),
    [
        ([0.5, 0.4, 0.9], Target(0.5), "torch", "met"),
        ([0.5, 0.6, 0.9], Target(0.5), "torch", "MISSED"),
        ([0.5, 0.6, 0.9], Target(0.5), "numpy", "unknown"),
        ([0.5, 0.6, 0.9], Target(0.5), None, "unknown"),
        ([0.5, 0.6, 0.9], None, "torch", ""),
        ([0.5, 0.6, 0.9], Target(0.6, "value"), None, "met"),
        ([0.5, 0.6, 0.9], Target(0.7, "value", least=True), None, "MISSED"),
    ],
)
def test_verdicts(times: list[float], target: Any, base: Any, verdict: str) -> None:
    values = {"numba": times, "torch": [1.0] * 3, "numpy": [1.0] * 3}
    assert Row("norm", "x", values, "numba", base, target).verdict == verdict


def test_the_geometric_mean_is_taken_round_by_round() -> None:
    def row(*times: float) -> Row:
        return Row(
            "conv", "x", {"numba": list(times), "torch": [1.0] * len(times)}, "numba", "torch"
        )

    mean = overall([row(0.5, 4.0), row(2.0, 9.0)], "mean", 0.8)
    assert mean is not None
    assert mean.ratios("numba", "torch") == pytest.approx([1.0, 6.0])
    assert overall([row(0.5), Row("conv", "y", {}, "numba", "torch")], "mean", 0.8) is None


def test_a_busy_machine_gives_no_verdict() -> None:
    row = Row("norm", "x", {"numba": [1.0], "torch": [2.0]}, "numba", "torch", Target(0.9))
    assert row.verdict == "met"
    row.busy = True
    assert row.verdict == "busy" and "1 not judged (other processes" in report.summary([row])


def test_nothing_is_rounded_to_zero() -> None:
    assert report.ratio(Spread(0.0021, 0.001, 0.5)) == "0.0021 [0.001, 0.50]"


def test_the_rows_that_follow_from_others() -> None:
    large = next(case for case in CASES if case.floor is not None)
    workers, _ = fakes(numba=[4.0] * 3, torch=[8.0] * 3, limit=[3.0] * 3)
    row, floor = timed([large], workers, PLAN, "numba", "torch")
    assert row.fraction("numba") == floor.judged()[0] == 0.75 and floor.verdict == "met"
    assert "limit" not in row.values and row.limit == [3.0] * 3


def test_the_mean_and_the_worst_of_all_sweeps() -> None:
    rows = [
        Row("conv", case.name, {"numba": [1.0] * 3, "torch": [1.0] * 3}, "numba", "torch")
        for case in CASES if case.suite == "conv"
    ]  # fmt: skip
    first, second, *_ = (row for row in rows if row.name.startswith("conv2d"))
    first.values["numba"], second.values["numba"] = [9.0, 1.0, 1.0], [2.0] * 3
    mean, worst = program.of_set("conv", rows, 2)
    assert "geometric mean" in mean.name and mean.verdict == "MISSED"
    assert worst.name.strip() == f"worst: {second.name}" and worst.judged() == [2.0] * 3
    assert mean.threads == worst.threads == 2
    assert program.of_set("train", rows, 2) == []


# ---------------------------------------------------------------------------- right results only


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if prod(c.shape) <= BIG], ids=lambda c: c.name)
def test_both_paths_agree_with_the_reference(case: Case, kernels: str) -> None:
    results = torchlike.make(minigrad, case).results()
    tolerance = TOLERANCE_TRAINED if case.kind == "step" else TOLERANCE
    validate(results, by_hand.reference(case), tolerance)


def test_a_wrong_result_is_refused_and_not_timed() -> None:
    name = "batch_norm (4,3)"

    def planted(case: Case) -> Work:
        work = by_hand.make(case)

        def wrong() -> list[Any]:
            y, dx, dgamma, dbeta = work.results()
            dx = dx.copy()
            dx[1, 2] *= 1.001
            return [y, dx, dgamma, dbeta]

        return Work(work.step, wrong)

    class Local:
        def __init__(self, make: Any) -> None:
            self.bench = Bench(make)

        def ask(self, request: str, *args: Any) -> Any:
            return getattr(self.bench, request)(*args)

    workers = {"numba": Local(planted), "torch": Local(by_hand.make), "none": Local(lambda _: None)}
    row, bits = measure(BY_NAME[name], workers, PLAN, "numba", "torch")
    assert "differs from the float64 reference" in row.refused["numba"]
    assert row.verdict == "WRONG" and list(row.values) == list(bits) == ["torch"]
    with pytest.raises(RuntimeError, match="nothing is prepared"):
        workers["numba"].ask("time", 0.001)
    text = report.table([row])
    assert text.count("WRONG") >= 2 and "WRONG" in report.summary([row])


@pytest.mark.parametrize(
    "results",
    [
        [np.ones(3)],
        [np.ones(3), np.ones(2) * np.nan],
        [np.ones(3), np.array([1.0, np.inf])],
        [np.ones(3), np.ones((2, 1))],
        [np.ones(3), np.array([1.0, 1.01])],
    ],
)
def test_what_validation_refuses(results: list[Any]) -> None:
    reference = [np.ones(3), np.ones(2)]
    assert validate(reference, reference, 1e-4) == 0
    with pytest.raises(ValueError, match=r"results|shape|differs"):
        validate(results, reference, 1e-4)


def test_a_slice_is_the_time_of_one_operation() -> None:
    def step() -> None:
        time.sleep(0.003)

    assert Timer(Work(step, list)).slice(0.01) >= 0.003
    assert 3e-6 <= Timer(Work(step, list, per=1000)).slice(0.01) < 0.003
    assert Timer(Work(step, list, scale=1000.0)).slice(0.01) >= 3


def test_a_process_that_dies_says_why() -> None:
    worker = Contender("nobody", 1)
    try:
        with pytest.raises(RuntimeError, match=r"(?s)'nobody' died.*KeyError"):
            worker.ask("rates")
    finally:
        worker.close()


# ---------------------------------------------------------------------------- a run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--suite", "speed"], "invalid choice: 'speed'"),
        (["--against", "torch,jax"], "'jax' unknown; choose from torch, mygrad, autograd, numpy"),
        (["--kernels", ""], "'' unknown; choose from numba, numpy"),
        (["--threads", "0"], "expected whole numbers from 1, got '0'"),
        (["--json", "no/such/folder/x.json"], "not a file in a folder that exists"),
        (["--plot", "picture.txt"], "the ending must be .png, .svg or .pdf"),
        (["--compare", "no/such/file.json"], "is not a file written by --json (FileNotFoundError"),
        (["--compare", __file__], "is not a file written by --json (JSONDecodeError"),
    ],
)
def test_wrong_flags(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        program.main(arguments)
    assert stopped.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_nothing_to_measure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "installed", lambda name: name != "numba")
    assert program.main(["--kernels", "numba", "--suite", "engine"]) == 2
    assert "numba is not installed" in capsys.readouterr().err


@pytest.mark.slow
def test_a_quick_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "installed", lambda name: name != "mygrad")
    json_path, plot = tmp_path / "b.json", tmp_path / "b.png"
    code = program.main(
        ["--quick", "--suite", "engine", "norm", "--kernels", "numpy", "--threads", "1",
         "--against", "numpy,mygrad", "--json", str(json_path), "--plot", str(plot), "--markdown"]
    )  # fmt: skip
    text = capsys.readouterr().out
    assert code == 0
    assert "mygrad is not installed and left out" in text
    content = json.loads(json_path.read_text())
    assert set(content) == {"machine", "limits", "notes", "settings", "rows"}
    assert {"cpu", "cores", "threads", "date", "versions", "blas"} <= set(content["machine"])
    assert content["limits"]["copy_GB_per_s_1"] > 0
    quick = [c.name for c in CASES if c.suite in ("norm", "engine") and c.quick]
    assert {row["name"] for row in content["rows"]} == set(quick)
    for row in content["rows"]:
        assert row["name"] in text and f"| {row['name']} |" in text
        assert set(row["values"]) == {"numpy", "by hand"}
        assert all(len(v) == 3 and min(v) > 0 for v in row["values"].values())
        assert row["refused"] == {} and row["verdict"] in ("", "unknown")
        assert row["base"] == "by hand" and row["ratios"]["by hand"]["rounds"] == [1, 1, 1]
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.json", "b.png"]


def test_later_sweeps_add_rounds_and_a_refusal_counts_for_all() -> None:
    first = Row("norm", "a", {"numba": [1.0], "torch": [2.0]}, "numba", "torch", limit=[0.5])
    first.extend(Row("norm", "a", {"numba": [3.0], "torch": [4.0]}, "numba", "torch", limit=[0.7]))
    assert first.values == {"numba": [1, 3], "torch": [2, 4]} and first.limit == [0.5, 0.7]
    assert first.measured() == [0.5, 0.75]
    first.extend(Row("norm", "a", {"torch": [4.0]}, "numba", "torch", refused={"numba": "wrong"}))
    assert first.verdict == "WRONG" and set(first.values) == {"torch"}


def test_a_run_beside_an_earlier_one() -> None:
    rows = [
        Row("norm", name, {"numba": times, "torch": [1.0] * 4}, "numba", "torch")
        for name, times in (("same", [1.0, 2, 3, 4]), ("other", [7.0, 7, 7, 7]), ("new", [1.0] * 4))
    ]
    earlier = {("norm", "same", 0): [2.0, 3, 4, 5], ("norm", "other", 0): [1.0, 2, 3, 7]}
    text = report.compared(rows, earlier)
    same, other = (line for line in text.splitlines() if "[" in line)
    assert "same" in same and "DIFFERS" not in same
    assert "other" in other and other.endswith("DIFFERS")
    assert "1 of 2 rows agree within their spread" in text
    assert "In 2 the median of one lies among the other's rounds." in text


def test_the_figure_of_nothing_and_of_everything(tmp_path: Path) -> None:
    figure.draw([], tmp_path / "empty.png", ["nothing"])
    values = {"numba": [0.5, 0.6], "numpy": [3.0, 4.0], "torch": [1.0, 1.0]}
    rows = [
        Row("norm", case.name, values, "numba", "torch", Target(0.5), limit=[0.4, 0.4])
        for case in CASES
        if case.kind == "batch_norm"
    ]
    figure.draw(rows, tmp_path / "full.png", ["everything"])
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_numbers_are_readable() -> None:
    assert [report.value(v, "s") for v in (2.5, 0.0123, 4.5e-6)] == ["2.5 s", "12.3 ms", "4.5 us"]
    assert report.value(0.714, "fraction") == "71 %" and report.value(30.17, "MB") == "30.2 MB"


def test_where_numpy_wins_is_shown() -> None:
    values = {"numba": [2.0, 2.0], "numpy": [1.0, 1.1], "torch": [1.0, 1.0]}
    row = Row("norm", "x", values, "numba", "torch", Target(0.5))
    text = report.table([row])
    assert "numpy wins" in text and "MISSED" in text and "2.00 [2.00, 2.00]" in text
    assert "**MISSED**" in report.markdown([row], ["A machine."], [])
