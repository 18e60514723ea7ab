"""The choice among columns in memory: how many, which, with what weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.barriers import Report, Schedule, Walk
from streamsparse.dense.choice import choose_balanced, improve, keep_strongest, resize
from streamsparse.dense.linalg import product_with_transpose
from streamsparse.dense.measure import Scope
from streamsparse.dense.whiten import Whitener
from streamsparse.methods.base import CurvePoint, Job, Selection
from streamsparse.methods.candidates import Held
from streamsparse.methods.known import Known
from streamsparse.methods.leaves import Leaves
from streamsparse.methods.measuring import error_of
from streamsparse.methods.picked import weighted_columns
from streamsparse.methods.plans import ENTRY_TARGETS
from streamsparse.methods.products import dense_rows
from streamsparse.methods.select_plan import care_for
from streamsparse.running.facts import Facts
from streamsparse.sketching.bounds import barrier_columns, barrier_epsilon

# Trials of m on the way to the fewest columns, and how near the last two must be.
_MOST_TRIALS = 8
_TYPICAL_TRIALS = 4
_NEAR = 1.05
# The first trial: observed errors take about this fraction of the columns that a theorem asks for.
_OPTIMISM = 5.0


class Found(NamedTuple):
    """Weights of the pool, and how they came about."""

    weights: Array
    epsilon: float
    algorithm: str
    turns: Array | None = None
    report: Report | None = None
    fell_back: bool = False


class Search:
    """The choice among the columns in memory, more of them being read where none will do."""

    def __init__(
        self,
        job: Job,
        known: Known,
        leaves: dict[int, Array],
        scope: Scope,
        whitener: Whitener,
        ridge: float,
        held: Held,
    ) -> None:
        self._job, self._known, self._scope = job, known, scope
        self._whitener, self._ridge, self.held = whitener, ridge, held
        self._plan = job.plan
        self._facts = Facts.of(job.source)
        self._leaves = Leaves(job, known, whitener, leaves, held)
        self._pinned = np.zeros(held.pool.size, bool)
        # Rounding of G that whitening enlarges (THEORY 6): as the certificate will state it.
        gain = 1 / ridge if ridge > 0 else whitener.gain
        self._noise = scope.rounding_of_norm * known.trace * gain
        self._start = self._start_weights()
        self._zero_error: float | None = None
        if self._plan.epsilon is not None and self._plan.target in ENTRY_TARGETS:
            nothing = np.zeros_like(known.gram)
            self._zero_error = error_of(known.gram, nothing, scope, self._plan.target)

    def _start_weights(self) -> Array | None:
        """Return the weights of an earlier selection, by column of the pool."""
        start = self._job.start
        if start is None:
            return None
        weights = np.zeros(self.held.pool.size)
        order = np.argsort(self.held.columns, kind="stable")
        positions = order[np.searchsorted(self.held.columns, start.columns, sorter=order)]
        weights[positions] = start.weights
        return self.held.pool.distortion(weights)[1]

    def run(self) -> tuple[Found, tuple[CurvePoint, ...]]:
        """Return what was found, and what was tried on the way to the fewest columns."""
        plan = self._plan
        assert plan.most_columns is not None
        if plan.epsilon is None:
            return self._choose(plan.most_columns), ()
        if plan.algorithm == "bss" and self._can_walk(plan.most_columns):
            return self._walk(plan.most_columns, until=self._meets), ()
        found, curve = self._fewest(plan.most_columns)
        self._pin(found.weights)
        if self._can_walk(plan.most_columns) and not any(point.meets for point in curve):
            walked = self._walk(plan.most_columns, until=self._meets)
            if self._error(walked.weights) < self._error(found.weights):
                found = walked._replace(fell_back=True)
        return found, curve

    def _choose(self, m: int) -> Found:
        """Return at most m columns, by the algorithm that was asked for."""
        plan, held = self._plan, self.held
        holds_all = plan.pool_columns is not None and plan.pool_columns >= plan.d
        if holds_all and held.pool.size <= m and (held.weights == 1).all():
            # All columns that are not zero: nothing is left to choose, and nothing is lost.
            return Found(held.weights, held.pool.distortion(held.weights)[0], "all")
        algorithm = plan.algorithm or "auto"
        if algorithm == "bss":
            if self._can_walk(m):
                return self._walk(m, until=None)
            # Barriers need more columns than directions.
            algorithm = "auto"
        trials = 1 if plan.epsilon is None else _TYPICAL_TRIALS
        care = care_for(self._facts, algorithm, m, trials=trials)
        if self._start is None:
            best = choose_balanced(held.pool, held.weights, m, care)
        else:
            best = improve(held.pool, resize(held.pool, self._start, m), m, care)
        found = Found(*best, "exchange" if care.rounds else "balance")
        self._pin(found.weights)
        # What barriers prove must hold for "auto" as well.
        if plan.algorithm == "auto" and best.epsilon > (self._proved(m) or 1.0):
            walked = self._walk(m, until=None)
            improved = improve(self.held.pool, walked.weights, m, care)
            if improved.epsilon < best.epsilon:
                return walked._replace(
                    weights=improved.weights, epsilon=improved.epsilon, turns=None
                )
        return found

    def _pin(self, weights: Array) -> None:
        """Keep these columns in the pool, whatever a walk reads."""
        self._pinned |= weights > 0

    def _can_walk(self, m: int) -> bool:
        """Whether the theorem of barriers says anything: more columns than directions."""
        return self._ridge == 0 and m > self._whitener.rank

    def _proved(self, m: int) -> float | None:
        return barrier_epsilon(rank=self._whitener.rank, m=m) if self._can_walk(m) else None

    def _walk(self, m: int, *, until: Callable[[Array], bool] | None) -> Found:
        """Return the weights of m picks of Batson, Spielman and Srivastava, or fewer columns."""
        rank, pool = self._whitener.rank, self.held.pool
        weights, done = np.zeros(pool.size), 0
        if self._start is not None:
            # Barriers are put around what is there, as if it had been picked one by one.
            weights = keep_strongest(pool, self._start, m)
            done = int(np.count_nonzero(weights))
        walk = Walk(pool, Schedule(rank, m / rank), weights, scale=max(1, done), repeats=True)
        check = rank
        while done + walk.picks < m:
            if walk.step() is None and not self._leaves.read_more(walk, self._pinned):
                break
            if until is not None and done + walk.picks >= check:
                check = int(check * _NEAR) + 1
                if until(self.held.pool.distortion(walk.weights)[1]):
                    break
        report = walk.report()
        epsilon, weights = self.held.pool.distortion(walk.weights)
        return Found(weights, epsilon, "bss", walk.turns, report)

    def _fewest(self, most: int) -> tuple[Found, tuple[CurvePoint, ...]]:
        """Return the fewest columns that meet epsilon, by trials, and all trials.

        Errors fall about as 1 / sqrt(m): a line through the nearest trials on either side, in
        logarithms, says where to try next. If none meets epsilon: the one of least error.
        """
        limit = self._limit()
        failing: tuple[int, float] | None = None
        meeting: tuple[int, float] | None = None
        best: Found | None = None
        points: list[CurvePoint] = []
        m = min(most, self._first_guess())
        for _ in range(_MOST_TRIALS):
            found = self._choose(m)
            error = self._error(found.weights)
            count = int(np.count_nonzero(found.weights))
            points.append(CurvePoint(count, "columns", error, self._zero_error, error <= limit))
            if error <= limit:
                meeting, best = (m, error), found
            else:
                failing = (m, error)
                best = found if meeting is None else best
            if failing is not None and failing[0] >= most:
                break
            if meeting is not None and meeting[0] <= (failing[0] if failing else 0) * _NEAR + 1:
                break
            m = min(most, _next_trial(failing, meeting, limit))
        assert best is not None
        return best, tuple(sorted(points, key=lambda point: point.m))

    def _limit(self) -> float:
        """Return epsilon, or a little less than the error of Y = 0 if that is within epsilon."""
        assert self._plan.epsilon is not None
        if not self._zero_error:
            return self._plan.epsilon
        return min(self._plan.epsilon, self._zero_error * (1 - 1e-9))

    def _first_guess(self) -> int:
        plan, size = self._plan, max(1, round(self._whitener.size))
        assert plan.epsilon is not None
        epsilon = 0.5 if plan.target == "attention" else plan.epsilon
        return max(8, int(barrier_columns(rank=size, epsilon=epsilon) / _OPTIMISM))

    def _meets(self, weights: Array) -> bool:
        return self._error(weights) <= self._limit()

    def _error(self, weights: Array) -> float:
        """Return the error in the sense of the target, as the certificate will state it."""
        held, plan = self.held, self._plan
        if plan.target == "spectral" or (plan.target == "regularised" and self._ridge > 0):
            return held.pool.distortion(weights)[0] + self._noise
        used = np.flatnonzero(weights)
        columns = held.columns[used]
        order = np.argsort(columns)
        Y = weighted_columns(held.picks, columns[order], weights[used][order], rows=plan.n)
        F = product_with_transpose(dense_rows(Y))
        return error_of(self._known.gram, F, self._scope, plan.target)

    def in_order(self, found: Found) -> tuple[Array, Array]:
        """Return (columns, weights) in the order of picks; without one, the strongest first."""
        used = np.flatnonzero(found.weights)
        keys = -found.weights * self.held.pool.tau if found.turns is None else found.turns
        order = used[np.lexsort((self.held.columns[used], keys[used]))]
        return self.held.columns[order], found.weights[order]

    def describe(self, found: Found, *, m: int) -> Selection:
        """Return what is told about the selection."""
        report = found.report
        selection = Selection(
            algorithm=found.algorithm,
            fell_back=found.fell_back,
            rank=self._whitener.rank,
            ridge=self._ridge,
            epsilon=found.epsilon,
            proved=None if self._plan.algorithm == "balance" else self._proved(m),
            leaves_read=self._leaves.leaves_read,
            bytes_read_again=self._leaves.bytes_read_again,
        )
        if report is None:
            return selection
        proved = report.epsilon if report.holds and report.epsilon < 1 else None
        return replace(selection, proved=proved, **report._asdict())


def _next_trial(
    failing: tuple[int, float] | None, meeting: tuple[int, float] | None, limit: float
) -> int:
    """Return the next m to try, given the nearest trials (m, error) that fail and that meet."""
    if failing is None or meeting is None:
        m, error = failing or meeting or (1, 1.0)
        factor = min(max((error / limit) ** 2, 1 / 8), 8.0)
        return max(1, m + 1 if failing and factor <= 1 else int(m * factor * (1 - 0.02)))
    (low, high_error), (high, low_error) = failing, meeting
    share = 0.5
    if low_error < high_error < float("inf"):
        share = math.log(high_error / limit) / math.log(high_error / max(low_error, 1e-300))
    # Away from both ends, so that the bracket shrinks whatever the errors do.
    share = min(max(share, 0.15), 0.85)
    m = int(low * (high / low) ** share + 0.5)
    return min(max(m, low + 1), high - 1)
