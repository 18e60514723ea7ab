"""G 1 = X (X^T 1): what it takes, beside G and norms, to centre the columns of X afterwards."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.base import Additive, DensePiece, Piece, SparsePiece, State
from streamsparse.accumulators.steps import column_steps
from streamsparse.accumulators.tiles import STACK_BYTES
from streamsparse.arrays import Array
from streamsparse.kernels.means import (
    add_columns_dense,
    add_columns_sparse,
    means_dense,
    means_sparse_columns,
    means_sparse_rows,
)
from streamsparse.kernels.norms import LANES
from streamsparse.kernels.ranges import Each, even_ranges, steps

_SUM_BYTES = 8
_DENSE_COLUMNS = STACK_BYTES // _SUM_BYTES


class MeansAccumulator(Additive):
    """Accumulate X (X^T 1), 4 flops per entry of X, in float64; the band must be all n rows.

    Memory: rows * 512 bytes per state, and sums of at most STACK_BYTES.
    """

    def __init__(self, *, rows: int) -> None:
        self.rows = rows

    def start(self) -> State:
        """Return the lanes, zero."""
        return [np.zeros((self.rows, LANES))]

    def update(self, state: State, piece: Piece, each: Each) -> None:
        """Add the columns of one piece."""
        lanes = state[0]
        # Values that are not finite are reported by the norms, which name row and column.
        if isinstance(piece, DensePiece):
            lo, hi = piece.lo_hi
            for start, stop in steps(hi - lo, _DENSE_COLUMNS):
                self._add_dense(lanes, piece, lo + start, lo + stop, each)
        elif piece.by_rows:
            for step in column_steps(piece, bytes_per_column=_SUM_BYTES):
                self._add_rows(lanes, step, each)
        else:
            phase = piece.columns[0] % LANES
            means_sparse_columns(piece.extents, piece.indices, piece.data, phase, lanes)

    def _add_dense(self, lanes: Array, piece: DensePiece, lo: int, hi: int, each: Each) -> None:
        phase = (piece.columns[0] + lo - piece.offset) % LANES
        sums = np.zeros(hi - lo)
        columns, rows = even_ranges(hi - lo, 1024), even_ranges(self.rows, 16)

        def add(part: int) -> None:
            a, b = columns[part]
            add_columns_dense(piece.data, lo + a, lo + b, sums[a:b])

        def expand(part: int) -> None:
            a, b = rows[part]
            means_dense(piece.data[a:b], lo, hi, phase, sums, lanes[a:b])

        each(add, len(columns))
        each(expand, len(rows))

    def _add_rows(self, lanes: Array, step: SparsePiece, each: Each) -> None:
        shift, phase = step.columns[0] - step.origin, step.columns[0] % LANES
        sums = np.zeros(step.columns[1] - step.columns[0])
        add_columns_sparse(step.extents, step.indices, step.data, shift, sums)
        parts = even_ranges(self.rows, 16)

        def expand(part: int) -> None:
            a, b = parts[part]
            extents = step.extents[:, a:b]
            means_sparse_rows(extents, step.indices, step.data, shift, phase, sums, lanes[a:b])

        each(expand, len(parts))

    def finish(self, state: State) -> Array:
        """Return G 1 (rows,)."""
        return np.asarray(state[0].sum(axis=1))
