"""``certify``: an independent check of Y against X."""

from __future__ import annotations

import time
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsparse.api.access import open_columns
from streamsparse.api.arguments import (
    check_matrix,
    check_of_Y_request,
    check_policies,
    check_preprocess,
)
from streamsparse.api.workers import dask_workers, is_run_by_dask, seen_from_anywhere
from streamsparse.arrays import Array
from streamsparse.checks import MAX_SEED, check_count, check_flag
from streamsparse.dense.certificate import Certificate
from streamsparse.errors import NonFiniteError, ParameterError
from streamsparse.methods.base import ALL_ROWS, SHARE_OF_ROWS, Job
from streamsparse.methods.certify import check_everything, check_rows, plan_check
from streamsparse.methods.measuring import scope_of
from streamsparse.methods.products import memory_of, squared_row_norms
from streamsparse.methods.run import with_planned_layout
from streamsparse.results.result import Result
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution, Workers
from streamsparse.running.memory import PeakMemory
from streamsparse.running.plan import Plan
from streamsparse.running.progress import show_progress
from streamsparse.running.threads import available_threads, one_blas_thread
from streamsparse.sketching.bounds import rows_for_share
from streamsparse.sketching.draws import sample_rows
from streamsparse.sources.base import Source
from streamsparse.sources.preprocess import Preprocess
from streamsparse.sources.stacked import check_queries, open_pair

# Another sample than a run with the default seed, or with the seed next to it, has drawn.
_FRESH_SEED = 0x5EED


def certify(
    X: Any,
    result_or_Y: Any,
    rows: int | npt.ArrayLike | None = None,
    exact: bool = False,
    spectral: int = 0,
    *,
    beta: float | None = None,
    delta: float = 0.01,
    seed: int | None = None,
    memory: int | str = "1 GiB",
    feature_axis: int | str = 1,
    preprocess: Preprocess | str | None = None,
    missing: str = "error",
    nonfinite: str = "error",
    progress: str | bool = "auto",
    runner: str = "auto",
) -> Certificate:
    """Check Y against X independently: stream X again and compare Y Y^T with X X^T.

    Parameters
    ----------
    X : anything :func:`open_source` takes, shape (n, d); the tuple (Q, K) where queries and keys
        were reduced together, whose products are then compared.
    result_or_Y : a :class:`Result`, or an array Y (n, m), dense or sparse, made by any means.
    rows : how many random rows to check, or which (indices in 0 .. n - 1); None for all of 256 or
        fewer, else for enough to speak about 95 % of the rows.
    exact : compute the exact Gram matrix and check every row, and the spectral errors.
    spectral : passes, 1 .. 8, that bound the spectral error by 64 probes through the inverse root
        of Y Y^T; more passes make the bound sharper. 0 for none. Exact where n is at most 256.
    beta : scale of the logits, > 0; None takes the result's, or 1.
    delta : allowed probability that a bound fails, for each bound by itself, in (0, 1).
    seed : which random rows and probes; None takes others than the run itself drew.
    preprocess : what was done to the columns of X before Y was made of them, as for
        :func:`sparsify`; of a result it is known.
    memory, feature_axis, missing, nonfinite, progress, runner : as for :func:`sparsify`; queries
        and keys are checked by this process.

    Returns
    -------
    A :class:`Certificate`; numbers that were not measured are None.

    Raises
    ------
    ParameterError : if Y has another number of rows than X, or a row index is out of range.
    StreamSparseError : as :func:`sparsify`.

    Notes
    -----
    One pass over X, or ``spectral`` if that is more. Memory: p n cells for p rows, n^2 for
    ``exact`` and ``spectral``.
    Guarantee: distribution-free for random rows (THEORY 5.2): with confidence 1 - delta a share
    delta^(1/p) of all rows is no worse than the worst of p. Every row, and the mean square, by 16
    Gaussian probes (5.1). Spectral: eta >= ||K||, K = L^-1 G L^-T - I with Y Y^T = L L^T, by the
    smaller of a Frobenius and a fourth-moment bound of K^passes; epsilon = eta / (1 - eta) (5.4),
    or None where eta reaches 1. Exact numbers include the rounding of float32 products.
    """
    started = time.perf_counter()
    is_result = isinstance(result_or_Y, Result)
    Y = result_or_Y.Y if is_result else check_matrix("Y", result_or_Y)
    earlier = result_or_Y.certificate if is_result else None
    queries = result_or_Y.plan.queries if is_result else None
    columns = _columns_of(result_or_Y, preprocess)
    if beta is None:
        beta = 1.0 if earlier is None else earlier.beta
    if seed is None:
        seed = 0 if earlier is None else earlier.seed
    check_policies(missing=missing, nonfinite=nonfinite)
    request = check_of_Y_request(
        beta=beta,
        # Never what a run with this seed has drawn, and may have chosen Y by.
        seed=(check_count("seed", seed, low=0, high=MAX_SEED) + _FRESH_SEED) % (MAX_SEED + 1),
        memory=memory,
        delta=delta,
        queries=queries,
        preprocess=columns,
    )
    if queries is None and isinstance(X, tuple):
        raise ParameterError("this Y is not of queries and keys: give X itself, not a tuple")
    X = seen_from_anywhere(X, runner)
    how: dict[str, Any] = {"feature_axis": feature_axis, "missing": missing}
    source: Source
    if queries is None:
        source = open_columns(X, columns, nonfinite=nonfinite, **how)
    else:
        source = pair = open_pair(X, **how)
        check_queries(pair, queries)
    _check_shapes(source, Y, earlier)
    n, m = int(Y.shape[0]), int(Y.shape[1])
    if not np.isfinite(squared_row_norms(Y).sum()):
        raise NonFiniteError("the squares of Y overflow float64; scale X and Y down")
    # True asks for one pass.
    passes = int(spectral) if isinstance(spectral, bool) else spectral
    spectral = check_count("spectral", passes, low=0, high=8)
    if check_flag("exact", exact) and (rows is not None or spectral):
        raise ParameterError("exact=True checks every row: leave out rows and spectral")
    exact = exact or (spectral > 0 and n <= ALL_ROWS and rows is None)
    looking = n if queries is None else queries
    sample = np.arange(n)
    if not exact:
        sample = _rows_to_check(rows, n=n, looking=looking, seed=request.seed, delta=request.delta)
    threads = available_threads()
    facts = Facts.of(source)
    plan = plan_check(
        facts,
        request,
        m=m,
        Y_bytes=memory_of(Y),
        checked_rows=sample.size,
        exact=exact,
        spectral=spectral,
        threads=threads,
    )
    source.verify()
    scans = 1 if exact else max(1, spectral)
    with (
        one_blas_thread(),
        PeakMemory() as peak,
        show_progress(
            progress, label="certify", total=scans * facts.used_bytes, passes=scans
        ) as bar,
    ):
        workers = _workers_of(source, plan, runner)
        execution = Execution(threads, nonfinite == "zero", bar, workers=workers)
        job = Job(source, plan, execution, output=None)
        with with_planned_layout(job) as ready:
            if exact:
                errors, seen = check_everything(ready, Y)
            else:
                are_random = rows is None or isinstance(rows, Integral)
                errors, seen = check_rows(
                    ready, Y, sample, spectral=spectral, delta=delta if are_random else None
                )
    return Certificate(
        n=n,
        d=plan.d,
        m=m,
        method="given" if earlier is None else earlier.method,
        seed=plan.seed if earlier is None else earlier.seed,
        beta=plan.beta,
        preprocess=plan.preprocess,
        r=scope_of(plan, seen.known).r,
        trace=seen.known.trace,
        errors=errors,
        target=None,
        epsilon=None,
        met=None,
        queries=queries,
        passes=plan.stream.passes,
        bytes_read=plan.stream.bytes_to_read,
        peak_memory_bytes=peak.sample(),
        seconds=time.perf_counter() - started,
        integrity=source.integrity,
    )


