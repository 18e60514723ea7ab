"""The passes of method "select": G, a pool of columns, and more of them where it lacks one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.choosers import PoolChooser
from streamsparse.accumulators.digest import DigestAccumulator
from streamsparse.accumulators.leaf_sums import LeafSumsAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.picks import Batch, Picks
from streamsparse.accumulators.whitened import Chooser, WhitenedPicker
from streamsparse.arrays import Array, Interval
from streamsparse.dense.balance import KEEP_ALL, Balance
from streamsparse.dense.pool import Pool
from streamsparse.dense.whiten import Whitener
from streamsparse.kernels.ranges import Each
from streamsparse.methods.base import Job
from streamsparse.methods.known import Known
from streamsparse.methods.one_pass import OnePassChooser
from streamsparse.methods.passes import refuse_change
from streamsparse.methods.picked import weighted_columns
from streamsparse.running.local import run_bands

# Columns of the pool that are whitened at once.
_GROUP = 1024


@dataclass(slots=True)
class Held:
    """The columns in memory.

    Attributes
    ----------
    picks : the columns as they were read, in any order.
    columns, weights : their indices in X, and their weights in the pool, (P,).
    pool : the same columns in whitened coordinates.
    """

    picks: Picks
    columns: Array
    weights: Array
    pool: Pool


def first_pass(job: Job) -> tuple[Known, dict[int, Array], Picks | None]:
    """Return (G and what goes with it, sums by leaf, columns) of a pass over X, or an earlier run.

    Columns only where the plan makes no second pass to find them.
    """
    if job.start is not None:
        return job.start.known, {}, None
    plan, n, block_dtype = job.plan, job.source.shape[0], job.source.block_dtype

    def accumulators(_: Interval) -> dict[str, Accumulator]:
        made: dict[str, Accumulator] = {
            "norms": NormsAccumulator(rows=n),
            "G": LeafSumsAccumulator(rows=n, block_dtype=block_dtype, leaf_width=plan.leaf_width),
            "digest": DigestAccumulator(rows=n),
        }
        if plan.scans == 1:
            assert plan.pool_columns is not None
            made["picks"] = WhitenedPicker(
                rows=n,
                block_dtype=block_dtype,
                R=None,
                squared_norms=np.ones(n),
                dtype=np.float64,
                chooser=OnePassChooser(rows=n, capacity=plan.pool_columns // 2),
            )
        return made

    ((_, found),) = run_bands(job.source, plan.stream, job.execution, accumulators, by_rows=False)
    G, leaves = found["G"]
    known = Known.of_pass(
        G,
        found["norms"],
        found["digest"],
        None,
        d=plan.d,
        preprocess=plan.preprocess,
        block_dtype=block_dtype,
        lengths=None,
    )
    return known, leaves, found.get("picks")


def hold(picks: Picks, whitener: Whitener, each: Each) -> Held:
    """Return picks, whose scores are weights, as a pool."""
    pool = Pool(whitened(picks, whitener, each), whitener.offset, each)
    return Held(picks, picks.columns, picks.scores, pool)


def fill_pool(job: Job, known: Known, whitener: Whitener, each: Each) -> Held:
    """Return about as many columns as planned, balanced so that they stand for all of X."""
    plan = job.plan
    count = plan.pool_columns
    assert count is not None
    # A column that is not kept for sure is kept with probability rate ||v||^2, as it were.
    rate = count / whitener.size if count < plan.d else KEEP_ALL
    k = whitener.rank
    balance = Balance(rate=rate, error=np.zeros((k, k), np.float32))
    always = np.empty(0, np.int64) if job.start is None else np.unique(job.start.columns)
    chooser = PoolChooser(balance, always)
    picks, digest = pick(job, known, whitener.R, chooser, np.float32, None)
    since = "between the two passes" if job.start is None else "since the result to start from"
    refuse_change(job.source, known.digest, digest, since=since)
    return hold(picks, whitener, each)


def pick(
    job: Job,
    known: Known,
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


def whitened(picks: Picks, whitener: Whitener, each: Each) -> Array:
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
