"""Checks of a given Y: what is bounded covers the truth, what cannot be bounded is None."""

import dask
import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr
from scipy.special import softmax

import strategies
import streamsparse as ss
import tolerances
from params import slow_but
from streamsparse.dense.linalg import loewner_error
from streamsparse.sketching.bounds import rows_for_share, share_of_rows

N, D = 270, 800


@pytest.fixture(scope="module")
def X():
    """270 rows of rank 40: too many rows to check all, few directions."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, 40)) * np.linspace(1, 3, 40)
    X = X @ rng.standard_normal((40, D))
    return X / np.linalg.norm(X, axis=1).max()


@pytest.fixture(scope="module")
def square_root(X):
    """square_root(scale): Y of 40 columns with Y Y^T = G, its eigenvalues times ``scale``."""
    values, vectors = np.linalg.eigh(X @ X.T)
    values, vectors = values[-40:], vectors[:, -40:]
    return lambda scale=1.0: vectors * np.sqrt(values * scale)


def true_distortion(X, Y):
    return loewner_error(X @ X.T, Y, rank_tolerance=1e-12 * N, rounding=0.0).value


def test_certify__bounds_the_spectral_error_over_seeds(X, square_root):
    Y = square_root(np.linspace(0.95, 1.02, 40))
    truth = true_distortion(X, Y)
    assert truth == pytest.approx(0.05, rel=1e-6)
    found = [
        ss.certify(X, Y, spectral=True, delta=0.1, seed=seed).spectral_error for seed in range(20)
    ]
    assert all(measure.kind == "bound" and measure.confidence == 0.9 for measure in found)
    failures = sum(measure.value < truth for measure in found)
    assert failures <= tolerances.most_failures(20, 0.1)
    # Fourth moments overshoot by less than the fourth root of 40 and what 64 probes add.
    assert np.median([measure.value for measure in found]) < 8 * truth


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_certify__of_an_exact_root_bounds_the_spectral_error_by_rounding(
    X, square_root, storage, dtype
):
    # Values of float32 move Y Y^T away from G by 2 u32 = 1.2e-7; its condition number is below 100.
    measure = ss.certify(storage(X.astype(dtype)), square_root(), spectral=True).spectral_error
    assert measure.kind == "bound"
    assert measure.value < {"float64": 1e-9, "float32": 1e-4}[dtype]


@pytest.mark.parametrize("lost", [1, 20])
def test_certify__has_no_spectral_bound_where_Y_loses_a_direction(X, square_root, lost):
    Y = square_root()[:, lost:]
    assert ss.certify(X, Y, spectral=True).spectral_error is None
    assert ss.certify(X, np.zeros((N, 1)), spectral=True).spectral_error is None


def test_certify__has_no_spectral_bound_where_Y_is_far_off_or_has_a_direction_too_many(
    X, square_root
):
    # K is -0.17, -0.89, 3 times the identity of rank 40: bounds overshoot by two or three.
    assert ss.certify(X, 1.1 * square_root(), spectral=True).spectral_error is not None
    assert ss.certify(X, 3.0 * square_root(), spectral=True).spectral_error is None
    assert ss.certify(X, 0.5 * square_root(), spectral=True).spectral_error is None
    extra = np.concatenate([square_root(), np.eye(N)[:, :1]], axis=1)
    assert ss.certify(X, extra, spectral=True).spectral_error is None


def test_certify__is_exact_about_few_rows(X, square_root):
    few, Y = X[:30], square_root()[:30] * 1.1
    check = ss.certify(few, Y, spectral=True)
    assert check.spectral_error.kind == "exact"
    assert check.spectral_error.value == pytest.approx(0.21, rel=1e-6)
    assert check.regularised_error.kind == "exact"
    assert ss.certify(few, Y).spectral_error.value == pytest.approx(0.21, rel=1e-6)


@pytest.mark.parametrize("spectral", [False, True])
def test_certify__of_every_row_is_exact_whatever_else_is_asked(X, square_root, spectral):
    check = ss.certify(X, square_root() * 1.1, rows=N, spectral=spectral)
    assert check.checked_rows == N
    assert check.spectral_error.kind == "exact"
    assert check.spectral_error.value == pytest.approx(0.21, rel=1e-6)


@pytest.mark.parametrize("delta", [0.3, 0.01, 1e-5])
def test_certify__holds_every_bound_with_the_delta_asked_for(X, delta):
    Y = ss.sparsify(X, "sketch", m=256).Y
    check = ss.certify(X, Y, delta=delta)
    errors = check.errors
    assert check.checked_rows == rows_for_share(share=0.95, delta=delta) < N
    for name in ("most_rows_entry", "most_rows_attention", "all_rows_entry", "rms_entry"):
        measure = getattr(errors, name)
        assert measure.confidence == 1 - delta
        assert measure.kind == "bound"
    assert errors.most_rows_entry.share == share_of_rows(checked=check.checked_rows, delta=delta)
    E = np.abs(Y @ Y.T - X @ X.T) / check.r
    assert errors.all_rows_entry.value >= E.max()
    assert errors.rms_entry.value >= np.sqrt(np.square(E).mean())


def test_certify__a_smaller_delta_gives_wider_bounds(X):
    Y = ss.sparsify(X, "sketch", m=256).Y
    checks = [ss.certify(X, Y, rows=50, delta=delta, seed=1).errors for delta in (0.2, 0.01, 1e-9)]
    for name in ("all_rows_entry", "rms_entry", "all_rows_attention"):
        values = [getattr(errors, name).value for errors in checks]
        assert values == sorted(values)
        assert values[0] < values[-1]


@pytest.mark.parametrize("delta", [0, 1, -0.1, "0.1", None, True])
def test_certify__refuses_a_delta_that_is_no_probability(X, delta):
    with pytest.raises(ss.ParameterError, match="delta"):
        ss.certify(X, np.zeros((N, 1)), delta=delta)


def test_certify__chosen_rows_say_nothing_about_the_others(X):
    Y = ss.sparsify(X, "sketch", m=256).Y
    check = ss.certify(X, Y, rows=[1, 5])
    assert check.checked_rows == 2
    assert check.errors.most_rows_entry is None
    assert check.errors.all_rows_entry is None
    assert check.entry_error.kind == "estimate"


def test_certify__draws_other_rows_than_the_run_did(X):
    result = ss.sparsify(X, "sketch", m=256)
    own, fresh = result.certificate, ss.certify(X, result)
    same = ss.certify(X, result, seed=result.certificate.seed)
    # Not even the same seed: a run may have chosen Y by its rows and probes.
    assert same.errors.rms_entry.value == fresh.errors.rms_entry.value
    assert fresh.errors.rms_entry.value != own.errors.rms_entry.value


@pytest.mark.parametrize("exact", [False, True])
def test_certify__of_a_sparse_Y_is_that_of_the_dense_one(exact):
    X = strategies.sparse_matrix(N, 2000, 0.05, dtype="float64")
    Y = ss.sparsify(X, "sample", m=500).Y
    sparse, dense = (ss.certify(X, given, exact=exact) for given in (Y, Y.toarray()))
    for name in ("entry", "attention", "rms_entry"):
        mine, other = (getattr(check.errors, name).value for check in (sparse, dense))
        assert mine == pytest.approx(other, rel=1e-9)
    assert (sparse.spectral_error is None) == (not exact)


def test_certify__exact_equals_brute_force(X):
    Y = ss.sparsify(X, "sketch", m=256).Y
    check = ss.certify(X, Y, exact=True, beta=2.0)
    G, F = X @ X.T, Y @ Y.T
    assert check.entry_error.value == pytest.approx(np.abs(F - G).max() / check.r, rel=1e-9)
    attention = np.abs(softmax(2 * F, axis=1) - softmax(2 * G, axis=1)).sum(axis=1).max()
    assert check.attention_error.value == pytest.approx(attention, rel=1e-9)
    assert check.checked_rows == N


@pytest.mark.parametrize("spectral", [-1, 9, 1.5, "2", None])
def test_certify__refuses_what_is_no_flag_and_no_number_of_passes(X, spectral):
    with pytest.raises(ss.ParameterError, match="exact must be True or False"):
        ss.certify(X, np.zeros((N, 1)), exact=1)
    with pytest.raises(ss.ParameterError, match="spectral must be"):
        ss.certify(X, np.zeros((N, 1)), spectral=spectral)


@pytest.mark.parametrize("how", slow_but([{}, {"spectral": 2}, {"exact": True}], {"spectral": 2}))
def test_certify__on_dask_says_what_it_says_here(how, tmp_path):
    X = np.random.default_rng(3).standard_normal((300, 50_000)).astype(np.float32)
    zarr.create_array(tmp_path / "X.zarr", data=X, chunks=(300, 9_000))
    result = ss.sparsify(X, "sketch", m=400)
    expected = ss.certify(X, result, **how).errors
    with dask.config.set(scheduler="threads"):
        chunked = dask.array.from_array(X, chunks=(170, 9_000))
        assert ss.certify(chunked, result, **how).errors == expected
        assert ss.certify(tmp_path / "X.zarr", result, runner="dask", **how).errors == expected


def test_certify__of_a_result_takes_no_X_of_another_width():
    X = np.random.default_rng(0).standard_normal((6, 90))
    result = ss.sparsify(X, "sketch", m=8)
    with pytest.raises(ss.ParameterError, match=r"is of d = 90 columns, but array has 50"):
        ss.certify(X[:, :50], result)
