"""``attention`` and ``attention_error``: dense n x n helpers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from streamsparse.api.arguments import check_beta, check_matrix, check_of_Y_request
from streamsparse.dense.attention import masked, row_distances, softmax_rows
from streamsparse.errors import ParameterError
from streamsparse.methods.auto import make_check_plan
from streamsparse.methods.base import Job
from streamsparse.methods.exact import gram_of
from streamsparse.methods.run import with_planned_layout
from streamsparse.result import Result
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution, available_threads
from streamsparse.running.progress import show_progress
from streamsparse.sources.base import Array
from streamsparse.sources.open import open_source as open_any_source

_CHUNK_ROWS = 256


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
    values = check_matrix("Y", Y)
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
    values = check_matrix("Y", Y)
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
    request = check_of_Y_request(beta=1.0, seed=0, memory=memory, feature_axis=feature_axis)
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
