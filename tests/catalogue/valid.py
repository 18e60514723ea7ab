"""What looks like bad input and is none, by our contract: each with the X that it means."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import dask.array
import numpy as np
import scipy.sparse
import zarr
from zarr.codecs import TransposeCodec
from zarr.storage import MemoryStore, ZipStore

import strategies
from catalogue.chunks import Unlisted
from catalogue.common import edit, zarr_array
from streamsparse.storing.zarr_write import write_sparse


class Valid(NamedTuple):
    """One kind: how it is made, the X that it means, and what it takes to read it."""

    make: Callable[[Path], Any]
    X: np.ndarray
    arguments: Mapping[str, Any] = MappingProxyType({})


def integers(dtype="int8", shape=(7, 90)):
    return strategies.integer_matrix(*shape, dtype=dtype)


X = integers("float64")
SPARSE = np.where(np.arange(X.size).reshape(X.shape) % 3 == 0, X, 0)


def holding(values, **arguments):
    return Valid(lambda _: values, np.asarray(values, np.float64), arguments)


def saved(values):
    def make(tmp_path):
        np.save(tmp_path / "x.npy", values)
        return tmp_path / "x.npy"

    return Valid(make, np.asarray(values, np.float64))


def stored(values=X, **options):
    return Valid(lambda t: zarr_array(t, values, **options), np.asarray(values, np.float64))


def read_only(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def with_extra_bytes(tmp_path):
    path = saved(X).make(tmp_path)
    path.write_bytes(path.read_bytes() + b"more than was announced")
    return path


def strided():
    wide = np.zeros((14, 270))
    wide[::2, ::3] = X
    return wide[::2, ::3]


def sparse(change=None, *, make=scipy.sparse.csc_array):
    matrix = make(SPARSE)
    if change is not None:
        change(matrix)
    return Valid(lambda _: matrix, SPARSE)


def group(matrix, values=SPARSE, **arrays):
    """A group whose arrays were cast, by name."""

    def make(tmp_path):
        for name, dtype in arrays.items():
            setattr(matrix, name, getattr(matrix, name).astype(dtype))
        write_sparse(tmp_path / "g.zarr", matrix, chunk_entries=20)
        return tmp_path / "g.zarr"

    return Valid(make, values)


def reverse_columns(matrix):
    """Turn every column round: the same matrix, its indices falling."""
    for a, b in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        matrix.indices[a:b], matrix.data[a:b] = matrix.indices[a:b][::-1], matrix.data[a:b][::-1]
    matrix.has_sorted_indices = False


def with_explicit_zeros(matrix):
    matrix.data[::5] = 0


EXPLICIT_ZEROS = scipy.sparse.csc_array(SPARSE)
with_explicit_zeros(EXPLICIT_ZEROS)
HOLES = np.where(np.arange(90) // 3 % 2 == 0, X, 0.0)


def dropped(*, fill_value, values, **options):
    """Chunks that hold nothing but the fill value were never written."""

    def make(tmp_path):
        return zarr_array(
            tmp_path, values, fill_value=fill_value, config={"write_empty_chunks": False}, **options
        )

    return Valid(make, values, {"missing": "fill"})


def stale(tmp_path):
    """Consolidated metadata of a matrix that has since become wider."""
    root = zarr.create_group(tmp_path / "r.zarr", zarr_format=2)
    root.create_array("X", shape=(7, 30), chunks=(7, 30), dtype=float)[:] = X[:, :30]
    zarr.consolidate_metadata(tmp_path / "r.zarr")
    array = zarr.open_array(tmp_path / "r.zarr" / "X", mode="r+")
    array.resize((7, 90))
    array[:] = X
    return tmp_path / "r.zarr" / "X"


def reopened_zip(tmp_path):
    with ZipStore(tmp_path / "x.zip", mode="w") as store:
        zarr.create_array(store, shape=X.shape, chunks=(7, 30), dtype=float)[:] = X
    return ZipStore(tmp_path / "x.zip", mode="r")


def unlisted(_):
    store = Unlisted()
    zarr.create_array(store, shape=X.shape, chunks=(7, 30), dtype=float)[:] = X
    return store


def unknown_attributes(tmp_path):
    path = zarr_array(tmp_path, X)
    edit(path / "zarr.json", lambda d: d.update(attributes={"streams": [None, {"a": "\0"}]}))
    return path


def beside_foreign_files(tmp_path):
    path = zarr_array(tmp_path, X)
    (path / "README").write_text("not a chunk")
    (path / "c" / "0" / "0.partial").write_bytes(b"left by a killed writer")
    return path


def ragged(values):
    return dask.array.from_array(values, chunks=((3, 4), (1, 80, 9)))


def matrices(_):
    """Chunks that are np.matrix."""
    return dask.array.from_delayed(dask.delayed(X.view)(np.matrix), X.shape, float)


TINY = np.finfo(np.float32).smallest_subnormal

VALID = {
    **{f"{dtype}": holding(integers(dtype)) for dtype in strategies.DTYPES},
    **{
        f"{dtype}, big-endian": holding(integers(dtype).astype(np.dtype(dtype).newbyteorder(">")))
        for dtype in ("float16", "float32", "float64", "int16", "int64")
    },
    **{f"{dtype} in npy": saved(integers(dtype)) for dtype in ("float16", ">f4", ">i8", "bool")},
    **{f"{dtype} in zarr": stored(integers(dtype)) for dtype in ("float16", ">i4", "bool", "u2")},
    **{
        f"{dtype} in zarr, format 2": stored(integers(dtype), zarr_format=2)
        for dtype in ("float16", ">f4", ">i8", "bool")
    },
    "float16 to its largest": holding(np.array([[65504, -65504, 6e-8]], np.float16)),
    "integers beyond 2^53": holding(np.array([[2**62, 0], [0, 2**61]])),
    "unsigned beyond 2^63": holding(np.array([[2**63, 0], [0, 2**62]], np.uint64)),
    "one row": holding(integers(shape=(1, 90))),
    "one column": holding(integers(shape=(7, 1))),
    "one value": holding(np.array([[3.0]])),
    "one value, and it is 0": holding(np.array([[0.0]])),
    "all zero": holding(np.zeros((7, 90))),
    "rows of zeros": holding(np.where(np.arange(7)[:, None] % 2, X, 0)),
    "all the same": holding(np.full((7, 90), 4.0)),
    "minus zero": holding(np.where(X == 0, -0.0, X)),
    "F order": holding(np.asfortranarray(X)),
    "strides": holding(strided()),
    "backwards": holding(X[::-1, ::-1]),
    "read-only memory map": Valid(read_only, X),
    "np.matrix": Valid(lambda _: X.view(np.matrix), X),
    "transposed": Valid(lambda _: X.T, X, {"feature_axis": 0}),
    "npy in F order": saved(np.asfortranarray(X)),
    "npy with bytes to spare": Valid(with_extra_bytes, X),
    "sparse without entries": Valid(lambda _: scipy.sparse.csr_array((7, 90)), np.zeros((7, 90))),
    "CSC without entries, group": group(scipy.sparse.csc_array((7, 90)), np.zeros((7, 90))),
    "indices unsorted": sparse(reverse_columns),
    "indices unsorted, group": Valid(
        lambda t: group(sparse(reverse_columns).make(t)).make(t), SPARSE
    ),
    "explicit zeros": Valid(lambda _: EXPLICIT_ZEROS, EXPLICIT_ZEROS.toarray()),
    "explicit zeros, group": group(EXPLICIT_ZEROS, EXPLICIT_ZEROS.toarray()),
    "COO": sparse(make=scipy.sparse.coo_array),
    "LIL": sparse(make=scipy.sparse.lil_array),
    "DOK": sparse(make=scipy.sparse.dok_array),
    "DIA": sparse(make=scipy.sparse.dia_array),
    "BSR": sparse(make=scipy.sparse.bsr_array),
    "csr_matrix": sparse(make=scipy.sparse.csr_matrix),
    **{
        f"indices of {dtype}, group": group(scipy.sparse.csc_array(SPARSE), indices=dtype)
        for dtype in ("uint8", "int8", "uint16", "uint64", ">i4")
    },
    **{
        f"pointers of {dtype}, group": group(scipy.sparse.csr_array(SPARSE), indptr=dtype)
        for dtype in ("uint8", "uint64", ">i8")
    },
    **{
        f"data of {dtype}, group": group(scipy.sparse.csc_array(SPARSE), data=dtype)
        for dtype in ("float16", "int8", ">f4")
    },
    "data of bools, group": group(scipy.sparse.csc_array(SPARSE != 0), (SPARSE != 0).astype(float)),
    "transpose codec": stored(filters=[TransposeCodec(order=(1, 0))]),
    "F order, format 2": stored(zarr_format=2, order="F"),
    "chunks of 0 dropped": dropped(fill_value=0, values=HOLES),
    "chunks of 0 dropped, format 2": dropped(fill_value=0, values=HOLES, zarr_format=2),
    "chunks of 0 dropped from shards": dropped(fill_value=0, values=HOLES, shards=(9, 45)),
    "chunks of 5 dropped": dropped(fill_value=5, values=np.where(HOLES == 0, 5.0, HOLES)),
    "fill value NaN, nothing missing": stored(fill_value=np.nan),
    "fill value null, nothing missing": stored(zarr_format=2, fill_value=None),
    "no chunk was ever written": dropped(fill_value=0, values=np.zeros((7, 90))),
    "chunks larger than the array": stored(chunks=(100, 1000)),
    "consolidated metadata gone stale": Valid(stale, X),
    "a zip, opened": Valid(reopened_zip, X),
    "a store that cannot be listed, trusted": Valid(unlisted, X, {"missing": "fill"}),
    "a store in memory": Valid(
        lambda _: zarr.create_array(MemoryStore(), data=X, chunks=(4, 50)), X
    ),
    "attributes that mean nothing": Valid(unknown_attributes, X),
    "files that are not chunks": Valid(beside_foreign_files, X),
    "dask of uneven chunks": Valid(lambda _: ragged(X), X),
    "dask, transposed": Valid(lambda _: ragged(X).T, X, {"feature_axis": 0}),
    "dask of np.matrix": Valid(matrices, X),
    "dask of big-endian": Valid(lambda _: ragged(X.astype(">f8")), X),
    "dask of bools": Valid(lambda _: ragged(X != 0), (X != 0).astype(float)),
    "dask of CSR": Valid(lambda _: ragged(SPARSE).map_blocks(scipy.sparse.csr_array), SPARSE),
    "dask of COO": Valid(lambda _: ragged(SPARSE).map_blocks(scipy.sparse.coo_array), SPARSE),
}
