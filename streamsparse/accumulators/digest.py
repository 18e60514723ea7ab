"""A digest of the values of X, so that a source that changes between two passes is noticed."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.base import Additive, DensePiece, Piece, SparsePiece, State
from streamsparse.accumulators.steps import columns_of, shifted
from streamsparse.arrays import Array, Interval
from streamsparse.kernels.digest import digest_dense, digest_sparse_columns, digest_sparse_rows
from streamsparse.kernels.ranges import Each, even_ranges
from streamsparse.sketching.draws import digest_factors

# Columns whose factors are held at once: 8 bytes each, and as much again while they are made.
_STEP = 1 << 16


class DigestAccumulator(Additive):
    """Accumulate one 64-bit word per row: sum_j factor_j spread(bits(X_ij)) modulo 2^64.

    Additions of integers commute, so the words depend on the values alone: not on chunks, blocks,
    spans, threads, nor on dense or sparse storage. Memory: rows * 8 bytes per state.
    ``first_column``: which j column 0 of the pieces has.
    """

    def __init__(self, *, rows: int, first_column: int = 0) -> None:
        self.rows = rows
        self.first_column = first_column

    def start(self) -> State:
        """Return the words, zero."""
        return [np.zeros(self.rows, np.uint64)]

    def update(self, state: State, piece: Piece, each: Each) -> None:
        """Add the columns of one piece, in steps, so that few factors are held at once."""
        piece = shifted(piece, self.first_column)
        for first in range(*piece.columns, _STEP):
            columns = (first, min(first + _STEP, piece.columns[1]))
            self._add_step(state[0], piece, columns, each)

    def _add_step(self, words: Array, piece: Piece, columns: Interval, each: Each) -> None:
        factors = digest_factors(*columns)
        bits = piece.data.view(f"u{piece.data.dtype.itemsize}")
        if isinstance(piece, SparsePiece) and not piece.by_rows:
            local = slice(columns[0] - piece.columns[0], columns[1] - piece.columns[0])
            digest_sparse_columns(piece.extents[:, local], piece.indices, bits, factors, words)
            return
        extents = None
        if isinstance(piece, SparsePiece):
            extents = columns_of(piece, columns).extents
        parts = even_ranges(self.rows, 16)

        def add(part: int) -> None:
            a, b = parts[part]
            if isinstance(piece, DensePiece):
                lo = piece.offset + columns[0] - piece.columns[0]
                hi = lo + columns[1] - columns[0]
                digest_dense(bits[a:b], lo, hi, factors, words[a:b])
            elif extents is not None:
                shift = columns[0] - piece.origin
                digest_sparse_rows(extents[:, a:b], piece.indices, bits, factors, shift, words[a:b])

        each(add, len(parts))

    def finish(self, state: State) -> Array:
        """Return the words (rows,) uint64."""
        return np.asarray(state[0])
