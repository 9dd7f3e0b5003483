"""What the examples share: their flags, the learning rate, how a picture is saved."""

import argparse
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

import minigrad as mg


def parse_flags(description: str | None, epochs: int) -> argparse.Namespace:
    """The flags of every example. ``epochs`` is the default of --epochs."""
    parser = argparse.ArgumentParser(
        description=(description or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--kernels",
        choices=["numpy", "numba"],
        default=argparse.SUPPRESS,
        help="how normalisation and its like are computed (default: what minigrad starts with)",
    )
    parser.add_argument("--epochs", type=_whole_number(1), default=epochs, help="passes over data")
    parser.add_argument("--seed", type=_whole_number(0), default=0, help="of everything random")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    flags = parser.parse_args()

    # A folder that cannot be written to is better found before the training than after it.
    try:
        flags.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=flags.out):
            pass
    except OSError as error:
        parser.error(f"argument --out: cannot write to the folder {str(flags.out)!r}: {error}")

    if "kernels" in flags:
        mg.use_kernels(flags.kernels)
    mg.manual_seed(flags.seed)
    return flags


def _whole_number(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not least <= value < 2**32:
            raise argparse.ArgumentTypeError(
                f"expected a whole number, {least} or more and below 2**32, got {text!r}"
            )
        return value

    return parse


def save_figure(figure: Figure, path: Path) -> None:
    """Write the picture beside its place, then move it there: a reader never sees half of it."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(temporary, dpi=110)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def cosine(peak: float, done: float) -> float:
    """The learning rate when the fraction ``done`` of the training is over: from peak to 0."""
    return peak * 0.5 * (1 + math.cos(math.pi * done))
