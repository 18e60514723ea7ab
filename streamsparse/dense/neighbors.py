"""The nearest rows of each row, and which of them are there whatever the errors of distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.certificate import Measure
from streamsparse.dense.implied import describe


@dataclass(frozen=True, slots=True, eq=False)
class Neighbors:
    """The k nearest other rows of every row of Y.

    Attributes
    ----------
    metric : "euclidean", "cosine" or "inner".
    indices : (n, k), nearest first; of equally near ones the smaller index first.
    distances : (n, k): Euclidean distances, 1 - cosine, or the inner products themselves.
    certain : (n, k), whether this neighbour is one of the k nearest rows of X too; as sure as
        ``error`` is, and for the rows that it speaks of. None where nothing bounds the error.
    error : no compared number is further from that of X: *squared* distances, cosines, products.
    """

    metric: str
    indices: Array
    distances: Array
    certain: Array | None
    error: Measure | None

    def __repr__(self) -> str:
        """Return shape, error and how many neighbours are certain."""
        n, k = self.indices.shape
        compared = {"euclidean": "a squared distance", "cosine": "a cosine", "inner": "a product"}
        what = f"error of {compared[self.metric]}"
        count = "not known"
        if self.certain is not None:
            count = f"{int(self.certain.sum()):,} of {self.certain.size:,}"
        return (
            f"Neighbors {self.metric}, {k:,} of each of {n:,} rows\n"
            f"  {what:<33} {describe(self.error)}\n"
            f"  neighbours that are certain       {count}"
        )


def nearest(values: Array, count: int) -> Array:
    """Return the columns of the ``count`` smallest of every row, ascending, ties by column."""
    limits = np.partition(values, count - 1, axis=1)[:, count - 1]
    found = np.empty((values.shape[0], count), np.int64)
    for i, (row, limit) in enumerate(zip(values, limits, strict=True)):
        # All ties with the last one are candidates, in the order of columns.
        candidates = np.flatnonzero(row <= limit)
        order = np.argsort(row[candidates], kind="stable")[:count]
        found[i] = candidates[order]
    return found


def certain_members(nearest_values: Array, bound: float) -> Array:
    """Return which of the k nearest are among the k nearest of X, whatever the errors are.

    Parameters
    ----------
    nearest_values : (rows, k + 1) ascending: the compared numbers of the k + 1 nearest rows.
    bound : none of the compared numbers, of any row, is off by more.

    Notes
    -----
    Neighbour j is certain if fewer than k other rows l can be as near as j in X. Row l can only if
    v_l - bound <= v_j + bound. If v_(k+1) > v_j + 2 bound, all rows from the (k+1)-th on cannot;
    what is left are k - 1 rows. Otherwise the k rows l among the first k + 1 that are not j all
    can, at once, so nothing weaker would do.
    """
    return np.asarray(nearest_values[:, :-1] + 2 * bound < nearest_values[:, -1:])
