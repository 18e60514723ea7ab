"""``certify``, ``attention`` and ``attention_error``."""

from __future__ import annotations

import time
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsparse.api.arguments import check_beta, check_policies, check_request
from streamsparse.checks import check_count
from streamsparse.dense.attention import masked, row_distances, softmax_rows
from streamsparse.dense.certificate import Certificate
from streamsparse.errors import NonFiniteError, ParameterError
from streamsparse.methods.auto import make_check_plan
from streamsparse.methods.base import SAMPLED_ROWS, Job, Request, sample_rows
from streamsparse.methods.certify import check_everything, check_rows
from streamsparse.methods.exact import gram_of
from streamsparse.methods.run import with_planned_layout
from streamsparse.result import Result
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution, available_threads, one_blas_thread
from streamsparse.running.memory import PeakMemory
from streamsparse.running.progress import show_progress
from streamsparse.sources.base import Array
from streamsparse.sources.open import open_source as open_any_source

_CHUNK_ROWS = 256
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
        Y = _matrix("Y", Y)
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
    request = _check_request(beta=beta, seed=seed, memory=memory, feature_axis=feature_axis)
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


def _check_request(*, beta: float, seed: int, memory: int | str, feature_axis: int) -> Request:
    """Return the request of a check: only these parameters matter to it."""
    return check_request(
        method="exact",
        m=None,
        epsilon=None,
        target="attention",
        delta=0.01,
        beta=beta,
        seed=seed,
        memory=memory,
        feature_axis=feature_axis,
        s=8,
        has_output=False,
    )


def _rows_to_check(rows: int | npt.ArrayLike | None, *, n: int, seed: int) -> Array:
    if rows is None or isinstance(rows, Integral):
        count = min(n, SAMPLED_ROWS) if rows is None else check_count("rows", rows, low=1, high=n)
        return sample_rows(n=n, count=count, seed=seed)
    chosen = np.unique(np.asarray(rows))
    if chosen.size == 0 or chosen.dtype.kind not in "iu" or chosen[0] < 0 or chosen[-1] >= n:
        raise ParameterError(f"rows must be integers between 0 and n - 1 = {n - 1:,}")
    return chosen.astype(np.int64)


def attention(
    Y: npt.ArrayLike | Result, beta: float = 1.0, mask: npt.ArrayLike | None = None
) -> npt.NDArray[np.float64]:
    """Return softmax attention of the rows of Y: softmax(beta Y Y^T + mask), row by row.

    Parameters
    ----------
    Y : shape (n, m), or a :class:`Result`.
    beta : scale of the logits, > 0.
    mask : shape (n, n): boolean (True where a row may look), or additive (-inf where it may not).

    Returns
    -------
    P (n, n) float64, rows sum to 1.

    Raises
    ------
    ParameterError : for other shapes, or a row that may look nowhere.

    Notes
    -----
    No pass over X. Memory: 3 n^2 cells.
    """
    values = _matrix("Y", Y)
    beta = check_beta(beta)
    allowed = _mask(mask, values.shape[0])
    logits = beta * (values @ values.T)
    return np.asarray(softmax_rows(masked(logits, allowed)))


