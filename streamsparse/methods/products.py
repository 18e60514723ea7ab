"""Products of Y with itself and with vectors, whatever Y is: ndarray, sparse, or on disk."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from streamsparse.arrays import Array

CHUNK_BYTES = 4 << 20


def is_sparse(Y: Any) -> bool:
    """Return whether Y is a scipy sparse matrix or array."""
    return bool(sparse.issparse(Y))


def memory_of(Y: Any) -> int:
    """Return the bytes of memory that Y takes; an array on disk takes none."""
    if is_sparse(Y):
        return int(Y.data.nbytes + Y.indices.nbytes + Y.indptr.nbytes)
    return int(Y.nbytes) if isinstance(Y, np.ndarray) else 0


def chunk_rows(Y: Any) -> int:
    """Return how many rows of Y to take at once."""
    return max(1, CHUNK_BYTES // (8 * int(Y.shape[1])))


def gram_rows(Y: Any, rows: Array) -> Array:
    """Return the rows I of Y Y^T, (p, n), in chunks of the rows of Y."""
    if is_sparse(Y):
        by_rows = Y.tocsr()
        return np.asarray((by_rows[rows] @ by_rows.T).toarray())
    Y_I = np.empty((rows.size, Y.shape[1]))
    for k, row in enumerate(rows.tolist()):
        Y_I[k] = Y[row]
    n, step = int(Y.shape[0]), chunk_rows(Y)
    parts = [Y_I @ np.asarray(Y[a : a + step], np.float64).T for a in range(0, n, step)]
    return np.concatenate(parts, axis=1)


def gram_times(Y: Any, vectors: Array) -> Array:
    """Return Y (Y^T vectors), (n, q), in chunks of the rows of Y."""
    if is_sparse(Y):
        return np.asarray(Y @ (Y.T @ vectors))
    n, step = int(Y.shape[0]), chunk_rows(Y)
    projected = np.zeros((int(Y.shape[1]), vectors.shape[1]))
    for a in range(0, n, step):
        projected += np.asarray(Y[a : a + step], np.float64).T @ vectors[a : a + step]
    parts = [np.asarray(Y[a : a + step], np.float64) @ projected for a in range(0, n, step)]
    return np.concatenate(parts)


def squared_row_norms(Y: Any) -> Array:
    """Return the diagonal of Y Y^T, (n,), in chunks of the rows of Y."""
    if is_sparse(Y):
        return np.asarray(Y.multiply(Y).sum(axis=1)).ravel()
    n, step = int(Y.shape[0]), chunk_rows(Y)
    parts = [np.asarray(Y[a : a + step], np.float64) for a in range(0, n, step)]
    return np.concatenate([np.einsum("ij,ij->i", part, part) for part in parts])


def dense_rows(Y: Any) -> Array:
    """Return Y as an ndarray."""
    if is_sparse(Y):
        return np.asarray(Y.toarray())
    return np.asarray(Y[:], np.float64)
