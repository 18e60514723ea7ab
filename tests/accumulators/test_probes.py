"""G Omega by tiles and by sparse steps, against X (X^T Omega)."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import strategies
import tolerances
from drivers import accumulate, block_dtype
from streamsparse.accumulators.probes import ProbesAccumulator
from streamsparse.running.threads import worker_threads
from streamsparse.sketching.draws import PROBES, normals


def probed(X, probes, **options):
    made = ProbesAccumulator(probes=probes, block_dtype=block_dtype(X))
    return accumulate(made, X, **options)


def error_bound(X, probes):
    """Largest error of X (X^T Omega) in float64: two sums, each in any order."""
    magnitude = np.abs(X) @ (np.abs(X).T @ np.abs(probes))
    return tolerances.sum_error_bound(magnitude, sum(X.shape) + 2)


@pytest.mark.parametrize("kind", strategies.named_matrices())
@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
def test_probes__are_X_times_X_transposed_Omega(kind, storage):
    X = strategies.named_matrices()[kind]
    probes = normals(seed=1, rows=X.shape[0], columns=5, stream=PROBES)
    wide = X.astype(np.float64)
    error = np.abs(probed(storage(X), probes) - wide @ (wide.T @ probes))
    # Twice: the twin rounds as well.
    assert (error <= 2 * error_bound(wide, probes)).all()


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("dtype", ["int8", "uint16", "bool", "float32"])
def test_probes__of_integers_are_exact(storage, dtype):
    X = strategies.integer_matrix(300, 700, dtype)
    probes = np.random.default_rng(0).integers(-3, 4, (300, 4)).astype(np.float64)
    wide = X.astype(np.int64)
    expected = wide @ (wide.T @ probes.astype(np.int64))
    np.testing.assert_array_equal(probed(storage(X), probes), expected)


@given(data=st.data(), is_sparse=st.booleans(), n=st.sampled_from([3, 70, 300]))
def test_probes__have_the_same_bits_for_any_cut_and_threads(data, is_sparse, n):
    d = 1200
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(np.float32)
    if is_sparse:
        X = scipy.sparse.csr_array(X * (rng.random((n, d)) < 0.1))
    probes = rng.standard_normal((n, 16))
    whole = probed(X, probes, span=512)
    edges = data.draw(strategies.cuts(d))
    with worker_threads(data.draw(st.sampled_from([1, 2, 5]))) as each:
        cut = probed(X, probes, edges=edges, each=each, span=512)
    np.testing.assert_array_equal(cut, whole)


def test_probes__of_sparse_pieces_in_several_steps_are_exact():
    # 4 MiB of 16 projected cells is 16,384 columns: four steps.
    X = strategies.sparse_matrix(20, 60_000, 0.2, high=9, dtype="int16")
    probes = np.random.default_rng(0).integers(-3, 4, (20, 16)).astype(np.float64)
    wide = X.toarray().astype(np.int64)
    np.testing.assert_array_equal(probed(X, probes), wide @ (wide.T @ probes.astype(np.int64)))


def test_probes__of_more_columns_than_a_stack_of_tiles_holds_are_exact():
    X = strategies.integer_matrix(5, 9000, "int8")
    probes = np.random.default_rng(0).integers(-3, 4, (5, 3)).astype(np.float64)
    wide = X.astype(np.int64)
    np.testing.assert_array_equal(probed(X, probes), wide @ (wide.T @ probes.astype(np.int64)))
