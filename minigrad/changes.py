"""Changes in place: when memory was last written to, and who else holds it.

The rule: whoever writes into memory that others may hold calls `note_change`.

A vjp closes over arrays as they were in the forward pass. If one of them is changed before backward
runs, its formula would compute from wrong numbers. So every change in place notes its time, on the
clock that also numbers the nodes, with the array that owns the memory; and backward refuses a node
that is older than a change of what its vjp closes over. (PyTorch counts versions instead, of what
each op says that it saves. Here no op has to say so.) Nodes younger than the latest change of any
array, which is the rule, are not looked at.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.closures import arrays_in

Array = np.ndarray[Any, Any]  # of any dtype; np.dtype[Any] has no `real` for pyright

tick = itertools.count(1).__next__  # the clock: numbers nodes and changes in the order they happen
last = 0  # the time of the latest change of any array
adding = threading.RLock()  # held while gradients are added: two threads may have a leaf in common
_changed_at: dict[int, int] = {}  # id of an array that owns memory -> time of its latest change


if hasattr(os, "register_at_fork"):  # a child must not find it held by a thread it does not have
    os.register_at_fork(
        before=adding.acquire, after_in_parent=adding.release, after_in_child=adding.release
    )


def owner(array: Array) -> Array:
    """The array whose memory `array` is a view of: itself if it is none, or if the memory came by
    an address alone (DLPack, ctypes), which nobody can tell from another's."""
    base: Any = array.base
    while base is not None:
        if isinstance(base, memoryview):
            base = base.obj
        elif not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)  # as_strided puts an object of its own between
        if not isinstance(base, np.ndarray):
            break  # memory of somebody else
        array, base = base, base.base
    return array


def note_change(array: Array) -> None:
    """Remember that the memory of `array` was changed in place just now."""
    global last
    array, last = owner(array), tick()
    if id(array) not in _changed_at:  # forgotten with the array, because its id will be used again
        weakref.finalize(array, _changed_at.pop, id(array), None).atexit = False
    _changed_at[id(array)] = last


def changed_since(time: int, vjp: Callable[[Any], Any]) -> bool:
    """Whether memory that this vjp closes over was changed in place after `time`."""
    return any(_changed_at.get(id(owner(a)), 0) > time for a in arrays_in(vjp))


# Who else holds an array is asked of Python's count of references to it. Each reference that the
# question itself needs is counted too; the numbers below say which those are.


def unshared(holder: dict[Any, Any], key: Any) -> bool:
    """Whether `holder[key]` is the only way to its memory, so that it may be kept without a copy.

    The holder has one reference and the call of getrefcount another; a third is somebody's who may
    write to the array, or read it later. No local name may hold the array or its base here: it
    would be counted.
    """
    if not holder[key].flags.carray or sys.getrefcount(holder[key]) > 2:
        return False
    if holder[key].base is None:
        return True
    if holder[key].nbytes < 1 << 16:
        return False  # a small view is better copied: it may keep a large array alive
    # The view's base must be held by the view alone, and the memory's owner by that base. Memory
    # that the kernels use again belongs to an object of theirs, which says so (`exclusive`).
    alone = getattr(owner(holder[key]).base, "exclusive", owner(holder[key]).base is None)
    return alone and sys.getrefcount(holder[key].base) == 2


def held_elsewhere(tensor: Any) -> bool:
    """Whether anything but this tensor has its array.

    If not (the tensor's reference and the call's are all there are), no vjp can have saved it, and
    writing to it need not be noted. A change that is noted makes backward look into the closures of
    all nodes made before it.
    """
    return tensor.array.base is not None or sys.getrefcount(tensor.array) > 2
