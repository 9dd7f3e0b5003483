"""The house: who may import whom, how long files may be, and what the README says about both."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from sweeps import each

import minigrad
from minigrad import modes

ROOT = Path(minigrad.__file__).parent.parent
PACKAGE = ROOT / "minigrad"

# A room is a file or a folder of the package. It imports these rooms and no others; arrows go one
# way. A new room says here where it stands.
ROOMS = {
    "kernels": "",  # arrays in, arrays out
    "changes": "closures",
    "closures": "",
    "accelerators": "amp device",
    "amp": "checks",
    "device": "",
    "distributed": "changes checks modes tape tensor",
    "dtypes": "",
    "files": "",
    "function": "checks modes recording tape tensor",
    "hooks": "",
    "interrupts": "",
    "jit": "",
    "made_by": "tape",
    "modes": "checks",
    "names": "checks",
    "version": "",
    "hub": "",
    "views": "",
    "tables": "",
    "settings": "checks device",
    "checks": "device dtypes",
    "incoming": "checks device dtypes",
    "printing": "checks",
    "paths": "",
    "pieces": "",
    "tape": "changes closures paths pieces",
    "tensor": "changes checks dtypes hooks incoming made_by modes names printing tape views",
    "recording": "changes checks closures dtypes incoming kernels modes tape tensor views",
    "ops": "changes checks device dtypes incoming interrupts kernels modes names pieces "
    "recording tape tensor views",
    "distributions": "checks modes ops recording tensor",
    "autograd": "checks derivatives function jacobians modes ops recording tape tensor",
    "optim": "changes checks dtypes incoming interrupts kernels modes tape tensor",
    "linalg": "ops tensor",
    "multiprocessing": "names",
    "random": "ops",
    "special": "ops",
    "data": "checks distributed dtypes incoming ops tape tensor",
    "testing": "checks dtypes incoming tensor",
    "utils": "checks data hub",
    "derivatives": "changes checks kernels modes ops pieces tape tensor",
    "jacobians": "checks derivatives modes ops tape tensor",
    "func": "checks derivatives jacobians nn tensor",
    "exchange": "dtypes incoming tape tensor",
    "serialization": "checks device dtypes exchange files incoming interrupts tape tensor",
    "nn": "changes checks device distributed dtypes function hooks incoming interrupts kernels "
    "modes names ops recording tables tape tensor",
    "checkpoint": "checks interrupts ops serialization",
    "analysis": "autograd changes checks func hooks modes nn ops tape tensor",
    "config": "kernels nn ops optim",
    "visual": "changes closures files modes nn pieces recording tables tape tensor",
}
KERNEL_ROOMS = {
    "machinery": "",
    "copies": "machinery",
    "reference": "machinery",
    "compiled": "machinery reference",
    "__init__": "copies machinery reference",  # and compiled, by importlib, once it is asked for
}

# ---------------------------------------------------------------------------- imports


def module_name(file: Path) -> str:
    """minigrad/ops/shape.py is minigrad.ops.shape, minigrad/ops/__init__.py minigrad.ops."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text("utf-8"))


def imports(tree: ast.AST, late: bool = False) -> Iterator[tuple[str, int]]:
    """The modules of ours that the top level imports, or with `late` those that functions do, and
    the lines. What only type checkers see is left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):
            continue  # which imports nothing
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports are not used"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in FILES:  # minigrad.tensor.Tensor is in minigrad.tensor
                name = name.rpartition(".")[0]
            if name and not late:
                yield name, node.lineno
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if late:
                yield from imports(node)
        else:
            yield from imports(node, late)


def room_of(name: str, house: str = "minigrad") -> str:
    return name.removeprefix(house).lstrip(".").partition(".")[0] or "__init__"


@each("name", [n for n in FILES if n != "minigrad"], by=room_of, always=True)
def test_a_file_imports_what_its_room_may(name: str) -> None:
    room = room_of(name)
    for other, line in imports(tree_of(name)):
        assert room_of(other) in {room, *ROOMS[room].split()}, f"{name}:{line} imports {other}"


@each(
    "name",
    [n for n in FILES if n.startswith("minigrad.kernels")],
    by=lambda name: room_of(name, "minigrad.kernels"),
    always=True,
)
def test_kernels_in_their_rooms(name: str) -> None:
    house = "minigrad.kernels"
    room = room_of(name, house)
    for other, line in imports(tree_of(name)):
        there = room_of(other, house)
        assert there in {room, *KERNEL_ROOMS[room].split()}, f"{name}:{line} imports {other}"


def test_every_room_has_its_place_and_arrows_go_one_way() -> None:
    assert set(ROOMS) == {room_of(name) for name in FILES} - {"__init__"}
    for rooms in (ROOMS, KERNEL_ROOMS):
        TopologicalSorter({room: below.split() for room, below in rooms.items()}).prepare()


def test_no_circle_of_files() -> None:
    graph: dict[str, set[str]] = {}
    for name in FILES:
        graph[name] = {other for other, _ in imports(tree_of(name))}
        for other in list(graph[name]):  # importing a.b.c runs a/b/__init__.py, too
            package = other.rpartition(".")[0]
            while package.count(".") and not f"{name}.".startswith(f"{package}."):
                graph[name].add(package)
                package = package.rpartition(".")[0]
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_functions_import_nothing_of_ours() -> None:
    """It would hide a circle. They may import what takes long to load and few need."""
    found = [f"{name}:{line}" for name in FILES for _, line in imports(tree_of(name), True)]
    assert not found


def test_importing_loads_numpy_and_nothing_else() -> None:
    code = """
