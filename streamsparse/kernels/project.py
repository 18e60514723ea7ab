"""Products of sparse X with a few dense vectors: what probes and leverage scores are made of."""

from __future__ import annotations

import numpy as np

from streamsparse.kernels.jit import kernel
from streamsparse.sources.base import Array


@kernel
def project_rows(
    extents: Array, indices: Array, data: Array, shift: int, probes: Array, out: Array
) -> None:
    """out = X^T probes + out, X by rows; index j is row ``j - shift`` of ``out``.

    Shapes: extents (2, rows), probes (rows, q), out (columns, q).
    """
    for i in range(extents.shape[1]):
        probe = probes[i]
        for p in range(extents[0, i], extents[1, i]):
            value = np.float64(data[p])
            y = out[indices[p] - shift]
            for k in range(probe.shape[0]):
                y[k] += value * probe[k]


@kernel
def expand_rows(
    extents: Array, indices: Array, data: Array, shift: int, projected: Array, out: Array
) -> None:
    """out += X projected, X by rows. Shapes: projected (columns, q), out (rows, q)."""
    for i in range(extents.shape[1]):
        y = out[i]
        for p in range(extents[0, i], extents[1, i]):
            value = np.float64(data[p])
            x = projected[indices[p] - shift]
            for k in range(y.shape[0]):
                y[k] += value * x[k]


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
