"""Random Fourier features of the documents: a dense matrix of any width, made as it is written.

Rahimi and Recht, "Random features for large-scale kernel machines", NeurIPS 2007: with rows p_i,
z_ij = sqrt(2 / d) cos(p_i . omega_j + b_j) gives z_i . z_k close to exp(-|p_i - p_k|^2 / 2 s^2).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse
from scipy.special import ndtri

from streamsparse.demo.corpus import Corpus
from streamsparse.sketching.run_hash import hash_words
from streamsparse.storing.files import Array
from streamsparse.storing.zarr_write import DenseWriter

NUM_DIRECTIONS = 64

# s above: documents are at most sqrt(2) apart.
_BANDWIDTH = 0.5
# Columns are made in aligned groups of this many, so that the bits of one never depend on which
# others are asked for: products of equal shape round alike.
_GROUP = 1024


def project_documents(X: scipy.sparse.csr_array, seed: int) -> Array:
    """Return X times a fixed random sign matrix, rows scaled to norm 1: float32, (n, 64)."""
    d = X.shape[1]
    words = hash_words(seed=seed, keys=np.arange(d, dtype=np.uint64), stream=NUM_DIRECTIONS + 1)
    buckets = (words >> np.uint64(58)).astype(np.int32)
    signs = 1 - 2 * (words & np.uint64(1)).astype(np.float32)
    S = scipy.sparse.csr_array((signs, buckets, np.arange(d + 1)), shape=(d, NUM_DIRECTIONS))
    P = np.asarray((X @ S).toarray(), np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", P, P))
    P /= np.maximum(norms, np.finfo(np.float64).tiny)[:, None]
    return P.astype(np.float32)


def random_fourier_block(P: Array, start: int, stop: int, *, d: int, seed: int) -> Array:
    """Return the columns [start, stop) of the features, float32, (n, stop - start).

    Parameters
    ----------
    P : (n, 64) float32, as ``project_documents`` returns it.
    d : columns of the whole matrix; it only scales.
    seed : 0 .. 2^64 - 1; a column is a function of (P, seed, j, d).
    """
    block = np.empty((P.shape[0], stop - start), np.float32)
    scale = np.float32(np.sqrt(2 / d))
    for group in range(start // _GROUP, -(-stop // _GROUP)):
        first = group * _GROUP
        low, high = max(start, first), min(stop, first + _GROUP)
        omega, shift = _directions(first, seed)
        Z = np.cos(P @ omega + shift)
        np.multiply(
            Z[:, low - first : high - first], scale, out=block[:, low - start : high - start]
        )
    return block


def _directions(first: int, seed: int) -> tuple[Array, Array]:
    """Return omega (64, 1024), normal with deviation 1 / s, and shifts (1024,) in [0, 2 pi)."""
    keys = np.arange(first, first + _GROUP, dtype=np.uint64)
    uniform = np.stack(
        [
            # 53 bits at the middle of their cell: never 0 or 1.
            ((hash_words(seed=seed, keys=keys, stream=k) >> np.uint64(11)) + 0.5) * 2.0**-53
            for k in range(NUM_DIRECTIONS + 1)
        ]
    )
    omega = ndtri(uniform[:NUM_DIRECTIONS]) / _BANDWIDTH
    return omega.astype(np.float32), (2 * np.pi * uniform[NUM_DIRECTIONS]).astype(np.float32)


def write_dense_features(
    path: Path, corpus: Corpus, *, size_bytes: int, seed: int, chunk_bytes: int
) -> tuple[int, int]:
    """Write the features as a Zarr array of at least ``size_bytes``; return its shape (n, d).

    Parameters
    ----------
    path : the array; it must not exist yet.
    corpus : the documents.
    size_bytes : of the whole array before its chunks' checksums; rounded up to whole chunks.
    seed : 0 .. 2^64 - 1.
    chunk_bytes : of a chunk, which holds all rows; at least one column is taken.

    Raises
    ------
    StoreError : if the array cannot be written.

    Notes
    -----
    Memory: about three chunks, or three groups of 1024 columns where chunks are smaller.
    """
    n = corpus.X.shape[0]
    width = max(1, chunk_bytes // (4 * n))
    if width > _GROUP:
        width -= width % _GROUP
    d = width * max(1, -(-size_bytes // (4 * n * width)))
    P = project_documents(corpus.X, seed)
    writer = DenseWriter(path, (n, d), np.dtype(np.float32), (n, width))
    for start in range(0, d, width):
        block = random_fourier_block(P, start, start + width, d=d, seed=seed)
        writer.write((0, n), (start, start + width), block)
    return n, d
