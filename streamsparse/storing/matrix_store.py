"""Matrices as others have them, written in one go: Zarr arrays, AnnData's groups, ``.npy``."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from streamsparse.errors import OutputExistsError
from streamsparse.storing.commit import METADATA
from streamsparse.storing.files import Array, PositionedFile, reporting
from streamsparse.storing.zarr_write import (
    SPARSE_ARRAYS,
    DenseWriter,
    import_zarr,
    new_store,
    zstd_checksummed,
)

# Entries and names per chunk.
_ENTRIES = 1 << 20
NAMES = 1 << 16
# What writing entries holds: a chunk of values, of indices and of pointers, and one encoded.
VECTORS_BYTES = 5 * 8 * _ENTRIES

# What says that a matrix is ours, so that it may be replaced.
_MARKER = "streamsparse_matrix"
_MARK = {_MARKER: 1}
_NPY_MAGIC = b"\x93NUMPY"
_MEMBERS = {METADATA, "c", "X", "obs", "var", *SPARSE_ARRAYS}
_ANNDATA = {"encoding-type": "anndata", "encoding-version": "0.1.0", **_MARK}
_ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0", **_MARK}
_TABLE = {
    "encoding-type": "dataframe",
    "encoding-version": "0.2.0",
    "column-order": [],
    "_index": "_index",
}


class DenseColumns:
    """A new Zarr array (n, d), written from the first column to the last.

    Parameters
    ----------
    path : the array; it must not exist yet.
    shape, dtype : of the matrix.
    chunk : (rows, columns) of a chunk; columns are held until they fill one.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int], dtype: np.dtype[Any], chunk: tuple[int, int]
    ) -> None:
        self._shape, self._width, self._done = shape, chunk[1], 0
        self._writer = dense_writer(path, shape, dtype, chunk, ("row", "column"))
        self._held = np.empty((shape[0], chunk[1]), dtype)

    def append(self, values: Array) -> None:
        """Take the next columns, shape (n, any)."""
        start = 0
        while start < values.shape[1]:
            at = self._done % self._width
            count = min(self._width - at, values.shape[1] - start)
            self._held[:, at : at + count] = values[:, start : start + count]
            start, self._done = start + count, self._done + count
            if at + count == self._width or self._done == self._shape[1]:
                first = self._done - at - count
                self._writer.write(
                    (0, self._shape[0]), (first, self._done), self._held[:, : at + count]
                )

    def finish(self) -> None:
        """Check that all columns have come."""
        assert self._done == self._shape[1]


def dense_writer(
    path: Path,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    chunk: tuple[int, int],
    dimension_names: tuple[str, str],
) -> DenseWriter:
    """Return what writes a new Zarr array that says it is ours, and of AnnData's."""
    return DenseWriter(
        path, shape, dtype, chunk, dimension_names=dimension_names, attributes=_ARRAY
    )


class SparseColumns:
    """A new Zarr group in AnnData's ``csc_matrix`` encoding, written column by column.

    Parameters
    ----------
    path : the group; it must not exist yet.
    shape, nnz, dtype : of the matrix.
    """

    def __init__(self, path: Path, shape: tuple[int, int], nnz: int, dtype: np.dtype[Any]) -> None:
        narrow = np.dtype(np.int32 if shape[0] <= np.iinfo(np.int32).max else np.int64)
        attributes = {
            "encoding-type": "csc_matrix",
            "encoding-version": "0.1.0",
            "shape": list(shape),
            **_MARK,
        }
        with reporting("making", path):
            group = import_zarr().create_group(
                new_store(path), zarr_format=3, attributes=attributes
            )
        self._data = _Vector(group, path / "data", nnz, dtype)
        self._indices = _Vector(group, path / "indices", nnz, narrow)
        self._indptr = _Vector(group, path / "indptr", shape[1] + 1, np.dtype(np.int64))
        self._indptr.append(np.zeros(1, np.int64))
        self._nnz = 0

    def append(self, indptr: Array, indices: Array, data: Array) -> None:
        """Take the next columns, ``indptr`` from 0 on."""
        self._data.append(data)
        self._indices.append(indices)
        self._indptr.append(indptr[1:] + self._nnz)
        self._nnz += data.size

    def finish(self) -> None:
        """Check that all columns have come."""
        for vector in (self._data, self._indices, self._indptr):
            vector.finish()


