import numpy as np
import pytest

import strategies
from streamsparse.dense.linalg import (
    eigenpairs,
    loewner_error,
    product_with_transpose,
    rank_of,
    regularised_error,
    scaled_vectors,
    whitened_by_factor,
)
from streamsparse.methods.rounding import gram_rounding, rank_tolerance

EPS = np.finfo(np.float64).eps


@pytest.mark.parametrize("kind", strategies.named_matrices())
def test_eigenpairs__rebuild_the_matrix(kind):
    X = strategies.named_matrices()[kind].astype(np.float64)
    G = product_with_transpose(X)
    values, vectors = eigenpairs(G.copy())
    Y = scaled_vectors(values, vectors, G.shape[0])
    # Backward stability of eigh: the error is a modest multiple of n eps ||G||_2.
    assert np.abs(Y @ Y.T - G).max() <= 10 * G.shape[0] * EPS * max(values[0], 1e-300)
    assert (np.diff(values) <= 0).all()
    assert (values >= 0).all()


def test_eigenpairs__fix_the_signs_of_the_vectors():
    G = product_with_transpose(strategies.matrix_from_spectrum(9, 30, np.arange(9, 0, -1)))
    _, vectors = eigenpairs(G)
    largest = np.abs(vectors).argmax(axis=0)
    assert (vectors[largest, np.arange(9)] > 0).all()


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_rank_of__finds_the_rank(rank):
    X = strategies.matrix_from_spectrum(20, 400, np.ones(rank))
    values, _ = eigenpairs(product_with_transpose(X))
    assert rank_of(values, rank_tolerance(20)) == rank


def loewner(G, Y, rounding=0.0):
    return loewner_error(G, Y, rank_tolerance=1e-12, rounding=rounding)


def test_loewner_error__is_the_distortion_that_was_put_in():
    G = product_with_transpose(strategies.matrix_from_spectrum(10, 50, np.arange(1, 11)))
    values, vectors = eigenpairs(G.copy())
    scale = np.ones(10)
    scale[3], scale[7] = 1.2, 0.75
    Y = vectors * np.sqrt(values * scale)
    error = loewner(G, Y, rounding=1e-7)
    assert error.value == pytest.approx(0.25, rel=1e-10)
    assert error.rounding == pytest.approx(1e-7 * values.sum() / values[-1])


def test_loewner_error__is_one_where_a_direction_is_lost():
    G = product_with_transpose(strategies.matrix_from_spectrum(10, 50, np.ones(10)))
    values, vectors = eigenpairs(G.copy())
    assert loewner(G, scaled_vectors(values, vectors, 9)).value == 1.0
    assert loewner(G, np.zeros((10, 3))).value == 1.0


def test_loewner_error__is_infinite_where_Y_has_a_direction_that_X_lacks():
    G = np.diag([1.0, 0, 0, 0])
    assert loewner(G, np.diag([1.0, 5, 5, 5])).value == np.inf
    assert loewner(np.zeros((4, 4)), np.eye(4)).value == np.inf
    assert loewner(G, np.diag([1.0, 0, 0, 0])).value == pytest.approx(0, abs=4 * EPS)


def test_loewner_error__of_zero_against_zero_is_zero():
    assert loewner(np.zeros((4, 4)), np.zeros((4, 2))).value == 0.0


def test_gram_rounding__is_that_of_float32_tiles_or_of_float64_sums():
    assert gram_rounding(d=10**6, block_dtype=np.dtype("float32")) == pytest.approx(257 * 2.0**-24)
    assert gram_rounding(d=1000, block_dtype=np.dtype("float64")) == 1001 * 2.0**-53
    assert gram_rounding(d=1000, block_dtype=np.dtype("int8")) == 1001 * 2.0**-53


def brute_force_regularised(G, F, r):
    """max |x^T (F - G) x| / x^T (G + r I) x by the eigenvalues of the whitened difference."""
    values, vectors = np.linalg.eigh(G + r * np.eye(G.shape[0]))
    W = vectors / np.sqrt(values)
    return np.abs(np.linalg.eigvalsh(W.T @ (F - G) @ W)).max()


@pytest.mark.parametrize("rank", [1, 5, 10])
@pytest.mark.parametrize("r", [1e-3, 1.0, 100.0])
def test_regularised_error__equals_brute_force(rank, r):
    X = strategies.matrix_from_spectrum(10, 50, np.arange(10, 0, -1))
    G = product_with_transpose(X)
    values, vectors = eigenpairs(G.copy())
    Y = scaled_vectors(values, vectors, rank) * np.linspace(0.8, 1.3, 10)[:, None]
    F = product_with_transpose(Y)
    error = regularised_error(G, F, r=r, rounding=1e-7)
    # Condition number of G + r I: at most 1 + 100 / r; n eps of it.
    expected = brute_force_regularised(G, F, r)
    assert error.value == pytest.approx(expected, rel=100 * EPS * (1 + 100 / r))
    assert error.rounding == pytest.approx(1e-7 * values.sum() / r)


def test_regularised_error__of_a_truncation_is_the_first_eigenvalue_lost():
    X = strategies.matrix_from_spectrum(10, 50, np.arange(10, 0, -1))
    G = product_with_transpose(X)
    values, vectors = eigenpairs(G.copy())
    for rank in range(10):
        F = product_with_transpose(scaled_vectors(values, vectors, rank))
        expected = values[rank] / (values[rank] + 3)
        found = regularised_error(G, F, r=3.0, rounding=0.0).value
        assert found == pytest.approx(expected, rel=1000 * EPS * 34)
    assert regularised_error(G, G, r=3.0, rounding=0.0).value == 0


def test_regularised_error__of_r_zero_is_nothing_or_everything():
    zero = np.zeros((4, 4))
    assert regularised_error(zero, zero, r=0.0, rounding=0.1) == (0.0, 0.0)
    assert regularised_error(zero, np.eye(4), r=0.0, rounding=0.1) == (np.inf, 0.0)


def test_whitened_by_factor__solves_with_the_shifted_matrix():
    F = product_with_transpose(strategies.matrix_from_spectrum(10, 50, np.arange(1, 11)))
    products = np.random.default_rng(0).standard_normal((10, 3))
    whitened = whitened_by_factor(F.copy(), products, 2.0)
    expected = products.T @ np.linalg.inv(F + 2 * np.eye(10)) @ products
    # Condition number 51.
    error = np.abs(whitened.T @ whitened - expected).max()
    assert error <= 51 * 100 * EPS * np.abs(expected).max()
