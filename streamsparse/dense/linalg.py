"""Every LAPACK call of the library, named by what it is for.

Callers hold BLAS to one thread (``running.local.one_blas_thread``): the bits must not depend on how
many there are.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from streamsparse.sources.base import Array


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


def loewner_error(G: Array, Y: Array, rank_tolerance: float) -> float:
    """Return the smallest epsilon with (1 - epsilon) G <= Y Y^T <= (1 + epsilon) G.

    Directions of G below ``rank_tolerance`` of its largest eigenvalue are not certified (THEORY 6).
    Whitened: max |eig(W Y Y^T W^T - I)| with W = Lambda^(-1/2) U^T, O(n^3).
    """
    values, vectors = eigenpairs(G.copy())
    rank = rank_of(values, rank_tolerance)
    if rank == 0:
        return 0.0
    whitened = (vectors[:, :rank] / np.sqrt(values[:rank])).T @ Y
    if whitened.shape[1] < rank:
        # Directions without a column of Y are lost altogether: epsilon is at least 1.
        squares = eigenvalues(product_with_transpose(whitened.T))
        return float(max(1.0, squares[-1] - 1.0))
    squares = eigenvalues(product_with_transpose(whitened))
    return float(max(squares[-1] - 1.0, 1.0 - squares[0]))
