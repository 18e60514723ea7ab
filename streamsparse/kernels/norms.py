"""Sums of squares of rows in 64 lanes, lane = global column mod 64.

The lane of a column does not depend on block edges, so neither do the bits; 16 independent sums
also let the loop vectorise without reordering any addition.
"""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.jit import kernel

LANES = 64


@kernel
def norms_dense(X: Array, lo: int, hi: int, phase: int, lanes: Array) -> None:
    """lanes[i, (phase + j) % 64] += X[i, lo + j]^2. Shapes: X (rows, any), lanes (rows, 64)."""
    width = hi - lo
    head = min((LANES - phase) % LANES, width)
    body = head + (width - head) // LANES * LANES
    for i in range(X.shape[0]):
        x = X[i, lo:hi]
        lane = lanes[i]
        for j in range(head):
            value = np.float64(x[j])
            lane[phase + j] += value * value
        for start in range(head, body, LANES):
            tile = x[start : start + LANES]
            for k in range(LANES):
                value = np.float64(tile[k])
                lane[k] += value * value
        for j in range(body, width):
            value = np.float64(x[j])
            lane[j - body] += value * value


@kernel
def norms_sparse_rows(
    extents: Array, indices: Array, data: Array, phase: int, lanes: Array
) -> None:
    """The same for rows in compressed form. Shapes: extents (2, rows), lanes (rows, 64)."""
    for i in range(extents.shape[1]):
        for p in range(extents[0, i], extents[1, i]):
            value = np.float64(data[p])
            lanes[i, (indices[p] + phase) % LANES] += value * value


@kernel
def norms_sparse_columns(
    extents: Array, indices: Array, data: Array, phase: int, lanes: Array
) -> None:
    """The same for columns in compressed form. Shapes: extents (2, columns), lanes (rows, 64)."""
    for j in range(extents.shape[1]):
        lane = (phase + j) % LANES
        for p in range(extents[0, j], extents[1, j]):
            value = np.float64(data[p])
            lanes[indices[p], lane] += value * value