def _columns_of(result_or_Y: Any, preprocess: Preprocess | str | None) -> Preprocess:
    """Return what was done to the columns of X: of a result it is known, and must not differ."""
    given = check_preprocess(preprocess)
    if not isinstance(result_or_Y, Result):
        return given
    known = result_or_Y.plan.preprocess
    if preprocess is not None and given != known:
        raise ParameterError(
            f"the result is of X with its columns {known}, not {given}: leave out preprocess"
        )
    return known


def _check_shapes(source: Source, Y: Any, earlier: Certificate | None) -> None:
    """Refuse a Y of other rows, and a result of another number of columns, than X has."""
    n, d = source.shape
    if len(Y.shape) != 2 or Y.shape[0] != n:
        raise ParameterError(f"Y must have shape (n, m) with n = {n:,} rows, not {tuple(Y.shape)}")
    if earlier is not None and earlier.d != d:
        raise ParameterError(
            f"the result is of d = {earlier.d:,} columns, but {source.name} has {d:,}; give the X "
            f"that was reduced, with zeros where columns are gone"
        )


def _workers_of(source: Source, plan: Plan, runner: str) -> Workers | None:
    """Return who else may stream X; queries and keys are read by this process."""
    if plan.queries is not None or not is_run_by_dask(source, runner):
        return None
    return dask_workers()


def _rows_to_check(
    rows: int | npt.ArrayLike | None, *, n: int, looking: int, seed: int, delta: float
) -> Array:
    if rows is None:
        if n <= ALL_ROWS:
            return np.arange(n)
        count = min(looking, rows_for_share(share=SHARE_OF_ROWS, delta=delta))
        return sample_rows(n=looking, count=count, seed=seed)
    if isinstance(rows, Integral):
        count = check_count("rows", rows, low=1, high=looking)
        return sample_rows(n=looking, count=count, seed=seed)
    chosen = np.unique(np.asarray(rows))
    if chosen.size == 0 or chosen.dtype.kind not in "iu" or chosen[0] < 0 or chosen[-1] >= looking:
        raise ParameterError(f"rows must be integers between 0 and {looking - 1:,}, not {rows!r}")
    return chosen.astype(np.int64)
