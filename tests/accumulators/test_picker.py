"""Picked columns against a brute-force twin, and their bits against every way of reading."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import reference
import strategies
import tolerances
from drivers import accumulate, block_dtype, dense_values
from streamsparse.accumulators.picker import ColumnPicker
from streamsparse.accumulators.rules import (
    GivenColumns,
    PoissonRule,
    PriorityRule,
    priority_slack,
)
from streamsparse.errors import BudgetTooSmallError
from streamsparse.running.threads import worker_threads
from streamsparse.sketching.draws import COLUMN_SAMPLE

N, D, T = 20, 3000, 6
SEED = 11


@pytest.fixture(scope="module")
def X():
    """Small integers of very uneven columns: scores are exact, in any order of additions."""
    X = strategies.integer_matrix(N, D, "int32", high=3)
    X[:, 5::7] *= 10
    X[:, ::3] = 0
    return X


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(2).integers(-2, 3, (N, T)).astype(np.float64)


@pytest.fixture(scope="module")
def uniforms():
    return np.array([reference.uniform(SEED, j, COLUMN_SAMPLE) for j in range(D)])


def scores_of(X, vectors):
    return np.square(vectors.T @ X.astype(np.float64)).sum(axis=0)


def pick(X, rule, vectors, **options):
    picker = ColumnPicker(rows=X.shape[0], rule=rule, block_dtype=block_dtype(X), vectors=vectors)
    return accumulate(picker, X, by_rows=False, **options)


STORAGES = [np.asarray, np.asfortranarray, scipy.sparse.csr_array, scipy.sparse.csc_array]


@pytest.mark.parametrize("storage", STORAGES)
def test_poisson__keeps_the_columns_of_the_brute_force_twin(X, vectors, uniforms, storage):
    scores = scores_of(X, vectors)
    rate = 100 / scores.sum()
    p = np.minimum(1, rate * scores)
    expected = np.flatnonzero(uniforms < p)
    picks = pick(storage(X), PoissonRule(rate, D, SEED), vectors)
    assert picks.columns.tolist() == expected.tolist()
    # A mean of 100 and a standard deviation of 10 at most.
    assert 50 < expected.size < 150
    np.testing.assert_array_equal(picks.scores, scores[expected])
    np.testing.assert_array_equal(picks.keys, p[expected])
    np.testing.assert_array_equal(dense_values(picks, N), X[:, expected])


def test_poisson__keeps_heavy_columns_surely_and_zero_columns_never(X, vectors):
    picks = pick(X, PoissonRule(1e300, D, SEED), vectors)
    assert picks.columns.tolist() == np.flatnonzero(scores_of(X, vectors)).tolist()
    assert set(picks.keys.tolist()) == {1.0}


def test_poisson__refuses_more_columns_than_memory_was_planned_for(X, vectors):
    with pytest.raises(BudgetTooSmallError, match="more than the 9 columns"):
        pick(X, PoissonRule(1.0, 9, SEED), vectors)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("count", [1, 40, 700, D])
@pytest.mark.parametrize("span", [64, 512, 1 << 20])
def test_priority__keeps_the_largest_priorities_of_the_twin(
    X, vectors, uniforms, storage, count, span
):
    scores = scores_of(X, vectors)
    priorities = scores / uniforms
    # One more than count, the threshold; zero columns have no priority.
    order = np.argsort(-priorities, kind="stable")[: count + 1]
    expected = np.sort(order[priorities[order] > 0])
    picks = pick(storage(X), PriorityRule(count, SEED), vectors, span=span)
    assert picks.columns.tolist() == expected.tolist()
    np.testing.assert_array_equal(picks.keys, priorities[expected])
    np.testing.assert_array_equal(dense_values(picks, N), X[:, expected])


def test_priority__gives_ties_to_the_first_columns():
    class Tied(PriorityRule):
        def keys(self, columns, scores):
            return scores

    X = np.ones((N, 900), np.int8)
    picks = pick(X, Tied(30, SEED), np.ones((N, 1)), span=128)
    assert picks.columns.tolist() == list(range(31))


def test_priority__holds_few_more_than_it_keeps(X, vectors):
    rule = PriorityRule(40, SEED)
    held = []

    class Watched(PriorityRule):
        def compact(self, picks, *, is_final):
            rule.compact(picks, is_final=is_final)
            held.append(picks.count)

    pick(scipy.sparse.csc_array(X), Watched(40, SEED), vectors, span=200)
    assert max(held) <= 41 + priority_slack(40)
    assert held[-1] == 41


@given(data=st.data(), kind=st.sampled_from(["dense", "sparse"]))
def test_picks__have_the_same_bits_for_any_cut_and_threads(data, kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 1500)) * (rng.random((300, 1500)) < 0.2)
    X = X if kind == "dense" else scipy.sparse.csc_array(X)
    vectors = rng.standard_normal((300, T))
    rule = data.draw(
        st.sampled_from([PriorityRule(30, SEED), PoissonRule(1e-4, 1500, SEED)]), label="rule"
    )
    whole = pick(X, rule, vectors, span=512)
    with worker_threads(data.draw(st.sampled_from([1, 2, 5]))) as each:
        cut = pick(X, rule, vectors, edges=data.draw(strategies.cuts(1500)), span=512, each=each)
    np.testing.assert_array_equal(cut.columns, whole.columns)
    np.testing.assert_array_equal(cut.scores, whole.scores)
    np.testing.assert_array_equal(cut.keys, whole.keys)
    np.testing.assert_array_equal(dense_values(cut, 300), dense_values(whole, 300))


@pytest.mark.parametrize("order", ["C", "F"])
def test_picks__are_named_by_their_column_of_X_in_blocks_that_begin_with_a_span(order):
    # Blocks of a Fortran array count their columns from their own first one.
    X = np.asarray(strategies.integer_matrix(N, 1500, "int32"), order=order)
    rule = PoissonRule(1e300, 1500, SEED)
    picks = pick(X, rule, np.eye(N), edges=[0, 512, 1024, 1500], span=512)
    expected = np.flatnonzero(X.any(axis=0))
    assert picks.columns.tolist() == expected.tolist()
    np.testing.assert_array_equal(dense_values(picks, N), X[:, expected])


def test_scores__of_dense_and_sparse_storage_differ_by_rounding_only():
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((300, 900)) * (rng.random((300, 900)) < 0.2)).astype(np.float32)
    vectors = rng.standard_normal((300, T))
    rule = PoissonRule(1e300, 900, SEED)
    dense, sparse = (
        pick(storage(X), rule, vectors) for storage in (np.asarray, scipy.sparse.csc_array)
    )
    assert dense.columns.tolist() == sparse.columns.tolist() == list(range(900))
    magnitude = np.abs(vectors).T @ np.abs(X.astype(np.float64))
    inner = tolerances.sum_error_bound(magnitude, 300)
    # The square of a sum and the sum of T squares: 2 |a| da + da^2, and T + 1 roundings.
    bound = (2 * magnitude * inner + inner**2).sum(axis=0)
    bound += tolerances.sum_error_bound((magnitude**2).sum(axis=0), T + 1)
    assert (np.abs(np.subtract(dense.scores, sparse.scores)) <= 2 * bound).all()


@given(wanted=st.lists(st.integers(0, 299), max_size=20, unique=True).map(sorted), data=st.data())
def test_given__keeps_what_is_wanted_in_order(wanted, data):
    X = strategies.integer_matrix(N, 300, "int16") * (np.arange(300) % 4 > 0)
    storage = data.draw(st.sampled_from(STORAGES))
    picks = pick(
        storage(X),
        GivenColumns(np.array(wanted, np.int64)),
        None,
        edges=data.draw(strategies.cuts(300)),
        span=64,
    )
    assert picks.columns.tolist() == wanted
    if wanted:
        np.testing.assert_array_equal(dense_values(picks, N), X[:, wanted])


def test_picks__do_not_share_memory_with_what_was_read():
    X = np.arange(60.0).reshape(3, 20)
    picks = pick(X, GivenColumns(np.array([4])), None)
    values = picks.batches[0].values
    assert not np.shares_memory(values, X)
    assert values.dtype == np.float64
