"""Dask arrays: their chunks, whole, and the source of those whose chunks are NumPy arrays.

The one module that imports dask.array for reading. No dask operator touches a chunk: whole chunks
are computed, then put together here, because dask is wrong or blind about sparse ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import BadStructureError, UnsupportedInputError
from streamsparse.sources.base import (
    DenseBlock,
    check_shape,
    check_unit_fits,
    intervals_from_edges,
    split_intervals,
)
from streamsparse.sources.dense import DenseSource
from streamsparse.sources.digests import digest_of
from streamsparse.sources.dtypes import block_dtype_of, copy_values
from streamsparse.sources.reading import attempt_once

# Typed here, where dask does not.
compute_all: Callable[..., tuple[Any, ...]] = da.compute

# Chunks are computed together up to this many bytes, or one by one.
_BATCH_BYTES = 1 << 25


class Grid:
    """The chunks of a dask array, seen as chunks of X; what workers need to know of it.

    Parameters
    ----------
    array : shape (n, d) if ``feature_axis`` is 1, (d, n) if it is 0; it is not kept.
    feature_axis : axis of ``array`` along which the d columns of X lie.
    """

    def __init__(self, array: Any, *, feature_axis: int, name: str) -> None:
        if any(math.isnan(length) for axis in array.chunks for length in axis):
            raise UnsupportedInputError(
                f"{name} has chunks of unknown size; call compute_chunk_sizes() on it first"
            )
        check_shape(array.shape, name)
        self.name = name
        self.dtype: np.dtype[Any] = array.dtype
        self.is_transposed = feature_axis == 0
        edges = [np.concatenate([[0], np.cumsum(axis, dtype=np.int64)]) for axis in array.chunks]
        self.rows: Array = edges[1] if self.is_transposed else edges[0]
        self.columns: Array = edges[0] if self.is_transposed else edges[1]

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        return int(self.rows[-1]), int(self.columns[-1])

    @property
    def unit(self) -> tuple[int, int]:
        """Rows and columns of the largest chunks."""
        return int(np.diff(self.rows).max()), int(np.diff(self.columns).max())

    def stored(self, position: tuple[int, int]) -> tuple[int, int]:
        """Return where in the array a chunk of X is, given where in X: its own inverse."""
        return position[::-1] if self.is_transposed else position

    def positions(self, rows: Interval, columns: Interval) -> list[tuple[int, int]]:
        """Return the grid positions (row, column) of the chunks that a block touches, by rows."""
        along = touched(self.columns, columns)
        return [(i, j) for i in touched(self.rows, rows) for j in along]

    def check(self, position: tuple[int, int], chunk: Any) -> None:
        """Refuse a chunk that is not what the array announces.

        Raises
        ------
        BadStructureError : naming the chunk.
        """
        i, j = position
        size = int(self.rows[i + 1] - self.rows[i]), int(self.columns[j + 1] - self.columns[j])
        expected, at = self.stored(size), self.stored(position)
        shape = getattr(chunk, "shape", None)
        if shape != expected:
            raise BadStructureError(
                f"chunk {at} of {self.name} is a {type(chunk).__name__} of shape {shape}; "
                f"the dask array announces {expected}"
            )
        if chunk.dtype != self.dtype:
            raise BadStructureError(
                f"chunk {at} of {self.name} has dtype {chunk.dtype}; the dask array "
                f"announces {self.dtype}"
            )


def fingerprint_of(array: Any, grid: Grid) -> str:
    """Return a digest of the name, which dask derives from the graph, and of the chunks."""
    return digest_of(grid.shape, grid.is_transposed, array.name, array.chunks, str(array.dtype))


def compute_chunks(array: Any, grid: Grid, positions: list[tuple[int, int]]) -> list[Any]:
    """Return chunks of X at grid positions (row, column), as dask made them, not transposed."""
    stored = [grid.stored(position) for position in positions]
    chunks = attempt_once(
        f"computing chunks {stored} of {grid.name}",
        lambda: compute_all(*(array.blocks[i, j] for i, j in stored)),
    )
    return list(chunks)


def touched(edges: Array, interval: Interval) -> range:
    """Return the positions of the non-empty chunks that an interval touches."""
    first = int(np.searchsorted(edges, interval[0], side="right")) - 1
    return range(first, int(np.searchsorted(edges, interval[1], side="left")))


def overlap(edges: Array, position: int, interval: Interval) -> Interval:
    """Return what an interval shares with the chunk at a position."""
    start, stop = int(edges[position]), int(edges[position + 1])
    return max(start, interval[0]), min(stop, interval[1])


def edges_of(edges: Array, interval: Interval | None) -> Array:
    """Return the edges of the chunks that an interval touches, None for all."""
    if interval is None:
        return edges
    there = touched(edges, interval)
    return edges[there.start : there.stop + 1]


class DenseChunks:
    """NumPy chunks put together to blocks of X."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.block_dtype = block_dtype_of(grid.dtype, grid.name)

    def join(self, rows: Interval, columns: Interval, chunks: Iterable[Any]) -> DenseBlock:
        """Return a block made of the chunks that it touches, in the order of ``positions``.

        A block of one chunk is that chunk, not a copy, where that can be.

        Raises
        ------
        BadStructureError, UnsupportedInputError : for a chunk that is not what was announced.
        """
        grid = self.grid
        positions = grid.positions(rows, columns)
        pairs = zip(positions, chunks, strict=True)
        X_chunks: Iterator[Array] = (self._checked(at, chunk) for at, chunk in pairs)
        if len(positions) == 1:
            (X_chunk,) = X_chunks
            i, j = positions[0]
            if overlap(grid.rows, i, rows) == rows and self._is_usable(X_chunk, rows):
                return DenseBlock(rows, columns, X_chunk, columns[0] - int(grid.columns[j]))
            X_chunks = iter([X_chunk])
        shape = (rows[1] - rows[0], columns[1] - columns[0])
        X_block = np.empty(shape, self.block_dtype, order="F" if grid.is_transposed else "C")
        for (i, j), X_chunk in zip(positions, X_chunks, strict=True):
            (i0, i1), (j0, j1) = overlap(grid.rows, i, rows), overlap(grid.columns, j, columns)
            row, column = int(grid.rows[i]), int(grid.columns[j])
            copy_values(
                X_chunk[i0 - row : i1 - row, j0 - column : j1 - column],
                X_block[i0 - rows[0] : i1 - rows[0], j0 - columns[0] : j1 - columns[0]],
            )
        return DenseBlock(rows, columns, X_block)

    def _checked(self, at: tuple[int, int], chunk: Any) -> Array:
        """Return one chunk as part of X, its memory shared."""
        grid = self.grid
        grid.check(at, chunk)
        if not isinstance(chunk, np.ndarray) or isinstance(chunk, np.ma.MaskedArray):
            raise UnsupportedInputError(
                f"a chunk of {grid.name} is a {type(chunk).__name__}, not the NumPy array that "
                f"the dask array announces; give the dask array the right meta"
            )
        return np.asarray(chunk).T if grid.is_transposed else np.asarray(chunk)

    def _is_usable(self, X_chunk: Array, rows: Interval) -> bool:
        """Return whether a chunk of all these rows is such as blocks are.

        One that cannot be written to would have kernels compiled once more.
        """
        flags = X_chunk.flags
        return (
            X_chunk.shape[0] == rows[1] - rows[0]
            and X_chunk.dtype == self.block_dtype
            and (flags.c_contiguous or flags.f_contiguous)
            and flags.writeable
            and flags.aligned
        )


