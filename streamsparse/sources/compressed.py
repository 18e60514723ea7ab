"""What every source that can read its pointers alone has in common: cutting and reading by them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import BudgetTooSmallError
from streamsparse.sources.base import SourceMixin, SparseBlock, regular_intervals
from streamsparse.sources.dtypes import as_block_dtype, block_dtype_of
from streamsparse.sources.structure import check_indices, keep_minors, major_word
from streamsparse.units import format_bytes

# A value and an index are at most 8 bytes each; a pointer is 8.
_ENTRY_BYTES = 16
POINTER_BYTES = 8


class CompressedSource(SourceMixin, ABC):
    """Base of sparse sources whose pointers can be read alone.

    A subclass opens the arrays, calls ``_describe`` and reads pointers and entries.
    """

    name: str
    shape: tuple[int, int]
    feature_axis: int
    dtype: np.dtype[Any]
    block_dtype: np.dtype[Any]
    nnz: int | None
    unit: tuple[int, int]
    stored_bytes: int
    read_overhead_bytes: int
    integrity: str
    by_rows: bool
    # Whether what is read is our own copy.
    is_ours: bool

    @abstractmethod
    def _pointers(self, start: int, stop: int) -> Array:
        """Return ``indptr[start : stop + 1]`` as checked int64."""

    @abstractmethod
    def _window(self, start: int) -> int:
        """Return how far, from major ``start``, pointers can be had cheaply."""

    @abstractmethod
    def _entries(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return ``indices[start:stop]`` and ``data[start:stop]`` as stored."""

    def _describe(
        self,
        *,
        stored_shape: tuple[int, int],
        feature_axis: int,
        stored_by_rows: bool,
        data_dtype: np.dtype[Any],
        index_dtype: np.dtype[Any],
        nnz: int,
        is_ours: bool,
    ) -> None:
        """Set what follows from the stored matrix: a CSR of E is a CSC of its transpose."""
        n, d = stored_shape if feature_axis == 1 else stored_shape[::-1]
        self.shape, self.nnz, self.is_ours = (n, d), nnz, is_ours
        self.feature_axis = feature_axis
        self.dtype, self.block_dtype = data_dtype, block_dtype_of(data_dtype, self.name)
        self.by_rows = stored_by_rows == (feature_axis == 1)
        self.unit = (1, d) if self.by_rows else (n, 1)
        value_bytes = self.block_dtype.itemsize
        if self.dtype.itemsize < value_bytes:
            value_bytes += self.dtype.itemsize
        # Narrowing holds the indices as stored beside the narrow ones.
        self.entry_bytes = max(_ENTRY_BYTES, value_bytes + 4 + index_dtype.itemsize)
        # Entries of other rows are read with the block, and are there beside it.
        self.clipped_entry_bytes = self.entry_bytes * (1 if self.by_rows else 3)

    @property
    def largest_unit_entries(self) -> int:
        """Entries of the fullest row, where pointers run over rows; else a column may be full."""
        n = self.shape[0]
        if not self.by_rows:
            return n
        largest = start = 0
        while start < n:
            stop = min(self._window(start), n)
            largest = max(largest, int(np.diff(self._pointers(start, stop)).max()))
            start = stop
        return largest

    def verify(self) -> None:
        """Do nothing: opening it has checked all that can be checked without reading."""

    def bands(self, max_rows: int, max_bytes: int) -> list[Interval]:
        """Cut [0, n) into row ranges; along the pointers where they run over rows."""
        n = self.shape[0]
        if not self.by_rows:
            return list(regular_intervals(n, 1, max_rows))
        return list(self._major_intervals((0, n), max_rows, max_bytes, self.entry_bytes))

    def cut(
        self, rows: Interval, max_bytes: int, columns: Interval | None = None
    ) -> Iterator[Interval]:
        """Yield column ranges along the pointers; all columns at once where they run over rows."""
        d = self.shape[1]
        if not self.by_rows:
            is_whole = rows == (0, self.shape[0])
            entry_bytes = self.entry_bytes if is_whole else self.clipped_entry_bytes
            yield from self._major_intervals(columns or (0, d), d, max_bytes, entry_bytes)
            return
        ends = self._pointers(rows[0], rows[0])[0], self._pointers(rows[1], rows[1])[0]
        needed = int(ends[1] - ends[0]) * self.entry_bytes + (rows[1] - rows[0] + 1) * POINTER_BYTES
        if needed > max_bytes:
            self._refuse_budget(f"rows {rows[0]:,} to {rows[1]:,}", needed, max_bytes)
        yield columns or (0, d)

    def read(self, rows: Interval, columns: Interval) -> SparseBlock:
        """Read one block, its structure checked and its indices sorted."""
        majors, minors = (rows, columns) if self.by_rows else (columns, rows)
        length = self.shape[1] if self.by_rows else self.shape[0]
        indptr = self._pointers(*majors)
        indices, data = self._entries(int(indptr[0]), int(indptr[-1]))
        indptr = indptr - indptr[0]
        indices, data = check_indices(
            indptr,
            indices,
            data,
            minors=length,
            name=self.name,
            by_rows=self.by_rows,
            first=majors[0],
            is_ours=self.is_ours,
        )
        if minors != (0, length):
            indptr, indices, data = keep_minors(indptr, indices, data, minors)
        return SparseBlock(rows, columns, self.by_rows, indptr, indices, as_block_dtype(data))

    def _major_intervals(
        self, majors: Interval, most: int, max_bytes: int, entry_bytes: int
    ) -> Iterator[Interval]:
        start, end = majors
        while start < end:
            stop = min(self._window(start), start + most, end)
            pointers = self._pointers(start, stop)

            def needed(count: int, pointers: Array = pointers) -> int:
                entries = int(pointers[count]) - int(pointers[0])
                return entries * entry_bytes + (count + 1) * POINTER_BYTES

            fitting = bisect_right(range(1, stop - start + 1), max_bytes, key=needed)
            if fitting == 0:
                what = f"{major_word(self.by_rows)} {start:,}"
                self._refuse_budget(what, needed(1), max_bytes)
            yield start, start + fitting
            start += fitting

    def _refuse_budget(self, what: str, needed: int, max_bytes: int) -> None:
        raise BudgetTooSmallError(
            f"{what} of {self.name} needs {format_bytes(needed)} in memory but only "
            f"{format_bytes(max_bytes)} of the budget is left for a block; raise memory"
        )
