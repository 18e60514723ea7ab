"""``plan`` and ``sparsify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from streamsparse.api.access import open_columns, open_start
from streamsparse.api.arguments import (
    check_policies,
    check_request,
)
from streamsparse.api.identity import Policies
from streamsparse.api.running import check_destination, reduce_source
from streamsparse.api.workers import is_run_by_dask, seen_from_anywhere
from streamsparse.checks import check_flag
from streamsparse.errors import ParameterError
from streamsparse.methods.auto import make_plan
from streamsparse.results.result import Result
from streamsparse.results.saved import path_of
from streamsparse.running.facts import Facts
from streamsparse.running.plan import Plan
from streamsparse.running.threads import available_threads
from streamsparse.sources.preprocess import Preprocess


def plan(
    X: Any,
    method: str = "auto",
    m: int | None = None,
    epsilon: float | None = None,
    target: str = "attention",
    delta: float = 0.01,
    beta: float = 1.0,
    memory: int | str = "1 GiB",
    feature_axis: int | str = 1,
    *,
    preprocess: Preprocess | str | None = None,
    seed: int = 0,
    s: int = 8,
    strict: bool = False,
    algorithm: str = "auto",
    start: Result | str | Path | None = None,
    out: str | Path | None = None,
) -> Plan:
    """Say what ``sparsify`` would do: method, m, passes, bytes to read, peak memory, time.

    Parameters
    ----------
    X, method, m, epsilon, target, delta, beta, memory, feature_axis, preprocess, seed, s, strict,
    algorithm, start, out :
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
        s=s,
        strict=strict,
        has_output=out is not None,
        algorithm=algorithm,
        continues=start is not None,
        preprocess=preprocess,
    )
    source = open_columns(X, request.preprocess, feature_axis=feature_axis, missing="error")
    open_start(start, source)
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
    feature_axis: int | str = 1,
    preprocess: Preprocess | str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: str | bool = "auto",
    missing: str = "error",
    nonfinite: str = "error",
    s: int = 8,
    strict: bool = False,
    algorithm: str = "auto",
    start: Result | str | Path | None = None,
    runner: str = "auto",
    compute: bool = True,
) -> Result:
    """Reduce X (n, d) to Y (n, m) with Y Y^T close to X X^T, and measure how close.

    Parameters
    ----------
    X : anything :func:`open_source` takes.
    method : "sketch": Y = X S^T with a random sparse-sign S; "sample": columns of X drawn by
        leverage score and reweighted; "select": columns of X chosen and reweighted without
        randomness, far fewer than "sample" needs; "exact": square root of the exact Gram matrix;
        "auto": exact or sketch, and the plan says why.
    m : columns of Y, 1 .. d (1 .. n for "exact"). With "sketch", Y = X S^T itself; with "sample"
        and "select", at most so many columns. None: as few as ``epsilon`` allows; without it, the
        rank of X ("exact"), 8 n ("select") or what fits the memory. A "select" of m at or below
        the rank of X loses directions: no spectral error below 1 can be had, and the columns are
        those with the least epsilon in |E| <= epsilon (G + r I); target="regularised" has that
        minimised for any m.
    epsilon : wanted error in (0, 1), in the sense of ``target``; not together with m. "sketch"
        makes one wide sketch and keeps the smallest fold or truncation of it that is certified to
        meet epsilon (``Result.curve`` has them all), and is better than Y = 0 if any is. A
        StreamSparseWarning says so if none meets it. "select" tries up to eight m, measures
        each exactly, and keeps the fewest columns that met epsilon.
    target : "attention": largest row L1 error of softmax(beta G); "entries": max |E_ij| / r, r the
        largest squared row norm; "spectral": (1 - epsilon) G <= Y Y^T <= (1 + epsilon) G;
        "regularised": |E| <= epsilon (G + r I), which few columns meet where the spectrum decays.
    delta : allowed probability that a random method misses epsilon, and that a bound of the
        certificate fails, in (0, 1).
    beta : scale of the logits, > 0; 1 / sqrt(d_k) in transformers.
    seed : 0 .. 2^64 - 1; with (X, method, m, s) it fixes every bit of Y.
    memory : bytes for the whole computation, interpreter included, or text with a unit. With dask:
        for this process, and for each task besides (a worker of four threads runs four).
    feature_axis : 0 or 1, the long axis of X as stored, or the name of that dimension.
    preprocess : what is done to the columns of X first, for "exact" and "sketch": "center"
        (subtract from each its mean), "scale" (divide each by its standard deviation),
        "standardize" (both), a :class:`Preprocess`, which fills missing values as well; None for
        nothing. Y and the certificate are those of the matrix that comes out; X is neither copied
        nor, if it is sparse, made dense. Blocks must hold whole columns.
    out : path of a Zarr group to write; Y then need not fit in memory ("sketch").
    overwrite : replace an earlier result at ``out``.
    resume : go on with a run to ``out`` that was interrupted, was killed or failed: the same bits
        as if nothing had happened. X and everything that decides the bits must be the same; memory
        and threads may differ. Where that run is complete, its result is returned; where nothing of
        it is found, it begins.
    progress : "auto" (a bar on stderr if it is a terminal or notebook), True or False.
    missing : "error" or "fill": what to do about absent chunks.
    nonfinite : "error" or "zero": what to do about NaN and infinities.
    s : nonzeros per column of S: 1, 2, 4 or 8. Fewer are faster; heavy columns need 8.
    strict : use only what a theorem covers, with its constant. "sketch": one 4-wise independent
        polynomial sign per column (s = 1) and m >= n (n + 1) / (epsilon^2 delta); "sample": scores
        from the exact Gram matrix; "select": barriers, algorithm="bss". A sketch of an m too small
        for the theorem promises nothing.
    algorithm : of "select". "bss": barriers of Batson, Spielman and Srivastava, the paper's
        deterministic algorithm: m picks have the spectral error 2 sqrt(kappa) / (kappa + 1),
        kappa = m / rank, or less; repeated picks are merged, so there may be fewer columns than m.
        "balance": sequential balancing, then better weights: the fastest, and for attention often
        as good as any; with target="entries" and m, in a single pass. "auto": balancing, exchange
        of weak columns for better ones, better weights: the least spectral or regularised error in
        about the time that the plan states, and never a larger one than "bss" proves.
    start : an earlier :class:`Result` of "select", or its path, to continue from: to a larger m or
        a smaller epsilon, with the same target. Its columns are where the choice begins, and its
        Gram matrix saves the first pass. X must be the same.
    runner : "auto": a dask array is reduced by dask, on whatever scheduler it picks (the current
        Client, or what ``dask.config`` says), anything else by the threads of this process.
        "dask": as tasks of dask, which read X themselves: a path or URL that the workers can reach.
        "local": by this process; chunks of a dask array are computed by dask and come here.
    compute : False returns a Delayed of dask whose value is the Result; ``.Y``, ``.certificate``
        and the rest of it are Delayed as well. Not for "select", without ``out``.

    Returns
    -------
    A :class:`Result`: ``Y``, ``certificate``, ``plan``, ``curve``, ``columns`` and ``weights``,
    ``selection``, ``column_names``, ``row_names``, ``transform``, ``append``, ``remove``, ``save``,
    ``export``.

    Raises
    ------
    StreamSparseError : one of its subclasses, for bad parameters, unreadable or incomplete input,
        NaN or infinity, a budget that is too small (before the first read), an output in the way, a
        source that changed meanwhile, a store that fails for longer than it is asked again.
    RoundingError : if centring leaves less of X than rounding.
    RunInterrupted : a KeyboardInterrupt: on SIGINT and SIGTERM, within about two seconds.

    Notes
    -----
    Passes: one, two for "sample" and "select" (one where it continues, or balances entries; "bss"
    reads parts of X again where memory holds no column that it may pick, which ``selection``
    counts); the plan says so where the layout of the source needs more.
    Memory: at most ``memory``. Given method, m, s and seed: the same bits for any chunk grid, block
    width, number of threads, workers and memory budget; for "sketch" also for dense and sparse
    storage of the same X. On dask every chunk is read by one task, a lost worker costs the spans of
    columns that it held, and a lost scheduler what was summed since the last checkpoint; columns
    are still selected by this process, one after the other, in a pass of its own.
    "select" has no seed and needs none. Without m the budget decides how many columns a sketch
    takes. Guarantee: ``plan.promise`` before the pass, proved or empirical; what the certificate
    measured after it.

    References
    ----------
    Deng, Mahadevan, Song: Randomized and Deterministic Attention Sparsification Algorithms for
    Over-parameterized Feature Dimension, arXiv 2304.04397: the randomized and the deterministic
    theorem. Batson, Spielman, Srivastava: Twice-Ramanujan Sparsifiers, arXiv 0808.0163, Theorem
    1.3. The constants are those of ``sketching/bounds.py``.
    """
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
        s=s,
        strict=strict,
        has_output=out is not None,
        algorithm=algorithm,
        continues=start is not None,
        preprocess=preprocess,
    )
    is_eager = check_flag("compute", compute)
    X = seen_from_anywhere(X, runner)
    source = open_columns(
        X, request.preprocess, feature_axis=feature_axis, missing=missing, nonfinite=nonfinite
    )
    begun = open_start(start, source)
    destination = check_destination(out, overwrite=overwrite, resume=resume)
    policies, on_workers = Policies(missing, nonfinite), is_run_by_dask(source, runner)
    if not is_eager:
        if not on_workers or out is not None:
            raise ParameterError(
                "compute=False is for dask arrays, or paths with runner='dask', without out"
            )
        # Importing dask takes a while, and nothing else needs it.
        from streamsparse.api.lazy import lazy_result  # noqa: PLC0415

        # What a Result has is had of the Delayed as well.
        return cast(Result, lazy_result(source, request, policies))
    return reduce_source(
        source,
        request,
        destination=destination,
        policies=policies,
        source_paths=[path_of(X, source)],
        progress=progress,
        start=begun,
        on_workers=on_workers,
    )
