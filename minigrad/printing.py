"""How tensors are printed: by numpy, with PyTorch's options."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.checks import integer, one_of

# PyTorch's profiles. For what is not set, numpy's print options hold; where they are numpy's own 8
# digits, 4.
PROFILES: dict[str, dict[str, Any]] = {
    "default": {},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": np.inf, "edgeitems": 3, "linewidth": 80},
}
DIGITS, NUMPYS_DIGITS = 4, 8
_options: dict[str, Any] = {}


def set_printoptions(
    precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
    linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None,
) -> None:  # fmt: skip
    """Set how tensors are printed.

    Args:
        precision: digits after the point, at most.
        threshold: with more elements than this, the middle is left out.
        edgeitems: how many elements are then printed at each end of an axis.
        linewidth: columns of a line.
        profile: "default", "short" or "full": forget what was set before and begin with these.
            Where nothing is set, as by default, `np.printoptions` hold.
        sci_mode: print numbers as 1.5e+00, always (True) or never (False); None leaves it to their
            size, as before.

    Raises:
        ValueError: an unknown profile, or a number below 0; nothing is changed.
        TypeError: something that is no number.
    """
    global _options
    options: dict[str, Any] = {} if profile is not None else dict(_options)
    if profile is not None:
        one_of("set_printoptions", "profile", profile, tuple(PROFILES))
        options |= PROFILES[profile]
    given = {"precision": precision, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, value in (given | {"threshold": threshold}).items():
        if value is not None:
            endless = name == "threshold" and value == np.inf
            options[name] = value if endless else integer("set_printoptions", name, value, 0)
    options["sci_mode"] = sci_mode
    _options = options


def text_of(array: Any, prefix: str) -> str:
    """The numbers of an array, whose first line comes after `prefix`."""
    numpys = np.get_printoptions()
    precision = numpys["precision"] if numpys["precision"] != NUMPYS_DIGITS else DIGITS
    options: dict[str, Any] = {"precision": precision} | _options
    sci_mode = options.pop("sci_mode", None)
    with np.printoptions(suppress=numpys["suppress"] if sci_mode is None else not sci_mode):
        if sci_mode and array.dtype.kind == "f":
            options["formatter"] = {"float_kind": f"{{:.{options['precision']}e}}".format}
        width = options.pop("linewidth", None)
        return np.array2string(
            array, separator=", ", prefix=prefix, max_line_width=width, **options
        )
