"""Pools against plain NumPy, with and without an offset."""

import numpy as np
import pytest

import strategies
import tolerances
from drivers import serial
from streamsparse.dense.pool import Pool
from streamsparse.running.threads import worker_threads

EPS = np.finfo(np.float64).eps


def a_pool(k, size, *, with_offset=False, each=serial):
    rng = np.random.default_rng(k)
    offset = None
    if with_offset:
        half = rng.standard_normal((k, k)) / k
        offset = half @ half.T
    return Pool(rng.standard_normal((k, size)), offset, each)


def some_weights(size):
    rng = np.random.default_rng(size)
    return rng.random(size) * (rng.random(size) < 0.6)


def plain_matrix(pool, weights):
    A = np.zeros((len(pool.V), len(pool.V))) if pool.offset is None else pool.offset.copy()
    for v, weight in zip(pool.V.T, weights, strict=True):
        A = A + weight * np.outer(v, v)
    return A


SIZES = [(1, 1), (7, 30), (20, 2500), (300, 40)]


@pytest.mark.parametrize(("k", "size"), SIZES)
@pytest.mark.parametrize("with_offset", [False, True])
def test_matrix__is_the_weighted_sum(k, size, with_offset):
    pool, weights = a_pool(k, size, with_offset=with_offset), some_weights(size)
    A = pool.matrix(weights)
    magnitude = (np.abs(pool.V) * weights) @ np.abs(pool.V).T
    magnitude += 0 if pool.offset is None else np.abs(pool.offset)
    bound = 2 * tolerances.sum_error_bound(magnitude, size + 3)
    assert (np.abs(A - plain_matrix(pool, weights)) <= bound).all()
    np.testing.assert_array_equal(A, A.T)


def test_matrix__of_no_columns_is_the_offset_and_leaves_it_alone():
    pool = a_pool(7, 30, with_offset=True)
    before = pool.offset.copy()
    np.testing.assert_array_equal(
        pool.matrix(np.zeros(30)), np.tril(before) + np.tril(before, -1).T
    )
    pool.matrix(np.ones(30))
    np.testing.assert_array_equal(pool.offset, before)
    assert not a_pool(7, 30).matrix(np.zeros(30)).any()


def test_matrix__of_integers_is_exact_and_does_not_read_columns_of_weight_zero():
    V = strategies.integer_matrix(9, 1500, "int8").astype(np.float64)
    weights = (np.arange(1500) % 3).astype(np.float64)
    expected = (V * weights) @ V.T
    V[:, weights == 0] = np.nan
    np.testing.assert_array_equal(Pool(V, None, serial).matrix(weights), expected)


@pytest.mark.parametrize("threads", [2, 5])
def test_matrix_and_forms__have_the_same_bits_for_any_threads(threads):
    weights, coefficients = some_weights(2500), np.random.default_rng(1).random((2, 300))
    alone = a_pool(300, 2500)
    with worker_threads(threads) as each:
        pool = a_pool(300, 2500, each=each)
        np.testing.assert_array_equal(pool.matrix(weights), alone.matrix(weights))
        vectors = np.eye(300)[::-1]
        found = pool.forms(vectors, coefficients)
    np.testing.assert_array_equal(found, alone.forms(vectors, coefficients))


@pytest.mark.parametrize(("k", "size"), SIZES)
def test_forms__are_sums_of_squares(k, size):
    pool, rng = a_pool(k, size), np.random.default_rng(2)
    vectors, coefficients = rng.standard_normal((k, k)), rng.standard_normal((2, k))
    found = pool.forms(vectors, coefficients)
    for row, terms in zip(found, coefficients, strict=True):
        M = (vectors * terms) @ vectors.T
        expected = np.array([v @ M @ v for v in pool.V.T])
        # Three products of k terms each.
        inner = np.abs(vectors) @ np.abs(terms * np.abs(vectors)).T
        magnitude = np.einsum("ij,ij->j", np.abs(pool.V), inner @ np.abs(pool.V))
        assert (np.abs(row - expected) <= 2 * tolerances.sum_error_bound(magnitude, 4 * k)).all()


def test_take__keeps_offset_and_the_columns_in_order():
    pool = a_pool(7, 30, with_offset=True)
    taken = pool.take(np.array([20, 3, 3]))
    np.testing.assert_array_equal(taken.V, pool.V[:, [20, 3, 3]])
    assert taken.V.flags.c_contiguous
    assert taken.offset is pool.offset
    assert (pool.size, taken.size) == (30, 3)


def test_tau__is_the_squared_length():
    pool = a_pool(20, 100)
    expected = np.array([v @ v for v in pool.V.T])
    assert (np.abs(pool.tau - expected) <= tolerances.sum_error_bound(2 * expected, 20)).all()


def spectrum_of(pool, weights):
    return np.linalg.eigvalsh(plain_matrix(pool, weights))


@pytest.mark.parametrize(("k", "size"), [(1, 3), (7, 30), (20, 2500)])
def test_distortion__is_centred_without_an_offset(k, size):
    pool, weights = a_pool(k, size), some_weights(size) + 0.1
    epsilon, scaled = pool.distortion(weights)
    low, high = spectrum_of(pool, weights)[[0, -1]]
    # Eigenvalues move by 10 k eps of the largest, the sum by size eps; low + high is at least high.
    tolerance = 4 * (10 * k + size) * EPS
    assert epsilon == pytest.approx((high - low) / (high + low), abs=tolerance)
    assert np.allclose(scaled, weights * 2 / (high + low), rtol=tolerance, atol=0)
    # These are the scaled weights' own extremes: 1 -+ epsilon.
    extremes = spectrum_of(pool, scaled)[[0, -1]]
    assert np.abs(extremes - [1 - epsilon, 1 + epsilon]).max() <= tolerance
    again, same = pool.distortion(weights * 1e6)
    assert again == pytest.approx(epsilon, abs=tolerance)
    assert np.allclose(same, scaled, rtol=tolerance, atol=0)


@pytest.mark.parametrize("factor", [0.0, 1e-3, 1 / 30, 1.0])
def test_distortion__with_an_offset_leaves_the_weights_alone(factor):
    pool, weights = a_pool(7, 30, with_offset=True), some_weights(30) * factor
    epsilon, same = pool.distortion(weights)
    values = spectrum_of(pool, weights)
    assert epsilon == pytest.approx(np.abs(values - 1).max(), abs=100 * 7 * EPS * values[-1])
    np.testing.assert_array_equal(same, weights)


def test_distortion__is_one_where_directions_are_missing():
    pool = a_pool(7, 30)
    epsilon, same = pool.distortion(np.zeros(30))
    assert epsilon == 1.0
    assert not same.any()
    few = np.where(np.arange(30) < 6, 1.0, 0.0)
    # The seventh eigenvalue is 0, up to 10 k eps.
    assert pool.distortion(few)[0] == pytest.approx(1.0, abs=20 * 7 * EPS)
