"""The one file that writes Zarr: checksummed arrays, and the matrices of demo and benchmarks."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from streamsparse.errors import UnsupportedInputError
from streamsparse.storing.files import (
    Array,
    Interval,
    make_directories,
    reporting,
)

if TYPE_CHECKING:
    from zarr.abc.store import Store

# The arrays of a sparse matrix, in the order that scipy takes them.
SPARSE_ARRAYS = ("data", "indices", "indptr")

_CHUNK_BYTES = 4 << 20
_SPARSE_CHUNK_ENTRIES = 1 << 20


def import_zarr() -> ModuleType:
    """Return zarr, imported when it is first needed."""
    import zarr  # noqa: PLC0415 - half a second that a caller who writes nothing need not pay

    return zarr


def new_store(path: Path) -> Store:
    """Return a folder, made if need be, as a zarr store that writes through ``files`` alone."""
    from streamsparse.storing.folder_store import FolderStore  # noqa: PLC0415 - it imports zarr

    make_directories(path)
    return FolderStore(path)


def result_store(path: Path) -> Store:
    """Return a result as a zarr store to read."""
    from streamsparse.storing.folder_store import ResultStore  # noqa: PLC0415 - it imports zarr

    return ResultStore(path, read_only=True)


def checksummed() -> dict[str, Any]:
    """Return the codecs and settings of a raw array whose every chunk carries a crc32c."""
    from zarr.codecs import Crc32cCodec  # noqa: PLC0415

    return {
        "compressors": Crc32cCodec(),
        "filters": None,
        "fill_value": 0,
        # An all-zero chunk that is dropped looks like a chunk that was lost.
        "config": {"write_empty_chunks": True},
    }


def zstd_checksummed() -> dict[str, Any]:
    """Return the codec and settings of an array whose every chunk is a zstd frame with checksum."""
    from zarr.codecs import ZstdCodec  # noqa: PLC0415

    return {"compressors": ZstdCodec(checksum=True), "config": {"write_empty_chunks": True}}


def lines_per_chunk(shape: tuple[int, ...], itemsize: int) -> int:
    """Return how many whole lines along the first axis make a chunk of about 4 MiB."""
    line_bytes = itemsize * int(np.prod(shape[1:], dtype=np.int64))
    return max(1, min(shape[0], _CHUNK_BYTES // max(1, line_bytes)))


class DenseWriter:
    """A new Zarr array for a dense matrix, every chunk with a crc32c.

    Parameters
    ----------
    path : the array; it must not exist yet.
    shape, chunks : of the matrix and of a chunk.
    dtype : of the entries.
    dimension_names, attributes : of the array.

    Raises
    ------
    StoreError : from every method, if the array cannot be written.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        chunks: tuple[int, int],
        *,
        dimension_names: tuple[str, str] | None = None,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        self._path = path
        with reporting("making", path):
            self._array = import_zarr().create_array(
                new_store(path),
                shape=shape,
                chunks=chunks,
                dtype=dtype,
                zarr_format=3,
                dimension_names=dimension_names,
                attributes=attributes,
                **checksummed(),
            )

    def write(self, rows: Interval, columns: Interval, values: Array) -> None:
        """Write a rectangle; on chunk edges each chunk is written once, else read and rewritten."""
        with reporting("writing", self._path):
            self._array[slice(*rows), slice(*columns)] = values


def write_sparse(path: Path, X: Any, *, chunk_entries: int = _SPARSE_CHUNK_ENTRIES) -> None:
    """Write a scipy CSR or CSC matrix as a Zarr group in AnnData's encoding, zstd with checksums.

    Parameters
    ----------
    path : the group; it must not exist yet.
    X : array or matrix in CSR or CSC format.
    chunk_entries : stored entries per chunk, at least 1.

    Raises
    ------
    UnsupportedInputError : for another format.
    StoreError : if the group cannot be written.
    """
    if getattr(X, "format", None) not in {"csr", "csc"}:
        raise UnsupportedInputError(f"write_sparse takes CSR or CSC, not {type(X).__name__}")
    with reporting("writing", path):
        store = new_store(path)
        group = import_zarr().create_group(store, zarr_format=3, attributes=sparse_attributes(X))
        for name in SPARSE_ARRAYS:
            values = np.asarray(getattr(X, name))
            array = group.create_array(
                name,
                shape=values.shape,
                chunks=(max(1, min(values.size, chunk_entries)),),
                dtype=values.dtype,
                **zstd_checksummed(),
            )
            if values.size:
                array[:] = values


def sparse_attributes(X: Any) -> dict[str, Any]:
    """Return the attributes by which AnnData knows a sparse matrix."""
    return {
        "encoding-type": f"{X.format}_matrix",
        "encoding-version": "0.1.0",
        "shape": [int(length) for length in X.shape],
    }
