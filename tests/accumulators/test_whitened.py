"""What a chooser is shown of X, and that neither blocks nor threads change it or the picks."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
import tolerances
from drivers import accumulate, block_dtype, dense_values
from streamsparse.accumulators.whitened import WhitenedPicker
from streamsparse.running.threads import worker_threads

N, D, K = 20, 1500, 15
WIDTH = 256
STORAGES = [np.asarray, np.asfortranarray, scipy.sparse.csr_array, scipy.sparse.csc_array]


class Recorder:
    """A chooser that keeps every third column, and all that it was shown."""

    def __init__(self):
        self.columns, self.V, self.compacted = [], [], []

    def choose(self, columns, V, each):
        self.columns.append(columns.copy())
        self.V.append(V.copy())
        return (columns % 3 == 0) * (columns + 1.0), columns * 2.0

    def compact(self, picks, *, is_final):
        self.compacted.append(is_final)


def triangle(k, n, seed=0):
    return np.triu(np.random.default_rng(seed).standard_normal((k, n)))


def some_X(dtype="float64", seed=0):
    """Most entries are zero, and so are many columns."""
    X = strategies.sparse_matrix(N, D, density=0.06, seed=seed).toarray().astype(dtype)
    X[:, 5::7] = 0
    return X


def show(X, R, *, dtype=np.float64, norms=None, **options):
    """(picks, what the chooser was shown)."""
    plain = X.toarray() if scipy.sparse.issparse(X) else X
    recorder = Recorder()
    picker = WhitenedPicker(
        rows=X.shape[0],
        block_dtype=block_dtype(X),
        R=R,
        squared_norms=np.square(plain.astype(np.float64)).sum(axis=1) if norms is None else norms,
        dtype=dtype,
        chooser=recorder,
    )
    return accumulate(picker, X, by_rows=False, **options), recorder


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("span", [300, 1024, 1 << 20])
def test_chooser__sees_all_columns_in_order_in_tiles_of_each_span(storage, span):
    X = some_X()
    _, shown = show(storage(X), triangle(K, N), span=span)
    seen = np.arange(D) if storage in STORAGES[:2] else np.flatnonzero(X.any(axis=0))
    expected = []
    for start in range(0, D, span):
        inside = seen[(seen >= start) & (seen < start + span)]
        expected += [inside[a : a + WIDTH].tolist() for a in range(0, inside.size, WIDTH)]
    assert [columns.tolist() for columns in shown.columns] == expected
    assert shown.compacted[-1]


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("read", ["float64", "float32", "int8"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_chooser__sees_the_product_within_rounding(storage, read, dtype):
    X = some_X() * 10
    X = np.clip(X, -100, 100).astype(read)
    R = triangle(K, N)
    _, shown = show(storage(X), R, dtype=dtype, span=500)
    V, columns = np.concatenate(shown.V, axis=1), np.concatenate(shown.columns)
    assert V.dtype == dtype
    assert shown.V[0].flags.c_contiguous
    X = X[:, columns].astype(np.float64)
    # Powers of two scale exactly; R and V are rounded to their dtypes once, a sum n times.
    bound = tolerances.sum_error_bound(np.abs(R) @ np.abs(X), N + 3, dtype)
    assert (np.abs(V - R @ X) <= bound).all()


@pytest.mark.parametrize("storage", STORAGES)
def test_chooser__sees_rows_of_all_lengths_in_float32(storage):
    X = strategies.hard_matrices(n=N, d=600)["norms 1e-18 to 1e18"]
    lengths = np.linalg.norm(X.astype(np.float64), axis=1)
    R = triangle(K, N) / lengths
    _, shown = show(storage(X), R, dtype=np.float32, norms=lengths**2)
    V = np.concatenate(shown.V, axis=1)
    bound = tolerances.sum_error_bound(np.abs(R) @ np.abs(X.astype(np.float64)), N + 3, np.float32)
    assert (np.abs(V - R @ X.astype(np.float64)) <= bound).all()


@pytest.mark.parametrize("shape", ["upper", "full", "zero rows first"])
@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csc_array])
def test_chooser__sees_the_product_of_more_rows_than_a_band(shape, storage):
    n = 300
    R = np.random.default_rng(1).integers(-3, 4, (n, n)).astype(np.float64)
    R = {"upper": np.triu(R), "full": R, "zero rows first": np.tril(R, -258)}[shape]
    X = strategies.integer_matrix(n, 300, "int8")
    X[0, :] = 1  # so that no column is empty
    _, shown = show(storage(X), R)
    np.testing.assert_array_equal(np.concatenate(shown.V, axis=1), R @ X)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("span", [64, 1 << 20])
def test_picks__are_the_columns_that_the_chooser_wants_as_they_were_read(storage, span):
    X = some_X("float32")
    picks, shown = show(storage(X), triangle(K, N), span=span)
    seen = np.concatenate(shown.columns)
    expected = seen[seen % 3 == 0]
    assert picks.columns.tolist() == expected.tolist()
    np.testing.assert_array_equal(picks.keys, expected + 1)
    np.testing.assert_array_equal(picks.scores, expected * 2)
    values = dense_values(picks, N)
    np.testing.assert_array_equal(values, X[:, expected])
    assert values.dtype == np.float32


@settings(max_examples=50)
@given(data=st.data(), kind=st.sampled_from(["dense", "sparse"]), dtype=st.sampled_from("fd"))
def test_picks__and_what_is_shown_have_the_same_bits_for_any_cut_and_threads(data, kind, dtype):
    X, R = some_X(), triangle(K, N)
    X = X if kind == "dense" else scipy.sparse.csc_array(X)
    whole, first = show(X, R, dtype=dtype, span=512)
    with worker_threads(data.draw(st.sampled_from([1, 2, 5]))) as each:
        edges = data.draw(strategies.cuts(D))
        cut, second = show(X, R, dtype=dtype, edges=edges, span=512, each=each)
    for a, b in zip(first.columns + first.V, second.columns + second.V, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(cut.columns, whole.columns)
    np.testing.assert_array_equal(dense_values(cut, N), dense_values(whole, N))


@pytest.mark.parametrize("storage", STORAGES)
def test_picks__are_named_by_their_column_of_X_in_blocks_that_begin_with_a_span(storage):
    # Blocks count their columns from their own first one.
    X = some_X()
    picks, shown = show(storage(X), triangle(K, N), edges=[0, 512, 1024, D], span=512)
    whole, first = show(storage(X), triangle(K, N), span=512)
    assert picks.columns.tolist() == whole.columns.tolist()
    assert np.concatenate(shown.columns).tolist() == np.concatenate(first.columns).tolist()
    np.testing.assert_array_equal(dense_values(picks, N), X[:, picks.columns])


def test_picks__do_not_share_memory_with_what_was_read():
    X = np.arange(1.0, 61).reshape(3, 20)
    picks, _ = show(X, np.eye(3))
    assert not np.shares_memory(picks.batches[0].values, X)


def test_picker__of_nothing_but_zeros_picks_nothing():
    picks, shown = show(scipy.sparse.csc_array((N, 900)), triangle(K, N), span=256)
    assert picks.count == 0
    assert shown.columns == []


def test_clear__forgets_the_picks():
    picks, _ = show(some_X(), triangle(K, N))
    assert picks.count > 0
    picker = WhitenedPicker(
        rows=N,
        block_dtype=np.dtype(np.float64),
        R=triangle(K, N),
        squared_norms=np.ones(N),
        dtype=np.float64,
        chooser=Recorder(),
    )
    picker.clear(picks)
    assert picks.count == picker.start().count == 0
