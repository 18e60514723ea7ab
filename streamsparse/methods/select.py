"""Method "select": columns of X and weights without randomness, in two passes (THEORY 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.choosers import BestRatio, PoolChooser
from streamsparse.accumulators.digest import DigestAccumulator
from streamsparse.accumulators.leaf_sums import LeafSumsAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.picks import Picks
from streamsparse.accumulators.whitened import Chooser, WhitenedPicker
from streamsparse.dense.balance import Balance
from streamsparse.dense.barriers import Report, Schedule, Walk
from streamsparse.dense.choice import choose_balanced, improve, refill
from streamsparse.dense.linalg import product_with_transpose
from streamsparse.dense.measure import Scope, measure_exactly
from streamsparse.dense.pool import Pool
from streamsparse.dense.whiten import Whitener
from streamsparse.errors import ParameterError
from streamsparse.kernels.parts import Each
from streamsparse.methods.base import CurvePoint, Job, Reduction, Selection
from streamsparse.methods.measuring import certified_error, measure_all, scope_of
from streamsparse.methods.passes import refuse_change
from streamsparse.methods.picked import put_out, weighted_columns
from streamsparse.methods.products import dense_rows
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.methods.select_plan import care_for
from streamsparse.running.facts import Facts
from streamsparse.running.local import run_bands, worker_threads
from streamsparse.sketching.bounds import barrier_columns, barrier_epsilon
from streamsparse.sources.base import Array, Interval

# Trials of m on the way to the fewest columns, and how near the last two must be.
_MOST_TRIALS = 8
_NEAR = 1.05
# The first trial: observed errors take about this fraction of the columns that a theorem asks for.
_OPTIMISM = 5.0


class _Known(NamedTuple):
    """What the first pass found: G, squared row norms, digest, sums by leaf."""

    G: Array
    squared_norms: Array
    digest: Array
    leaves: dict[int, Array]


@dataclass(slots=True)
class _Held:
    """The columns in memory: as read, their weights in the pool, in whitened coordinates."""

    picks: Picks
    pool: Pool
    weights: Array

    @property
    def columns(self) -> Array:
        """Their indices in X, in the order of the pool."""
        return self.picks.columns


class _Found(NamedTuple):
    """Weights of the pool, and how they came about."""

    weights: Array
    epsilon: float
    algorithm: str
    turns: Array | None = None
    report: Report | None = None
    fell_back: bool = False


def reduce_by_selecting(job: Job) -> Reduction:
    """Accumulate G, fill a pool of columns, choose among them, measure exactly."""
    plan = job.plan
    known = _first_pass(job)
    scope = scope_of(plan, job.source, known.squared_norms)
    if not known.squared_norms.any():
        raise ParameterError("no column can be selected: X is zero")
    with worker_threads(job.execution.threads) as each:
        whitener, ridge = _whitener(job, known)
        held = _fill_pool(job, known, whitener, each)
        search = _Search(job, known, scope, whitener, ridge, held)
        found, curve = search.run()
    columns, weights = search.in_order(found)
    Y = weighted_columns(search.held.picks, columns, weights, rows=plan.n)
    selection = search.describe(found, m=int(columns.size))
    del search, held, whitener
    errors = measure_all(known.G, dense_rows(Y), scope)
    kept = put_out(Y, job.output)
    trace = float(known.squared_norms.sum())
    return Reduction(
        kept,
        scope.r,
        trace,
        errors,
        columns=columns,
        weights=weights,
        curve=curve,
        selection=selection,
    )


def _first_pass(job: Job) -> _Known:
    n, plan = job.source.shape[0], job.plan

    def accumulators(_: Interval) -> dict[str, Accumulator]:
        return {
            "norms": NormsAccumulator(rows=n),
            "G": LeafSumsAccumulator(
                rows=n, block_dtype=job.source.block_dtype, leaf_width=plan.leaf_width
            ),
            "digest": DigestAccumulator(rows=n),
        }

    ((_, found),) = run_bands(job.source, plan.stream, job.execution, accumulators, by_rows=False)
    G, leaves = found["G"]
    return _Known(G, found["norms"], found["digest"], leaves)


def _whitener(job: Job, known: _Known) -> tuple[Whitener, float]:
    """Return (coordinates, lambda): the plain ones if m may exceed the rank and all of G is asked.

    At or below the rank Y loses directions, and any spectral error is 1; a ridge of r says instead
    which entries survive: |E_ij| <= epsilon 2 r (THEORY 1.1). Entries and attention that are asked
    for by epsilon need no more than that either.
    """
    plan, tolerance = job.plan, rank_tolerance(job.plan.n)
    ridge = float(known.squared_norms.max())
    wants_entries = plan.epsilon is not None and plan.target != "spectral"
    if plan.target != "regularised" and not wants_entries:
        plain = Whitener.of(known.G, ridge=0.0, rank_tolerance=tolerance)
        assert plan.most_columns is not None
        if plan.most_columns > plain.rank or plan.most_columns >= plan.d:
            return plain, 0.0
    return Whitener.of(known.G, ridge=ridge, rank_tolerance=tolerance), ridge


def _fill_pool(job: Job, known: _Known, whitener: Whitener, each: Each) -> _Held:
    """Return about as many columns as planned, balanced so that they stand for all of X."""
    plan = job.plan
    count = plan.pool_columns
    assert count is not None
    # A column that is not kept for sure is kept with probability rate ||v||^2, as it were.
    rate = count / whitener.size if count < plan.d else np.finfo(np.float64).max
    k = whitener.rank
    balance = Balance(rate=rate, error=np.zeros((k, k), np.float32))
    chooser = PoolChooser(balance, always=np.empty(0, np.int64))
    picks, digest = _pick(job, known, whitener.R, chooser, np.float32, None)
    refuse_change(job.source, known.digest, digest)
    pool = Pool(_whitened(picks, whitener, plan.n), whitener.offset, each)
    return _Held(picks, pool, picks.scores)


def _pick(
    job: Job,
    known: _Known,
    R: Array,
    chooser: Chooser,
    dtype: type[np.floating],
    interval: Interval | None,
) -> tuple[Picks, Array]:
    """Return (columns that the chooser wants, digest) of a pass over X, or over an interval."""
    n = job.plan.n

    def accumulators(_: Interval) -> dict[str, Accumulator]:
        picker = WhitenedPicker(
            rows=n,
            block_dtype=job.source.block_dtype,
            R=R,
            squared_norms=known.squared_norms,
            dtype=dtype,
            chooser=chooser,
        )
        return {"digest": DigestAccumulator(rows=n), "picks": picker}

    def overlaps(columns: Interval) -> bool:
        return interval is None or (columns[0] < interval[1] and interval[0] < columns[1])

    ((_, found),) = run_bands(
        job.source, job.plan.stream, job.execution, accumulators, by_rows=False, wanted=overlaps
    )
    return found["picks"], found["digest"]


def _whitened(picks: Picks, whitener: Whitener, n: int) -> Array:
    """Return V (k, P) float64 of columns as they were read."""
    V, first = np.empty((whitener.rank, picks.count)), 0
    for batch in picks.batches:
        stop = first + batch.columns.size
        alone = Picks()
        alone.batches = [batch]
        values = weighted_columns(alone, batch.columns, np.ones(batch.columns.size), rows=n)
        V[:, first:stop] = whitener.apply(values)
        first = stop
    return V


class _Search:
    """The choice among the columns in memory, more of them being read where none will do."""

    def __init__(
        self,
        job: Job,
        known: _Known,
        scope: Scope,
        whitener: Whitener,
        ridge: float,
        held: _Held,
    ) -> None:
        self._job, self._known, self._scope = job, known, scope
        self._whitener, self._ridge, self.held = whitener, ridge, held
        self._plan = job.plan
        self._facts = Facts.of(job.source)
        self._leaves_read = 0
        self._bytes_read_again = 0
        # Rounding of G that whitening enlarges (THEORY 6).
        self._noise = scope.rounding * float(known.squared_norms.sum())
        self._noise *= float(np.square(whitener.R).sum(axis=1).max())

    def run(self) -> tuple[_Found, tuple[CurvePoint, ...]]:
        """Return what was found, and what was tried on the way to the fewest columns."""
        plan = self._plan
        assert plan.most_columns is not None
        if plan.epsilon is None:
            return self._choose(plan.most_columns), ()
        if plan.algorithm == "bss":
            return self._walk(plan.most_columns, until=self._meets), ()
        found, curve = self._fewest(plan.most_columns)
        if curve and not any(point.meets for point in curve):
            walked = self._walk(plan.most_columns, until=self._meets)
            if self._error(walked.weights) < self._error(found.weights):
                found = walked._replace(fell_back=True)
        return found, curve

    def _choose(self, m: int) -> _Found:
        """Return at most m columns, by the algorithm that was asked for."""
        plan, held = self._plan, self.held
        if plan.algorithm == "bss":
            return self._walk(m, until=None)
        care = care_for(self._facts, plan.algorithm or "auto", m)
        best = choose_balanced(held.pool, held.weights, m, care)
        found = _Found(*best, "exchange" if care.rounds else "balance")
        # What barriers prove must hold for "auto" as well.
        if plan.algorithm == "auto" and best.epsilon > (self._proved(m) or 1.0):
            walked = self._walk(m, until=None)
            improved = improve(self.held.pool, walked.weights, m, care)
            if improved.epsilon < best.epsilon:
                return walked._replace(
                    weights=improved.weights, epsilon=improved.epsilon, turns=None
                )
        return found

    def _proved(self, m: int) -> float | None:
        rank = self._whitener.rank
        return barrier_epsilon(rank=rank, m=m) if self._ridge == 0 and m > rank else None

    def _walk(self, m: int, *, until: Callable[[Array], bool] | None) -> _Found:
        """Return the weights of m picks of Batson, Spielman and Srivastava, or fewer columns."""
        rank, held = self._whitener.rank, self.held
        if self._ridge > 0 or m <= rank:
            weights = refill(held.pool, np.zeros(held.pool.size), m)
            epsilon, weights = held.pool.distortion(weights)
            return _Found(weights, epsilon, "bss")
        walk = Walk(
            held.pool, Schedule(rank, m / rank), np.zeros(held.pool.size), scale=1.0, repeats=True
        )
        check = rank
        while walk.picks < m:
            if walk.step() is None and not self._read_more(walk):
                break
            if until is not None and walk.picks >= check:
                check = int(check * _NEAR) + 1
                if until(self.held.pool.distortion(walk.weights)[1]):
                    break
        report = walk.report()
        epsilon, weights = self.held.pool.distortion(walk.weights)
        return _Found(weights, epsilon, "bss", walk.turns, report)

    def _read_more(self, walk: Walk) -> bool:
        """Read the leaf with the largest <M, sum v v^T>, M of L - U, and put its best in the pool.

        Without sums by leaf, all of X. Return False where no column qualifies: rounding alone can
        do that, because the sum of L - U over all columns is not negative.
        """
        Q, upper, lower = walk.forms()
        R = Q.T @ self._whitener.R
        width = self._plan.leaf_width
        if width is None:
            return self._search_interval(walk, R, upper, lower, (0, self._plan.d))
        M = (R.T * (lower - upper)) @ R
        packed = (2 * M - np.diag(M.diagonal()))[np.tril_indices(M.shape[0])]
        values = {leaf: float(packed @ sums) for leaf, sums in self._known.leaves.items()}
        for leaf in sorted(values, key=lambda leaf: (-values[leaf], leaf)):
            start = leaf * width
            interval = (start, min(start + width, self._plan.d))
            if self._search_interval(walk, R, upper, lower, interval):
                return True
        return False

    def _search_interval(
        self, walk: Walk, R: Array, upper: Array, lower: Array, interval: Interval
    ) -> bool:
        count = max(64, R.shape[0])
        chooser = BestRatio(lower, upper, count=count, interval=interval)
        picks, _ = _pick(self._job, self._known, R, chooser, np.float64, interval)
        share = (interval[1] - interval[0]) / self._plan.d
        self._leaves_read += 1
        self._bytes_read_again += int(share * self._job.source.stored_bytes)
        held = self.held
        new = Picks()
        for batch in picks.batches:
            fresh = np.flatnonzero(~np.isin(batch.columns, held.columns) & (batch.scores >= 1))
            if fresh.size:
                new.batches.append(batch.take(fresh))
        if not new.batches:
            return False
        kept = self._without_spare(walk, new.count)
        V = _whitened(new, self._whitener, self._plan.n)
        held.picks.keep(kept)
        held.picks.batches += new.batches
        held.pool = replace(held.pool, V=np.concatenate([held.pool.V[:, kept], V], axis=1))
        held.weights = np.append(held.weights[kept], np.zeros(new.count))
        walk.replace_pool(held.pool, np.flatnonzero(kept))
        return True

    def _without_spare(self, walk: Walk, count: int) -> Array:
        """Return which columns stay where ``count`` come: the pool does not grow.

        Those that go are the shortest of what the walk has not used.
        """
        spare = np.flatnonzero(walk.weights == 0)
        order = np.argsort(self.held.pool.tau[spare], kind="stable")
        kept = np.ones(walk.weights.size, bool)
        kept[spare[order[:count]]] = False
        return kept

    def _fewest(self, most: int) -> tuple[_Found, tuple[CurvePoint, ...]]:
        """Return the fewest columns that meet epsilon, by trials: errors fall as 1 / sqrt(m)."""
        plan = self._plan
        assert plan.epsilon is not None
        least, enough = 0, most + 1
        m = min(most, self._first_guess())
        tried: dict[int, tuple[_Found, float]] = {}
        while len(tried) < _MOST_TRIALS and m not in tried:
            found = self._choose(m)
            error = self._error(found.weights)
            tried[m] = found, error
            if error <= plan.epsilon:
                enough = min(enough, m)
            else:
                least = max(least, m)
            if enough <= most and enough <= least * _NEAR + 1:
                break
            guess = m * (error / plan.epsilon) ** 2
            low, high = least + 1, min(most, enough - 1)
            if least and enough <= most:
                low, high = int(least * 1.02) + 1, max(int(enough / 1.02), least + 1)
            m = int(min(max(guess, low, m / 8), high, 8 * m))
        meeting = [trial for trial in tried.values() if trial[1] <= plan.epsilon]
        best = min(
            meeting or tried.values(),
            key=lambda trial: np.count_nonzero(trial[0].weights) if meeting else trial[1],
        )
        curve = tuple(
            CurvePoint(
                int(np.count_nonzero(found.weights)), "columns", error, None, error <= plan.epsilon
            )
            for _, (found, error) in sorted(tried.items())
        )
        return best[0], curve

    def _first_guess(self) -> int:
        plan, size = self._plan, max(1, round(self._whitener.size))
        assert plan.epsilon is not None
        epsilon = 0.5 if plan.target == "attention" else plan.epsilon
        return max(8, int(barrier_columns(rank=size, epsilon=epsilon) / _OPTIMISM))

    def _meets(self, weights: Array) -> bool:
        assert self._plan.epsilon is not None
        return self._error(weights) <= self._plan.epsilon

    def _error(self, weights: Array) -> float:
        """Return the error in the sense of the target, as the certificate will state it."""
        held, plan = self.held, self._plan
        if plan.target in ("spectral", "regularised"):
            return held.pool.distortion(weights)[0] + self._noise
        used = np.flatnonzero(weights)
        columns = held.columns[used]
        order = np.argsort(columns)
        Y = weighted_columns(held.picks, columns[order], weights[used][order], rows=plan.n)
        F = product_with_transpose(dense_rows(Y))
        errors = measure_exactly(
            G=self._known.G, F=F, scope=self._scope, spectral=None, regularised=None
        )
        measured = certified_error(errors, plan.target)
        return float("inf") if measured is None else measured.value

    def in_order(self, found: _Found) -> tuple[Array, Array]:
        """Return (columns, weights) in the order of picks; without one, the strongest first."""
        used = np.flatnonzero(found.weights)
        keys = -found.weights * self.held.pool.tau if found.turns is None else found.turns
        order = used[np.lexsort((self.held.columns[used], keys[used]))]
        return self.held.columns[order], found.weights[order]

    def describe(self, found: _Found, *, m: int) -> Selection:
        """Return what is told about the selection."""
        report = found.report
        selection = Selection(
            algorithm=found.algorithm,
            fell_back=found.fell_back,
            rank=self._whitener.rank,
            ridge=self._ridge,
            epsilon=found.epsilon,
            proved=self._proved(m),
            leaves_read=self._leaves_read,
            bytes_read_again=self._bytes_read_again,
        )
        return selection if report is None else replace(selection, **report._asdict())
