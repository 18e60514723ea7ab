"""Sequential balancing against a plain loop, and Theorem 4 for any order of any columns."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import reference
import strategies
import tolerances
from drivers import serial
from streamsparse.dense.balance import KEEP_ALL, Balance, rate_for, thin

EPS = np.finfo(np.float64).eps
# lam of THEORY 3.6 times rate^2: 5 % more error, sqrt(11 m) columns.
SLACK = 0.1
KINDS = ["gaussian", "power law", "heavy"]


def balanced(V, rate, *, edges=None, error=None, dtype=np.float64):
    """(factors, tau, the balance) of the columns, in tiles cut at ``edges``."""
    k, d = V.shape
    balance = Balance(rate=rate, error=np.zeros((k, k), dtype) if error is None else error)
    edges = range(0, d + 256, 256) if edges is None else edges
    parts = [
        balance.choose(np.ascontiguousarray(V[:, a:b], dtype), serial)
        for a, b in pairwise(edges)
        if a < min(b, d)
    ]
    factors, tau = (np.concatenate(part) for part in zip(*parts, strict=True))
    return factors, tau, balance


def exact_columns(k, d, seed=0):
    """Columns of 0, 4, 8 or 16 entries +-1: with rate 1 / 32 all of balancing is exact."""
    rng = np.random.default_rng(seed)
    V = rng.choice([-1.0, 1.0], (k, d))
    for j, count in enumerate(rng.choice([0, 4, 8, 16], d)):
        V[rng.permutation(k)[count:], j] = 0
    return V


def kept_minus_seen(V, factors):
    return (V * factors) @ V.T - V @ V.T


@pytest.mark.parametrize("k", [16, 70, 150])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_choose__decides_as_the_plain_loop_where_all_is_exact(k, dtype):
    V, rate = exact_columns(k, 400), 1 / 32
    expected = reference.balance(V, rate, SLACK / rate**2)
    factors, tau, balance = balanced(V, rate, dtype=dtype)
    assert factors.tolist() == expected.factors
    assert {0, 2, 4} <= set(factors.tolist()) <= {0, 2, 4, 8}
    assert tau.tolist() == (V * V).sum(axis=0).tolist()
    assert balance.surplus == expected.surplus
    np.testing.assert_array_equal(np.tril(balance.error), np.tril(expected.error))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 12, 70])
def test_choose__decides_as_the_plain_loop_on_any_columns(kind, k):
    # A decision that rounding could turn is one of 1e10; none is among these.
    V = strategies.uneven_columns(k, 600, kind)
    V[:, 17] = 0
    rate = 250 / k
    expected = reference.balance(V, rate, SLACK / rate**2)
    factors, tau, balance = balanced(V, rate)
    assert (factors > 0).tolist() == [factor > 0 for factor in expected.factors]
    # k roundings of tau, two more of 1 / p.
    assert np.allclose(factors, expected.factors, rtol=(k + 4) * EPS, atol=0)
    assert factors[17] == tau[17] == 0
    assert balance.surplus == pytest.approx(expected.surplus, abs=600 * (k + 4) * EPS)


@given(cuts=strategies.cuts(300), k=st.sampled_from([16, 70]))
def test_choose__does_not_mind_where_tiles_end(cuts, k):
    """Exactly where all is exact; elsewhere scores are rounded in another order."""
    V = exact_columns(k, 300)
    whole, _, first = balanced(V, 1 / 32)
    cut, _, second = balanced(V, 1 / 32, edges=cuts)
    np.testing.assert_array_equal(cut, whole)
    np.testing.assert_array_equal(np.tril(second.error), np.tril(first.error))
    assert second.surplus == first.surplus


@pytest.mark.parametrize("kind", KINDS)
def test_choose__keeps_the_same_columns_in_other_tiles(kind):
    # Scores differ by rounding, and factors as tau; decisions of 600 columns do not.
    V = strategies.uneven_columns(20, 600, kind)
    whole, _, _ = balanced(V, 10.0)
    cut, _, _ = balanced(V, 10.0, edges=[0, 1, 100, 333, 600])
    np.testing.assert_array_equal(cut > 0, whole > 0)
    assert np.allclose(cut, whole, rtol=22 * EPS, atol=0)


@given(data=st.data(), kind=st.sampled_from(KINDS), expected=st.integers(5, 120))
def test_theorem__bounds_the_error_for_any_order_of_the_columns(data, kind, expected):
    k, d = data.draw(st.sampled_from([2, 9])), 150
    seed = data.draw(st.integers(0, 2**32 - 1))
    V = strategies.uneven_columns(k, d, kind, seed)
    order = data.draw(st.sampled_from(["random", "ascending", "descending", "sorted"]))
    tau = np.einsum("ij,ij->j", V, V)
    orders = {"ascending": np.argsort(tau), "descending": np.argsort(-tau)}
    orders |= {"random": np.arange(d), "sorted": np.argsort(V[0])}
    V, tau = V[:, orders[order]], tau[orders[order]]
    rate = expected / k
    p = np.minimum(1, rate * tau)
    factors, _, balance = balanced(V, rate)
    lam = SLACK / rate**2
    bound = ((1 / p - 1) * tau**2).sum() + lam * (p * (1 - p)).sum()
    error = kept_minus_seen(V, factors)
    surplus = np.count_nonzero(factors) - p.sum()
    # d additions round E, whose terms add up to at most (sum of factors tau + k) in norm.
    rounding = tolerances.sum_error_bound((factors * tau).sum() + k, 2 * d + k)
    assert np.sqrt((error**2).sum() + lam * surplus**2) <= math.sqrt(bound) + rounding
    assert balance.surplus == pytest.approx(surplus, abs=d * (d + k) * EPS)
    # (1 / p - 1) tau^2 is at most p / rate^2: both sums are.
    assert abs(surplus) <= math.sqrt(11 * p.sum()) + d * (d + k) * EPS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_error__is_what_was_kept_minus_what_has_passed(kind, dtype):
    k, d = 150, 600
    V = strategies.uneven_columns(k, d, kind).astype(dtype)
    start = np.random.default_rng(3).standard_normal((k, k)).astype(dtype)
    factors, _, balance = balanced(V, 2.0, error=np.tril(start), dtype=dtype)
    V = V.astype(np.float64)
    expected = start + kept_minus_seen(V, factors)
    magnitude = np.abs(start) + (np.abs(V) * (factors + 1)) @ np.abs(V).T
    bound = tolerances.sum_error_bound(magnitude, 2 * d + k + 8, dtype)
    assert (np.abs(balance.error - expected) <= bound)[np.tril_indices(k)].all()


def test_choose__makes_up_for_an_error_that_is_there():
    # Too much along the first axis: columns along it are dropped, the others kept.
    V = np.repeat(np.eye(2), 20, axis=1) / 10
    factors, _, _ = balanced(V, 50.0, error=np.diag([10.0, -10.0]))
    assert not factors[:20].any()
    assert (factors[20:] > 0).all()


def test_choose__keeps_what_weighs_enough_as_it_is():
    V = strategies.uneven_columns(10, 300, "heavy")
    tau = np.einsum("ij,ij->j", V, V)
    factors, found, _ = balanced(V, 5.0)
    sure = tau * 5 >= 1
    assert 3 <= sure.sum() < 30
    assert (factors[sure] == 1).all()
    assert np.allclose(found, tau, rtol=10 * EPS, atol=0)
    everything, _, whole = balanced(V, 1 / tau.min() * 2)
    assert (everything == 1).all()
    assert not whole.error.any()
    assert whole.surplus == 0


@pytest.mark.parametrize("length", [0.1, 1, 1.0000002])
def test_choose__keeps_all_at_the_largest_rate(length):
    # The rate of method "select" where the pool has room for all columns; in float32 columns of
    # leverage one may be a little longer.
    V = np.repeat(np.eye(6), 7, axis=1) * length
    factors, _, balance = balanced(V, KEEP_ALL, dtype=np.float32)
    assert (factors == 1).all()
    assert balance.surplus == 0


@given(
    tau=st.lists(st.floats(1e-6, 1e6) | st.just(0.0), min_size=1, max_size=40).map(np.array),
    count=st.integers(1, 40),
)
def test_rate_for__keeps_as_many_as_asked(tau, count):
    rate, there = rate_for(tau, count), np.count_nonzero(tau)
    expected = np.minimum(1, rate * tau).sum()
    # A sum of all tau, a quotient and a sum of as many p: 2 d + 2 roundings, (count - h) <= count.
    assert expected == pytest.approx(min(count, there), rel=(2 * tau.size + 2) * EPS)


def test_rate_for__keeps_heavy_columns_surely():
    tau = np.array([1.0, 1000, 1, 1, 500, 1, 0])
    rate = rate_for(tau, 4)
    assert rate == 0.5
    assert np.minimum(1, rate * tau).tolist() == [0.5, 1, 0.5, 0.5, 1, 0.5, 0]
    assert rate_for(np.zeros(3), 2) == KEEP_ALL


@pytest.mark.parametrize("tau", [[1.0, 0.5, 0.5, 1e-20], [1e20, 1.0, 1e-30, 1e-31]])
def test_rate_for__keeps_as_many_as_asked_where_the_others_weigh_nothing(tau):
    tau = np.array(tau)
    count = np.count_nonzero(tau > 1e-19)
    assert np.minimum(1, rate_for(tau, count) * tau).sum() == pytest.approx(count, rel=10 * EPS)


@example(np.array([49.0]))
@given(tau=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=9).map(np.array))
def test_rate_for__keeps_all_surely_where_there_are_no_more(tau):
    assert (rate_for(tau, tau.size) * tau >= 1).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [30, 200])
def test_thin__keeps_about_as_many_that_stand_for_the_others(kind, count):
    k, d = 12, 600
    V = strategies.uneven_columns(k, d, kind)
    weights = np.random.default_rng(4).uniform(0, 2, d) * (np.arange(d) % 5 > 0)
    wanted = np.eye(k)
    error = (V * weights) @ V.T - wanted
    tau = weights * np.einsum("ij,ij->j", V, V)
    rate = rate_for(tau, count)
    p = np.minimum(1, rate * tau)
    terms = np.where(p > 0, (1 / np.where(p > 0, p, 1) - 1) * tau**2, 0)
    lam = SLACK / rate**2
    bound = (error**2).sum() + terms.sum() + lam * (p * (1 - p)).sum()
    kept = thin(V, weights, error.copy(), count=count, each=serial)
    left = (V * kept) @ V.T - wanted
    assert np.square(left).sum() <= bound * (1 + 2 * d * EPS)
    used = kept > 0
    # Theorem 4 again, of an error that did not begin at zero.
    assert lam * (used.sum() - count) ** 2 <= bound
    assert not (used & (weights == 0)).any()
    assert np.allclose(kept[used], (weights / np.where(p > 0, p, 1))[used], rtol=4 * k * EPS)
    assert (kept >= 0).all()
