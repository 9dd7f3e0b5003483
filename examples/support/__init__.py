"""What the examples share: flags, runs that survive an interruption, statistics, records."""

from .figures import COLOURS
from .flags import load_mnist, load_titanic, parse_experiment, parse_flags
from .records import finish, marked, place, save_figure, save_record
from .runs import progress, run_all
from .statistics import Summary, summarise
from .training import cosine, test_error

__all__ = [
    "COLOURS",
    "Summary",
    "cosine",
    "finish",
    "load_mnist",
    "load_titanic",
    "marked",
    "parse_experiment",
    "parse_flags",
    "place",
    "progress",
    "run_all",
    "save_figure",
    "save_record",
    "summarise",
    "test_error",
]
