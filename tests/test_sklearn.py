"""Estimators: scikit-learn's own checks, and that they do what ``sparsify`` does."""

import pickle
import subprocess
import sys

import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr

import streamsparse as ss

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from streamsparse.sklearn import (
    GramReducer,
    LeverageColumnSampler,
    SparseSignProjection,
    SpectralColumnSelector,
)

ESTIMATORS = [
    SparseSignProjection(),
    LeverageColumnSampler(),
    SpectralColumnSelector(),
    GramReducer(),
]


@parametrize_with_checks(ESTIMATORS)
def test_estimators__pass_what_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def X():
    return np.random.default_rng(0).standard_normal((30, 900)) / 30


def named(X, names):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, columns=names)


MADE = {
    "sketch": SparseSignProjection(64, s=4, random_state=3),
    "sample": LeverageColumnSampler(200, random_state=3),
    "select": SpectralColumnSelector(90, algorithm="balance"),
    "exact": GramReducer(),
}


@pytest.mark.parametrize("method", MADE)
@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_matrix])
def test_fit_transform__is_what_sparsify_returns(X, method, storage):
    estimator = clone(MADE[method])
    Y = estimator.fit_transform(storage(X))
    seed = int(np.random.RandomState(3).randint(2**31 - 1))
    options = {"s": 4} if method == "sketch" else {}
    options |= {"algorithm": "balance"} if method == "select" else {}
    expected = ss.sparsify(
        storage(X), method, m=estimator.n_components, seed=seed, target=estimator.target, **options
    )
    np.testing.assert_array_equal(dense(Y), dense(expected.Y))
    assert estimator.certificate_.to_dict()["entry_error"] == pytest.approx(
        expected.certificate.to_dict()["entry_error"]
    )
    again = dense(estimator.transform(storage(X)))
    if method == "exact":
        np.testing.assert_allclose(again, dense(Y), atol=1e-12)
    else:
        np.testing.assert_array_equal(again, dense(Y))


def dense(Y):
    return Y.toarray() if scipy.sparse.issparse(Y) else np.asarray(Y)


@pytest.mark.parametrize("method", MADE)
def test_fit__of_a_stored_or_lazy_X_is_that_of_the_array(X, method, tmp_path):
    stored = zarr.create_array(tmp_path / "X.zarr", shape=X.shape, chunks=(30, 100), dtype="f8")
    stored[:] = X
    tall = zarr.create_array(tmp_path / "T.zarr", shape=X.T.shape, chunks=(100, 30), dtype="f8")
    tall[:] = X.T
    expected = dense(clone(MADE[method]).fit_transform(X))
    lazy = dask.array.from_array(X, chunks=(30, 250))
    for given, axis in ((tmp_path / "X.zarr", 1), (stored, 1), (tall, 0), (lazy, 1)):
        estimator = clone(MADE[method]).set_params(feature_axis=axis).fit(given)
        assert estimator.n_features_in_ == 900
        Y = dense(estimator.transform(given))
        np.testing.assert_allclose(Y, expected, atol=1e-12 if method == "exact" else 0)
        new = dense(estimator.transform(X[:3]))
        np.testing.assert_allclose(new, expected[:3], atol=1e-12 if method == "exact" else 0)
    short = zarr.create_array(tmp_path / "S.zarr", shape=(3, 70), dtype="f8")
    with pytest.raises(ValueError, match=r"X has 70 features, but .* is expecting 900"):
        clone(MADE[method]).fit(stored).transform(short)


@pytest.mark.parametrize("method", ["sample", "select"])
def test_column_estimators__name_the_features_they_keep(X, method):
    names = [f"gene {k}" for k in range(900)]
    estimator = clone(MADE[method]).set_output(transform="pandas")
    Y = estimator.fit_transform(named(X, names))
    kept = [names[k] for k in estimator.indices_]
    assert list(Y.columns) == list(estimator.get_feature_names_out()) == kept
    expected = np.sqrt(estimator.weights_) * X[:, estimator.indices_]
    np.testing.assert_allclose(Y.to_numpy(), expected, rtol=1e-15)
    mask = estimator.get_support()
    assert mask.sum() == estimator.n_components_ == len(estimator.indices_)
    np.testing.assert_array_equal(estimator.get_support(indices=True), np.sort(estimator.indices_))
    with pytest.raises(ValueError, match="not equal to feature_names_in_"):
        estimator.get_feature_names_out(names[::-1])
    plain = clone(MADE[method]).fit(X)
    assert plain.get_feature_names_out()[0] == f"x{plain.indices_[0]}"
    assert list(plain.get_feature_names_out(names)) == kept
    with pytest.raises(ValueError, match=r"\(900\), got 3"):
        plain.get_feature_names_out(["a", "b", "c"])


def test_projection__keeps_nothing_of_the_size_of_X(X):
    fitted = SparseSignProjection(64, random_state=0).fit(X)
    assert len(pickle.dumps(fitted)) < 8_000
    new = np.random.default_rng(1).standard_normal((4, 900))
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(fitted)).transform(new), fitted.transform(new)
    )


def test_gram_reducer__keeps_products_of_new_rows_with_old_ones(X):
    reducer = GramReducer().fit(X)
    new = np.random.default_rng(1).standard_normal((4, 900))
    np.testing.assert_allclose(reducer.transform(new) @ reducer.Y_.T, new @ X.T, atol=1e-12)


def test_estimators__work_in_a_pipeline_and_a_grid_search():
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((60, 400)), np.arange(60) % 2
    X[:, :5] += 30 * labels[:, None]
    pipe = Pipeline([("reduce", SparseSignProjection(random_state=0)), ("svc", LinearSVC())])
    grid = {
        "reduce": [SparseSignProjection(random_state=0), SpectralColumnSelector()],
        "reduce__n_components": [100, 200],
    }
    found = GridSearchCV(pipe, grid, cv=2).fit(X, labels)
    assert found.best_score_ > 0.8
    assert found.best_estimator_["reduce"].certificate_.m in (100, 200)


@pytest.mark.parametrize("method", MADE)
def test_estimators__of_float32_give_float32(X, method):
    Y = clone(MADE[method]).fit_transform(X.astype(np.float32))
    assert Y.dtype == np.float32


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (SparseSignProjection(1000), "m must be at most d = 900"),
        (SparseSignProjection(10, epsilon=0.1), "m.*epsilon"),
        (GramReducer(31), "at most n = 30 columns"),
    ],
)
def test_fit__refuses_what_sparsify_refuses(X, estimator, message):
    with pytest.raises(ss.ParameterError, match=message):
        estimator.fit(X)


def test_module__without_scikit_learn_says_how_to_get_it():
    code = "import sys; sys.modules['sklearn'] = None; import streamsparse.sklearn"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: streamsparse.sklearn needs scikit-learn: pip install 'streamsparse[sklearn]'"
    )


@pytest.mark.parametrize("method", ["sample", "select"])
def test_column_estimators__of_sparse_X_go_before_who_takes_narrow_indices(X, method):
    made = Pipeline([("columns", clone(MADE[method])), ("svm", LinearSVC())])
    made.fit(scipy.sparse.csr_array(X), X[:, 0] > 0)
    assert made[0].transform(scipy.sparse.csr_array(X)).indices.dtype == np.int32
