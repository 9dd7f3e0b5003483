"""The way of an array through BatchNorm2d: how many functions of ours it passes.

`python tests/nn/norm/test_way.py` lists them.
"""

from __future__ import annotations

import os
import sys

import numpy as np

import minigrad
from minigrad import Tensor, nn

ROOT = os.path.dirname(minigrad.__file__) + os.sep


def passed(call):
    """The functions of ours that are entered while `call` runs, and what it returns."""
    names = []

    def look(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ROOT):
            names.append(f"{code.co_filename[len(ROOT) : -3]}.{code.co_qualname}")

    sys.setprofile(look)
    try:
        result = call()
    finally:
        sys.setprofile(None)
    return names, result


def second_step():
    """Forward and backward of a second batch, when all is compiled."""
    layer, rng = nn.BatchNorm2d(4), np.random.default_rng(0)
    x, g = (Tensor(rng.standard_normal((3, 4, 5, 5)).astype("f4")) for _ in range(2))
    x.requires_grad_()
    layer(x).backward(g)
    forward, y = passed(lambda: layer(x))
    backward, _ = passed(lambda: y.backward(g))
    return forward, backward


def test_no_more_functions_than_needed():
    with minigrad.use_kernels("numba"):
        forward, backward = second_step()
    assert len(forward) <= 36, forward
    before_arithmetic = forward.index("kernels/machinery/launch.run")
    assert before_arithmetic <= 18, forward
    # Of backward, what lies between the walk's asking for gradients and its taking them.
    start = backward.index("tape.gradients_of_inputs")
    own = backward[start + 1 : backward.index("ops/norm._deliver") + 1]
    assert len(own) <= 13, own


def test_x_is_looked_at_once():
    """One check of its dtype, rank and channels, and no other before the kernel is chosen."""
    with minigrad.use_kernels("numba"):
        forward, _ = second_step()
    before = forward[: forward.index("kernels/machinery/launch.run")]
    checks = [name for name in before if "check" in name]
    assert checks == ["nn/norm/base.NormBase.check_input"]


if __name__ == "__main__":
    print(*(f"{len(names)}:\n  " + "\n  ".join(names) for names in second_step()), sep="\n")
