"""Squared row norms, and the first NaN or infinity if there is one."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.base import Additive, DensePiece, Piece, SparsePiece, State
from streamsparse.arrays import Array
from streamsparse.errors import NonFiniteError
from streamsparse.kernels.norms import (
    LANES,
    norms_dense,
    norms_sparse_columns,
    norms_sparse_rows,
)
from streamsparse.kernels.ranges import Each, even_ranges


class NormsAccumulator(Additive):
    """Accumulate ||x_i||^2 in float64 and refuse values that are not finite.

    Memory: rows * 512 bytes per state. A sum of squares is finite only if every value is, so the
    check costs no second look at the data.
    """

    def __init__(self, *, rows: int) -> None:
        self.rows = rows

    def start(self) -> State:
        """Return the lanes, zero."""
        return [np.zeros((self.rows, LANES))]

    def update(self, state: State, piece: Piece, each: Each) -> None:
        """Add the squares of one piece.

        Raises
        ------
        NonFiniteError : naming row and column of the first value that is not finite, or the row
            whose squares overflow float64.
        """
        lanes = state[0]
        by_columns = isinstance(piece, SparsePiece) and not piece.by_rows
        parts = [(0, self.rows)] if by_columns else even_ranges(self.rows, 16)

        def add(part: int) -> None:
            a, b = parts[part]
            if isinstance(piece, DensePiece):
                lo, hi = piece.lo_hi
                norms_dense(piece.data[a:b], lo, hi, piece.columns[0] % LANES, lanes[a:b])
            elif by_columns:
                phase = piece.columns[0] % LANES
                norms_sparse_columns(piece.extents, piece.indices, piece.data, phase, lanes)
            else:
                phase = piece.origin % LANES
                extents = piece.extents[:, a:b]
                norms_sparse_rows(extents, piece.indices, piece.data, phase, lanes[a:b])
            if not np.isfinite(lanes[a:b]).all():
                raise NonFiniteError(_describe_nonfinite(piece, lanes))

        each(add, len(parts))

    def finish(self, state: State) -> Array:
        """Return the squared norms (rows,).

        Raises
        ------
        NonFiniteError : if a sum overflows only now.
        """
        with np.errstate(over="ignore"):
            norms: Array = state[0].sum(axis=1)
        if not np.isfinite(norms).all():
            raise NonFiniteError("the squares of a row of X overflow float64; scale X down")
        return norms


def _describe_nonfinite(piece: Piece, lanes: Array) -> str:
    where = _find_nonfinite(piece)
    if where is None:
        row = piece.rows[0] + int(np.flatnonzero(~np.isfinite(lanes).all(axis=1))[0])
        return f"the squares of row {row} of X overflow float64; scale X down"
    row, column, value = where
    return (
        f"X has {value} at row {row}, column {column}; "
        f'clean X, or pass nonfinite="zero" (--nonfinite zero) to read it as 0, or impute it '
        f"(--impute mean)"
    )


def _find_nonfinite(piece: Piece) -> tuple[int, int, float] | None:
    """Return (row, column, value) of the first value that is not finite, by column, then row."""
    if isinstance(piece, DensePiece):
        lo, hi = piece.lo_hi
        rows, columns = np.nonzero(~np.isfinite(piece.data[:, lo:hi]))
        if rows.size == 0:
            return None
        k = int(np.lexsort((rows, columns))[0])
        value = piece.data[rows[k], lo + columns[k]]
        return piece.rows[0] + int(rows[k]), piece.columns[0] + int(columns[k]), float(value)
    for major in range(piece.extents.shape[1]):
        a, b = piece.extents[:, major]
        bad = np.flatnonzero(~np.isfinite(piece.data[a:b]))
        if bad.size:
            minor, value = int(piece.indices[a + bad[0]]), float(piece.data[a + bad[0]])
            if piece.by_rows:
                return piece.rows[0] + major, piece.origin + minor, value
            return piece.rows[0] + minor, piece.columns[0] + major, value
    return None
