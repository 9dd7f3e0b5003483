"""Every block of code in every README runs as printed, and prints what is printed there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

import minigrad

ROOT = Path(minigrad.__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "README.ko.md", *ROOT.glob("*/README.md")]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def blocks(readme: Path) -> list[tuple[str, int, str]]:
    """Language, line and text of each."""
    text = readme.read_text("utf-8")
    return [(m[1], text[: m.start()].count("\n") + 2, m[2]) for m in BLOCK.finditer(text)]


@pytest.mark.slow
@pytest.mark.parametrize("readme", READMES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_block_runs(
    readme: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, as a reader would type them into one session."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "readme"}
    calls = list(minigrad.kernels._calls)
    graphs = []
    try:
        for language, line, text in blocks(readme):
            if language == "python":
                exec(compile("\n" * (line - 1) + text, str(readme), "exec"), names)
            elif language == "pycon":
                parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
                session = parser.get_doctest(text, names, readme.name, str(readme), line)
                found: list[str] = []
                runner.run(session, out=found.append, clear_globs=False)
                names.update(session.globs)
                assert runner.failures == 0, "".join(found)
                graphs += [v.mermaid() for v in session.globs.values() if hasattr(v, "mermaid")]
            elif language == "mermaid":
                assert text.strip() in [graph.strip() for graph in graphs]
    finally:
        minigrad.kernels._choose(calls)


def test_both_languages_have_the_same_code() -> None:
    ours, theirs = (
        [(language, text) for language, _, text in blocks(ROOT / name)]
        for name in ("README.md", "README.ko.md")
    )
    assert ours and [re.sub(r"#.*", "", t) for _, t in ours] == [
        re.sub(r"#.*", "", t) for _, t in theirs
    ]


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_the_first_screen_leads_to_every_section_and_tells_the_measured_speed(name: str) -> None:
    top, *sections = re.split(r"^## (.*)$", (ROOT / name).read_text("utf-8"), flags=re.M)
    headings = sections[::2][:-1]  # but the licence
    assert len(headings) == 10
    for heading in headings:
        assert f"[{heading}](#{heading.lower().replace(' ', '-')})" in top
    assert "git clone" in top
    tables = (ROOT / "README.md").read_text("utf-8")
    networks = tables[tables.index("**Whole networks") :]
    mean = re.search(r"^\| geometric mean \| ([\d.]+) ", networks, re.M)
    assert mean and re.search(rf"(?<![\d.]){re.escape(mean[1])}(?![\d.])", top)
