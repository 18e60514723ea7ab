import warnings

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from zarr.storage import MemoryStore

from streamsparse.errors import BadStructureError, MissingChunkError, UnsupportedInputError
from streamsparse.sources import zarr_sources
from streamsparse.sources.open import open_source


def opened(target, feature_axis=1, missing="error"):
    source = open_source(target, feature_axis=feature_axis, missing=missing)
    source.verify()
    return source


@pytest.mark.parametrize("feature_axis", [0, 1])
@pytest.mark.parametrize("kind", ["csr", "csc"])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("index_dtype", ["u1", "u2", "u4", "u8", "i4", "i8"])
def test_sparse_group__blocks_equal_the_matrix(
    check, matrix, write_group, tmp_path, kind, feature_axis, zarr_format, index_dtype
):
    values = matrix("f4")
    stored = sparse.csr_array(values).asformat(kind)
    write_group(tmp_path / "x", stored, zarr_format=zarr_format, index_dtype=index_dtype)
    source = opened(tmp_path / "x", feature_axis)
    X = values if feature_axis == 1 else values.T
    assert source.nnz == stored.nnz
    assert source.by_rows == ((kind == "csr") == (feature_axis == 1))
    check(source, X, budgets=(2000, 10**6))


@settings(max_examples=30)
@given(
    n=st.integers(1, 15),
    d=st.integers(1, 15),
    piece=st.integers(1, 20),
    chunk=st.integers(1, 30),
    kind=st.sampled_from(["csr", "csc"]),
    feature_axis=st.integers(0, 1),
    dtype=st.sampled_from(["f2", "f8", "i1"]),
)
def test_sparse_group__pieces_of_pointers_do_not_show(
    *, check, matrix, write_group, n, d, piece, chunk, kind, feature_axis, dtype
):
    values = matrix(dtype, shape=(n, d))
    store = MemoryStore()
    stored = sparse.csr_array(values.astype("f8")).asformat(kind)
    write_group(store, stored, chunk=chunk)
    group = zarr.open_group(store, mode="a")
    group.create_array("data", data=stored.data.astype(dtype), chunks=(chunk,), overwrite=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zarr_sources, "_PIECE", piece)
        source = opened(store, feature_axis, missing="fill")
        X = values if feature_axis == 1 else values.T
        check(source, X, budgets=(1500, 10**6))
        block = source.read((0, X.shape[0]), (0, X.shape[1]))
        assert block.nnz == stored.nnz


def test_sparse_group__sharded_arrays_are_read_and_verified(check, matrix, write_group, tmp_path):
    values = matrix("f4")
    write_group(tmp_path / "x", sparse.csc_array(values), shards=(21,))
    check(opened(tmp_path / "x"), values, budgets=(2000, 10**6))
    (tmp_path / "x" / "data" / "c" / "1").unlink()
    with pytest.raises(MissingChunkError, match=r"3 of \d+ chunks of .*x/data"):
        opened(tmp_path / "x")


def test_sparse_group__integer_and_unsorted_data_are_read(check, matrix, write_group):
    stored = sparse.csr_array(matrix("i4"))
    for start, stop in zip(stored.indptr[:-1], stored.indptr[1:], strict=True):
        stored.indices[start:stop] = stored.indices[start:stop][::-1].copy()
        stored.data[start:stop] = stored.data[start:stop][::-1].copy()
    store = MemoryStore()
    write_group(store, stored)
    check(opened(store), matrix("i4"), budgets=(3000, 10**6))


def test_sparse_group__no_entries_at_all_is_a_zero_matrix(check, write_group):
    store = MemoryStore()
    write_group(store, sparse.csr_array((4, 6), dtype="f4"))
    check(opened(store), np.zeros((4, 6)), budgets=(200, 10**6))


