"""What an op's source says: its sentence, its formula and derivation, and the text itself."""

from __future__ import annotations

import ast
import functools
import io
import keyword
import linecache
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import numpy as np

PACKAGE = Path(__file__).resolve().parents[1]

# Three blanks or more, unless they set off a label before or an equation's number after them.
APART = re.compile(r"(?<![: ]) {3,}(?=\S)(?!\([A-Z]+ \d+\))")

Span = tuple[str, str]  # a kind ("comment", "string", "word" or "") and a text


class Function(NamedTuple):
    """A function as it stands in its file."""

    name: str
    first: int  # the number of its first line
    lines: tuple[tuple[Span, ...], ...]
    backward: tuple[tuple[int, int], ...]  # from which to which line the maps of gradients stand


class Source(NamedTuple):
    """An op as it stands in its file."""

    file: str  # from the package's folder on; the bare name of a user's file
    sentence: str  # the first paragraph of the docstring
    formula: tuple[str, ...]  # what its comments say
    functions: tuple[Function, ...]  # the op, and its helpers that the vjp comes from
    chapter: str  # the docstring of the file


QUIET = np.errstate.__call__.__code__.co_filename  # numpy's wrapper around a silent map


def source_of(name: str, codes: Sequence[CodeType]) -> Source | None:
    """The source of the op `name`, whose maps of gradients have these codes; None if unknown."""
    codes = [c for c in codes if c.co_filename != QUIET]
    file, line = (codes[0].co_filename, codes[0].co_firstlineno) if codes else _defined(name)
    linecache.checkcache(file)
    chapter = _chapter("".join(linecache.getlines(file)))
    if chapter is None:
        return None
    inner = {c.co_firstlineno for c in codes if c.co_filename == file}
    around = (chapter.around(n) for n in sorted(inner or {line}))
    functions = [f for f in dict.fromkeys([chapter.named(name), *around]) if f]
    if not functions:
        return None
    sentences = (" ".join(d.partition("\n\n")[0].split()) for d in map(_doc, functions))
    return Source(
        _short(file),
        next(filter(None, sentences), ""),
        tuple(dict.fromkeys(piece for f in functions for piece in chapter.formula(f))),
        tuple(chapter.function(f, inner) for f in functions),
        chapter.doc,
    )


def _defined(name: str) -> tuple[str, int]:
    """Where our own op `name` is defined, for vjps without a Python function of their own."""
    for module_name, module in list(sys.modules.items()):
        function = getattr(module, name, None) if module_name.startswith("minigrad.ops.") else None
        code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
        if code is not None and function.__module__ == module_name:
            return code.co_filename, code.co_firstlineno
    return "", 0


def _short(file: str) -> str:
    path = Path(file).resolve()
    return path.relative_to(PACKAGE.parent).as_posix() if PACKAGE in path.parents else path.name


def _doc(f: ast.FunctionDef) -> str:
    return ast.get_docstring(f) or ""


class _Chapter:
    """A parsed file."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        tree = ast.parse(text)
        self.doc = ast.get_docstring(tree) or ""
        self.functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
        self._all = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        self._spans = dict(_highlighted(text))

    def named(self, op: str) -> ast.FunctionDef | None:
        """The function of an op; that of batch_norm_relu is batch_norm."""
        while op and op not in self.functions:
            op = op.rpartition("_")[0]
        return self.functions.get(op)

    def around(self, line: int) -> ast.FunctionDef | None:
        """The outermost function that the line is in."""
        found = [f for f in self._all if _first_line(f) <= line <= (f.end_lineno or 0)]
        return min(found, key=lambda f: f.lineno, default=None)

    def function(self, f: ast.FunctionDef, inner: set[int]) -> Function:
        first, last = _first_line(f), f.end_lineno or f.lineno
        maps = {
            (n.lineno, n.end_lineno or n.lineno)
            for n in ast.walk(f)
            if isinstance(n, ast.Lambda | ast.FunctionDef) and n is not f and n.lineno in inner
        }
        lines = tuple(self._spans.get(i, ()) for i in range(first, last + 1))
        return Function(f.name, first, lines, tuple(sorted(maps)))

    def formula(self, f: ast.FunctionDef) -> Iterator[str]:
        """The comments above the function, at its top, and wherever they speak of a gradient."""
        first, last = _first_line(f), f.end_lineno or f.lineno
        start = first
        while start > 1 and self.lines[start - 2].startswith("#"):
            start -= 1
        top = f.body[0].end_lineno if _doc(f) else f.body[0].lineno - 1
        for begin, block in _comments(self.lines[start - 1 : last], start):
            at_top = begin < first or begin + len(block) - 1 in (top, (top or 0) + len(block))
            if at_top or any("dL/d" in text for text in block):
                yield from _pieces(block)


def _first_line(f: ast.FunctionDef) -> int:
    return min([f.lineno, *(d.lineno for d in f.decorator_list)])


def _comments(lines: Iterable[str], number: int) -> Iterator[tuple[int, list[str]]]:
    """Blocks of lines that are comments, each with the number of its first line."""
    block: list[str] = []
    for text in (*lines, ""):
        if text.lstrip().startswith("#"):
            block.append(text.strip().lstrip("#").strip())
        elif block:
            yield number - len(block), block
            block = []
        number += 1


def _pieces(block: list[str]) -> list[str]:
    """Formulas that stand side by side, each by itself; a sentence goes on over lines."""
    pieces: list[str] = []
    for text in block:
        several = [" ".join(piece.split()) for piece in APART.split(text)]
        if pieces and len(several) == 1 and " = " not in text:
            pieces[-1] += " " + several.pop()
        pieces += several
    return pieces


@functools.cache
def _chapter(text: str) -> _Chapter | None:
    try:
        return _Chapter(text)
    except (SyntaxError, tokenize.TokenError):  # not Python, or only a part of it
        return None


def _highlighted(text: str) -> Iterator[tuple[int, tuple[Span, ...]]]:
    """The lines by number, each in spans of one kind."""
    kinds = {tokenize.COMMENT: "comment", tokenize.STRING: "string"}
    marks: dict[int, list[tuple[int, int, str]]] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = kinds.get(token.type, "")
        if token.type == tokenize.NAME and keyword.iskeyword(token.string):
            kind = "word"
        for line in range(token.start[0], token.end[0] + 1) if kind else ():
            start = token.start[1] if line == token.start[0] else 0
            end = token.end[1] if line == token.end[0] else sys.maxsize
            marks.setdefault(line, []).append((start, end, kind))
    for number, content in enumerate(text.splitlines(), 1):
        spans, at = [], 0
        for start, end, kind in marks.get(number, ()):
            spans += [("", content[at:start]), (kind, content[start:end])]
            at = end
        spans.append(("", content[at:]))
        yield number, tuple(span for span in spans if span[1])
