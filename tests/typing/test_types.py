"""What mypy and pyright say: nothing of what is right, each mistake at its line."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cases_names import HEAD, calls

import minigrad

HERE = Path(__file__).parent
ROOT = Path(minigrad.__file__).parent.parent
READMES = [file for file in ROOT.glob("**/README.md") if "```python" in file.read_text("utf-8")]

pytestmark = pytest.mark.slow  # a cold type checker reads numpy first


def python_of(readme: Path) -> str:
    """The Python blocks of a README, at the lines where they stand."""
    lines, inside = [], False
    for line in readme.read_text("utf-8").splitlines():
        fence = line.lstrip().startswith("```")
        lines.append("" if fence or not inside else line)
        inside = line.strip() == "```python" if fence else inside
    return "\n".join(lines) + "\n"


def both_names() -> str:
    """Every function that has `dim`, called by PyTorch's and by numpy's names."""
    lines = [HEAD]
    for _, names, call in calls():
        for dim in ("dim=1", "axis=1"):
            lines.append(call.format(dim))
            if "keepdim" in names:
                lines += [call.format(f"{dim}, {keep}=True") for keep in ("keepdim", "keepdims")]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is to be checked, in one folder, since pyright reads no file outside of its project."""
    folder = tmp_path_factory.mktemp("checked")
    texts = {name: (HERE / f"{name}.py").read_text("utf-8") for name in ("mistakes", "uses")}
    texts["both_names"] = both_names()
    for readme in READMES:
        texts["_".join(("readme", *readme.parent.relative_to(ROOT).parts))] = python_of(readme)
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    return folder


def run(tool: str, *arguments: str | Path) -> str:
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed; it comes with minigrad[dev]")
    command = [sys.executable, "-m", tool, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 2: it could not run
    return done.stdout


def by_mypy(folder: Path) -> list[tuple[str, int, str]]:
    settings = folder / "mypy.ini"
    settings.write_text("[mypy]\ncheck_untyped_defs = True\nignore_missing_imports = True\n")
    output = run("mypy", "--config-file", settings, *folder.glob("*.py"))
    lines = re.findall(r"^(.+?):(\d+): error: (.*)$", output, re.M)
    return [(file, int(line), message) for file, line, message in lines]


def by_pyright(folder: Path) -> list[tuple[str, int, str]]:
    settings = folder / "pyrightconfig.json"
    settings.write_text(json.dumps({
        "extraPaths": [str(ROOT)], "pythonVersion": "3.11", "useLibraryCodeForTypes": False,
    }))  # fmt: skip
    found = json.loads(run("pyright", "--project", settings, "--outputjson"))
    assert found["summary"]["filesAnalyzed"] == len(list(folder.glob("*.py")))
    return [
        (d["file"], d["range"]["start"]["line"] + 1, d["message"])
        for d in found["generalDiagnostics"]
        if d["severity"] == "error"
    ]


@pytest.fixture(scope="module", params=[by_mypy, by_pyright])
def errors(request: pytest.FixtureRequest, folder: Path) -> dict[str, dict[int, list[str]]]:
    """The messages by file and line."""
    found: dict[str, dict[int, list[str]]] = {file.stem: {} for file in folder.glob("*.py")}
    for file, line, message in request.param(folder):
        found[Path(file).stem].setdefault(line, []).append(message)
    return found


def test_each_mistake_is_reported_at_its_line(errors: dict[str, dict[int, list[str]]]) -> None:
    lines = (HERE / "mistakes.py").read_text("utf-8").splitlines()
    marked = {i: line for i, line in enumerate(lines, 1) if line.endswith("# error")}
    assert len(marked) > 90
    assert {i: line for i, line in marked.items() if i not in errors["mistakes"]} == {}
    assert {i: found for i, found in errors["mistakes"].items() if i not in marked} == {}


def test_what_is_right_is_accepted(errors: dict[str, dict[int, list[str]]]) -> None:
    assert READMES and len(errors) == 3 + len(READMES)
    assert {name: found for name, found in errors.items() if found and name != "mistakes"} == {}