import sys
before = set(sys.modules)
import minigrad
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded - set(sys.stdlib_module_names)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.strip() == "['minigrad', 'numpy']", run.stderr


# ---------------------------------------------------------------------------- sizes


def lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines()


@each("name", FILES, by=room_of, always=True)
def test_a_file_has_at_most_400_lines_of_100_columns(name: str) -> None:
    text = lines(FILES[name])
    assert len(text) <= 400
    for number, line in enumerate(text, 1):  # a pragma for a linter may stand beyond the 100th
        assert len(re.sub(r"  # (type:|noqa).*", "", line)) <= 100, number


def test_the_tape_reads_in_one_sitting() -> None:
    assert len(lines(PACKAGE / "tape.py")) <= 200


# ---------------------------------------------------------------------------- what the README says

READING = re.split(r"^## ", (ROOT / "README.md").read_text("utf-8"), flags=re.M)
READING = next(part for part in READING if part.startswith("Reading the source"))


def test_the_engine_is_as_long_as_the_readme_says() -> None:
    paragraph = next(p for p in READING.split("\n\n") if p.startswith("The engine reads in one"))
    files = re.findall(r"`([\w/]+\.py)`", paragraph)
    said = re.search(r"([\d,]+) lines", paragraph)
    assert len(files) > 4 and said
    size = sum(len(lines(PACKAGE / file)) for file in files)
    assert abs(size - int(said[1].replace(",", ""))) <= 75, size


def test_the_readme_names_files_that_exist() -> None:
    names = re.findall(r"`([\w/]+(?:\.py|/))`", READING)
    assert len(names) > 10
    for name in names:
        assert (PACKAGE / name).exists() or (ROOT / name).exists(), name


def test_the_readme_explains_every_folder_in_a_line() -> None:
    """Its listing is indented by two spaces a floor: `  ops/      one file a chapter`."""
    listing = re.search(r"```\n(minigrad/.*?)```", READING, re.S)
    assert listing
    folders, above = [], []
    for line in listing[1].splitlines():
        match = re.fullmatch(r"( *)(\w+)/ +(\S.*)", line)
        assert match, f"no folder with an explanation: {line!r}"
        above = [*above[: len(match[1]) // 2], match[2]]
        folders.append("/".join(above))
    parents = {file.parent.relative_to(ROOT) for file in ROOT.glob("[a-z]*/**/*.py")}
    theirs = {p.as_posix() for p in parents if p.parts[0] == "minigrad" or len(p.parts) == 1}
    assert sorted(folders) == sorted(theirs)


# ---------------------------------------------------------------------------- state


def test_modes_names_all_of_the_ambient_state() -> None:
    """Its docstring lists its own variables, and the other files that have a ContextVar or change
    a global variable."""
    found, context_vars = set(), 0
    for name in FILES:
        for node in ast.walk(tree_of(name)):
            own = ""
            if isinstance(node, ast.AnnAssign | ast.Assign) and "ContextVar(" in ast.unparse(node):
                own, context_vars = ast.unparse(node).partition(":")[0], context_vars + 1
            elif not isinstance(node, ast.Global):
                continue
            if name != "minigrad.modes":
                found.add(name.removeprefix("minigrad."))
            elif own:
                found.add(own)
    doc = modes.__doc__ or ""
    assert found == set(re.findall(r"^    (\S+)", doc, re.M))
    assert context_vars == 5 and "There are\nfive." in doc
