"""What floating point allows to be said about a Gram matrix (THEORY 6)."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.tiles import TILE_WIDTH, product_dtype
from streamsparse.sources.preprocess import Preprocess

# Relative error of one operation in float64.
UNIT = 2.0**-53


def rank_tolerance(n: int) -> float:
    """Return the relative eigenvalue below which a direction of an n x n Gram matrix is noise."""
    return 1e-12 * n


def value_rounding(preprocess: Preprocess, *, n: int, block_dtype: np.dtype[np.generic]) -> float:
    """Return v with |fl(x) - x| <= v |x| for every value x of a block.

    Values that are rewritten are rounded to the dtype of blocks; a factor is of sums over n rows. A
    mean that was filled in errs by n u times the mean |x| of its column instead.
    """
    if not preprocess.rewrites:
        return 0.0
    return (2.0**-24 if block_dtype == np.float32 else UNIT) + 8 * n * UNIT


def gram_rounding(*, d: int, block_dtype: np.dtype[np.generic]) -> float:
    """Return b with |fl(G) - G|_ij <= b ||x_i|| ||x_j||, for any order of additions.

    Products in float32 are rounded, as are their sums over a tile: (TILE_WIDTH + 1) u32. Sums of
    tiles, and products in float64, round with u64, d times at most. 8-bit products are exact.
    """
    u32 = 2.0**-24
    if product_dtype(block_dtype) == np.float32 and block_dtype == np.float32:
        return (TILE_WIDTH + 1) * u32 + d / TILE_WIDTH * UNIT
    return (d + 1) * UNIT
