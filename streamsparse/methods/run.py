"""Run a plan: rewrite X by columns if planned, then the method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from streamsparse.methods.base import Job, Reduction
from streamsparse.methods.exact import reduce_exactly
from streamsparse.methods.sketch import reduce_by_sketch
from streamsparse.running.local import one_blas_thread
from streamsparse.running.rebucket import by_columns


def run_plan(job: Job, *, temporary: Path | None) -> Reduction:
    """Run the method of ``job.plan``; ``temporary`` is the folder for a rewritten X."""
    with one_blas_thread(), with_planned_layout(job, temporary=temporary) as ready:
        if ready.plan.method == "exact":
            return reduce_exactly(ready)
        return reduce_by_sketch(ready)


@contextmanager
def with_planned_layout(job: Job, *, temporary: Path | None) -> Iterator[Job]:
    """Yield the job, on a column-blocked copy of its source if the plan says so."""
    if not job.plan.stream.rebucket:
        yield job
        return
    with by_columns(job.source, job.plan.stream, beside=temporary) as copy:
        yield replace(job, source=copy)
