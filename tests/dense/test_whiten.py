"""Whitened coordinates: X X^T is the identity in them, or the identity less a ridge."""

import numpy as np
import pytest
import scipy.sparse

import strategies
import tolerances
from streamsparse.dense.whiten import Whitener

EPS = np.finfo(np.float64).eps
N, D = 12, 200


def gram_of(X):
    return X.astype(np.float64) @ X.astype(np.float64).T


def whitener_of(G, ridge=0.0):
    return Whitener.of(G, ridge=ridge, rank_tolerance=1e-12 * G.shape[0], noise=0.0)


def rounding(G, whitener):
    """eigh moves G by a modest multiple of n eps ||G||; R enlarges that by its norm, squared."""
    return 10 * len(G) * EPS * np.linalg.norm(G, 2) * np.linalg.norm(whitener.R, 2) ** 2


def spectrum_kinds():
    geometric = 10.0 ** -np.linspace(0, 4, N)
    return {"flat": np.ones(N), "geometric": geometric, "outlier": [1e4, *np.ones(N - 1)]}


@pytest.mark.parametrize("kind", spectrum_kinds())
@pytest.mark.parametrize("ridge", [0.0, 1e-3, 1.0, 1e4])
def test_of__makes_the_identity_of_what_it_is_given(kind, ridge):
    spectrum = np.asarray(spectrum_kinds()[kind])
    # In the order that LAPACK takes without a copy.
    G = np.asfortranarray(gram_of(strategies.matrix_from_spectrum(N, D, spectrum)))
    before = G.copy()
    whitener = whitener_of(G, ridge)
    np.testing.assert_array_equal(G, before)
    R, tolerance = whitener.R, rounding(G + ridge * np.eye(N), whitener)
    assert R.shape == (N, N)
    assert whitener.rank == N
    assert np.abs(R @ (G + ridge * np.eye(N)) @ R.T - np.eye(N)).max() <= tolerance
    np.testing.assert_array_equal(R, np.triu(R))
    assert R.flags.c_contiguous
    squares = spectrum**2
    # sum lambda / (lambda + ridge), of eigenvalues that are known to n eps of the largest.
    expected = (squares / (squares + ridge)).sum()
    assert whitener.size == pytest.approx(expected, abs=N * tolerance)
    if ridge == 0:
        assert whitener.offset is None
        assert whitener.size == N
    else:
        assert np.abs(whitener.offset - (np.eye(N) - R @ G @ R.T)).max() <= tolerance
        assert whitener.size == pytest.approx(N - np.trace(whitener.offset), abs=N * tolerance)


@pytest.mark.parametrize("rank", [1, 4, 11])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_of__leaves_out_directions_that_are_noise(rank, ridge):
    X = strategies.matrix_from_spectrum(N, D, np.linspace(1, 2, rank))
    G = gram_of(X)
    whitener = whitener_of(G, ridge)
    R = whitener.R
    assert whitener.rank == rank
    assert R.shape == (rank, N)
    np.testing.assert_array_equal(R, np.triu(R))
    tolerance = rounding(G + ridge * np.eye(N), whitener)
    assert np.abs(R @ (G + ridge * np.eye(N)) @ R.T - np.eye(rank)).max() <= tolerance
    # Its rows span the range of X: nothing of X is lost.
    inside = R.T @ np.linalg.solve(R @ R.T, R @ X)
    assert np.abs(inside - X).max() <= tolerance * np.linalg.norm(X, 2)


@pytest.mark.parametrize("kind", strategies.hard_matrices())
def test_of__whitens_every_hard_matrix(kind):
    X = strategies.hard_matrices(n=N, d=D)[kind].astype(np.float64)
    G = gram_of(X)
    whitener = whitener_of(G)
    values = np.linalg.eigvalsh(G)
    # Near the tolerance the rank is a matter of rounding; no matrix here comes near.
    assert whitener.rank == np.count_nonzero(values > 1e-12 * N * values[-1])
    V = whitener.apply(X)
    assert np.abs(V @ V.T - np.eye(whitener.rank)).max() <= rounding(G, whitener)
    assert whitener.size == whitener.rank


@pytest.mark.parametrize("scale", [1e-18, 1e-9, 1.0, 1e18])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_of__follows_the_scale_of_X(scale, ridge):
    G = gram_of(strategies.matrix_from_spectrum(N, D, np.linspace(1, 2, N)))
    plain, scaled = whitener_of(G, ridge), whitener_of(G * scale**2, ridge * scale**2)
    # Condition 4, and a rounding of G.
    assert np.allclose(scaled.R * scale, plain.R, rtol=0, atol=100 * N * EPS)
    assert scaled.size == pytest.approx(plain.size, rel=100 * N * EPS)


def test_of__zero_has_one_direction_that_weighs_nothing():
    whitener = whitener_of(np.zeros((4, 4)))
    assert whitener.rank == 1
    assert whitener.size == 0
    assert np.isfinite(whitener.R).all()


@pytest.mark.parametrize("storage", [scipy.sparse.csc_array, scipy.sparse.csr_array])
def test_apply__is_the_same_product_for_dense_and_sparse_columns(storage):
    X = strategies.sparse_matrix(N, D, density=0.5).toarray().astype(np.float64)
    whitener = whitener_of(gram_of(X))
    dense, sparse = whitener.apply(X), whitener.apply(storage(X))
    bound = 2 * tolerances.sum_error_bound(np.abs(whitener.R) @ np.abs(X), N)
    assert (np.abs(dense - sparse) <= bound).all()
    assert (np.abs(dense - whitener.R @ X) <= bound).all()
    assert dense.flags.c_contiguous
    assert sparse.flags.c_contiguous
    assert isinstance(sparse, np.ndarray)
