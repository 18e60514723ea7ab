"""X S^T and X X^T as dask arrays, of dask arrays: graphs that compose with the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.arrays import Array, Interval
from streamsparse.checks import check_count
from streamsparse.errors import UnsupportedInputError
from streamsparse.running.feeds import ChunkFeed
from streamsparse.running.graph import BandGraph, Lazy
from streamsparse.running.spans import span_width
from streamsparse.running.tasks import Work, found_of
from streamsparse.sketching.row_map import RowMap
from streamsparse.sketching.run_hash import HASH_VERSION, SparseSign
from streamsparse.sources.base import intervals_from_edges
from streamsparse.sources.dask_array import DenseChunks, Grid, edges_of
from streamsparse.sources.dask_sparse import SparseChunks, is_sparse
from streamsparse.sources.digests import digest_of
from streamsparse.storing.records import Portable
from streamsparse.version import __version__

# Typed here, where dask does not.
_concatenate: Callable[..., da.Array] = da.concatenate
_from_delayed: Callable[..., da.Array] = da.from_delayed

# Chunks that are added by one task, unless one is larger.
_BLOCK_BYTES = 32 << 20


def lazy_sketch(
    x: Any, *, m: int, s: int, seed: int, feature_axis: int, zero_nonfinite: bool
) -> da.Array:
    """Return X S^T as a dask array (n, m), one chunk for every chunk of rows of X."""
    chunks = _chunks_of(x, feature_axis=feature_axis)
    d = chunks.grid.shape[1]
    m = check_count("m", m, low=1, high=d)
    operator = SparseSign.make(d=d, m=m, s=s, seed=seed, hash="splitmix")
    row_map = RowMap(operator, m)

    def accumulators(band: Interval) -> dict[str, Accumulator]:
        rows = band[1] - band[0]
        return {
            "norms": NormsAccumulator(rows=rows),
            "sums": SketchAccumulator(rows=rows, operator=operator),
        }

    name = _name(x, "sketch", m, s, seed, feature_axis, zero_nonfinite)
    feed, parts = _feed(name, x, chunks), []
    itemsize = chunks.block_dtype.itemsize
    for k, rows in enumerate(pairwise(chunks.grid.rows.tolist())):
        if rows[0] == rows[1]:
            continue
        work = Work(
            accumulators=accumulators,
            rows=rows,
            span_width=span_width(d=d, state_columns=m),
            d=d,
            by_rows=True,
            zero_nonfinite=zero_nonfinite,
        )
        height = rows[1] - rows[0]
        graph = BandGraph.make(
            f"{name}-{k}", work, feed, column_bytes=height * itemsize, lanes=None
        )
        parts.append(_array(graph, finish_sketch, row_map, shape=(height, m)))
    return _concatenate(parts)


def finish_sketch(work: Work, row_map: RowMap, packed: list[Portable]) -> Array:
    """Return rows of X S^T of their sums."""
    found = found_of(work, packed)
    return row_map.apply(found["sums"], found["norms"])


def lazy_gram(x: Any, *, feature_axis: int, zero_nonfinite: bool) -> da.Array:
    """Return X X^T as a dask array (n, n) of one chunk."""
    chunks = _chunks_of(x, feature_axis=feature_axis)
    (n, d), block_dtype = chunks.grid.shape, chunks.block_dtype

    def accumulators(_: Interval) -> dict[str, Accumulator]:
        return {
            "norms": NormsAccumulator(rows=n),
            "G": GramAccumulator(rows=n, block_dtype=block_dtype),
        }

    name = _name(x, "gram", feature_axis, zero_nonfinite)
    work = Work(
        accumulators=accumulators,
        rows=(0, n),
        span_width=span_width(d=d, state_columns=n),
        d=d,
        by_rows=False,
        zero_nonfinite=zero_nonfinite,
    )
    feed, column_bytes = _feed(name, x, chunks), n * block_dtype.itemsize
    graph = BandGraph.make(name, work, feed, column_bytes=column_bytes, lanes=None)
    return _array(graph, finish_gram, shape=(n, n))


def finish_gram(work: Work, packed: list[Portable]) -> Array:
    """Return X X^T of its sums."""
    return np.asarray(found_of(work, packed)["G"])


def _array(
    graph: BandGraph, finish: Callable[..., Array], *arguments: Any, shape: tuple[int, int]
) -> da.Array:
    """Return ``finish(work, *arguments, sums of all spans)`` as an array of one chunk."""
    value: Lazy = graph.task("finish", call=(finish, *arguments, graph.total()))
    return _from_delayed(value, shape=shape, dtype=np.float64)


def _name(x: Any, *what: Any) -> str:
    """Return the beginning of the keys: the same for the same values, as dask wants it."""
    return digest_of(__version__, HASH_VERSION, x.name, *what)[:16]


def _chunks_of(x: Any, *, feature_axis: int) -> DenseChunks | SparseChunks:
    if not isinstance(x, da.Array):
        raise UnsupportedInputError(
            f"x must be a dask array, not a {type(x).__name__}; ss.sparsify(X, runner='dask', "
            f"compute=False) takes paths as well"
        )
    grid = Grid(x, feature_axis=feature_axis, name="dask array")
    if is_sparse(x._meta):
        return SparseChunks(grid, stored_format=x._meta.format)
    return DenseChunks(grid)


def _feed(name: str, x: da.Array, chunks: DenseChunks | SparseChunks) -> ChunkFeed:
    """Return the chunks of an array: dense ones by blocks, sparse ones, of any weight, singly."""
    is_dense, itemsize = isinstance(chunks, DenseChunks), chunks.block_dtype.itemsize

    def cut(rows: Interval, columns: Interval, most: int) -> Iterator[Interval]:
        width = most // ((rows[1] - rows[0]) * itemsize) if is_dense else 0
        return intervals_from_edges(edges_of(chunks.grid.columns, columns), width)

    return ChunkFeed(name, x, chunks, cut, block_bytes=_BLOCK_BYTES)
