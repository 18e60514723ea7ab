"""Below which eigenvalue a direction of G is rounding noise."""

from __future__ import annotations

import numpy as np


def rank_tolerance(n: int, block_dtype: np.dtype[np.generic]) -> float:
    """Return the relative eigenvalue cut-off for a Gram matrix of n rows of this dtype.

    float64 and integer products are summed in float64: 1e-12 n (THEORY 6). float32 products carry
    at most 256 roundings of 2^-24 each, which behave like a random symmetric matrix: entries up to
    16 * 2^-24, spectral norm up to 2 sqrt(n) times that, relative to the largest row norm.
    """
    if block_dtype == np.float32:
        return float(2 * np.sqrt(n) * 16 * 2.0**-24)
    return 1e-12 * n
