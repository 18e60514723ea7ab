"""More columns for a walk whose pool has none: the leaf where the sums say that there is one."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.choosers import BestRatio
from streamsparse.accumulators.picks import Picks
from streamsparse.accumulators.rules import largest
from streamsparse.arrays import Array
from streamsparse.dense.barriers import Walk
from streamsparse.dense.whiten import Whitener
from streamsparse.methods.base import Job
from streamsparse.methods.candidates import Held, pick, whitened
from streamsparse.methods.known import Known


class Leaves:
    """Reads leaves of X again (THEORY 3.4).

    Parameters
    ----------
    job, known, whitener : the run.
    sums : the lower triangle of sum x x^T of each leaf, row by row; without any, X is one leaf.
    held : the pool, in which what is found takes the places of others.

    Attributes
    ----------
    leaves_read, bytes_read_again : how often, and how much of X as stored.
    """

    def __init__(
        self,
        job: Job,
        known: Known,
        whitener: Whitener,
        sums: dict[int, Array],
        held: Held,
    ) -> None:
        self._job, self._known, self._whitener = job, known, whitener
        self._sums, self._held = sums, held
        self.leaves_read = 0
        self.bytes_read_again = 0

    def read_more(self, walk: Walk, pinned: Array) -> bool:
        """Read the leaf with the largest <M, sum v v^T>, M of L - U, and put its best in the pool.

        Without sums by leaf, all of X. They take the places of columns that neither the walk has
        used nor are ``pinned`` (P,). Return False where no column qualifies: rounding alone can do
        that, because the sum of L - U over all columns is not negative.
        """
        Q, upper, lower = walk.forms()
        R = Q.T @ self._whitener.R
        d, width = self._job.plan.d, self._job.plan.leaf_width
        intervals = [(0, d)]
        if width is not None:
            intervals = [
                (leaf * width, min((leaf + 1) * width, d))
                for leaf in self._promising((R.T * (lower - upper)) @ R)
            ]
        for interval in intervals:
            chooser = BestRatio(lower, upper, count=max(64, R.shape[0]), interval=interval)
            found, _ = pick(self._job, self._known, R, chooser, np.float64, interval)
            self.leaves_read += 1
            share = (interval[1] - interval[0]) / d
            self.bytes_read_again += int(share * self._job.source.stored_bytes)
            if self._take_in(found, (walk.weights == 0) & ~pinned):
                walk.look_again()
                return True
        return False

    def _promising(self, M: Array) -> list[int]:
        """Return the leaves by falling <M, sum x x^T>; ties go to the first."""
        packed = (2 * M - np.diag(M.diagonal()))[np.tril_indices(M.shape[0])]
        values = {leaf: float(packed @ sums) for leaf, sums in self._sums.items()}
        return sorted(values, key=lambda leaf: (-values[leaf], leaf))

    def _take_in(self, found: Picks, is_spare: Array) -> bool:
        """Put columns with U <= L in the places of spare ones, the shortest of them first."""
        held = self._held
        fresh = Picks()
        for batch in found.batches:
            positions = np.flatnonzero(~np.isin(batch.columns, held.columns) & (batch.scores >= 1))
            if positions.size:
                fresh.batches.append(batch.take(positions))
        spare = np.flatnonzero(is_spare)
        places = spare[np.argsort(held.pool.tau[spare], kind="stable")[: fresh.count]]
        fresh.keep(largest(fresh.scores, places.size))
        if places.size == 0:
            return False
        held.pool.V[:, places] = whitened(fresh, self._whitener, held.pool.each)
        held.columns[places] = fresh.columns
        held.weights[places] = 0
        held.picks.batches += fresh.batches
        held.picks.keep(np.isin(held.picks.columns, held.columns))
        return True
