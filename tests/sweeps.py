"""Tests of long tables: one test for a group of rows, which names every row that fails.

A test costs pytest about as much as one row of such a table takes to check.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

import minigrad


def each(
    arguments: str, rows: Iterable[Any], by: Callable[..., str], always: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As pytest.mark.parametrize, but the rows for which `by` gives the same are one test.

    Each row starts with the same random numbers, and the rows after one that fails are tried, too.
    With -m "not slow" a group is its first and its last row, unless all are wanted `always`.
    Names of several arguments are separated by a blank, and the rows are tuples then.
    """
    names = arguments.split()
    groups: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows:
        values = row if len(names) > 1 else (row,)
        groups.setdefault(by(*values), []).append(values)

    def swept(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(group: str, pytestconfig: pytest.Config, **fixtures: Any) -> None:
            chosen = groups[group]
            if not always and pytestconfig.option.markexpr == "not slow":
                chosen = chosen[:1] + chosen[1:][-1:]
            failed: list[Exception] = []
            skipped: list[BaseException] = []
            for row in chosen:
                minigrad.manual_seed(0)
                try:
                    test(**dict(zip(names, row, strict=True)), **fixtures)
                except pytest.skip.Exception as reason:
                    skipped.append(reason)
                except Exception as error:
                    error.add_note(f"{test.__name__} of {', '.join(map(str, row))}")
                    failed.append(error)
            if failed:
                tried = f"{len(failed)} of {len(chosen)} rows fail"
                raise ExceptionGroup(f"{group}: {tried}", failed)
            if len(skipped) == len(chosen):
                raise skipped[0]

        own = inspect.signature(test)
        others = [p for name, p in own.parameters.items() if name not in names]
        first = [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            for name in ("group", "pytestconfig")
        ]
        run.__signature__ = own.replace(parameters=[*first, *others])  # type: ignore[attr-defined]
        parametrized: Callable[..., None] = pytest.mark.parametrize("group", groups)(run)
        return parametrized

    return swept
