"""Y = X S^T for a band of rows."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.base import Additive, DensePiece, Piece, State
from streamsparse.kernels.ranges import Each, even_ranges
from streamsparse.kernels.sketch import sketch_dense, sketch_sparse
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.sources.base import Array


class SketchAccumulator(Additive):
    """Accumulate sqrt(s) X S^T of ``rows`` rows: exact signs, float64, s additions per entry of X.

    The scale 1 / sqrt(s) is applied once, after folding: sums of integers stay integers.

    Memory: rows * (m + s (run - 1)) * 8 bytes per state. Sparse pieces must come by rows.
    """

    def __init__(self, *, rows: int, operator: SparseSign) -> None:
        self.rows = rows
        self.operator = operator

    def start(self) -> State:
        """Return the padded sums, zero."""
        return [np.zeros((self.rows, self.operator.padded_m))]

    def update(self, state: State, piece: Piece, each: Each) -> None:
        """Add the columns of one piece, in column order within every cell of Y."""
        padded = state[0]
        run = self.operator.run
        origin = piece.columns[0] if isinstance(piece, DensePiece) else piece.origin
        first = piece.columns[0] // run
        offsets, signs = self.operator.tables(first, -(-piece.columns[1] // run))
        # Columns are counted from `phase` before the first one, at the edge of its run.
        phase = origin - first * run
        parts = even_ranges(self.rows, 16)

        def add(part: int) -> None:
            a, b = parts[part]
            if isinstance(piece, DensePiece):
                lo, hi = piece.lo_hi
                sketch_dense(piece.data[a:b], lo, hi, phase, run, offsets, signs, padded[a:b])
            else:
                sketch_sparse(
                    piece.extents[:, a:b],
                    piece.indices,
                    piece.data,
                    phase,
                    run,
                    offsets,
                    signs,
                    padded[a:b],
                )

        each(add, len(parts))

    def finish(self, state: State) -> Array:
        """Return the sums (rows, m): Y without its scale."""
        return self.operator.unpad(state[0])
