"""A digest of X that is linear: any order of additions, chunking or merging gives the same words.

digest[i] = sum_j factor_j * spread(bits(X_ij)) modulo 2^64, with odd factors. ``spread`` is a
bijection that leaves 0 alone and carries high bits to low ones, so that changes of sign cannot
cancel for want of room above them. One changed value is always seen, any other change but with
probability below 2^-30 over the factors. Positive zeros add nothing, so sparse and dense storage
of the same values agree. Sums wrap, on purpose.
"""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.jit import kernel

_ODD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


@kernel
def digest_dense(bits: Array, lo: int, hi: int, factors: Array, digest: Array) -> None:
    """digest[i] += sum_j factors[j] spread(bits[i, lo + j]). Shapes: bits (rows, any), unsigned."""
    for i in range(bits.shape[0]):
        row = bits[i, lo:hi]
        total = np.uint64(0)
        for j in range(row.shape[0]):
            word = np.uint64(row[j]) * _ODD
            total += factors[j] * (word ^ (word >> _HALF))
        digest[i] += total


@kernel
def digest_sparse_rows(
    extents: Array, indices: Array, bits: Array, factors: Array, shift: int, digest: Array
) -> None:
    """The same for rows in compressed form; index j has ``factors[j - shift]``."""
    for i in range(extents.shape[1]):
        total = np.uint64(0)
        for p in range(extents[0, i], extents[1, i]):
            word = np.uint64(bits[p]) * _ODD
            total += factors[indices[p] - shift] * (word ^ (word >> _HALF))
        digest[i] += total


@kernel
def digest_sparse_columns(
    extents: Array, indices: Array, bits: Array, factors: Array, digest: Array
) -> None:
    """The same for columns in compressed form. Shapes: extents (2, columns), digest (rows,)."""
    for j in range(extents.shape[1]):
        for p in range(extents[0, j], extents[1, j]):
            word = np.uint64(bits[p]) * _ODD
            digest[indices[p]] += factors[j] * (word ^ (word >> _HALF))
