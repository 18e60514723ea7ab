"""``attention``, its bound and its error: dense n x n helpers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from streamsparse.api.access import open_columns
from streamsparse.api.arguments import (
    check_beta,
    check_matrix,
    check_of_Y_request,
    check_share,
)
from streamsparse.api.given import given
from streamsparse.arrays import Array
from streamsparse.dense.attention import masked, row_distances, softmax_rows
from streamsparse.dense.certificate import Certificate, Measure
from streamsparse.dense.implied import bound_of_attention
from streamsparse.errors import NonFiniteError, ParameterError
from streamsparse.methods.base import Job
from streamsparse.methods.certify import plan_check
from streamsparse.methods.exact import gram_pass
from streamsparse.methods.measuring import refuse_hidden, scope_of
from streamsparse.methods.run import with_planned_layout
from streamsparse.results.result import Result
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution
from streamsparse.running.progress import show_progress
from streamsparse.running.threads import available_threads, one_blas_thread
from streamsparse.sources.base import Source
from streamsparse.sources.preprocess import Preprocess
from streamsparse.sources.stacked import open_pair

# Who may look where: boolean, additive, or "causal" (row i looks at the columns up to i).
Mask: TypeAlias = npt.ArrayLike | Literal["causal"] | None

_CHUNK_ROWS = 256


def attention(
    Y: npt.ArrayLike | Result, beta: float = 1.0, mask: Mask = None
) -> npt.NDArray[np.float64]:
    """Return softmax attention of the rows of Y: softmax(beta Y Y^T + mask), row by row.

    Parameters
    ----------
    Y : shape (n, m), or a :class:`Result`; one of queries and keys gives
        softmax(beta Q K^T + mask).
    beta : scale of the logits, > 0.
    mask : shape of the logits: boolean (True where a row may look), or additive (a bias, -inf where
        it may not look); "causal": row i looks at columns 0 .. i, of a pair at the last ones where
        there are more keys than queries.

    Returns
    -------
    P float64, rows sum to 1: (n, n), or (queries, keys) of a pair.

    Raises
    ------
    ParameterError : for other shapes, or a row that may look nowhere.
    NonFiniteError : where logits overflow.

    Notes
    -----
    No pass over X. Memory: 3 cells per logit. How far a row may be from that of X:
    :func:`attention_bound`.
    """
    queries, keys = sides_of("Y", Y)
    beta = check_beta(beta)
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        logits = beta * (queries @ keys.T)
    if not np.isfinite(logits).all():
        raise NonFiniteError(f"logits overflow float64 at beta = {beta:g}; scale Y or beta down")
    allowed = check_mask(mask, logits.shape)
    return np.asarray(softmax_rows(masked(logits, allowed)))


def attention_bound(
    Y: npt.ArrayLike | Result,
    beta: float = 1.0,
    mask: Mask = None,
    *,
    certificate: Certificate | None = None,
    share: float = 1.0,
) -> Measure | None:
    """Return how far a row of :func:`attention` may be from that of X in L1, without reading X.

    Parameters
    ----------
    Y, beta, mask : as for :func:`attention`.
    certificate : what :func:`certify` found of this Y; None takes the result's own.
    share : as for :func:`kernel`.

    Returns
    -------
    A :class:`Measure` of the largest row L1 error, with the kind, confidence and share of what it
    follows from; None where nothing is known, or nothing follows.

    Raises
    ------
    ParameterError : as for :func:`attention`, and for a certificate of a Y of another shape.

    Notes
    -----
    No pass over X, and no attention is computed. Memory: Y, and the mask if there is one.
    What was measured, at its own beta and without a mask. Else 2 tanh(beta e / 2), e the strongest
    claim about max |E_ij| (THEORY 1.3), which a mask or a bias leaves as it is (1.6).
    """
    beta, share = check_beta(beta), check_share(share)
    known = given(Y, certificate)
    if mask is not None:
        n, queries = known.squares.size, known.queries
        check_mask(mask, (n, n) if queries is None else (queries, n - queries))
    if known.certificate is None:
        return None
    return bound_of_attention(
        known.certificate,
        beta=beta,
        is_masked=mask is not None,
        share=share,
        largest_F=known.largest_F,
    )


def attention_error(
    X_or_G: Any,
    Y: npt.ArrayLike | Result,
    beta: float = 1.0,
    mask: Mask = None,
    *,
    memory: int | str = "1 GiB",
    feature_axis: int | str = 1,
) -> float:
    """Return the largest row L1 distance between the attention of Y and that of X.

    Parameters
    ----------
    X_or_G : the Gram matrix G (an ndarray of shape (n, n), symmetric up to rounding), or X:
        anything :func:`open_source` takes. For a pair: the tuple (Q, K), or Q K^T itself as an
        ndarray of shape (queries, keys).
    Y : shape (n, m), or a :class:`Result`, of queries and keys too.
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
    One pass over X, none if G is given. Memory: 2 cells per logit, and as ``sparsify(X, "exact")``
    if X is given. Exact up to the rounding of G. Masks and biases cancel in the difference of the
    logits: THEORY 1.6 bounds this by 2 tanh(beta max |E_ij| / 2) over the cells that are open.
    """
    queries, keys = sides_of("Y", Y)
    beta = check_beta(beta)
    shape = (queries.shape[0], keys.shape[0])
    allowed = check_mask(mask, shape)
    is_pair = isinstance(Y, Result) and Y.is_pair
    preprocess = Y.plan.preprocess if isinstance(Y, Result) else Preprocess()
    gram = partial(_gram, memory=memory, preprocess=preprocess)
    open_X = open_pair if is_pair else partial(open_columns, preprocess=preprocess)
    X = partial(open_X, X_or_G, feature_axis=feature_axis, missing="error")
    G = _logits_of(X_or_G, shape, lambda: gram(X()), is_pair=is_pair)
    if G.shape != shape:
        raise ParameterError(f"Y must have the rows of X: {G.shape} products, not {shape}")
    largest = 0.0
    with one_blas_thread():
        for a in range(0, shape[0], _CHUNK_ROWS):
            rows = slice(a, a + _CHUNK_ROWS)
            distances = row_distances(
                G[rows],
                queries[rows] @ keys.T,
                beta=beta,
                mask_rows=None if allowed is None else allowed[rows],
            )
            largest = max(largest, float(distances.max()))
    # Rounding may add a hair to the largest distance there can be.
    return min(largest, 2.0)


def sides_of(name: str, Y: npt.ArrayLike | Result) -> tuple[Array, Array]:
    """Return (what looks, what is looked at), each a matrix."""
    if isinstance(Y, Result) and Y.is_pair:
        sides = check_matrix(f"{name}.Q", Y.Q), check_matrix(f"{name}.K", Y.K)
    else:
        sides = (check_matrix(name, Y),) * 2
    with np.errstate(over="ignore"):
        if not all(np.isfinite(np.square(side).sum()) for side in sides):
            raise NonFiniteError(f"the squares of {name} overflow float64; scale X and Y down")
    return sides


def _logits_of(
    X_or_G: Any, shape: tuple[int, int], gram: Callable[[], Array], *, is_pair: bool
) -> Array:
    """Return G, or Q K^T of a pair; ``gram`` computes the products of X, or of Q above K."""
    if is_pair:
        if isinstance(X_or_G, np.ndarray) and X_or_G.shape == shape:
            return check_matrix("Q K^T", X_or_G)
        return gram()[: shape[0], shape[0] :]
    if isinstance(X_or_G, np.ndarray) and _is_symmetric(X_or_G):
        return check_matrix("G", X_or_G)
    return gram()


def _gram(source: Source, *, memory: int | str, preprocess: Preprocess) -> Array:
    request = check_of_Y_request(beta=1.0, seed=0, memory=memory, delta=0.01, preprocess=preprocess)
    threads = available_threads()
    plan = plan_check(
        Facts.of(source),
        request,
        m=1,
        Y_bytes=0,
        checked_rows=source.shape[0],
        exact=True,
        spectral=0,
        threads=threads,
    )
    source.verify()
    with show_progress(False, label="gram", total=0) as bar:
        job = Job(source, plan, Execution(threads, False, bar), output=None)
        with with_planned_layout(job) as ready:
            known = gram_pass(ready)
    refuse_hidden(plan, scope_of(plan, known))
    G: Array = known.gram
    return G


def _is_symmetric(values: Array) -> bool:
    """Return whether ``values`` is square and symmetric up to the rounding of a product."""
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        return False
    eps = np.finfo(values.dtype).eps if values.dtype.kind == "f" else 0.0
    values = values.astype(np.float64)
    asymmetry = float(np.abs(values - values.T).max())
    return asymmetry <= 256 * eps * float(np.abs(values).max())


def check_mask(mask: Mask, shape: tuple[int, int]) -> Array | None:
    """Return a mask of logits of this shape: boolean, or additive; None for none."""
    if mask is None:
        return None
    if isinstance(mask, str):
        return _causal(mask, shape)
    allowed = np.asarray(mask)
    if allowed.dtype.kind not in "biuf":
        raise ParameterError(f"mask must be of bool or real numbers, not {allowed.dtype}")
    if allowed.shape != shape:
        raise ParameterError(f"mask must have shape {shape}, not {allowed.shape}")
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


def _causal(mask: str, shape: tuple[int, int]) -> Array:
    """Return who may look where if nobody looks ahead; the last query looks at the last key."""
    if mask != "causal":
        raise ParameterError(f"mask must be an array or 'causal', not {mask!r}")
    ahead = shape[1] - shape[0]
    if ahead < 0:
        raise ParameterError(f"a causal mask needs a key per query: {shape[0]} and {shape[1]}")
    return np.tri(shape[0], shape[1], ahead, dtype=bool)
