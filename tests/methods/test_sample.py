"""Method "sample": columns of X with their weights, whatever X is stored as."""

from dataclasses import replace

import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr

import drivers
import strategies
import streamsparse as ss
from streamsparse.methods.sample import reduce_by_sampling
from streamsparse.sketching.bounds import sampling_rate
from streamsparse.sources.open import open_source
from streamsparse.storing.zarr_write import write_sparse

EPS = np.finfo(float).eps
N, D = 30, 900


@pytest.fixture(scope="module")
def X():
    """Decaying spectrum, two columns that nothing replaces, a third of the columns empty."""
    X = strategies.matrix_from_spectrum(N, D, 0.9 ** np.arange(N))
    X[:, ::3] = 0
    X[4, :] = X[9, :] = 0
    X[4, 100], X[9, 700] = 1.0, 1e-3
    return X


def dense(Y):
    return Y.toarray() if scipy.sparse.issparse(Y) else Y


def assert_made_of_columns(result, X):
    """Y[:, k] = sqrt(w_k) X[:, c_k] to the last bit."""
    assert (np.diff(result.columns) > 0).all()
    assert (result.weights >= 1).all()
    expected = X[:, result.columns].astype(np.float64) * np.sqrt(result.weights)
    np.testing.assert_array_equal(dense(result.Y), expected)


REQUESTS = {
    "m": {"m": 50},
    "default": {},
    "spectral": {"epsilon": 0.9, "target": "spectral", "delta": 0.3},
    "regularised": {"epsilon": 0.9, "target": "regularised", "delta": 0.3},
    "entries": {"epsilon": 0.9, "target": "entries", "strict": True},
    "attention": {"epsilon": 0.5, "target": "attention"},
}


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_array])
def test_sample__Y_is_made_of_weighted_columns(X, kind, storage):
    result = ss.sparsify(storage(X), "sample", **REQUESTS[kind])
    assert_made_of_columns(result, X)
    assert scipy.sparse.issparse(result.Y) == (storage is not np.asarray)
    E = dense(result.Y) @ dense(result.Y).T - X @ X.T
    c = result.certificate
    assert c.entry_error.value == pytest.approx(np.abs(E).max() / c.r, abs=N * D * EPS)
    assert c.method == "sample"
    assert c.passes == 2
    assert result.map is None
    if "epsilon" in REQUESTS[kind]:
        assert c.met


@pytest.mark.parametrize("m", [1, 2, 17, 300, 599])
def test_sample__with_m_keeps_exactly_m_columns(X, m):
    assert np.count_nonzero(np.abs(X).sum(axis=0)) == 600
    result = ss.sparsify(X, "sample", m=m)
    assert result.columns.size == result.Y.shape[1] == m
    assert_made_of_columns(result, X)


@pytest.mark.parametrize("m", [600, 601, D])
def test_sample__with_more_columns_than_count_keeps_those_that_do(X, m):
    result = ss.sparsify(X, "sample", m=m)
    np.testing.assert_array_equal(result.columns, np.flatnonzero(np.abs(X).sum(axis=0)))
    np.testing.assert_array_equal(result.weights, 1)
    E = result.Y @ result.Y.T - X @ X.T
    assert np.abs(E).max() <= 2 * D * EPS * result.certificate.r


@pytest.mark.parametrize("kind", ["m", "spectral"])
def test_sample__keeps_columns_that_nothing_replaces_with_weight_one(X, kind):
    # Leverage score 1: alone in their row, however small.
    result = ss.sparsify(X, "sample", **REQUESTS[kind])
    for column in (100, 700):
        assert result.weights[result.columns.tolist().index(column)] == 1


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("n", [N, 300])
def test_sample__of_a_rank_deficient_matrix_stays_finite(rank, n):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, 1000))
    result = ss.sparsify(X, "sample", m=400)
    assert_made_of_columns(result, X)
    # Weights 1 / p stay near d / m: nothing is divided by noise.
    assert result.weights.max() < 100
    assert np.linalg.matrix_rank(result.Y[:N]) == rank
    # Better than Y = 0.
    G = X @ X.T
    assert np.linalg.norm(result.Y @ result.Y.T - G) < np.linalg.norm(G)


