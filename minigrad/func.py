"""PyTorch's `torch.func`: a module called as a function of its parameters, and derivatives as
functions (`derivatives.py`, `jacobians.py`)."""

from __future__ import annotations

from minigrad.derivatives import grad, grad_and_value, value_and_grad, vjp
from minigrad.jacobians import hessian, jacfwd, jacrev, jvp, vmap
from minigrad.nn.utils.stateless import functional_call

__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp",
    "value_and_grad", "vjp", "vmap",
]  # fmt: skip
