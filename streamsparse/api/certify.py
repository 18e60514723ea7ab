"""``certify``: an independent check of Y against X."""

from __future__ import annotations

import time
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsparse.api.arguments import (
    check_matrix,
    check_of_Y_request,
    check_policies,
)
from streamsparse.checks import check_count
from streamsparse.dense.certificate import Certificate
from streamsparse.errors import ParameterError
from streamsparse.methods.auto import make_check_plan
from streamsparse.methods.base import SAMPLED_ROWS, Job, sample_rows
from streamsparse.methods.certify import check_everything, check_rows
from streamsparse.methods.run import with_planned_layout
from streamsparse.result import Result
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution, available_threads, one_blas_thread
from streamsparse.running.memory import PeakMemory
from streamsparse.running.progress import show_progress
from streamsparse.sources.base import Array
from streamsparse.sources.open import open_source as open_any_source

# Another sample than a run with the default seed, or with the seed next to it, has drawn.
_FRESH_SEED = 0x5EED


def certify(
    X: Any,
    result_or_Y: Any,
    rows: int | npt.ArrayLike | None = None,
    exact: bool = False,
    *,
    beta: float | None = None,
    seed: int | None = None,
    memory: int | str = "1 GiB",
    feature_axis: int = 1,
    missing: str = "error",
    nonfinite: str = "error",
    progress: str | bool = "auto",
) -> Certificate:
    """Check Y against X independently: stream X again and compare Y Y^T with X X^T.

    Parameters
    ----------
    X : anything :func:`open_source` takes, shape (n, d).
    result_or_Y : a :class:`Result`, or an array Y (n, m) made by any means.
    rows : how many rows to check, or which (indices in 0 .. n - 1); None for 32 at random.
    exact : compute the exact Gram matrix and check every row and the spectral error.
    beta : scale of the logits, > 0; None takes the result's, or 1.
    seed : which random rows; None takes others than the run itself checked.
    memory, feature_axis, missing, nonfinite, progress : as for :func:`sparsify`.

    Returns
    -------
    A :class:`Certificate`; numbers that were not measured are None.

    Raises
    ------
    ParameterError : if Y has another number of rows than X, or a row index is out of range.
    StreamSparseError : as :func:`sparsify`.

    Notes
    -----
    One pass over X. Memory: p n cells for p rows, n^2 for ``exact``.
    Guarantee: distribution-free for sampled rows (THEORY 5.2): if all p are within a tolerance then
    with confidence 1 - delta a share delta^(1/p) of all rows is.
    """
    started = time.perf_counter()
    Y = result_or_Y.Y if isinstance(result_or_Y, Result) else result_or_Y
    if not isinstance(result_or_Y, Result):
        Y = check_matrix("Y", Y)
    earlier = result_or_Y.certificate if isinstance(result_or_Y, Result) else None
    if beta is None:
        beta = 1.0 if earlier is None else earlier.beta
    if seed is None:
        seed = _FRESH_SEED if earlier is None else (earlier.seed + _FRESH_SEED) % 2**64
    check_policies(missing=missing, nonfinite=nonfinite)
    source = open_any_source(X, feature_axis=feature_axis, missing=missing)
    if len(Y.shape) != 2 or Y.shape[0] != source.shape[0]:
        raise ParameterError(
            f"Y must have shape (n, m) with n = {source.shape[0]:,} rows, not {tuple(Y.shape)}"
        )
    request = check_of_Y_request(beta=beta, seed=seed, memory=memory, feature_axis=feature_axis)
    n, m = int(Y.shape[0]), int(Y.shape[1])
    sample = np.arange(n) if exact else _rows_to_check(rows, n=n, seed=request.seed)
    threads = available_threads()
    facts = Facts.of(source)
    plan = make_check_plan(
        facts, request, m=m, checked_rows=sample.size, exact=exact, threads=threads
    )
    source.verify()
    with (
        one_blas_thread(),
        PeakMemory() as peak,
        show_progress(progress, label="certify", total=facts.used_bytes) as bar,
    ):
        execution = Execution(threads, nonfinite == "zero", bar)
        job = Job(source, plan, execution, writer=None)
        if exact:
            with with_planned_layout(job, temporary=None) as ready:
                errors, norms = check_everything(ready, np.asarray(Y[:], np.float64))
        else:
            errors, norms = check_rows(job, Y, sample)
    return Certificate(
        n=plan.n,
        d=plan.d,
        m=m,
        method="given" if earlier is None else earlier.method,
        seed=plan.seed if earlier is None else earlier.seed,
        beta=plan.beta,
        r=float(norms.max()),
        trace=float(norms.sum()),
        errors=errors,
        passes=plan.stream.passes,
        bytes_read=plan.stream.bytes_to_read,
        peak_memory_bytes=peak.sample(),
        seconds=time.perf_counter() - started,
        integrity=source.integrity,
    )


def _rows_to_check(rows: int | npt.ArrayLike | None, *, n: int, seed: int) -> Array:
    if rows is None or isinstance(rows, Integral):
        count = min(n, SAMPLED_ROWS) if rows is None else check_count("rows", rows, low=1, high=n)
        return sample_rows(n=n, count=count, seed=seed)
    chosen = np.unique(np.asarray(rows))
    if chosen.size == 0 or chosen.dtype.kind not in "iu" or chosen[0] < 0 or chosen[-1] >= n:
        raise ParameterError(f"rows must be integers between 0 and n - 1 = {n - 1:,}")
    return chosen.astype(np.int64)