@pytest.mark.parametrize("rank", [1, 3])
def test_sample__draws_by_leverage_score_whatever_the_noise(rank):
    # tau_j from the row space of X itself; directions of rounding must not count.
    rng = np.random.default_rng(0)
    B = rng.standard_normal((rank, 1000))
    X = rng.standard_normal((N, rank)) @ B
    tau = np.square(np.linalg.qr(B.T)[0]).sum(axis=1)
    result = ss.sparsify(X, "sample", m=100)
    drawn = result.weights > 1
    assert drawn.sum() > 90 - 10 * rank
    # w = theta / tau, with one theta for all; the smallest eigenvalue is 1e-3 of the largest.
    theta = result.weights[drawn] * tau[result.columns[drawn]]
    np.testing.assert_allclose(theta, theta[0], rtol=1e3 * 1000 * EPS)


@pytest.mark.parametrize("rank", [1, 3])
def test_sample__draws_at_the_rate_of_the_theorem_for_the_rank_of_X(rank):
    rng = np.random.default_rng(0)
    B = rng.standard_normal((rank, 3000))
    X = rng.standard_normal((N, rank)) @ B
    tau = np.square(np.linalg.qr(B.T)[0]).sum(axis=1)
    result = ss.sparsify(X, "sample", epsilon=0.9, target="spectral")
    rate = sampling_rate(rank=rank, epsilon=0.9, delta=0.01)
    p = np.minimum(1, rate * tau[result.columns])
    np.testing.assert_allclose(1 / result.weights, p, rtol=1e3 * 3000 * EPS)
    assert result.columns.size <= rate * rank + 6 * np.sqrt(rate * rank)
    assert result.certificate.met


def test_sample__of_a_zero_matrix_says_so():
    with pytest.raises(ss.ParameterError, match="no column was kept: X is zero"):
        ss.sparsify(np.zeros((5, 400)), "sample", m=10)


@pytest.mark.filterwarnings("ignore:whether the spectral error")
@pytest.mark.parametrize("kind", ["m", "spectral"])
@pytest.mark.parametrize("n", [N, 300])
def test_sample__picks_the_same_columns_of_sparse_and_dense_storage(kind, n):
    X = strategies.sparse_matrix(n, 4000, 0.05, seed=n, dtype="float64").toarray()
    results = [
        ss.sparsify(storage(X), "sample", **(REQUESTS[kind] | {"seed": 3}))
        for storage in (np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_array)
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result.columns, results[0].columns)
        # Scores by two ways of adding, through an inverse of condition number below 10^6.
        np.testing.assert_allclose(result.weights, results[0].weights, rtol=1e6 * n * EPS)
    np.testing.assert_array_equal(results[1].weights, results[2].weights)


@pytest.mark.parametrize("kind", ["m", "spectral"])
@pytest.mark.parametrize("storage", ["npy", "npy F", "zarr rows", "zarr columns", "dask"])
def test_sample__has_the_same_bits_for_any_dense_storage(X, tmp_path, kind, storage):
    expected = ss.sparsify(X, "sample", **REQUESTS[kind])
    result = ss.sparsify(dense_source(X, storage, tmp_path), "sample", **REQUESTS[kind])
    np.testing.assert_array_equal(result.columns, expected.columns)
    np.testing.assert_array_equal(result.weights, expected.weights)
    np.testing.assert_array_equal(result.Y, expected.Y)


def dense_source(X, storage, tmp_path):
    if storage.startswith("npy"):
        np.save(tmp_path / "x.npy", X if storage == "npy" else np.asfortranarray(X))
        return tmp_path / "x.npy"
    if storage == "dask":
        return dask.array.from_array(X, chunks=((13, 17), (1, 399, 500)))
    chunks = (1, D) if storage == "zarr rows" else (N, 77)
    stored = zarr.create_array(tmp_path / "x.zarr", shape=X.shape, chunks=chunks, dtype=X.dtype)
    stored[:] = X
    return tmp_path / "x.zarr"


@pytest.mark.parametrize("kind", ["m", "spectral"])
def test_sample__has_the_same_bits_for_any_sparse_storage(X, tmp_path, kind):
    csr = scipy.sparse.csr_array(X)
    expected = ss.sparsify(csr, "sample", **REQUESTS[kind])
    write_sparse(tmp_path / "rows.zarr", csr, chunk_entries=1000)
    write_sparse(tmp_path / "columns.zarr", csr.tocsc(), chunk_entries=1000)
    for source in (csr.tocsc(), tmp_path / "rows.zarr", tmp_path / "columns.zarr"):
        result = ss.sparsify(source, "sample", **REQUESTS[kind])
        np.testing.assert_array_equal(result.columns, expected.columns)
        np.testing.assert_array_equal(result.weights, expected.weights)
        assert (result.Y != expected.Y).nnz == 0


