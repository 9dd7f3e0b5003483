"""Make the notebooks of this folder from their text, and run them.

    python examples/tour/build.py [NAME ...]

NAME.py, in the percent format of jupytext (`# %%` begins a cell, `# %% [markdown]` one of text),
becomes NAME.ipynb with its outputs; without names all of them do. It needs nbclient and ipykernel:
pip install -e ".[examples,notebooks]".
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
NAMES = [f"{name}{ko}" for name in ("engine", "batch_norm", "digits") for ko in ("", ".ko")]


class Cell(NamedTuple):
    """A piece of a notebook: "code" or "markdown", its text, and the number of its first line."""

    kind: str
    text: str
    line: int


def cells(file: Path) -> list[Cell]:
    """The cells of a text in the percent format."""
    found = []
    text = file.read_text("utf-8")
    marks = list(re.finditer(r"^# %%( \[markdown\])?\n", text, re.M))
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        body = text[mark.end() : following.start() if following else len(text)]
        line = text[: mark.end()].count("\n") + 1
        if mark[1]:
            found.append(Cell("markdown", re.sub(r"^# ?", "", body.strip(), flags=re.M), line))
        else:
            found.append(Cell("code", body.strip(), line + len(body) - len(body.lstrip("\n"))))
    return found


def notebook(file: Path) -> dict[str, Any]:
    """The notebook of a text, without outputs, as the JSON of format 4.5."""
    made: list[dict[str, Any]] = []
    for i, cell in enumerate(cells(file)):
        name = hashlib.sha256(f"{i} {cell.text}".encode()).hexdigest()[:8]
        made.append({"cell_type": cell.kind, "id": name, "metadata": {}, "source": cell.text})
        if cell.kind == "code":
            made[-1] |= {"execution_count": None, "outputs": []}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def execute(file: Path) -> str:
    """The notebook of a text, run in this folder from top to bottom; raises a cell's error."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.from_dict(notebook(file))
    NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(HERE)}},
        record_timing=False,
    ).execute()  # fmt: skip
    book.metadata.language_info = {"name": "python"}  # not which Python it happened to be
    for cell in book.cells:
        if cell.cell_type == "code":  # what a machine says while it compiles is not the lesson
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    # A cell is a file of its own while it runs, whose name is another each time.
    # (Only what begins a word is tried: from every letter of a picture's it would take seconds.)
    path = r"(?<![^\s\"])[^\s\"]*ipykernel_\d+[/\\]+\d+\.py"
    return re.sub(path, "this cell", nbformat.writes(book)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    for name in parser.parse_args().names or NAMES:
        if name not in NAMES:
            parser.error(f"no notebook {name!r}: there are {', '.join(NAMES)}")
        book = execute(HERE / f"{name}.py")
        target = HERE / f"{name}.ipynb"
        target.write_text(book, "utf-8")
        print(f"wrote {target.name}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
