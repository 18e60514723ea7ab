"""Y += X S^T for a run-hashed sparse-sign S, dense and sparse (THEORY 7.1).

Columns come in runs of ``run`` consecutive global indices. Run q goes, for each replicate t, to the
buckets ``offsets[q, t] ... offsets[q, t] + run - 1`` of the padded Y, with the sign of its column a
in bit a of ``signs[q, t]`` (1 means minus). ``phase`` is the position inside its run of the first
column given, and row 0 of ``offsets`` and ``signs`` belongs to that run. Every cell of Y receives
its columns in increasing order, whatever the block edges: the bits of Y do not depend on them.
"""

from __future__ import annotations

import numpy as np

from streamsparse.kernels.jit import kernel
from streamsparse.sources.base import Array

# Rows that share one expansion of the sign bits; their slices of Y stay in the L2 cache. Eight were
# as fast as four and faster than 16 or 32 at m = 4,096.
_ROW_TILE = 8


@kernel
def sketch_dense(
    X: Array, lo: int, hi: int, phase: int, run: int, offsets: Array, signs: Array, Y: Array
) -> None:
    """Add the columns [lo, hi) of X to Y. Shapes: X (rows, any), offsets and signs (runs, s)."""
    rows = X.shape[0]
    sign = np.empty((offsets.shape[1], 64), np.float64)
    for top in range(0, rows, _ROW_TILE):
        bottom = min(top + _ROW_TILE, rows)
        for q in range(offsets.shape[0]):
            first = max(q * run - phase, 0)
            last = min((q + 1) * run - phase, hi - lo)
            a = first + phase - q * run
            length = last - first
            for t in range(offsets.shape[1]):
                word = signs[q, t]
                for k in range(length):
                    bit = (word >> np.uint64(a + k)) & np.uint64(1)
                    sign[t, k] = 1.0 - 2.0 * np.float64(bit)
            for i in range(top, bottom):
                x = X[i, lo + first : lo + last]
                for t in range(offsets.shape[1]):
                    base = offsets[q, t] + a
                    y = Y[i, base : base + length]
                    sign_of = sign[t]
                    for k in range(length):
                        y[k] += sign_of[k] * x[k]


@kernel
def sketch_sparse(
    extents: Array,
    indices: Array,
    data: Array,
    phase: int,
    run: int,
    offsets: Array,
    signs: Array,
    Y: Array,
) -> None:
    """Add rows in compressed form to Y.

    Row i has the entries ``extents[0, i] ... extents[1, i] - 1`` of ``indices`` (columns counted
    from the first column given) and ``data``. Shapes: extents (2, rows), Y (rows, padded m).
    """
    for i in range(extents.shape[1]):
        y = Y[i]
        for p in range(extents[0, i], extents[1, i]):
            column = indices[p] + phase
            q = column // run
            a = column - q * run
            value = np.float64(data[p])
            for t in range(offsets.shape[1]):
                bit = (signs[q, t] >> np.uint64(a)) & np.uint64(1)
                y[offsets[q, t] + a] += value * (1.0 - 2.0 * np.float64(bit))
