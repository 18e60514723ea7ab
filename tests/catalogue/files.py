"""Tensors of safetensors files, folders of shards and HDF5 files that are not what they claim."""

import importlib.util
import json
import struct

import numpy as np

import streamsparse as ss
from catalogue.common import Bad

CORRUPT, STRUCTURE, UNSUPPORTED = (
    ss.CorruptChunkError,
    ss.BadStructureError,
    ss.UnsupportedInputError,
)


def tensors(header, *, data=bytes(64), length=None):
    """A safetensors file with this header, which claims to be ``length`` long."""

    def make(tmp_path):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        size = len(text) if length is None else length
        (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", size) + text + data)
        return tmp_path / "x.safetensors"

    return make


def tensor(dtype="F32", shape=(2, 8), offsets=(0, 64)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def member(make, name):
    return lambda tmp_path: f"{make(tmp_path)}:{name}"


SAFETENSORS = {
    "empty": Bad(tensors(b"", length=0, data=b""), CORRUPT, "no valid safetensors header"),
    "header longer than the file": Bad(tensors({}, length=10**6), CORRUPT, "no valid safetensors"),
    "header of 2^63 bytes": Bad(tensors({}, length=2**63), CORRUPT, "its length is"),
    "header is no JSON": Bad(tensors(b"{{{{"), CORRUPT, "no valid safetensors header"),
    "header is a list": Bad(tensors([1, 2]), CORRUPT, "no valid safetensors header"),
    "header is nested": Bad(tensors(b"[" * 10**5), CORRUPT, "no valid safetensors header"),
    "tensor without a shape": Bad(
        tensors({"w": {"dtype": "F32", "data_offsets": [0, 4]}}), CORRUPT, "shape"
    ),
    "offsets of text": Bad(tensors({"w": tensor(offsets=("0", "64"))}), CORRUPT, "offsets 0 to 64"),
    "offsets before the data": Bad(tensors({"w": tensor(offsets=(-64, 0))}), CORRUPT, "offsets"),
    "fewer bytes than values": Bad(
        tensors({"w": tensor(offsets=(0, 60))}), CORRUPT, "60 bytes for a tensor of 64"
    ),
    "values beyond the end": Bad(
        tensors({"w": tensor(offsets=(32, 96))}), CORRUPT, "truncated: .* announces"
    ),
    "shape beyond 2^64": Bad(tensors({"w": tensor(shape=(2**40, 2**40))}), CORRUPT, "64 bytes for"),
    "8-bit floats": Bad(
        member(tensors({"w": tensor("F8_E4M3", (8, 8))}), "w"), UNSUPPORTED, "dtype F8_E4M3"
    ),
    "no tensor at all": Bad(tensors({}), UNSUPPORTED, "0 tensors of two dimensions"),
    "one dimension": Bad(
        member(tensors({"w": tensor(shape=(16,))}), "w"), UNSUPPORTED, "1 dimension"
    ),
    "another name": Bad(
        member(tensors({"w": tensor()}), "v"), UNSUPPORTED, "no tensor 'v'; it has w"
    ),
}


def shards(*arrays):
    def make(tmp_path):
        (tmp_path / "x").mkdir()
        for k, values in enumerate(arrays):
            np.save(tmp_path / "x" / f"{k}.npy", values)
        return tmp_path / "x"

    return make


def cut(tmp_path):
    folder = shards(np.ones((2, 9)), np.ones((2, 9)))(tmp_path)
    (folder / "1.npy").write_bytes((folder / "1.npy").read_bytes()[:-8])
    return folder


def half_a_pipe(tmp_path):
    folder = shards(np.ones((2, 9)))(tmp_path)
    (folder / "1.npy").mkdir()
    return folder


SHARDS = {
    "no shard": Bad(shards(), UNSUPPORTED, "neither a .npy file nor a zarr"),
    "other widths": Bad(shards(np.ones((2, 9)), np.ones((2, 8))), UNSUPPORTED, "width 9.* 8"),
    "other dtypes": Bad(
        shards(np.ones((2, 9)), np.ones((2, 9), "f4")), UNSUPPORTED, "dtype float64.* float32"
    ),
    "other orders": Bad(
        shards(np.ones((2, 9)), np.ones((2, 9), order="F")), UNSUPPORTED, "order C.* F"
    ),
    "one of one dimension": Bad(shards(np.ones((2, 9)), np.ones(9)), UNSUPPORTED, "1 dimension"),
    "one cut short": Bad(cut, CORRUPT, "1.npy is truncated"),
    "one is a folder": Bad(half_a_pipe, UNSUPPORTED, "1.npy is not a regular file"),
    "NaN in the second": Bad(
        shards(np.ones((2, 9)), np.full((2, 9), np.nan)), ss.NonFiniteError, "nan at row"
    ),
}


def hdf5(fill, *, name="x.h5"):
    """A file that ``fill`` writes into."""

    def make(tmp_path):
        import h5py

        with h5py.File(tmp_path / name, "w") as file:
            fill(file)
        return tmp_path / name

    return make


def sparse_group(**changes):
    """A group in AnnData's encoding of a 2 x 3 matrix, some arrays or attributes replaced."""
    members = {"data": [1.0, 2.0], "indices": [0, 2], "indptr": [0, 1, 2]}
    attributes = {"encoding-type": "csr_matrix", "shape": (2, 3)}

    def fill(file):
        group = file.create_group("X")
        for key, value in (members | attributes | changes).items():
            if value is not None and key in members:
                group[key] = value
            elif value is not None:
                group.attrs[key] = value

    return hdf5(fill)


def hdf5_bytes(content):
    def make(tmp_path):
        (tmp_path / "x.h5").write_bytes(content)
        return tmp_path / "x.h5"

    return make


def hdf5_cut(tmp_path):
    path = hdf5(lambda file: file.create_dataset("X", data=np.ones((5, 2000))))(tmp_path)
    path.write_bytes(path.read_bytes()[:-4000])
    return path


def hdf5_folder(tmp_path):
    (tmp_path / "x.h5").mkdir()
    return tmp_path / "x.h5"


def dataset(values):
    return hdf5(lambda file: file.create_dataset("X", data=values))


HDF5 = {
    "empty file": Bad(hdf5_bytes(b""), UNSUPPORTED, "not an HDF5 file"),
    "text": Bad(hdf5_bytes(b"hello, world\n" * 99), UNSUPPORTED, "not an HDF5 file"),
    "the magic alone": Bad(hdf5_bytes(b"\x89HDF\r\n\x1a\n"), CORRUPT, "cannot be opened"),
    "a folder": Bad(hdf5_folder, UNSUPPORTED, "neither a .npy file nor a zarr"),
    "cut short": Bad(hdf5_cut, CORRUPT, "cannot be opened.*truncated"),
    "nothing in it": Bad(hdf5(lambda file: None), UNSUPPORTED, "0 datasets of two dimensions"),
    "one dimension": Bad(dataset(np.ones(9)), UNSUPPORTED, "1 dimension"),
    "no dimension": Bad(dataset(1.0), UNSUPPORTED, "0 dimensions"),
    "no values": Bad(dataset(np.ones((0, 9))), UNSUPPORTED, "empty"),
    "complex": Bad(dataset(np.ones((2, 9), complex)), UNSUPPORTED, "complex128"),
    "records": Bad(dataset(np.ones((2, 9), [("a", "f8")])), UNSUPPORTED, "dtype"),
    "text values": Bad(dataset([[b"a", b"b"]]), UNSUPPORTED, "dtype"),
    "NaN": Bad(dataset(np.full((2, 9), np.nan)), ss.NonFiniteError, "nan at row"),
    "a link to nothing": Bad(
        hdf5(lambda file: file.update({"X": __import__("h5py").SoftLink("/none")})),
        UNSUPPORTED,
        "no 'X'",
    ),
    "a table": Bad(
        sparse_group(**{"encoding-type": "dataframe"}), UNSUPPORTED, "encoding-type 'dataframe'"
    ),
    "a group without indices": Bad(sparse_group(indices=None), UNSUPPORTED, "not 'csr_matrix'"),
    "a group without a shape": Bad(sparse_group(shape=None), STRUCTURE, "shape"),
    "a shape of text": Bad(sparse_group(shape="2x3"), STRUCTURE, "shape"),
    "indptr too short": Bad(sparse_group(indptr=[0, 2]), STRUCTURE, r"must have \(3,\)"),
    "indptr beyond the entries": Bad(sparse_group(indptr=[0, 1, 3]), STRUCTURE, "indptr"),
    "indptr decreases": Bad(sparse_group(indptr=[0, 3, 2]), STRUCTURE, "indptr"),
    "indices of floats": Bad(sparse_group(indices=[0.0, 2.0]), STRUCTURE, "indices"),
    "an index equal to d": Bad(sparse_group(indices=[0, 3]), STRUCTURE, "ind"),
    "a negative index": Bad(sparse_group(indices=[0, -1]), STRUCTURE, "ind"),
}
# Nobody else can write them.
if importlib.util.find_spec("h5py") is None:
    HDF5 = {}
