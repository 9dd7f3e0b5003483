"""`python -m bench`: time minigrad beside its peers and the machine's limits. See README.md."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from . import distributed, fresh, limits, report
from .cases import CASES, SETS
from .rounds import FULL, QUICK, Plan, contenders, thread_counts, timed
from .rows import Row, overall, worst
from .worker import TABLE, installed

SUITES = list(report.TITLES)
# Suites whose contenders take turns.
TURNS = ("nets", "scripts", "norm", "conv", "train", "engine", "ops", "convs", "products",
         "recurrent")  # fmt: skip
AGAINST = {"torch": "torch", "mygrad": "mygrad", "autograd": "autograd", "numpy": "by hand"}
BUSY = 0.05  # the share of the processors from which other processes spoil a run


def comma_list(choices: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = list(dict.fromkeys(filter(None, text.split(","))))
        unknown = [name for name in names if name not in choices]
        if unknown or not names:
            raise argparse.ArgumentTypeError(
                f"{', '.join(map(repr, unknown or [text]))} unknown; choose from "
                f"{', '.join(choices)}, separated by commas"
            )
        return names

    return parse


def a_file(text: str) -> Path:
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file in a folder that exists")
    return path


def a_run(text: str) -> dict[tuple[str, str, int], Any]:
    """The rows of an earlier run by suite, name and threads: what they measured, per round."""
    try:
        rows = json.loads(Path(text).read_text())["rows"]
        return {(row["suite"], row["name"], row["threads"]): row["measured"] for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{text!r} is not a file written by --json ({type(error).__name__}: {error})"
        raise argparse.ArgumentTypeError(message) from None


def a_picture(text: str) -> Path:
    path = a_file(text)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"{text!r}: the ending must be .png, .svg or .pdf")
    if importlib.util.find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("matplotlib, which draws the figure, is not installed")
    return path


def thread_numbers(text: str) -> list[int]:
    numbers = text.split(",")
    if not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise argparse.ArgumentTypeError(f"expected whole numbers from 1, got {text!r}")
    return list(dict.fromkeys(map(int, numbers)))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    add = parser.add_argument
    add("--suite", nargs="+", choices=SUITES, default=SUITES, metavar="NAME",
        help=f"what to measure: {', '.join(SUITES)} (default: all)")  # fmt: skip
    add("--quick", action="store_true", help="fewer cases, rounds and repeats: a look, no result")
    add("--kernels", type=comma_list(("numba", "numpy")), default=["numba", "numpy"],
        help="minigrad's paths to measure (default: numba,numpy)")  # fmt: skip
    add("--against", type=comma_list(list(AGAINST)), default=list(AGAINST),
        help=f"peers, of {','.join(AGAINST)}; numpy is written by hand (default: all)")  # fmt: skip
    add(
        "--threads",
        type=thread_numbers,
        default=[limits.cores()],
        metavar="N[,N]",
        help="threads for each contender, a table each (default: the processors there are)",
    )
    add("--json", type=a_file, metavar="PATH", help="write the numbers and the machine here")
    add("--plot", type=a_picture, metavar="PATH", help="write the figure here")
    add("--compare", type=a_run, metavar="PATH",
        help="tell which rows agree with those of an earlier --json file")  # fmt: skip
    add("--markdown", action="store_true", help="print the tables as Markdown, too")
    return parser.parse_args(arguments)


def plan_of(flags: argparse.Namespace) -> Plan:
    return QUICK if flags.quick else FULL


def rows_of(
    suite: str, flags: argparse.Namespace, threads: int, names: list[str], turns: Any
) -> Iterator[Row]:
    plan = plan_of(flags)
    subject = names[0]
    base = next((name for name in ("torch", "numpy", "by hand") if name in names[1:]), None)
    cases = [c for c in TABLE if c.suite == suite and (c.quick or not flags.quick)]
    if suite in TURNS:
        yield from timed(cases, turns, plan, subject, base)
    elif suite == "startup":
        yield from fresh.startup(plan, threads, names)
    elif suite == "memory":
        if sys.platform == "linux":
            yield from fresh.memory_rows(plan, threads, names, subject, base)
        else:
            print("\nmemory: only Linux tells what the suite needs")
    elif suite == "distributed":
        if distributed.available():
            yield from distributed.rows(plan)
        else:
            print('\ndistributed: several processes need MPI: pip install -e ".[distributed]"')
    elif "numba" in names:
        by_name = {case.name: case for case in CASES}
        chosen = ["batch_norm (32,16,28,28)", "conv2d (64,16,14,14)->32"]
        if not flags.quick:
            chosen += [
                "conv net (64,1,28,28)",
                "batch_norm (65536,64)",
                "batch_norm (64,64,32,32)",
                "layer_norm (4096,512)",
            ]
        rounds = plan.sweeps * plan.rounds  # here in one sweep
        yield from thread_counts([by_name[name] for name in chosen], plan._replace(rounds=rounds))


def progress(text: str) -> None:
    """A sign of life: a sweep takes a minute or two."""
    if sys.stderr.isatty():
        print(f"\r{text:70}", end="\r", file=sys.stderr)


def measured(
    flags: argparse.Namespace, threads: int, names: list[str], machine: dict[str, Any],
    rates: dict[str, float], notes: list[str],
) -> list[Row]:  # fmt: skip
    """The rows of all suites with so many threads; `rates` becomes what the machine can do."""
    turning = {name: (name, threads) for name in [*names, "limit"]}
    if not set(flags.suite) & set(TURNS):
        turning = {"limit": turning["limit"]}
    sweeps = plan_of(flags).sweeps if set(flags.suite) & set(TURNS) else 1
    found: dict[str, list[Row]] = {}
    for sweep in range(1, sweeps + 1):
        with contenders(turning) as turns:
            if not rates:
                rates.update(turns["limit"].ask("rates"))
                said = [*report.described(machine, rates), *(f"Note: {n}." for n in notes)]
                print("\n".join(said), flush=True)
            for suite in dict.fromkeys(flags.suite):
                if suite not in TURNS and sweep < sweeps:
                    continue
                rows = []
                for row in rows_of(suite, flags, threads, names, turns):
                    rows.append(row)
                    progress(f"sweep {sweep} of {sweeps}, {suite}: {row.name.strip()}")
                for row, later in zip(found.setdefault(suite, rows), rows, strict=True):
                    row.threads = threads if suite in TURNS else 0
                    if row is not later:
                        row.extend(later)
                progress("")
                if not rows:
                    print(f"\n{suite}: nothing measured with these flags")
    return [row for suite, own in found.items() for row in (*own, *of_set(suite, own, threads))]


def of_set(suite: str, rows: Sequence[Row], threads: int) -> list[Row]:
    """The mean and the worst of a suite of which they are asked. From all rounds: the worst row of
    one sweep need not be that of the next."""
    if (goal := SETS.get(suite)) is None:
        return []
    kinds = {case.name: case.kind for case in TABLE if case.suite == suite}
    rows = [r for r in rows if r.name in kinds and (not goal.kinds or kinds[r.name] in goal.kinds)]
    made = overall(rows, "  geometric mean", goal.mean), worst(rows, goal.worst)
    found = [row for row in made if row is not None]
    for row in found:
        row.threads = threads
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parse(arguments)
    started = time.perf_counter()
    asked = [*flags.kernels, *(AGAINST[peer] for peer in flags.against)]
    names = [name for name in asked if installed(name)]
    notes = [f"{name} is not installed and left out" for name in asked if name not in names]
    if not set(flags.kernels) & set(names):
        print("nothing to measure: numba is not installed; try --kernels numpy", file=sys.stderr)
        return 2
    machine = limits.machine(flags.threads[0])
    others = limits.Others()
    rates: dict[str, float] = {}
    rows: list[Row] = []
    for threads in flags.threads:
        rows += measured(flags, threads, names, machine, rates, notes)
    machine["others"] = others.share()
    if machine["others"] is not None and machine["others"] > BUSY:
        notes.append(
            f"other processes took {machine['others']:.0%} of the processors: run again on an idle "
            "machine before you believe any of this"
        )
        for row in rows:
            row.busy = True
    for own in report.groups(rows, lambda row: (row.suite, row.threads)).values():
        print("\n" + report.table(own), flush=True)
    if machine["others"] is not None and machine["others"] > BUSY:
        print(f"\nNote: {notes[-1]}.")
    print("\n" + report.summary(rows))
    if flags.compare:
        print("\n" + report.compared(rows, flags.compare))
    if flags.json:
        report.write_json(flags.json, {
            "machine": machine, "limits": rates, "notes": notes,
            "settings": {"quick": flags.quick, "suites": flags.suite, "contenders": names,
                         "seconds": round(time.perf_counter() - started, 1)},
            "rows": [row.as_json() for row in rows],
        })  # fmt: skip
    if flags.plot:
        from .figure import draw

        draw(rows, flags.plot, [*report.described(machine, rates), *notes])
    if flags.markdown:
        print("\n" + report.markdown(rows, report.described(machine, rates), notes))
    return 1 if any(row.refused for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
