"""Choices of m columns: never more than m, never worse than where they began."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from drivers import serial
from streamsparse.dense.barriers import Schedule
from streamsparse.dense.choice import (
    Care,
    choose_balanced,
    improve,
    keep_strongest,
    refill,
    resize,
)
from streamsparse.dense.polish import NONE, QUICK, THOROUGH
from streamsparse.dense.pool import Pool

EPS = np.finfo(np.float64).eps
KINDS = ["gaussian", "power law", "heavy"]
CARES = [Care(0, NONE, NONE), Care(0, NONE, QUICK), Care(3, QUICK, NONE)]


def pool_of(k, d, kind, *, seed=0, ridge=0.0):
    """A pool with sum v v^T + offset = I."""
    V = strategies.uneven_columns(k, d, kind, seed) * np.sqrt(1 - ridge)
    return Pool(V, ridge * np.eye(k) if ridge else None, serial)


def count_of(weights):
    return np.count_nonzero(weights)


@settings(max_examples=50)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
    m=st.integers(1, 50),
    ridge=st.sampled_from([0.0, 0.3]),
    care=st.sampled_from(CARES),
)
def test_choose_balanced__takes_at_most_m_columns(kind, seed, m, ridge, care):
    pool = pool_of(5, 60, kind, seed=seed, ridge=ridge)
    found = choose_balanced(pool, np.ones(60), m, care)
    assert count_of(found.weights) <= m
    assert (found.weights >= 0).all()
    assert found.epsilon == pytest.approx(pool.distortion(found.weights)[0], abs=1000 * EPS)


@settings(max_examples=50)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
    ridge=st.sampled_from([0.0, 0.3]),
    care=st.sampled_from(CARES),
)
def test_improve__is_never_worse_than_its_start(kind, seed, ridge, care):
    pool, m = pool_of(5, 60, kind, seed=seed, ridge=ridge), 20
    rng = np.random.default_rng(seed)
    weights = np.zeros(60)
    weights[rng.choice(60, m, replace=False)] = rng.uniform(1, 5, m)
    before = weights.copy()
    found = improve(pool, weights, m, care)
    np.testing.assert_array_equal(weights, before)
    # The same sums with and without columns of weight zero.
    assert found.epsilon <= pool.distortion(weights)[0] + 1000 * EPS
    assert count_of(found.weights) <= m


@pytest.mark.parametrize("seed", range(3))
def test_improve__throws_an_exchange_away_that_does_not_pay(seed):
    # Columns that are not polished after an exchange are worse than those that were.
    pool = pool_of(6, 100, "gaussian", seed=seed)
    start = choose_balanced(pool, np.ones(100), 24, Care(3, QUICK, THOROUGH))
    again = improve(pool, start.weights, 24, Care(3, NONE, NONE))
    assert again.epsilon == pytest.approx(start.epsilon, abs=1000 * EPS)
    np.testing.assert_array_equal(again.weights > 0, start.weights > 0)


@pytest.mark.parametrize("seed", range(3))
def test_improve__by_exchange_beats_polishing_alone(seed):
    pool = pool_of(12, 600, "gaussian", seed=seed)
    start = choose_balanced(pool, np.ones(600), 48, Care(0, NONE, NONE))
    polished = improve(pool, start.weights, 48, Care(0, NONE, THOROUGH))
    exchanged = improve(pool, start.weights, 48, Care(5, QUICK, THOROUGH))
    assert exchanged.epsilon < 0.9 * polished.epsilon < 0.9 * start.epsilon
    assert count_of(exchanged.weights) <= 48
    assert (exchanged.weights > 0).tolist() != (polished.weights > 0).tolist()


def test_keep_strongest__keeps_the_largest_contributions_and_their_sum():
    V = np.diag([1.0, 2, 3, 4])
    weights = np.array([16.0, 1, 1, 2])  # times ||v||^2: 16, 4, 9, 32
    kept = keep_strongest(Pool(V, None, serial), weights, 2)
    assert kept == pytest.approx(np.array([16, 0, 0, 2]) * 61 / 48, rel=4 * EPS)
    everything = keep_strongest(Pool(V, None, serial), weights, 4)
    np.testing.assert_array_equal(everything, weights)
    assert not keep_strongest(Pool(V, None, serial), weights, 0).any()
    assert not keep_strongest(Pool(V, None, serial), np.zeros(4), 2).any()


def test_keep_strongest__gives_ties_to_the_first():
    kept = keep_strongest(Pool(np.ones((1, 5)), None, serial), np.ones(5), 3)
    np.testing.assert_array_equal(kept > 0, [1, 1, 1, 0, 0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("m", [8, 12, 40])
def test_refill__keeps_what_is_there_and_stays_within_barriers_around_it(kind, ridge, m):
    k, d = 6, 200
    pool = pool_of(k, d, kind, ridge=ridge)
    weights = np.zeros(d)
    weights[::40] = 10 * pool.tau[::40] / pool.tau[::40].sum()
    filled = refill(pool, weights, m)
    there = weights > 0
    # Times the scale and divided by it.
    assert np.allclose(filled[there], weights[there], rtol=2 * EPS, atol=0)
    added = count_of(filled) - 5
    assert 0 < added <= m - 5
    kappa = max(2.0, m / k)
    schedule, scale = Schedule(k, kappa), kappa * k
    lower, upper = schedule.around(np.linalg.eigvalsh(scale * pool.matrix(weights)))
    values = np.linalg.eigvalsh(scale * pool.matrix(filled))
    assert lower + added < values[0]
    assert values[-1] < upper + added * schedule.upper_step


def test_refill__adds_nothing_where_nothing_is_missing():
    pool = pool_of(4, 30, "gaussian")
    weights = np.where(np.arange(30) < 9, 1.0, 0.0)
    for m in (3, 9):
        np.testing.assert_array_equal(refill(pool, weights, m), weights)


def test_refill__from_nothing_keeps_the_promise_of_its_barriers():
    k, m = 6, 54
    pool = pool_of(k, 400, "gaussian")
    filled = refill(pool, np.zeros(400), m)
    # Without repeats some step may find nothing; among 400 Gaussian columns none does.
    assert count_of(filled) == m
    assert pool.distortion(filled)[0] <= 0.6  # 2 sqrt(9) / 10
    values = np.linalg.eigvalsh((pool.V * filled) @ pool.V.T)
    # Barriers after 54 steps of kappa = 9, in units of kappa k: 36 and 144.
    assert values[0] > 36 / 54
    assert values[-1] < 144 / 54


@pytest.mark.parametrize("m", [5, 20, 40])
def test_resize__gives_at_most_m_columns(m):
    pool = pool_of(4, 100, "power law")
    weights = np.where(np.arange(100) % 5 == 0, 5.0, 0.0)
    sized = resize(pool, weights, m)
    assert count_of(sized) <= m
    expected = keep_strongest(pool, weights, m) if m < 20 else refill(pool, weights, m)
    np.testing.assert_array_equal(sized, expected)
