"""Columns of X in whitened coordinates, tile by tile, and those that a chooser keeps."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np

from streamsparse.accumulators.base import Piece, SparsePiece
from streamsparse.accumulators.picks import (
    Batch,
    Compacter,
    Compressed,
    Picking,
    Picks,
    compress,
    densify,
    join,
)
from streamsparse.accumulators.tiles import (
    TILE_WIDTH,
    Tile,
    TileStack,
    product_dtype,
)
from streamsparse.arrays import Array
from streamsparse.kernels.project import project_columns
from streamsparse.kernels.ranges import Each, even_ranges, steps


class Chooser(Compacter, Protocol):
    """What decides about columns; it may remember those that came before."""

    def choose(self, columns: Array, V: Array, each: Each) -> tuple[Array, Array]:
        """Return (keys, scores) of the next columns (w,), V (k, w); key 0: it is not kept."""
        ...


class WhitenedPicker(Picking[Chooser]):
    """Give v = R x of every column x, in order, to a chooser, and keep the x that it wants.

    Parameters
    ----------
    rows : n; pieces hold all rows, sparse ones come by columns.
    block_dtype : dtype of the blocks that will come.
    R : (k, n), upper trapezoidal where that saves work; None for v = x.
    squared_norms : of the rows of X, (n,): rows are scaled by them, exactly, or products in float32
        would leave its range. Not used without R.
    dtype : of V: float32 where it only guides decisions.
    chooser : sees tiles of 256 columns: those of X, or the ones of sparse X that are not empty.

    Notes
    -----
    Tiles are cut from the start of a span, so that choices do not depend on block edges; spans must
    come in order, because a chooser remembers. Memory: the picks (values as they are read), one
    stack of tiles and V of it.
    """

    def __init__(
        self,
        *,
        rows: int,
        block_dtype: np.dtype[np.generic],
        R: Array | None,
        squared_norms: Array,
        dtype: type[np.floating],
        chooser: Chooser,
    ) -> None:
        self.rows, self._dtype, self.rule = rows, np.dtype(dtype), chooser
        _, exponents = np.frexp(np.sqrt(squared_norms))
        self._scales = np.ldexp(1.0, -exponents)
        # As which picked columns are kept, and V of a tile is about as large.
        self._kept = product_dtype(block_dtype)
        tile_bytes = rows * TILE_WIDTH * self._kept.itemsize
        self._stack = TileStack(rows=rows, block_dtype=block_dtype, bytes_each=tile_bytes)
        self._R = self._R_transposed = None
        if R is not None:
            product = np.result_type(self._kept, self._dtype)
            self._R = np.ascontiguousarray(R * np.ldexp(1.0, exponents), product)
            self._R_transposed = np.ascontiguousarray(R.T)
            # Where each band of rows of R begins to differ from 0.
            self._bands = [(a, b, _first_column(R[a:b])) for a, b in steps(R.shape[0], 256)]
        self._pending: list[tuple[Array, Compressed]] = []
        self._pending_count = 0

    def update(self, state: Picks, piece: Piece, each: Each) -> None:
        """Look at the columns of one piece."""
        if isinstance(piece, SparsePiece):
            self._update_sparse(state, piece, each)
        else:
            self._stack.add(piece, each, partial(self._choose, state, each))

    def _choose(self, state: Picks, each: Each, tiles: list[Tile]) -> None:
        for tile, V in zip(tiles, self._whitened(tiles, each), strict=True):
            columns = np.arange(*tile.columns)
            keys, scores = self.rule.choose(columns, V, each)
            kept = np.flatnonzero(keys)
            values = tile.values[:, kept].T.astype(self._kept, order="C")
            self.add(state, Batch(columns[kept], scores[kept], keys[kept], values))

    def _whitened(self, filled: list[Tile], each: Each) -> list[Array]:
        """Return V of each tile."""
        R = self._R
        if R is None:
            return [tile.values.astype(self._dtype) for tile in filled]
        scaled = [np.empty(tile.values.shape, R.dtype) for tile in filled]
        V = [np.empty((R.shape[0], tile.values.shape[1]), self._dtype) for tile in filled]

        def scale(k: int) -> None:
            np.multiply(filled[k].values, self._scales[:, None], out=scaled[k], casting="same_kind")

        def whiten(part: int) -> None:
            k, band = divmod(part, len(self._bands))
            a, b, first = self._bands[band]
            V[k][a:b] = R[a:b, first:] @ scaled[k][first:]

        each(scale, len(filled))
        each(whiten, len(filled) * len(self._bands))
        return V

    def _update_sparse(self, state: Picks, piece: SparsePiece, each: Each) -> None:
        there = np.flatnonzero(piece.extents[1] > piece.extents[0])
        while there.size:
            taken, there = np.split(there, [TILE_WIDTH - self._pending_count])
            values = compress(piece.extents[:, taken], piece.indices, piece.data)
            self._pending.append((piece.columns[0] + taken, values))
            self._pending_count += taken.size
            if self._pending_count == TILE_WIDTH:
                self._drain_sparse(state, each)

    def _drain_sparse(self, state: Picks, each: Each) -> None:
        columns = np.concatenate([found for found, _ in self._pending])
        indptr, indices, data = join([values for _, values in self._pending])
        self._pending, self._pending_count = [], 0
        extents = np.stack([indptr[:-1], indptr[1:]])
        V = self._projected((indptr, indices, data), each)
        keys, scores = self.rule.choose(columns, V, each)
        kept = np.flatnonzero(keys)
        values = compress(extents[:, kept], indices, data)
        self.add(state, Batch(columns[kept], scores[kept], keys[kept], values))

    def _projected(self, columns: Compressed, each: Each) -> Array:
        """Return V of compressed columns."""
        vectors = self._R_transposed
        if vectors is None:
            return densify(columns, self.rows, self._dtype)
        indptr, indices, data = columns
        extents = np.stack([indptr[:-1], indptr[1:]])
        projected = np.empty((extents.shape[1], vectors.shape[1]))
        parts = even_ranges(extents.shape[1], 16)

        def project(part: int) -> None:
            a, b = parts[part]
            project_columns(extents[:, a:b], indices, data, vectors, projected[a:b])

        each(project, len(parts))
        return np.ascontiguousarray(projected.T, self._dtype)

    def close_span(self, state: Picks, each: Each) -> None:
        """Look at the columns that are still in tiles."""
        self._stack.flush(partial(self._choose, state, each))
        if self._pending:
            self._drain_sparse(state, each)


def _first_column(band: Array) -> int:
    """Return the first column that is not zero."""
    there = np.flatnonzero(band.any(axis=0))
    return int(there[0]) if there.size else 0
