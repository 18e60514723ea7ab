"""Sources over opened zarr nodes: dense arrays, and AnnData's encoding of CSR and CSC."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import BadStructureError, UnsupportedInputError
from streamsparse.sources.axes import resolve_axis
from streamsparse.sources.base import DenseBlock, check_shape
from streamsparse.sources.compressed import CompressedSource
from streamsparse.sources.dense import DenseSource
from streamsparse.sources.digests import digest_of
from streamsparse.sources.dtypes import block_dtype_of
from streamsparse.sources.reading import within_deadline
from streamsparse.sources.structure import CHECK_BYTES, check_indptr, check_indptr_ends
from streamsparse.sources.zarr_array import StoredArray
from streamsparse.sources.zarr_open import StoredGroup, open_node
from streamsparse.sources.zarr_vector import ZarrVector

ENCODINGS = ("csc_matrix", "csr_matrix")
_ENCODING_VERSION = "0.1.0"
_MEMBERS = ("data", "indices", "indptr")
# Pointers are read in pieces of this many, cut on its multiples.
_PIECE = 1 << 18


def open_zarr(
    target: Any, *, feature_axis: int | str, missing: str
) -> ZarrSource | ZarrSparseSource:
    """Open a dense zarr array, or a group in AnnData's ``csr_matrix`` or ``csc_matrix`` encoding.

    Parameters
    ----------
    target : path or URL, store, ``zarr.Array`` or ``zarr.Group``.
    feature_axis : axis of the stored matrix along which the d columns of X lie, or the name of
        that dimension of an array.
    missing : "error" or "fill", for chunks that are absent.

    Raises
    ------
    ParameterError : for the name of a dimension that is not there.
    SourceNotFoundError, UnsupportedInputError, BadStructureError, StoreError
    """
    node = open_node(target, missing=missing, members=_MEMBERS)
    if isinstance(node, StoredArray):
        check_shape(node.shape, node.name)
        axis = resolve_axis(feature_axis, node.dimensions, name=node.name)
        return ZarrSource(node, feature_axis=axis)
    axis = resolve_axis(feature_axis, None, name=node.name)
    return within_deadline(
        f"opening {node.name}", lambda: ZarrSparseSource(node, feature_axis=axis)
    )


class ZarrSource(DenseSource):
    """A two-dimensional zarr array; its unit is a shard, or a chunk where it is not sharded."""

    is_stored = True

    def __init__(self, stored: StoredArray, *, feature_axis: int) -> None:
        self._stored = stored
        self.name = stored.name
        rows, columns = check_shape(stored.shape, self.name)
        self.dtype = stored.dtype
        self.block_dtype = block_dtype_of(self.dtype, self.name)
        height, width = stored.layout.chunk
        self.feature_axis = feature_axis
        self._is_transposed = feature_axis == 0
        self.shape = (columns, rows) if self._is_transposed else (rows, columns)
        self.unit = (width, height) if self._is_transposed else (height, width)
        self.stored_bytes = stored.stored_bytes()
        self.read_overhead_bytes = stored.overhead_bytes
        self.integrity = stored.integrity
        self.codec = stored.codec

    def feature_digest(self) -> str | None:
        """Return a digest of the names of the columns, where AnnData or a coordinate has them."""
        return self._stored.digest_names(axis=self.feature_axis, length=self.shape[1])

    def feature_names(self, columns: Array) -> list[Any] | None:
        """Return the names of some columns, from the same place."""
        return self._stored.pick_names(
            axis=self.feature_axis, length=self.shape[1], positions=columns
        )

    def row_names(self) -> Array | None:
        """Return the names of the rows, from the same place."""
        return self._stored.read_names(axis=1 - self.feature_axis, length=self.shape[0])

    def fingerprint(self) -> str:
        """Return a digest of the metadata and of a listing of the objects."""
        return digest_of(self.shape, self.feature_axis, self._stored.fingerprint())

    def verify(self) -> None:
        """Compare the chunks that should be there with a listing of the store."""
        self._stored.verify()

    def read(self, rows: Interval, columns: Interval) -> DenseBlock:
        """Read one block, decoding each chunk that it touches."""
        if self._is_transposed:
            values = self._stored.read((columns, rows), self.block_dtype).T
        else:
            values = self._stored.read((rows, columns), self.block_dtype)
        if not (values.flags.c_contiguous or values.flags.f_contiguous):
            values = np.ascontiguousarray(values)
        return DenseBlock(rows, columns, values)


class ZarrSparseSource(CompressedSource):
    """A zarr group in AnnData's encoding: ``data``, ``indices``, ``indptr`` and the shape."""

    is_stored = True

    def __init__(self, group: StoredGroup, *, feature_axis: int) -> None:
        self.name = group.name
        self._group = group
        encoding = _check_encoding(group)
        self._data, self._indices, self._indptr = (group.arrays[key] for key in _MEMBERS)
        nnz = self._data.shape[0]
        stored_shape = _stored_shape(group)
        block_dtype_of(self._data.dtype, self.name)
        self._describe(
            stored_shape=stored_shape,
            feature_axis=feature_axis,
            stored_by_rows=encoding == "csr_matrix",
            data_dtype=self._data.dtype,
            index_dtype=self._indices.dtype,
            nnz=nnz,
            is_ours=True,
        )
        arrays = (self._data, self._indices, self._indptr)
        self.stored_bytes = sum(array.stored_bytes() for array in arrays)
        self._vectors = (
            ZarrVector(self._indices, self._indices.dtype.newbyteorder("=")),
            ZarrVector(self._data, self.block_dtype),
        )
        # Neighbouring pieces of pointers lie in one chunk.
        self._pointer_vector = ZarrVector(self._indptr, self._indptr.dtype.newbyteorder("="))
        pointers_bytes = 3 * 8 * _PIECE + self._pointer_vector.overhead_bytes
        self.read_overhead_bytes = (
            max(vector.overhead_bytes for vector in self._vectors) + pointers_bytes + CHECK_BYTES
        )
        is_checksummed = all(array.integrity == "checksummed" for array in arrays)
        self.integrity = "checksummed" if is_checksummed else "structural"
        self.codec = self._data.codec
        self._check_lengths(stored_shape[0] if encoding == "csr_matrix" else stored_shape[1])
        self._check_ends()
        self._lock = threading.Lock()
        self._held: tuple[int, Array] | None = None

    def feature_digest(self) -> str | None:
        """Return a digest of the names of the columns, where AnnData has them."""
        return self._group.digest_names(axis=self.feature_axis, length=self.shape[1])

    def feature_names(self, columns: Array) -> list[Any] | None:
        """Return the names of some columns, from the same place."""
        return self._group.pick_names(
            axis=self.feature_axis, length=self.shape[1], positions=columns
        )

    def row_names(self) -> Array | None:
        """Return the names of the rows, from the same place."""
        return self._group.read_names(axis=1 - self.feature_axis, length=self.shape[0])

    def fingerprint(self) -> str:
        """Return a digest of the metadata, the group's included, and of listings of the arrays."""
        documents = sorted(self._group.documents().items())
        arrays = (self._data, self._indices, self._indptr)
        stamps = [array.fingerprint() for array in arrays]
        return digest_of(self.shape, self.feature_axis, documents, *stamps)

    def verify(self) -> None:
        """Compare the chunks of all three arrays with listings of the store."""
        for array in (self._data, self._indices, self._indptr):
            array.verify()

    @property
    def _majors(self) -> int:
        return self.shape[0] if self.by_rows else self.shape[1]

    def _check_lengths(self, majors: int) -> None:
        lengths = {array.name: array.shape for array in (self._data, self._indices, self._indptr)}
        wanted = [(self.nnz,), (self.nnz,), (majors + 1,)]
        for (name, shape), expected in zip(lengths.items(), wanted, strict=True):
            if shape != expected:
                raise BadStructureError(f"{name} has shape {shape}; it must have {expected}")
        for array in (self._indices, self._indptr):
            if array.dtype.kind not in "iu":
                raise BadStructureError(
                    f"{array.name} has dtype {array.dtype}, not an integer type"
                )

    def _check_ends(self) -> None:
        first, last = (int(self._read_pointers(at, at + 1)[0]) for at in (0, self._majors))
        try:
            check_indptr_ends(first, last, name=self.name, nnz=self._data.shape[0])
        except BadStructureError:
            # A missing chunk reads as zeros: name the cause, not the symptom.
            self.verify()
            raise

    def _read_pointers(self, start: int, stop: int) -> Array:
        # Asked for where blocks are cut, by a thread that nobody waits for with a deadline.
        return within_deadline(
            f"reading {self._indptr.name}", lambda: self._pointer_vector.read(start, stop)
        )

    def _piece(self, piece: int) -> Array:
        with self._lock:
            if self._held is None or self._held[0] != piece:
                self._held = None
                start = piece * _PIECE
                raw = self._read_pointers(start, min(start + _PIECE, self._majors) + 1)
                pointers = check_indptr(
                    raw,
                    name=self.name,
                    by_rows=self.by_rows,
                    first=start,
                    nnz=self._data.shape[0],
                )
                self._held = (piece, pointers)
            return self._held[1]

    def _pointers(self, start: int, stop: int) -> Array:
        first, last = start // _PIECE, max(start, stop - 1) // _PIECE
        parts = [
            self._piece(piece)[max(0, start - piece * _PIECE) : stop - piece * _PIECE + 1]
            for piece in range(first, last + 1)
        ]
        # Neighbouring pieces share one pointer.
        return np.concatenate([*(part[:-1] for part in parts[:-1]), parts[-1]])

    def _window(self, start: int) -> int:
        return (start // _PIECE + 1) * _PIECE

    def _entries(self, start: int, stop: int) -> tuple[Array, Array]:
        return self._vectors[0].read(start, stop), self._vectors[1].read(start, stop)

    def __getstate__(self) -> dict[str, Any]:
        # A lock means nothing in another process.
        return {**self.__dict__, "_lock": None, "_held": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def _check_encoding(group: StoredGroup) -> str:
    encoding = group.attributes.get("encoding-type")
    if encoding not in ENCODINGS:
        listed = ", ".join(group.members[:8]) or "nothing"
        raise UnsupportedInputError(
            f"{group.name} is a zarr group with encoding-type {encoding!r}, not 'csr_matrix' or "
            f"'csc_matrix'; name the array inside it that is meant (it holds {listed})"
        )
    version = group.attributes.get("encoding-version", _ENCODING_VERSION)
    if version != _ENCODING_VERSION:
        raise UnsupportedInputError(
            f"{group.name} has encoding-version {version!r}; {_ENCODING_VERSION!r} is read"
        )
    for key in _MEMBERS:
        if key not in group.arrays:
            raise BadStructureError(f"{group.name} is a {encoding} but has no array {key!r}")
        if len(group.arrays[key].shape) != 1:
            raise BadStructureError(f"{group.name}/{key} must have 1 dimension")
    return str(encoding)


def _stored_shape(group: StoredGroup) -> tuple[int, int]:
    shape = group.attributes.get("shape")
    if not isinstance(shape, list | tuple) or not all(isinstance(s, int) for s in shape):
        raise BadStructureError(f"{group.name} has no usable attribute 'shape': {shape!r}")
    return check_shape(tuple(shape), group.name)
