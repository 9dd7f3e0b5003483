"""The flags that the examples take, and the data that they name."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

import minigrad as mg
from minigrad import data

from .figures import STYLE
from .records import place


def parse_flags(description: str | None, epochs: int, quick_epochs: int) -> argparse.Namespace:
    """The flags of an example that trains one network, for ``epochs`` epochs by default."""
    parser = _parser(description)
    default = f"default: {epochs}; with --quick {quick_epochs}"
    parser.add_argument("--epochs", type=_whole_number(1), metavar="N", help=default)
    parser.add_argument("--seed", type=_whole_number(0), default=0, help="default: %(default)s")
    flags = _parse(parser)
    flags.epochs = flags.epochs or (quick_epochs if flags.quick else epochs)
    mg.manual_seed(flags.seed)
    return flags


def parse_experiment(
    description: str | None,
    seeds: int,
    quick_seeds: int = 2,
    add_flags: Callable[[argparse.ArgumentParser], Any] | None = None,
) -> argparse.Namespace:
    """The flags of an experiment; ``add_flags(parser)`` may add some.

    ``flags.seeds`` is how often each run is repeated (by default ``seeds`` times, ``quick_seeds``
    with --quick), ``flags.repeats`` the same in words.
    """
    parser = _parser(description)
    where = "folder with mnist/ and titanic.csv (default: MINIGRAD_DATA, or else downloaded)"
    parser.add_argument("--data", type=Path, metavar="PATH", help=where)
    repeats = f"repetitions of each run (default: {seeds}; with --quick {quick_seeds})"
    parser.add_argument("--seeds", type=_whole_number(1), metavar="N", help=repeats)
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    if add_flags is not None:
        add_flags(parser)
    flags = _parse(parser)
    flags.seeds = flags.seeds or (quick_seeds if flags.quick else seeds)
    flags.repeats = f"{flags.seeds} seed{'s' * (flags.seeds > 1)}"
    if flags.fresh:
        place(flags, ".jsonl").unlink(missing_ok=True)
    matplotlib.rcParams.update(STYLE)
    return flags


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(
        "--kernels",
        choices=["numpy", "numba"],
        default=argparse.SUPPRESS,
        help="how normalisation and its like are computed (default: what minigrad starts with)",
    )
    quick = "a small version, in seconds; its files are called NAME-quick"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--out", type=Path, default=Path("out"), help="default: %(default)s")
    return parser


def _parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
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
    flags.name = Path(sys.argv[0]).stem
    return flags


def _whole_number(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) < 2**32):
            raise argparse.ArgumentTypeError(
                f"expected a whole number, {least} or more and below 2**32, got {text!r}"
            )
        return int(text)

    return parse


def load_mnist(flags: argparse.Namespace) -> tuple[tuple, tuple]:
    """(images, labels) for training and for testing: (N, 1, 28, 28) in [0, 1] and (N,)."""
    return _or_exit(data.mnist, flags.data)


def load_titanic(flags: argparse.Namespace) -> tuple:
    """Class, fare and age (891, 3), with NaN for unknown ages, and who survived (891,)."""
    return _or_exit(data.titanic, flags.data)


def _or_exit(source: Callable, folder: Path | None) -> Any:
    try:
        return source(folder)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{error}\n(--data names the folder)") from None
