"""Choosers against plain NumPy over all columns at once, for any blocks and spans."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import reference
import strategies
from drivers import accumulate, block_dtype, serial
from streamsparse.accumulators.choosers import BestRatio, PoolChooser
from streamsparse.accumulators.picks import Picks
from streamsparse.accumulators.whitened import WhitenedPicker
from streamsparse.dense.balance import Balance

N, D = 16, 1500
STORAGES = [np.asarray, scipy.sparse.csc_array]
RATE = 1 / 64


@pytest.fixture(scope="module")
def X():
    """Columns of 0, 4, 8 or 16 entries +-1: balancing them at this rate is exact."""
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], (N, D))
    for j, count in enumerate(rng.choice([0, 4, 8, 16], D)):
        X[rng.permutation(N)[count:], j] = 0
    return X


def pick(X, chooser, *, dtype=np.float64, R=None, **options):
    picker = WhitenedPicker(
        rows=X.shape[0],
        block_dtype=block_dtype(X),
        R=np.eye(X.shape[0]) if R is None else R,
        squared_norms=np.ones(X.shape[0]),
        dtype=dtype,
        chooser=chooser,
    )
    return accumulate(picker, X, by_rows=False, **options)


def pool_chooser(always=(), dtype=np.float32):
    error = np.zeros((N, N), dtype)
    return PoolChooser(Balance(rate=RATE, error=error), np.array(always, np.int64))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("span", [128, 1 << 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pool__is_what_the_plain_loop_keeps_of_all_columns(X, storage, span, dtype):
    expected = np.array(reference.balance(X, RATE, 0.1 / RATE**2).factors)
    picks = pick(storage(X), pool_chooser(dtype=dtype), dtype=dtype, span=span)
    assert picks.columns.tolist() == np.flatnonzero(expected).tolist()
    np.testing.assert_array_equal(picks.scores, expected[expected > 0])


@pytest.mark.parametrize("storage", STORAGES)
def test_pool__keeps_some_columns_whatever_the_decider_says(X, storage):
    there = np.flatnonzero(X.any(axis=0))
    always = there[[0, 1, 2, 40, 255, 256, 257, 700, -1]]
    plain = pick(storage(X), pool_chooser())
    picks = pick(storage(X), pool_chooser(always))
    assert picks.columns.tolist() == sorted({*plain.columns.tolist(), *always.tolist()})
    dropped = ~np.isin(picks.columns, plain.columns)
    assert 0 < dropped.sum() < always.size
    assert not picks.scores[dropped].any()
    np.testing.assert_array_equal(picks.scores[~dropped], plain.scores)
    assert set(picks.keys.tolist()) == {1.0}


@given(data=st.data(), storage=st.sampled_from(STORAGES))
def test_pool__is_the_same_for_any_blocks(data, storage):
    X = storage(np.random.default_rng(1).standard_normal((N, 700)).astype(np.float32))

    def run(edges):
        always = np.array([3, 500])
        chooser = PoolChooser(Balance(rate=0.01, error=np.zeros((N, N), np.float32)), always)
        return pick(X, chooser, dtype=np.float32, edges=edges, span=512)

    whole, cut = run(None), run(data.draw(strategies.cuts(700)))
    np.testing.assert_array_equal(cut.columns, whole.columns)
    np.testing.assert_array_equal(cut.scores, whole.scores)


# Small integers: forms of integers are exact, and L may be negative.
LOWER = np.random.default_rng(2).integers(-3, 6, N).astype(np.float64)
UPPER = np.random.default_rng(3).integers(1, 4, N).astype(np.float64)


def a_ratio(count, interval):
    return BestRatio(LOWER, UPPER, count=count, interval=interval)


def ratios(X, interval):
    found = np.zeros(X.shape[1])
    for j in range(*interval):
        U = UPPER @ X[:, j] ** 2
        found[j] = max(0.0, LOWER @ X[:, j] ** 2 / U) if U else 0.0
    return found


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("count", [1, 20, 300, D])
@pytest.mark.parametrize("interval", [(0, D), (100, 700), (256, 257)])
@pytest.mark.parametrize("span", [128, 1 << 20])
def test_ratio__keeps_the_largest_in_its_interval(storage, count, interval, span):
    X = strategies.integer_matrix(N, D, "int8").astype(np.float64) * (np.arange(D) % 5 > 0)
    expected = ratios(X, interval)
    order = np.argsort(-expected, kind="stable")[:count]
    kept = np.sort(order[expected[order] > 0])
    picks = pick(storage(X), a_ratio(count, interval), span=span)
    assert picks.columns.tolist() == kept.tolist()
    np.testing.assert_array_equal(picks.scores, expected[kept])
    np.testing.assert_array_equal(picks.keys, expected[kept])


def test_ratio__holds_few_more_than_it_keeps():
    held = []

    class Watched(BestRatio):
        def compact(self, picks, *, is_final):
            super().compact(picks, is_final=is_final)
            held.append(picks.count)

    X = np.random.default_rng(3).standard_normal((N, D))
    picks = pick(X, Watched(np.ones(N), np.ones(N), count=20, interval=(0, D)), span=200)
    assert max(held) <= 40
    # All ratios are 1 but for rounding; ties or not, 20 stay.
    assert held[-1] == picks.count == 20


def test_ratio__gives_ties_to_the_first_columns():
    chooser = BestRatio(np.ones(N), np.ones(N), count=30, interval=(5, D))
    picks = pick(np.ones((N, 900)), chooser, span=128)
    assert picks.columns.tolist() == list(range(5, 35))


def test_choose__of_columns_outside_of_the_interval_is_nothing():
    keys, scores = a_ratio(5, (10, 20)).choose(np.arange(20, 30), np.ones((N, 10)), serial)
    assert not keys.any()
    assert not scores.any()


def test_compact__of_a_pool_keeps_all():
    picks = Picks()
    pool_chooser().compact(picks, is_final=True)
    assert picks.count == 0