def attention_error(
    X_or_G: Any,
    Y: npt.ArrayLike | Result,
    beta: float = 1.0,
    mask: npt.ArrayLike | None = None,
    *,
    memory: int | str = "1 GiB",
    feature_axis: int = 1,
) -> float:
    """Return the largest row L1 distance between the attention of Y and that of X.

    Parameters
    ----------
    X_or_G : the Gram matrix G (an ndarray of shape (n, n), symmetric up to rounding), or X:
        anything :func:`open_source` takes.
    Y : shape (n, m), or a :class:`Result`.
    beta, mask : as for :func:`attention`.
    memory, feature_axis : as for :func:`sparsify`, used if X is given.

    Returns
    -------
    max_i sum_j |P_Y - P_X|_ij, in [0, 2].

    Raises
    ------
    ParameterError : for other shapes, or a row that may look nowhere.

    Notes
    -----
    One pass over X, none if G is given. Memory: 2 n^2 cells, and as ``sparsify(X, "exact")`` if X
    is given. Exact up to the rounding of G.
    """
    values = _matrix("Y", Y)
    n = values.shape[0]
    beta = check_beta(beta)
    allowed = _mask(mask, n)
    G = _gram(X_or_G, memory=memory, feature_axis=feature_axis)
    if G.shape[0] != n:
        raise ParameterError(f"Y must have n = {G.shape[0]:,} rows like X, not {n:,}")
    largest = 0.0
    for a in range(0, n, _CHUNK_ROWS):
        rows = slice(a, a + _CHUNK_ROWS)
        distances = row_distances(
            G[rows],
            values[rows] @ values.T,
            beta=beta,
            mask_rows=None if allowed is None else allowed[rows],
        )
        largest = max(largest, float(distances.max()))
    return largest


def _gram(X_or_G: Any, *, memory: int | str, feature_axis: int) -> Array:
    if isinstance(X_or_G, np.ndarray) and _is_symmetric(X_or_G):
        return np.asarray(X_or_G, np.float64)
    source = open_any_source(X_or_G, feature_axis=feature_axis, missing="error")
    request = _check_request(beta=1.0, seed=0, memory=memory, feature_axis=feature_axis)
    threads = available_threads()
    plan = make_check_plan(
        Facts.of(source),
        request,
        m=1,
        checked_rows=source.shape[0],
        exact=True,
        threads=threads,
    )
    source.verify()
    with show_progress(False, label="gram", total=0) as bar:
        job = Job(source, plan, Execution(threads, False, bar), writer=None)
        with with_planned_layout(job, temporary=None) as ready:
            return gram_of(ready)[0]


def _is_symmetric(values: Array) -> bool:
    """Return whether ``values`` is square and symmetric up to the rounding of a product."""
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        return False
    eps = np.finfo(values.dtype).eps if values.dtype.kind == "f" else 0.0
    asymmetry = float(np.abs(values - values.T).max())
    return asymmetry <= 256 * eps * float(np.abs(values).max())


def _matrix(name: str, values: npt.ArrayLike | Result) -> Array:
    if isinstance(values, Result):
        values = values.Y
    try:
        matrix = np.asarray(values)
    except ValueError as error:
        raise ParameterError(f"{name} must be a matrix (n, m): {error}") from error
    if matrix.ndim != 2 or 0 in matrix.shape or matrix.dtype.kind not in "fiub":
        raise ParameterError(
            f"{name} must be real with shape (n, m), not {matrix.dtype} {matrix.shape}"
        )
    matrix = matrix.astype(np.float64, copy=False)
    if not np.isfinite(matrix).all():
        raise NonFiniteError(f"{name} holds NaN or infinity")
    return matrix


def _mask(mask: npt.ArrayLike | None, n: int) -> Array | None:
    if mask is None:
        return None
    allowed = np.asarray(mask)
    if allowed.shape != (n, n):
        raise ParameterError(f"mask must have shape ({n}, {n}), not {allowed.shape}")
    if allowed.dtype != np.bool_:
        allowed = allowed.astype(np.float64)
        if np.isnan(allowed).any() or np.isposinf(allowed).any():
            raise ParameterError("an additive mask must be finite or -inf")
        if set(np.unique(allowed)[:3]) == {0.0, 1.0}:
            raise ParameterError(
                "a mask of 0 and 1 could be either kind: give it as bool, or as 0 and -inf"
            )
    open_cells = allowed if allowed.dtype == np.bool_ else np.isfinite(allowed)
    if not open_cells.any(axis=1).all():
        row = int(np.flatnonzero(~open_cells.any(axis=1))[0])
        raise ParameterError(f"mask leaves row {row} nothing to look at")
    return allowed
