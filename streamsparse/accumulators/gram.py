"""G = X X^T, exactly up to rounding, by per-column contributions."""

from __future__ import annotations

from functools import partial

import numpy as np

from streamsparse.accumulators.base import Additive, DensePiece, Piece, SparsePiece, State
from streamsparse.accumulators.batches import FEW_ROWS, Job, add_batches
from streamsparse.accumulators.tiles import (
    TILE_WIDTH,
    Tile,
    TileStack,
    add_products,
    as_factor,
    product_dtype,
    row_bands,
)
from streamsparse.arrays import Array
from streamsparse.kernels.gram import scatter_columns
from streamsparse.kernels.ranges import Each

# A sparse column of a entries costs a^2 / 2 scattered products; made dense it costs about n^2 / 50
# of them (measured: scatter 1.2 ns, BLAS and filling 0.025 n + 1 ns per row). Equal at a = n / 5.
SCATTER_FRACTION = 5


class GramAccumulator(Additive):
    """Accumulate the lower triangle of G = X X^T of all n rows.

    Dense columns go through tiles (products in float32 where safe, summed in float64); a sparse
    column of a entries adds its a (a + 1) / 2 products directly where that is cheaper, the
    min{sum nnz(X_i)^2, d n^2} of the paper. Sparse pieces must come by columns.
    Memory: n^2 * 8 bytes per state, plus one stack of tiles.
    """

    def __init__(self, *, rows: int, block_dtype: np.dtype[np.generic]) -> None:
        self.rows = rows
        # Of a tile there is a copy, and where there are few rows all of its products.
        cells = rows * (TILE_WIDTH + (rows if rows <= FEW_ROWS else 0))
        bytes_each = cells * product_dtype(block_dtype).itemsize
        self._stack = TileStack(rows=rows, block_dtype=block_dtype, bytes_each=bytes_each)
        count = len(row_bands(rows))
        self._pairs = [(left, right) for left in range(count) for right in range(left + 1)]

    def start(self) -> State:
        """Return G, zero."""
        return [np.zeros((self.rows, self.rows))]

    def update(self, state: State, piece: Piece, each: Each) -> None:
        """Add the columns of one piece."""
        if isinstance(piece, DensePiece):
            self._stack.add(piece, each, partial(self._multiply, state[0], each))
        else:
            self._update_sparse(state[0], piece, each)

    def _update_sparse(self, G: Array, piece: SparsePiece, each: Each) -> None:
        counts = piece.extents[1] - piece.extents[0]
        is_dense = counts * SCATTER_FRACTION > self.rows
        dense = np.flatnonzero(is_dense)
        # The stack is drained after a fixed number of dense columns of the span, and the columns
        # before that point are scattered before it: the order of additions is the data's own.
        start = 0
        while start < counts.size:
            room = self._stack.room
            taken, dense = dense[:room], dense[room:]
            stop = int(taken[-1]) + 1 if taken.size == room else counts.size
            light = start + np.flatnonzero(~is_dense[start:stop] & (counts[start:stop] > 0))
            self._scatter(G, piece, light, each)
            if taken.size:
                self._stack.put_columns(piece, taken, each)
            if self._stack.room == 0:
                self._stack.flush(partial(self._multiply, G, each))
            start = stop

    def _scatter(self, G: Array, piece: SparsePiece, columns: Array, each: Each) -> None:
        if columns.size == 0:
            return
        # Row i of the triangle has i + 1 cells: square-root edges share the products evenly. Every
        # part looks at all columns, so columns of few entries are worth few parts.
        entries = int((piece.extents[1, columns] - piece.extents[0, columns]).sum())
        parts = min(8, max(2, entries // columns.size)) if self.rows >= 64 else 1
        edges = [int(self.rows * (k / parts) ** 0.5) for k in range(parts)] + [self.rows]

        def scatter(part: int) -> None:
            scatter_columns(
                piece.extents, piece.indices, piece.data, columns, edges[part], edges[part + 1], G
            )

        each(scatter, parts)

    def _multiply(self, G: Array, each: Each, tiles: list[Tile]) -> None:
        bands = row_bands(self.rows)
        if self.rows <= FEW_ROWS:
            add_batches(tiles, triangle_jobs(G), each)
            return
        factors: list[list[Tile]] = [[tiles[0]] * len(tiles) for _ in bands]

        def prepare(part: int) -> None:
            k, band = divmod(part, len(bands))
            factors[band][k] = as_factor(tiles[k].band(*bands[band]))

        def multiply(part: int) -> None:
            left, right = self._pairs[part]
            pairs = zip(factors[left], factors[right], strict=True)
            add_products(pairs, G[slice(*bands[left])], bands[right][0])

        each(prepare, len(tiles) * len(bands))
        each(multiply, len(self._pairs))

    def close_span(self, state: State, each: Each) -> None:
        """Multiply the tiles that are not full."""
        self._stack.flush(partial(self._multiply, state[0], each))

    def finish(self, state: State) -> Array:
        """Return G (n, n), symmetric."""
        return mirrored(state[0])


def triangle_jobs(G: Array) -> list[Job]:
    """Return what adds the lower triangle of X X^T, in bands, to G (n, n)."""
    bands = row_bands(len(G))
    return [
        Job(left, right, G[slice(*left)], right[0])
        for k, left in enumerate(bands)
        for right in bands[: k + 1]
    ]


def mirrored(G: Array) -> Array:
    """Return G, the upper triangle copied from the lower one in place."""
    for a, b in row_bands(len(G)):
        G[:a, a:b] = G[a:b, :a].T
        corner = G[a:b, a:b]
        corner[:] = np.tril(corner) + np.tril(corner, -1).T
    return G
