"""Partial sums as a graph of dask tasks: one value per span, merged by the fixed tree.

Nothing here computes. The graph is the same whoever runs it; its keys name what they hold, the kind
of it first: a cluster takes keys that begin alike for tasks that are alike, and spreads those out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from dask.delayed import delayed

from streamsparse.running.recipes import Key, Recipes, Steps
from streamsparse.running.spans import ARITY, Node, cover, span_count
from streamsparse.running.tasks import (
    Reader,
    Work,
    add_chunks,
    combine,
    fold,
    read_unit,
    sum_chunks,
    sum_spans,
)
from streamsparse.running.worker import Lanes
from streamsparse.sources.base import Interval, Source
from streamsparse.sources.dask_array import DaskSource, DenseChunks
from streamsparse.sources.dask_sparse import DaskSparseSource, SparseChunks
from streamsparse.storing.records import count_bytes

# A value that dask will compute.
Lazy: TypeAlias = Any
# Yields ranges of whole chunks: (of these rows, that cover these columns, of so many bytes each).
Cut: TypeAlias = Callable[[Interval, Interval, int], Iterator[Interval]]

# Of X, for one task where its spans are small; and so many tasks for every lane at least, or in all
# where nobody knows the lanes.
_TASK_BYTES = 64 << 20
_TASKS_PER_LANE = 4
_TASKS = 64
# Of the memory of a lane: one of several partial sums that may be there beside what it sums.
_PARTIAL_SHARE = 0.01
# Of the time of all lanes.
_BUSY = 0.75
# Partial sums that are added by one task, unless two are more: all of them are in its worker.
_FOLD_BYTES = 24 << 20
# Chunks that are smaller are put together to blocks of about this.
_STEP_BYTES = 8 << 20


def key_of(kind: str, name: str, *which: object) -> str:
    """Return the key of a value: what kind of thing it is, of what run, and which one."""
    return "-".join(["streamsparse", kind, name, *map(str, which)])


def constant(kind: str, name: str, value: Any) -> Lazy:
    """Return something that many tasks share, as a value that dask hands to them."""
    return delayed(value, name=key_of(kind, name), traverse=False)


def task(function: Any, *arguments: Any, key: str, **settings: Any) -> Lazy:
    """Return ``function(*arguments)`` as a task."""
    made = delayed(function, pure=False, traverse=False)
    return made(*arguments, dask_key_name=key, **settings)


def spans_per_task(
    *, spans: int, span_bytes: float, partial_bytes: int, lanes: Lanes | None
) -> int:
    """Return how many spans a task sums: a power of 16, so that its sum is a node of the tree.

    More than one where that is still little work, and there are many tasks. Also where a few
    partial sums, which wait on a worker for their neighbours while it goes on, are much for its
    memory: a task that sums many spans adds them up as it goes. Not if lanes would be idle long.
    """
    count = 1
    fewest = _TASKS if lanes is None else _TASKS_PER_LANE * lanes.count
    while count * ARITY * span_bytes <= _TASK_BYTES and spans >= fewest * count * ARITY:
        count *= ARITY
    if count > 1 or lanes is None or lanes.memory_bytes is None:
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
    name : in the key of every task: of what run, which pass, which band.
    work : what all of them share, a :class:`Work` that may be computed itself.
    feed : where columns come from.
    rows, span_width, d : of the band, the spans and X.
    partial_bytes : of one partial sum.
    spans_per_task : summed by one task at most, a power of 16.
    """

    name: str
    work: Lazy
    feed: Feed
    rows: Interval
    span_width: int
    d: int
    partial_bytes: int
    spans_per_task: int

    @classmethod
    def make(
        cls,
        name: str,
        work: Work,
        feed: Feed,
        *,
        column_bytes: float,
        lanes: Lanes | None,
    ) -> BandGraph:
        """Return the graph of a band, nothing in it yet.

        ``column_bytes``: of one column of it. ``lanes``: who will compute it, if that is known.
        """
        states = [accumulator.pack(accumulator.start()) for accumulator in work.made()]
        partial_bytes = max(1, count_bytes(states))
        return cls(
            name=name,
            work=constant("work", name, work),
            feed=feed,
            rows=work.rows,
            span_width=work.span_width,
            d=work.d,
            partial_bytes=partial_bytes,
            spans_per_task=spans_per_task(
                spans=span_count(d=work.d, width=work.span_width),
                span_bytes=work.span_width * column_bytes,
                partial_bytes=partial_bytes,
                lanes=lanes,
            ),
        )

    @property
    def spans(self) -> int:
        """How many there are."""
        return span_count(d=self.d, width=self.span_width)

    def columns(self, spans: Interval) -> Interval:
        """Return the columns of some spans."""
        return spans[0] * self.span_width, min(spans[1] * self.span_width, self.d)

    def node(self, node: Node) -> Lazy:
        """Return the packed sums of a node of the merge tree, folded left to right."""
        if node.spans[1] - node.spans[0] <= self.spans_per_task:
            return self.feed.sums(self, node.spans)
        total, *later = [self.node(child) for child in node.children()]
        at_once = max(1, _FOLD_BYTES // self.partial_bytes)
        for first in range(0, len(later), at_once):
            more = later[first : first + at_once]
            total = self.task("fold", *node.spans, first, call=(fold, total, *more))
        return total

    def total(self) -> Lazy:
        """Return the packed sums of all spans, merged as a run on one machine would."""
        nodes = cover(0, self.spans)
        return self.task("total", call=(combine, nodes, *map(self.node, nodes)))

    def task(self, kind: str, *which: object, call: tuple[Any, ...], **settings: Any) -> Lazy:
        """Return ``function(work, *arguments)`` as a task, of (function, *arguments)."""
        function, *arguments = call
        key = key_of(kind, self.name, *which)
        return task(function, self.work, *arguments, key=key, **settings)


class StoreFeed:
    """Workers read a store: each task its own span, in whole units.

    A unit on the edge of two spans is read by a task of its own, once.
    """

    def __init__(self, name: str, source: Source, *, block_bytes: int) -> None:
        self._reader = constant("reader", name, Reader(source, block_bytes))
        self._d = source.shape[1]
        self._unit = min(source.unit[1], self._d)

    def sums(self, band: BandGraph, spans: Interval) -> Lazy:
        """Return the packed sums of some spans."""
        (start, stop), unit, d = band.columns(spans), self._unit, self._d
        low, high = -(-start // unit) * unit, stop if stop == d else stop // unit * unit
        edges = {start // unit} if low > start else set()
        if high < stop:
            edges.add(stop // unit)
        shared = [self._unit_task(band, edge) for edge in sorted(edges)]
        inner = (low, max(low, high))
        return band.task("span", *spans, call=(sum_spans, self._reader, spans, inner, *shared))

    def _unit_task(self, band: BandGraph, unit: int) -> Lazy:
        columns = (unit * self._unit, min((unit + 1) * self._unit, self._d))
        return band.task("unit", unit, call=(read_unit, self._reader, columns))


class ChunkFeed:
    """Chunks of the user's dask array.

    Where a task can compute them itself it does, and has them one after the other: its spans take
    the memory of a few chunks. Else dask computes them, and they are added to the sums of a span by
    one task after the other.
    """

    def __init__(
        self,
        name: str,
        array: Any,
        chunks: DenseChunks | SparseChunks,
        cut: Cut,
        *,
        block_bytes: int,
    ) -> None:
        self._grid, self._cut, self._block_bytes = chunks.grid, cut, block_bytes
        self._chunks = constant("chunks", name, chunks)
        # What is the user's is optimised as theirs would be.
        self._lazy = array.to_delayed(optimize_graph=True)
        is_annotated = any(layer.annotations for layer in array.dask.layers.values())
        self._recipes = Recipes(self._lazy, is_annotated=is_annotated)

    def sums(self, band: BandGraph, spans: Interval) -> Lazy:
        """Return the packed sums of some spans."""
        by_itself = self._computed(band, spans)
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
        for step in self._cut(band.rows, (start, stop), min(self._block_bytes, _STEP_BYTES)):
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
        arguments = (self._chunks, spans, steps, *given.values())
        return band.task("span", *spans, call=(sum_chunks, *arguments))

    def _chained(self, band: BandGraph, spans: Interval) -> Lazy:
        rows, (start, stop) = band.rows, band.columns(spans)
        total: Lazy = None
        for first, last in self._cut(rows, (start, stop), self._block_bytes):
            columns = max(first, start), min(last, stop)
            lazy = (self._lazy[self._grid.stored(at)] for at in self._grid.positions(rows, columns))
            total = band.task(
                "span",
                *spans,
                columns[1],
                call=(add_chunks, self._chunks, total, spans, columns, *lazy),
                is_last=last >= stop,
            )
        return total


def feed_of(name: str, source: Source, *, block_bytes: int) -> Feed:
    """Return where tasks get the columns of a source from."""
    if not isinstance(source, DaskSource | DaskSparseSource):
        return StoreFeed(name, source, block_bytes=block_bytes)
    n, width = source.shape[0], source.unit[1]
    column_bytes = n * source.block_dtype.itemsize
    if isinstance(source, DaskSource) and width * column_bytes > block_bytes >= column_bytes:
        # All rows of a column of chunks are more than a task may hold: they are cut where they are
        # computed, along columns, and what belongs together is brought together.
        source = source.split_columns(block_bytes // column_bytes)

    def cut(rows: Interval, columns: Interval, most: int) -> Iterator[Interval]:
        least = source.unit[1] * (rows[1] - rows[0]) * source.block_dtype.itemsize
        if source.nnz is not None:
            least = block_bytes
        return source.cut(rows, max(most, least), columns)

    return ChunkFeed(name, source.array, source.chunks, cut, block_bytes=block_bytes)
