"""Results that survive an interruption, under a progress bar.

Each finished run is one line of JSON, so that an experiment that was interrupted continues.
"""

import argparse
import ast
import hashlib
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from tqdm.std import tqdm as plain_tqdm

import minigrad as mg
from minigrad.config import compiling
from minigrad.kernels import kernels_in_use

from .records import place, plain

IN_NOTEBOOK = tqdm.status_printer is not plain_tqdm.status_printer


def run_all(
    flags: argparse.Namespace, function: Callable[..., Any], configurations: Iterable[dict]
) -> list[Any]:
    """``function(**configuration)`` for every configuration, in order, under a progress bar.

    Configurations are keyword arguments and results numbers, strings, lists, dicts or arrays
    (which come back as lists). Every result is stored under its configuration and the code that
    computes it when it is known, and taken from there by a later run.
    """
    file = place(flags, ".jsonl")
    known = _read_results(file)
    name = function.__name__
    same = {
        "function": name,
        "code": code_of(function),
        "kernels": kernels_in_use(),
        "minigrad": mg.__version__,
    }
    work = [(c, json.dumps(plain({**same, **c}), sort_keys=True)) for c in configurations]
    found = sum(key in known for _, key in work)
    if found:
        tqdm.write(f"{found} of {len(work)} are in {file} (--fresh forgets them)", sys.stderr)
    try:
        for configuration, key in progress(work, name, "run"):
            if key not in known:
                result = plain(function(**configuration))
                _append_line(file, json.dumps({"key": key, "result": result}))
                known[key] = result
    except KeyboardInterrupt:
        done = sum(key in known for _, key in work)
        raise SystemExit(
            f"\ninterrupted: {done} of {len(work)} runs are kept in {file}, for the next time"
        ) from None
    return [known[key] for _, key in work]


def code_of(function: Callable[..., Any]) -> str:
    """A digest of the function's code and of all that it names in its file, and these in turn.

    Code is compared as it is parsed: comments and the layout of lines do not count. A change of
    what only draws or reports keeps the results.
    """
    file = inspect.getsourcefile(function)
    # What each scope defines: the file, and the functions and classes that this one stands in.
    scopes = [_definitions(ast.parse(Path(file).read_text("utf-8") if file else "").body)]
    *around, name = function.__qualname__.replace(".<locals>", "").split(".")
    for outer in around:
        scopes.append(_definitions(scopes[-1][outer][-1].body))  # type: ignore[attr-defined]
    innermost = len(scopes) - 1
    names = [name] if name in scopes[-1] else list(scopes[-1])  # a lambda has no name
    pending, found = [(name, innermost) for name in names], {}
    while pending:
        name, depth = pending.pop()
        depth = next((d for d in range(depth, -1, -1) if name in scopes[d]), -1)
        if depth < 0 or f"{depth} {name}" in found:
            continue
        statements = scopes[depth][name]
        found[f"{depth} {name}"] = [ast.unparse(statement) for statement in statements]
        pending += [(used, depth) for statement in statements for used in _used(statement)]
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]


def _used(statement: ast.stmt) -> set[str]:
    """The names that a statement takes from outside: a function's own variables are others."""
    names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    used = {node.id for node in names}
    if isinstance(statement, ast.FunctionDef):
        used -= {node.id for node in names if isinstance(node.ctx, ast.Store)}
        used -= {node.arg for node in ast.walk(statement) if isinstance(node, ast.arg)}
    return used


def _definitions(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """The statements that give each name its value."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names = {statement.name}
        else:
            inside = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
            names = {node.id for node in inside if isinstance(node.ctx, ast.Store)}
        for name in names:
            found.setdefault(name, []).append(statement)
    return found


class _Bar(tqdm):  # type: ignore[misc]
    """A progress bar whose clock starts after the first step, in which kernels are compiled."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._first = ExitStack()
        self._first.enter_context(compiling())
        self._counting = True
        super().__init__(*args, **options)

    def __iter__(self) -> Iterator[Any]:
        try:
            for item in self.iterable:  # tqdm's own loop would not know of the clock
                yield item
                self.update()
        finally:
            self.close()

    def update(self, n: float | None = 1) -> bool | None:
        self._started()
        return super().update(n)

    def _started(self) -> None:
        if self._counting:
            self._counting = False
            self._first.close()
            self.start_t = time.time()

    def close(self) -> None:
        self._first.close()
        super().close()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        super().__exit__(kind, error, traceback)
        if kind is KeyboardInterrupt:
            done = f"{self.n} of {self.total} {self.unit}s"
            raise SystemExit(f"\ninterrupted after {done}: nothing is kept of them") from None


class _Lines:
    """A stream that is no terminal: what would be written over the same line, as lines."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.encoding = stream.encoding
        self.flush = stream.flush

    def write(self, text: str) -> None:
        if text.strip():
            self._stream.write(f"{text.strip()}\n")


def progress(items: Any, name: str, unit: str = "step", **options: Any) -> Any:
    """A progress bar over items, of 80 columns; a line every five seconds where there is neither a
    terminal nor a notebook. In a `with` statement Ctrl-C ends the program with one line."""
    alive = sys.stderr.isatty() or IN_NOTEBOOK
    pause = 0.1 if alive else 5.0
    own: dict[str, Any] = {"ncols": 80, "mininterval": pause, "maxinterval": pause, "smoothing": 0}
    if not alive:
        own |= {"file": _Lines(sys.stderr), "delay": pause}
    return _Bar(items, desc=name, unit=unit, **own | options)


def _read_results(file: Path) -> dict[str, Any]:
    known = {}
    for line in file.read_text("utf-8").splitlines() if file.exists() else ():
        try:
            entry = json.loads(line)
            known[entry["key"]] = entry["result"]
        except (ValueError, KeyError, TypeError):
            continue  # the line at which a run was interrupted
    return known


def _append_line(file: Path, line: str) -> None:
    with open(file, "ab+") as stream:
        torn = stream.tell() > 0 and (stream.seek(-1, os.SEEK_END), stream.read())[1] != b"\n"
        stream.write((("\n" if torn else "") + line + "\n").encode())
