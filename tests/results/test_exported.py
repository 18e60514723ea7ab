"""Y alone, for others: the very values, in the form that the suffix names, or nothing."""

import os

import numpy as np
import pytest
import scipy.sparse
import zarr

import streamsparse as ss
from streamsparse.methods import products

N, D = 30, 200
X = np.random.default_rng(0).integers(-3, 4, (N, D)).astype(np.float64)


def results(tmp_path):
    """Y in memory, on disk and sparse."""
    return {
        "in memory": ss.sparsify(X, "sketch", m=16),
        "on disk": ss.sparsify(X, "sketch", m=16, out=tmp_path / "y.zarr"),
        "sparse": ss.sparsify(scipy.sparse.csr_array(X), "sample", m=16),
    }


def dense(Y):
    return np.ascontiguousarray(Y.toarray()) if scipy.sparse.issparse(Y) else np.asarray(Y[:])


@pytest.mark.parametrize("kind", ["in memory", "on disk", "sparse"])
@pytest.mark.parametrize("chunk_bytes", [1, 8 * 16 * 7, 1 << 20])
def test_export__writes_the_npy_file_that_numpy_would(tmp_path, monkeypatch, kind, chunk_bytes):
    monkeypatch.setattr(products, "CHUNK_BYTES", chunk_bytes)
    result = results(tmp_path)[kind]
    result.export(tmp_path / "y.npy")
    np.save(tmp_path / "expected.npy", dense(result.Y))
    assert (tmp_path / "y.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert np.abs(np.load(tmp_path / "y.npy")).max() > 0


@pytest.mark.parametrize("kind", ["in memory", "on disk"])
def test_export__writes_a_plain_zarr_array(tmp_path, kind):
    result = results(tmp_path)[kind]
    result.export(tmp_path / "z.zarr")
    array = zarr.open_array(tmp_path / "z.zarr", mode="r")
    assert array.metadata.dimension_names == ("row", "component")
    np.testing.assert_array_equal(array[:], dense(result.Y))
    # It is a matrix like any other.
    assert ss.open_source(tmp_path / "z.zarr").integrity == "checksummed"


def test_export__writes_a_sparse_Y_as_anndata_has_it(tmp_path):
    result = results(tmp_path)["sparse"]
    result.export(tmp_path / "z.zarr")
    source = ss.open_source(tmp_path / "z.zarr")
    assert source.nnz == result.Y.nnz
    anndata = pytest.importorskip("anndata")
    read = anndata.io.read_elem(zarr.open_group(tmp_path / "z.zarr", mode="r"))
    assert read.format == "csc"
    np.testing.assert_array_equal(read.toarray(), dense(result.Y))


@pytest.mark.parametrize("name", ["y.npz", "y", "y.h5", "y.csv"])
def test_export__names_what_there_is_for_any_other_suffix(tmp_path, name):
    with pytest.raises(ss.ParameterError, match=r"as \.npy or \.zarr, not as"):
        ss.sparsify(X, "exact").export(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_export__replaces_exports_only(tmp_path):
    result = ss.sparsify(X, "exact", out=tmp_path / "y.zarr")
    for name in ("y.npy", "z.zarr"):
        result.export(tmp_path / name)
        with pytest.raises(ss.OutputExistsError, match="already exists"):
            result.export(tmp_path / name)
        result.export(tmp_path / name, overwrite=True)
    with pytest.raises(ss.OutputExistsError, match="is no matrix that convert or export"):
        result.export(tmp_path / "y.zarr", overwrite=True)
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(ss.OutputExistsError, match="is no matrix that convert or export"):
        result.export(tmp_path / "text.npy", overwrite=True)
    with pytest.raises(ss.ParameterError, match="overwrite must be"):
        result.export(tmp_path / "y.npy", overwrite="yes")


@pytest.mark.parametrize("name", ["y.npy", "z.zarr"])
def test_export__leaves_nothing_behind_when_it_fails(tmp_path, monkeypatch, name):
    result = ss.sparsify(X, "exact")

    def fails(*_args, **_kwargs):
        raise ss.StoreError("the disk is full")

    monkeypatch.setattr("streamsparse.storing.commit.fsync_tree", fails)
    with pytest.raises(ss.StoreError, match="the disk is full"):
        result.export(tmp_path / name)
    assert os.listdir(tmp_path) == []
