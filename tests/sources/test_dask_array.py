import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from streamsparse.errors import (
    BadStructureError,
    BudgetTooSmallError,
    StoreError,
    UnsupportedInputError,
)
from streamsparse.sources import dask_array
from streamsparse.sources.open import open_source

CHUNKS = ((4, 1, 6), (10, 3, 16))


def opened(target, feature_axis=1):
    return open_source(target, feature_axis=feature_axis, missing="error")


def sparse_chunks(values, kind, chunks=CHUNKS):
    return da.from_array(values, chunks=chunks).map_blocks(kind)


@pytest.mark.parametrize("feature_axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "i1", "u2", "?"])
def test_dask_source__blocks_equal_the_array(check, matrix, dtype, feature_axis):
    values = matrix(dtype)
    source = opened(da.from_array(values, chunks=CHUNKS), feature_axis)
    X = values if feature_axis == 1 else values.T
    assert source.unit == ((6, 16) if feature_axis == 1 else (16, 6))
    check(source, X, budgets=(16 * 16 * 8, 10**6))


def test_dask_source__chunks_are_computed_in_batches(check, matrix, monkeypatch):
    monkeypatch.setattr(dask_array, "_BATCH_BYTES", 700)
    check(opened(da.from_array(matrix("f4"), chunks=CHUNKS)), matrix("f4"), budgets=(10**6,))


@pytest.mark.parametrize("feature_axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f4", "i2"])
@pytest.mark.parametrize(
    "kind",
    [
        sparse.csr_array,
        sparse.csc_array,
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.coo_array,
    ],
)
def test_dask_sparse_source__blocks_equal_the_matrix(check, matrix, kind, dtype, feature_axis):
    values = matrix(dtype)
    source = opened(sparse_chunks(values, kind), feature_axis)
    X = values if feature_axis == 1 else values.T
    assert source.nnz == np.count_nonzero(values)
    check(source, X, budgets=(12_000, 10**6))


@settings(max_examples=25)
@given(
    rows=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    columns=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    kind=st.sampled_from([None, sparse.csr_array, sparse.csc_matrix]),
    feature_axis=st.integers(0, 1),
)
def test_dask_source__any_chunks_give_the_same_array(
    check, matrix, rows, columns, kind, feature_axis
):
    values = matrix("f4", shape=(sum(rows), sum(columns)))
    array = da.from_array(values, chunks=(tuple(rows), tuple(columns)))
    source = opened(array if kind is None else array.map_blocks(kind), feature_axis)
    X = values if feature_axis == 1 else values.T
    check(source, X, budgets=(6_000, 10**6), heights=(2, 10**9))


def test_dask_sparse_source__mixed_formats_are_joined(check, matrix):
    values = matrix("f4")
    array = sparse_chunks(values, sparse.csr_array)
    array = array.map_blocks(
        lambda chunk: chunk.tocsc() if chunk.shape[0] == 1 else chunk, meta=array._meta
    )
    check(opened(array), values, budgets=(10**6,))


def test_dask_source__unknown_chunk_sizes_are_refused(matrix):
    array = da.from_array(matrix("f4"), chunks=CHUNKS)
    with pytest.raises(UnsupportedInputError, match=r"compute_chunk_sizes\(\)"):
        opened(array[array[:, 0] > 0])


def test_dask_source__chunk_of_another_shape_or_dtype_is_refused(matrix):
    array = da.from_array(matrix("f4"), chunks=CHUNKS)
    for change, cause in (
        (lambda chunk: chunk[:, 1:], "shape"),
        (lambda chunk: chunk.astype("f8"), "float64"),
        (lambda chunk: None, "NoneType"),
    ):
        source = opened(array.map_blocks(change, meta=array._meta, dtype="f4"))
        with pytest.raises(BadStructureError, match=cause):
            source.read((0, 11), (0, 29))


def test_dask_source__sparse_chunk_behind_a_dense_meta_is_refused(matrix):
    array = da.from_array(matrix("f4"), chunks=CHUNKS)
    source = opened(array.map_blocks(sparse.csr_array, meta=array._meta))
    with pytest.raises(UnsupportedInputError, match="meta"):
        source.read((0, 11), (0, 29))
    lying = array.map_blocks(lambda chunk: chunk, meta=sparse.csr_array((0, 0), dtype="f4"))
    with pytest.raises(UnsupportedInputError, match="meta"):
        opened(lying)


def test_dask_sparse_source__bad_structure_is_refused(matrix):
    def break_it(chunk):
        chunk = sparse.csr_array(chunk)
        if chunk.nnz:
            chunk.indices[:] = 0
        return chunk

    array = da.from_array(np.ones((4, 6)), chunks=(2, 3))
    source = opened(array.map_blocks(break_it, meta=sparse.csr_array((0, 0))))
    with pytest.raises(BadStructureError, match="twice in row 0"):
        source.read((0, 4), (0, 6))


def test_dask_sparse_source__values_that_change_are_noticed():
    calls = []

    def grow(chunk):
        calls.append(1)
        return sparse.csr_array(chunk * (len(calls) > 1))

    meta = sparse.csr_array((0, 0))
    source = opened(da.from_array(np.ones((2, 3))).map_blocks(grow, meta=meta))
    with pytest.raises(BadStructureError, match="change from one computation"):
        source.read((0, 2), (0, 3))


def test_dask_source__a_budget_below_one_chunk_is_refused(matrix):
    for array in (
        da.from_array(matrix("f4"), chunks=CHUNKS),
        sparse_chunks(matrix("f4"), sparse.csr_array),
    ):
        source = opened(array)
        with pytest.raises(BudgetTooSmallError):
            list(source.cut((0, 11), 100))
        with pytest.raises(BudgetTooSmallError):
            list(source.blocks(100))


@pytest.mark.parametrize("error", [OSError("lost"), ValueError("bad")])
def test_read__a_chunk_that_cannot_be_computed_is_named(error):
    def fail(block):
        raise error

    array = da.ones((4, 6), chunks=(2, 3)).map_blocks(fail, dtype="f8", meta=np.empty((0, 0)))
    source = open_source(array, feature_axis=1, missing="error")
    cause = rf"computing chunks .* failed: {type(error).__name__}: {error}"
    with pytest.raises(StoreError, match=cause):
        source.read((0, 2), (0, 3))
