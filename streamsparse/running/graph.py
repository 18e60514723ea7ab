"""Partial sums as a graph of dask tasks: one value per span, merged by the fixed tree.

Nothing here computes. The graph is the same whoever runs it; its keys name what they hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from dask.delayed import delayed

from streamsparse.running.recipes import Key, Recipes, Steps
from streamsparse.running.spans import ARITY, Node, span_count
from streamsparse.running.tasks import (
    Reader,
    Work,
    add_chunks,
    fold,
    read_unit,
    sum_chunks,
    sum_spans,
)
from streamsparse.running.worker import Lanes
from streamsparse.sources.base import Interval, Source
from streamsparse.sources.dask_array import DaskSource, Grid
from streamsparse.sources.dask_sparse import DaskSparseSource
from streamsparse.storing.records import count_bytes

# A value that dask will compute.
Lazy: TypeAlias = Any

# Of X, for one task where its spans are small; and tasks for every lane, at least.
_TASK_BYTES = 64 << 20
_TASKS = 4
# Of the memory of a lane: one of several partial sums that may be there beside what it sums.
_PARTIAL_SHARE = 0.01
# Of the time of all lanes.
_BUSY = 0.75
# Partial sums that are added by one task, unless two are more: all of them are in its worker.
_FOLD_BYTES = 8 << 20
# Chunks that are smaller are put together to blocks of about this.
_STEP_BYTES = 8 << 20


def spans_per_task(*, spans: int, span_bytes: float, partial_bytes: int, lanes: Lanes) -> int:
    """Return how many spans a task sums: a power of 16, so that its sum is a node of the tree.

    More than one where that is still little work, and every lane has several tasks. Also where a
    few partial sums, which wait on a worker for their neighbours while it goes on, are much for its
    memory: a task that sums many spans adds them up as it goes. Not if lanes would be idle long.
    """
    count = 1
    while (
        count * ARITY * span_bytes <= _TASK_BYTES and spans >= _TASKS * lanes.count * count * ARITY
    ):
        count *= ARITY
    if count > 1 or lanes.memory_bytes is None:
        return count
    rounds = -(-spans // (ARITY * lanes.count))
    is_busy = spans >= _BUSY * rounds * ARITY * lanes.count
    is_large = partial_bytes > _PARTIAL_SHARE * lanes.memory_bytes
    return ARITY if is_large and is_busy else 1


class Feed(Protocol):
    """Where the tasks of a band get its columns from."""

    def sums(self, band: BandGraph, spans: Interval) -> Lazy:
        """Return the packed sums of some spans."""
        ...


@dataclass(frozen=True, slots=True)
class BandGraph:
    """The tasks of one band of rows.

    Attributes
    ----------
    name : in the key of every task: what they compute, of what, in which band.
    work : what all of them share, a :class:`Work` that may be computed itself.
    feed : where columns come from.
    rows, span_width, d : of the band, the spans and X.
    partial_bytes : of one partial sum.
    lanes : what runs tasks.
    spans_per_task : summed by one task at most, a power of 16.
    """

    name: str
    work: Lazy
    feed: Feed
    rows: Interval
    span_width: int
    d: int
    partial_bytes: int
    lanes: Lanes
    spans_per_task: int

    @classmethod
    def make(
        cls, name: str, work: Work, feed: Feed, *, lanes: Lanes, column_bytes: float
    ) -> BandGraph:
        """Return the graph of a band, nothing in it yet; ``column_bytes``: of one column of it."""
        states = [accumulator.pack(accumulator.start()) for accumulator in work.made()]
        partial_bytes = max(1, count_bytes(states))
        return cls(
            name=name,
            work=delayed(work, name=_key(name, "work"), traverse=False),
            feed=feed,
            rows=work.rows,
            span_width=work.span_width,
            d=work.d,
            partial_bytes=partial_bytes,
            lanes=lanes,
            spans_per_task=spans_per_task(
                spans=span_count(d=work.d, width=work.span_width),
                span_bytes=work.span_width * column_bytes,
                partial_bytes=partial_bytes,
                lanes=lanes,
            ),
        )

    @property
    def is_fine(self) -> bool:
        """Whether all lanes have spans of their own to sum."""
        return span_count(d=self.d, width=self.span_width) >= self.lanes.count

    def columns(self, spans: Interval) -> Interval:
        """Return the columns of some spans."""
        return spans[0] * self.span_width, min(spans[1] * self.span_width, self.d)

    def node(self, node: Node) -> Lazy:
        """Return the packed sums of a node of the merge tree, folded left to right."""
        if node.spans[1] - node.spans[0] <= self.spans_per_task:
            return self.feed.sums(self, node.spans)
        total, *later = [self.node(child) for child in node.children()]
        at_once = max(1, _FOLD_BYTES // self.partial_bytes)
        for number, first in enumerate(range(0, len(later), at_once)):
            more = later[first : first + at_once]
            total = self.task(fold, total, *more, key=f"fold-{_named(node.spans)}-{number}")
        return total

    def task(self, function: Any, *arguments: Any, key: str, **settings: Any) -> Lazy:
        """Return ``function(work, *arguments)`` as a task."""
        made = delayed(function, pure=False, traverse=False)
        return made(self.work, *arguments, dask_key_name=_key(self.name, key), **settings)


class StoreFeed:
    """Workers read a store: each task its own span, in whole units.

    A unit on the edge of two spans is read by a task of its own, once.
    """

    def __init__(self, name: str, source: Source, *, block_bytes: int) -> None:
        self._name = name
        self._reader = Reader(source, block_bytes)
        self._shared_reader = delayed(self._reader, name=_key(name, "reader"), traverse=False)
        self._d = source.shape[1]
        self._unit = min(source.unit[1], self._d)

    def sums(self, band: BandGraph, spans: Interval) -> Lazy:
        """Return the packed sums of some spans."""
        (start, stop), unit, d = band.columns(spans), self._unit, self._d
        low, high = -(-start // unit) * unit, stop if stop == d else stop // unit * unit
        edges = {start // unit} if low > start else set()
        if high < stop:
            edges.add(stop // unit)
        return band.task(
            sum_spans,
            self._shared_reader,
            spans,
            (low, max(low, high)),
            *(self._unit_task(band, edge) for edge in sorted(edges)),
            key=f"span-{_named(spans)}",
        )

    def _unit_task(self, band: BandGraph, unit: int) -> Lazy:
        columns = (unit * self._unit, min((unit + 1) * self._unit, self._d))
        return band.task(read_unit, self._shared_reader, columns, key=f"unit-{unit}")


class ChunkFeed:
    """Chunks of the user's dask array.

    Where a task can compute them itself it does, and has them one after the other: its spans take
    the memory of a few chunks. Else dask computes them, and they are added to the sums of a span by
    one task after the other; also where there are few spans, so that chunks come from many workers.
    """

    def __init__(
        self, name: str, source: DaskSource | DaskSparseSource, *, block_bytes: int
    ) -> None:
        self._source, self._block_bytes = source, block_bytes
        self._grid: Grid = source.chunks.grid
        self._chunks = delayed(source.chunks, name=_key(name, "chunks"), traverse=False)
        # What is the user's is optimised as theirs would be.
        self._lazy = source.array.to_delayed(optimize_graph=True)
        layers = source.array.dask.layers.values()
        is_annotated = any(layer.annotations for layer in layers)
        self._recipes = Recipes(self._lazy, is_annotated=is_annotated)

    def sums(self, band: BandGraph, spans: Interval) -> Lazy:
        """Return the packed sums of some spans."""
        by_itself = self._computed(band, spans) if band.is_fine else None
        return self._chained(band, spans) if by_itself is None else by_itself

    def _computed(self, band: BandGraph, spans: Interval) -> Lazy:
        """Return sums whose chunks are computed by the task, None if some are left to dask.

        Those on the edge of two spans are: they are computed once.
        """
        columns: list[Interval] = []
        keys: list[list[Key]] = []
        recipes: dict[Key, Any] = {}
        given: dict[Key, Lazy] = {}
        start, stop = band.columns(spans)
        for step in self._source.cut(band.rows, self._step_bytes(band), (start, stop)):
            columns.append((max(step[0], start), min(step[1], stop)))
            keys.append([])
            for position in self._grid.positions(band.rows, columns[-1]):
                chunk = self._lazy[self._grid.stored(position)]
                keys[-1].append(chunk.key)
                edges = self._grid.columns[position[1] : position[1] + 2]
                if edges[0] < start or edges[1] > stop:
                    given[chunk.key] = chunk
                elif (recipe := self._recipes.of(chunk.key)) is None:
                    return None
                else:
                    recipes[chunk.key] = recipe
        for recipe in recipes.values():
            given.update((key, self._recipes.data(key)) for key in recipe.dependencies)
        steps = Steps(columns, keys, recipes, list(given))
        key = f"span-{_named(spans)}"
        return band.task(sum_chunks, self._chunks, spans, steps, *given.values(), key=key)

    def _step_bytes(self, band: BandGraph) -> int:
        """Return how much to put into one block: small chunks together, large ones one by one."""
        if self._source.nnz is not None:
            return self._block_bytes
        unit = self._source.unit[1] * (band.rows[1] - band.rows[0])
        return min(self._block_bytes, max(_STEP_BYTES, unit * self._source.block_dtype.itemsize))

    def _chained(self, band: BandGraph, spans: Interval) -> Lazy:
        rows, (start, stop) = band.rows, band.columns(spans)
        total: Lazy = None
        for first, last in self._source.cut(rows, self._block_bytes, (start, stop)):
            columns = max(first, start), min(last, stop)
            positions = self._grid.positions(rows, columns)
            total = band.task(
                add_chunks,
                self._chunks,
                total,
                spans,
                columns,
                *(self._lazy[self._grid.stored(position)] for position in positions),
                key=f"span-{_named(spans)}-to-{columns[1]}",
                is_last=last >= stop,
            )
        return total


def feed_of(name: str, source: Source, *, block_bytes: int) -> Feed:
    """Return where tasks get the columns of a source from."""
    if isinstance(source, DaskSource | DaskSparseSource):
        return ChunkFeed(name, source, block_bytes=block_bytes)
    return StoreFeed(name, source, block_bytes=block_bytes)


def _key(name: str, what: str) -> str:
    """Return the key of a task, its kind first.

    By that dask groups tasks, and a group that needs little is handed out in order, as workers have
    time, so that what comes first is done first, and few partial sums wait for their neighbours.
    """
    kind, _, which = what.partition("-")
    return f"streamsparse-{kind}-{name}" + (f"-{which}" if which else "")


def _named(spans: Interval) -> str:
    return f"{spans[0]}" if spans[1] == spans[0] + 1 else f"{spans[0]}-{spans[1]}"
