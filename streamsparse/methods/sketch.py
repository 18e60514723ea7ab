"""Method "sketch": Y = X S^T in one pass, or the smallest exact factor of it (THEORY 2.1, 2.6)."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.rows import RowsAccumulator
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.accumulators.tiles import STACK_BYTES, STACK_CELLS
from streamsparse.dense.certificate import Errors, measure_sampled
from streamsparse.dense.linalg import (
    eigenpairs,
    product_with_transpose,
    rank_of,
    scaled_vectors,
)
from streamsparse.kernels.norms import LANES
from streamsparse.methods.base import Job, Reduction, hold_sample, sample_rows
from streamsparse.methods.exact import measure_all
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.running.facts import Facts
from streamsparse.running.local import run_bands
from streamsparse.running.spans import span_width
from streamsparse.running.stream import Needs
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.sources.base import Array, Interval


def sketch_needs(
    facts: Facts, *, operator: SparseSign, checked_rows: int, factorises: bool
) -> Needs:
    """Return what a sketch with this operator asks of a pass.

    ``factorises``: Y is replaced by n columns or fewer afterwards.
    """
    n, M, p = facts.n, operator.m, checked_rows
    stacks = bool(p) and facts.nnz is None
    finish = 8 * n * (M + 6 * p)
    if factorises or p == n:
        # Y, its Gram matrix, eigenvectors, workspace of eigh (2 n^2), and the projection.
        finish = 8 * n * (2 * M + 6 * n)
    return Needs(
        state_cells=operator.padded_m + LANES + p,
        band_cells=M + STACK_CELLS * stacks,
        kept_cells=6 * p + 1,
        result_cells=M,
        scratch_bytes=2 * STACK_BYTES,
        finish_bytes=finish,
        span_width=span_width(d=facts.d, state_columns=M),
        whole_columns=False,
    )


def reduce_by_sketch(job: Job) -> Reduction:
    """Run the pass and the dense finish."""
    plan, source = job.plan, job.source
    n, d = source.shape
    assert plan.sketch_columns is not None
    assert plan.s is not None
    operator = SparseSign.make(d=d, m=plan.sketch_columns, s=plan.s, seed=plan.seed)
    sample = sample_rows(n=n, count=plan.checked_rows, seed=plan.seed)
    Y, norms, G_I = _stream(job, operator, sample)
    r, trace = float(norms.max()), float(norms.sum())
    projection = None
    if plan.m != plan.sketch_columns:
        assert Y is not None
        Y, projection = factorise(Y)
    errors = None if Y is None else _measure(job, Y, G_I, sample, r)
    return Reduction(Y, r, trace, errors, operator, projection, sample, G_I)


def _stream(job: Job, operator: SparseSign, sample: Array) -> tuple[Array | None, Array, Array]:
    """Return (Y or None if the writer took it, squared norms (n,), the rows I of G (p, n))."""
    source, stream = job.source, job.plan.stream
    n = source.shape[0]
    held = hold_sample(source, stream, sample, zero=job.execution.zero_nonfinite)

    def accumulators(band: Interval) -> list[Accumulator]:
        rows = band[1] - band[0]
        made: list[Accumulator] = [
            NormsAccumulator(rows=rows),
            SketchAccumulator(rows=rows, operator=operator),
        ]
        if sample.size:
            made.append(
                RowsAccumulator(rows=rows, sample=sample, held=held, block_dtype=source.block_dtype)
            )
        return made

    Y = np.empty((n, operator.m)) if stream.bands > 1 and job.writer is None else None
    norms, G_I = np.empty(n), np.empty((sample.size, n))
    for (a, b), made, states in run_bands(
        source, stream, job.execution, accumulators, by_rows=True
    ):
        norms[a:b], Y_band, *rest = (
            accumulator.finish(state) for accumulator, state in zip(made, states, strict=True)
        )
        if rest:
            G_I[:, a:b] = rest[0].T
        if stream.bands == 1:
            Y = Y_band
        elif Y is not None:
            Y[a:b] = Y_band
        elif job.writer is not None:
            job.writer.write_rows(a, Y_band)
    return Y, norms, G_I


def factorise(Y: Array) -> tuple[Array, Array]:
    """Return (Z, P): Z = Y P has at most n columns and Z Z^T = Y Y^T up to rounding.

    With C = Y Y^T = U Lambda U^T: Z = U Lambda^(1/2), P = Y^T U Lambda^(-1/2) (THEORY 2.6 b), over
    the numerical rank of C.
    """
    values, vectors = eigenpairs(product_with_transpose(Y))
    m = max(1, rank_of(values, rank_tolerance(Y.shape[0])))
    safe = np.where(values[:m] > 0, values[:m], 1.0)
    projection = Y.T @ (vectors[:, :m] / np.sqrt(safe))
    return scaled_vectors(values, vectors, m), projection


def _measure(job: Job, Y: Array, G_I: Array, sample: Array, r: float) -> Errors:
    plan = job.plan
    if sample.size == plan.n:
        return measure_all(job, G_I, Y, r)
    return measure_sampled(G_I=G_I, F_I=Y[sample] @ Y.T, r=r, beta=plan.beta)
