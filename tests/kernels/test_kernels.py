"""Every kernel against its slow twin."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import reference
import strategies
from strategies import extents_of
from streamsparse.accumulators.sketch import empty_stage, lists_of
from streamsparse.kernels import gram, layout, norms, sketch
from streamsparse.kernels.vector import LANES, ROWS
from streamsparse.sketching.run_hash import SparseSign

KERNEL_DTYPES = ["float32", "float64", "int8", "uint8", "int16", "int32", "int64"]


def sketched(X, operator, start):
    """Return the padded sums of the columns from ``start`` on."""
    run, (rows, width) = operator.run, X.shape
    first, stop = start // run, -(-width // run)
    padded = np.zeros((rows, operator.padded_m))
    lists, stage = lists_of(operator, first, stop), empty_stage(X.dtype, run, stop - first)
    sketch.sketch_dense(X, start, width, start - run * first, run, lists, stage, padded)
    return padded


@pytest.mark.parametrize("dtype", KERNEL_DTYPES)
@pytest.mark.parametrize(("m", "s"), [(64, 1), (130, 2), (512, 8), (20, 8)])
def test_sketch_dense__adds_exactly_X_times_S(dtype, m, s):
    X = strategies.integer_matrix(19, 300, dtype)
    operator = SparseSign.make(d=300, m=m, s=s, seed=4)
    padded = sketched(X, operator, 0)
    expected = X.astype(float) @ reference.dense_S(d=300, m=m, s=s, seed=4).T
    np.testing.assert_array_equal(operator.unpad(padded), expected)


@pytest.mark.parametrize("start", [1, 37, 64, 100, 299])
def test_sketch_dense__begins_anywhere_inside_a_run(start):
    X = strategies.integer_matrix(5, 300, "int32")
    operator = SparseSign.make(d=300, m=256, s=4, seed=4)
    padded = sketched(X, operator, start)
    S = reference.dense_S(d=300, m=256, s=4, seed=4)
    np.testing.assert_array_equal(
        operator.unpad(padded), X[:, start:].astype(float) @ S[:, start:].T
    )


def test_fill_lists__lists_every_run_once_for_each_vector_that_it_overlaps():
    operator = SparseSign.make(d=1000, m=300, s=2, seed=5)
    offsets, signs = operator.tables(0, 10)
    heads, positions, bits = lists_of(operator, 0, 10)
    padded, found = operator.run + 2 * LANES, []
    for v in range(heads.size - 1):
        for e in range(heads[v], heads[v + 1]):
            q, at = divmod(int(positions[e]), ROWS * padded)
            found.append((q, LANES * v - (at - LANES)))
            a = at - LANES
            for k in range(LANES):
                if 0 <= a + k < operator.run:
                    t = int(np.flatnonzero(offsets[q] == LANES * v - a)[0])
                    assert int(bits[e]) >> k & 1 == int(signs[q, t]) >> (a + k) & 1
        # In the order of columns: sums do not depend on how lists were made.
        runs = positions[heads[v] : heads[v + 1]] // (ROWS * padded)
        assert (np.diff(runs) >= 0).all()
    vectors = -(-(offsets % LANES + operator.run) // LANES)
    assert len(found) == vectors.sum()
    assert set(found) == {(q, int(o)) for q in range(10) for o in offsets[q]}


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("values", [[np.nan, 1.0], [np.inf, 1.0], [-0.0, -0.0]])
def test_sketch_dense__passes_on_what_is_not_finite_and_no_negative_zero(rows, values):
    X = np.tile(np.array(values, np.float32), (rows, 1))
    operator = SparseSign.make(d=2, m=2, s=1, seed=0)
    sums = operator.unpad(sketched(X, operator, 0))
    S = reference.dense_S(d=2, m=2, s=1, seed=0)
    with np.errstate(invalid="ignore"):
        expected = np.zeros((rows, 2)) + sum(
            np.where(S[:, j] != 0, S[:, j] * X[:, j : j + 1].astype(float), 0.0) for j in range(2)
        )
    np.testing.assert_array_equal(sums, expected)
    assert not np.signbit(sums[sums == 0]).any()


@pytest.mark.parametrize("dtype", KERNEL_DTYPES)
@pytest.mark.parametrize("origin", [0, 100])
def test_sketch_sparse__adds_exactly_X_times_S(dtype, origin):
    dense = strategies.integer_matrix(11, 200, dtype) * (np.arange(200) % 3 == 0)
    X = scipy.sparse.csr_array(dense.astype(dtype))
    operator = SparseSign.make(d=400, m=130, s=2, seed=8)
    run = operator.run
    first = origin // run
    offsets, signs = operator.tables(first, -(-(origin + 200) // run))
    padded = np.zeros((11, operator.padded_m))
    phase = origin - first * run
    sketch.sketch_sparse(extents_of(X), X.indices, X.data, phase, run, offsets, signs, padded)
    S = reference.dense_S(d=400, m=130, s=2, seed=8)[:, origin : origin + 200]
    np.testing.assert_array_equal(operator.unpad(padded), dense.astype(float) @ S.T)


@pytest.mark.parametrize("phase", [0, 1, 63])
@pytest.mark.parametrize("width", [1, 63, 64, 65, 200])
def test_norms__dense_and_sparse_give_the_same_bits(phase, width):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((7, width)) * (rng.random((7, width)) < 0.5)
    lanes = [np.zeros((7, norms.LANES)) for _ in range(3)]
    norms.norms_dense(X, 0, width, phase, lanes[0])
    by_rows, by_columns = scipy.sparse.csr_array(X), scipy.sparse.csc_array(X)
    norms.norms_sparse_rows(extents_of(by_rows), by_rows.indices, by_rows.data, phase, lanes[1])
    norms.norms_sparse_columns(
        extents_of(by_columns), by_columns.indices, by_columns.data, phase, lanes[2]
    )
    np.testing.assert_array_equal(lanes[0], lanes[1])
    np.testing.assert_array_equal(lanes[0], lanes[2])
    expected = np.zeros((7, norms.LANES))
    for j in range(width):
        expected[:, (phase + j) % norms.LANES] += X[:, j] * X[:, j]
    np.testing.assert_array_equal(lanes[0], expected)


def test_fill_tile_columns__writes_zeros_too():
    X = scipy.sparse.csc_array(np.array([[1, 0, 2], [0, 0, 3]], np.float64))
    tile = np.full((2, 4), 9.0)
    gram.fill_tile_columns(extents_of(X), X.indices, X.data, np.array([2, 0]), 1, tile)
    np.testing.assert_array_equal(tile, [[9, 2, 1, 9], [9, 3, 0, 9]])


def test_scale_rows__is_exact_and_bounds_by_one_what_was_not_safe():
    X = strategies.named_matrices()["norms 1e-18 to 1e18"][:, :64].copy()
    scaled, exponents = X.copy(), np.ones(X.shape[0], np.int64)
    gram.find_exponents(X.view(np.uint32), 0, X.shape[1], exponents[None])
    gram.scale_rows(exponents, scaled)
    before, after = np.abs(X).max(axis=1), np.abs(scaled).max(axis=1)
    is_safe = (before >= 2.0 ** (-gram.SAFE - 1)) & (before < 2.0**gram.SAFE)
    assert is_safe.any()
    assert not is_safe.all()
    assert (exponents[is_safe] == 0).all()
    assert ((after >= 0.5) & (after < 1))[~is_safe].all()
    np.testing.assert_array_equal(np.ldexp(scaled, exponents[:, None]), X)


def test_find_exponents__leaves_zeros_and_what_is_not_finite():
    X = np.array([[0, 0], [np.inf, 1], [np.nan, 1e-30]], np.float32)
    exponents = np.ones((1, 3), np.int64)
    gram.find_exponents(X.view(np.uint32), 0, X.shape[1], exponents)
    np.testing.assert_array_equal(exponents, 0)


def test_find_exponents__looks_at_each_tile_for_itself():
    X = np.full((2, 7), 1.0, np.float32)
    X[0, 2], X[1, 4] = 2.0**50, 2.0**90
    exponents = np.ones((2, 2), np.int64)
    gram.find_exponents(X.view(np.uint32), 1, 3, exponents)
    np.testing.assert_array_equal(exponents, [[51, 0], [0, 91]])


def test_add_batch__adds_some_rows_of_every_product():
    products = np.arange(3 * 4 * 2, dtype=np.float32).reshape(3, 4, 2)
    G = np.full((2, 5), 2.0**-40)
    gram.add_batch(products, 1, G, 3)
    expected = np.zeros((2, 5))
    expected[:, 3:] = products[:, 1:3].sum(axis=0)
    np.testing.assert_array_equal(G, expected + 2.0**-40)


def test_add_to__adds_in_float64_where_it_is_told():
    G = np.full((2, 4), 2.0**-40)
    gram.add_to(np.array([[1, 2], [3, 4]], np.float32), G, 1)
    expected = np.array([[0, 1, 2, 0], [0, 3, 4, 0]]) + 2.0**-40
    np.testing.assert_array_equal(G, expected)


@pytest.mark.parametrize("edges", [[0, 9], [0, 4, 9], [0, 1, 2, 9]])
def test_scatter_columns__equals_the_gram_matrix_exactly(edges):
    dense = strategies.integer_matrix(9, 40, "int16") * (np.arange(40) % 2)
    X = scipy.sparse.csc_array(dense)
    G = np.zeros((9, 9))
    columns = np.arange(40)
    for lo, hi in pairwise(edges):
        gram.scatter_columns(extents_of(X), X.indices, X.data, columns, lo, hi, G)
    np.testing.assert_array_equal(G, np.tril(reference.gram(dense)))


def test_rows_sparse__multiplies_by_the_sample():
    dense = strategies.integer_matrix(6, 20, "int8") * (np.arange(20) % 3 == 0)
    X = scipy.sparse.csr_array(dense)
    sample = scipy.sparse.csc_array(dense[[1, 4]].astype(float))
    out = np.zeros((6, 2))
    gram.rows_sparse(
        extents_of(X), X.indices, X.data, 0, sample.indptr, sample.indices, sample.data, out
    )
    np.testing.assert_array_equal(out, dense.astype(float) @ sample.toarray().T)


@pytest.mark.parametrize("shape", [(1, 1), (33, 70), (64, 32)])
def test_transpose__copies_every_entry(shape):
    X = strategies.integer_matrix(*shape, "int64", high=10**6)
    out = np.empty(shape[::-1], np.int64)
    layout.transpose(X, out)
    np.testing.assert_array_equal(out, X.T)


def test_transpose_compressed__turns_rows_into_columns_in_order():
    X = strategies.sparse_matrix(13, 29, 0.3)
    heads, minors = np.zeros(30, np.int64), np.empty(X.nnz, np.int32)
    values = np.empty(X.nnz, X.dtype)
    layout.transpose_compressed(X.indptr.astype(np.int64), X.indices, X.data, heads, minors, values)
    expected = X.tocsc()
    np.testing.assert_array_equal(heads, expected.indptr)
    np.testing.assert_array_equal(minors, expected.indices)
    np.testing.assert_array_equal(values, expected.data)


def test_rows_by_columns__are_the_columns_of_some_rows():
    X = strategies.sparse_matrix(13, 29, 0.3)
    chosen, shift = np.array([12, 0, 5]), 4
    # Of each row what comes before the shift is left out.
    starts = X.indptr[:-1] + [
        int((row < shift).sum()) for row in np.split(X.indices, X.indptr[1:-1])
    ]
    extents = np.stack([starts, X.indptr[1:]]).astype(np.int64)
    expected = X[chosen][:, shift:].tocsc()
    heads = np.zeros(29 - shift + 1, np.int64)
    owners, values = np.empty(expected.nnz, np.int32), np.empty(expected.nnz)
    layout.rows_by_columns(extents, X.indices, X.data, chosen, shift, heads, owners, values)
    np.testing.assert_array_equal(heads, expected.indptr)
    np.testing.assert_array_equal(owners, expected.indices)
    np.testing.assert_array_equal(values, expected.data)


def test_widen_halves__gives_the_bits_that_numpy_gives():
    halves = np.arange(1 << 16, dtype=np.uint16)
    bits = np.full(16 * 4100, 7, np.uint32)
    # 16 lines of 4,096, in longer ones.
    with np.errstate(invalid="ignore"):
        layout.widen_halves(halves, 4096, bits, bits.view(np.float32), 4100, 16, 4096)
    lines = bits.reshape(16, 4100)
    expected = halves.view(np.float16).astype(np.float32).view(np.uint32)
    np.testing.assert_array_equal(lines[:, :4096].reshape(-1), expected)
    assert (lines[:, 4096:] == 7).all()


@pytest.mark.parametrize("limit", [0, 3, 7, 100])
def test_advance__finds_the_first_index_at_or_after_the_limit(limit):
    indices = np.array([0, 3, 7, 1, 2, 9, 5])
    starts, ends = np.array([0, 3, 6, 7]), np.array([3, 6, 7, 7])
    stops = np.empty(4, np.int64)
    layout.advance(starts, ends, indices, limit, stops)
    expected = [
        a + int(np.searchsorted(indices[a:b], limit)) for a, b in zip(starts, ends, strict=True)
    ]
    assert stops.tolist() == expected


@given(data=st.data())
def test_advance__finds_it_in_rows_of_any_length(data):
    rows = data.draw(st.lists(st.sets(st.integers(0, 300), max_size=80), min_size=1, max_size=5))
    indices = np.array([j for row in rows for j in sorted(row)] + [0])
    ends = np.cumsum([len(row) for row in rows])
    starts = ends - [data.draw(st.integers(0, len(row))) for row in rows]
    limit, stops = data.draw(st.integers(-1, 302)), np.empty(len(rows), np.int64)
    layout.advance(starts, ends, indices, limit, stops)
    expected = [
        a + int(np.searchsorted(indices[a:b], limit)) for a, b in zip(starts, ends, strict=True)
    ]
    assert stops.tolist() == expected


def test_zero_nonfinite__replaces_and_counts():
    values = np.array([[1.0, np.nan], [np.inf, -np.inf]])
    assert layout.zero_nonfinite(values) == 3
    np.testing.assert_array_equal(values, [[1, 0], [0, 0]])
