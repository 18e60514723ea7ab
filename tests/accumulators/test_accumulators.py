"""Accumulators against dense twins, and their bits against every way of cutting the columns."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import reference
import strategies
import tolerances
from drivers import accumulate, block_dtype
from params import slow_but
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.rows import RowsAccumulator
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.errors import NonFiniteError
from streamsparse.running.pieces import prepare
from streamsparse.running.threads import worker_threads
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.sources.array import ArraySource
from streamsparse.sources.dtypes import as_block_dtype


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize("n", [1, 5, 257, 300])
def test_gram__of_integers_is_exact_in_every_dtype(dtype, n):
    X = strategies.integer_matrix(n, 700, dtype)
    G = accumulate(GramAccumulator(rows=n, block_dtype=block_dtype(X)), X)
    exact = X.astype(np.int64) @ X.astype(np.int64).T
    np.testing.assert_array_equal(G, exact)


@pytest.mark.parametrize("kind", strategies.named_matrices())
def test_gram__stays_within_its_rounding_bound(kind):
    X = strategies.named_matrices()[kind]
    dtype = block_dtype(X)
    G = accumulate(GramAccumulator(rows=X.shape[0], block_dtype=dtype), X)
    error = np.abs(G - reference.gram(X))
    assert (error <= tolerances.gram_error_bound(X, dtype)).all()


@pytest.mark.parametrize("kind", strategies.named_matrices())
def test_gram__of_sparse_columns_stays_within_its_rounding_bound(kind):
    X = strategies.named_matrices()[kind]
    X = np.where(np.random.default_rng(1).random(X.shape) < np.linspace(0, 1, X.shape[1]), X, 0)
    G = accumulate(
        GramAccumulator(rows=X.shape[0], block_dtype=block_dtype(X)),
        scipy.sparse.csc_array(X),
        by_rows=False,
    )
    error = np.abs(G - reference.gram(X))
    assert (error <= tolerances.gram_error_bound(X, block_dtype(X))).all()


@given(data=st.data(), kind=st.sampled_from(["dense", "sparse"]))
def test_gram__has_the_same_bits_for_any_cut_and_threads(data, kind):
    n, d = 70, 1500
    edges = data.draw(strategies.cuts(d))
    if kind == "dense":
        X = np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)
    else:
        rng = np.random.default_rng(0)
        X = scipy.sparse.csc_array(
            rng.standard_normal((n, d)) * (rng.random((n, d)) < rng.random(d) ** 2)
        )

    def make():
        return GramAccumulator(rows=n, block_dtype=block_dtype(X))

    whole = accumulate(make(), X, by_rows=False)
    with worker_threads(data.draw(st.sampled_from([1, 2, 5]))) as each:
        cut = accumulate(make(), X, edges=edges, by_rows=False, each=each)
    np.testing.assert_array_equal(cut, whole)


@pytest.mark.parametrize("kind", strategies.named_matrices())
def test_rows__are_rows_of_the_gram_matrix(kind):
    X = strategies.named_matrices()[kind]
    sample = np.array([0, 7, 23])
    dtype = block_dtype(X)
    for matrix in (X, scipy.sparse.csr_array(X)):
        made = RowsAccumulator(rows=X.shape[0], sample=sample, held=None, block_dtype=dtype)
        rows = accumulate(made, matrix)
        error = np.abs(rows - reference.gram(X)[:, sample])
        assert (error <= tolerances.gram_error_bound(X, dtype)[:, sample]).all()


@given(data=st.data(), s=st.sampled_from([1, 2, 4, 8]))
def test_sketch__has_the_same_bits_for_any_cut_threads_and_storage(data, s):
    n, d = 40, 700
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.2)).astype(np.float32)
    operator = SparseSign.make(d=d, m=96, s=s, seed=2)
    whole = accumulate(SketchAccumulator(rows=n, operator=operator), X)
    edges = data.draw(strategies.cuts(d))
    storages = [X, np.asfortranarray(X), scipy.sparse.csr_array(X)]
    matrix = storages[data.draw(st.integers(0, 2), label="storage")]
    with worker_threads(data.draw(st.sampled_from([1, 2, 5]))) as each:
        cut = accumulate(
            SketchAccumulator(rows=n, operator=operator), matrix, edges=edges, each=each
        )
    np.testing.assert_array_equal(cut, whole)


@pytest.mark.parametrize("dtype", strategies.DTYPES)
@pytest.mark.parametrize(("m", "s"), [(1, 8), (64, 1), (100, 8), (600, 4)])
def test_sketch__of_integers_is_exact_in_every_dtype(dtype, m, s):
    X = strategies.integer_matrix(7, 500, dtype)
    operator = SparseSign.make(d=500, m=m, s=s, seed=1)
    Y = accumulate(SketchAccumulator(rows=7, operator=operator), X)
    np.testing.assert_array_equal(Y, reference.sums(X, m=m, s=s, seed=1))


@pytest.mark.parametrize("kind", strategies.named_matrices())
def test_sketch__stays_within_its_rounding_bound(kind):
    X = strategies.named_matrices()[kind]
    operator = SparseSign.make(d=X.shape[1], m=128, s=8, seed=1)
    Y = accumulate(SketchAccumulator(rows=X.shape[0], operator=operator), X)
    S = reference.dense_S(d=X.shape[1], m=128, s=8, seed=1)
    error = np.abs(Y - X.astype(float) @ S.T)
    # Twice: the twin rounds as well.
    assert (error <= 2 * tolerances.sketch_error_bound(X, np.abs(S))).all()


@pytest.mark.parametrize("kind", strategies.named_matrices())
def test_norms__are_squared_row_norms(kind):
    X = strategies.named_matrices()[kind]
    squares = np.array([reference.gram(X[i : i + 1])[0, 0] for i in range(X.shape[0])])
    for matrix, by_rows in ((X, True), (scipy.sparse.csr_array(X), True), (X, False)):
        norms = accumulate(NormsAccumulator(rows=X.shape[0]), matrix, by_rows=by_rows)
        assert (np.abs(norms - squares) <= tolerances.sum_error_bound(squares, X.shape[1])).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("storage", ["dense", "rows", "columns"])
def test_norms__name_row_and_column_of_the_first_bad_value(value, storage):
    X = np.ones((5, 300))
    X[3, 200] = X[1, 250] = value
    matrix = X if storage == "dense" else scipy.sparse.csr_array(X)
    with pytest.raises(NonFiniteError, match="row 3, column 200" if storage != "rows" else "row 1"):
        accumulate(NormsAccumulator(rows=5), matrix, by_rows=storage == "rows")


def test_norms__say_when_squares_overflow():
    X = np.full((2, 4), 1e200)
    with pytest.raises(NonFiniteError, match="row 0 of X overflow float64"):
        accumulate(NormsAccumulator(rows=2), X)


def test_prepare__reads_nonfinite_as_zero_on_a_copy():
    X = np.ones((3, 5), np.float32)
    X[1, 2] = np.nan
    block = prepare(ArraySource(X, feature_axis=1).read((0, 3), (0, 5)), by_rows=True, zero=True)
    assert block.view()[1, 2] == 0
    assert np.isnan(X[1, 2])
    assert as_block_dtype(X) is X


@pytest.mark.parametrize("storage", ["dense", "sparse"])
@pytest.mark.parametrize("n", slow_but([3, 600], 3))
def test_gram__of_more_columns_than_a_stack_of_tiles_holds_is_exact(storage, n):
    # Stacks hold 16 tiles for n = 3, 6 for n = 600; more than 512 rows are mirrored by bands.
    d = 9000 if n == 3 else 4000
    X = strategies.integer_matrix(n, d, "int8")
    matrix = X if storage == "dense" else scipy.sparse.csc_array(X)
    G = accumulate(GramAccumulator(rows=n, block_dtype=np.dtype("int8")), matrix, by_rows=False)
    np.testing.assert_array_equal(G, X.astype(np.int64) @ X.astype(np.int64).T)


def test_gram__scatters_after_a_drain_wherever_the_block_ends():
    # 4096 dense columns fill the stack exactly; the light ones after them must come after it.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((70, 4596))
    X[:, 4096:] *= rng.random((70, 500)) < 0.05
    matrix = scipy.sparse.csc_array(X)
    results = [
        accumulate(
            GramAccumulator(rows=70, block_dtype=np.dtype("float64")),
            matrix,
            edges=edges,
            by_rows=False,
        )
        for edges in ([0, 4596], [0, 4096, 4596], [0, 4095, 4097, 4596])
    ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_rows__of_sparse_pieces_in_several_steps_are_exact():
    # 4 MiB of sampled rows is 26,214 columns for 20 rows: three steps.
    X = strategies.sparse_matrix(20, 60_000, 0.2, high=9, dtype="int16")
    sample = np.arange(20)
    made = RowsAccumulator(rows=20, sample=sample, held=None, block_dtype=np.dtype("int16"))
    dense = X.toarray().astype(np.int64)
    np.testing.assert_array_equal(accumulate(made, X), dense @ dense.T)
