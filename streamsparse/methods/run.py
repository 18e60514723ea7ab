"""Run a plan: rewrite X by columns if planned, then the method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from streamsparse.methods.base import Job, Reduction
from streamsparse.methods.exact import reduce_exactly
from streamsparse.methods.sample import reduce_by_sampling
from streamsparse.methods.select import reduce_by_selecting
from streamsparse.methods.sketch import reduce_by_sketch
from streamsparse.running.local import Scan
from streamsparse.running.rebucket import by_columns
from streamsparse.running.shares import PassReachedError
from streamsparse.running.threads import one_blas_thread
from streamsparse.sources.rewritten import RewrittenSource, preprocessed

_METHODS = {
    "exact": reduce_exactly,
    "sketch": reduce_by_sketch,
    "sample": reduce_by_sampling,
    "select": reduce_by_selecting,
}


def run_plan(job: Job) -> Reduction:
    """Run the method of ``job.plan``."""
    with one_blas_thread(), with_planned_layout(job) as ready:
        return _METHODS[ready.plan.method](ready)


def next_scan(job: Job) -> Scan:
    """Return the first pass that the method wants and that nobody has made for it."""
    try:
        run_plan(job)
    except PassReachedError as ending:
        return ending.scan
    raise AssertionError(f"{job.plan.method} has all its passes")


@contextmanager
def with_planned_layout(job: Job) -> Iterator[Job]:
    """Yield the job, on a column-blocked copy of its source if the plan says so.

    Chunks of a dask array are cut by columns where they are computed: that takes no copy here.
    """
    if not job.plan.stream.rebucket or (job.source.is_lazy and job.execution.workers is not None):
        yield job
        return
    source, stream = job.source, job.plan.stream
    if isinstance(source, RewrittenSource):
        # What is copied is X as it is, in blocks that are as planned once they are rewritten.
        stream = replace(stream, block_bytes=source.bare_bytes(stream.block_bytes))
        source = source.bare
    with by_columns(source, stream, beside=job.scratch) as copy:
        # Nobody else can read the copy.
        here = replace(job.execution, workers=None)
        yield replace(job, source=preprocessed(copy, job.plan.preprocess), execution=here)
