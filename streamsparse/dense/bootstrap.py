"""How far Y Y^T scatters, by resampling the buckets of the sketch: an estimate, never a bound.

Lopes, Wang, Mahoney: Bootstrap methods for matrix multiplication, JMLR 20 (2019); THEORY 5.3.
"""

from __future__ import annotations

import math

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.certificate import Measure
from streamsparse.sketching.draws import BOOTSTRAP, sample_rows, uniforms

QUANTILE = 0.95
MOST_COLUMNS = 512
_REPLICATES = 40
_MOST_FLOPS = 1e9
_MOST_BYTES = 8 << 20


def bootstrap_entry(
    Y: Array, *, m: int, r: float, seed: int, exact_diagonal: bool
) -> Measure | None:
    """Estimate max |E_ij| / r over a random share of the rows, for a sketch of m columns.

    Parameters
    ----------
    Y : (n, w) the sketch itself, folded to w <= m columns.
    m : columns of the sketch that the estimate is for: errors fall as 1 / sqrt(m).
    r : max ||x_i||^2.
    seed : which replicates are drawn.
    exact_diagonal : rows are rescaled to their exact norms.

    Notes
    -----
    40 replicates E* = sum_b (N_b - 1) y_b y_b^T with N multinomial, on as many random rows as
    1e9 flops allow, the ``share`` of the measure; the 95 % quantile of their maxima. Asymptotic in
    m: nominal confidence only.
    """
    n, w = Y.shape
    if r == 0:
        return None
    count = max(1, min(n, int(_MOST_FLOPS / (2 * n * w * _REPLICATES))))
    rows = sample_rows(n=n, count=count, seed=seed)
    F_rows = Y[rows] @ Y.T
    F_diagonal = np.einsum("ib,ib->i", Y, Y)
    counts = _resampled_buckets(w, seed)
    maxima = np.empty(_REPLICATES)
    # Several replicates in one product, as many as fit.
    step = max(1, _MOST_BYTES // (8 * n * count))
    for first in range(0, _REPLICATES, step):
        drawn = counts[first : first + step]
        F_star = (drawn[:, None, :] * Y[rows]).reshape(-1, w) @ Y.T
        F_star = F_star.reshape(len(drawn), count, n)
        if exact_diagonal:
            diagonal = drawn @ np.square(Y).T
            scale = np.sqrt(F_diagonal / np.where(diagonal > 0, diagonal, 1.0))
            F_star *= scale[:, rows, None] * scale[:, None, :]
        F_star -= F_rows
        maxima[first : first + step] = np.abs(F_star, out=F_star).max(axis=(1, 2))
    value = float(np.quantile(maxima, QUANTILE)) * math.sqrt(w / m) / r
    return Measure(value, "estimate", QUANTILE, count / n)


def _resampled_buckets(w: int, seed: int) -> Array:
    """Return how often each replicate draws each of w buckets, (replicates, w)."""
    keys = np.arange(w, dtype=np.uint64)
    counts = np.empty((_REPLICATES, w))
    for k in range(_REPLICATES):
        draws = (uniforms(seed=seed, keys=keys, stream=BOOTSTRAP + k) * w).astype(np.int64)
        counts[k] = np.bincount(draws, minlength=w)
    return counts
