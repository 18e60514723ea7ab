"""Columns gathered into tiles of fixed width, the only shapes that BLAS ever sees.

BLAS results depend on the shape of the call. Columns are therefore taken, in column order from the
start of a span, in tiles of 256, and every product is one call on bands of 256 rows of one tile:
the same calls for any chunk grid, block width or number of threads, hence the same bits. A tile
that lies whole in a block stays where it is; only what crosses the edges of blocks is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from streamsparse.accumulators.base import DensePiece, SparsePiece
from streamsparse.arrays import Array, Interval
from streamsparse.kernels.gram import (
    add_scaled,
    add_to,
    fill_tile_columns,
    find_exponents,
    scale_rows,
)
from streamsparse.kernels.ranges import Each, even_ranges

TILE_WIDTH = 256
BAND_ROWS = 256
# Tiles that are given out at once: few enough to be interrupted between, many enough to share out.
_MOST_TILES = 32
# A stack takes STACK_BYTES, or one tile where that is more: at most STACK_CELLS float64 per row.
STACK_BYTES = 4 << 20
STACK_CELLS = TILE_WIDTH + 1

_NARROW = {np.dtype(np.int8), np.dtype(np.uint8)}


def product_dtype(block_dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Return the dtype of products: float32 where 256 of them keep the promised accuracy.

    int8, uint8 and bool products and their sums over a tile stay below 2^24: exact in float32.
    float32 rounds like float32 BLAS (THEORY 6, b = 256); rows whose squares might leave its range
    are scaled before. Wider integers and float64 are multiplied in float64.
    """
    narrow = block_dtype in _NARROW or block_dtype == np.float32
    return np.dtype(np.float32 if narrow else np.float64)


def row_bands(rows: int) -> list[Interval]:
    """Return the fixed bands of rows in which products are made: several, if there are few rows."""
    width = BAND_ROWS if rows > 2 * BAND_ROWS else BAND_ROWS // 2
    return [(a, min(a + width, rows)) for a in range(0, rows, width)]


@dataclass(frozen=True, slots=True)
class Tile:
    """At most 256 columns of X, from column ``first`` on.

    ``data`` (rows, any), C-contiguous, has them in the columns [lo, hi); row i is scaled by
    2^-exponents[i], where there are exponents.
    """

    first: int
    data: Array
    lo: int
    hi: int
    exponents: Array | None = None

    @property
    def values(self) -> Array:
        """The columns alone, (rows, width)."""
        return self.data[:, self.lo : self.hi]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.hi - self.lo

    @property
    def columns(self) -> Interval:
        """Which columns of X."""
        return self.first, self.first + self.width

    def take(self, rows: Array) -> Tile:
        """Return a copy of some rows."""
        exponents = None if self.exponents is None else self.exponents[rows]
        return Tile(self.first, self.values[rows], 0, self.width, exponents)

    def band(self, start: int, stop: int) -> Tile:
        """Return the rows [start, stop), sharing memory."""
        exponents = None if self.exponents is None else self.exponents[start:stop]
        return Tile(self.first, self.data[start:stop], self.lo, self.hi, exponents)


# What is done with tiles, which are not there any more afterwards.
Consume: TypeAlias = Callable[[list[Tile]], None]


