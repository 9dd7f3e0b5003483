"""The notebooks of examples/tour: their text runs, the answers are right, the languages agree."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("numba")

TOUR = Path(__file__).resolve().parents[2] / "examples" / "tour"
sys.path.insert(0, str(TOUR))

import build  # noqa: E402

FIRST = ("engine", "batch_norm", "digits")

# Runs the cells one after the other, as a notebook would; then it fills in the answers from the
# text and runs the cell after each exercise again, which checks it.
RUN = r"""
import contextlib, io, re, sys
from pathlib import Path
import build

file = Path(sys.argv[1])
names = {"__name__": "__main__"}
answer, answers = None, []
for cell in build.cells(file):
    if cell.kind == "markdown":
        found = re.search(r"<details>.*?```python\n(.*?)```", cell.text, re.S)
        answer = found and [found[1]]
        if answer:
            answers.append(answer)
        continue
    exec(compile("\n" * (cell.line - 1) + cell.text, str(file), "exec"), names)
    if answer and len(answer) < 3:
        answer.append(cell.text)
for solution, stub, check in answers:
    before, after = io.StringIO(), io.StringIO()
    exec(stub, names)
    with contextlib.redirect_stdout(before):
        exec(check, names)
    exec(solution, names)
    with contextlib.redirect_stdout(after):
        exec(check, names)
    print("exercise:", before.getvalue().strip(), "->", after.getvalue().strip())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", FIRST)
def test_the_text_runs_and_its_answers_are_right(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:FigureCanvasAgg", "-c", RUN,
         TOUR / f"{name}.py"],
        capture_output=True, text=True, timeout=300, check=False, cwd=TOUR,
        env={**os.environ, "MPLBACKEND": "agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    exercises = re.findall(r"^exercise: (.*) -> (.*)$", done.stdout, re.M)
    assert len(exercises) == 3
    for before, after in exercises:
        assert before == "your turn" or before.startswith("not yet: ")
        assert after == "right"


@pytest.mark.parametrize("name", FIRST)
def test_both_languages_have_the_same_code(name: str) -> None:
    ours, theirs = (build.cells(TOUR / f"{name}{ko}.py") for ko in ("", ".ko"))
    assert [c.kind for c in ours] == [c.kind for c in theirs]
    for a, b in zip(ours, theirs, strict=True):
        if a.kind == "code":
            assert a.text == b.text
        else:
            assert re.search("[가-힣]", b.text)
            blocks = [re.findall(r"```python\n.*?```", c.text, re.S) for c in (a, b)]
            assert blocks[0] == blocks[1]


@pytest.mark.parametrize("name", build.NAMES)
def test_a_notebook_is_its_text_with_outputs(name: str) -> None:
    """`python examples/tour/build.py` renews them."""
    file = TOUR / f"{name}.ipynb"
    assert file.stat().st_size < 300_000
    text = file.read_text("utf-8")
    book, expected = json.loads(text), build.notebook(TOUR / f"{name}.py")
    found = [(c["cell_type"], "".join(c["source"])) for c in book["cells"]]
    assert found == [(c["cell_type"], c["source"]) for c in expected["cells"]]
    code = [c for c in book["cells"] if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1))
    outputs = [o for c in code for o in c["outputs"]]
    assert all(o["output_type"] != "error" for o in outputs)
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == sum("".join(c["source"]).count("plt.show()") for c in code) >= 2
    # of nobody's machine
    for picture in pictures:
        del picture["data"]["image/png"]  # whose letters may look like a path
    absolute = r"(?<![\w:/.<])/(?:[\w.-]+/)+|\b[A-Z]:\\\\|ipykernel_\d"
    assert not re.search(absolute, json.dumps(book))


def test_cells_of_the_percent_format(tmp_path: Path) -> None:
    file = tmp_path / "text.py"
    file.write_text("# %% [markdown]\n# # Title\n#\n# - one\n\n# %%\nx = 1\n\n\n# %%\n\n\ny = 2\n")
    assert build.cells(file) == [
        build.Cell("markdown", "# Title\n\n- one", 2),
        build.Cell("code", "x = 1", 7),
        build.Cell("code", "y = 2", 13),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", FIRST)
def test_the_notebook_runs(name: str) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    made = json.loads(build.execute(TOUR / f"{name}.py"))
    outputs = [o["output_type"] for c in made["cells"] for o in c.get("outputs", [])]
    assert outputs.count("stream") + outputs.count("execute_result") > 3
    assert "display_data" in outputs and "error" not in outputs
