"""Products of X with a few dense vectors: what probes and leverage scores are made of."""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.jit import kernel
from streamsparse.kernels.vector import OUTER_LANES, OUTER_ROWS, add_multiple, add_outer, fetch

# Rows of X that are staged at once: with 256 columns they fit an L2 cache of 512 KiB.
STAGED_ROWS = 256
# Sparse rows whose first entries are fetched beforehand.
_AHEAD = 8


@kernel
def project_dense(X: Array, lo: int, hi: int, probes: Array, stage: Array, out: Array) -> None:
    """out = X[:, lo:hi]^T probes^T, q a multiple of OUTER_LANES; sums in the order of rows.

    Shapes: X (rows, any), probes (q, rows), stage (256, at least hi - lo, a multiple of
    OUTER_LANES), of the dtype of X; out (hi - lo, q). Rows of X lie so far apart that their columns
    would drive each other out of the caches: they are staged side by side.
    """
    q, width = probes.shape[0], hi - lo
    sums = np.empty((OUTER_ROWS, OUTER_LANES), np.float64)
    flat, staged = probes.reshape(-1), stage.reshape(-1)
    pitch = stage.shape[1]
    out[:] = 0.0
    for top in range(0, X.shape[0], STAGED_ROWS):
        depth = min(STAGED_ROWS, X.shape[0] - top)
        for i in range(depth):
            x = X[top + i, lo:hi]
            y = stage[i]
            for j in range(width):
                y[j] = x[j]
        for left in range(0, width, OUTER_LANES):
            count = min(OUTER_LANES, width - left)
            for t in range(0, q, OUTER_ROWS):
                sums[:] = 0.0
                at = t * X.shape[0] + top
                add_outer(flat, at, X.shape[0], staged, left, pitch, depth, sums)
                for r in range(OUTER_ROWS):
                    for j in range(count):
                        out[left + j, t + r] += sums[r, j]


@kernel
def expand_dense(X: Array, lo: int, hi: int, projected: Array, out: Array) -> None:
    """out += X[:, lo:hi] projected, q a multiple of OUTER_LANES; sums in the order of columns.

    Shapes: X (rows, any), projected (hi - lo, q), out (rows, q).
    """
    rows, q = X.shape[0], projected.shape[1]
    sums = np.empty((OUTER_ROWS, OUTER_LANES), np.float64)
    flat, vectors = X.reshape(-1), projected.reshape(-1)
    for top in range(0, rows, OUTER_ROWS):
        # The last rows are done once each, as if they were several.
        count = OUTER_ROWS if top + OUTER_ROWS <= rows else 1
        for i in range(top, min(top + OUTER_ROWS, rows), count):
            step = X.shape[1] if count > 1 else 0
            for t in range(0, q, OUTER_LANES):
                sums[:] = 0.0
                add_outer(flat, i * X.shape[1] + lo, step, vectors, t, q, hi - lo, sums)
                for r in range(count):
                    y = out[i + r, t : t + OUTER_LANES]
                    for j in range(OUTER_LANES):
                        y[j] += sums[r, j]


@kernel
def project_rows(
    extents: Array, indices: Array, data: Array, shift: int, probes: Array, out: Array
) -> None:
    """out = X^T probes + out, X by rows; index j is row ``j - shift`` of ``out``.

    Shapes: extents (2, rows), probes (rows, q), out (columns, q), q a multiple of OUTER_LANES.
    """
    q = probes.shape[1]
    sums, vectors = out.reshape(-1), probes.reshape(-1)
    rows = extents.shape[1]
    for i in range(rows):
        # Rows begin far apart, and parts of them are too short to be foreseen.
        ahead = extents[0, min(i + _AHEAD, rows - 1)]
        fetch(indices, ahead)
        fetch(data, ahead)
        for t in range(0, q, OUTER_LANES):
            for p in range(extents[0, i], extents[1, i]):
                at = (np.int64(indices[p]) - shift) * q
                add_multiple(sums, at + t, np.float64(data[p]), vectors, i * q + t)


@kernel
def expand_rows(
    extents: Array, indices: Array, data: Array, shift: int, projected: Array, out: Array
) -> None:
    """out += X projected, X by rows.

    Shapes: projected (columns, q), out (rows, q), q a multiple of OUTER_LANES.
    """
    q = out.shape[1]
    sums, vectors = out.reshape(-1), projected.reshape(-1)
    rows = extents.shape[1]
    for i in range(rows):
        # Rows begin far apart, and parts of them are too short to be foreseen.
        ahead = extents[0, min(i + _AHEAD, rows - 1)]
        fetch(indices, ahead)
        fetch(data, ahead)
        for t in range(0, q, OUTER_LANES):
            for p in range(extents[0, i], extents[1, i]):
                at = (np.int64(indices[p]) - shift) * q
                add_multiple(sums, i * q + t, np.float64(data[p]), vectors, at + t)


@kernel
def project_columns(extents: Array, indices: Array, data: Array, probes: Array, out: Array) -> None:
    """out[j] = sum_i X_ij probes[i], X by columns. Shapes: probes (rows, t), out (columns, t)."""
    for j in range(extents.shape[1]):
        y = out[j]
        for k in range(y.shape[0]):
            y[k] = 0.0
        for p in range(extents[0, j], extents[1, j]):
            value = np.float64(data[p])
            probe = probes[indices[p]]
            for k in range(y.shape[0]):
                y[k] += value * probe[k]
