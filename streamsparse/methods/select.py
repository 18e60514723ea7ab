"""Method "select": columns of X and weights without randomness, in two passes (THEORY 3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.choosers import BestRatio, PoolChooser
from streamsparse.accumulators.digest import DigestAccumulator
from streamsparse.accumulators.leaf_sums import LeafSumsAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.picks import Batch, Picks
from streamsparse.accumulators.whitened import Chooser, WhitenedPicker
from streamsparse.dense.balance import Balance
from streamsparse.dense.barriers import Report, Schedule, Walk
from streamsparse.dense.certificate import Measure
from streamsparse.dense.choice import choose_balanced, improve, keep_strongest, resize
from streamsparse.dense.linalg import product_with_transpose
from streamsparse.dense.measure import Scope
from streamsparse.dense.pool import Pool
from streamsparse.dense.whiten import Whitener
from streamsparse.errors import ParameterError
from streamsparse.kernels.parts import Each
from streamsparse.methods.base import CurvePoint, GramState, Job, Reduction, Selection
from streamsparse.methods.measuring import error_of, measure_all, scope_of
from streamsparse.methods.passes import refuse_change
from streamsparse.methods.picked import put_out, weighted_columns
from streamsparse.methods.plans import ENTRY_TARGETS
from streamsparse.methods.products import dense_rows
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.methods.select_plan import care_for
from streamsparse.running.facts import Facts
from streamsparse.running.local import run_bands, worker_threads
from streamsparse.sketching.bounds import barrier_columns, barrier_epsilon
from streamsparse.sources.base import Array, Interval

# A rate at which every column that is not zero is kept.
_KEEP_ALL = 1e150
# Columns of the pool that are whitened at once.
_GROUP = 1024
# Trials of m on the way to the fewest columns, and how near the last two must be.
_MOST_TRIALS = 8
_NEAR = 1.05
# The first trial: observed errors take about this fraction of the columns that a theorem asks for.
_OPTIMISM = 5.0


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
    known, leaves = _first_pass(job)
    scope = scope_of(plan, job.source, known.squared_norms)
    if not known.squared_norms.any():
        raise ParameterError("no column can be selected: X is zero")
    with worker_threads(job.execution.threads) as each:
        whitener, ridge = _whitener(job, known)
        held = _fill_pool(job, known, whitener, each)
        search = _Search(job, known, leaves, scope, whitener, ridge, held)
        found, curve = search.run()
    columns, weights = search.in_order(found)
    Y = weighted_columns(search.held.picks, columns, weights, rows=plan.n)
    selection = search.describe(found, m=int(columns.size))
    del search, held, whitener
    del leaves
    errors = measure_all(known.gram, dense_rows(Y), scope)
    if selection.picks is not None and selection.proved is not None:
        errors = replace(errors, barrier=Measure(selection.proved, "bound"))
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
        known=known,
    )


def _first_pass(job: Job) -> tuple[GramState, dict[int, Array]]:
    """Return (G and what goes with it, sums by leaf): of an earlier run, or of a pass over X."""
    if job.start is not None:
        return job.start.known, {}
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
    return GramState(G, found["norms"], found["digest"]), leaves


def _whitener(job: Job, known: GramState) -> tuple[Whitener, float]:
    """Return (coordinates, lambda): the plain ones if m may exceed the rank and all of G is asked.

    At or below the rank Y loses directions, and any spectral error is 1; a ridge of r says instead
    which entries survive: |E_ij| <= epsilon 2 r (THEORY 1.1). Entries and attention that are asked
    for by epsilon need no more than that either.
    """
    plan, tolerance = job.plan, rank_tolerance(job.plan.n)
    ridge = float(known.squared_norms.max())
    has_target = plan.epsilon is not None and plan.target != "spectral"
    wants_less = plan.algorithm != "bss" and (has_target or plan.target == "regularised")
    if not wants_less:
        plain = Whitener.of(known.gram, ridge=0.0, rank_tolerance=tolerance)
        assert plan.most_columns is not None
        if plan.most_columns > plain.rank or plan.most_columns >= plan.d:
            return plain, 0.0
    return Whitener.of(known.gram, ridge=ridge, rank_tolerance=tolerance), ridge


def _fill_pool(job: Job, known: GramState, whitener: Whitener, each: Each) -> _Held:
    """Return about as many columns as planned, balanced so that they stand for all of X."""
    plan = job.plan
    count = plan.pool_columns
    assert count is not None
    # A column that is not kept for sure is kept with probability rate ||v||^2, as it were.
    rate = count / whitener.size if count < plan.d else _KEEP_ALL
    k = whitener.rank
    balance = Balance(rate=rate, error=np.zeros((k, k), np.float32))
    always = np.empty(0, np.int64) if job.start is None else np.unique(job.start.columns)
    chooser = PoolChooser(balance, always)
    picks, digest = _pick(job, known, whitener.R, chooser, np.float32, None)
    since = "between the two passes" if job.start is None else "since the result to start from"
    refuse_change(job.source, known.digest, digest, since=since)
    pool = Pool(_whitened(picks, whitener, each), whitener.offset, each)
    return _Held(picks, pool, picks.scores)


def _pick(
    job: Job,
    known: GramState,
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


def _whitened(picks: Picks, whitener: Whitener, each: Each) -> Array:
    """Return V (k, P) float64 of columns as they were read."""
    V = np.empty((whitener.rank, picks.count))
    groups: list[tuple[int, list[Batch]]] = []
    first, held = 0, _GROUP
    for batch in picks.batches:
        if held >= _GROUP:
            groups.append((first, []))
            held = 0
        groups[-1][1].append(batch)
        first, held = first + batch.columns.size, held + batch.columns.size

    def whiten(part: int) -> None:
        start, batches = groups[part]
        alone = Picks()
        alone.batches = batches
        columns = alone.columns
        values = weighted_columns(alone, columns, np.ones(columns.size), rows=whitener.R.shape[1])
        V[:, start : start + columns.size] = whitener.apply(values)

    each(whiten, len(groups))
    return V


class _Search:
    """The choice among the columns in memory, more of them being read where none will do."""

    def __init__(
        self,
        job: Job,
        known: GramState,
        leaves: dict[int, Array],
        scope: Scope,
        whitener: Whitener,
        ridge: float,
        held: _Held,
    ) -> None:
        self._job, self._known, self._leaves, self._scope = job, known, leaves, scope
        self._whitener, self._ridge, self.held = whitener, ridge, held
        self._plan = job.plan
        self._facts = Facts.of(job.source)
        self._leaves_read = 0
        self._bytes_read_again = 0
        # Rounding of G that whitening enlarges (THEORY 6).
        self._noise = scope.rounding * float(known.squared_norms.sum())
        self._start = self._start_weights()
        self._noise *= float(np.square(whitener.R).sum(axis=1).max())
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

    def run(self) -> tuple[_Found, tuple[CurvePoint, ...]]:
        """Return what was found, and what was tried on the way to the fewest columns."""
        plan = self._plan
        assert plan.most_columns is not None
        if plan.epsilon is None:
            return self._choose(plan.most_columns), ()
        if plan.algorithm == "bss" and self._can_walk(plan.most_columns):
            return self._walk(plan.most_columns, until=self._meets), ()
        found, curve = self._fewest(plan.most_columns)
        if self._can_walk(plan.most_columns) and not any(point.meets for point in curve):
            walked = self._walk(plan.most_columns, until=self._meets)
            if self._error(walked.weights) < self._error(found.weights):
                found = walked._replace(fell_back=True)
        return found, curve

    def _choose(self, m: int) -> _Found:
        """Return at most m columns, by the algorithm that was asked for."""
        plan, held = self._plan, self.held
        if held.pool.size <= m and (held.weights == 1).all():
            # All columns that are not zero: nothing is left to choose, and nothing is lost.
            return _Found(held.weights, held.pool.distortion(held.weights)[0], "all")
        algorithm = plan.algorithm or "auto"
        if algorithm == "bss":
            if self._can_walk(m):
                return self._walk(m, until=None)
            # Barriers need more columns than directions.
            algorithm = "auto"
        care = care_for(self._facts, algorithm, m)
        if self._start is None:
            best = choose_balanced(held.pool, held.weights, m, care)
        else:
            best = improve(held.pool, resize(held.pool, self._start, m), m, care)
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

    def _can_walk(self, m: int) -> bool:
        """Whether the theorem of barriers says anything: more columns than directions."""
        return self._ridge == 0 and m > self._whitener.rank

    def _proved(self, m: int) -> float | None:
        return barrier_epsilon(rank=self._whitener.rank, m=m) if self._can_walk(m) else None

    def _walk(self, m: int, *, until: Callable[[Array], bool] | None) -> _Found:
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
            if walk.step() is None and not self._read_more(walk):
                break
            if until is not None and done + walk.picks >= check:
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
        values = {leaf: float(packed @ sums) for leaf, sums in self._leaves.items()}
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
        V = _whitened(new, self._whitener, held.pool.each)
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
        """Return the fewest columns that meet epsilon, by trials, and all trials.

        Errors fall about as 1 / sqrt(m): a line through the nearest trials on either side, in
        logarithms, says where to try next. If none meets epsilon: the one of least error.
        """
        limit = self._limit()
        failing: tuple[int, float] | None = None
        meeting: tuple[int, float] | None = None
        best: _Found | None = None
        points: dict[int, CurvePoint] = {}
        m = min(most, self._first_guess())
        for _ in range(_MOST_TRIALS):
            found = self._choose(m)
            error = self._error(found.weights)
            count = int(np.count_nonzero(found.weights))
            points[count] = CurvePoint(count, "columns", error, self._zero_error, error <= limit)
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
        return best, tuple(points[count] for count in sorted(points))

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