@pytest.mark.parametrize("member", ["data", "indices", "indptr"])
def test_sparse_group__missing_chunk_of_each_array_is_found(matrix, write_group, tmp_path, member):
    write_group(tmp_path / "x", sparse.csc_array(matrix("f4")), chunk=10)
    (tmp_path / "x" / member / "c" / "1").unlink()
    with pytest.raises(MissingChunkError, match=f"1 of .*x/{member}"):
        opened(tmp_path / "x")


def test_sparse_group__missing_last_pointers_are_called_missing(matrix, write_group, tmp_path):
    write_group(tmp_path / "x", sparse.csc_array(matrix("f4")), chunk=10)
    (tmp_path / "x" / "indptr" / "c" / "2").unlink()
    with pytest.raises(MissingChunkError, match="x/indptr"):
        open_source(tmp_path / "x", feature_axis=1, missing="error")


def test_sparse_group__filled_chunk_of_data_reads_as_zeros(check, matrix, write_group, tmp_path):
    values = np.ones((6, 10), "f4")
    write_group(tmp_path / "x", sparse.csc_array(values), chunk=6)
    (tmp_path / "x" / "data" / "c" / "3").unlink()
    values[:, 3] = 0
    check(opened(tmp_path / "x", missing="fill"), values, budgets=(2000,))


def replaced(write_group, **changes):
    store = MemoryStore()
    stored = sparse.csr_array(np.array([[1.0, 2, 0], [0, 3, 4], [5, 0, 6]]))
    group = write_group(store, stored)
    for name, values in changes.items():
        if values is None:
            del group[name]
        else:
            group.create_array(name, data=np.asarray(values), chunks=(4,), overwrite=True)
    return store, group


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"indptr": [1, 2, 4, 6]}, "starts at 1"),
        ({"indptr": [0, 2, 4, 5]}, "ends at 5 but there are 6"),
        ({"indptr": [0, 4, 2, 6]}, "wrong at row 1"),
        ({"indptr": np.array([0, -(2**31), 4, 6], "i4")}, "wrong at row 0"),
        ({"indptr": [0, 2, 6]}, r"indptr has shape \(3,\)"),
        ({"indptr": [0.0, 2, 4, 6]}, "float64"),
        ({"indices": [0, 1, 1, 2, 0, 3]}, "index 3 in row 2"),
        ({"indices": [0, 1, 1, 1, 0, 2]}, "twice in row 1"),
        ({"indices": [0, 1, 1, 2, 0]}, r"indices has shape \(5,\)"),
        ({"data": None}, "no array 'data'"),
    ],
)
def test_sparse_group__bad_structure_is_refused_with_its_place(write_group, changes, cause):
    store, _ = replaced(write_group, **changes)
    with pytest.raises(BadStructureError, match=cause):
        list(opened(store, missing="fill").blocks(10**6))


def test_sparse_group__bad_attributes_are_refused(write_group):
    store, group = replaced(write_group)
    group.attrs["shape"] = [4, 3]
    with pytest.raises(BadStructureError, match="indptr has shape"):
        opened(store)
    group.attrs["shape"] = "3"
    with pytest.raises(BadStructureError, match="attribute 'shape'"):
        opened(store)
    group.attrs["encoding-version"] = "9.9"
    with pytest.raises(UnsupportedInputError, match=r"9\.9"):
        opened(store)


@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_sparse_group__written_by_anndata_is_read(check, matrix, tmp_path, kind):
    anndata = pytest.importorskip("anndata")
    values = matrix("f4") + np.eye(11, 29, dtype="f4")
    adata = anndata.AnnData(sparse.csr_matrix(values).asformat(kind))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.write_zarr(tmp_path / "x.zarr")
    source = opened(tmp_path / "x.zarr" / "X", missing="fill")
    check(source, values, budgets=(3000, 10**6))
    # The AnnData itself is its X.
    root = opened(tmp_path / "x.zarr", missing="fill")
    assert root.name == f"{tmp_path / 'x.zarr'}/X"
    check(root, values, budgets=(3000, 10**6))
