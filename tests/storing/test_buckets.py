from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsparse.errors import StoreError
from streamsparse.storing.buckets import DenseBuckets, SparseBuckets

DTYPES = [np.float32, np.float64, np.int8, np.uint16]


def cuts(length):
    """Increasing edges from 0 to length."""
    inner = st.sets(st.integers(1, length - 1), max_size=4) if length > 1 else st.just(set())
    return inner.map(lambda edges: [0, *sorted(edges), length])


@st.composite
def cases(draw):
    n, d = draw(st.integers(1, 9)), draw(st.integers(1, 30))
    dtype = draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    X = (rng.integers(1, 100, (n, d)) * (rng.random((n, d)) < draw(st.floats(0, 1)))).astype(dtype)
    return X, draw(st.integers(1, d)), draw(cuts(n)), draw(cuts(d)), draw(st.randoms())


def pairs(edges):
    return list(pairwise(edges))


@given(case=cases(), is_fortran=st.booleans())
@settings(max_examples=60, deadline=None)
def test_dense_buckets__any_rectangles_give_the_matrix(tmp_path_factory, case, is_fortran):
    X, width, row_edges, column_edges, random = case
    n, d = X.shape
    buckets = DenseBuckets(tmp_path_factory.mktemp("dense") / "f", (n, d), X.dtype, width)
    rectangles = [(rows, columns) for rows in pairs(row_edges) for columns in pairs(column_edges)]
    random.shuffle(rectangles)
    for rows, columns in rectangles:
        values = X[slice(*rows), slice(*columns)]
        buckets.put(rows, columns, np.asfortranarray(values) if is_fortran else values)
    for b in range(-(-d // width)):
        for rows in [(0, n), *pairs(row_edges)]:
            out = buckets.read(rows, b)
            np.testing.assert_array_equal(out, X[slice(*rows), b * width : (b + 1) * width])
            assert out.dtype == X.dtype
            assert out.flags.c_contiguous
    assert buckets.bytes_written == X.nbytes
    buckets.close()


@given(case=cases(), capacity=st.integers(1, 400), is_shuffled=st.booleans())
@settings(max_examples=60, deadline=None)
def test_sparse_buckets__any_bands_and_buffers_give_the_matrix(
    tmp_path_factory, case, capacity, is_shuffled
):
    X, width, row_edges, _, random = case
    n, d = X.shape
    buckets = SparseBuckets(
        tmp_path_factory.mktemp("sparse") / "f", (n, d), X.dtype, width, buffer_bytes=capacity
    )
    bands = pairs(row_edges)
    if is_shuffled:
        random.shuffle(bands)
    for rows in bands:
        band = scipy.sparse.csr_array(X[slice(*rows)])
        buckets.put(rows, band.indptr, band.indices, band.data)
    for b in range(-(-d // width)):
        indptr, indices, data = buckets.read_bucket(b)
        expected = scipy.sparse.csr_array(X[:, b * width : (b + 1) * width])
        np.testing.assert_array_equal(indptr, expected.indptr)
        np.testing.assert_array_equal(indices, expected.indices)
        np.testing.assert_array_equal(data, expected.data)
        assert (indptr.dtype, indices.dtype, data.dtype) == (np.int64, np.int32, X.dtype)
    entry_bytes = 8 + X.dtype.itemsize
    assert buckets.bytes_written == np.count_nonzero(X) * entry_bytes
    assert (buckets._file.path).stat().st_size == buckets.bytes_written
    buckets.close()


def test_sparse_buckets__more_buckets_than_sixteen_bits(tmp_path):
    d = 1 << 20
    columns = np.array([0, 1, 65_535, 65_536, 65_537, d - 1])
    buckets = SparseBuckets(tmp_path / "f", (3, d), np.dtype(np.float32), 1)
    buckets.put((1, 2), np.array([0, 6]), columns, np.arange(6, dtype=np.float32))
    for value, column in enumerate(columns):
        indptr, indices, data = buckets.read_bucket(int(column))
        assert (indptr.tolist(), indices.tolist(), data.tolist()) == ([0, 0, 1, 1], [0], [value])
    assert buckets.read_bucket(7)[2].size == 0
    buckets.close()


def test_buckets__threads_may_write_and_read_at_once(tmp_path):
    X = np.arange(64.0 * 96).reshape(64, 96)
    dense = DenseBuckets(tmp_path / "d", X.shape, X.dtype, 7)
    sparse = SparseBuckets(tmp_path / "s", X.shape, X.dtype, 7, buffer_bytes=4096)

    def put(i):
        dense.put((i, i + 1), (0, 96), X[i : i + 1])
        sparse.put((i, i + 1), np.array([0, 96]), np.arange(96), X[i])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(64)))
        dense_read = list(pool.map(lambda b: dense.read((0, 64), b), range(14)))
        sparse_read = list(pool.map(sparse.read_bucket, range(14)))
    np.testing.assert_array_equal(np.hstack(dense_read), X)
    np.testing.assert_array_equal(
        np.concatenate([x.reshape(64, -1) for *_, x in sparse_read], 1), X
    )
    dense.close()
    sparse.close()


def test_buckets__refuse_a_path_that_is_taken(tmp_path):
    (tmp_path / "f").write_text("x")
    for kind in (DenseBuckets, SparseBuckets):
        with pytest.raises(StoreError, match="File exists"):
            kind(tmp_path / "f", (2, 2), np.dtype(np.float32), 1)
