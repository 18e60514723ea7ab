"""The loop over the data on this machine: readers prefetch, workers compute, order is fixed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamsparse.accumulators.base import Accumulator, State
from streamsparse.errors import RunInterrupted, StoreError
from streamsparse.kernels.parts import Each
from streamsparse.running.checkpoint import Checkpoints, Place
from streamsparse.running.facts import Facts
from streamsparse.running.interrupts import Interrupts
from streamsparse.running.memory import return_memory_at_once
from streamsparse.running.pieces import cut_pieces, prepare
from streamsparse.running.progress import Progress
from streamsparse.running.spans import MergeTree
from streamsparse.running.stream import Stream
from streamsparse.running.threads import interruptible, read_ahead, worker_threads
from streamsparse.sources.base import Block, Interval, Source, SparseBlock
from streamsparse.sources.reading import DEADLINE_SECONDS
from streamsparse.storing.records import Portable

# A store that is slower than this does not answer.
_SLOWEST_BYTES_PER_SECOND = 1e6


@dataclass(frozen=True, slots=True)
class Execution:
    """How this process runs a pass; nothing here changes the result.

    Attributes
    ----------
    threads : worker threads.
    zero_nonfinite : read NaN and infinities as zero.
    progress : told about every block.
    checkpoints : where unfinished sums are kept; None keeps none.
    interrupts : what may ask the pass to end.
    """

    threads: int
    zero_nonfinite: bool
    progress: Progress
    checkpoints: Checkpoints | None = None
    interrupts: Interrupts = field(default_factory=Interrupts)


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
    used_bytes = Facts.of(source).used_bytes
    keeper = execution.checkpoints
    scan = 0 if keeper is None else keeper.next_scan()

    def load(band: Interval, columns: Interval) -> Block:
        block = source.read(band, columns)
        return prepare(block, by_rows=by_rows, zero=execution.zero_nonfinite)

    return_memory_at_once()
    with worker_threads(execution.threads) as each:
        for number, rows in enumerate(bands):
            made = accumulators(rows)
            sums = _Sums(list(made.values()), stream.span_width, remembers=keeper is not None)
            columns = filter(wanted, source.cut(rows, stream.block_bytes))
            with execution.interrupts.deferred():
                share = (rows[1] - rows[0]) / n * used_bytes / source.shape[1]
                band = _Band(rows, Place(scan, number), sums, share, _deadline(source, stream))
                _fill(band, columns, load, stream, execution, each)
            yield rows, sums.results(made)


@dataclass(frozen=True, slots=True)
class _Band:
    """One band of a pass: its rows, where it stands in the run, what is summed of it.

    ``column_bytes``: what one column of it counts in the progress. ``deadline``: seconds for one
    block, None for any time.
    """

    rows: Interval
    place: Place
    sums: _Sums
    column_bytes: float
    deadline: float | None


def _deadline(source: Source, stream: Stream) -> float | None:
    """Return how long a store may take for a block: what it may for an answer, and the transfer.

    What is computed when it is read, by dask, may take any time.
    """
    if not source.is_stored:
        return None
    return DEADLINE_SECONDS + stream.block_bytes / _SLOWEST_BYTES_PER_SECOND


def _fill(
    band: _Band,
    intervals: Iterable[Interval],
    load: Callable[[Interval, Interval], Block],
    stream: Stream,
    execution: Execution,
    each: Each,
) -> None:
    """Sum all columns of a band, from where an earlier run was ended if there was one."""
    sums, place, keeper = band.sums, band.place, execution.checkpoints
    if keeper is not None and (kept := keeper.find(place)) is not None:
        sums.restore(kept)
        execution.progress.advance(int(sums.first_column * band.column_bytes))
    if sums.is_complete:
        return
    check = execution.interrupts.check
    careful = interruptible(each, check)
    left = (columns for columns in intervals if columns[1] > sums.first_column)
    try:
        for block in read_ahead(
            lambda columns: load(band.rows, columns),
            left,
            ahead=stream.in_flight - 1,
            check=check,
            deadline=band.deadline,
        ):
            sums.add(block, careful, each)
            execution.progress.advance(_nbytes(block))
            # Let go before the next block is waited for: the plan counts every block held.
            del block
            if keeper is not None:
                keeper.offer(place, sums)
    except (RunInterrupted, StoreError) as end:
        if keeper is not None:
            keeper.salvage(place, sums, at_least=isinstance(end, RunInterrupted))
        raise
    sums.complete(each)
    if keeper is not None:
        keeper.complete(place, sums)


class _Sums:
    """What is summed of one band: the merged states of all finished spans, and of the one in hand.

    Blocks come in column order; the states of the spans are merged by the fixed tree. The result
    depends on the data and the span width only.

    Parameters
    ----------
    remembers : keep a copy of what accumulators remember, as it was when the last span ended.
    """

    def __init__(
        self, accumulators: Sequence[Accumulator], span_width: int, *, remembers: bool
    ) -> None:
        self._accumulators, self._width, self._remembers = accumulators, span_width, remembers
        self._trees = [MergeTree(accumulator.merge) for accumulator in accumulators]
        self._states = [accumulator.start() for accumulator in accumulators]
        self._memories = self._remember()
        self.span = 0
        self.is_complete = False

    @property
    def first_column(self) -> int:
        """Of the span in hand: all before are in finished spans."""
        return self.span * self._width

    def add(self, block: Block, careful: Each, steady: Each) -> None:
        """Add the columns of a block that are not in finished spans.

        ``careful`` may raise at any time: only the span in hand is lost then. ``steady`` does not.
        """
        for span, piece in cut_pieces(block, self._width):
            if span < self.span:
                continue
            while self.span < span:
                self._close(steady, last=False)
                self.span += 1
            for accumulator, state in zip(self._accumulators, self._states, strict=True):
                accumulator.update(state, piece, careful)

    def _close(self, each: Each, *, last: bool) -> None:
        """Merge the states of the span in hand, and put zero states in their place."""
        fresh: list[State] = []
        for accumulator, tree, state in zip(
            self._accumulators, self._trees, self._states, strict=True
        ):
            accumulator.close_span(state, each)
            free = tree.push(state, each)
            if last:
                continue
            if free is None:
                fresh.append(accumulator.start())
            else:
                accumulator.clear(free)
                fresh.append(free)
        self._states = fresh
        self._memories = self._remember()

    def complete(self, each: Each) -> None:
        """Close the last span, and merge everything."""
        self._close(each, last=True)
        self._states = [tree.result(each) for tree in self._trees]
        self._trees = []
        # Merging may have taught a chooser something.
        self._memories = self._remember()
        self.is_complete = True

    def results(self, made: Mapping[str, Accumulator]) -> dict[str, Any]:
        """Return what each accumulator found, by name."""
        assert self.is_complete
        states, self._states = self._states, []
        return {
            name: accumulator.finish(state)
            for (name, accumulator), state in zip(made.items(), states, strict=True)
        }

    def _remember(self) -> list[Portable]:
        if not self._remembers:
            return []
        return [accumulator.remember() for accumulator in self._accumulators]

    def save(self) -> Portable:
        """Return everything of the finished spans; nothing is copied."""
        kept = []
        for k, accumulator in enumerate(self._accumulators):
            levels = [self._states[k]] if self.is_complete else self._trees[k].levels
            counts = [1] if self.is_complete else self._trees[k].counts
            packed = [None if level is None else accumulator.pack(level) for level in levels]
            kept.append([packed, counts])
        return {
            "span": self.span,
            "is_complete": self.is_complete,
            "sums": kept,
            "memories": self._memories,
        }

    def restore(self, saved: Portable) -> None:
        """Become what :meth:`save` has described."""
        self.span, self.is_complete = saved["span"], saved["is_complete"]
        for k, (packed, counts) in enumerate(saved["sums"]):
            accumulator = self._accumulators[k]
            levels = [None if level is None else accumulator.unpack(level) for level in packed]
            if self.is_complete:
                self._states[k] = levels[0]
            else:
                self._trees[k].levels, self._trees[k].counts = levels, counts
        for accumulator, memory in zip(self._accumulators, saved["memories"], strict=True):
            accumulator.recall(memory)
        self._memories = saved["memories"]


def _nbytes(block: Block) -> int:
    rows = block.rows[1] - block.rows[0]
    columns = block.columns[1] - block.columns[0]
    if isinstance(block, SparseBlock):
        return int(block.data.nbytes + block.indices.nbytes)
    return rows * columns * int(block.data.dtype.itemsize)
