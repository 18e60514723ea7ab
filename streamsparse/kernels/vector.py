"""Steps on vectors that compilers do not find by themselves, and what they mean.

Each is written here as loops over its elements, which is how it runs where nothing is compiled.
Compiled kernels call what ``vector_code`` makes of the same names: LLVM vector instructions for
whatever processor there is, with the same result to the last bit.
"""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array

# Float64 cells that are summed side by side, and rows that share one reading of the lists: eight
# are a cache line, and two rows of 16,384 staged columns leave room in 1 MiB of L2 cache for the
# two that come next.
LANES = 8
ROWS = 2
# Columns that are staged side by side.
WIDTH = 64
# Products that are summed side by side: as many as the registers of most processors hold.
OUTER_ROWS = 4
OUTER_LANES = 16


def stage_run(x: Array, start: int, stage: Array, to: int) -> None:
    """stage[to + k] = x[start + k] for k < WIDTH, converted. Shapes: both one-dimensional."""
    for k in range(WIDTH):
        stage[to + k] = x[start + k]


def add_cells(
    stage: Array,
    step: int,
    positions: Array,
    signs: Array,
    begin: int,
    end: int,
    at: int,
    pair: tuple[Array, Array],
) -> None:
    """pair[r][at + k] += +-stage[positions[e] + r step + k], e = begin ... end - 1 in this order.

    For k < LANES and both rows r of the pair, minus where bit k of ``signs[e]`` is set. All sums
    are made before any is stored: the pair may be one row twice. Shapes: all one-dimensional; stage
    float32 or float64, positions int32, signs uint8, rows of the pair float64.
    """
    sums = [row[at : at + LANES].copy() for row in pair]
    for e in range(begin, end):
        for r, cells in enumerate(sums):
            for k in range(LANES):
                value = np.float64(stage[positions[e] + r * step + k])
                cells[k] += -value if (int(signs[e]) >> k) & 1 else value
    for row, cells in zip(pair, sums, strict=True):
        row[at : at + LANES] = cells


def add_outer(
    a: Array, at: int, step: int, b: Array, start: int, stride: int, depth: int, sums: Array
) -> None:
    """sums[r, l] += a[at + r step + k] b[start + k stride + l], k = 0 ... depth - 1 in this order.

    For r < OUTER_ROWS and l < OUTER_LANES, in float64; compiled, each step rounds once, here twice.
    Shapes: a and b one-dimensional, sums (OUTER_ROWS, OUTER_LANES).
    """
    for k in range(depth):
        row = b[start + k * stride : start + k * stride + OUTER_LANES].astype(np.float64)
        for r in range(OUTER_ROWS):
            sums[r] += np.float64(a[at + r * step + k]) * row


def add_multiple(y: Array, at: int, value: float, x: Array, start: int) -> None:
    """y[at + k] += value x[start + k] for k < OUTER_LANES. Shapes: both one-dimensional float64."""
    for k in range(OUTER_LANES):
        y[at + k] += value * x[start + k]


def fetch(x: Array, at: int) -> None:
    """Have the processor bring the cache line of x[at] nearer; changes nothing."""
