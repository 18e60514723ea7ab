"""Datasets of HDF5 files, and AnnData's sparse groups in them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import (
    BadStructureError,
    CorruptChunkError,
    StreamSparseError,
    UnsupportedInputError,
)
from streamsparse.sources.base import DenseBlock, check_shape
from streamsparse.sources.buffers import empty_block
from streamsparse.sources.compressed import CompressedSource
from streamsparse.sources.dense import DenseSource
from streamsparse.sources.digests import digest_of
from streamsparse.sources.dtypes import block_dtype_of
from streamsparse.sources.hdf5_file import Hdf5Dataset, Hdf5File
from streamsparse.sources.hdf5_names import NamedInHdf5
from streamsparse.sources.reading import within_deadline
from streamsparse.sources.structure import CHECK_BYTES, check_indptr, check_indptr_ends

SUFFIXES = (".h5", ".hdf5", ".h5ad", ".he5")
_ENCODINGS = ("csc_matrix", "csr_matrix")
_MEMBERS = ("data", "indices", "indptr")
# Segments shorter than a page cost a page anyway; where there are no chunks.
_PAGE_BYTES = 4096
_WINDOW = 1 << 18


def open_hdf5(
    path: str, member: str | None, *, feature_axis: int, missing: str
) -> Hdf5Source | Hdf5SparseSource:
    """Open a dataset, or a group in AnnData's ``csr_matrix`` or ``csc_matrix`` encoding.

    Parameters
    ----------
    path : the file.
    member : of the dataset or group; None where the file has just one dataset of two dimensions,
        or an ``X``.
    feature_axis : axis of the stored matrix along which the d columns of X lie.
    missing : "error" or "fill", for chunks that were never written.

    Raises
    ------
    UnsupportedInputError : without h5py, for what is no HDF5 file, and for a member that is not
        there or whose values lie in other files.
    SourceNotFoundError, BadStructureError, StoreError
    """

    def action() -> Hdf5Source | Hdf5SparseSource:
        file = Hdf5File(path)
        node = file.node(_chosen(file, member))
        if hasattr(node, "keys"):
            return Hdf5SparseSource(file, node, feature_axis=feature_axis, missing=missing)
        return Hdf5Source(file, node, feature_axis=feature_axis, missing=missing)

    def guarded() -> Hdf5Source | Hdf5SparseSource:
        try:
            return action()
        except (StreamSparseError, MemoryError):
            raise
        except Exception as error:
            # What HDF5 and h5py make of damaged metadata is of any kind.
            raise CorruptChunkError(f"{path} cannot be opened: {error}") from error

    return within_deadline(f"opening {path}", guarded)


def _chosen(file: Hdf5File, member: str | None) -> str:
    if member:
        return member
    if "X" in file.handle:
        return "X"
    found: list[str] = []

    def visit(name: str, node: Any) -> None:
        if len(getattr(node, "shape", None) or ()) == 2:
            found.append(name)

    file.handle.visititems(visit)
    if len(found) == 1:
        return found[0]
    listed = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
    raise UnsupportedInputError(
        f"{file.path} has {len(found)} datasets of two dimensions; name one as {file.path}:NAME "
        f"({listed or 'there is none'})"
    )


class Hdf5Source(NamedInHdf5, DenseSource):
    """A two-dimensional dataset; its unit is a chunk."""

    is_stored = True

    def __init__(self, file: Hdf5File, node: Any, *, feature_axis: int, missing: str) -> None:
        self._file, self._member, self.feature_axis = file, str(node.name), feature_axis
        self._stored = Hdf5Dataset(file, node, missing=missing)
        self.name, self.dtype = self._stored.name, self._stored.dtype
        self.block_dtype = block_dtype_of(self.dtype, self.name)
        rows, columns = check_shape(self._stored.shape, self.name)
        self._is_transposed = feature_axis == 0
        self.shape = (columns, rows) if self._is_transposed else (rows, columns)
        height, width = self._stored.chunk or (1, -(-_PAGE_BYTES // self.dtype.itemsize))
        self.unit = (width, height) if self._is_transposed else (height, width)
        self.stored_bytes = self._stored.stored_bytes
        self.read_overhead_bytes = self._stored.overhead_bytes
        self.integrity, self.codec = self._stored.integrity, self._stored.codec

    def verify(self) -> None:
        """Compare the chunks that should be there with those that are."""
        self._stored.verify()

    def fingerprint(self) -> str:
        """Return a digest of the shape, and of size and time of the file."""
        return digest_of(self.name, self.shape, self._is_transposed, self._file.fingerprint())

    def read(self, rows: Interval, columns: Interval) -> DenseBlock:
        """Read one block into fresh memory, C-contiguous or its transpose."""
        region = (columns, rows) if self._is_transposed else (rows, columns)
        shape = tuple(stop - start for start, stop in region)
        out = empty_block(shape, self.block_dtype)
        self._stored.read_into(tuple(slice(*interval) for interval in region), out)
        return DenseBlock(rows, columns, out.T if self._is_transposed else out)


class Hdf5SparseSource(NamedInHdf5, CompressedSource):
    """A group in AnnData's encoding: ``data``, ``indices``, ``indptr`` and the shape."""

    is_stored = True

    def __init__(self, file: Hdf5File, group: Any, *, feature_axis: int, missing: str) -> None:
        self.name = f"{file.path}:{group.name}"
        self._file, self._member = file, str(group.name)
        encoding = group.attrs.get("encoding-type")
        if encoding not in _ENCODINGS or any(key not in group for key in _MEMBERS):
            listed = ", ".join(sorted(group)[:8]) or "nothing"
            raise UnsupportedInputError(
                f"{self.name} is a group with encoding-type {encoding!r}, not 'csr_matrix' or "
                f"'csc_matrix'; name the dataset inside it that is meant (it holds {listed})"
            )
        self._data, self._indices, self._indptr = (
            Hdf5Dataset(file, group[key], missing=missing) for key in _MEMBERS
        )
        stored_shape = check_shape(_shape_of(group, self.name), self.name)
        nnz = self._data.shape[0]
        self._describe(
            stored_shape=stored_shape,
            feature_axis=feature_axis,
            stored_by_rows=encoding == "csr_matrix",
            data_dtype=self._data.dtype,
            index_dtype=self._indices.dtype,
            nnz=nnz,
            is_ours=True,
        )
        self._majors = stored_shape[0] if encoding == "csr_matrix" else stored_shape[1]
        for array, length in (
            (self._data, nnz),
            (self._indices, nnz),
            (self._indptr, self._majors + 1),
        ):
            if array.shape != (length,):
                raise BadStructureError(
                    f"{array.name} has shape {array.shape}; it must have ({length},)"
                )
        arrays = (self._data, self._indices, self._indptr)
        self.stored_bytes = sum(array.stored_bytes for array in arrays)
        self.read_overhead_bytes = (
            max(array.overhead_bytes for array in arrays) + 3 * 8 * _WINDOW + CHECK_BYTES
        )
        self.integrity = self._data.integrity
        self.codec = self._data.codec
        first, last = (int(self._indptr.read(at, at + 1)[0]) for at in (0, self._majors))
        check_indptr_ends(first, last, name=self.name, nnz=nnz)

    def verify(self) -> None:
        """Compare the chunks of all three arrays with those that are there."""
        for array in (self._data, self._indices, self._indptr):
            array.verify()

    def fingerprint(self) -> str:
        """Return a digest of the shape, and of size and time of the file."""
        return digest_of(self.name, self.shape, self.feature_axis, self._file.fingerprint())

    def _pointers(self, start: int, stop: int) -> Array:
        raw = within_deadline(
            f"reading {self._indptr.name}", lambda: self._indptr.read(start, stop + 1)
        )
        nnz = self._data.shape[0]
        return check_indptr(raw, name=self.name, by_rows=self.by_rows, first=start, nnz=nnz)

    def _window(self, start: int) -> int:
        return (start // _WINDOW + 1) * _WINDOW

    def _entries(self, start: int, stop: int) -> tuple[Array, Array]:
        return self._indices.read(start, stop), self._data.read(start, stop)


def _shape_of(group: Any, name: str) -> tuple[int, ...]:
    shape = np.asarray(group.attrs.get("shape"))
    if shape.ndim != 1 or shape.dtype.kind not in "iu":
        raise BadStructureError(f"{name} has shape {shape}; it must be two whole numbers")
    return tuple(int(length) for length in shape)


def split_member(path: str) -> tuple[str, str | None] | None:
    """Return (file, member or None) for a path of an HDF5 file, with or without a member."""
    for suffix in SUFFIXES:
        at = path.lower().find(f"{suffix}:")
        if at >= 0:
            end = at + len(suffix)
            return path[:end], path[end + 1 :]
        if path.lower().endswith(suffix) and not os.path.isdir(path):
            return path, None
    return None
