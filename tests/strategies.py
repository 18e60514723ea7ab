"""Matrices of every kind the tests need: from a spectrum, integers, sparse, extreme scales."""

import numpy as np
import scipy.sparse
from hypothesis import strategies as st

DTYPES = ["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]


def integer_matrix(n, d, dtype="int8", seed=0, high=5):
    """Small integers: every sketch and Gram of it is exact, whatever the order of additions."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    low = 0 if dtype.kind in "ub" else -high
    return rng.integers(low, 2 if dtype.kind == "b" else high + 1, (n, d)).astype(dtype)


def matrix_from_spectrum(n, d, spectrum, seed=0, dtype="float64"):
    """U diag(spectrum) V^T with random orthogonal U (n, k) and V (d, k)."""
    rng = np.random.default_rng(seed)
    k = len(spectrum)
    U = np.linalg.qr(rng.standard_normal((n, k)))[0]
    V = np.linalg.qr(rng.standard_normal((d, k)))[0]
    return ((U * np.asarray(spectrum)) @ V.T).astype(dtype)


def named_matrices(n=24, d=600, seed=0):
    """One matrix of each kind that has ever broken a sketch or a Gram."""
    rng = np.random.default_rng(seed)
    gaussian = rng.standard_normal((n, d)).astype(np.float32)
    heavy = gaussian.copy()
    heavy[:, :3] *= 1000
    adjacent = np.zeros((n, d), np.float32)
    adjacent[np.arange(n), np.arange(n)] = 1
    stride = np.zeros((n, d), np.float32)
    stride[np.arange(d // 64), np.arange(0, d - d % 64, 64)] = 1
    scales = gaussian * np.float32(10.0) ** np.linspace(-18, 18, n, dtype=np.float32)[:, None]
    return {
        "flat spectrum": matrix_from_spectrum(n, d, np.ones(n), dtype="float32"),
        "power law": matrix_from_spectrum(n, d, np.arange(1, n + 1) ** -2.0),
        "rank deficient": matrix_from_spectrum(n, d, np.ones(n // 3)),
        "gaussian": gaussian,
        "heavy columns": heavy,
        "leverage one, adjacent": adjacent,
        "leverage one, stride 64": stride,
        "near duplicates": np.repeat(gaussian[:1], n, axis=0) + np.float32(1e-3) * gaussian,
        "zero rows": np.where(np.arange(n)[:, None] % 2 == 0, gaussian, 0).astype(np.float32),
        "norms 1e-18 to 1e18": scales.astype(np.float32),
        "all zero": np.zeros((n, d), np.float32),
    }


def hard_matrices(n=16, d=2048, seed=0):
    """One matrix of each kind that a promise about every X must survive; n <= d.

    Rows of all lengths that float32 squares, columns that matter alone, directions that vanish.
    """
    rng = np.random.default_rng(seed)
    gaussian = rng.standard_normal((n, d)).astype(np.float32)
    heavy = gaussian.copy()
    heavy[:, rng.choice(d, 3, replace=False)] *= 1000
    one_hot = np.zeros((n, d), np.float32)
    one_hot[np.arange(d) % n, rng.permutation(d)] = rng.standard_normal(d).astype(np.float32)
    lengths = np.float32(10.0) ** np.linspace(-18, 18, n, dtype=np.float32)
    unit_rows = gaussian / np.linalg.norm(gaussian, axis=1, keepdims=True)
    return {
        "flat spectrum": matrix_from_spectrum(n, d, np.ones(n), seed, dtype="float32"),
        "power law": matrix_from_spectrum(n, d, np.arange(1, n + 1) ** -2.0, seed),
        "heavy columns": heavy,
        "leverage one, adjacent": leverage_one(n, d, stride=1),
        "leverage one, apart": leverage_one(n, d, stride=min(64, d // n)),
        "one-hot columns": one_hot,
        "near duplicates": gaussian[:1] + np.float32(1e-3) * gaussian,
        "rank deficient": matrix_from_spectrum(n, d, np.ones(n // 3), seed),
        "norms 1e-18 to 1e18": unit_rows * lengths[:, None],
    }


def leverage_one(n, d, stride):
    """n unit columns, ``stride`` apart, each the only one with its direction; the rest is zero."""
    X = np.zeros((n, d), np.float32)
    X[np.arange(n), np.arange(n) * stride] = 1
    return X


def sparse_matrix(n, d, density=0.1, seed=0, dtype="float32", high=None):
    """A random CSR matrix; with ``high``, of small integers."""
    rng = np.random.default_rng(seed)
    X = scipy.sparse.random_array((n, d), density=density, rng=rng, format="csr", dtype="float64")
    if high is not None:
        X.data = rng.integers(1, high + 1, X.data.size).astype("float64")
    return X.astype(dtype)


def extents_of(matrix):
    """Where every row of a CSR matrix (column of a CSC one) begins and ends, as kernels take it."""
    return np.stack([matrix.indptr[:-1], matrix.indptr[1:]]).astype(np.int64)


@st.composite
def cuts(draw, length, most=6):
    """Increasing edges 0 = e_0 < ... < e_k = length: any way to cut an axis into blocks."""
    inner = draw(st.lists(st.integers(1, max(1, length - 1)), max_size=most))
    return sorted({0, length, *[edge for edge in inner if edge < length]})


def whitened(X):
    """V (k, d) with V V^T = I: X in the coordinates of its singular vectors."""
    _, sigma, Vt = np.linalg.svd(np.asarray(X, np.float64), full_matrices=False)
    return np.ascontiguousarray(Vt[sigma > 1e-10 * sigma[0]])


def uneven_columns(k, d, kind, seed=0):
    """V (k, d) with V V^T = I from Gaussian columns of equal sizes or, by kind, of uneven ones."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((k, d))
    if kind == "power law":
        X *= rng.permutation(np.arange(1, d + 1) ** -0.7)
    elif kind == "heavy":
        X[:, rng.choice(d, 3, replace=False)] *= 100
    return whitened(X)
