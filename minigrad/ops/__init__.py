"""The operations, one file a chapter. Tensor's operators and methods are these same functions:
`methods.py`, `methods_in_place.py` and `operators.py` say under which names.

Arguments have PyTorch's names; docstrings and formulas write x for `input` and y for `other`, and
a and b for their arrays.
"""

from __future__ import annotations

from minigrad.ops import losses, norm
from minigrad.ops.methods import Methods
from minigrad.ops.methods_in_place import InPlace
from minigrad.ops.operators import Operators
from minigrad.tensor import Tensor

for _name, _op in (vars(Operators) | vars(InPlace) | vars(Methods)).items():
    if callable(_op) or isinstance(_op, property):  # __doc__, __module__, __slots__ are neither
        setattr(Tensor, _name, _op)

__all__ = ["losses", "norm"]
