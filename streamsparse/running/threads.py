"""The threads of a run: workers that compute, BLAS that has one, readers that read ahead."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from threadpoolctl import OpenBLASController, threadpool_info, threadpool_limits

from streamsparse.errors import StoreError
from streamsparse.kernels.ranges import Each

# Looked at every so often while a block is waited for.
_POLL_SECONDS = 0.05
READER = "streamsparse reader"

Item = TypeVar("Item")
Read = TypeVar("Read")
# Raises what ends the run, if something does.
Check: TypeAlias = Callable[[], None]


def nothing_ends_it() -> None:
    """Check nothing."""


def available_threads() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas_kernels() -> str:
    """Return what multiplies here: versions of BLAS, and for which processor they were chosen."""
    found = {
        f"{library.get('internal_api')} {library.get('version')} {library.get('architecture')}"
        for library in threadpool_info()
        if library.get("user_api") == "blas"
    }
    return ", ".join(sorted(found))


class _BlasLimit:
    """BLAS at one thread while anybody needs it: the limit is process-wide, so it is counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limits: threadpool_limits | None = None

    def acquire(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                _take_control()
                self._limits = threadpool_limits(limits=1)

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._limits is not None:
                _take_control()
                self._limits.restore_original_limits()
                self._limits = None
                _take_control()


def _take_control() -> None:
    """Let this thread set the limit, whoever set it before.

    Since 3.8 threadpoolctl lets the first thread that did so decide for ever, and answers all
    others by doing nothing: BLAS would have many threads in runs that are not the first one's.
    """
    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


_blas_limit = _BlasLimit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS and LAPACK to one thread: entered once around a run, its dense stage included.

    The runner owns every thread: kernels and BLAS calls are serial, so they never compete, and the
    bits of a product do not depend on the number of threads.
    """
    _blas_limit.acquire()
    try:
        yield
    finally:
        _blas_limit.release()


@contextmanager
def worker_threads(count: int) -> Iterator[Each]:
    """Give ``each`` on ``count`` threads, BLAS held to one thread meanwhile."""
    with one_blas_thread(), ThreadPoolExecutor(count) as pool:

        def each(task: Callable[[int], None], number: int) -> None:
            if count == 1 or number == 1:
                for k in range(number):
                    task(k)
                return
            # Whoever is free takes the next: tasks differ, and so do threads on a busy machine.
            tasks = iter(range(number))

            def lane() -> None:
                for k in tasks:
                    task(k)

            futures = [pool.submit(lane) for _ in range(min(count, number))]
            wait(futures)
            for future in futures:
                future.result()

        yield each


def interruptible(each: Each, check: Check) -> Each:
    """Return ``each`` that looks before every task whether to go on."""

    def checked(task: Callable[[int], None], number: int) -> None:
        def careful(k: int) -> None:
            check()
            task(k)

        each(careful, number)

    return checked


class _Readers:
    """Threads that hold up neither the run nor the end of the process if a store hangs."""

    def __init__(self, count: int) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=READER, daemon=True) for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
            # What it read is the caller's now.
            del task

    def submit(self, load: Callable[[Item], Read], item: Item) -> Future[Read]:
        future: Future[Read] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(load(item))
                except BaseException as error:
                    future.set_exception(error)

        self._tasks.put(run)
        return future

    def close(self) -> None:
        for _ in self._threads:
            self._tasks.put(None)


def read_ahead(
    load: Callable[[Item], Read],
    items: Iterable[Item],
    *,
    ahead: int,
    check: Check = nothing_ends_it,
    deadline: float | None = None,
) -> Iterator[Read]:
    """Yield ``load(item)`` of every item in order, ``ahead`` of them loaded before their turn.

    Parameters
    ----------
    ahead : at least 0; with 0 an item is loaded when it is asked for.
    check : called while an item is waited for.
    deadline : seconds for one item, None for any time.

    Raises
    ------
    StoreError : if an item takes longer than that.
    """
    readers = _Readers(min(max(1, ahead), available_threads()))
    pending: deque[Future[Read]] = deque()
    try:
        for item in items:
            pending.append(readers.submit(load, item))
            if len(pending) > ahead:
                yield _result(pending.popleft(), check, deadline)
        while pending:
            yield _result(pending.popleft(), check, deadline)
    finally:
        for future in pending:
            future.cancel()
        readers.close()


def _result(future: Future[Read], check: Check, deadline: float | None) -> Read:
    waited = 0.0
    while not future.done():
        check()
        wait([future], timeout=_POLL_SECONDS)
        waited += _POLL_SECONDS
        if deadline is not None and waited > deadline and not future.done():
            raise StoreError(
                f"nothing was read for {deadline:g} s: the store hangs; try again, or resume, when "
                f"it answers"
            )
    return future.result()
