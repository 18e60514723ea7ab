"""Method "exact": the Gram matrix in one pass and its square root (THEORY 3.2)."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.tiles import STACK_BYTES, STACK_CELLS
from streamsparse.dense.certificate import Errors, measure_exactly
from streamsparse.dense.linalg import eigenpairs, loewner_error, rank_of, scaled_vectors
from streamsparse.kernels.norms import LANES
from streamsparse.methods.base import Job, Reduction
from streamsparse.methods.rounding import gram_rounding, rank_tolerance
from streamsparse.running.facts import Facts
from streamsparse.running.local import run_bands
from streamsparse.running.spans import span_width
from streamsparse.running.stream import Needs
from streamsparse.sources.base import Array, Interval


def exact_needs(facts: Facts) -> Needs:
    """Return what the exact Gram matrix asks of a pass."""
    n = facts.n
    return Needs(
        state_cells=n + LANES,
        band_cells=STACK_CELLS,
        kept_cells=1,
        result_cells=0,
        scratch_bytes=2 * STACK_BYTES,
        # G, its eigenvectors, the workspace of eigh (2 n^2), Y, and the whitened copy.
        finish_bytes=8 * n * 6 * n,
        span_width=span_width(d=facts.d, state_columns=n),
        whole_columns=True,
    )


def gram_of(job: Job) -> tuple[Array, Array]:
    """Stream X once and return (G (n, n), squared row norms (n,))."""
    n = job.source.shape[0]

    def accumulators(_: Interval) -> list[Accumulator]:
        gram = GramAccumulator(rows=n, block_dtype=job.source.block_dtype)
        return [NormsAccumulator(rows=n), gram]

    passed = run_bands(job.source, job.plan.stream, job.execution, accumulators, by_rows=False)
    ((_, made, states),) = passed
    norms, G = (a.finish(state) for a, state in zip(made, states, strict=True))
    return G, norms


def reduce_exactly(job: Job) -> Reduction:
    """Run the pass and keep m eigenpairs of G: as asked, as epsilon allows, or the rank."""
    plan = job.plan
    G, norms = gram_of(job)
    r, trace = float(norms.max()), float(norms.sum())
    values, vectors = eigenpairs(G.copy())
    rank = max(1, rank_of(values, rank_tolerance(plan.n)))
    m = plan.m or rank
    if plan.m is None and plan.epsilon is not None and plan.target != "spectral":
        m = smallest_rank(G, values, vectors, rank, job=job, r=r)
    Y = scaled_vectors(values, vectors, m)
    del values, vectors
    errors = measure_all(job, G, Y, r)
    return Reduction(Y, r, trace, errors, None, None, np.arange(plan.n), G)


def measure_all(job: Job, G: Array, Y: Array, r: float) -> Errors:
    """Measure every error of Y against the Gram matrix of the job's source."""
    rounding = gram_rounding(d=job.plan.d, block_dtype=job.source.block_dtype)
    tolerance = rank_tolerance(job.plan.n)
    spectral = loewner_error(G, Y, rank_tolerance=tolerance, rounding=rounding)
    return measure_exactly(G=G, Y=Y, r=r, beta=job.plan.beta, rounding=rounding, spectral=spectral)


def smallest_rank(G: Array, values: Array, vectors: Array, rank: int, *, job: Job, r: float) -> int:
    """Return an m whose measured error meets epsilon, found by bisection; ``rank`` if none does.

    The entry error falls with m, so for it this is the smallest m. The attention error may not fall
    strictly: a smaller m may exist, but the one returned has been measured.
    """
    plan = job.plan
    assert plan.epsilon is not None
    rounding = gram_rounding(d=plan.d, block_dtype=job.source.block_dtype)
    failing, passing = 0, rank
    while passing - failing > 1:
        middle = (failing + passing) // 2
        Y = scaled_vectors(values, vectors, middle)
        errors = measure_exactly(G=G, Y=Y, r=r, beta=plan.beta, rounding=rounding, spectral=None)
        if error_of(errors, plan.target) <= plan.epsilon:
            passing = middle
        else:
            failing = middle
    return passing


def error_of(errors: Errors, target: str) -> float:
    """Return the measured error in the sense of ``target``; infinity where nobody measured it."""
    measure = {
        "attention": errors.attention,
        "entries": errors.entry,
        "spectral": errors.spectral,
    }[target]
    return float("inf") if measure is None else measure.value
