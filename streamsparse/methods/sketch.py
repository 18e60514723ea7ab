"""Method "sketch": Y = X S^T in one pass, and what the dense stage may make of it (THEORY 2)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.digest import DigestAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.probes import ProbesAccumulator
from streamsparse.accumulators.rows import RowsAccumulator
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.arrays import Array, Interval
from streamsparse.methods.base import Job, Reduction
from streamsparse.methods.centring import accumulators_of, centre, probes_for
from streamsparse.methods.finish import Read, finish_sketch, keep_sketch
from streamsparse.methods.held import hold_sample
from streamsparse.methods.known import Known
from streamsparse.methods.measuring import Seen
from streamsparse.methods.rows_out import RowsOut
from streamsparse.running.local import run_bands
from streamsparse.running.plan import Plan
from streamsparse.sketching.draws import PROBES, normals, sample_rows
from streamsparse.sketching.row_map import RowMap
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.storing.buckets import DenseBuckets
from streamsparse.storing.scratch import scratch_folder

# Takes (first row, sums, squared norms) of a band of rows that has been sketched.
Take = Callable[[int, Array, Array], None]


def operator_of(plan: Plan) -> SparseSign:
    """Return the S of a plan."""
    assert plan.sketch_columns is not None
    assert plan.s is not None
    assert plan.hash is not None
    return SparseSign.make(
        d=plan.d, m=plan.sketch_columns, s=plan.s, seed=plan.seed, hash=plan.hash
    )


def rows_to_check(plan: Plan) -> Array:
    """Return the rows of G to compute: random ones that look at others, or all there are."""
    if plan.checked_rows == plan.n:
        return np.arange(plan.n)
    looking = plan.n if plan.queries is None else plan.queries
    return sample_rows(n=looking, count=plan.checked_rows, seed=plan.seed)


def reduce_by_sketch(job: Job) -> Reduction:
    """Run the pass and the dense finish."""
    operator = operator_of(job.plan)
    with ExitStack() as stack:
        if job.plan.m is not None and not job.plan.dense_stage and job.plan.epsilon is None:
            return _keep_sketch(job, operator)
        take, read = _sums_in_memory(job, operator)
        if job.plan.stream.bands > 1 and job.output is not None:
            take, read = _sums_on_disk(job, operator, stack)
        seen = sketch_pass(job, operator, take)
        return finish_sketch(job, operator, seen, read)


def _keep_sketch(job: Job, operator: SparseSign) -> Reduction:
    """Y is the sketch itself: each band goes to its place as soon as it is there."""
    row_map = RowMap(operator, operator.m, exact_diagonal=job.plan.exact_diagonal)
    rows = RowsOut(job.output, job.plan.n, operator.m)
    seen = sketch_pass(
        job, operator, lambda start, sums, norms: rows.put(start, row_map.apply(sums, norms))
    )
    return keep_sketch(job, row_map, seen, rows.Y)


def sketch_pass(
    job: Job, operator: SparseSign, take: Take, *, first_column: int = 0, digest_column: int = 0
) -> Seen:
    """Stream X once: hand the sums of every band to ``take``; return what was seen.

    ``first_column``: the column of S that belongs to the first one of X; ``digest_column``: as
    which it counts in the digest.
    """
    source, stream, plan = job.source, job.plan.stream, job.plan
    n, block_dtype = source.shape[0], source.block_dtype
    sample = rows_to_check(plan)
    execution = job.execution
    held = hold_sample(
        source, stream, sample, zero=execution.zero_nonfinite, columns=execution.columns
    )
    probes = None
    if plan.probes:
        probes = normals(seed=plan.seed, rows=n, columns=plan.probes, stream=PROBES)

    def accumulators(band: Interval) -> dict[str, Accumulator]:
        rows = band[1] - band[0]
        made: dict[str, Accumulator] = {
            "norms": NormsAccumulator(rows=rows),
            "sums": SketchAccumulator(rows=rows, operator=operator, first_column=first_column),
            "digest": DigestAccumulator(rows=rows, first_column=digest_column),
            **accumulators_of(plan),
        }
        if sample.size:
            made["G_I"] = RowsAccumulator(
                rows=rows, sample=sample, held=held, block_dtype=block_dtype
            )
        if probes is not None:
            made["products"] = ProbesAccumulator(
                probes=probes_for(plan, probes), block_dtype=block_dtype
            )
        return made

    norms, digest = np.empty(n), np.empty(n, np.uint64)
    G_I = np.empty((sample.size, n))
    products = lengths = mean = None
    for (a, b), summed in run_bands(source, stream, execution, accumulators, by_rows=True):
        found = centre(plan, summed, sample)
        norms[a:b], digest[a:b] = found["norms"], found["digest"]
        take(a, found.pop("sums"), norms[a:b])
        if sample.size:
            G_I[:, a:b] = found["G_I"].T
        products, lengths, mean = (found.get(name) for name in ("products", "lengths", "mean"))
    known = Known.of_pass(
        G_I,
        norms,
        digest,
        products,
        d=plan.d,
        preprocess=plan.preprocess,
        block_dtype=block_dtype,
        lengths=lengths,
    )
    return Seen(known, sample, probes, mean)


def _sums_in_memory(job: Job, operator: SparseSign) -> tuple[Take, Read]:
    kept = RowsOut(None, job.plan.n, operator.m)

    def take(start: int, sums: Array, _: Array) -> None:
        kept.put(start, sums)

    return take, lambda rows: np.asarray(kept.Y[rows[0] : rows[1]])


def _sums_on_disk(job: Job, operator: SparseSign, stack: ExitStack) -> tuple[Take, Read]:
    """Keep the sketch in a temporary file: it is read again once for every fold."""
    folder = stack.enter_context(
        scratch_folder(
            job.scratch,
            needed=job.plan.stream.temporary_disk_bytes,
            purpose=f"the sketch of {job.source.name}",
            remedy="give m, or raise memory",
        )
    )
    shape = (job.plan.n, operator.m)
    store = DenseBuckets(folder / "sums", shape, np.dtype(np.float64), operator.m)
    stack.callback(store.close)

    def take(start: int, sums: Array, _: Array) -> None:
        store.put((start, start + sums.shape[0]), (0, operator.m), sums)

    return take, lambda rows: store.read(rows, 0)
