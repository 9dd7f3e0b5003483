"""Several processes that train one network: who they are, and what they tell each other.

    mpiexec -n 2 python train.py

starts the same program twice, as two processes, the ranks 0 and 1; `init_process_group()` makes
them know of each other. There is no engine here: mpi4py's collective operations on the arrays do
the work. Built on them are `nn.parallel.DistributedDataParallel`, `nn.SyncBatchNorm` and
`data.DistributedSampler`. The names are PyTorch's.

All ranks must call the same collective operations in the same order, or MPI waits for ever. So
each is announced first: if a rank is about to do something else, or has ended, all of them raise an
error that says which rank does what. And an error that nobody catches ends all ranks, not just its
own.
"""

from __future__ import annotations

import atexit
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.changes import note_change
from minigrad.checks import one_of
from minigrad.modes import is_grad_enabled
from minigrad.tape import Array
from minigrad.tensor import Tensor, wrap

__all__ = [
    "ReduceOp", "all_gather", "all_reduce", "barrier", "broadcast", "destroy_process_group",
    "get_backend", "get_rank", "get_world_size", "init_process_group", "is_available",
    "is_initialized",
]  # fmt: skip

WAY_OUT = (
    "mpi4py is not installed, or finds no MPI: pip install mpi4py mpich, and start the program "
    "with mpiexec -n 2 python …"
)
LINE = 200  # characters of an announcement


class ReduceOp:
    """How `all_reduce` puts the ranks' numbers together."""

    SUM, AVG, PRODUCT, MIN, MAX = "SUM", "AVG", "PRODUCT", "MIN", "MAX"


class Group:
    """The ranks, while they know of each other."""

    def __init__(self, mpi: Any) -> None:
        self.mpi = mpi
        self.comm = mpi.COMM_WORLD.Dup()  # ours alone: nothing of the user's can get in between
        self.rank: int = self.comm.Get_rank()
        self.size: int = self.comm.Get_size()
        self.calls = 0
        self.waited = 0.0  # seconds in MPI: for the other ranks, and for what they send

    def announce(self, what: str) -> None:
        """Tell the others what comes next, and raise on every rank if they do not all agree."""
        self.calls += 1
        if self.size == 1:
            return
        own = np.frombuffer(what.encode()[:LINE].ljust(LINE), np.uint8)
        lines = np.empty((self.size, LINE), np.uint8)
        self.wait(lambda: self.comm.Allgather(own, lines))
        if (lines == own).all():
            return
        said = [line.tobytes().decode(errors="replace").strip() for line in lines]
        others = "; ".join(f"rank {i}: {line}" for i, line in enumerate(said))
        raise RuntimeError(
            f"the ranks are not doing the same, in call {self.calls} of rank {self.rank}: {others}"
        )

    def wait(self, operation: Callable[[], Any]) -> None:
        """Run an operation of MPI that waits, and count how long it took."""
        start = time.perf_counter()
        operation()
        self.waited += time.perf_counter() - start

    def sum_(self, a: Array) -> None:
        """The sum over all ranks, in the array's place."""
        self.wait(lambda: self.comm.Allreduce(self.mpi.IN_PLACE, a, self.mpi.SUM))

    def sum_later(self, a: Array) -> Any:
        """The same, begun: the result is there once `Wait()` of what this returns has come back."""
        return self.comm.Iallreduce(self.mpi.IN_PLACE, a, self.mpi.SUM)

    def gathered(self, a: Array) -> Array:
        """The arrays of all ranks, which have one shape, as (ranks, …)."""
        out = np.empty((self.size, *a.shape), a.dtype)
        self.wait(lambda: self.comm.Allgather(np.ascontiguousarray(a), out))
        return out

    def send_from_(self, a: Array, source: int) -> None:
        """The array of the rank `source` in everybody's place."""
        self.wait(lambda: self.comm.Bcast(a, source))


_group: Group | None = None
_hook_before: Any = None


def _mpi() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter where it finds no library
        raise ImportError(f"distributed: {WAY_OUT}") from error
    return MPI


def is_available() -> bool:
    """Whether mpi4py and an MPI are installed."""
    try:
        _mpi()
    except ImportError:
        return False
    return True


def init_process_group(backend: str | None = None, **others: Any) -> None:
    """Let the ranks that mpiexec started know of each other. A program started without it is the
    only rank.

    From here on, an error that a rank does not catch is printed and ends all ranks.

    Args:
        backend: "mpi", which is the only one, or None.
        others: PyTorch's, such as `rank` and `init_method`, refused: mpiexec settles them.

    Raises:
        ImportError: mpi4py is not installed.
        RuntimeError: it was called before.
    """
    global _group, _hook_before
    if others:
        raise TypeError(
            "init_process_group: the ranks are those that mpiexec starts, as in mpiexec -n 4 "
            f"python script.py: leave {', '.join(others)} out"
        )
    one_of("init_process_group", "backend", backend, (None, "mpi"))
    if _group is not None:
        raise RuntimeError("init_process_group: the ranks know of each other already")
    _group = Group(_mpi())
    _hook_before, sys.excepthook = sys.excepthook, _end_all
    atexit.register(destroy_process_group)


