"""HDF5 datasets, and AnnData's sparse groups in them, as h5py and anndata write them."""

import pickle

import numpy as np
import pytest
from scipy import sparse

import streamsparse as ss
from streamsparse.errors import (
    BadStructureError,
    CorruptChunkError,
    MissingChunkError,
    ParameterError,
    SourceNotFoundError,
    UnsupportedInputError,
)
from streamsparse.sources.open import open_source

h5py = pytest.importorskip("h5py")


def opened(path, feature_axis=1, missing="error"):
    return open_source(path, feature_axis=feature_axis, missing=missing)


@pytest.mark.parametrize("feature_axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f2", ">f4", "f8", "i1", "u2", "?"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (4, 300)},
        {"chunks": (11, 100), "compression": "gzip", "shuffle": True, "fletcher32": True},
    ],
)
def test_hdf5__blocks_equal_the_dataset(check, matrix, tmp_path, dtype, options, feature_axis):
    values = matrix(dtype, shape=(11, 1300))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("deep/inside", data=values, **options)
        file["other"] = np.ones(3)
    X = values if feature_axis == 1 else values.T
    for given in (tmp_path / "x.h5", f"{tmp_path}/x.h5:deep/inside"):
        source = opened(given, feature_axis)
        source.verify()
        check(source, X, budgets=(13 * 4096 * 8, 10**7), heights=(1024, 10**9))
    assert source.integrity == "structural"