class DaskSource(DenseSource):
    """A dask array of NumPy chunks, of any sizes."""

    is_lazy = True
    is_known_by_name = True

    def __init__(self, array: Any, *, feature_axis: int, name: str = "dask array") -> None:
        self.name, self.array, self.feature_axis = name, array, feature_axis
        self.chunks = DenseChunks(Grid(array, feature_axis=feature_axis, name=name))
        self._grid = self.chunks.grid
        self.shape, self.unit = self._grid.shape, self._grid.unit
        self.dtype = array.dtype
        self.block_dtype = self.chunks.block_dtype
        self.stored_bytes = math.prod(self.shape) * self.dtype.itemsize
        self._unit_bytes = math.prod(self.unit) * self.dtype.itemsize
        self.read_overhead_bytes = 2 * max(self._unit_bytes, _BATCH_BYTES)

    def split_columns(self, width: int) -> DaskSource:
        """Return the same array, its chunks cut along the columns of X to ``width`` at most."""
        edges = self._grid.columns
        widths = [b - a for a, b in split_intervals(pairwise(edges.tolist()), width)]
        axis = 0 if self._grid.is_transposed else 1
        array = self.array.rechunk({axis: tuple(widths)})
        return DaskSource(array, feature_axis=axis, name=self.name)

    def fingerprint(self) -> str:
        """Return a digest of the graph's name; computes nothing, and sees no values."""
        return fingerprint_of(self.array, self._grid)

    def bands(self, max_rows: int, max_bytes: int) -> list[Interval]:
        """Cut [0, n) on chunk edges; inside a chunk only where it has over ``max_rows`` rows."""
        row_bytes = self.unit[1] * self.block_dtype.itemsize
        unit_bytes = min(self.unit[0], max_rows) * row_bytes
        check_unit_fits(name=self.name, unit_bytes=unit_bytes, max_bytes=max_bytes)
        most = min(max_rows, max_bytes // row_bytes)
        return split_intervals(intervals_from_edges(self._grid.rows, most), most)

    def cut(
        self, rows: Interval, max_bytes: int, columns: Interval | None = None
    ) -> Iterator[Interval]:
        """Yield column ranges between chunk edges, each at most ``max_bytes`` for these rows."""
        column_bytes = (rows[1] - rows[0]) * self.block_dtype.itemsize
        unit_bytes = self.unit[1] * column_bytes
        check_unit_fits(name=self.name, unit_bytes=unit_bytes, max_bytes=max_bytes)
        edges = edges_of(self._grid.columns, columns)
        yield from intervals_from_edges(edges, max_bytes // column_bytes)

    def read(self, rows: Interval, columns: Interval) -> DenseBlock:
        """Compute the chunks that a block touches and copy them into it."""
        positions = self._grid.positions(rows, columns)
        batch = max(1, _BATCH_BYTES // self._unit_bytes)
        chunks = (
            chunk
            for start in range(0, len(positions), batch)
            for chunk in compute_chunks(self.array, self._grid, positions[start : start + batch])
        )
        return self.chunks.join(rows, columns, chunks)
