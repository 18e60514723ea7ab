"""Sampled columns of G = X X^T, exactly: the measured part of a certificate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np

from streamsparse.accumulators.base import Additive, DensePiece, Piece, SparsePiece, State
from streamsparse.accumulators.batches import FEW_ROWS, Job, add_batches
from streamsparse.accumulators.gram import mirrored, triangle_jobs
from streamsparse.accumulators.steps import split_piece
from streamsparse.accumulators.tiles import (
    STACK_BYTES,
    TILE_WIDTH,
    Tile,
    TileStack,
    add_products,
    as_factor,
    product_dtype,
    row_bands,
)
from streamsparse.arrays import Array, Interval
from streamsparse.kernels.gram import rows_sparse
from streamsparse.kernels.layout import rows_by_columns
from streamsparse.kernels.ranges import Each, even_ranges

# Of a sampled entry: its place, its column, its value and row, in two layouts; of a column.
_ENTRY_BYTES = 40
_POINTER_BYTES = 8

HeldRows: TypeAlias = Callable[[Interval], Piece]


class RowsAccumulator(Additive):
    """Accumulate G[:, I] = X X_I^T for a sample I of p rows.

    Dense: 2 p flops per entry of X. Sparse: one product per pair of entries that share a column.

    Parameters
    ----------
    rows : rows of the band that passes by.
    sample : the sample I, shape (p,): indices into the band where the band is all of X.
    held : where the band is not all of X: returns the sampled rows of a column interval as a piece
        of p rows, by rows if sparse. None where the sample is taken from the band itself.
    block_dtype : dtype of the blocks that will come.

    Notes
    -----
    Memory: rows * p * 8 bytes per state, plus one stack of tiles. Sparse pieces come by rows.
    """

    def __init__(
        self,
        *,
        rows: int,
        sample: Array,
        held: HeldRows | None,
        block_dtype: np.dtype[np.generic],
    ) -> None:
        self.rows = rows
        self.sample = sample
        self.held = held
        # Of a tile there are the sampled rows, if not all; where there are few rows also a copy of
        # all of it and its products with the sampled ones.
        self._has_few_rows = rows <= FEW_ROWS and held is None
        self._is_whole = self._has_few_rows and np.array_equal(sample, np.arange(rows))
        cells = 0 if self._is_whole else sample.size * TILE_WIDTH
        if self._has_few_rows:
            cells += rows * (TILE_WIDTH + sample.size)
        bytes_each = cells * product_dtype(block_dtype).itemsize
        self._stack = TileStack(rows=rows, block_dtype=block_dtype, bytes_each=bytes_each)

    def start(self) -> State:
        """Return G[:, I] of the band, zero."""
        return [np.zeros((self.rows, self.sample.size))]

    def update(self, state: State, piece: Piece, each: Each) -> None:
        """Add the columns of one piece."""
        if isinstance(piece, SparsePiece):
            self._update_sparse(state[0], piece, each)
            return
        self._stack.add(piece, each, partial(self._multiply, state[0], each))

    def _update_sparse(self, out: Array, piece: SparsePiece, each: Each) -> None:
        """Add the piece in as few steps as keep the sampled entries of each within STACK_BYTES."""
        waiting = [piece]
        while waiting:
            part = waiting.pop()
            rows, chosen = self._sampled_rows(part)
            entries = int((rows.extents[1, chosen] - rows.extents[0, chosen]).sum())
            width = part.columns[1] - part.columns[0]
            if width > 1 and entries * _ENTRY_BYTES + width * _POINTER_BYTES > STACK_BYTES:
                middle = part.columns[0] + width // 2
                waiting += reversed(split_piece(part, middle))
            else:
                self._add_step(out, part, rows, chosen, each)

    def _sampled_rows(self, part: SparsePiece) -> tuple[SparsePiece, Array]:
        """Return (a piece with these columns of the sampled rows, which of its rows they are)."""
        if self.held is None:
            return part, self.sample
        held = self.held(part.columns)
        assert isinstance(held, SparsePiece)
        return held, np.arange(self.sample.size)

    def _add_step(
        self, out: Array, part: SparsePiece, rows: SparsePiece, chosen: Array, each: Each
    ) -> None:
        sampled = _by_columns(rows, chosen, part.columns)
        shift = part.columns[0] - part.origin
        parts = even_ranges(self.rows, 16)

        def add(k: int) -> None:
            a, b = parts[k]
            extents = part.extents[:, a:b]
            rows_sparse(extents, part.indices, part.data, shift, *sampled, out[a:b])

        each(add, len(parts))

    def _multiply(self, out: Array, each: Each, tiles: list[Tile]) -> None:
        if self._is_whole:
            add_batches(tiles, triangle_jobs(out), each)
            return
        bands = row_bands(self.rows)
        if self._has_few_rows:
            whole = (0, self.sample.size)
            jobs = [Job((a, b), whole, out[a:b], 0) for a, b in bands]
            add_batches(tiles, jobs, each, self.sample)
            return
        sampled = self._sampled_tiles(tiles, each)

        def multiply(part: int) -> None:
            a, b = bands[part]
            lefts = (as_factor(tile.band(a, b)) for tile in tiles)
            add_products(zip(lefts, sampled, strict=True), out[a:b], 0)

        each(multiply, len(bands))

    def _sampled_tiles(self, tiles: list[Tile], each: Each) -> list[Tile]:
        """Return the sampled rows of each tile."""
        sampled = list(tiles)
        if self.held is not None:
            held = self.held((tiles[0].columns[0], tiles[-1].columns[1]))
            assert isinstance(held, DensePiece)
            shift = held.offset - held.columns[0]
            edges = [(tile.first + shift, tile.first + shift + tile.width) for tile in tiles]
            sampled = [Tile(lo - shift, held.data, lo, hi) for lo, hi in edges]

        def take(k: int) -> None:
            tile = sampled[k]
            sampled[k] = as_factor(tile if self.held is not None else tile.take(self.sample))

        each(take, len(tiles))
        return sampled

    def close_span(self, state: State, each: Each) -> None:
        """Multiply the tiles that are not full."""
        self._stack.flush(partial(self._multiply, state[0], each))

    def finish(self, state: State) -> Array:
        """Return G[:, I] of the band, (rows, p)."""
        return mirrored(state[0]) if self._is_whole else np.asarray(state[0])


def _by_columns(rows: SparsePiece, chosen: Array, columns: Interval) -> tuple[Array, Array, Array]:
    """Return some rows of a piece, by columns: (heads, which of them, float64 values)."""
    entries = int((rows.extents[1, chosen] - rows.extents[0, chosen]).sum())
    heads = np.zeros(columns[1] - columns[0] + 1, np.int64)
    owners, values = np.empty(entries, np.int32), np.empty(entries, np.float64)
    shift = columns[0] - rows.origin
    rows_by_columns(rows.extents, rows.indices, rows.data, chosen, shift, heads, owners, values)
    return heads, owners, values
