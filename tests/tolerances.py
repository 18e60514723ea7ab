"""Where tolerances come from: a-priori rounding bounds (Higham, section 3), binomial counts."""

import numpy as np
from scipy.stats import binom


def sum_error_bound(terms_abs_sum, count, dtype=np.float64):
    """Largest error of a sum of ``count`` terms in any order, given the sum of their magnitudes."""
    u = np.finfo(dtype).eps / 2
    gamma = count * u / (1 - count * u)
    return gamma * terms_abs_sum


def gram_error_bound(X, block_dtype):
    """Largest error of G = X X^T, per entry: products and sums in tiles of 256, then float64.

    Products of normalised float32 tiles are rounded (u32) and summed within a tile (256 u32);
    the tiles are added in float64. ``block_dtype`` float64 and integers: everything in float64.
    """
    X = np.abs(X.astype(np.float64))
    magnitude = X @ X.T
    bound = sum_error_bound(magnitude, X.shape[1] + 1)
    if block_dtype == np.float32:
        bound = bound + sum_error_bound(magnitude, 256 + 1, np.float32)
        # Entries below 2^-149 of a row's largest are flushed when a tile is normalised.
        bound = bound + X.shape[1] * 2.0**-140 * X.max(axis=1)[:, None] * X.max(axis=1)[None]
    return bound


def sketch_error_bound(X, S_abs):
    """Largest error of X S^T, per entry: float64 sums in any order, one division by sqrt(s)."""
    magnitude = np.abs(X.astype(np.float64)) @ S_abs.T
    return sum_error_bound(magnitude, X.shape[1] + 2)


def most_failures(trials, delta):
    """Largest count of failures that a true failure probability delta explains, to 1e-6."""
    return int(binom.ppf(1 - 1e-6, trials, delta))
