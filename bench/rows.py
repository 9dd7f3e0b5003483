"""What was measured, the ratios of it, and whether a target is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from statistics import geometric_mean, median, quantiles
from typing import Any, NamedTuple


class Spread(NamedTuple):
    """The middle of some numbers: half of them lie between `low` and `high`."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Spread(median(values), low, high)


def round_ratios(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Round by round: what disturbs the machine for a while disturbs both."""
    return [v / b if b else inf if v else 1.0 for v, b in zip(values, base, strict=True)]


@dataclass(frozen=True)
class Target:
    """At most `bound` (at least, with `least`), of the ratio to torch or of the value itself."""

    bound: float
    of: str = "ratio"
    least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.bound if self.least else value <= self.bound


@dataclass
class Row:
    """One line of a table: for each contender a value per round.

    `subject` is the contender that the target is set for, `base` the one it is compared with.
    """

    suite: str
    name: str
    values: dict[str, list[float]]
    subject: str
    base: str | None = None
    target: Target | None = None
    unit: str = "s"
    first: dict[str, float] = field(default_factory=dict)  # seconds of each one's first call
    refused: dict[str, str] = field(default_factory=dict)  # not timed, and why
    limit: list[float] = field(default_factory=list)  # the machine's least time, per round
    threads: int = 0  # that each contender had; 0: it says so itself, or does not matter
    busy: bool = False  # others took so much of the machine that no verdict is given

    def extend(self, later: Row) -> None:
        """Take in the rounds of a later sweep; a result refused there counts for all."""
        for name, values in later.values.items():
            self.values.setdefault(name, []).extend(values)
        self.limit += later.limit
        self.refused |= later.refused
        for name in self.refused:
            self.values.pop(name, None)

    def ratios(self, contender: str, base: str | None) -> list[float] | None:
        """Per round, None where one of the two was not measured."""
        if contender not in self.values or base not in self.values:
            return None
        return round_ratios(self.values[contender], self.values[base])

    def fraction(self, contender: str) -> float | None:
        """How much of the machine's limit a contender reaches."""
        if not self.limit or contender not in self.values:
            return None
        return median(round_ratios(self.limit, self.values[contender]))

    def judged(self) -> list[float] | None:
        """What the target is about, per round."""
        if self.target is not None and self.target.of == "value":
            return self.values.get(self.subject)
        return self.ratios(self.subject, self.base)

    def measured(self) -> list[float] | None:
        """The row's result per round: what is judged, or the value where there is nothing else."""
        return self.judged() or self.values.get(self.subject)

    @property
    def verdict(self) -> str:
        """ "met", "MISSED", "WRONG" (a refused result), "unknown" (no PyTorch), "busy" (others took
        too much of the machine), "" (no target)."""
        if self.subject in self.refused:
            return "WRONG"
        if self.target is None:
            return ""
        judged = self.judged()
        if not judged or (self.target.of == "ratio" and self.base != "torch"):
            return "unknown"
        if self.busy:
            return "busy"
        return "met" if self.target.met(median(judged)) else "MISSED"

    def as_json(self) -> dict[str, Any]:
        ratios = {
            name: spread(found)._asdict() | {"rounds": found}
            for name in self.values
            if (found := self.ratios(name, self.base)) is not None
        }
        return {
            "suite": self.suite, "name": self.name, "threads": self.threads, "unit": self.unit,
            "subject": self.subject,
            "base": self.base, "target": None if self.target is None else vars(self.target),
            "verdict": self.verdict, "measured": self.measured(), "values": self.values,
            "ratios": ratios,
            "first_call": self.first, "refused": self.refused, "limit": self.limit,
            "fraction_of_limit": {n: self.fraction(n) for n in self.values if self.limit},
        }  # fmt: skip


def worst(rows: Sequence[Row], bound: float | None) -> Row | None:
    """The row with the greatest ratio, named, against what no row may pass."""
    found = {row.name: ratios for row in rows if (ratios := row.ratios(row.subject, row.base))}
    if not found or len(found) < len(rows):
        return None
    name = max(found, key=lambda n: median(found[n]))
    values = {rows[0].subject: found[name], str(rows[0].base): [1.0] * len(found[name])}
    target = None if bound is None else Target(bound)
    return Row(
        rows[0].suite,
        f"  worst: {name.strip()}",
        values,
        rows[0].subject,
        rows[0].base,
        target,
        unit="",
    )


def overall(rows: Sequence[Row], name: str, bound: float) -> Row | None:
    """The geometric mean of several rows' ratios, round by round."""
    found = [ratios for row in rows if (ratios := row.ratios(row.subject, row.base)) is not None]
    if not found or len(found) < len(rows):
        return None
    means = [geometric_mean(together) for together in zip(*found, strict=True)]
    subject, base = rows[0].subject, rows[0].base
    values = {subject: means, str(base): [1.0] * len(means)}
    return Row(rows[0].suite, name, values, subject, base, Target(bound), unit="")