class TileStack:
    """Columns on their way into tiles: scratch space of one accumulator.

    Tiles hold values as the blocks do; :func:`as_factor` makes them fit to be multiplied.

    Parameters
    ----------
    rows : rows of every tile.
    block_dtype : dtype of the blocks that will come.
    bytes_each : most that a consumer makes of one tile; as many are given out at once as keep that
        within STACK_BYTES.
    """

    def __init__(self, *, rows: int, block_dtype: np.dtype[np.generic], bytes_each: int) -> None:
        self.rows = rows
        self._block_dtype, self._dtype = block_dtype, product_dtype(block_dtype)
        tile_bytes = rows * TILE_WIDTH * self._dtype.itemsize
        self._count = max(1, min(16, STACK_BYTES // tile_bytes))
        self._most = max(1, min(_MOST_TILES, STACK_BYTES // bytes_each))
        # Sparse columns made dense, and dense ones that do not fill a tile.
        self._buffer: Array | None = None
        self._pending: Array | None = None
        self._first = self._filled = 0

    def add(self, piece: DensePiece, each: Each, consume: Consume) -> None:
        """Append the columns of a piece, and give out all tiles that are full."""
        start, hi = piece.lo_hi
        shift = piece.columns[0] - start
        while start < hi:
            whole = 0 if self._filled else min(self._most, (hi - start) // TILE_WIDTH)
            if whole:
                edges = range(start, start + whole * TILE_WIDTH, TILE_WIDTH)
                tiles = [Tile(lo + shift, piece.data, lo, lo + TILE_WIDTH) for lo in edges]
                consume(tiles)
                start += whole * TILE_WIDTH
            else:
                stop = min(hi, start + TILE_WIDTH - self._filled)
                self._keep(piece.data, start, stop, shift, each)
                start = stop
                if self._filled == TILE_WIDTH:
                    self.flush(consume)

    def _keep(self, data: Array, lo: int, hi: int, shift: int, each: Each) -> None:
        """Copy columns that do not fill a tile."""
        if self._pending is None:
            self._pending = np.zeros((self.rows, TILE_WIDTH), self._block_dtype)
        if self._filled == 0:
            self._first = lo + shift
        pending, at = self._pending, self._filled
        parts = even_ranges(self.rows, 64)

        def copy(part: int) -> None:
            a, b = parts[part]
            pending[a:b, at : at + hi - lo] = data[a:b, lo:hi]

        each(copy, len(parts))
        self._filled += hi - lo

    def flush(self, consume: Consume) -> None:
        """Give out what is left, be it of dense or of sparse pieces: a stack never sees both."""
        filled, self._filled = self._filled, 0
        if self._pending is not None and filled:
            consume([Tile(self._first, self._pending, 0, filled)])
            return
        # Columns made dense have no place in X.
        tiles = [
            Tile(0, self._tiles()[k], 0, min(TILE_WIDTH, filled - start))
            for k, start in enumerate(range(0, filled, TILE_WIDTH))
        ]
        if tiles:
            consume(tiles)

    def _tiles(self) -> Array:
        if self._buffer is None:
            self._buffer = np.zeros((self._count, self.rows, TILE_WIDTH), self._dtype)
        return self._buffer

    @property
    def room(self) -> int:
        """Columns of sparse pieces that still fit."""
        return self._count * TILE_WIDTH - self._filled

    def put_columns(self, piece: SparsePiece, columns: Array, each: Each) -> None:
        """Append columns of a piece by columns, made dense; at most ``room`` of them."""
        edges = [0]
        while edges[-1] < columns.size:
            edges.append(
                min(columns.size, edges[-1] + TILE_WIDTH - (self._filled + edges[-1]) % TILE_WIDTH)
            )

        def fill(part: int) -> None:
            start, stop = edges[part], edges[part + 1]
            tile, at = divmod(self._filled + start, TILE_WIDTH)
            chosen = columns[start:stop]
            fill_tile_columns(
                piece.extents, piece.indices, piece.data, chosen, at, self._tiles()[tile]
            )

        self._tiles()
        each(fill, len(edges) - 1)
        self._filled += int(columns.size)


def as_factor(tile: Tile) -> Tile:
    """Return a tile, or a band of one, as it may be multiplied.

    In the dtype of products, and rows of float32 scaled where they are not safe as they are. What
    is needed of it is read from memory here, if it was not in a cache.
    """
    data, dtype = tile.data, product_dtype(tile.data.dtype)
    if data.dtype != dtype:
        return Tile(tile.first, tile.values.astype(dtype), 0, tile.width)
    if dtype == np.float64 or tile.exponents is not None:
        return tile
    exponents = np.empty((1, data.shape[0]), np.int64)
    find_exponents(data.view(np.uint32), tile.lo, tile.width, exponents)
    if not exponents.any():
        return tile
    values = tile.values.copy()
    scale_rows(exponents[0], values)
    return Tile(tile.first, values, 0, tile.width, exponents[0])


def add_products(pairs: Iterable[tuple[Tile, Tile]], out: Array, at: int) -> None:
    """Add left right^T of each pair of factors to columns of ``out`` in float64, in this order.

    Shapes, the same for all: (a, width), (b, width), (a, any), of which b columns from ``at`` on.
    """
    product: Array | None = None
    for left, right in pairs:
        if product is None:
            # One for all: memory that comes and goes costs a page fault per page.
            product = np.empty((left.data.shape[0], right.data.shape[0]), left.data.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            # Squares that overflow are reported by the norms, which name the row.
            np.matmul(left.values, right.values.T, out=product)
        if left.exponents is None and right.exponents is None:
            add_to(product, out, at)
        else:
            add_scaled(product, _exponents(left), _exponents(right), out, at)


def _exponents(tile: Tile) -> Array:
    return np.zeros(len(tile.data), np.int64) if tile.exponents is None else tile.exponents