def test_hdf5__takes_an_open_dataset(check, matrix, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["b"] = matrix("f4"), matrix("f4")[:3]
    with h5py.File(tmp_path / "x.h5") as file:
        check(opened(file["b"]), matrix("f4")[:3], budgets=(10**6,))


@pytest.mark.parametrize("feature_axis", [0, 1])
@pytest.mark.parametrize("storage", [sparse.csr_matrix, sparse.csc_matrix])
def test_hdf5__reads_what_anndata_writes(check, matrix, tmp_path, storage, feature_axis):
    anndata = pytest.importorskip("anndata")
    values = matrix("f4", shape=(60, 90))
    data = anndata.AnnData(storage(values), layers={"dense": 2 * values})
    data.write_h5ad(tmp_path / "x.h5ad")
    X = values if feature_axis == 1 else values.T
    for given in (tmp_path / "x.h5ad", f"{tmp_path}/x.h5ad:X"):
        source = opened(given, feature_axis)
        source.verify()
        assert source.nnz == np.count_nonzero(values)
        check(source, X, budgets=(4_000, 10**6), heights=(10**9,))
    check(opened(f"{tmp_path}/x.h5ad:layers/dense", feature_axis), 2 * X, budgets=(10**6,))


def test_sparsify__of_a_dataset_is_that_of_the_array(tmp_path):
    X = np.random.default_rng(0).standard_normal((30, 4000)).astype(np.float32)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("X", data=X, chunks=(30, 256), compression="gzip")
    ours = ss.sparsify(tmp_path / "x.h5", "sketch", m=64)
    np.testing.assert_array_equal(ours.Y, ss.sparsify(X, "sketch", m=64).Y)


def test_hdf5__chunks_that_were_never_written_are_errors(matrix, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = file.create_dataset("X", shape=(4, 90), chunks=(4, 30), dtype="f4", fillvalue=2)
        made[:, :30] = 1
    with pytest.raises(MissingChunkError, match=r"2 of 3 chunks.*missing=.fill"):
        ss.sparsify(tmp_path / "x.h5", "exact")
    filled = opened(tmp_path / "x.h5", missing="fill")
    filled.verify()
    np.testing.assert_array_equal(filled.read((0, 4), (0, 90)).view()[0], [1] * 30 + [2] * 60)


def test_hdf5__must_be_named_where_there_are_several(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["b"] = np.ones((2, 3)), np.ones((2, 3))
    with pytest.raises(UnsupportedInputError, match=r"2 datasets.*x.h5:NAME \(a, b\)"):
        opened(tmp_path / "x.h5")
    with pytest.raises(UnsupportedInputError, match=r"no 'c'; at its top are a, b"):
        opened(f"{tmp_path}/x.h5:c")
    with pytest.raises(SourceNotFoundError, match="nothing at"):
        opened(f"{tmp_path}/y.h5:c")


def test_hdf5__values_in_other_files_are_refused(tmp_path):
    (tmp_path / "raw").write_bytes(bytes(48))
    layout = h5py.VirtualLayout(shape=(2, 3), dtype="f8")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("out", (2, 3), "f8", external=[(str(tmp_path / "raw"), 0, 48)])
        file.create_virtual_dataset("virtual", layout)
    for member in ("out", "virtual"):
        with pytest.raises(UnsupportedInputError, match="lies in other files"):
            opened(f"{tmp_path}/x.h5:{member}")


def test_hdf5__a_damaged_chunk_is_an_error(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        values = np.random.default_rng(0).standard_normal((8, 64))
        made = file.create_dataset("X", data=values, chunks=(8, 64), fletcher32=True)
        place = made.id.get_chunk_info(0).byte_offset
    raw = bytearray(path.read_bytes())
    raw[place + 5] ^= 1
    path.write_bytes(raw)
    with pytest.raises(CorruptChunkError, match=r"x.h5:/X cannot be read"):
        ss.sparsify(path, "exact")


@pytest.mark.parametrize("change", ["indptr", "encoding", "indices"])
def test_hdf5__groups_that_contradict_themselves_are_refused(tmp_path, change):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs.update({"encoding-type": "csr_matrix", "shape": (2, 3)})
        group["data"], group["indices"], group["indptr"] = [1.0, 2.0], [0, 2], [0, 1, 2]
        if change == "encoding":
            group.attrs["encoding-type"] = "dataframe"
        else:
            del group[change]
            group[change] = [0, 1]
            if change == "indices":
                group[change][...] = [0, 3]
    error = UnsupportedInputError if change == "encoding" else BadStructureError
    with pytest.raises(error):
        opened(path).read((0, 2), (0, 3))


def test_hdf5__what_is_none_is_refused(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"not one")
    with pytest.raises(UnsupportedInputError, match="is not an HDF5 file"):
        opened(tmp_path / "x.h5")


def test_hdf5__without_h5py_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "x.h5").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(UnsupportedInputError, match=r"pip install 'streamsparse\[io\]'"):
        opened(tmp_path / "x.h5")


def test_hdf5__sources_open_the_file_again_elsewhere(matrix, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X"] = matrix("f4")
    source = opened(tmp_path / "x.h5")
    other = pickle.loads(pickle.dumps(source))
    block = other.read((0, 11), (0, 29)).view()
    np.testing.assert_array_equal(block, matrix("f4"))
    assert other.fingerprint() == source.fingerprint()


def test_hdf5__that_is_emptied_while_it_is_open_is_refused(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["X"] = np.ones((4, 500))
    held = opened(path)
    path.write_bytes(b"")
    with pytest.raises(CorruptChunkError, match=r"is cut: it has 0 of .* bytes"):
        ss.sparsify(held, "exact")


def test_hdf5__any_byte_changed_is_an_error_of_ours_or_another_value(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        values = np.random.default_rng(0).standard_normal((3, 8)).astype("f4")
        file.create_dataset("X", data=values, chunks=(3, 4), fletcher32=True)
    raw, refused = path.read_bytes(), 0
    for place in range(0, len(raw), 5):
        damaged = bytearray(raw)
        damaged[place] ^= 1
        # A file of its own: HDF5 shares what is open, and would not look at this one again.
        changed = tmp_path / f"{place}.h5"
        changed.write_bytes(damaged)
        try:
            source = opened(changed)
            source.verify()
            source.read((0, source.shape[0]), (0, source.shape[1]))
        except ss.StreamSparseError:
            refused += 1
    assert refused > 0


@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")
def test_hdf5__has_the_names_that_anndata_keeps_and_so_does_its_copy(tmp_path):
    anndata = pytest.importorskip("anndata")
    pandas = pytest.importorskip("pandas")
    values = np.random.default_rng(0).standard_normal((5, 40)).astype("f4")
    genes, cells = [f"gene {k}" for k in range(40)], [f"cell {k}" for k in range(5)]
    made = anndata.AnnData(
        sparse.csr_matrix(values),
        obs=pandas.DataFrame(index=cells),
        var=pandas.DataFrame(index=genes),
        layers={"dense": values},
    )
    made.write_h5ad(tmp_path / "x.h5ad")
    made.write_zarr(tmp_path / "x.zarr")
    for member in ("X", "layers/dense"):
        source, other = opened(f"{tmp_path}/x.h5ad:{member}"), opened(f"{tmp_path}/x.zarr/{member}")
        assert source.row_names().tolist() == cells
        assert source.feature_names(np.array([3, 0])) == ["gene 3", "gene 0"]
        assert source.feature_digest() == other.feature_digest() is not None
        assert opened(f"{tmp_path}/x.h5ad:{member}", 0).row_names().tolist() == genes
    assert ss.convert(tmp_path / "x.h5ad", tmp_path / "c.zarr").row_names().tolist() == cells
    result = ss.sparsify(tmp_path / "x.h5ad", "sketch", m=8)
    made[:, ::-1].copy().write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(ParameterError, match="have other names, or another order"):
        result.transform(tmp_path / "other.h5ad")


def test_hdf5__takes_an_open_file_and_suffixes_of_any_case(tmp_path):
    with h5py.File(tmp_path / "x.H5", "w") as file:
        file["X"] = np.ones((2, 3))
    with h5py.File(tmp_path / "x.H5") as file:
        assert opened(file).shape == (2, 3)
    assert opened(f"{tmp_path}/x.H5:X").shape == (2, 3)
