"""What a reduction has come to: the Result."""

from __future__ import annotations

import time

from streamsparse.dense.certificate import Certificate
from streamsparse.methods.base import Job, Reduction
from streamsparse.methods.measuring import is_met
from streamsparse.results.result import Result
from streamsparse.running.memory import PeakMemory
from streamsparse.running.timeline import Points


def result_of(
    job: Job, reduction: Reduction, started: float, peak: PeakMemory, timeline: Points
) -> Result:
    """Return Y with its certificate; ``started`` is when the work began, as ``perf_counter``."""
    plan = job.plan
    certificate = Certificate(
        n=plan.n,
        d=plan.d,
        m=int(reduction.Y.shape[1]),
        method=plan.method,
        seed=plan.seed,
        beta=plan.beta,
        preprocess=plan.preprocess,
        r=reduction.r,
        trace=reduction.trace,
        errors=reduction.errors,
        target=None if plan.epsilon is None else plan.target,
        epsilon=plan.epsilon,
        met=is_met(reduction.errors, plan.target, plan.epsilon),
        queries=plan.queries,
        passes=plan.stream.passes,
        bytes_read=plan.stream.bytes_to_read,
        peak_memory_bytes=peak.sample(),
        seconds=time.perf_counter() - started,
        integrity=job.source.integrity,
    )
    names = None
    if reduction.columns is not None:
        names = job.source.feature_names(reduction.columns)
    return Result(
        Y=reduction.Y,
        certificate=certificate,
        plan=plan,
        columns=reduction.columns,
        weights=reduction.weights,
        map=reduction.map,
        curve=reduction.curve,
        column_names=None if names is None else tuple(map(str, names)),
        selection=reduction.selection,
        known=reduction.known,
        feature_digest=job.source.feature_digest(),
        timeline=timeline,
        row_names=job.source.row_names(),
    )