def test_sample__of_row_banded_storage_is_rewritten_by_columns(tmp_path):
    X = strategies.sparse_matrix(200, 200_000, 0.02)
    write_sparse(tmp_path / "x.zarr", X, chunk_entries=50_000)
    whole = ss.sparsify(X, "sample", m=100)
    banded = ss.sparsify(tmp_path / "x.zarr", "sample", m=100, memory="250 MiB")
    assert banded.plan.stream.rebucket
    np.testing.assert_array_equal(banded.columns, whole.columns)
    np.testing.assert_array_equal(banded.weights, whole.weights)
    assert (banded.Y != whole.Y).nnz == 0


@pytest.mark.parametrize("kind", ["m", "spectral"])
def test_sample__is_unbiased(kind):
    # Mean over T seeds within 6 standard errors of every entry, the variance measured.
    X = strategies.matrix_from_spectrum(6, 400, np.ones(6))
    G, trials = X @ X.T, 100
    estimates = np.array(
        [
            (Y := ss.sparsify(X, "sample", **(REQUESTS[kind] | {"seed": seed})).Y) @ Y.T
            for seed in range(trials)
        ]
    )
    spread = estimates.std(axis=0)
    assert (np.abs(estimates.mean(axis=0) - G) <= 6 * spread / np.sqrt(trials)).all()
    assert (spread > 0).all()


def sampled(source, *, threads=2, **arguments):
    plan = drivers.plan_of(source, method="sample", **arguments)
    # Several blocks per pass.
    plan = replace(plan, stream=replace(plan.stream, block_bytes=N * 8 * 100))
    return drivers.run(reduce_by_sampling, source, plan, threads=threads)


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csc_array])
def test_reduce_by_sampling__reads_X_twice_and_no_more(X, storage):
    source = drivers.Watched(open_source(storage(X), feature_axis=1, missing="error"))
    reduction = sampled(source, m=20)
    assert source.cells_read == 2 * N * D
    np.testing.assert_array_equal(
        reduction.columns, ss.sparsify(storage(X), "sample", m=20).columns
    )


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csc_array])
@pytest.mark.parametrize("column", [1, 100, D - 1])
def test_reduce_by_sampling__refuses_a_source_that_changed_between_the_passes(X, storage, column):
    changed = X.copy()
    changed[7, column] += 1e-13
    changed[21, column] = 5
    first, later = (
        open_source(storage(values), feature_axis=1, missing="error") for values in (X, changed)
    )
    with pytest.raises(ss.SourceChangedError, match=r"2 of 30 rows differ, the first is row 7;"):
        sampled(drivers.Watched(first, later=later), m=20)
    assert sampled(drivers.Watched(first, later=first), m=20).columns.size == 20


def test_reduce_by_sampling__notices_columns_that_changed_places(X):
    first, later = (
        open_source(values, feature_axis=1, missing="error") for values in (X, X[:, ::-1].copy())
    )
    with pytest.raises(ss.SourceChangedError):
        sampled(drivers.Watched(first, later=later), m=20)


@pytest.mark.parametrize("n", [N, 300])
@pytest.mark.parametrize("block_columns", [1, 97, D])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csc_array])
def test_reduce_by_sampling__has_the_same_bits_for_any_blocks_and_threads(
    n, block_columns, threads, storage
):
    # 30 rows are scored exactly, 300 by a sketch and 16 random vectors.
    X = storage(strategies.sparse_matrix(n, D, 0.2, dtype="float64").toarray())
    stream = {"block_bytes": n * 16 * block_columns + 10_000}
    plan = drivers.plan_of(X, method="sample", m=20, stream=stream)
    assert (plan.sketch_columns is None) == (n == N)
    reduction = drivers.run(reduce_by_sampling, X, plan, threads=threads)
    expected = ss.sparsify(X, "sample", m=20)
    np.testing.assert_array_equal(dense(reduction.Y), dense(expected.Y))
    np.testing.assert_array_equal(reduction.weights, expected.weights)
    for name in ("entry", "attention", "rms_entry", "all_rows_entry"):
        assert getattr(reduction.errors, name) == getattr(expected.certificate.errors, name)


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
def test_save__keeps_columns_and_weights_of_a_sample(X, tmp_path, storage):
    result = ss.sparsify(storage(X), "sample", m=20, out=tmp_path / "y.zarr")
    loaded = ss.load(tmp_path / "y.zarr")
    expected = ss.sparsify(storage(X), "sample", m=20)
    for found in (result, loaded):
        np.testing.assert_array_equal(dense(found.Y[:, :]), dense(expected.Y))
        np.testing.assert_array_equal(found.columns, expected.columns)
        np.testing.assert_array_equal(found.weights, expected.weights)
    np.testing.assert_array_equal(dense(loaded.transform(storage(X))), dense(expected.Y))
