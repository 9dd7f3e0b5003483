"""The equations that comments cite by number: each is defined once, and leads where it says."""

from __future__ import annotations

import functools
import io
import re
import tokenize
from collections import Counter
from pathlib import Path

import minigrad

ROOT = Path(minigrad.__file__).parent
HOMES = {  # where the derivation of each chapter stands
    "BN": "ops/norm.py",
    "LN": "ops/norm.py",
    "RMS": "ops/norm.py",
    "DBN": "ops/whitening.py",
    "CONV": "ops/conv.py",
    "CE": "ops/losses.py",
    "ATT": "ops/attention.py",
    "RNN": "ops/recurrent.py",
    "LSTM": "ops/recurrent.py",
    "GRU": "ops/recurrent.py",
}
NUMBER = re.compile(r"\(([A-Z]+) (\d+)\)")
DEFINITION = re.compile(r"\S {2,}\(([A-Z]+) (\d+)\)$", re.MULTILINE)  # at the end of its line
BARE = re.compile(r"(?:^|[ ,])\(\d{1,2}\)", re.MULTILINE)


@functools.cache
def texts(path):
    """The comments and strings of a source file."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return [t.string for t in tokens if t.type in (tokenize.COMMENT, tokenize.STRING)]


def found(pattern):
    """(chapter, number, file) of each match in the package."""
    for path in sorted(ROOT.rglob("*.py")):
        for text in texts(path):
            for chapter, number in pattern.findall(text):
                yield chapter, int(number), path.relative_to(ROOT).as_posix()


def test_each_number_is_defined_once_in_its_chapter_s_file():
    defined = Counter((chapter, number) for chapter, number, _ in found(DEFINITION))
    assert set(defined.values()) == {1}
    assert {(chapter, file) for chapter, _, file in found(DEFINITION)} == set(HOMES.items())
    for chapter in HOMES:
        numbers = sorted(n for c, n in defined if c == chapter)
        assert numbers == list(range(1, len(numbers) + 1))


def test_each_number_that_is_cited_is_defined():
    defined = {(chapter, number) for chapter, number, _ in found(DEFINITION)}
    cited = list(found(NUMBER))
    assert [c for c in cited if c[:2] not in defined] == []
    outside = {file for chapter, _, file in cited if file != HOMES[chapter]}
    for backend in ("reference", "compiled"):
        for chapter in ("norm", "conv", "losses"):
            assert f"kernels/{backend}/{chapter}.py" in outside


def test_ops_and_kernels_cite_no_number_of_an_unnamed_list():
    for folder in ("ops", "kernels"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not [t for t in texts(path) if BARE.search(t)], path


def test_the_patterns_see_what_they_are_to_see():
    assert DEFINITION.findall("  y = x                 (BN 3)\n") == [("BN", "3")]
    assert not DEFINITION.findall("use (BN 5) and (BN 6):\n  then by (BN 7)\n")
    assert BARE.search("equations (3) and (4)")
    assert not BARE.search("relu'(0) = 0, x.squeeze(1)")
