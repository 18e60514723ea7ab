"""Every LAPACK call of the library, named by what it is for.

Callers hold BLAS to one thread (``running.threads.one_blas_thread``): the bits must not depend on
how many there are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg

from streamsparse.arrays import Array


def eigenpairs(G: Array) -> tuple[Array, Array]:
    """Return eigenvalues (descending, >= 0) and eigenvectors of a symmetric matrix; G is lost.

    Signs are fixed: the entry of largest magnitude of every eigenvector is positive.
    """
    values, vectors = scipy.linalg.eigh(G, driver="evd", overwrite_a=True, check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
    vectors *= signs
    return np.maximum(values, 0), vectors


def eigenvalues(M: Array) -> Array:
    """Return the eigenvalues of a symmetric matrix, ascending; M is lost."""
    values: Array = scipy.linalg.eigh(
        M, eigvals_only=True, driver="evd", overwrite_a=True, check_finite=False
    )
    return values


def triangle_of(W: Array) -> Array:
    """Return R, upper trapezoidal, with W = Q R for an orthogonal Q: R^T R = W^T W."""
    (R,) = scipy.linalg.qr(W, mode="r", check_finite=False)
    return np.ascontiguousarray(R)


def symmetric_eigenpairs(A: Array) -> tuple[Array, Array]:
    """Return eigenvalues (ascending, of either sign) and eigenvectors of a symmetric matrix.

    Only the lower triangle is read; A is kept.
    """
    values, vectors = scipy.linalg.eigh(A, driver="evd", check_finite=False)
    return values, np.ascontiguousarray(vectors)


def rank_of(eigenvalues: Array, rank_tolerance: float) -> int:
    """Return how many of the descending eigenvalues exceed ``rank_tolerance`` times the largest."""
    return int(np.count_nonzero(eigenvalues > rank_tolerance * eigenvalues[0]))


def scaled_vectors(eigenvalues: Array, eigenvectors: Array, m: int) -> Array:
    """Return Y (n, m) with Y Y^T the best rank-m approximation (Eckart-Young)."""
    return np.ascontiguousarray(eigenvectors[:, :m] * np.sqrt(eigenvalues[:m]))


def product_with_transpose(Y: Array) -> Array:
    """Return Y Y^T in float64."""
    product: Array = Y @ Y.T
    return product


def whitened_by_factor(F: Array, products: Array, r: float) -> Array:
    """Return L^-1 products, F + r I = L L^T; F is lost."""
    F[np.diag_indices_from(F)] += r
    L = scipy.linalg.cholesky(F, lower=True, overwrite_a=True, check_finite=False)
    return np.asarray(scipy.linalg.solve_triangular(L, products, lower=True, check_finite=False))


def loewner_error(G: Array, Y: Array, *, rank_tolerance: float, rounding: float) -> LoewnerError:
    """Return the smallest epsilon with (1 - epsilon) G <= Y Y^T <= (1 + epsilon) G, O(n^3).

    Whitened: max |eig(W Y Y^T W^T - I)| with W = Lambda^(-1/2) U^T over the directions of G above
    ``rank_tolerance`` of its largest eigenvalue. G itself carries rounding errors of up to
    ``rounding`` ||x_i|| ||x_j||, which whitening turns into rounding tr(G) / lambda_k (THEORY 6).
    """
    values, vectors = eigenpairs(G.copy())
    rank = rank_of(values, rank_tolerance)
    trace = float(values.sum())
    outside = float(np.square(vectors[:, rank:].T @ Y).sum())
    if outside > rank_tolerance * trace:
        # Y has a direction that X has not, or none that rounding lets us see: nothing bounds it.
        return LoewnerError(np.inf, 0.0)
    if rank == 0:
        return LoewnerError(0.0, 0.0)
    noise = rounding * trace / float(values[rank - 1])
    whitened = (vectors[:, :rank] / np.sqrt(values[:rank])).T @ Y
    if whitened.shape[1] < rank:
        # Directions without a column of Y are lost altogether: epsilon is at least 1.
        squares = eigenvalues(product_with_transpose(whitened.T))
        return LoewnerError(float(max(1.0, squares[-1] - 1.0)), noise)
    squares = eigenvalues(product_with_transpose(whitened))
    return LoewnerError(float(max(squares[-1] - 1.0, 1.0 - squares[0])), noise)


def regularised_error(G: Array, F: Array, *, r: float, rounding: float) -> LoewnerError:
    """Return the smallest epsilon with -epsilon (G + r I) <= F - G <= epsilon (G + r I).

    The largest generalised eigenvalue in magnitude, O(n^3); rounding of G moves it by at most
    rounding tr(G) / r.
    """
    if r == 0:
        return LoewnerError(0.0 if not F.any() else np.inf, 0.0)
    noise = rounding * float(np.trace(G)) / r
    if noise > 1:
        # G + r I may not even be positive.
        return LoewnerError(np.inf, noise)
    E = F - G
    shifted = G.copy()
    shifted[np.diag_indices_from(shifted)] += r
    # The transpose of a symmetric matrix is itself, in the order that LAPACK takes without a copy.
    values = scipy.linalg.eigh(
        E.T, shifted.T, eigvals_only=True, overwrite_a=True, overwrite_b=True, check_finite=False
    )
    return LoewnerError(float(max(values[-1], -values[0], 0.0)), noise)


class LoewnerError(NamedTuple):
    """A distortion and how far rounding of G may have moved it."""

    value: float
    rounding: float
