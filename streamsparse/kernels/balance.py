"""The one loop of balancing that cannot be a matrix product: decide columns one by one."""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.jit import kernel


@kernel
def balance_columns(
    p: Array, squares: Array, scores: Array, slack: float, surplus: Array, z: Array
) -> None:
    """Keep (z = 1 / p - 1) or drop (z = -1) columns x_j in order, whichever makes E smaller.

    THEORY 3.6: minimise 2 z x^T E x + z^2 ||x||^4 + slack (surplus + kept - p)^2, then
    E += z x x^T, which moves the scores of later columns by z (x_i . x_j)^2. Columns with p >= 1
    are kept as they are; those with ||x|| = 0 are dropped. ``scores`` x_j^T E x_j is overwritten.
    Shapes: p, scores, z (w,) float64; squares (x_i . x_j)^2, (w, w); surplus (1,), kept so far
    minus the sum of p.
    """
    for i in range(p.shape[0]):
        z[i] = 0.0
        length = np.float64(squares[i, i])
        if p[i] >= 1.0:
            continue
        if length == 0.0:
            z[i] = -1.0
            continue
        more = 1.0 / p[i] - 1.0
        kept = surplus[0] + 1.0 - p[i]
        dropped = surplus[0] - p[i]
        cost_kept = 2.0 * more * scores[i] + more * more * length + slack * kept * kept
        cost_dropped = -2.0 * scores[i] + length + slack * dropped * dropped
        if cost_kept < cost_dropped:
            z[i] = more
            surplus[0] = kept
        else:
            z[i] = -1.0
            surplus[0] = dropped
        change = z[i]
        row = squares[i]
        for j in range(i + 1, p.shape[0]):
            scores[j] += change * row[j]
