"""Method "sample": columns of X drawn by leverage score, in two passes (THEORY 2.7)."""

from __future__ import annotations

import math

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.digest import DigestAccumulator
from streamsparse.accumulators.picker import ColumnPicker
from streamsparse.accumulators.picks import Picks
from streamsparse.accumulators.rules import PoissonRule, PriorityRule
from streamsparse.arrays import Array, Interval
from streamsparse.dense.linalg import eigenpairs, product_with_transpose, rank_of
from streamsparse.dense.measure import Scope
from streamsparse.errors import ParameterError
from streamsparse.methods.base import Job, Reduction
from streamsparse.methods.exact import gram_pass
from streamsparse.methods.measuring import Risk, Seen, measure, scope_of
from streamsparse.methods.passes import refuse_change
from streamsparse.methods.picked import put_out, weighted_columns
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.methods.rows_out import RowsOut
from streamsparse.methods.sketch import operator_of, sketch_pass
from streamsparse.running.local import run_bands
from streamsparse.running.plan import Plan
from streamsparse.sketching.bounds import entry_of_attention, largest_sample, sampling_rate
from streamsparse.sketching.draws import SCORE_VECTORS, normals

# Random vectors by which scores are estimated: ||T x||^2 underestimates a score by a factor of 4
# with probability 1e-3, and a smaller score only means a larger weight (THEORY 2.7).
SCORE_VECTORS_COUNT = 16
RARE = 1e-9


def score_slack(rank: int) -> float:
    """Return by what factor estimated scores may add up to more than the rank, rarely exceeded.

    Their sum has about 16 k degrees of freedom: six standard deviations, and the sketch's own.
    """
    return 1.05 + 6 * math.sqrt(2 / (SCORE_VECTORS_COUNT * rank))


def reduce_by_sampling(job: Job) -> Reduction:
    """Score in the first pass, sample in the second, compare what both have read."""
    plan = job.plan
    seen, C = _first_pass(job)
    scope = scope_of(plan, seen.known)
    vectors, rank, size = _score_vectors(plan, C, ridge=_ridge(plan, seen))
    rule = _rule(plan, rank, size, scope)
    picks, again = _second_pass(job, rule, vectors)
    refuse_change(job.source, seen.known.digest, again, since="between the two passes")
    columns, weights = _weights(picks, rule)
    Y = weighted_columns(picks, columns, weights, rows=plan.n)
    del picks
    errors, _ = measure(Y, seen, scope, risk=Risk.plain(plan.delta))
    kept = put_out(Y, job.output)
    return Reduction(kept, scope.r, seen.known.trace, errors, columns=columns, weights=weights)


def _ridge(plan: Plan, seen: Seen) -> float:
    """Return lambda of the ridge scores: r for the regularised target, else none (THEORY 1.1)."""
    return float(seen.squared_norms.max()) if plan.target == "regularised" else 0.0


def _first_pass(job: Job) -> tuple[Seen, Array]:
    """Return (what was seen, G or the Gram matrix of the sketch)."""
    plan = job.plan
    if plan.sketch_columns is None:
        known = gram_pass(job)
        return Seen(known, np.arange(plan.n), None), known.gram.copy()
    operator = operator_of(plan)
    kept = RowsOut(None, plan.n, operator.m)
    seen = sketch_pass(job, operator, lambda start, sums, _: kept.put(start, sums))
    C = product_with_transpose(kept.Y)
    # The inverse of a sketched Gram matrix is too large by m / (m - k - 1) on average (Wishart).
    C /= operator.s * max(0.5, 1 - (plan.n + 1) / operator.m)
    return seen, C


def _score_vectors(plan: Plan, C: Array, *, ridge: float) -> tuple[Array, int, float]:
    """Return (T^T (n, t), rank, what the scores add up to) for scores ||T x||^2; C is lost.

    T = W or Omega W with W = (Lambda + ridge)^(-1/2) U^T over the numerical rank: directions below
    it are noise, and dividing by them would make weights explode.
    """
    values, vectors = eigenpairs(C)
    rank = max(1, rank_of(values, rank_tolerance(plan.n)))
    values, vectors = values[:rank], vectors[:, :rank]
    safe = np.where(values + ridge > 0, values + ridge, 1.0)
    size = float((values / safe).sum())
    W_transposed = vectors / np.sqrt(safe)
    if plan.sketch_columns is None or rank <= SCORE_VECTORS_COUNT:
        return np.ascontiguousarray(W_transposed), rank, size
    t = SCORE_VECTORS_COUNT
    Omega = normals(seed=plan.seed, rows=rank, columns=t, stream=SCORE_VECTORS)
    return np.ascontiguousarray(W_transposed @ (Omega / math.sqrt(t))), rank, size


def _rule(plan: Plan, rank: int, size: float, scope: Scope) -> PoissonRule | PriorityRule:
    """Return the rule: Poisson at the rate that epsilon needs if that fits, else an exact size."""
    most = plan.most_columns
    assert most is not None
    if plan.epsilon is not None:
        epsilon = plan.epsilon
        if plan.target == "attention":
            # Beyond 1 the theorem says nothing; Y = 0 would do.
            entry = entry_of_attention(attention=epsilon, beta=plan.beta, r=scope.r)
            # Far below what rounding allows it asks for all columns, and gets what fits.
            epsilon = min(max(entry, 1e-12), 0.99)
        # Ridge scores add up to less than the rank, but the theorem is about k x k matrices.
        rate = sampling_rate(rank=rank, epsilon=epsilon, delta=plan.delta)
        expected = min(float(plan.d), score_slack(rank) * rate * size)
        if plan.d <= most or largest_sample(expected=expected, failure=RARE) <= most:
            return PoissonRule(rate, most, plan.seed)
    return PriorityRule(most, plan.seed)


def _second_pass(job: Job, rule: PoissonRule | PriorityRule, vectors: Array) -> tuple[Picks, Array]:
    source, n, block_dtype = job.source, job.plan.n, job.source.block_dtype

    def accumulators(_: Interval) -> dict[str, Accumulator]:
        picker = ColumnPicker(rows=n, rule=rule, block_dtype=block_dtype, vectors=vectors)
        return {"digest": DigestAccumulator(rows=n), "picks": picker}

    ((_, found),) = run_bands(source, job.plan.stream, job.execution, accumulators, by_rows=False)
    return found["picks"], found["digest"]


def _weights(picks: Picks, rule: PoissonRule | PriorityRule) -> tuple[Array, Array]:
    """Return (columns, weights 1 / p) of the picks; heavy columns have the weight 1."""
    columns = np.asarray(picks.columns, np.int64)
    if columns.size == 0:
        raise ParameterError(
            "no column was kept: X is zero, or epsilon asks for too few; use method='exact'"
        )
    if isinstance(rule, PoissonRule):
        return columns, 1 / np.asarray(picks.keys)
    scores, keys = np.asarray(picks.scores), np.asarray(picks.keys)
    if columns.size <= rule.count:
        return columns, np.ones(columns.size)
    last = int(np.lexsort((-columns, keys))[0])
    kept = np.arange(columns.size) != last
    return columns[kept], 1 / np.minimum(1.0, scores[kept] / keys[last])
