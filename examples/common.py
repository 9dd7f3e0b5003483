"""What the examples share: flags, data, results that survive an interruption, pictures, records."""

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure
from scipy import stats
from tqdm.auto import tqdm

import minigrad as mg
from minigrad import data
from minigrad.config import compiling
from minigrad.kernels import kernels_in_use

# Okabe and Ito's colours, which people with any colour vision can tell apart.
COLOURS = {
    "blue": "#0072B2", "orange": "#D55E00", "green": "#009E73", "pink": "#CC79A7",
    "yellow": "#E69F00", "sky": "#56B4E9", "black": "#222222", "grey": "#999999",
}  # fmt: skip
STYLE: dict[Any, Any] = {
    "axes.prop_cycle": cycler(color=list(COLOURS.values())),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlelocation": "left",
    "axes.titlesize": "large",
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "font.size": 11,
    "figure.titlesize": "x-large",
    "figure.titleweight": "bold",
}


# Flags.


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


# Data.


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


# Results: one line of JSON for each finished run, so that a run that was interrupted continues.


def run_all(
    flags: argparse.Namespace, function: Callable[..., Any], configurations: Iterable[dict]
) -> list[Any]:
    """``function(**configuration)`` for every configuration, in order, under a progress bar.

    Configurations are keyword arguments and results numbers, strings, lists, dicts or arrays
    (which come back as lists). Every result is stored under its configuration when it is known, and
    taken from there by a later run. After a change of the code, --fresh computes it again.
    """
    file = place(flags, ".jsonl")
    known = _read_results(file)
    name = function.__name__
    same = {"function": name, "kernels": kernels_in_use(), "minigrad": mg.__version__}
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


class _Bar(tqdm):  # type: ignore[misc]
    """A progress bar whose clock starts after the first step, in which kernels are compiled."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._first = ExitStack()
        self._first.enter_context(compiling())
        self._counting = True
        super().__init__(*args, **options)

    def __iter__(self) -> Iterator[Any]:
        for i, item in enumerate(super().__iter__()):
            if i == 1:
                self._started()
            yield item

    def update(self, n: float | None = 1) -> bool | None:
        self._started()
        return super().update(n)

    def _started(self) -> None:
        if self._counting:
            self._counting = False
            self._first.close()
            self.start_t = self.last_print_t = time.time()

    def close(self) -> None:
        self._first.close()
        super().close()


def progress(items: Any, name: str, unit: str = "step", **options: Any) -> Any:
    """A progress bar over items, of 80 columns; a line every five seconds where there is no
    terminal."""
    pause = 0.1 if sys.stderr.isatty() else 5.0
    options = {"ncols": 80, "mininterval": pause, "maxinterval": pause, "smoothing": 0, **options}
    return _Bar(items, desc=name, unit=unit, **options)


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


# Statistics over seeds.


class Summary(NamedTuple):
    """Mean, standard deviation over the seeds, and the mean's 95 % confidence interval."""

    mean: float
    sd: float
    low: float
    high: float
    n: int

    def __format__(self, spec: str) -> str:
        """``f"{summary:.1f}"`` is mean ± sd."""
        spread = "" if self.n < 2 else f" ± {self.sd:{spec}}"
        return f"{self.mean:{spec}}{spread}"

    def interval(self, spec: str = "+.1f") -> str:
        """The mean with its interval: ``+2.0 [+0.9, +3.1]``."""
        if self.n < 2:
            return f"{self.mean:{spec}}"
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def summarise(values: Iterable[float]) -> Summary:
    """Statistics of one number per seed; the interval is Student's t."""
    x = np.asarray(list(values), dtype=float)
    n, mean = len(x), float(x.mean())
    sd = float(x.std(ddof=1)) if n > 1 else math.nan
    reach = float(stats.t.ppf(0.975, n - 1)) * sd / math.sqrt(n) if n > 1 else math.nan
    return Summary(mean, sd, mean - reach, mean + reach, n)


# What an experiment leaves behind.


QUICK = "(quick version)"  # nobody is to take one for the full result


def place(flags: argparse.Namespace, ending: str, suffix: str = "") -> Path:
    """DIR/NAME.ending, or DIR/NAME-quick.ending, which leaves the results of a full run alone."""
    return flags.out / f"{flags.name}{suffix}{'-quick' if flags.quick else ''}{ending}"


def marked(flags: argparse.Namespace, text: str) -> str:
    """A finding, which says so if it is that of a quick version."""
    if not flags.quick:
        return text
    return f"{text.rstrip('.')} {QUICK}{'.' if text.endswith('.') else ''}"


def save_figure(flags: argparse.Namespace, figure: Figure, suffix: str = "") -> Path:
    """Write DIR/NAME.png beside its place, then move it there: a reader never sees half of it."""
    title = figure.get_suptitle()
    if flags.quick and title:
        (text,) = (t for t in figure.texts if t.get_text() == title)
        text.set_text(f"{title}\n{QUICK}")
    elif flags.quick:
        figure.suptitle(QUICK)
    path = place(flags, ".png", suffix)
    _replace(path, lambda temporary: figure.savefig(temporary, dpi=110))
    return path


def finish(
    flags: argparse.Namespace, figure: Figure, finding: str, suffix: str = "", **content: Any
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


def cosine(peak: float, done: float) -> float:
    """The learning rate when the fraction ``done`` of the training is over: from peak to 0."""
    return peak * 0.5 * (1 + math.cos(math.pi * done))
