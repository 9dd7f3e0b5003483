"""examples/explore.py writes two pages that say what they promise."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_two_pages_and_a_line_worth_reading(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples/explore.py", "--out", tmp_path / "new"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    pages = sorted((tmp_path / "new").iterdir())
    assert [p.name for p in pages] == ["explore_batch_norm.html", "explore_network.html"]
    lines = run.stdout.splitlines()
    assert len(lines) == 3 and "explore_network.html: 11 steps" in lines[0]
    said = re.fullmatch(
        r"The 11 equations of batch normalisation, computed as they stand in the docstring, agree "
        r"with the kernel to (\S+) of the largest value\.", lines[2],
    )  # fmt: skip
    assert said and float(said[1]) < 1e-6
    for page in pages:
        text = page.read_text("utf-8")
        assert len(text) < 1_000_000
        data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
        assert data
        story = json.loads(data[1])
        assert story["remembered"] and story["problem"] is None
        numbers = {e["number"] for v in story["vertices"] for e in v.get("equations", ())}
        assert numbers == {f"BN {i}" for i in range(1, 12)}
        assert {v["line"]["file"] for v in story["vertices"] if v["kind"] == "op"} == {"explore.py"}
