"""Defects that were found once, each with the smallest input that showed it."""

import threading

import dask.array
import numpy as np
import pytest
import scipy.sparse
from threadpoolctl import threadpool_info

import strategies
import streamsparse as ss


def test_sparsify__accepts_what_plan_accepts_for_wide_indices():
    X = strategies.sparse_matrix(500, 100_000, 0.04, dtype="float64")
    wide = scipy.sparse.csr_array(
        (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape
    )
    for memory in ("300 MiB", "1 GiB", "16 GiB"):
        plan = ss.plan(wide, "sketch", m=64, memory=memory)
        assert ss.sparsify(wide, "sketch", m=64, memory=memory).plan == plan


@pytest.mark.parametrize("storage", ["csr", "csc", "dask"])
def test_sparsify__accepts_what_plan_accepts_for_uneven_rows(storage, tmp_path):
    rng = np.random.default_rng(0)
    X = strategies.sparse_matrix(600, 70_000, 0.002).tolil()
    X[7] = rng.standard_normal(70_000)
    X = scipy.sparse.csr_array(X.tocsr())
    if storage == "csc":
        X = X.tocsc()
    if storage == "dask":
        # One heavy row: one chunk in three holds nearly all entries.
        dense = dask.array.from_array(X.toarray(), chunks=(200, 10_000))
        X = dense.map_blocks(scipy.sparse.csr_matrix)
    accepted = 0
    for mebibytes in range(200, 400, 20):
        try:
            ss.plan(X, "sketch", m=700, memory=f"{mebibytes} MiB", out=tmp_path / "y")
        except ss.BudgetTooSmallError:
            assert accepted == 0, "a larger budget was refused"
            continue
        accepted += 1
        out = tmp_path / f"{mebibytes}.zarr"
        ss.sparsify(X, "sketch", m=700, memory=f"{mebibytes} MiB", out=out)
    assert accepted > 0


@pytest.mark.parametrize("Y", [np.full((3, 4), np.nan), [[None, 1]] * 3, np.ones((3, 0)), "y"])
def test_certify__refuses_a_Y_that_is_not_real_and_finite(Y):
    with pytest.raises((ss.ParameterError, ss.NonFiniteError)):
        ss.certify(np.ones((3, 5)), Y, exact=True)


def test_attention_error__survives_logits_that_overflow():
    X = np.array([[1.0, 0.0], [0.0, 2.0]])
    assert ss.attention_error(X, X, beta=1e308) == 0.0
    uniform = np.ones((2, 1))
    assert ss.attention_error(X @ X.T, uniform, beta=1e308) == pytest.approx(1.0)


def test_certify__does_not_call_a_wrong_Y_perfect():
    zero = ss.certify(np.zeros((3, 5)), np.diag([1.0, 2, 3]), exact=True)
    assert zero.entry_error is None
    assert zero.spectral_error is None
    outside = ss.certify(np.array([[1.0, 0, 0], [0, 0, 0]]), np.eye(2), exact=True)
    assert outside.spectral_error is None
    assert outside.entry_error.value == pytest.approx(1)


def test_sparsify__gives_blas_its_threads_back_after_overlapping_runs():
    before = [info["num_threads"] for info in threadpool_info()]
    X = np.random.default_rng(0).standard_normal((50, 20_000))
    threads = [
        threading.Thread(target=ss.sparsify, args=(X, "sketch"), kwargs={"m": 512})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [info["num_threads"] for info in threadpool_info()] == before


@pytest.mark.parametrize("target", ["entries", "spectral", "attention"])
@pytest.mark.parametrize("epsilon", [1e-16, 1e-170])
def test_plan__takes_any_epsilon(target, epsilon):
    plan = ss.plan(np.ones((5, 900)), "sketch", epsilon=epsilon, target=target, delta=5e-324)
    assert plan.sketch_columns <= 900


def test_sparsify__takes_numpy_integers():
    X = np.ones((5, 900))
    result = ss.sparsify(X, "sketch", m=np.int64(64), s=np.int64(4), seed=np.uint64(1))
    assert result.Y.shape == (5, 64)
    assert ss.certify(X, result, rows=np.int64(3)).checked_rows == 3


def test_sparsify__names_the_dask_chunk_that_fails():
    def fail(block):
        raise ZeroDivisionError("no")

    X = dask.array.ones((4, 10), chunks=(4, 5)).map_blocks(fail, dtype=float, meta=np.empty((0, 0)))
    with pytest.raises(ss.StoreError, match="ZeroDivisionError: no"):
        ss.sparsify(X)


def test_certify__checks_a_result_that_read_nan_as_zero():
    X = np.ones((5, 300))
    X[2, 7] = np.nan
    result = ss.sparsify(X, "sketch", m=16, nonfinite="zero")
    assert ss.certify(X, result, nonfinite="zero").checked_rows == 5
    new = result.transform(X[2:3], nonfinite="zero")
    np.testing.assert_array_equal(new, result.Y[2:3])


def test_sparsify__does_not_replace_the_source_it_reads(tmp_path):
    out = tmp_path / "y.zarr"
    ss.sparsify(np.ones((5, 300)), "sketch", m=16, out=out)
    for source in (ss.open_source(out / "Y"), f"file://{out}/Y", ss.load(out).Y, out / "Y"):
        with pytest.raises(ss.OutputExistsError):
            ss.sparsify(source, "exact", out=out, overwrite=True)
    assert ss.load(out).Y.shape == (5, 16)


def test_load__refuses_attributes_that_are_not_whole(tmp_path):
    import zarr

    ss.sparsify(np.ones((5, 300)), "sketch", m=16, out=tmp_path / "y.zarr")
    stored = zarr.open_group(tmp_path / "y.zarr")
    attributes = dict(stored.attrs["streamsparse"])
    del attributes["operator"]
    stored.attrs["streamsparse"] = attributes
    with pytest.raises(ss.UnsupportedInputError, match="operator"):
        ss.load(tmp_path / "y.zarr")


def test_attention_error__takes_a_gram_matrix_that_is_symmetric_up_to_rounding():
    rng = np.random.default_rng(0)
    X = 1 + 0.02 * rng.standard_normal((30, 2000))
    G = X @ X.T
    G[3, 5] = np.nextafter(G[3, 5], np.inf)
    assert ss.attention_error(G, X) < 1e-6
