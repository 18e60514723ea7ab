"""Y = X S^T for a band of rows."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.base import Additive, DensePiece, Piece, SparsePiece, State
from streamsparse.accumulators.steps import shifted
from streamsparse.arrays import Array
from streamsparse.kernels.ranges import Each, even_ranges
from streamsparse.kernels.sketch import Lists, fill_lists, sketch_dense, sketch_sparse
from streamsparse.kernels.vector import LANES, ROWS
from streamsparse.sketching.run_hash import SparseSign

# Columns whose runs are staged and listed at once: with those of the next rows they fill an L2
# cache of 1 MiB. More would visit Y less often, were the cache larger.
_TILE_COLUMNS = 1 << 14


class SketchAccumulator(Additive):
    """Accumulate sqrt(s) X S^T of ``rows`` rows: exact signs, float64, s additions per entry of X.

    The scale 1 / sqrt(s) is applied once, after folding: sums of integers stay integers.

    Memory: rows * (m + s (run - 1)) * 8 bytes per state, and for dense pieces less than 1 MiB for
    each thread. Sparse pieces must come by rows. ``first_column``: the column of S that belongs to
    column 0 of the pieces.
    """

    def __init__(self, *, rows: int, operator: SparseSign, first_column: int = 0) -> None:
        self.rows = rows
        self.operator = operator
        self.first_column = first_column

    def start(self) -> State:
        """Return the padded sums, zero."""
        return [np.zeros((self.rows, self.operator.padded_m))]

    def update(self, state: State, piece: Piece, each: Each) -> None:
        """Add the columns of one piece, in column order within every cell of Y."""
        piece = shifted(piece, self.first_column)
        if isinstance(piece, SparsePiece):
            self._update_sparse(state[0], piece, each)
            return
        start, stop = piece.columns
        while start < stop:
            edge = min(stop, (start // _TILE_COLUMNS + 1) * _TILE_COLUMNS)
            self._add_tile(state[0], piece, start, edge, each)
            start = edge

    def _add_tile(
        self, padded: Array, piece: DensePiece, start: int, stop: int, each: Each
    ) -> None:
        run, shift = self.operator.run, piece.offset - piece.columns[0]
        first, last = start // run, -(-stop // run)
        lists, parts = lists_of(self.operator, first, last), even_ranges(self.rows, 64)

        def add(part: int) -> None:
            a, b = parts[part]
            stage = empty_stage(piece.data.dtype, run, last - first)
            lo, hi, phase = start + shift, stop + shift, start - first * run
            sketch_dense(piece.data[a:b], lo, hi, phase, run, lists, stage, padded[a:b])

        each(add, len(parts))

    def _update_sparse(self, padded: Array, piece: SparsePiece, each: Each) -> None:
        run = self.operator.run
        first = piece.columns[0] // run
        offsets, signs = self.operator.tables(first, -(-piece.columns[1] // run))
        # Columns are counted from the origin of the piece, which may lie before its first run.
        phase = piece.origin - first * run
        parts = even_ranges(self.rows, 16)

        def add(part: int) -> None:
            a, b = parts[part]
            extents = piece.extents[:, a:b]
            sketch_sparse(
                extents, piece.indices, piece.data, phase, run, offsets, signs, padded[a:b]
            )

        each(add, len(parts))

    def finish(self, state: State) -> Array:
        """Return the sums (rows, m): Y without its scale."""
        return self.operator.unpad(state[0])


def lists_of(operator: SparseSign, first: int, stop: int) -> Lists:
    """Return, for each vector of cells, which of the runs [first, stop) are added to it."""
    offsets, signs = operator.tables(first, stop)
    most = offsets.size * (operator.run // LANES + 2)
    heads = np.zeros(operator.padded_m // LANES + 1, np.int32)
    positions, bits = np.empty(most, np.int32), np.empty(most, np.uint8)
    fill_lists(offsets, signs, operator.run, heads, positions, bits)
    return heads, positions, bits


def empty_stage(dtype: np.dtype[np.generic], run: int, runs: int) -> Array:
    """Return zeros, for runs of columns, in a float dtype that holds each value of ``dtype``.

    Values of the widest integers are rounded to float64, here as everywhere.
    """
    is_narrow = dtype.itemsize <= 2 or dtype == np.float32
    return np.zeros(runs * ROWS * (run + 2 * LANES), np.float32 if is_narrow else np.float64)
