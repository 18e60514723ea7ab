"""Method "exact": the Gram matrix in one pass and its square root (THEORY 3.2)."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.digest import DigestAccumulator
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.arrays import Array, Interval
from streamsparse.dense.linalg import (
    eigenpairs,
    product_with_transpose,
    rank_of,
    scaled_vectors,
)
from streamsparse.dense.measure import Scope
from streamsparse.methods.base import Job, Reduction
from streamsparse.methods.centring import accumulators_of, centre
from streamsparse.methods.known import Known
from streamsparse.methods.measuring import error_of, measure_all, refuse_hidden, scope_of
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.methods.rows_out import RowsOut
from streamsparse.running.local import run_bands
from streamsparse.sketching.row_map import diagonal_scale


def gram_pass(job: Job, *, digest_column: int = 0) -> Known:
    """Stream X once and return its Gram matrix (n, n), row norms and digest, as preprocessed.

    ``digest_column``: as which column the first one of X counts in the digest.
    """
    # Tasks are sent what they name: never the job, whose progress lies in this process.
    plan, n, block_dtype = job.plan, job.source.shape[0], job.source.block_dtype

    def accumulators(_: Interval) -> dict[str, Accumulator]:
        return {
            "norms": NormsAccumulator(rows=n),
            "G": GramAccumulator(rows=n, block_dtype=block_dtype),
            "digest": DigestAccumulator(rows=n, first_column=digest_column),
            **accumulators_of(plan),
        }

    passed = run_bands(job.source, plan.stream, job.execution, accumulators, by_rows=False)
    ((_, found),) = passed
    found = centre(plan, found, np.empty(0, np.int64))
    return Known.of_pass(
        found["G"],
        found["norms"],
        found["digest"],
        None,
        d=plan.d,
        preprocess=plan.preprocess,
        block_dtype=block_dtype,
        lengths=found.get("lengths"),
    )


def reduce_exactly(job: Job) -> Reduction:
    """Run the pass and take the square root of G."""
    return finish_exactly(job, gram_pass(job))


def finish_exactly(job: Job, known: Known) -> Reduction:
    """Keep m eigenpairs of G: as asked, as epsilon allows, or the rank."""
    plan, G = job.plan, known.gram
    scope = scope_of(plan, known)
    refuse_hidden(plan, scope)
    values, vectors = eigenpairs(G.copy())
    rank = max(1, min(rank_of(values, rank_tolerance(plan.n)), known.width))
    m, is_rescaled = plan.m or rank, False
    if plan.m is None and plan.epsilon is not None and plan.target != "spectral":
        m, is_rescaled = _smallest(G, values, vectors, rank, job=job, scope=scope)
    Y = _truncate(G, values, vectors, m, is_rescaled=is_rescaled)
    del values, vectors
    errors = measure_all(G, Y, scope)
    rows = RowsOut(job.output, plan.n, m)
    rows.put(0, Y)
    return Reduction(rows.Y, scope.r, known.trace, errors, known=known)


def _truncate(G: Array, values: Array, vectors: Array, m: int, *, is_rescaled: bool) -> Array:
    """Return the best Y of m columns (Eckart-Young), its rows rescaled to their exact norms or not.

    Truncation takes from the diagonal, the more the flatter the spectrum; rescaling gives it back.
    """
    Y = scaled_vectors(values, vectors, m)
    if is_rescaled:
        Y *= diagonal_scale(G.diagonal(), np.einsum("ij,ij->i", Y, Y))[:, None]
    return Y


def _smallest(
    G: Array, values: Array, vectors: Array, rank: int, *, job: Job, scope: Scope
) -> tuple[int, bool]:
    """Return (m, rescaled or not) of fewest columns whose measured error meets epsilon.

    By bisection for either kind of row. The entry error falls with m, so for it this is the
    smallest; the attention error may not fall strictly, but the m returned has been measured.
    """
    plan = job.plan
    assert plan.epsilon is not None
    # Nothing worse than Y = 0, whose entry error is 1 and whose attention error is measured.
    limit = min(plan.epsilon, error_of(G, np.zeros_like(G), scope, plan.target))
    kinds = (False, True) if plan.exact_diagonal else (False,)
    best = (rank, False)
    for is_rescaled in kinds:
        failing, passing = 0, best[0]
        while passing - failing > 1:
            middle = (failing + passing) // 2
            Y = _truncate(G, values, vectors, middle, is_rescaled=is_rescaled)
            if error_of(G, product_with_transpose(Y), scope, plan.target) <= limit:
                passing = middle
            else:
                failing = middle
        if passing < best[0]:
            best = (passing, is_rescaled)
    return best
