"""Sparse matrices in memory: ``scipy.sparse`` arrays and matrices of any format."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.errors import BadStructureError
from streamsparse.sources.base import check_shape
from streamsparse.sources.compressed import CompressedSource
from streamsparse.sources.digests import digest_array, digest_of
from streamsparse.sources.dtypes import block_dtype_of
from streamsparse.sources.structure import CHECK_BYTES, check_indptr, check_indptr_ends


def as_compressed(values: Any, *, name: str, prefer_rows: bool) -> Any:
    """Return ``values`` itself if it is CSR or CSC, else as one of them.

    Raises
    ------
    BadStructureError : for entries given twice, which the conversion would add up.
    """
    if values.format in {"csr", "csc"}:
        return values
    converted = values.tocsr() if prefer_rows else values.tocsc()
    if values.format == "coo" and converted.nnz != values.nnz:
        raise BadStructureError(
            f"{values.nnz - converted.nnz:,} entries of {name} occur twice; call sum_duplicates()"
        )
    return converted


def check_compressed(values: Any, *, name: str) -> Array:
    """Return the pointers of a CSR or CSC object as int64, its three arrays checked together.

    Raises
    ------
    BadStructureError : where they contradict each other; ``indices`` are not looked at.
    """
    by_rows = values.format == "csr"
    majors = values.shape[0] if by_rows else values.shape[1]
    indptr, indices, data = (np.asarray(x) for x in (values.indptr, values.indices, values.data))
    if indptr.shape != (majors + 1,):
        raise BadStructureError(
            f"indptr of {name} has shape {indptr.shape}; {majors:,} majors need ({majors + 1:,},)"
        )
    if indices.shape != data.shape or data.ndim != 1:
        raise BadStructureError(
            f"indices of {name} have shape {indices.shape} but data has shape {data.shape}"
        )
    check_indptr_ends(int(indptr[0]), int(indptr[-1]), name=name, nnz=data.size)
    return check_indptr(indptr, name=name, by_rows=by_rows, first=0, nnz=data.size)


class SparseSource(CompressedSource):
    """A ``scipy.sparse`` array or matrix; CSR and CSC are read without a copy.

    Parameters
    ----------
    values : shape (n, d) if ``feature_axis`` is 1, (d, n) if it is 0. It is not modified.
    feature_axis : axis of ``values`` along which the d columns of X lie.
    """

    def __init__(self, values: Any, *, feature_axis: int, name: str = "sparse matrix") -> None:
        self.name = name
        block_dtype_of(values.dtype, name)
        stored_shape = check_shape(values.shape, name)
        values = as_compressed(values, name=name, prefer_rows=feature_axis == 0)
        self._indptr = check_compressed(values, name=name)
        self._indices: Array = np.asarray(values.indices)
        self._data: Array = np.asarray(values.data)
        self._describe(
            stored_shape=stored_shape,
            feature_axis=feature_axis,
            stored_by_rows=values.format == "csr",
            data_dtype=self._data.dtype,
            index_dtype=self._indices.dtype,
            nnz=self._data.size,
            is_ours=False,
        )
        self.stored_bytes = self._data.nbytes + self._indices.nbytes + self._indptr.nbytes
        self.read_overhead_bytes = CHECK_BYTES
        self.integrity = "structural"

    def fingerprint(self) -> str:
        """Return a digest of every byte of the three arrays; reads them once."""
        arrays = (self._indptr, self._indices, self._data)
        return digest_of(self.shape, self.by_rows, *map(digest_array, arrays))

    def _pointers(self, start: int, stop: int) -> Array:
        return self._indptr[start : stop + 1]

    def _window(self, start: int) -> int:  # noqa: ARG002 - all pointers are at hand
        return self._indptr.size - 1

    def _entries(self, start: int, stop: int) -> tuple[Array, Array]:
        return self._indices[start:stop], self._data[start:stop]
