"""Sums by leaf: exact for integers, and parts of one G whatever the blocks and spans."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import strategies
import tolerances
from drivers import accumulate, block_dtype, serial
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.accumulators.leaf_sums import LeafState, LeafSumsAccumulator
from streamsparse.running.threads import worker_threads

SPAN = 64
STORAGES = [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_array]


def leaf_sums(X, leaf_width, **options):
    accumulator = LeafSumsAccumulator(
        rows=X.shape[0], block_dtype=block_dtype(X), leaf_width=leaf_width
    )
    return accumulate(accumulator, X, by_rows=False, **options)


def packed(G):
    return G[np.tril_indices(G.shape[0])]


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("n", [1, 9, 70])
@pytest.mark.parametrize("leaf_width", [SPAN, 2 * SPAN, 16 * SPAN, 64 * SPAN])
def test_sums__of_integers_are_those_of_the_leaves(storage, n, leaf_width):
    # 32 spans: two complete nodes of the tree; the last span is not full.
    X = strategies.integer_matrix(n, 32 * SPAN - 5, "int8")
    G, sums = leaf_sums(storage(X), leaf_width, span=SPAN)
    exact = X.astype(np.int64)
    assert sorted(sums) == list(range(-(-X.shape[1] // leaf_width)))
    for leaf, found in sums.items():
        part = exact[:, leaf * leaf_width : (leaf + 1) * leaf_width]
        np.testing.assert_array_equal(found, packed(part @ part.T))
    np.testing.assert_array_equal(G, exact @ exact.T)
    np.testing.assert_array_equal(sum(sums.values()), packed(G))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("is_sparse", [False, True])
def test_sums__are_lower_triangles_of_more_rows_than_a_band(storage, is_sparse):
    # A band above the diagonal is not multiplied, and sparse columns are scattered below it only.
    X = strategies.integer_matrix(300, 5 * SPAN, "int8")
    if is_sparse:
        X = strategies.sparse_matrix(300, 5 * SPAN, density=0.05, dtype="int8", high=3).toarray()
    _, sums = leaf_sums(storage(X), 2 * SPAN, span=SPAN)
    for leaf, found in sums.items():
        part = X[:, leaf * 2 * SPAN : (leaf + 1) * 2 * SPAN].astype(np.int64)
        np.testing.assert_array_equal(found, packed(part @ part.T))


@pytest.mark.parametrize("storage", STORAGES)
def test_sums__are_not_kept_without_leaves(storage):
    X = strategies.integer_matrix(9, 500, "int8")
    G, sums = leaf_sums(storage(X), None, span=SPAN)
    assert sums == {}
    np.testing.assert_array_equal(G, X.astype(np.int64) @ X.T)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("leaf_width", [None, SPAN, 4 * SPAN])
def test_gram__has_the_bits_of_the_gram_pass(storage, leaf_width):
    X = storage(strategies.sparse_matrix(40, 1500, density=0.3).toarray())
    gram = accumulate(
        GramAccumulator(rows=40, block_dtype=block_dtype(X)), X, by_rows=False, span=SPAN
    )
    G, _ = leaf_sums(X, leaf_width, span=SPAN)
    np.testing.assert_array_equal(G, gram)


@given(data=st.data(), kind=st.sampled_from(["dense", "sparse"]))
def test_sums__have_the_same_bits_for_any_cut_and_threads(data, kind):
    X = strategies.sparse_matrix(40, 1500, density=0.3).toarray()
    X = X if kind == "dense" else scipy.sparse.csc_array(X)
    whole, sums = leaf_sums(X, 4 * SPAN, span=SPAN)
    with worker_threads(data.draw(st.sampled_from([1, 2, 5]))) as each:
        edges = data.draw(strategies.cuts(1500))
        cut, others = leaf_sums(X, 4 * SPAN, edges=edges, span=SPAN, each=each)
    np.testing.assert_array_equal(cut, whole)
    assert sums.keys() == others.keys()
    for leaf, found in sums.items():
        np.testing.assert_array_equal(others[leaf], found)


@pytest.mark.parametrize("kind", strategies.named_matrices())
def test_sums__stay_within_the_rounding_bound_of_the_gram_pass(kind):
    X = strategies.named_matrices()[kind]
    _, sums = leaf_sums(X, 4 * SPAN, span=SPAN)
    for leaf, found in sums.items():
        part = X[:, leaf * 4 * SPAN : (leaf + 1) * 4 * SPAN].astype(np.float64)
        bound = tolerances.gram_error_bound(part, block_dtype(X))
        # NumPy's own product is rounded as well.
        bound += tolerances.sum_error_bound(np.abs(part) @ np.abs(part).T, part.shape[1])
        assert (np.abs(found - packed(part @ part.T)) <= packed(bound)).all()


def test_merge__takes_sums_that_outlive_what_is_cleared():
    accumulator = LeafSumsAccumulator(rows=2, block_dtype=np.dtype("float64"), leaf_width=SPAN)
    one, two = np.array([1.0, 2, 3]), np.array([10.0, 20, 30])
    into = LeafState([np.zeros((2, 2))], {0: one.copy()})
    other = LeafState([np.ones((2, 2))], {0: one.copy(), 5: two.copy()}, leaf=5)
    accumulator.merge(into, other, serial)
    accumulator.clear(other)
    assert other.sums == {}
    assert other.leaf is None
    assert not other.gram[0].any()
    np.testing.assert_array_equal(into.gram[0], np.ones((2, 2)))
    assert into.sums.keys() == {0, 5}
    np.testing.assert_array_equal(into.sums[0], 2 * one)
    np.testing.assert_array_equal(into.sums[5], two)


def test_close_span__of_a_state_without_columns_keeps_no_sum():
    accumulator = LeafSumsAccumulator(rows=3, block_dtype=np.dtype("int8"), leaf_width=SPAN)
    state = accumulator.start()
    accumulator.close_span(state, serial)
    G, sums = accumulator.finish(state)
    assert sums == {}
    assert not G.any()
