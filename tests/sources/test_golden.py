"""Files that anndata itself has written, read without it: formats 2 and 3, shards, h5ad."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import streamsparse as ss

# Written by anndata 0.12.19, zarr 3.1.6 and h5py 3.16.0.
ARCHIVE = Path(__file__).parent / "golden" / "anndata.tar.xz"
N, D = 12, 30
CELLS = [f"cell {i}" for i in range(N)]
GENES = [f"gene {j}" for j in range(D)]
STORES = {"v2.zarr": "/", "v3.zarr": "/", "sharded.zarr": "/", "plain.h5ad": ":"}
# Of each: where it is, and how many entries it stores.
MEMBERS = {"X": "csr", "layers/csc": "csc", "layers/dense": "dense"}


def known_matrix():
    """The matrix in all of them; every third value or fewer is not zero."""
    cells = np.arange(N * D)
    return (cells % 11 * (cells % 3 == 0)).astype(np.float32).reshape(N, D)


def write_golden(folder):
    """Write the files anew with the anndata at hand.

    To replace the archive: ``python -c "import test_golden; test_golden.write_golden('g')"`` with
    ``tests/sources`` on the path, then ``tar -C g -cJf tests/sources/golden/anndata.tar.xz .``
    """
    import anndata
    import zarr

    X = known_matrix()
    table = anndata.AnnData(X=scipy.sparse.csr_matrix(X))
    table.obs_names, table.var_names = CELLS, GENES
    table.layers["csc"], table.layers["dense"] = scipy.sparse.csc_matrix(X), X
    for name, settings in {
        "v2": {"zarr_write_format": 2},
        "v3": {"zarr_write_format": 3},
        "sharded": {"zarr_write_format": 3, "auto_shard_zarr_v3": True},
    }.items():
        with anndata.settings.override(**settings):
            table.write_zarr(Path(folder) / f"{name}.zarr")
    layers = zarr.open_group(Path(folder) / "sharded.zarr" / "layers", use_consolidated=False)
    tiles = {"chunks": (4, 5), "shards": (12, 15)}
    anndata.io.write_elem(layers, "tiles", X, dataset_kwargs=tiles)
    table.write_h5ad(Path(folder) / "plain.h5ad", compression="gzip")


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def check_file(path, kind):
    """One matrix: values, entries, names, the product that is wanted of it."""
    X = known_matrix()
    source = ss.open_source(path)
    assert source.shape == X.shape
    assert source.dtype == np.float32
    assert source.nnz == (None if kind == "dense" else np.count_nonzero(X))
    np.testing.assert_array_equal(values_of(source), X)
    # Whole numbers: no sum is rounded.
    Y = ss.sparsify(path, "sketch", m=20, seed=3).Y
    np.testing.assert_array_equal(Y, ss.sparsify(X, "sketch", m=20, seed=3).Y)
    np.testing.assert_array_equal(values_of(ss.open_source(path, feature_axis=0)), X.T)
    return source


def values_of(source):
    out = np.full(source.shape, -1.0)
    for block in source.blocks(1 << 20):
        if source.nnz is None:
            values = block.view()
        else:
            made = scipy.sparse.csr_array if block.by_rows else scipy.sparse.csc_array
            shape = tuple(stop - start for start, stop in (block.rows, block.columns))
            values = made((block.data, block.indices, block.indptr), shape=shape).toarray()
        out[slice(*block.rows), slice(*block.columns)] = values
    return out


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("member", MEMBERS)
def test_golden__every_matrix_of_anndata_is_read(golden, store, member):
    if store.endswith("h5ad"):
        pytest.importorskip("h5py")
    source = check_file(f"{golden / store}{STORES[store]}{member}", MEMBERS[member])
    if store.endswith("zarr"):
        assert source.row_names().tolist() == CELLS
        assert source.feature_names(np.array([29, 0])) == ["gene 29", "gene 0"]


def test_golden__several_inner_chunks_in_several_shards_are_read(golden):
    source = check_file(f"{golden}/sharded.zarr/layers/tiles", "dense")
    assert source.unit == (12, 15)


@pytest.mark.parametrize("store", STORES)
def test_golden__the_file_alone_is_its_X(golden, store):
    if store.endswith("h5ad"):
        pytest.importorskip("h5py")
    check_file(golden / store, "csr")


@pytest.mark.parametrize("store", STORES)
def test_golden__the_copy_of_each_is_the_same_matrix(golden, tmp_path, store):
    if store.endswith("h5ad"):
        pytest.importorskip("h5py")
    copy = ss.convert(golden / store, tmp_path / "copy.zarr")
    np.testing.assert_array_equal(values_of(copy), known_matrix())
    assert copy.feature_digest() == ss.open_source(golden / store).feature_digest()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_golden__what_anndata_writes_today_is_read_as_well(tmp_path):
    pytest.importorskip("anndata")
    write_golden(tmp_path)
    for store, separator in STORES.items():
        for member, kind in MEMBERS.items():
            check_file(f"{tmp_path / store}{separator}{member}", kind)
