"""The loop over the data on this machine: readers prefetch, workers compute, order is fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Protocol, TypeAlias

from streamsparse.accumulators.base import Accumulator
from streamsparse.arrays import Interval
from streamsparse.errors import RunInterrupted, StoreError
from streamsparse.kernels.ranges import Each
from streamsparse.running.checkpoint import Checkpoints, Place
from streamsparse.running.facts import Facts
from streamsparse.running.interrupts import Interrupts
from streamsparse.running.memory import return_memory_at_once
from streamsparse.running.pieces import prepare
from streamsparse.running.progress import Progress
from streamsparse.running.stream import Stream
from streamsparse.running.sums import Sums
from streamsparse.running.threads import interruptible, read_ahead, worker_threads
from streamsparse.sources.base import Block, Source, SparseBlock
from streamsparse.sources.buffers import reused_buffers
from streamsparse.sources.reading import DEADLINE_SECONDS

# Makes the accumulators of a band of rows, by name; and what they found.
MakeAccumulators: TypeAlias = Callable[[Interval], Mapping[str, Accumulator]]
Found: TypeAlias = dict[str, Any]

# A store that is slower than this does not answer.
_SLOWEST_BYTES_PER_SECOND = 1e6


class Summing(Protocol):
    """What blocks are added to; all columns before ``first_column`` are in it."""

    @property
    def first_column(self) -> int:
        """Where it goes on."""
        ...

    def add(self, block: Block, careful: Each, steady: Each) -> None:
        """Add the columns of a block that are not in it yet."""
        ...


class Workers(Protocol):
    """Other processes that may run passes for this one."""

    def run_bands(self, scan: Scan, execution: Execution) -> Iterator[tuple[Interval, Found]]:
        """Do elsewhere what :func:`run_bands` does."""
        ...


@dataclass(frozen=True, slots=True)
class Scan:
    """One pass over X.

    Attributes
    ----------
    source, stream : what is read, and how.
    accumulators : makes what is computed of a band of rows, by name.
    by_rows : the layout they want for sparse pieces.
    number : of the pass in its run.
    """

    source: Source
    stream: Stream
    accumulators: MakeAccumulators
    by_rows: bool
    number: int

    def bands(self) -> list[Interval]:
        """Return the bands of rows, in order."""
        if self.stream.bands == 1:
            return [(0, self.source.shape[0])]
        return self.source.bands(self.stream.band_rows, self.stream.block_bytes)

    def column_bytes(self, rows: Interval) -> float:
        """Return what one column of a band counts in the progress."""
        n, d = self.source.shape
        return (rows[1] - rows[0]) / n * Facts.of(self.source).used_bytes / d

    def sums(self, made: Mapping[str, Accumulator], *, remembers: bool) -> Sums:
        """Return the sums of a band, empty."""
        stream = self.stream
        spans = (0, stream.spans)
        return Sums(list(made.values()), stream.span_width, spans=spans, remembers=remembers)


@dataclass(frozen=True, slots=True)
class Execution:
    """How a pass is run; nothing here changes the result.

    Attributes
    ----------
    threads : worker threads of this process.
    zero_nonfinite : read NaN and infinities as zero.
    progress : told about every block.
    checkpoints : where unfinished sums are kept; None keeps none.
    interrupts : what may ask the pass to end.
    workers : who else may run passes; None for nobody. Those in which one column depends on the
        one before it, and those that read part of X, are run here in any case.
    scans : the numbers of the passes to come.
    columns : those that this process reads, whole units; None for all.
    """

    threads: int
    zero_nonfinite: bool
    progress: Progress
    checkpoints: Checkpoints | None = None
    interrupts: Interrupts = field(default_factory=Interrupts)
    workers: Workers | None = None
    scans: Iterator[int] = field(default_factory=count)
    columns: Interval | None = None


def run_bands(
    source: Source,
    stream: Stream,
    execution: Execution,
    accumulators: MakeAccumulators,
    *,
    by_rows: bool,
    wanted: Callable[[Interval], bool] | None = None,
) -> Iterator[tuple[Interval, Found]]:
    """Stream X through fresh accumulators, band by band; yield (band, what each of them found).

    ``accumulators(band)`` makes them, by name; ``by_rows`` is the layout they want for sparse
    pieces; ``wanted(columns)`` says which blocks are worth reading, None for all.
    """
    keeper, number = execution.checkpoints, next(execution.scans)
    scan = Scan(source, stream, accumulators, by_rows, number)
    if execution.workers is not None and wanted is None and not _is_sequential(scan):
        yield from execution.workers.run_bands(scan, execution)
        return

    return_memory_at_once()
    with worker_threads(execution.threads) as each:
        for position, rows in enumerate(scan.bands()):
            made = accumulators(rows)
            sums = scan.sums(made, remembers=keeper is not None)
            columns = filter(wanted, source.cut(rows, stream.block_bytes))
            blocks = partial(add_blocks, sums, rows, columns, scan, execution, each)
            place, column_bytes = Place(number, position), scan.column_bytes(rows)
            with execution.interrupts.deferred():
                fill(sums, blocks, place, execution, each, column_bytes)
            yield rows, sums.results(made)


def _is_sequential(scan: Scan) -> bool:
    """Return whether what is made of a column depends on those before it, whatever the span."""
    made = scan.accumulators(scan.bands()[0])
    return any(accumulator.remember() is not None for accumulator in made.values())


def fill(
    sums: Sums,
    steps: Callable[[], Iterator[int]],
    place: Place,
    execution: Execution,
    each: Each,
    column_bytes: float,
) -> None:
    """Sum all columns of a band, from where an earlier run was ended if there was one.

    ``steps()`` adds them bit by bit, and yields how many bytes it has added; ``column_bytes``: of
    one column of the band, as progress counts them.
    """
    keeper = execution.checkpoints
    if keeper is not None and (kept := keeper.find(place)) is not None:
        sums.restore(kept)
        execution.progress.skip(int(sums.first_column * column_bytes))
    if sums.is_complete:
        return
    try:
        for added_bytes in steps():
            execution.progress.advance(added_bytes)
            if keeper is not None:
                keeper.offer(place, sums)
    except (RunInterrupted, StoreError) as end:
        if keeper is not None:
            keeper.salvage(place, sums, at_least=isinstance(end, RunInterrupted))
        raise
    sums.complete(each)
    if keeper is not None:
        keeper.complete(place, sums)


def add_blocks(
    sums: Summing,
    rows: Interval,
    columns: Iterable[Interval],
    scan: Scan,
    execution: Execution,
    each: Each,
) -> Iterator[int]:
    """Read the blocks that are not in finished spans, ahead of their turn, and add them.

    Yields the bytes of each.
    """

    def load(columns: Interval) -> Block:
        block = scan.source.read(rows, columns)
        return prepare(block, by_rows=scan.by_rows, zero=execution.zero_nonfinite)

    check = execution.interrupts.check
    careful = interruptible(each, check)
    with reused_buffers():
        for block in read_ahead(
            load,
            (interval for interval in columns if interval[1] > sums.first_column),
            ahead=scan.stream.in_flight - 1,
            check=check,
            deadline=_deadline(scan.source, scan.stream),
        ):
            sums.add(block, careful, each)
            added_bytes = _nbytes(block)
            # Let go before the next block is waited for: the plan counts every block held.
            del block
            yield added_bytes


def _deadline(source: Source, stream: Stream) -> float | None:
    """Return how long a store may take for a block: what it may for an answer, and the transfer.

    What is computed when it is read, by dask, may take any time.
    """
    if not source.is_stored:
        return None
    return DEADLINE_SECONDS + stream.block_bytes / _SLOWEST_BYTES_PER_SECOND


def _nbytes(block: Block) -> int:
    rows = block.rows[1] - block.rows[0]
    columns = block.columns[1] - block.columns[0]
    if isinstance(block, SparseBlock):
        return int(block.data.nbytes + block.indices.nbytes)
    return rows * columns * int(block.data.dtype.itemsize)
