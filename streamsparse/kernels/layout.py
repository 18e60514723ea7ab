"""Changes of layout: dense columns to rows, compressed columns to rows and back, finite checks."""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.jit import kernel

_TILE = 32


@kernel
def transpose(X: Array, out: Array) -> None:
    """out = X^T in square tiles that fit the L1 cache. Shapes: X (a, b), out (b, a), both C."""
    for top in range(0, X.shape[0], _TILE):
        bottom = min(top + _TILE, X.shape[0])
        for left in range(0, X.shape[1], _TILE):
            right = min(left + _TILE, X.shape[1])
            for j in range(left, right):
                for i in range(top, bottom):
                    out[j, i] = X[i, j]


@kernel
def transpose_compressed(
    indptr: Array, indices: Array, data: Array, heads: Array, minors: Array, values: Array
) -> None:
    """Turn compressed rows into compressed columns, or the reverse; order within each is kept.

    ``heads`` (minor length + 1,) must be zero; it becomes the new indptr. ``minors`` and ``values``
    (nnz,) receive the new indices and data.
    """
    # Unsigned: what may be negative is looked at before every access.
    one = np.uint64(1)
    for p in range(np.uint64(indices.shape[0])):
        heads[np.uint64(indices[p]) + one] += 1
    for j in range(1, heads.shape[0]):
        heads[j] += heads[j - 1]
    for major in range(indptr.shape[0] - 1):
        for p in range(np.uint64(indptr[major]), np.uint64(indptr[major + 1])):
            minor = np.uint64(indices[p])
            target = np.uint64(heads[minor])
            minors[target] = major
            values[target] = data[p]
            heads[minor] += 1
    for j in range(heads.shape[0] - 1, 0, -1):
        heads[j] = heads[j - 1]
    heads[0] = 0


@kernel
def advance(starts: Array, ends: Array, indices: Array, limit: int, stops: Array) -> None:
    """stops[i] = first position in [starts[i], ends[i]) whose index is >= limit, else ends[i].

    Looks near the start first: of a row that is cut often each part is short.
    """
    for i in range(starts.shape[0]):
        low, step = starts[i], 1
        while low + step < ends[i] and indices[low + step] < limit:
            low += step
            step *= 2
        high = min(low + step, ends[i])
        while low < high:
            middle = (low + high) // 2
            if indices[middle] < limit:
                low = middle + 1
            else:
                high = middle
        stops[i] = low


@kernel
def zero_nonfinite(values: Array) -> int:
    """Replace NaN and infinities by zero in place; return how many. Shape: (rows, columns)."""
    count = 0
    for i in range(values.shape[0]):
        x = values[i]
        for j in range(x.shape[0]):
            if not np.isfinite(x[j]):
                x[j] = 0
                count += 1
    return count
