"""What is known of each column of a block, and its values shifted, scaled and filled in.

Zeros are counted and left out of every sum, and the others are added row after row: so dense and
sparse blocks know the same of a column, to the last bit, whatever else lies in the block.

``rule`` is [code, imputes]: where ``imputes`` is not 0, values equal to ``code`` are missing, or
NaN where ``code`` is NaN.
"""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.jit import kernel

# Rows of the table of what is known of columns, and of the table of what is done to them.
SUM, NONZEROS, MISSING, LOW, HIGH, CENTRE, DIFFERENCES, SQUARES = range(8)
FILL, SHIFT, FACTOR = range(3)


@kernel
def sum_columns(X: Array, rule: Array, facts: Array) -> None:
    """Sums, counts and extremes of values that are neither missing nor 0. Shape: X (rows, w)."""
    code, imputes = rule[0], rule[1] != 0
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            x = np.float64(X[i, j])
            if imputes and (x == code or (np.isnan(code) and np.isnan(x))):
                facts[MISSING, j] += 1
            elif x != 0:
                facts[SUM, j] += x
                facts[NONZEROS, j] += 1
                facts[LOW, j] = min(facts[LOW, j], x)
                facts[HIGH, j] = max(facts[HIGH, j], x)


@kernel
def square_columns(X: Array, rule: Array, facts: Array) -> None:
    """Sums of x - centre, and of their squares, over the same values."""
    code, imputes = rule[0], rule[1] != 0
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            x = np.float64(X[i, j])
            if x != 0 and not (imputes and (x == code or (np.isnan(code) and np.isnan(x)))):
                difference = x - facts[CENTRE, j]
                facts[DIFFERENCES, j] += difference
                facts[SQUARES, j] += difference * difference


@kernel
def change_columns(X: Array, rule: Array, changes: Array, out: Array) -> None:
    """out[i, j] = (x - shift) factor, x the value or what fills it. Shape: out (rows, w)."""
    code, imputes = rule[0], rule[1] != 0
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            x = np.float64(X[i, j])
            if imputes and (x == code or (np.isnan(code) and np.isnan(x))):
                x = changes[FILL, j]
            out[i, j] = (x - changes[SHIFT, j]) * changes[FACTOR, j]


@kernel
def sum_entries(
    extents: Array, indices: Array, data: Array, first: int, rule: Array, facts: Array
) -> None:
    """The same of stored entries, by rows from column ``first`` on, or by columns if it is -1."""
    code, imputes = rule[0], rule[1] != 0
    for k in range(extents.shape[1]):
        for p in range(extents[0, k], extents[1, k]):
            x, j = np.float64(data[p]), k if first < 0 else indices[p] - first
            if imputes and (x == code or (np.isnan(code) and np.isnan(x))):
                facts[MISSING, j] += 1
            elif x != 0:
                facts[SUM, j] += x
                facts[NONZEROS, j] += 1
                facts[LOW, j] = min(facts[LOW, j], x)
                facts[HIGH, j] = max(facts[HIGH, j], x)


@kernel
def square_entries(
    extents: Array, indices: Array, data: Array, first: int, rule: Array, facts: Array
) -> None:
    """The same as `square_columns` of stored entries."""
    code, imputes = rule[0], rule[1] != 0
    for k in range(extents.shape[1]):
        for p in range(extents[0, k], extents[1, k]):
            x, j = np.float64(data[p]), k if first < 0 else indices[p] - first
            if x != 0 and not (imputes and (x == code or (np.isnan(code) and np.isnan(x)))):
                difference = x - facts[CENTRE, j]
                facts[DIFFERENCES, j] += difference
                facts[SQUARES, j] += difference * difference


@kernel
def change_entries(
    extents: Array,
    indices: Array,
    data: Array,
    first: int,
    rule: Array,
    changes: Array,
    out: Array,
) -> None:
    """out[p] = x factor, x the value or what fills it: zeros stay where they are."""
    code, imputes = rule[0], rule[1] != 0
    for k in range(extents.shape[1]):
        for p in range(extents[0, k], extents[1, k]):
            x, j = np.float64(data[p]), k if first < 0 else indices[p] - first
            if imputes and (x == code or (np.isnan(code) and np.isnan(x))):
                x = changes[FILL, j]
            out[p] = x * changes[FACTOR, j]
