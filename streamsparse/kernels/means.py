"""X (X^T 1) in 64 lanes: what every row has in common with the sum of all rows.

The sum of a column is that of its rows in order, and lanes are those of `norms`: block edges do not
show in the bits, and dense and sparse columns have the same ones.
"""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.jit import kernel
from streamsparse.kernels.norms import LANES


@kernel
def add_columns_dense(X: Array, lo: int, hi: int, sums: Array) -> None:
    """sums[j] += sum_i X[i, lo + j]. Shapes: X (rows, any), sums (hi - lo,)."""
    for i in range(X.shape[0]):
        x = X[i, lo:hi]
        for j in range(hi - lo):
            sums[j] += np.float64(x[j])


@kernel
def add_columns_sparse(
    extents: Array, indices: Array, data: Array, shift: int, sums: Array
) -> None:
    """The same for rows in compressed form, column ``shift`` first. Shape: extents (2, rows)."""
    for i in range(extents.shape[1]):
        for p in range(extents[0, i], extents[1, i]):
            sums[indices[p] - shift] += np.float64(data[p])


@kernel
def means_dense(X: Array, lo: int, hi: int, phase: int, sums: Array, lanes: Array) -> None:
    """lanes[i, (phase + j) % 64] += X[i, lo + j] sums[j]. Shapes: sums (hi - lo,)."""
    width = hi - lo
    head = min((LANES - phase) % LANES, width)
    body = head + (width - head) // LANES * LANES
    for i in range(X.shape[0]):
        x = X[i, lo:hi]
        lane = lanes[i]
        for j in range(head):
            lane[phase + j] += np.float64(x[j]) * sums[j]
        for start in range(head, body, LANES):
            tile, factors = x[start : start + LANES], sums[start : start + LANES]
            for k in range(LANES):
                lane[k] += np.float64(tile[k]) * factors[k]
        for j in range(body, width):
            lane[j - body] += np.float64(x[j]) * sums[j]


@kernel
def means_sparse_rows(
    extents: Array,
    indices: Array,
    data: Array,
    shift: int,
    phase: int,
    sums: Array,
    lanes: Array,
) -> None:
    """The same for rows in compressed form; index ``shift`` is lane ``phase``."""
    for i in range(extents.shape[1]):
        for p in range(extents[0, i], extents[1, i]):
            j = indices[p] - shift
            lanes[i, (j + phase) % LANES] += np.float64(data[p]) * sums[j]


@kernel
def means_sparse_columns(
    extents: Array, indices: Array, data: Array, phase: int, lanes: Array
) -> None:
    """The same for columns in compressed form, which need no sums beforehand."""
    for j in range(extents.shape[1]):
        lane = (phase + j) % LANES
        total = 0.0
        for p in range(extents[0, j], extents[1, j]):
            total += np.float64(data[p])
        for p in range(extents[0, j], extents[1, j]):
            lanes[indices[p], lane] += np.float64(data[p]) * total
