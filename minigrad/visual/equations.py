"""The numbered equations of a chapter, read from its docstring and computed as they stand there.

A line such as `var = Σ (x_i - mean)² / m    biased, as in Algorithm 1    (BN 2)` is a number, a
remark, and one or more formulas with a name on the left. Each formula is turned into Python (`·` is
a product, `²` a power, `Σ` a sum up to the next + or -) and evaluated with the values of the names
found so far. So the page needs no copy of them, and shows what is written, not what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

NUMBER = re.compile(r"^(.*?)\s*\(([A-Z]+) (\d+)\)$")
CITED = re.compile(r"\(([A-Z]+) (\d+)\)(?: to \(\1 (\d+)\))?")
FORMULA = re.compile(r"^([A-Za-zΣ_]\w*) = (.+)$")
SIGNS = {"²": "**2", "³": "**3", "½": "0.5", "·": "*", "√": "_root", "_i": ""}


class Equation(NamedTuple):
    """A numbered line of a derivation."""

    number: str  # such as "BN 2"
    before: str  # the paragraph that leads to it
    formulas: list[tuple[str, list[str]]]  # a name, and the expressions that it equals
    remark: str


def equations(doc: str) -> Iterator[Equation]:
    """The numbered equations of a docstring, in order."""
    text: list[str] = []
    for line in doc.splitlines():
        match = NUMBER.match(line.strip())
        if not match:
            text.append(line.strip())
            continue
        body, family, number = match.groups()
        if body.startswith("= "):  # it began in the line before
            body = f"{text.pop()} {body}"
        formulas, remarks = [], []
        for piece in re.split(r" {2,}", body):
            if formula := FORMULA.match(piece.strip(" ,")):
                formulas.append((formula[1], formula[2].split(" = ")))
            elif formulas:
                remarks.append(piece)
            elif piece.strip() not in ("forward", "backward"):
                text.append(piece)
        before = "\n".join(text).strip().rpartition("\n\n")[2]
        yield Equation(f"{family} {number}", before, formulas, " ".join(remarks))
        text = []


def cited(text: str) -> set[str]:
    """The numbers that a text names: "(BN 1) to (BN 3)" names three."""
    found = set()
    for family, first, last in CITED.findall(text):
        found |= {f"{family} {i}" for i in range(int(first), int(last or first) + 1)}
    return found


def evaluate(expression: str, names: Mapping[str, Any]) -> Any:
    """The value of an expression for arrays (N, C, S) and (1, C, 1); Σ sums over N and S.

    Raises:
        ValueError: the expression is not of the simple kind that this understands.
    """
    code = expression
    while (at := code.rfind("Σ")) >= 0:  # the last one has no other inside
        end = _end_of_term(code, at + 1)
        code = f"{code[:at]}_sum({code[at + 1 : end].strip()}){code[end:]}"
    for sign, meaning in SIGNS.items():
        code = code.replace(sign, meaning)
    known = {**names, "_root": np.sqrt, "_sum": lambda a: a.sum((0, 2), keepdims=True)}
    try:
        with np.errstate(all="ignore"):
            return eval(code, {"__builtins__": {}}, known)
    except (SyntaxError, NameError, TypeError, AttributeError) as error:
        raise ValueError(f"cannot compute {expression!r} ({error})") from None


def _end_of_term(text: str, start: int) -> int:
    """Where a sum that begins at `start` ends: at a + or - outside parentheses, or a ")"."""
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth < 0 or (depth == 0 and text[i : i + 3] in (" + ", " - ")):
            return i
    return len(text)
