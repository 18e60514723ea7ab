"""What one task of a cluster does: pure functions of blocks, chunks and partial sums.

A task runs in any process, any number of times, and changes nothing that it was given: what it
returns is the same whoever runs it again. Kernels and BLAS have one thread.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from streamsparse.accumulators.base import Accumulator
from streamsparse.arrays import Interval
from streamsparse.kernels.ranges import serially
from streamsparse.running.local import MakeAccumulators
from streamsparse.running.pieces import prepare
from streamsparse.running.recipes import Steps
from streamsparse.running.spans import Node
from streamsparse.running.sums import Sums
from streamsparse.running.threads import one_blas_thread
from streamsparse.running.worker import room_for_block
from streamsparse.sources.base import Block, Source
from streamsparse.sources.buffers import reused_buffers
from streamsparse.storing.records import Portable


class Chunks(Protocol):
    """Chunks that somebody else has computed, put together to blocks of X."""

    def join(self, rows: Interval, columns: Interval, chunks: Iterable[Any]) -> Block:
        """Return a block made of the chunks that it touches, row by row of chunks."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """What all tasks of a band of rows share.

    Attributes
    ----------
    accumulators : makes what is computed.
    rows : the band.
    span_width, d : columns per span, and of X.
    by_rows : the layout that accumulators want of sparse blocks.
    zero_nonfinite : read NaN and infinities as zero.
    """

    accumulators: MakeAccumulators
    rows: Interval
    span_width: int
    d: int
    by_rows: bool
    zero_nonfinite: bool

    def made(self) -> list[Accumulator]:
        """Return fresh accumulators."""
        return list(self.accumulators(self.rows).values())

    def sums(self, spans: Interval) -> Sums:
        """Return the sums of some spans, empty."""
        return Sums(self.made(), self.span_width, spans=spans, remembers=False)

    def prepared(self, block: Block) -> Block:
        """Return a block in the layout of the kernels."""
        return prepare(block, by_rows=self.by_rows, zero=self.zero_nonfinite)


@dataclass(frozen=True, slots=True)
class Reader:
    """How tasks read a store themselves: ``block_bytes`` at once, or less where memory is short."""

    source: Source
    block_bytes: int

    def cut(self, rows: Interval, columns: Interval) -> Iterator[Interval]:
        """Yield the columns of the blocks to read of a range of whole units, in order."""
        if columns[0] >= columns[1]:
            return
        room = room_for_block()
        most = self.block_bytes if room is None else min(self.block_bytes, self._at_least(room))
        yield from self.source.cut(rows, most, columns)

    def _at_least(self, room: int) -> int:
        """Return ``room``, or what the narrowest block takes."""
        (rows, columns), (n, d) = self.source.unit, self.source.shape
        if columns >= d:
            return self.block_bytes
        entry_bytes = self.source.block_dtype.itemsize
        if self.source.nnz is not None:
            # A column may be full.
            entry_bytes = self.source.entry_bytes
        return max(room, (max(rows, n) + 8) * columns * entry_bytes)


def read_unit(work: Work, reader: Reader, columns: Interval) -> Block:
    """Return a unit that lies on the edge of two spans, or covers several: it is read once."""
    return work.prepared(reader.source.read(work.rows, columns))


def sum_spans(
    work: Work, reader: Reader, spans: Interval, inner: Interval, *shared: Block
) -> list[Portable]:
    """Return the sums of some spans of a store: the columns ``inner`` are read by this task.

    ``shared``: units that lie in them and elsewhere too, in order; those before ``inner`` first.
    """
    with one_blas_thread(), reused_buffers():
        sums = work.sums(spans)
        for block in shared:
            if block.columns[0] < inner[0]:
                sums.add(block, serially, serially)
        for columns in reader.cut(work.rows, inner):
            # No name: what was read is let go before more is.
            sums.add(work.prepared(reader.source.read(work.rows, columns)), serially, serially)
        for block in shared:
            if block.columns[0] >= inner[0]:
                sums.add(block, serially, serially)
        sums.complete(serially)
        return sums.packed()


def add_chunks(
    work: Work,
    chunks: Chunks,
    before: Sums | None,
    spans: Interval,
    columns: Interval,
    *computed: Any,
    is_last: bool,
) -> Sums | list[Portable]:
    """Add the next chunks to the sums of some spans; the last time, return the sums alone.

    ``columns``: of the chunks, as far as they lie in the spans.
    """
    with one_blas_thread():
        sums = work.sums(spans) if before is None else copy.deepcopy(before)
        sums.add(work.prepared(chunks.join(work.rows, columns, computed)), serially, serially)
        if not is_last:
            return sums
        sums.complete(serially)
        return sums.packed()


def sum_chunks(
    work: Work, chunks: Chunks, spans: Interval, steps: Steps, *given: Any
) -> list[Portable]:
    """Return the sums of some spans whose chunks are computed here, a step after the other."""
    with one_blas_thread():
        sums = work.sums(spans)
        for columns, computed in steps.chunks(given):
            # No name: a block is let go before the next chunk is computed.
            sums.add(work.prepared(chunks.join(work.rows, columns, computed)), serially, serially)
        sums.complete(serially)
        return sums.packed()


def fold(work: Work, first: list[Portable], *others: list[Portable]) -> list[Portable]:
    """Return the sum of neighbours in the merge tree, added left to right."""
    folded = []
    for accumulator, total, *later in zip(work.made(), first, *others, strict=True):
        state = accumulator.unpack(copy.deepcopy(total))
        for packed in later:
            accumulator.merge(state, accumulator.unpack(packed), serially)
        folded.append(accumulator.pack(state))
    return folded


def combine(work: Work, nodes: list[Node], *packed: list[Portable]) -> list[Portable]:
    """Return the sum of the nodes that cover all spans, merged as the tree would."""
    sums = work.sums((0, nodes[-1].spans[1]))
    for node, states in zip(nodes, packed, strict=True):
        sums.take(node, copy.deepcopy(states), serially)
    sums.complete(serially)
    return sums.packed()


def found_of(work: Work, packed: list[Portable]) -> dict[str, Any]:
    """Return what each accumulator found, by name, of packed sums of all spans."""
    made = work.accumulators(work.rows)
    states = zip(made.items(), copy.deepcopy(packed), strict=True)
    return {
        name: accumulator.finish(accumulator.unpack(state)) for (name, accumulator), state in states
    }
