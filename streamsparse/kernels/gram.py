"""What BLAS does not do for G = X X^T: fill tiles, scale them, add them, scatter columns."""

from __future__ import annotations

import numpy as np

from streamsparse.kernels.jit import kernel
from streamsparse.sources.base import Array


@kernel
def fill_tile(X: Array, lo: int, hi: int, at: int, tile: Array) -> None:
    """tile[i, at + j] = X[i, lo + j]. Shapes: X (rows, any), tile (rows, tile width)."""
    for i in range(X.shape[0]):
        x = X[i, lo:hi]
        y = tile[i, at : at + hi - lo]
        for j in range(hi - lo):
            y[j] = x[j]


@kernel
def fill_tile_columns(
    extents: Array, indices: Array, data: Array, columns: Array, at: int, tile: Array
) -> None:
    """tile[:, at + k] = column columns[k], given compressed. Shapes: extents (2, any)."""
    for k in range(columns.shape[0]):
        for i in range(tile.shape[0]):
            tile[i, at + k] = 0
        for p in range(extents[0, columns[k]], extents[1, columns[k]]):
            tile[indices[p], at + k] = data[p]


@kernel
def normalise_rows(bits: Array, width: int, exponents: Array, tile: Array) -> None:
    """Scale row i by 2^-exponents[i], its largest magnitude then in [1/2, 1). Exact but underflow.

    Squares of float32 values below 1e-19 or above 1e19 would leave the range of float32 products.
    ``bits`` is the float32 ``tile`` seen as uint32: without the sign bit magnitudes compare like
    integers, and an integer maximum vectorises. Rows of subnormals only get the smallest exponent.
    Shapes: tile (rows, at least width), of which ``width`` columns are used; exponents (rows,).
    """
    for i in range(tile.shape[0]):
        row = bits[i, :width]
        largest = np.uint32(0)
        for j in range(width):
            largest = max(largest, row[j] & np.uint32(0x7FFFFFFF))
        field = np.int64(largest >> np.uint32(23))
        exponents[i] = 0
        if largest > 0 and field < 255:
            exponents[i] = field - 126
            scale = np.ldexp(1.0, 126 - field)
            x = tile[i, :width]
            for j in range(width):
                x[j] = np.float64(x[j]) * scale


@kernel
def add_scaled(product: Array, row_exponents: Array, column_exponents: Array, G: Array) -> None:
    """G[i, j] += product[i, j] * 2^(row_exponents[i] + column_exponents[j]), in float64."""
    scale = np.empty(G.shape[1], np.float64)
    for j in range(G.shape[1]):
        scale[j] = np.ldexp(1.0, column_exponents[j])
    for i in range(G.shape[0]):
        row_scale = np.ldexp(1.0, row_exponents[i])
        g = G[i]
        p = product[i]
        for j in range(g.shape[0]):
            g[j] += np.float64(p[j]) * row_scale * scale[j]


@kernel
def scatter_columns(
    extents: Array, indices: Array, data: Array, columns: Array, lo: int, hi: int, G: Array
) -> None:
    """Lower triangle of G += sum over the columns given of x x^T, for rows [lo, hi) of G only.

    Costs sum nnz^2 / 2, the paper's sparse term. Shapes: extents (2, any), G (n, n) float64.
    """
    for k in range(columns.shape[0]):
        begin = extents[0, columns[k]]
        end = extents[1, columns[k]]
        for p in range(begin, end):
            i = indices[p]
            if i >= hi:
                break
            if i >= lo:
                value = np.float64(data[p])
                g = G[i]
                for q in range(begin, p + 1):
                    g[indices[q]] += value * np.float64(data[q])


@kernel
def rows_sparse(
    extents: Array,
    indices: Array,
    data: Array,
    shift: int,
    heads: Array,
    owners: Array,
    values: Array,
    out: Array,
) -> None:
    """out[i, :] += sum over the entries (j, x) of row i of x * (column j of the sampled rows).

    The sampled rows come by columns: index j has the entries ``heads[j - shift] ...`` of ``owners``
    (which sampled row) and ``values`` (float64). Costs one product for each pair of entries that
    share a column. Shapes: extents (2, rows), heads (columns + 1,), out (rows, p).
    """
    for i in range(extents.shape[1]):
        g = out[i]
        for p in range(extents[0, i], extents[1, i]):
            j = indices[p] - shift
            value = np.float64(data[p])
            for e in range(heads[j], heads[j + 1]):
                g[owners[e]] += value * values[e]
