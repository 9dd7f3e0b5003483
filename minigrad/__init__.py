"""minigrad: a small tape-based autograd engine with PyTorch's names.

To read it, start with tape.py, then tensor.py, then any file of ops/.
"""

from minigrad import autograd, data, func, kernels, nn, optim
from minigrad.config import show_config, warmup
from minigrad.kernels import get_num_threads, set_num_threads, use_kernels
from minigrad.modes import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from minigrad.ops.activations import *  # noqa: F403
from minigrad.serialization import load, save
from minigrad.tensor import (
    Tensor,
    bool_ as bool,
    complex128,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)

__version__ = "0.1.0"
