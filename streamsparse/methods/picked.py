"""Y made of columns of X, each with its weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from streamsparse.accumulators.picks import Picks
from streamsparse.sources.base import Array


def weighted_columns(
    picks: Picks, columns: Array, weights: Array, *, rows: int
) -> Array | sparse.csc_array:
    """Return Y[:, k] = sqrt(weights[k]) X[:, columns[k]]; a CSC array where X is sparse.

    Shapes: columns and weights (m,), every column among the picks; Y (rows, m) float64.
    """
    positions = np.searchsorted(picks.columns, columns)
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


def _sparse_columns(values: list[Any], rows: int) -> sparse.csc_array:
    counts = np.concatenate([np.diff(indptr) for indptr, _, _ in values])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    indices = np.concatenate([indices for _, indices, _ in values])
    data = np.concatenate([data for _, _, data in values]).astype(np.float64)
    return sparse.csc_array((data, indices, indptr), shape=(rows, counts.size))
