"""An independent check of Y: stream X again and compare rows of Y Y^T with rows of X X^T."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.rows import RowsAccumulator
from streamsparse.accumulators.tiles import STACK_BYTES, STACK_CELLS
from streamsparse.dense.certificate import Errors, measure_sampled
from streamsparse.kernels.norms import LANES
from streamsparse.methods.base import Job, hold_sample
from streamsparse.methods.exact import gram_of, measure_all
from streamsparse.running.facts import Facts
from streamsparse.running.local import run_bands
from streamsparse.running.spans import span_width
from streamsparse.running.stream import Needs
from streamsparse.sources.base import Array, Interval

_CHUNK_BYTES = 4 << 20


def rows_needs(facts: Facts, *, m: int, count: int) -> Needs:
    """Return what ``count`` sampled rows of G ask of a pass."""
    return Needs(
        state_cells=LANES + count,
        band_cells=STACK_CELLS,
        kept_cells=6 * count + 1,
        result_cells=0,
        scratch_bytes=2 * STACK_BYTES,
        finish_bytes=_CHUNK_BYTES + 8 * facts.n * 6 * count + 8 * m * count,
        span_width=span_width(d=facts.d, state_columns=count),
        whole_columns=False,
    )


def sampled_gram_rows(Y: Any, sample: Array) -> Array:
    """Return the rows I of Y Y^T, (p, n), for Y in memory or on disk, in chunks of its rows."""
    Y_I = np.empty((sample.size, Y.shape[1]))
    for k, row in enumerate(sample.tolist()):
        Y_I[k] = Y[row]
    step = max(1, _CHUNK_BYTES // (8 * Y.shape[1]))
    parts = [Y_I @ np.asarray(Y[a : a + step], np.float64).T for a in range(0, Y.shape[0], step)]
    return np.concatenate(parts, axis=1)


def check_rows(job: Job, Y: Any, sample: Array) -> tuple[Errors, Array]:
    """Return (errors on the sampled rows, squared row norms of X)."""
    source, stream = job.source, job.plan.stream
    held = hold_sample(source, stream, sample, zero=job.execution.zero_nonfinite)

    def accumulators(band: Interval) -> list[Accumulator]:
        rows = band[1] - band[0]
        sampled = RowsAccumulator(
            rows=rows, sample=sample, held=held, block_dtype=source.block_dtype
        )
        return [NormsAccumulator(rows=rows), sampled]

    norms, G_I = np.empty(job.plan.n), np.empty((sample.size, job.plan.n))
    for (a, b), made, states in run_bands(
        source, stream, job.execution, accumulators, by_rows=True
    ):
        norms[a:b], rows_of_G = (
            accumulator.finish(state) for accumulator, state in zip(made, states, strict=True)
        )
        G_I[:, a:b] = rows_of_G.T
    r = float(norms.max())
    if sample.size == job.plan.n:
        return measure_all(job, G_I, np.asarray(Y[:], np.float64), r), norms
    F_I = sampled_gram_rows(Y, sample)
    return measure_sampled(G_I=G_I, F_I=F_I, r=r, beta=job.plan.beta), norms


def check_everything(job: Job, Y: Array) -> tuple[Errors, Array]:
    """Return (errors on all rows, squared row norms of X), from the exact Gram matrix."""
    G, norms = gram_of(job)
    return measure_all(job, G, Y, float(norms.max())), norms
