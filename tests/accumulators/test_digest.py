"""The digest is a function of the values: not of cuts, storage, threads or spans."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import reference
import strategies
from drivers import accumulate
from streamsparse.accumulators.digest import DigestAccumulator
from streamsparse.running.threads import worker_threads

N, D = 40, 700


@pytest.fixture(scope="module")
def X():
    # Positive: sparse storage drops -0 as well as 0.
    return (strategies.sparse_matrix(N, D, 0.2, dtype="float64") * np.pi).toarray()


def digest_of(X, **options):
    return accumulate(DigestAccumulator(rows=X.shape[0]), X, **options)


def test_digest__is_that_of_the_integer_twin(X):
    assert digest_of(X[:5]).tolist() == reference.digest(X[:5])


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_digest__of_every_dtype_is_that_of_what_blocks_hold(dtype):
    X = strategies.integer_matrix(4, 90, dtype)
    as_read = {"float16": "float32", "bool": "uint8"}.get(dtype, dtype)
    assert digest_of(X).tolist() == reference.digest(X.astype(as_read))


@given(data=st.data())
def test_digest__is_the_same_for_any_cut_storage_threads_and_span(X, data):
    storage = data.draw(
        st.sampled_from(
            [np.asarray, np.asfortranarray, scipy.sparse.csr_array, scipy.sparse.csc_array]
        )
    )
    with worker_threads(data.draw(st.sampled_from([1, 2, 5]))) as each:
        found = digest_of(
            storage(X),
            edges=data.draw(strategies.cuts(D)),
            by_rows=data.draw(st.booleans()),
            span=data.draw(st.sampled_from([16, 64, 1 << 20])),
            each=each,
        )
    np.testing.assert_array_equal(found, digest_of(X))


@given(i=st.integers(0, N - 1), j=st.integers(0, D - 1), value=st.floats(0.25, 1e300))
def test_digest__sees_one_changed_value_in_its_row(X, i, j, value):
    changed = X.copy()
    changed[i, j] += value
    differs = digest_of(changed) != digest_of(X)
    assert differs[i] == (changed[i, j] != X[i, j])
    assert differs.sum() == differs[i]


def test_digest__sees_columns_that_changed_places(X):
    swapped = X.copy()
    swapped[:, [3, 400]] = swapped[:, [400, 3]]
    moved = X[:, 3] != X[:, 400]
    np.testing.assert_array_equal(digest_of(swapped) != digest_of(X), moved)
    assert moved.any()
