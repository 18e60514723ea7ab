"""``plan`` and ``sparsify``."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamsparse import result as results
from streamsparse.api.arguments import (
    check_out,
    check_policies,
    check_request,
    refuse_unavailable,
)
from streamsparse.dense.certificate import Certificate, Errors, measure_sampled
from streamsparse.errors import StreamSparseWarning
from streamsparse.methods.auto import make_plan
from streamsparse.methods.base import Job, Reduction
from streamsparse.methods.certify import sampled_gram_rows
from streamsparse.methods.exact import error_of
from streamsparse.methods.run import run_plan
from streamsparse.result import Result
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution, available_threads
from streamsparse.running.memory import PeakMemory
from streamsparse.running.plan import Plan
from streamsparse.running.progress import show_progress
from streamsparse.sources.open import open_source as open_any_source
from streamsparse.storing.commit import check_output, staged
from streamsparse.storing.zarr_write import ResultWriter


def plan(
    X: Any,
    method: str = "auto",
    m: int | None = None,
    epsilon: float | None = None,
    target: str = "attention",
    delta: float = 0.01,
    beta: float = 1.0,
    memory: int | str = "1 GiB",
    feature_axis: int = 1,
    *,
    seed: int = 0,
    s: int = 8,
    out: str | Path | None = None,
) -> Plan:
    """Say what ``sparsify`` would do: method, m, passes, bytes to read, peak memory, time.

    Parameters
    ----------
    X, method, m, epsilon, target, delta, beta, memory, feature_axis, seed, s, out :
        as for :func:`sparsify`; nothing is written to ``out``.

    Returns
    -------
    A :class:`Plan`: print it, or take its fields.

    Raises
    ------
    ParameterError : if a parameter is out of range.
    BudgetTooSmallError : if the budget cannot hold the computation, with both numbers.

    Notes
    -----
    No pass over the data: metadata only, but for sparse dask arrays (see :func:`open_source`).
    """
    request = check_request(
        method=method,
        m=m,
        epsilon=epsilon,
        target=target,
        delta=delta,
        beta=beta,
        seed=seed,
        memory=memory,
        feature_axis=feature_axis,
        s=s,
        has_output=out is not None,
    )
    source = open_any_source(X, feature_axis=request.feature_axis, missing="error")
    return make_plan(Facts.of(source), request, threads=available_threads())


def sparsify(
    X: Any,
    method: str = "auto",
    *,
    m: int | None = None,
    epsilon: float | None = None,
    target: str = "attention",
    delta: float = 0.01,
    beta: float = 1.0,
    seed: int = 0,
    memory: int | str = "1 GiB",
    feature_axis: int = 1,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: str | bool = "auto",
    missing: str = "error",
    nonfinite: str = "error",
    s: int = 8,
    strict: bool = False,
    algorithm: str = "auto",
) -> Result:
    """Reduce X (n, d) to Y (n, m) with Y Y^T close to X X^T, and measure how close.

    Parameters
    ----------
    X : anything :func:`open_source` takes.
    method : "sketch": Y = X S^T with a random sparse-sign S; "exact": square root of the exact Gram
        matrix; "auto": the planner's choice, and the plan says why.
    m : columns of Y, 1 .. d (1 .. n for "exact"). With "sketch", Y = X S^T itself. None: as many as
        ``epsilon`` asks for; without it, the rank of X ("exact") or what fits the memory.
    epsilon : wanted error in (0, 1), in the sense of ``target``; not together with m. A
        StreamSparseWarning says so if the measured error is larger.
    target : "attention": largest row L1 error of softmax(beta G); "entries": max |E_ij| / r;
        "spectral": (1 - epsilon) G <= Y Y^T <= (1 + epsilon) G.
    delta : allowed probability that a random method misses epsilon, in (0, 1).
    beta : scale of the logits, > 0; 1 / sqrt(d_k) in transformers.
    seed : 0 .. 2^64 - 1; with (X, method, m, s) it fixes every bit of Y.
    memory : bytes for the whole computation, interpreter included, or text with a unit.
    feature_axis : 0 or 1, the long axis of X as stored.
    out : path of a Zarr group to write; Y then need not fit in memory.
    overwrite : replace an earlier result at ``out``.
    resume : not available in this version.
    progress : "auto" (a bar on stderr if it is a terminal or notebook), True or False.
    missing : "error" or "fill": what to do about absent chunks.
    nonfinite : "error" or "zero": what to do about NaN and infinities.
    s : nonzeros per column of S: 1, 2, 4 or 8. Fewer are faster; heavy columns need 8.
    strict, algorithm : not available in this version.

    Returns
    -------
    A :class:`Result`: ``Y``, ``certificate``, ``plan``, ``transform``, ``save``.

    Raises
    ------
    StreamSparseError : one of its subclasses, for bad parameters, unreadable or incomplete input,
        NaN or infinity, a budget that is too small (before the first read), an output in the way.

    Notes
    -----
    Passes: one; the plan says so where the layout of the source needs more. Memory: at most
    ``memory``. Given method, m, s and seed: the same bits for any chunk grid, block width, number
    of threads and memory budget; for "sketch" also for dense and sparse storage of the same X.
    Without m the budget decides how many columns a sketch takes. Guarantee: what the certificate
    measured, no more.

    References
    ----------
    Deng, Mahadevan, Song: Randomized and Deterministic Attention Sparsification Algorithms for
    Over-parameterized Feature Dimension, arXiv 2304.04397, Theorem 1 (randomized).
    """
    started = time.perf_counter()
    refuse_unavailable(
        resume=(resume, False), strict=(strict, False), algorithm=(algorithm, "auto")
    )
    check_policies(missing=missing, nonfinite=nonfinite)
    request = check_request(
        method=method,
        m=m,
        epsilon=epsilon,
        target=target,
        delta=delta,
        beta=beta,
        seed=seed,
        memory=memory,
        feature_axis=feature_axis,
        s=s,
        has_output=out is not None,
    )
    source = open_any_source(X, feature_axis=request.feature_axis, missing=missing)
    target_path = check_out(out)
    if target_path is not None:
        check_output(target_path, overwrite=overwrite, source_path=results.path_of(X, source))
    facts = Facts.of(source)
    chosen = make_plan(facts, request, threads=available_threads())
    source.verify()
    if chosen.stream.bands > 1:
        # Rows are uneven: one that does not fit is refused here, before anything is read.
        source.bands(chosen.stream.band_rows, chosen.stream.block_bytes)

    with (
        PeakMemory() as peak,
        show_progress(progress, label=chosen.method, total=facts.used_bytes) as bar,
    ):
        execution = Execution(available_threads(), nonfinite == "zero", bar)
        job = Job(source, chosen, execution, writer=None)
        if target_path is None:
            reduction = run_plan(job, temporary=None)
            result = _result(job, reduction, reduction.Y, reduction.errors, started, peak)
        else:
            result = _reduce_to(job, target_path, overwrite, started, peak)
    _warn_if_missed(result)
    return result


def _reduce_to(job: Job, target: Path, overwrite: bool, started: float, peak: PeakMemory) -> Result:
    """Run the plan and write the result beside its target; Y goes to disk by bands if it must."""
    with staged(target, overwrite=overwrite) as temporary:
        plan = job.plan
        writer: ResultWriter | None = None
        if plan.stream.bands > 1 and plan.m is not None:
            writer = ResultWriter(temporary, plan.n, plan.m)
        reduction = run_plan(replace(job, writer=writer), temporary=target.parent)
        errors, Y = reduction.errors, reduction.Y
        if Y is not None:
            writer = ResultWriter(temporary, *Y.shape)
            writer.write_rows(0, Y)
        assert writer is not None
        if errors is None:
            F_I = sampled_gram_rows(writer.Y, reduction.sample)
            errors = measure_sampled(G_I=reduction.G_I, F_I=F_I, r=reduction.r, beta=plan.beta)
        result = _result(job, reduction, writer.Y, errors, started, peak)
        results.finish_writing(writer, result)
    return results.with_stored(result, target)


def _result(
    job: Job,
    reduction: Reduction,
    Y: Any,
    errors: Errors | None,
    started: float,
    peak: PeakMemory,
) -> Result:
    assert errors is not None
    plan = job.plan
    certificate = Certificate(
        n=plan.n,
        d=plan.d,
        m=int(Y.shape[1]),
        method=plan.method,
        seed=plan.seed,
        beta=plan.beta,
        r=reduction.r,
        trace=reduction.trace,
        errors=errors,
        passes=plan.stream.passes,
        bytes_read=plan.stream.bytes_to_read,
        peak_memory_bytes=peak.sample(),
        seconds=time.perf_counter() - started,
        integrity=job.source.integrity,
    )
    return Result(
        Y=Y,
        certificate=certificate,
        plan=plan,
        columns=None,
        weights=None,
        operator=reduction.operator,
        projection=reduction.projection,
    )


def _warn_if_missed(result: Result) -> None:
    plan, errors = result.plan, result.certificate.errors
    if plan.epsilon is None:
        return
    measured = error_of(errors, plan.target)
    if measured <= plan.epsilon:
        return
    found = "was not measured" if measured == float("inf") else f"is {measured:.3g}"
    warnings.warn(
        f"the {plan.target} error {found}, not within epsilon = {plan.epsilon:g}; "
        f'raise memory, or use method="exact"',
        StreamSparseWarning,
        stacklevel=3,
    )
