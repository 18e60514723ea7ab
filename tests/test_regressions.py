"""Defects that were found once, each with the smallest input that showed it."""

import threading

import dask.array
import numpy as np
import pytest
import scipy.sparse
from threadpoolctl import threadpool_info

import drivers
import strategies
import streamsparse as ss
from params import slow_but
from streamsparse.storing import result_store


@pytest.mark.slow
def test_sparsify__accepts_what_plan_accepts_for_wide_indices():
    X = strategies.sparse_matrix(500, 100_000, 0.04, dtype="float64")
    wide = scipy.sparse.csr_array(
        (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape
    )
    for memory in ("300 MiB", "16 GiB"):
        plan = ss.plan(wide, "sketch", m=64, memory=memory)
        assert ss.sparsify(wide, "sketch", m=64, memory=memory).plan == plan


@pytest.mark.filterwarnings("ignore:nothing could be measured within")
@pytest.mark.parametrize("storage", slow_but(["csr", "csc", "dask"], "csr"))
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
    for mebibytes in range(200, 400, 100 if storage == "dask" else 40):
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
    del attributes["map"], attributes["sha256"]
    seal = result_store._seal(tmp_path / "y.zarr", attributes)
    stored.attrs["streamsparse"] = attributes | {"sha256": seal}
    with pytest.raises(ss.UnsupportedInputError, match="map"):
        ss.load(tmp_path / "y.zarr")


def test_attention_error__takes_a_gram_matrix_that_is_symmetric_up_to_rounding():
    rng = np.random.default_rng(0)
    X = 1 + 0.02 * rng.standard_normal((30, 2000))
    G = X @ X.T
    G[3, 5] = np.nextafter(G[3, 5], np.inf)
    assert ss.attention_error(G, X) < 1e-6


@pytest.mark.parametrize("passes", [1, 3])
def test_certify__does_not_bound_the_spectral_error_of_a_Y_that_lost_a_direction(passes):
    # One direction of X is 1e-2 of the others, 1e-4 in G; Y lacks it: no epsilon below 1 holds.
    n, k = 300, 150
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((n, n)))[0]
    V = np.linalg.qr(rng.standard_normal((2000, k + 1)))[0]
    for lost in (1e-2, 1e-4):
        X = (U[:, : k + 1] * np.r_[np.ones(k), lost]) @ V.T
        assert ss.certify(X, U[:, :k], spectral=passes).spectral_error is None
    whole = (U[:, :k] * np.ones(k)) @ V[:, :k].T
    # Rounding of 1e-11 comes out of the p-th root as 2e-4 times the overshoot.
    assert ss.certify(whole, U[:, :k], spectral=passes).spectral_error.value < 0.01


@pytest.mark.parametrize("n", [50, 300])
def test_sparsify__certifies_tiny_values_whose_squares_would_vanish(n):
    X = np.random.default_rng(0).standard_normal((n, 1500)) / 40
    plain = ss.sparsify(X, "sketch", m=256).certificate.errors
    # A power of two: the same bits but for the exponent.
    tiny = ss.sparsify(X * 2.0**-280, "sketch", m=256).certificate.errors
    for name in ("entry", "rms_entry", "all_rows_entry"):
        mine, other = getattr(tiny, name), getattr(plain, name)
        assert (mine is None) == (other is None)
        assert mine is None or mine.value == pytest.approx(other.value, rel=1e-9)


def test_certify__does_not_bound_a_direction_of_Y_that_float32_data_cannot_show():
    X = np.zeros((6, 40), np.float32)
    X[0, 0] = X[1, 1] = X[2, 0] = 1
    Y = np.zeros((6, 3))
    Y[:3, :2] = X[:3, :2]
    assert ss.certify(X, Y[:, :2]).spectral_error is not None
    Y[5, 2] = 3e-3
    assert ss.certify(X, Y).spectral_error is None


def test_sparsify__notices_two_changes_of_sign_between_passes():
    # High bits of an odd factor times two signs cancel modulo 2^64 unless they are spread first.
    from streamsparse.accumulators.digest import DigestAccumulator

    X = np.random.default_rng(0).standard_normal((4, 500))
    changed = X.copy()
    changed[2, 7] *= -1
    changed[2, 400] *= -1
    one, other = (drivers.accumulate(DigestAccumulator(rows=4), values) for values in (X, changed))
    assert (one != other).tolist() == [False, False, True, False]


@pytest.mark.parametrize("beta", [1e200, 1e308])
@pytest.mark.parametrize("method", ["sketch", "sample"])
@pytest.mark.filterwarnings("ignore::streamsparse.StreamSparseWarning")
def test_sparsify__takes_any_beta_and_epsilon(method, beta):
    X = np.random.default_rng(0).standard_normal((20, 500))
    for arguments in (
        {"epsilon": 0.3, "beta": beta},
        {"epsilon": 1e-200, "target": "entries"},
        {"epsilon": 1e-160, "target": "spectral", "delta": 5e-324},
    ):
        assert ss.sparsify(X, method, **arguments).Y.shape[0] == 20


def test_certify__names_a_Y_whose_squares_overflow():
    with pytest.raises(ss.NonFiniteError, match="squares of Y overflow"):
        ss.certify(np.ones((20, 50)), np.full((20, 2), 1e200))


def test_attention_error__takes_a_square_matrix_of_bool():
    X = np.random.default_rng(0).random((5, 5)) > 0.5
    assert 0 <= ss.attention_error(X, np.ones((5, 2))) <= 2


def test_sparsify_pair__reads_sparse_parts_with_other_profiles_within_its_blocks():
    # All entries of K in the columns where Q has few: one grid cannot serve both.
    from streamsparse.sources.open import open_source
    from streamsparse.sources.stacked import StackedSource

    Q = strategies.sparse_matrix(30, 4000, 0.05)
    K = strategies.sparse_matrix(30, 400, 0.5)
    K.resize((30, 4000))
    parts = [open_source(part.tocsc(), feature_axis=1, missing="error") for part in (Q, K)]
    stacked, most = StackedSource(*parts), 40_000
    blocks = [stacked.read((0, 60), columns) for columns in stacked.cut((0, 60), most)]
    together = scipy.sparse.vstack([Q, K]).toarray()
    for block in blocks:
        a, b = block.columns
        read = scipy.sparse.csr_array((block.data, block.indices, block.indptr), shape=(60, b - a))
        np.testing.assert_array_equal(read.toarray(), together[:, a:b])
        assert block.nnz * stacked.entry_bytes <= most + 2 * 60 * stacked.entry_bytes
    assert sum(block.columns[1] - block.columns[0] for block in blocks) == 4000
