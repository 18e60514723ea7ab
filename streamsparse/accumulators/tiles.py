"""Columns gathered into tiles of fixed width, the only shapes that BLAS ever sees.

BLAS results depend on the shape of the call. Columns are therefore copied, in column order from
the start of a span, into tiles of 256 columns, and every product is one call on bands of 256 rows
of one tile: the same calls for any chunk grid, block width or number of threads, hence the same
bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

import numpy as np

from streamsparse.accumulators.base import DensePiece, SparsePiece
from streamsparse.kernels.gram import (
    add_scaled,
    fill_tile,
    fill_tile_columns,
    normalise_rows,
)
from streamsparse.kernels.ranges import Each, even_ranges
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


def row_bands(rows: int) -> list[Interval]:
    """Return the fixed bands of rows in which products are made."""
    return [(a, min(a + BAND_ROWS, rows)) for a in range(0, rows, BAND_ROWS)]


# What is done with filled tiles, called as stage(tiles, part), and in how many parts.
Stage: TypeAlias = "tuple[Callable[[list[Tile], int], None], int]"


class TileStack:
    """A stack of tiles being filled: scratch space of one accumulator.

    Parameters
    ----------
    rows : rows of every tile.
    block_dtype : dtype of the blocks that will come.
    like_rows : rows of a stack to keep in step with; as many tiles are filled before draining.
    in_float64 : keep the values as they are, whatever products in float32 would save.
    keeps_values : keep them as they are in the dtype of products; who multiplies must scale them.
    """

    def __init__(
        self,
        *,
        rows: int,
        block_dtype: np.dtype[np.generic],
        like_rows: int | None = None,
        in_float64: bool = False,
        keeps_values: bool = False,
    ) -> None:
        self.rows = rows
        self.dtype = np.dtype(np.float64) if in_float64 else product_dtype(block_dtype)
        self.normalises = block_dtype == np.float32 and not in_float64 and not keeps_values
        # About 4 MiB of tiles, 1 to 16.
        tile_bytes = (like_rows or rows) * TILE_WIDTH * self.dtype.itemsize
        count = max(1, min(16, STACK_BYTES // tile_bytes))
        self.tiles = np.zeros((count, rows, TILE_WIDTH), self.dtype)
        self.exponents = np.zeros((count, rows), np.int64)
        self.filled = 0
        # Of X: the column that came first.
        self.first = 0

    @property
    def room(self) -> int:
        """Columns that still fit."""
        return int(self.tiles.shape[0]) * TILE_WIDTH - self.filled

    def fitting(self, piece: DensePiece) -> Iterator[Interval]:
        """Yield the columns of ``piece.data`` in intervals that fit, one put after the other."""
        start, hi = piece.lo_hi
        while start < hi:
            stop = min(hi, start + self.room)
            yield start, stop
            start = stop

    def put_dense(self, piece: DensePiece, lo: int, hi: int, each: Each) -> None:
        """Append the columns [lo, hi) of ``piece.data``; at most ``room`` of them."""
        if self.filled == 0:
            self.first = piece.columns[0] + lo - piece.offset
        parts = even_ranges(self.rows, 32)

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

    def drain(self, each: Each, *stages: Stage) -> None:
        """Call ``stage(tiles, part)`` for each part, stage after stage, then start afresh."""
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
            for stage, parts in stages:
                each(partial(stage, tiles), parts)
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
