"""Y made of columns of X, each with its weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from streamsparse.accumulators.picks import Picks, join
from streamsparse.arrays import Array
from streamsparse.methods.base import Output
from streamsparse.methods.rows_out import RowsOut


def weighted_columns(
    picks: Picks, columns: Array, weights: Array, *, rows: int
) -> Array | sparse.csc_array:
    """Return Y[:, k] = sqrt(weights[k]) X[:, columns[k]]; a CSC array where X is sparse.

    Shapes: columns and weights (m,), every column among the picks; Y (rows, m) float64.
    """
    order = np.argsort(picks.columns, kind="stable")
    positions = order[np.searchsorted(picks.columns, columns, sorter=order)]
    values = [batch.values for batch in picks.batches]
    if isinstance(values[0], tuple):
        kept: sparse.csc_array = _sparse_columns(values, rows)[:, positions]
        kept.data *= np.repeat(np.sqrt(weights), np.diff(kept.indptr))
        return kept
    Y, scales, first = np.empty((rows, columns.size)), np.sqrt(weights), 0
    for batch in values:
        here = np.flatnonzero((positions >= first) & (positions < first + len(batch)))
        Y[:, here] = batch[positions[here] - first].T * scales[here]
        first += len(batch)
    return Y


def put_out(Y: Array | sparse.csc_array, output: Output | None) -> Any:
    """Give Y to the output, dense or sparse as it is; return what can be read again."""
    if output is None:
        return Y
    if isinstance(Y, np.ndarray):
        rows = RowsOut(output, *Y.shape)
        rows.put(0, Y)
    else:
        output.write_sparse(Y)
    return output.Y


def _sparse_columns(values: list[Any], rows: int) -> sparse.csc_array:
    indptr, indices, data = join(values)
    shape = (rows, indptr.size - 1)
    return sparse.csc_array((data.astype(np.float64), indices, indptr), shape=shape)