class _Vector:
    """A new one-dimensional array of a group, zstd with checksums, written from its start."""

    def __init__(
        self,
        group: Any,
        path: Path,
        length: int,
        dtype: Any,
        *,
        entries: int = _ENTRIES,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        self._path, self._length, self._done = path, length, 0
        with reporting("making", path):
            self._array = group.create_array(
                path.name,
                shape=(length,),
                chunks=(max(1, min(length, entries)),),
                dtype=dtype,
                attributes=attributes,
                **zstd_checksummed(),
            )
        self._held = np.empty(self._array.chunks[0], object if dtype is str else dtype)

    def append(self, values: Array) -> None:
        """Take the next entries."""
        start, size = 0, self._held.size
        while start < values.size:
            at = self._done % size
            count = min(size - at, values.size - start)
            self._held[at : at + count] = values[start : start + count]
            start, self._done = start + count, self._done + count
            if at + count == size or self._done == self._length:
                with reporting("writing", self._path):
                    self._array[self._done - at - count : self._done] = self._held[: at + count]

    def finish(self) -> None:
        """Check that all entries have come."""
        assert self._done == self._length


def make_annotated(path: Path) -> None:
    """Make an empty group of AnnData, for a matrix ``X`` with names of its rows or columns."""
    with reporting("making", path):
        import_zarr().create_group(new_store(path), zarr_format=3, attributes=_ANNDATA)


def write_names(path: Path, length: int, pieces: Iterable[Array]) -> None:
    """Write AnnData's table of rows ("obs") or of columns ("var"): their names, nothing else.

    ``pieces`` : the names in order, text or numbers, of one dtype.
    """
    left = iter(pieces)
    first = next(left)
    dtype, encoding = (str, "string-array") if first.dtype.kind == "U" else (first.dtype, "array")
    with reporting("making", path):
        group = import_zarr().create_group(new_store(path), zarr_format=3, attributes=_TABLE)
    vector = _Vector(
        group,
        path / "_index",
        length,
        dtype,
        entries=NAMES,
        attributes={"encoding-type": encoding, "encoding-version": "0.2.0"},
    )
    for names in chain([first], left):
        vector.append(names)
    vector.finish()


def write_npy(path: Path, shape: tuple[int, int], pieces: Iterable[Array]) -> None:
    """Write a ``.npy`` file of float64, C-ordered, from its rows in order."""
    head = io.BytesIO()
    layout = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(head, layout)
    file, position = PositionedFile(path), 0
    try:
        for values in chain([np.frombuffer(head.getvalue(), np.uint8)], pieces):
            file.write(values, position)
            position += values.nbytes
    finally:
        file.close()
    assert position == head.tell() + 8 * shape[0] * shape[1]


def refuse_foreign(target: Path) -> None:
    """Refuse to replace what is no matrix of ours and no ``.npy`` file, or holds anything else.

    Raises
    ------
    OutputExistsError : naming it.
    """
    if not target.is_symlink():
        if target.is_file() and _starts_like_npy(target):
            return
        if _is_ours(target) and {entry.name for entry in target.iterdir()} <= _MEMBERS:
            return
    raise OutputExistsError(
        f"{target} is no matrix that convert or export wrote, or holds something else besides, "
        f"which overwrite does not delete; remove it yourself or choose another name"
    )


def _starts_like_npy(target: Path) -> bool:
    with reporting("reading", target), target.open("rb") as file:
        return file.read(len(_NPY_MAGIC)) == _NPY_MAGIC


def _is_ours(target: Path) -> bool:
    try:
        return _MARKER in json.loads((target / METADATA).read_bytes())["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