def destroy_process_group() -> None:
    """End what `init_process_group` began; nothing if it did not. All ranks must come here: one
    that ends while another waits for it lets that one raise an error."""
    global _group
    if _group is None:
        return
    group, _group = _group, None
    atexit.unregister(destroy_process_group)
    sys.excepthook = _hook_before
    try:
        group.announce("ends")
    finally:
        group.comm.Free()


def _end_all(kind: Any, error: Any, trace: Any) -> None:
    """Print an error that nobody caught, and end all ranks: the others would wait for this one."""
    if _group is None or _group.size == 1:
        _hook_before(kind, error, trace)
        return
    text = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(f"rank {_group.rank} of {_group.size} ends all, because of an error:\n{text}")
    sys.stderr.flush()
    _group.comm.Abort(1)


def group_of(name: str) -> Group:
    """The group, for the op or layer `name`."""
    if _group is None:
        raise ValueError(f"{name}: call minigrad.distributed.init_process_group() first")
    return _group


def is_initialized() -> bool:
    """Whether `init_process_group` was called."""
    return _group is not None


def get_backend() -> str:
    """ "mpi"."""
    group_of("get_backend")
    return "mpi"


def get_rank() -> int:
    """The number of this process, 0 … get_world_size() - 1."""
    return group_of("get_rank").rank


def get_world_size() -> int:
    """How many processes there are."""
    return group_of("get_world_size").size


def barrier() -> None:
    """Wait until all ranks are here."""
    group_of("barrier").announce("barrier")


def _described(tensor: Any) -> str:
    return f"of {tensor.dtype} {tuple(tensor.shape)}"


def _checked(name: str, tensor: Any) -> tuple[Group, Array]:
    """The group, and the tensor's elements in row-major order for MPI to write to."""
    group = group_of(name)
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(tensor).__name__}")
    if tensor.requires_grad and is_grad_enabled():
        raise RuntimeError(
            f"{name}: no gradient passes between ranks: give it tensor.detach(), or use no_grad()"
        )
    if tensor.array.dtype.kind not in "biuf" or tensor.array.dtype == np.float16:
        raise TypeError(f"{name}: MPI has no {tensor.dtype}: convert the tensor")
    return group, np.array(tensor.array, order="C")


def _written(tensor: Tensor, values: Array) -> None:
    tensor.array[...] = values
    note_change(tensor.array)


def all_reduce(tensor: Tensor, op: str = ReduceOp.SUM) -> None:
    """Put the sum over all ranks (or AVG, PRODUCT, MIN, MAX; see `ReduceOp`) in the tensor's place.

    Raises:
        RuntimeError: ranks with tensors of other shapes or dtypes, or that do something else.
    """
    one_of("all_reduce", "op", op, ("SUM", "AVG", "PRODUCT", "MIN", "MAX"))
    group, a = _checked("all_reduce", tensor)
    if op == "AVG" and a.dtype.kind != "f":
        raise TypeError(f"all_reduce: the mean of {a.dtype} is no {a.dtype}: use SUM")
    if op in ("SUM", "PRODUCT") and a.dtype == bool:
        raise TypeError(f"all_reduce: {op} of bool: use MAX for or, MIN for and")
    group.announce(f"all_reduce {op} {_described(tensor)}")
    kind = {"AVG": "SUM", "PRODUCT": "PROD"}.get(op, op)
    if a.dtype == bool:  # MPI's MAX and MIN are of numbers
        a = a.view(np.uint8)
    group.comm.Allreduce(group.mpi.IN_PLACE, a, getattr(group.mpi, kind))
    _written(tensor, a / group.size if op == "AVG" else a.view(tensor.array.dtype))


def broadcast(tensor: Tensor, src: int = 0) -> None:
    """Put the tensor of the rank `src` in the place of everybody's."""
    group, a = _checked("broadcast", tensor)
    if type(src) is not int or not 0 <= src < group.size:
        raise ValueError(f"broadcast: src must be a rank, 0 to {group.size - 1}, got {src!r}")
    group.announce(f"broadcast from {src} {_described(tensor)}")
    group.send_from_(a, src)
    _written(tensor, a)


def all_gather(tensor_list: list[Any], tensor: Tensor) -> None:
    """Put the tensors of all ranks, which have one shape and dtype, in the list's places."""
    group, a = _checked("all_gather", tensor)
    if len(tensor_list) != group.size:
        raise ValueError(f"all_gather: a list of {len(tensor_list)} places for {group.size} ranks")
    group.announce(f"all_gather {_described(tensor)}")
    for i, row in enumerate(group.gathered(a)):
        if isinstance(tensor_list[i], Tensor):
            _written(tensor_list[i], row)
        else:
            tensor_list[i] = wrap(row)
