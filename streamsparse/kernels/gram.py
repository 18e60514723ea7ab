"""What BLAS does not do for G = X X^T: scale tiles, add products, scatter columns."""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.jit import kernel


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


# Rows of float32 whose largest magnitude is within 2^-SAFE ... 2^SAFE are multiplied as they are:
# no product leaves the range of float32, nor does a sum of 256.
SAFE = 40


@kernel
def find_exponents(bits: Array, lo: int, width: int, exponents: Array) -> None:
    """Row i of tile k times 2^-exponents[k, i] is below 1, its largest value in [1/2, 1).

    0 where the row is safe as it is, or not finite. Tile k is bits[:, lo + k width : ...]; ``bits``
    (rows, any) is float32 seen as uint32: without the sign bit magnitudes compare like integers,
    and an integer maximum vectorises. Rows of subnormals only get the smallest exponent.
    """
    for i in range(bits.shape[0]):
        for k in range(exponents.shape[0]):
            row = bits[i, lo + k * width : lo + (k + 1) * width]
            largest = np.uint32(0)
            for j in range(row.shape[0]):
                largest = max(largest, row[j] & np.uint32(0x7FFFFFFF))
            field = np.int64(largest >> np.uint32(23))
            is_safe = largest == 0 or field == 255 or -SAFE <= field - 126 <= SAFE
            exponents[k, i] = 0 if is_safe else field - 126


@kernel
def scale_rows(exponents: Array, tile: Array) -> None:
    """tile[i] *= 2^-exponents[i], exactly but for underflow. Shapes: (rows,), (rows, any).

    Squares of float32 values below 1e-19 or above 1e19 would leave the range of float32 products.
    """
    for i in range(tile.shape[0]):
        scale = np.ldexp(1.0, -exponents[i])
        x = tile[i]
        for j in range(x.shape[0]):
            x[j] = np.float64(x[j]) * scale


@kernel
def add_to(product: Array, G: Array, at: int) -> None:
    """G[:, at : at + width] += product in float64. Shapes: (rows, width), G (rows, any)."""
    for i in range(product.shape[0]):
        p = product[i]
        g = G[i, at : at + p.shape[0]]
        for j in range(p.shape[0]):
            g[j] += np.float64(p[j])


@kernel
def add_batch(products: Array, lo: int, G: Array, at: int) -> None:
    """G[:, at : at + width] += products of several tiles, in their order.

    Shapes: products (tiles, any, width), of which the rows from ``lo`` on; G (rows, any).
    """
    width = products.shape[2]
    for k in range(products.shape[0]):
        for i in range(G.shape[0]):
            p = products[k, lo + i]
            g = G[i, at : at + width]
            for j in range(width):
                g[j] += np.float64(p[j])


@kernel
def add_scaled(
    product: Array, row_exponents: Array, column_exponents: Array, G: Array, at: int
) -> None:
    """The same for one product whose rows and columns were scaled, of which it is undone."""
    scale = np.empty(product.shape[1], np.float64)
    for j in range(product.shape[1]):
        scale[j] = np.ldexp(1.0, column_exponents[j])
    for i in range(product.shape[0]):
        row_scale = np.ldexp(1.0, row_exponents[i])
        p = product[i]
        g = G[i, at : at + p.shape[0]]
        for j in range(p.shape[0]):
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
