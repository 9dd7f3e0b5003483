"""Gradients as functions, and two tools built on complex numbers.

Every op's numpy formula also works on complex numbers, and makes its choices on the real part. So a
tiny imaginary part, x + ih·v, travels through a function as a derivative does: f(x + ih·v) =
f(x) + ih·f'(x)·v + O(h²). With h = 1e-20 the O(h²) is far below rounding and nothing is subtracted:
the derivative along v is exact to rounding, with no step size to tune (Squire & Trapp 1998).

    gradcheck   compares that derivative with the vjp, for random directions and cotangents
    hvp         sends x + ih·v through forward *and* backward: the imaginary part of the gradient is
                the Hessian times v
"""

import sys

from minigrad import function
from minigrad.autograd import functional
from minigrad.autograd.checking import gradcheck
from minigrad.autograd.functional import hvp
from minigrad.autograd.gradients import backward, grad
from minigrad.function import Function
from minigrad.modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)
from minigrad.ops.types import Variable
from minigrad.recording import record

__all__ = [
    "Function", "Variable", "backward", "detect_anomaly", "enable_grad", "functional", "grad",
    "gradcheck", "hvp", "inference_mode", "no_grad", "record", "set_detect_anomaly",
    "set_grad_enabled",
]  # fmt: skip

sys.modules[f"{__name__}.function"] = function  # PyTorch has Function in a module of its own
