"""X (X^T 1) from any storage: the same bits, whatever the cut."""

import math

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import strategies
import tolerances
from drivers import accumulate
from streamsparse.accumulators.means import MeansAccumulator
from streamsparse.running.threads import worker_threads

STORAGES = {"dense": np.asarray, "csr": scipy.sparse.csr_array, "csc": scipy.sparse.csc_array}


def summed(X, **options):
    return accumulate(MeansAccumulator(rows=X.shape[0]), X, **options)


@pytest.mark.parametrize("kind", strategies.named_matrices())
@pytest.mark.parametrize("storage", STORAGES)
def test_means__are_X_times_the_sums_of_its_columns(kind, storage):
    X = strategies.named_matrices()[kind]
    wide = X.astype(np.float64)
    sums = np.array([math.fsum(column) for column in wide.T.tolist()])
    expected = [math.fsum((row * sums).tolist()) for row in wide]
    magnitude = np.abs(wide) @ np.abs(wide).sum(axis=0)
    bound = tolerances.sum_error_bound(magnitude, sum(X.shape) + 2)
    assert (np.abs(summed(STORAGES[storage](X)) - expected) <= bound).all()


@pytest.mark.parametrize("dtype", ["int8", "uint16", "bool", "float32"])
@pytest.mark.parametrize("storage", STORAGES)
def test_means__of_integers_are_exact(dtype, storage):
    X = strategies.integer_matrix(40, 700, dtype)
    wide = X.astype(np.int64)
    np.testing.assert_array_equal(summed(STORAGES[storage](X)), wide @ wide.sum(axis=0))


@given(data=st.data(), storage=st.sampled_from(sorted(STORAGES)), n=st.sampled_from([3, 70, 300]))
def test_means__have_the_same_bits_for_any_cut_threads_and_storage(data, storage, n):
    d = 1200
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(np.float32) * (rng.random((n, d)) < 0.1)
    edges = data.draw(strategies.cuts(d))
    with worker_threads(data.draw(st.sampled_from([1, 2, 5]))) as each:
        cut = summed(STORAGES[storage](X), edges=edges, each=each, span=512)
    np.testing.assert_array_equal(cut, summed(X, span=512))
