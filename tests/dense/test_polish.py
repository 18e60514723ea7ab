"""Polished weights: never worse, never negative, and as good as the convex problem allows."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from drivers import serial
from streamsparse.dense.polish import NONE, QUICK, THOROUGH, Effort, polish
from streamsparse.dense.pool import Pool

EPS = np.finfo(np.float64).eps
KINDS = ["gaussian", "power law", "heavy"]


def pool_of(V, offset=None):
    return Pool(np.ascontiguousarray(V), offset, serial)


def measured(pool, weights):
    """The distortion by plain NumPy."""
    A = (pool.V * weights) @ pool.V.T + (0 if pool.offset is None else pool.offset)
    values = np.linalg.eigvalsh(A)
    if pool.offset is not None:
        return np.abs(values - 1).max()
    return (values[-1] - values[0]) / (values[-1] + values[0])


def a_start(pool, seed, share=0.5):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 2, pool.size) * (rng.random(pool.size) < share)


@settings(max_examples=50)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 2**32 - 1),
    effort=st.sampled_from([THOROUGH, QUICK, NONE, Effort((2,), 3)]),
    with_offset=st.booleans(),
)
def test_polish__is_never_worse_and_keeps_zeros(kind, seed, effort, with_offset):
    V = strategies.uneven_columns(5, 40, kind, seed)
    offset = np.diag(np.linspace(0.1, 0.5, 5)) if with_offset else None
    pool = pool_of(V, offset)
    weights = a_start(pool, seed)
    before, start = weights.copy(), pool.distortion(weights)[0]
    polished = polish(pool, weights, effort)
    np.testing.assert_array_equal(weights, before)
    assert polished.epsilon <= start
    assert (polished.weights >= 0).all()
    assert not polished.weights[weights == 0].any()
    # Eigenvalues of about 1, and of k = 5 dimensions; the scale is that of the largest.
    assert polished.epsilon == pytest.approx(measured(pool, polished.weights), abs=1000 * EPS)


@pytest.mark.parametrize("kind", ["gaussian", "power law"])
@pytest.mark.parametrize("with_offset", [False, True])
def test_polish__improves_what_is_not_the_best(kind, with_offset):
    k = 8
    offset = np.eye(k) * 0.3 if with_offset else None
    pool = pool_of(strategies.uneven_columns(k, 60, kind), offset)
    weights = a_start(pool, 1)
    start = pool.distortion(weights)[0]
    quick, thorough = (polish(pool, weights, effort).epsilon for effort in (QUICK, THOROUGH))
    assert thorough <= quick < 0.9 * start


def test_polish__of_no_columns_says_what_nothing_is_worth():
    V = strategies.uneven_columns(4, 20, "gaussian")
    none = np.zeros(20)
    assert polish(pool_of(V), none, THOROUGH).epsilon == 1.0
    polished = polish(pool_of(V, np.eye(4) / 4), none, THOROUGH)
    assert polished.epsilon == 0.75
    assert not polished.weights.any()


def test_polish__without_effort_only_scales():
    pool = pool_of(strategies.uneven_columns(4, 20, "gaussian"))
    weights = a_start(pool, 2)
    polished = polish(pool, weights, NONE)
    epsilon, scaled = pool.distortion(weights)
    # The same sums, with and without the columns of weight zero.
    assert polished.epsilon == pytest.approx(epsilon, abs=1000 * EPS)
    assert np.allclose(polished.weights, scaled, rtol=1000 * EPS, atol=0)


def test_polish__finds_the_identity_among_near_duplicates():
    # Weights of 8 groups are all that matters but for 1e-6: the best is within 1e-6 of I, and a
    # problem in 8 variables is solved well beyond that.
    rng = np.random.default_rng(0)
    V = np.repeat(np.eye(8), 12, axis=1) + 1e-6 * rng.standard_normal((8, 96))
    pool = pool_of(V)
    weights = a_start(pool, 0, share=0.7)
    assert pool.distortion(weights)[0] > 0.1
    assert polish(pool, weights, THOROUGH).epsilon <= 1e-4


@pytest.mark.parametrize("k", [2, 4, 6])
def test_polish__finds_the_identity_where_there_are_columns_enough(k):
    # Caratheodory: weights of k (k + 1) / 2 columns make I of it. Columns that number four times
    # that have such weights near those of all columns, which are 1; L-BFGS stops within a percent.
    pool = pool_of(strategies.uneven_columns(k, 2 * k * (k + 1), "gaussian"))
    weights = a_start(pool, 3, share=1)
    assert pool.distortion(weights)[0] > 0.05
    assert polish(pool, weights, THOROUGH).epsilon <= 0.01


@pytest.mark.parametrize("p", [1, 2, 8])
@pytest.mark.parametrize("with_offset", [False, True])
def test_objective__is_a_schatten_norm_and_has_its_gradient(monkeypatch, p, with_offset):
    k, offset = 5, np.diag(np.linspace(0.1, 0.5, 5)) if with_offset else None
    pool = pool_of(strategies.uneven_columns(k, 30, "power law"), offset)
    weights = a_start(pool, 4)
    used, seen = np.flatnonzero(weights), []
    _, start = pool.distortion(weights)

    def watch(evaluate, x, *, args, jac, method, bounds, options):
        rng = np.random.default_rng(5)
        for _ in range(3):
            at = rng.uniform(0.5, 1.5, x.size)
            seen.append((at, *evaluate(at, *args)))
        assert options == {"maxiter": 7}
        assert bounds == [(0, None)] * used.size
        return scipy.optimize.OptimizeResult(x=x)

    def objective(x):
        A = (pool.V[:, used] * (start[used] * x)) @ pool.V[:, used].T
        values = np.linalg.eigvalsh(A + (0 if offset is None else offset))
        return (np.abs(values - 1) ** (2 * p)).sum() ** (1 / (2 * p))

    monkeypatch.setattr(scipy.optimize, "minimize", watch)
    polish(pool, weights, Effort((p,), 7))
    assert len(seen) == 3
    step = EPS ** (1 / 3)
    for at, value, gradient in seen:
        assert value == pytest.approx(objective(at), rel=1000 * EPS)
        # Central differences: step^2 of the third derivative, a modest multiple of p^2 of the
        # value, and as much of its rounding, eps / step.
        found = scipy.optimize.approx_fprime(at, objective, step)
        back = scipy.optimize.approx_fprime(at, objective, -step)
        assert np.abs((found + back) / 2 - gradient).max() <= 100 * p**2 * step**2 * value


def test_objective__of_the_identity_is_zero_and_flat():
    polished = polish(pool_of(np.eye(3)), np.ones(3), THOROUGH)
    assert polished.epsilon == 0
    np.testing.assert_array_equal(polished.weights, np.ones(3))
