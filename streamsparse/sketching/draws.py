"""Random numbers as arithmetic on (seed, key, stream): uniforms, normals, samples of rows.

Every use has streams of its own, so that nothing here shares a word with S or with another use:
what certifies a sketch is drawn independently of it.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from streamsparse.arrays import Array
from streamsparse.sketching.run_hash import hash_words

# S itself uses the streams below 2^32; each of these is the first of as many.
(
    ROW_SAMPLE,
    PROBES,
    SPECTRAL_PROBES,
    COLUMN_SAMPLE,
    SCORE_VECTORS,
    DIGEST_FACTORS,
    BOOTSTRAP,
) = (use << 32 for use in range(1, 8))


def uniforms(*, seed: int, keys: Array, stream: int) -> Array:
    """Return one float64 in (0, 1) for each key: 53 bits, at the middle of their cell."""
    words = hash_words(seed=seed, keys=keys, stream=stream)
    # The half is lost for the largest words, where it would round up to 1.
    centred = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray(np.minimum(centred, 1 - 2.0**-53))


def normals(*, seed: int, rows: int, columns: int, stream: int) -> Array:
    """Return (rows, columns) independent N(0, 1), column k from stream ``stream + k``."""
    keys = np.arange(rows, dtype=np.uint64)
    out = np.empty((rows, columns))
    for k in range(columns):
        out[:, k] = ndtri(uniforms(seed=seed, keys=keys, stream=stream + k))
    return out


def sample_rows(*, n: int, count: int, seed: int) -> Array:
    """Return ``count`` different rows of n, sorted, drawn by a hash independent of S."""
    if count >= n:
        return np.arange(n)
    words = hash_words(seed=seed, keys=np.arange(n, dtype=np.uint64), stream=ROW_SAMPLE)
    return np.sort(np.argpartition(words, count)[:count])


def digest_factors(first: int, stop: int) -> Array:
    """Return the odd factors of the columns first .. stop - 1 in the digest of X."""
    keys = np.arange(first, stop, dtype=np.uint64)
    return hash_words(seed=0, keys=keys, stream=DIGEST_FACTORS) | np.uint64(1)
