"""Changes of layout: dense columns to rows, compressed columns to rows and back, finite checks."""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.jit import kernel

_TILE = 32
_CONVERTED = 2048


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
def rows_by_columns(
    extents: Array,
    indices: Array,
    data: Array,
    chosen: Array,
    shift: int,
    heads: Array,
    owners: Array,
    values: Array,
) -> None:
    """Turn some rows in compressed form into columns, in the order of ``chosen`` within each.

    Shapes: extents (2, rows), ``heads`` (columns + 1,) zero; it becomes the pointers of the columns
    from ``shift`` on. ``owners`` and ``values`` (entries of these rows,) receive which of
    ``chosen`` an entry is from, and its value.
    """
    for k in range(chosen.shape[0]):
        for p in range(extents[0, chosen[k]], extents[1, chosen[k]]):
            heads[indices[p] - shift + 1] += 1
    for j in range(1, heads.shape[0]):
        heads[j] += heads[j - 1]
    for k in range(chosen.shape[0]):
        for p in range(extents[0, chosen[k]], extents[1, chosen[k]]):
            j = indices[p] - shift
            target = heads[j]
            owners[target] = k
            values[target] = data[p]
            heads[j] += 1
    for j in range(heads.shape[0] - 1, 0, -1):
        heads[j] = heads[j - 1]
    heads[0] = 0


@kernel
def widen_halves(
    halves: Array,
    pitch: int,
    bits: Array,
    floats: Array,
    out_pitch: int,
    lines: int,
    width: int,
) -> None:
    """floats[i, j] = halves[i, j], i < lines, j < width, exactly; NaN keep their bits.

    Shapes: all one-dimensional, line i begins at i ``pitch`` and i ``out_pitch``; halves is float16
    seen as uint16, bits is floats seen as uint32. Loops of integers alone or of floats alone, over
    few enough values to stay in the first level of caches, become vectors.
    """
    magnitude, sign, infinite = np.uint32(0x7FFF), np.uint32(0x8000), np.uint32(0x7C00)
    # The exponents of float16 count from 2^-15, those of float32 from 2^-127; subnormals as well.
    scale = np.float32(2.0**112)
    for i in range(lines):
        for first in range(0, width, _CONVERTED):
            count = min(_CONVERTED, width - first)
            h = halves[i * pitch + first : i * pitch + first + count]
            b = bits[i * out_pitch + first : i * out_pitch + first + count]
            f = floats[i * out_pitch + first : i * out_pitch + first + count]
            for j in range(count):
                word = np.uint32(h[j])
                b[j] = ((word & magnitude) << np.uint32(13)) | ((word & sign) << np.uint32(16))
            for j in range(count):
                f[j] *= scale
            for j in range(count):
                is_infinite = (np.uint32(h[j]) & infinite) == infinite
                b[j] |= np.uint32(0x7F800000) if is_infinite else np.uint32(0)


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
