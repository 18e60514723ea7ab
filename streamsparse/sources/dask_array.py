"""Dask arrays: their chunks, whole, and the source of those whose chunks are NumPy arrays.

The one module that imports dask.array for reading. No dask operator touches a chunk: whole chunks
are computed, then put together here, because dask is wrong or blind about sparse ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import dask.array as da
import numpy as np

from streamsparse.errors import BadStructureError, UnsupportedInputError
from streamsparse.sources.base import (
    Array,
    DenseBlock,
    DenseSource,
    Interval,
    block_dtype_of,
    check_shape,
    check_unit_fits,
    intervals_from_edges,
    split_intervals,
)
from streamsparse.sources.digests import digest_of
from streamsparse.sources.reading import attempt_once

# Typed here, where dask does not.
compute_all: Callable[..., tuple[Any, ...]] = da.compute

# Chunks are computed together up to this many bytes, or one by one.
_BATCH_BYTES = 1 << 25


class Grid:
    """The chunks of a dask array, seen as chunks of X.

    Parameters
    ----------
    array : shape (n, d) if ``feature_axis`` is 1, (d, n) if it is 0.
    feature_axis : axis of ``array`` along which the d columns of X lie.
    """

    def __init__(self, array: Any, *, feature_axis: int, name: str) -> None:
        if any(math.isnan(length) for axis in array.chunks for length in axis):
            raise UnsupportedInputError(
                f"{name} has chunks of unknown size; call compute_chunk_sizes() on it first"
            )
        check_shape(array.shape, name)
        self.name = name
        self.array = array
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

    def fingerprint(self) -> str:
        """Return a digest of the name, which dask derives from the graph, and of the chunks."""
        array = self.array
        return digest_of(self.shape, self.is_transposed, array.name, array.chunks, str(array.dtype))

    def compute(self, positions: list[tuple[int, int]]) -> list[Any]:
        """Return chunks of X at grid positions (row, column), as dask made them, not transposed."""
        stored = [p[::-1] if self.is_transposed else p for p in positions]
        chunks = attempt_once(
            f"computing chunks {stored} of {self.name}",
            lambda: compute_all(*(self.array.blocks[i, j] for i, j in stored)),
        )
        for (i, j), chunk in zip(stored, chunks, strict=True):
            expected = (self.array.chunks[0][i], self.array.chunks[1][j])
            shape = getattr(chunk, "shape", None)
            if shape != expected:
                raise BadStructureError(
                    f"chunk {(i, j)} of {self.name} is a {type(chunk).__name__} of shape {shape}; "
                    f"the dask array announces {expected}"
                )
            if chunk.dtype != self.array.dtype:
                raise BadStructureError(
                    f"chunk {(i, j)} of {self.name} has dtype {chunk.dtype}; the dask array "
                    f"announces {self.array.dtype}"
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


class DaskSource(DenseSource):
    """A dask array of NumPy chunks, of any sizes."""

    is_known_by_name = True

    def __init__(self, array: Any, *, feature_axis: int, name: str = "dask array") -> None:
        self.name = name
        self._grid = Grid(array, feature_axis=feature_axis, name=name)
        self.shape, self.unit = self._grid.shape, self._grid.unit
        self.dtype = array.dtype
        self.block_dtype = block_dtype_of(self.dtype, name)
        self.stored_bytes = math.prod(self.shape) * self.dtype.itemsize
        self._unit_bytes = math.prod(self.unit) * self.dtype.itemsize
        self.read_overhead_bytes = 2 * max(self._unit_bytes, _BATCH_BYTES)

    def fingerprint(self) -> str:
        """Return a digest of the graph's name; computes nothing, and sees no values."""
        return self._grid.fingerprint()

    def bands(self, max_rows: int, max_bytes: int) -> list[Interval]:
        """Cut [0, n) on chunk edges; inside a chunk only where it has over ``max_rows`` rows."""
        row_bytes = self.unit[1] * self.block_dtype.itemsize
        unit_bytes = min(self.unit[0], max_rows) * row_bytes
        check_unit_fits(name=self.name, unit_bytes=unit_bytes, max_bytes=max_bytes)
        most = min(max_rows, max_bytes // row_bytes)
        return split_intervals(intervals_from_edges(self._grid.rows, most), most)

    def cut(self, rows: Interval, max_bytes: int) -> Iterator[Interval]:
        """Yield column ranges between chunk edges, each at most ``max_bytes`` for these rows."""
        column_bytes = (rows[1] - rows[0]) * self.block_dtype.itemsize
        unit_bytes = self.unit[1] * column_bytes
        check_unit_fits(name=self.name, unit_bytes=unit_bytes, max_bytes=max_bytes)
        yield from intervals_from_edges(self._grid.columns, max_bytes // column_bytes)

    def read(self, rows: Interval, columns: Interval) -> DenseBlock:
        """Compute the chunks that a block touches and copy them into it."""
        shape = (rows[1] - rows[0], columns[1] - columns[0])
        X_block = np.empty(shape, self.block_dtype, order="F" if self._grid.is_transposed else "C")
        positions = [
            (i, j)
            for i in touched(self._grid.rows, rows)
            for j in touched(self._grid.columns, columns)
        ]
        batch = max(1, _BATCH_BYTES // self._unit_bytes)
        for start in range(0, len(positions), batch):
            part = positions[start : start + batch]
            for (i, j), chunk in zip(part, self._grid.compute(part), strict=True):
                self._place(X_block, rows, columns, (i, j), chunk)
        return DenseBlock(rows, columns, X_block)

    def _place(
        self, X_block: Array, rows: Interval, columns: Interval, at: tuple[int, int], chunk: Any
    ) -> None:
        if not isinstance(chunk, np.ndarray) or isinstance(chunk, np.ma.MaskedArray):
            raise UnsupportedInputError(
                f"a chunk of {self.name} is a {type(chunk).__name__}, not the NumPy array that "
                f"the dask array announces; give the dask array the right meta"
            )
        X_chunk = np.asarray(chunk).T if self._grid.is_transposed else np.asarray(chunk)
        i0, i1 = overlap(self._grid.rows, at[0], rows)
        j0, j1 = overlap(self._grid.columns, at[1], columns)
        row, column = int(self._grid.rows[at[0]]), int(self._grid.columns[at[1]])
        X_block[i0 - rows[0] : i1 - rows[0], j0 - columns[0] : j1 - columns[0]] = X_chunk[
            i0 - row : i1 - row, j0 - column : j1 - column
        ]
