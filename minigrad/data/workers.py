"""Threads that make batches ahead, while the caller uses those before."""

from __future__ import annotations

import contextvars
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

DONE = object()  # the result of a job that found its worker's samples used up


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker of a loader this is: its number, how many there are, a seed that no other has,
    and the dataset; of an IterableDataset, each worker has a shallow copy of its own."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here = threading.local()  # what a worker knows of itself


def get_worker_info() -> WorkerInfo | None:
    """In a DataLoader's worker, which one it is; elsewhere None."""
    info: WorkerInfo | None = getattr(_here, "info", None)
    return info


class Workers:
    """The threads of one pass over a loader.

    Args:
        infos: what each worker is to know of itself.
        start: called in each worker, with its number, before its first job.
        own: each job is for the worker that it names, and not for whichever is free.
        ahead: how many jobs may wait for each worker.
        timeout: how many seconds a result may take; 0 for as long as it does.
    """

    def __init__(
        self,
        infos: list[WorkerInfo],
        start: Callable[[int], Any] | None,
        own: bool,
        ahead: int,
        timeout: float,
    ) -> None:
        from concurrent.futures import ThreadPoolExecutor  # 10 ms that few need

        self._threads: set[int] = set()
        self._infos = infos
        self._start = start
        self._numbers = itertools.count()
        self._most = ahead * len(infos)
        self._timeout = timeout
        sizes = [1] * len(infos) if own else [len(infos)]
        self._pools = [
            ThreadPoolExecutor(size, "DataLoader", lambda: self._threads.add(threading.get_ident()))
            for size in sizes
        ]

    def _run(self, worker: int, job: Callable[[], Any]) -> Any:
        if get_worker_info() is None:
            number = worker if len(self._pools) > 1 else next(self._numbers)
            _here.info = self._infos[number]
            if self._start is not None:
                self._start(number)
        return job()

    def results(self, jobs: Iterator[tuple[int, Callable[[], Any]]]) -> Iterator[Any]:
        """The jobs' results in their order, made by threads in the caller's context (no_grad, …).

        A job is the number of its worker and a function; DONE is left out.
        """
        from concurrent.futures import Future

        waiting: deque[Future[Any]] = deque()
        late = False
        try:
            more = True
            while more or waiting:
                if more and len(waiting) <= self._most:
                    try:
                        worker, job = next(jobs)
                        run = contextvars.copy_context().run
                        pool = self._pools[worker % len(self._pools)]
                        waiting.append(pool.submit(run, self._run, worker, job))
                    except StopIteration:
                        more = False
                    except Exception as error:  # of the sampler: raised at its batch
                        more = False
                        waiting.append(Future())
                        waiting[-1].set_exception(error)
                    continue
                first = waiting.popleft()
                try:
                    result = first.result(self._timeout or None)
                except TimeoutError:
                    if first.done() and first.exception() is not None:  # its own
                        raise
                    late = True
                    raise RuntimeError(
                        f"DataLoader: no batch came within timeout={self._timeout} seconds"
                    ) from None
                if result is not DONE:
                    yield result
        finally:  # also when the caller leaves its loop, which closes this generator
            # An abandoned one may be collected as garbage in a worker, which cannot await itself.
            wait = threading.get_ident() not in self._threads and not late
            for pool in self._pools:
                pool.shutdown(wait, cancel_futures=True)
