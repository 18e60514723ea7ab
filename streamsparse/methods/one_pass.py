"""Balancing as columns pass by for the first time: a pool without a second pass (THEORY 3.6)."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.picks import Batch, Picks, densify
from streamsparse.arrays import Array
from streamsparse.dense.balance import KEEP_ALL, Balance, rate_for
from streamsparse.kernels.ranges import Each, serially, steps
from streamsparse.storing.records import Portable


class OnePassChooser:
    """Keep a balanced pool of columns by their length ||x||^2, whatever the scale of X turns out.

    Parameters
    ----------
    rows : n.
    capacity : columns are thinned to about so many whenever twice as many are held.

    Notes
    -----
    Column x is kept with weight 1 / p, p = min(1, rate ||x||^2). The rate that suits X is unknown
    before it has passed: it begins so large that all are kept. Thinning lowers it and decides again
    about what is held, with weights, against the same error: Theorem 4 holds with a term
    (1 / p - 1) w^2 ||x||^4 for each decision. The score of a pick is its weight. Memory: n^2 cells.
    """

    def __init__(self, *, rows: int, capacity: int) -> None:
        self._balance = Balance(rate=KEEP_ALL, error=np.zeros((rows, rows)))
        self._rows, self._capacity = rows, capacity
        self._scale = 0.0

    def choose(self, columns: Array, V: Array, each: Each) -> tuple[Array, Array]:  # noqa: ARG002 - the protocol's
        """Return (1 for what is kept, weights)."""
        if self._scale == 0:
            # ||x||^4 must be a number: columns are scaled by a power of two, once found.
            largest = float(np.abs(V).max())
            self._scale = float(np.ldexp(1.0, -int(np.frexp(largest)[1]))) if largest > 0 else 0.0
        factors, _ = self._balance.choose(V * self._scale, each)
        return (factors > 0).astype(np.float64), factors

    def compact(self, picks: Picks, *, is_final: bool) -> None:  # noqa: ARG002 - the protocol's
        """Thin what is held where it is twice too much."""
        if picks.count <= 2 * self._capacity:
            return
        lengths = np.concatenate([self._lengths(batch) for batch in picks.batches])
        self._balance.rate = min(self._balance.rate, rate_for(lengths, self._capacity))
        for batch in picks.batches:
            for a, b in steps(batch.columns.size, 256):
                weights = batch.scores[a:b]
                factors, _ = self._balance.choose(
                    self._columns(batch, a, b) * np.sqrt(weights), serially
                )
                weights *= factors
        picks.keep(picks.scores > 0)

    def remember(self) -> Portable:
        """Return what the balance knows, and the scale."""
        return [self._scale, self._balance.remember()]

    def recall(self, memory: Portable) -> None:
        """Know it again."""
        self._scale, balance = memory
        self._balance.recall(balance)

    def _lengths(self, batch: Batch) -> Array:
        """Return w ||x||^2 of its columns."""
        parts = [
            np.square(self._columns(batch, a, b)).sum(axis=0)
            for a, b in steps(batch.columns.size, 256)
        ]
        return np.asarray(batch.scores * np.concatenate(parts))

    def _columns(self, batch: Batch, start: int, stop: int) -> Array:
        """Return some of its columns, (n, any) float64."""
        values = batch.take(np.arange(start, stop)).values
        if isinstance(values, tuple):
            return densify(values, self._rows, np.dtype(np.float64)) * self._scale
        return np.ascontiguousarray(values.T, np.float64) * self._scale
