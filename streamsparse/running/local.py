"""The loop over the data on this machine: readers prefetch, workers compute, order is fixed."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from threadpoolctl import threadpool_limits

from streamsparse.accumulators.base import Accumulator, State
from streamsparse.kernels.parts import Each
from streamsparse.running.pieces import cut_pieces, prepare
from streamsparse.running.progress import Progress
from streamsparse.running.spans import MergeTree
from streamsparse.running.stream import Stream
from streamsparse.sources.base import Block, Interval, Source, SparseBlock


def available_threads() -> int:
    """Return the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
                self._limits = threadpool_limits(limits=1)

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._limits is not None:
                self._limits.restore_original_limits()
                self._limits = None


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
            lanes = min(count, number)

            def lane(first: int) -> None:
                for k in range(first, number, lanes):
                    task(k)

            futures = [pool.submit(lane, first) for first in range(lanes)]
            wait(futures)
            for future in futures:
                future.result()

        yield each


@dataclass(frozen=True, slots=True)
class Execution:
    """How this process runs a pass; nothing here changes the result.

    Attributes
    ----------
    threads : worker threads.
    zero_nonfinite : read NaN and infinities as zero.
    progress : told about every block.
    """

    threads: int
    zero_nonfinite: bool
    progress: Progress


def run_bands(
    source: Source,
    stream: Stream,
    execution: Execution,
    accumulators: Callable[[Interval], Mapping[str, Accumulator]],
    *,
    by_rows: bool,
    wanted: Callable[[Interval], bool] | None = None,
) -> Iterator[tuple[Interval, dict[str, Any]]]:
    """Stream X through fresh accumulators, band by band; yield (band, what each of them found).

    ``accumulators(band)`` makes them, by name; ``by_rows`` is the layout they want for sparse
    pieces; ``wanted(columns)`` says which blocks are worth reading, None for all.
    """
    n = source.shape[0]
    bands = source.bands(stream.band_rows, stream.block_bytes) if stream.bands > 1 else [(0, n)]
    with worker_threads(execution.threads) as each:
        for band in bands:
            made = accumulators(band)
            intervals = filter(wanted, source.cut(band, stream.block_bytes))
            blocks = _prefetched(source, stream, band, intervals, execution.zero_nonfinite, by_rows)
            states = _run_band(
                blocks, stream.span_width, list(made.values()), each, execution.progress
            )
            found = zip(made.items(), states, strict=True)
            yield band, {name: accumulator.finish(state) for (name, accumulator), state in found}


def _run_band(
    blocks: Iterator[Block],
    span_width: int,
    accumulators: Sequence[Accumulator],
    each: Each,
    progress: Progress,
) -> list[State]:
    """Return the merged states of one band.

    Blocks are read ahead by their own threads and used in column order; the states of the spans are
    merged by the fixed tree. The result depends on the data and the span width only.
    """
    trees = [MergeTree(accumulator.merge) for accumulator in accumulators]
    states = [accumulator.start() for accumulator in accumulators]
    current = 0
    for block in blocks:
        for span, piece in cut_pieces(block, span_width):
            while current < span:
                states = _close_span(accumulators, trees, states, each)
                current += 1
            for accumulator, state in zip(accumulators, states, strict=True):
                accumulator.update(state, piece, each)
        progress.advance(_nbytes(block))
        # Let go before the next block is waited for: the plan counts every block held.
        del block, piece
    _close_span(accumulators, trees, states, each, last=True)
    return [tree.result(each) for tree in trees]


def _close_span(
    accumulators: Sequence[Accumulator],
    trees: list[MergeTree],
    states: list[State],
    each: Each,
    *,
    last: bool = False,
) -> list[State]:
    """Merge the states of a finished span and return zero states for the next one."""
    fresh: list[State] = []
    for accumulator, tree, state in zip(accumulators, trees, states, strict=True):
        accumulator.close_span(state, each)
        free = tree.push(state, each)
        if last:
            continue
        if free is None:
            fresh.append(accumulator.start())
        else:
            accumulator.clear(free)
            fresh.append(free)
    return fresh


def _prefetched(
    source: Source,
    stream: Stream,
    band: Interval,
    intervals: Iterable[Interval],
    zero: bool,
    by_rows: bool,
) -> Iterator[Block]:
    """Yield the prepared blocks of a band in the order given, reading ``in_flight - 1`` ahead."""

    def load(columns: Interval) -> Block:
        return prepare(source.read(band, columns), by_rows=by_rows, zero=zero)

    ahead = stream.in_flight - 1
    if ahead == 0:
        yield from map(load, intervals)
        return
    pending: deque[Future[Block]] = deque()
    with ThreadPoolExecutor(min(ahead, available_threads())) as readers:
        try:
            for columns in intervals:
                pending.append(readers.submit(load, columns))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _nbytes(block: Block) -> int:
    rows = block.rows[1] - block.rows[0]
    columns = block.columns[1] - block.columns[0]
    if isinstance(block, SparseBlock):
        return int(block.data.nbytes + block.indices.nbytes)
    return rows * columns * int(block.data.dtype.itemsize)
