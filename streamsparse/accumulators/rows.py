"""Sampled columns of G = X X^T, exactly: the measured part of a certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from streamsparse.accumulators.base import DensePiece, Each, Piece, SparsePiece, State, shares
from streamsparse.accumulators.tiles import (
    STACK_BYTES,
    Tile,
    TileStack,
    add_product,
    row_bands,
    tiles_per_stack,
)
from streamsparse.kernels.gram import rows_sparse
from streamsparse.kernels.layout import advance
from streamsparse.sources.base import Array, Interval

HeldRows: TypeAlias = Callable[[Interval], Piece]


class RowsAccumulator:
    """Accumulate G[:, I] = X X_I^T for a sample I of p rows; 2 p flops per entry of X.

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
        count = tiles_per_stack(rows, block_dtype)
        self._stack = TileStack(rows=rows, count=count, block_dtype=block_dtype)
        # The sampled rows that are not in the band fill a stack of their own, in step with it.
        self._held_stack = (
            None
            if held is None
            else TileStack(rows=sample.size, count=count, block_dtype=block_dtype)
        )

    def start(self) -> State:
        """Return G[:, I] of the band, zero."""
        return [np.zeros((self.rows, self.sample.size))]

    def update(self, state: State, piece: Piece, each: Each) -> None:
        """Add the columns of one piece."""
        if isinstance(piece, SparsePiece):
            self._update_sparse(state[0], piece, each)
            return
        start, hi = piece.lo_hi
        shift = piece.columns[0] - start
        while start < hi:
            stop = min(hi, start + self._stack.room)
            if self.held is not None and self._held_stack is not None:
                held = self.held((start + shift, stop + shift))
                assert isinstance(held, DensePiece)
                self._held_stack.put_dense(held, *held.lo_hi, each)
            self._stack.put_dense(piece, start, stop, each)
            if self._stack.room == 0:
                self._drain(state[0], each)
            start = stop

    def _update_sparse(self, out: Array, piece: SparsePiece, each: Each) -> None:
        """Add the columns in steps, so that the sampled rows of a step take STACK_BYTES at most."""
        parts = shares(self.rows, 16)
        starts = piece.extents[0]
        step = max(1, STACK_BYTES // (8 * self.sample.size))
        for first in range(piece.columns[0], piece.columns[1], step):
            last = min(first + step, piece.columns[1])
            stops = np.empty_like(starts)
            advance(starts, piece.extents[1], piece.indices, last - piece.origin, stops)
            extents = np.stack([starts, stops])
            part = replace(piece, columns=(first, last), extents=extents)
            if self.held is None:
                slots, X_I = _compact(part, self.sample, part)
            else:
                held = self.held((first, last))
                assert isinstance(held, SparsePiece)
                slots, X_I = _compact(held, np.arange(self.sample.size), part)
            self._add_step(out, part, slots, X_I, parts, each)
            starts = stops

    def _add_step(
        self,
        out: Array,
        part: SparsePiece,
        slots: Array,
        X_I: Array,
        parts: list[Interval],
        each: Each,
    ) -> None:
        def add(k: int) -> None:
            a, b = parts[k]
            rows_sparse(part.extents[:, a:b], part.indices, part.data, slots, X_I, out[a:b])

        each(add, len(parts))

    def _drain(self, out: Array, each: Each) -> None:
        bands = row_bands(self.rows)
        held: list[Tile] = []
        if self._held_stack is not None:
            self._held_stack.drain(each, lambda tiles, _: held.extend(tiles), 1)

        def multiply(tiles: list[Tile], part: int) -> None:
            a, b = bands[part]
            for k, tile in enumerate(tiles):
                sampled = held[k] if held else tile.take(self.sample)
                add_product(tile.band(a, b), sampled, out[a:b])

        self._stack.drain(each, multiply, len(bands))

    def close_span(self, state: State, each: Each) -> None:
        """Multiply the tiles that are not full."""
        self._drain(state[0], each)

    def finish(self, state: State) -> Array:
        """Return G[:, I] of the band, (rows, p)."""
        return state[0]


def _compact(held: SparsePiece, rows: Array, piece: SparsePiece) -> tuple[Array, Array]:
    """Return (slots, X_I): X_I (used, p) holds the columns in which a sampled row is not zero.

    ``slots[j]`` is the row of X_I for index j of ``piece``, or -1.
    """
    entries = [np.arange(*held.extents[:, row]) for row in rows.tolist()]
    positions = np.concatenate(entries)
    counts = [entry.size for entry in entries]
    columns = held.indices[positions].astype(np.int64) + (held.origin - piece.origin)
    used, slot_of_entry = np.unique(columns, return_inverse=True)
    slots = np.full(piece.columns[1] - piece.origin, -1, np.int32)
    slots[used] = np.arange(used.size, dtype=np.int32)
    X_I = np.zeros((used.size, rows.size))
    X_I[slot_of_entry, np.repeat(np.arange(rows.size), counts)] = held.data[positions]
    return slots, X_I
