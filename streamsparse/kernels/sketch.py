"""Y += X S^T for a run-hashed sparse-sign S, dense and sparse (THEORY 7.1).

Columns come in runs of ``run`` consecutive global indices. Run q goes, for each replicate t, to the
buckets ``offsets[q, t] ... offsets[q, t] + run - 1`` of the padded Y, with the sign of its column a
in bit a of ``signs[q, t]`` (1 means minus). ``phase`` is the position inside its run of the first
column given, and row 0 of ``offsets`` and ``signs`` belongs to that run. Every cell of Y receives
its columns in increasing order, whatever the block edges: the bits of Y do not depend on them.

Dense: scattering a run loads and stores every cell of Y once for each of its s additions, most of
them across the edges of cache lines. Instead the cells are gone through in order, LANES of them at
a time: each vector of cells has a list of the runs that overlap it, made once for all rows, and is
loaded and stored once. Runs are first staged with LANES zeros on both sides, so that a list entry
is always LANES values, converted to floats and in the second level of caches.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.jit import kernel
from streamsparse.kernels.vector import LANES, ROWS, WIDTH, add_cells, fetch, stage_run

# (heads, positions, signs): list v has the entries heads[v] ... heads[v + 1] - 1.
Lists: TypeAlias = tuple[Array, Array, Array]

_CACHE_LINE = 64


@kernel
def fill_lists(
    offsets: Array, signs: Array, run: int, heads: Array, positions: Array, bits: Array
) -> None:
    """List for each vector of cells where in the stage what is added to it begins, and its signs.

    Shapes: offsets and signs (runs, s); heads (vectors + 1,) int32, zero on entry; positions int32
    and bits uint8 (entries,), at most runs s (run // LANES + 2) of them.
    """
    for q in range(offsets.shape[0]):
        for t in range(offsets.shape[1]):
            offset = offsets[q, t]
            for v in range(offset // LANES, (offset + run - 1) // LANES + 1):
                heads[v + 1] += 1
    for v in range(1, heads.shape[0]):
        heads[v] += heads[v - 1]
    padded = run + 2 * LANES
    for q in range(offsets.shape[0]):
        for t in range(offsets.shape[1]):
            offset, word = offsets[q, t], signs[q, t]
            for v in range(offset // LANES, (offset + run - 1) // LANES + 1):
                # The column of the run in lane 0; those before the first are staged zeros.
                a = v * LANES - offset
                e = heads[v]
                heads[v] = e + 1
                positions[e] = q * ROWS * padded + LANES + a
                shifted = word >> np.uint64(a) if a >= 0 else word << np.uint64(-a)
                bits[e] = shifted & np.uint64(255)
    for v in range(heads.shape[0] - 1, 0, -1):
        heads[v] = heads[v - 1]
    heads[0] = 0


@kernel
def sketch_dense(
    X: Array, lo: int, hi: int, phase: int, run: int, lists: Lists, stage: Array, Y: Array
) -> None:
    """Add the columns [lo, hi) of X to Y.

    Shapes: X (rows, any); stage float32 or float64 that holds all values of X, zero on entry,
    (runs ROWS (run + 2 LANES),); Y (rows, at least LANES vectors). Rows are contiguous.
    """
    heads, positions, bits = lists
    rows, padded = X.shape[0], run + 2 * LANES
    vectors = heads.shape[0] - 1
    runs = stage.shape[0] // (ROWS * padded)
    # While two rows are summed the next two are fetched, a few cache lines with every vector.
    line = _CACHE_LINE // X.itemsize
    share = -(-(hi - lo) // (vectors * line))
    for top in range(0, rows, ROWS):
        for r in range(ROWS):
            # The last of an odd number of rows is done twice.
            x = X[min(top + r, rows - 1)]
            for q in range(runs):
                first, last = max(q * run - phase, 0), min((q + 1) * run - phase, hi - lo)
                to = (q * ROWS + r) * padded + LANES + first + phase - q * run
                if last - first == WIDTH:
                    stage_run(x, lo + first, stage, to)
                else:
                    for k in range(last - first):
                        stage[to + k] = x[lo + first + k]
        pair = (Y[top], Y[min(top + 1, rows - 1)])
        for v in range(vectors):
            for r in range(top + ROWS, min(top + 2 * ROWS, rows)):
                x = X[r]
                for k in range(lo + v * share * line, min(lo + (v + 1) * share * line, hi), line):
                    fetch(x, k)
            add_cells(stage, padded, positions, bits, heads[v], heads[v + 1], LANES * v, pair)


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
    # A run is a power of two long; unsigned indices cannot count from the end.
    shift, within = np.uint64(0), np.uint64(run - 1)
    while (1 << shift) < run:
        shift += np.uint64(1)
    for i in range(extents.shape[1]):
        y = Y[i]
        for p in range(np.uint64(extents[0, i]), np.uint64(extents[1, i])):
            column = np.uint64(np.int64(indices[p]) + phase)
            q, a = column >> shift, column & within
            value = np.float64(data[p])
            for t in range(offsets.shape[1]):
                is_minus = (signs[q, t] >> a) & np.uint64(1)
                y[np.uint64(offsets[q, t]) + a] += -value if is_minus else value
