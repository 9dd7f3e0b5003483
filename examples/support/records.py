"""What an example leaves behind: a figure, a record and a finding."""

import argparse
import json
import math
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import minigrad as mg
from minigrad.kernels import kernels_in_use

if TYPE_CHECKING:  # half a second, which processes that draw nothing save
    from matplotlib.figure import Figure

QUICK = "(quick version)"  # nobody is to take one for the full result


def place(flags: argparse.Namespace, ending: str, suffix: str = "") -> Path:
    """DIR/NAME.ending, or DIR/NAME-quick.ending, which leaves the results of a full run alone."""
    return flags.out / f"{flags.name}{suffix}{'-quick' if flags.quick else ''}{ending}"


def marked(flags: argparse.Namespace, text: str) -> str:
    """A finding, which says so if it is that of a quick version."""
    if not flags.quick:
        return text
    return f"{text.rstrip('.')} {QUICK}{'.' if text.endswith('.') else ''}"


def save_figure(flags: argparse.Namespace, figure: "Figure", suffix: str = "") -> Path:
    """Write DIR/NAME.png beside its place, then move it there: a reader never sees half of it."""
    title = figure.get_suptitle()
    if flags.quick and title:
        (text,) = (t for t in figure.texts if t.get_text() == title)
        text.set_text(f"{title}\n{QUICK}")
    elif flags.quick:
        figure.suptitle(QUICK)
    for text in figure.texts:  # a finding may come out longer than whoever wrote its title had seen
        wide = text.get_window_extent().width
        if wide > figure.bbox.width:
            text.set_fontsize(float(text.get_fontsize()) * 0.95 * figure.bbox.width / wide)
    path = place(flags, ".png", suffix)
    _replace(path, lambda temporary: figure.savefig(temporary, dpi=110))
    return path


def finish(
    flags: argparse.Namespace, figure: "Figure", finding: str, suffix: str = "", **content: Any
) -> None:
    """Save DIR/NAME.png and DIR/NAME.json, and print the finding as the last line.

    ``content`` is what the record holds besides: ``settings`` and ``results``, numbers per seed.
    """
    finding = marked(flags, finding)
    picture = save_figure(flags, figure, suffix)
    record = save_record(flags, finding, suffix, **content)
    print(f"wrote {picture} and {record}")
    print(finding)


def save_record(flags: argparse.Namespace, finding: str, suffix: str = "", **content: Any) -> Path:
    """Write DIR/NAME.json: the finding, flags, versions and ``content``; return its path."""
    record = {
        "script": flags.name,
        "finding": finding,
        # without the folders: everybody has others
        "flags": {k: v for k, v in vars(flags).items() if k not in ("data", "out", "repeats")},
        **content,
        "versions": {
            "minigrad": mg.__version__,
            "kernels": kernels_in_use(),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    lines = (
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False, allow_nan=False)}"
        for key, value in plain(record, finite=True).items()
    )
    path, text = place(flags, ".json", suffix), "{\n" + ",\n".join(lines) + "\n}\n"
    _replace(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def plain(value: Any, finite: bool = False) -> Any:
    """Arrays and numpy's numbers as lists and numbers, inside lists and dicts too.

    With ``finite``, NaN and infinities become None: JSON proper does not have them.
    """
    if isinstance(value, dict):
        return {str(key): plain(item, finite) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic | mg.Tensor):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item, finite) for item in value]
    return None if finite and isinstance(value, float) and not math.isfinite(value) else value
