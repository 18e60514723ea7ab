"""``kernel``, ``neighbors`` and ``pca``: what people compute from Y, with error bars."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from streamsparse.api.arguments import check_beta, check_share
from streamsparse.api.given import Given, given
from streamsparse.arrays import Array
from streamsparse.checks import as_float, check_choice, check_count
from streamsparse.dense.certificate import Certificate, Measure
from streamsparse.dense.kernel import (
    KERNELS,
    OF_NORMS,
    Cosine,
    Kernel,
    KernelFunction,
    Products,
    squared_distances,
)
from streamsparse.dense.neighbors import Neighbors, certain_members, nearest
from streamsparse.dense.pca import (
    PrincipalComponents,
    principal_components,
    spread_of,
    with_bars,
)
from streamsparse.errors import ParameterError
from streamsparse.methods.products import dense_rows, gram_rows, is_sparse
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.results.result import Result
from streamsparse.running.threads import one_blas_thread

# Powers of more say nothing that float64 could hold.
_MOST_DEGREE = 1_000
# Rows of Y, and their distances, are taken in blocks of this size.
_CHUNK_BYTES = 16 << 20


def kernel(
    Y: npt.ArrayLike | Result,
    name: Literal["linear", "cosine", "rbf", "polynomial", "exponential"] = "linear",
    *,
    gamma: float = 1.0,
    degree: int = 3,
    coef0: float = 1.0,
    beta: float = 1.0,
    certificate: Certificate | None = None,
    share: float = 1.0,
) -> Kernel:
    """Return a kernel of all pairs of rows of Y, and how far its values are from those of X.

    Parameters
    ----------
    Y : shape (n, m), or a :class:`Result`; one of queries and keys gives (queries, keys).
    name : "linear": x.y; "cosine": x.y / (||x|| ||y||), 0 where a row is zero; "rbf":
        exp(-gamma ||x - y||^2); "polynomial": (gamma x.y + coef0)^degree; "exponential":
        exp(beta x.y), which is attention before its rows are divided by their sums.
    gamma : > 0, of "rbf" and "polynomial"; 1 / d is what scikit-learn takes where none is given.
    degree, coef0 : of "polynomial": 1 .. 1,000; any finite number.
    beta : > 0, of "exponential".
    certificate : what :func:`certify` found of this Y; None takes the result's own.
    share : of how many rows the error need speak, in (0, 1]: below 1 a bound for that share of the
        rows goes before one for all of them that is not certain. Where nothing is known of all rows
        a bound for most of them is returned whatever ``share`` says; its own ``share`` tells.

    Returns
    -------
    A :class:`Kernel` with ``values`` and ``error``: no value is further from that of X.

    Raises
    ------
    ParameterError : for other shapes, a parameter that the kernel does not have, a certificate of a
        Y of another shape, and where values overflow float64.

    Notes
    -----
    No pass over X. Memory: Y, and 2 cells per value.
    Guarantee: with e = max |E_ij|, b = 4 e, or 2 e where rows have their exact norms: e for
    "linear"; b / (2 min ||y_i||^2) for "cosine"; 1 - exp(-gamma b) for "rbf";
    (a + gamma e)^degree - a^degree for "polynomial", a the largest |gamma x.y + coef0|;
    exp(beta r) (exp(beta e) - 1) for "exponential". e is taken from the strongest claim there is:
    certain for all rows, a bound for all rows, one for most rows, an estimate; the error keeps its
    kind, confidence and share, and is None where nothing is known or nothing follows. What holds
    for most rows, or for queries and keys, says something of "cosine" and "rbf" only with exact
    norms. Proofs:
    ``dense/kernel.py``, ``dense/implied.py``.
    """
    check_choice("name", name, tuple(KERNELS))
    share = check_share(share)
    function = _kernel_function(name, gamma=gamma, degree=degree, coef0=coef0, beta=beta)
    known = given(Y, certificate)
    products = _products(known)
    found = known.entry_error(share=share, needs_diagonal=name in OF_NORMS)
    # The values take the place of the products, which the bound needs.
    error = None if found is None else function.bound(products, found)
    return Kernel(name, function.values(products), error)


def neighbors(
    Y: npt.ArrayLike | Result,
    k: int,
    metric: Literal["euclidean", "cosine", "inner"] = "euclidean",
    *,
    certificate: Certificate | None = None,
    share: float = 1.0,
) -> Neighbors:
    """Return the k nearest other rows of every row of Y, and which are certainly those of X.

    Parameters
    ----------
    Y : shape (n, m), or a :class:`Result`.
    k : how many, 1 .. n - 1.
    metric : "euclidean"; "cosine": the largest cosines; "inner": the largest products.
    certificate, share : as for :func:`kernel`.

    Returns
    -------
    :class:`Neighbors` with ``indices`` and ``distances`` (n, k), ties by index; ``certain`` (n, k):
        whether a neighbour is one of the k nearest rows of X too; ``error``: no squared distance
        (cosine, product) is further from that of X.

    Raises
    ------
    ParameterError : for other shapes, for queries and keys, a certificate of a Y of another shape.

    Notes
    -----
    No pass over X. Memory: Y, and about 64 MiB: rows are taken in blocks. O(n^2 m).
    Guarantee: with the error b of :func:`kernel` (b = 4 e or 2 e for squared distances) neighbour j
    is certain if v_j + b < v_(k+1) - b, the compared numbers sorted. ``certain`` is as sure as
    ``error``: with a confidence, all of it at once; with a share, for that share of the rows. An
    estimate makes nothing certain: None. Proof: ``dense/neighbors.py``.
    """
    check_choice("metric", metric, ("euclidean", "cosine", "inner"))
    share = check_share(share)
    known = given(Y, certificate, pairs="use kernel, or neighbors of one of them")
    n = known.squares.size
    if n < 2:
        raise ParameterError(f"neighbours need 2 rows at least, Y has {n}")
    k = check_count("k", k, low=1, high=n - 1)
    error = _error_of_compared(known, metric, share)
    bound = None if error is None or error.kind == "estimate" else error.value
    indices, distances = np.empty((n, k), np.int64), np.empty((n, k))
    certain = None if bound is None else np.empty((n, k), np.bool_)
    step = max(1, _CHUNK_BYTES // (8 * max(known.Y.shape)))
    with one_blas_thread():
        for a in range(0, n, step):
            rows = np.arange(a, min(a + step, n))
            values = _compared(known, metric, rows)
            # Nobody is its own neighbour.
            values[rows - a, rows] = np.inf
            order = nearest(values, k + 1)
            ordered = np.take_along_axis(values, order, axis=1)
            indices[rows], distances[rows] = order[:, :k], ordered[:, :k]
            if certain is not None and bound is not None:
                certain[rows] = certain_members(ordered, bound)
    return Neighbors(metric, indices, _as_distances(distances, metric), certain, error)


def pca(
    Y: npt.ArrayLike | Result, k: int = 2, *, certificate: Certificate | None = None
) -> PrincipalComponents:
    """Return the first k principal components of the rows of Y, with error bars of the variances.

    Parameters
    ----------
    Y : shape (n, m) with n at least 2, or a :class:`Result`.
    k : how many components, 1 .. min(n - 1, m).
    certificate : as for :func:`kernel`.

    Returns
    -------
    :class:`PrincipalComponents`: ``scores`` (n, k), ``variances`` (eigenvalues of the centred Gram
        matrix over n - 1) and ``ratios`` (k,); between ``lower`` and ``upper`` lie the variances of
        X; ``error``: no variance is further from that of X; ``angle``: the largest sine of an angle
        between the span of these components and that of X.

    Raises
    ------
    ParameterError : for other shapes, for queries and keys, a certificate of a Y of another shape.

    Notes
    -----
    No pass over X. Memory: Y twice, dense, and 4 min(n, m)^2 cells; O(n m min(n, m)).
    Guarantee, with lambda the eigenvalues of the centred Gram matrices: from a spectral error
    epsilon, lambda hat / (1 + epsilon) <= lambda <= lambda hat / (1 - epsilon); from a regularised
    one, the same after lambda hat -+ epsilon r; from the mean square, lambda hat -+ n r rms (Weyl).
    All that are certain together, else all that have a confidence by the union bound. ``angle``:
    Davis and Kahan, ||E|| / (lambda_k hat - lambda_(k+1)); None where that is 1 or more. Proofs:
    ``dense/pca.py``.
    """
    known = given(Y, certificate, pairs="use kernel, or pca of one of them")
    values = dense_rows(known.Y)
    n, m = values.shape
    if n < 2:
        raise ParameterError(f"variances need 2 rows at least, Y has {n}")
    k = check_count("k", k, low=1, high=min(n - 1, m))
    with one_blas_thread():
        found = principal_components(values, k)
    # One more than k, of a matrix whose rank is at most m.
    first = np.append(found.eigenvalues, 0.0)[: k + 1]
    spread = None
    if known.certificate is not None:
        # Directions that small are noise to a spectral error; rounding is far below.
        trace = max(float(known.squares.sum()), known.certificate.trace)
        spread = spread_of(first, known.certificate, slack=rank_tolerance(n + m) * trace)
    return with_bars(found, first, spread)


def _kernel_function(
    name: str, *, gamma: float, degree: int, coef0: float, beta: float
) -> KernelFunction:
    """Return the kernel with its parameters, all checked; one that it does not have is refused."""
    shift, scale = as_float(coef0), as_float(gamma)
    if shift is None or not math.isfinite(shift):
        raise ParameterError(f"coef0 must be a finite number, not {coef0!r}")
    if scale is None or not 0 < scale < math.inf:
        raise ParameterError(f"gamma must be a positive finite number, not {gamma!r}")
    asked: dict[str, Any] = {
        "gamma": scale,
        "degree": check_count("degree", degree, low=1, high=_MOST_DEGREE),
        "coef0": shift,
        "beta": check_beta(beta),
    }
    has = {field.name for field in fields(KERNELS[name])}
    defaults: dict[str, Any] = kernel.__kwdefaults__ or {}
    for parameter, value in asked.items():
        if parameter not in has and value != defaults[parameter]:
            raise ParameterError(f"{parameter} = {value:g} is no parameter of kernel {name!r}")
    return KERNELS[name](**{parameter: asked[parameter] for parameter in has})


def _products(known: Given) -> Products:
    """Return the products of all pairs of rows, or of queries and keys."""
    Y, squares, queries = known.Y, known.squares, known.queries
    if queries is None:
        above = below = slice(None)
    else:
        above, below = slice(queries), slice(queries, None)
    with one_blas_thread():
        F = Y[above] @ Y[below].T
    F = np.asarray(F.toarray()) if is_sparse(F) else F
    return Products(F, squares[above], squares[below], known.largest_G)


def _error_of_compared(known: Given, metric: str, share: float) -> Measure | None:
    """Return how far the numbers that are compared may be from those of X."""
    found = known.entry_error(share=share, needs_diagonal=metric != "inner")
    if found is None or metric == "inner":
        return None if found is None else found.implies(found.entry)
    if metric == "euclidean":
        return found.implies(found.squared_distance)
    nothing = np.empty((0, 0))
    return Cosine().bound(Products(nothing, known.squares, known.squares, known.largest_G), found)


def _compared(known: Given, metric: str, rows: Array) -> Array:
    """Return what the neighbours of some rows are chosen by, smallest first: (rows, n)."""
    F, squares = gram_rows(known.Y, rows), known.squares
    if metric == "euclidean":
        return squared_distances(F, squares[rows], squares)
    if metric == "cosine":
        F = Cosine().values(Products(F, squares[rows], squares, known.largest_G))
    return np.negative(F, out=F)


def _as_distances(compared: Array, metric: str) -> Array:
    """Return Euclidean distances, 1 - cosine, or products, from what was compared."""
    if metric == "euclidean":
        return np.asarray(np.sqrt(compared))
    return 1 + compared if metric == "cosine" else -compared
