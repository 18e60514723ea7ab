"""Columns gathered into tiles of fixed width, the only shapes that BLAS ever sees.

BLAS results depend on the shape of the call. Columns are therefore copied, in column order from
the start of a span, into tiles of 256 columns, and every product is one call on bands of 256 rows
of one tile: the same calls for any chunk grid, block width or number of threads, hence the same
bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streamsparse.accumulators.base import DensePiece, Each, SparsePiece, shares
from streamsparse.kernels.gram import (
    add_scaled,
    fill_tile,
    fill_tile_columns,
    normalise_rows,
)
from streamsparse.sources.base import Array, Interval

TILE_WIDTH = 256
BAND_ROWS = 256
# A stack takes STACK_BYTES, or one tile where that is more: at most STACK_CELLS float64 per row.
STACK_BYTES = 4 << 20
STACK_CELLS = TILE_WIDTH + 1

_NARROW = {np.dtype(np.int8), np.dtype(np.uint8)}


def product_dtype(block_dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Return the dtype of products: float32 where 256 of them keep the promised accuracy.

    int8, uint8 and bool products and their sums over a tile stay below 2^24: exact in float32.
    float32 is normalised per row and tile, then rounds like float32 BLAS (THEORY 6, b = 256).
    Wider integers and float64 are multiplied in float64.
    """
    narrow = block_dtype in _NARROW or block_dtype == np.float32
    return np.dtype(np.float32 if narrow else np.float64)


def tiles_per_stack(rows: int, block_dtype: np.dtype[np.generic]) -> int:
    """Return how many tiles to fill before draining: about 4 MiB of them, 1 to 16."""
    tile_bytes = rows * TILE_WIDTH * product_dtype(block_dtype).itemsize
    return max(1, min(16, STACK_BYTES // tile_bytes))


def row_bands(rows: int) -> list[Interval]:
    """Return the fixed bands of rows in which products are made."""
    return [(a, min(a + BAND_ROWS, rows)) for a in range(0, rows, BAND_ROWS)]


class TileStack:
    """A stack of tiles being filled: scratch space of one accumulator.

    Parameters
    ----------
    rows : rows of every tile.
    count : tiles that are filled before they are drained.
    block_dtype : dtype of the blocks that will come.
    """

    def __init__(self, *, rows: int, count: int, block_dtype: np.dtype[np.generic]) -> None:
        self.rows = rows
        self.dtype = product_dtype(block_dtype)
        self.normalises = block_dtype == np.float32
        self.tiles = np.zeros((count, rows, TILE_WIDTH), self.dtype)
        self.exponents = np.zeros((count, rows), np.int64)
        self.filled = 0

    @property
    def room(self) -> int:
        """Columns that still fit."""
        return int(self.tiles.shape[0]) * TILE_WIDTH - self.filled

    def put_dense(self, piece: DensePiece, lo: int, hi: int, each: Each) -> None:
        """Append the columns [lo, hi) of ``piece.data``; at most ``room`` of them."""
        parts = shares(self.rows, 32)

        def fill(part: int) -> None:
            a, b = parts[part]
            start = lo
            while start < hi:
                tile, at = divmod(self.filled + start - lo, TILE_WIDTH)
                stop = min(hi, start + TILE_WIDTH - at)
                fill_tile(piece.data[a:b], start, stop, at, self.tiles[tile, a:b])
                start = stop

        each(fill, len(parts))
        self.filled += hi - lo

    def put_columns(self, piece: SparsePiece, columns: Array, each: Each) -> None:
        """Append columns of a piece by columns, made dense; at most ``room`` of them."""
        edges = [0]
        while edges[-1] < columns.size:
            edges.append(
                min(columns.size, edges[-1] + TILE_WIDTH - (self.filled + edges[-1]) % TILE_WIDTH)
            )

        def fill(part: int) -> None:
            start, stop = edges[part], edges[part + 1]
            tile, at = divmod(self.filled + start, TILE_WIDTH)
            chosen = columns[start:stop]
            fill_tile_columns(
                piece.extents, piece.indices, piece.data, chosen, at, self.tiles[tile]
            )

        each(fill, len(edges) - 1)
        self.filled += int(columns.size)

    def drain(self, each: Each, multiply: Callable[[list[Tile], int], None], parts: int) -> None:
        """Call ``multiply(tiles, part)`` for each part on the filled tiles, then start afresh."""
        widths = [
            min(TILE_WIDTH, self.filled - start) for start in range(0, self.filled, TILE_WIDTH)
        ]
        tiles = [
            Tile(self.tiles[k, :, :width], self.exponents[k] if self.normalises else None)
            for k, width in enumerate(widths)
        ]
        if self.normalises:
            bands = [(k, band) for k in range(len(tiles)) for band in row_bands(self.rows)]

            def normalise(part: int) -> None:
                k, (a, b) = bands[part]
                tile = self.tiles[k, a:b]
                normalise_rows(tile.view(np.uint32), widths[k], self.exponents[k, a:b], tile)

            each(normalise, len(bands))
        if tiles:
            each(lambda part: multiply(tiles, part), parts)
        self.filled = 0


class Tile:
    """At most 256 columns of X: ``values`` (rows, width), row i scaled by 2^-exponents[i]."""

    def __init__(self, values: Array, exponents: Array | None) -> None:
        self.values = values
        self.exponents = exponents

    def take(self, rows: Array) -> Tile:
        """Return a copy of some rows."""
        exponents = None if self.exponents is None else self.exponents[rows]
        return Tile(self.values[rows], exponents)

    def band(self, start: int, stop: int) -> Tile:
        """Return the rows [start, stop), sharing memory."""
        exponents = None if self.exponents is None else self.exponents[start:stop]
        return Tile(self.values[start:stop], exponents)


def add_product(left: Tile, right: Tile, out: Array) -> None:
    """Add left right^T to ``out`` in float64. Shapes: (a, width), (b, width), (a, b)."""
    with np.errstate(over="ignore", invalid="ignore"):
        # Squares that overflow are reported by the norms, which name the row.
        product = left.values @ right.values.T
    if left.exponents is None or right.exponents is None:
        out += product
    else:
        add_scaled(product, left.exponents, right.exponents, out)
