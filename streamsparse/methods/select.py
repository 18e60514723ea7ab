"""Method "select": columns of X and weights without randomness, in two passes (THEORY 3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from streamsparse.dense.certificate import Measure
from streamsparse.dense.measure import Scope
from streamsparse.dense.whiten import Whitener
from streamsparse.errors import ParameterError
from streamsparse.methods.base import Job, Reduction
from streamsparse.methods.candidates import fill_pool, first_pass, hold
from streamsparse.methods.known import Known
from streamsparse.methods.measuring import measure_all, scope_of
from streamsparse.methods.picked import put_out, weighted_columns
from streamsparse.methods.products import dense_rows
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.methods.search import Search
from streamsparse.methods.select_plan import is_one_pass
from streamsparse.running.threads import worker_threads

# Below it whitening overflows.
_LEAST_TRACE = 1e-280


def reduce_by_selecting(job: Job) -> Reduction:
    """Accumulate G, fill a pool of columns, choose among them, measure exactly."""
    plan = job.plan
    known, leaves, picks = first_pass(job)
    scope = scope_of(plan, known)
    trace = known.trace
    if trace < _LEAST_TRACE:
        what = "X is zero" if trace == 0 else "its squares vanish in float64; scale X up"
        raise ParameterError(f"no column can be selected: {what}")
    with worker_threads(job.execution.threads) as each:
        whitener, ridge = _whitener(job, known, scope)
        if picks is None:
            held = fill_pool(job, known, whitener, each)
        else:
            held = hold(picks, whitener, each)
        search = Search(job, known, leaves, scope, whitener, ridge, held)
        found, curve = search.run()
    columns, weights = search.in_order(found)
    Y = weighted_columns(search.held.picks, columns, weights, rows=plan.n)
    selection = search.describe(found, m=int(columns.size))
    del search, held, whitener, leaves, picks
    errors = measure_all(known.gram, dense_rows(Y), scope)
    if selection.picks is not None and selection.proved is not None:
        errors = replace(errors, barrier=Measure(selection.proved, "bound"))
    kept = put_out(Y, job.output)
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


def _whitener(job: Job, known: Known, scope: Scope) -> tuple[Whitener, float]:
    """Return (coordinates, lambda): the plain ones if m may exceed the rank and all of G is asked.

    At or below the rank Y loses directions, and any spectral error is 1; a ridge of r says instead
    which entries survive: |E_ij| <= epsilon 2 r (THEORY 1.1). Entries and attention that are asked
    for by epsilon need no more than that either.
    """
    plan, tolerance = job.plan, rank_tolerance(job.plan.n)
    ridge = float(known.squared_norms.max())
    has_target = plan.epsilon is not None and plan.target != "spectral"
    wants_less = plan.algorithm != "bss" and (has_target or plan.target == "regularised")
    wants_less |= is_one_pass(plan.algorithm, plan.target, plan.epsilon)
    if not wants_less:
        # Products of float32 have their own noise, which whitened would matter most.
        is_narrow = job.source.block_dtype == np.float32
        noise = scope.rounding_of_norm * known.trace if is_narrow else 0.0
        plain = Whitener.of(known.gram, ridge=0.0, rank_tolerance=tolerance, noise=noise)
        assert plan.most_columns is not None
        if plan.most_columns > plain.rank or plan.most_columns >= plan.d:
            return plain, 0.0
    return Whitener.of(known.gram, ridge=ridge, rank_tolerance=tolerance, noise=0.0), ridge
