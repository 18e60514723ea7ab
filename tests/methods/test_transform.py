"""New rows: the same function of each row, and no block read that is not needed."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

import drivers
import strategies
import streamsparse as ss
from streamsparse.methods.transform import pick_columns, plan_columns
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution
from streamsparse.running.progress import show_progress
from streamsparse.sketching.bounds import entrywise_epsilon
from streamsparse.sources.open import open_source

N, D = 20, 2000


@pytest.fixture(scope="module")
def X():
    return strategies.sparse_matrix(N, D, 0.2, dtype="float32").toarray()


def dense(Y):
    return Y.toarray() if scipy.sparse.issparse(Y) else np.asarray(Y[:])


@pytest.mark.parametrize("arguments", [{"m": 40}, {"epsilon": 0.9, "target": "spectral"}])
@pytest.mark.parametrize("first", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("then", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_array])
def test_transform__of_a_sample_gives_old_rows_their_old_values(X, arguments, first, then):
    result = ss.sparsify(first(X), "sample", **arguments)
    new = result.transform(then(X[5:9]))
    assert scipy.sparse.issparse(new) == (then is not np.asarray)
    np.testing.assert_array_equal(dense(new), dense(result.Y)[5:9])


def test_transform__of_a_sample_writes_what_it_returns(X, tmp_path):
    result = ss.sparsify(X, "sample", m=40)
    written = result.transform(X[:3], out=tmp_path / "new.zarr")
    np.testing.assert_array_equal(dense(written), result.Y[:3])
    sparse = result.transform(scipy.sparse.csr_array(X[:3]), out=tmp_path / "sparse.zarr")
    np.testing.assert_array_equal(dense(sparse), result.Y[:3])


def test_transform__of_a_sample_refuses_nan_in_what_it_reads(X):
    result = ss.sparsify(X, "sample", m=40)
    bad = X[:3].copy()
    bad[1, result.columns[7]] = np.nan
    with pytest.raises(ss.NonFiniteError, match=f"row 1, column {result.columns[7]}"):
        result.transform(bad)
    zeroed = result.transform(bad, nonfinite="zero")
    expected = result.Y[:3].copy()
    expected[1, 7] = 0
    np.testing.assert_array_equal(zeroed, expected)


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csc_array])
@pytest.mark.parametrize("columns", [[0], [1999], [3, 700, 701, 1500], list(range(0, 2000, 50))])
def test_pick_columns__reads_no_block_without_a_kept_column(X, storage, columns):
    columns = np.array(columns)
    source = drivers.Watched(open_source(storage(X), feature_axis=1, missing="error"))
    stream = plan_columns(Facts.of(source), columns, memory_budget=1 << 30)
    width = 100
    narrow = replace(stream, block_bytes=N * 4 * width)
    with show_progress(False, label="", total=0) as bar:
        Y = pick_columns(
            source,
            narrow,
            Execution(2, False, bar),
            columns=columns,
            weights=np.full(columns.size, 4.0),
            output=None,
        )
    np.testing.assert_array_equal(dense(Y), 2 * X[:, columns].astype(np.float64))
    intervals = [interval for _, interval in source.reads]
    assert all(any(a <= column < b for column in columns) for a, b in intervals)
    assert len(set(intervals)) == len(intervals)
    if storage is np.asarray:
        assert len(intervals) == np.unique(columns // width).size


def test_transform__of_a_sketch_in_bands_is_that_of_the_whole(X, tmp_path):
    result = ss.sparsify(X, "sketch", m=128)
    np.save(tmp_path / "x.npy", X)
    np.testing.assert_array_equal(result.transform(tmp_path / "x.npy"), result.Y)


@pytest.mark.parametrize("arguments", [{}, {"epsilon": 0.3, "target": "entries"}])
def test_transform__of_new_rows_keeps_their_products_with_old_ones(arguments):
    # New rows have most of their length outside of the span of the old ones: it must not come back
    # as products. What is left out of the sketch is in the certified error of the old rows.
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((4, 6000))
    old = centres[np.arange(40) % 4] + rng.standard_normal((40, 6000))
    new = centres[np.arange(8) % 4] + rng.standard_normal((8, 6000))
    result = ss.sparsify(old, "sketch", **arguments)
    assert result.map.exact_diagonal
    found = result.transform(new) @ result.Y.T
    slope = np.vdot(found, new @ old.T) / np.vdot(new @ old.T, new @ old.T)
    # The sketch's own error, for 48 rows and once in a million; rescaling at most doubles it.
    sketch = 2 * entrywise_epsilon(n=48, m=result.plan.sketch_columns, delta=1e-6)
    assert abs(slope - 1) <= sketch + (0.3 if arguments else 0.0)
    scale = np.linalg.norm(new, axis=1)[:, None] * np.linalg.norm(old, axis=1)
    worst = (np.abs(found - new @ old.T) / scale).max()
    assert worst <= sketch + result.certificate.entry_error.value
