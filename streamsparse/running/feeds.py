"""Where tasks get columns from: a store that workers read, or chunks of the user's dask array."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from streamsparse.arrays import Interval
from streamsparse.running.graph import BandGraph, Feed, Lazy, constant
from streamsparse.running.recipes import Key, Recipes, Steps
from streamsparse.running.tasks import Reader, add_chunks, read_unit, sum_chunks, sum_spans
from streamsparse.sources.base import Source
from streamsparse.sources.dask_array import DaskSource, DenseChunks
from streamsparse.sources.dask_sparse import DaskSparseSource, SparseChunks
from streamsparse.sources.rewritten import RewrittenChunks, RewrittenSource

# Yields ranges of whole chunks: (of these rows, that cover these columns, of so many bytes each).
Cut: TypeAlias = Callable[[Interval, Interval, int], Iterator[Interval]]

# Chunks that are smaller are put together to blocks of about this.
_STEP_BYTES = 8 << 20


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
        chunks: DenseChunks | SparseChunks | RewrittenChunks,
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
    bare = source.bare if isinstance(source, RewrittenSource) else source
    if not isinstance(bare, DaskSource | DaskSparseSource):
        return StoreFeed(name, source, block_bytes=block_bytes)
    n, width = source.shape[0], source.unit[1]
    column_bytes = n * source.block_dtype.itemsize
    if isinstance(bare, DaskSource) and width * column_bytes > block_bytes >= column_bytes:
        # All rows of a column of chunks are more than a task may hold: they are cut where they are
        # computed, along columns, and what belongs together is brought together.
        bare = bare.split_columns(block_bytes // column_bytes)
    chunks: DenseChunks | SparseChunks | RewrittenChunks = bare.chunks
    if isinstance(source, RewrittenSource):
        chunks = RewrittenChunks(chunks, source.rewriter)

    def cut(rows: Interval, columns: Interval, most: int) -> Iterator[Interval]:
        least = bare.unit[1] * (rows[1] - rows[0]) * bare.block_dtype.itemsize
        if source.nnz is not None:
            least = block_bytes
        if isinstance(source, RewrittenSource):
            most = source.bare_bytes(most)
        return bare.cut(rows, max(most, least), columns)

    return ChunkFeed(name, bare.array, chunks, cut, block_bytes=block_bytes)
