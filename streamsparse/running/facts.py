"""What a plan knows about a source: metadata only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamsparse.sources.base import Source


@dataclass(frozen=True, slots=True)
class Facts:
    """What a plan knows about a source: metadata only.

    Attributes
    ----------
    name, n, d, feature_axis, dtype, nnz, unit, stored_bytes, read_overhead_bytes, entry_bytes,
    clipped_entry_bytes, largest_unit_entries, codec, opening_passes : as in ``Source``.
    block_itemsize : bytes per value once read.
    """

    name: str
    n: int
    d: int
    feature_axis: int
    dtype: str
    block_itemsize: int
    nnz: int | None
    unit: tuple[int, int]
    stored_bytes: int
    read_overhead_bytes: int
    entry_bytes: int
    clipped_entry_bytes: int
    largest_unit_entries: int
    opening_passes: int
    codec: str = ""

    @classmethod
    def of(cls, source: Source) -> Facts:
        """Collect the facts of a source; reads nothing."""
        return cls(
            name=source.name,
            n=source.shape[0],
            d=source.shape[1],
            feature_axis=source.feature_axis,
            dtype=str(source.dtype),
            block_itemsize=np.dtype(source.block_dtype).itemsize,
            nnz=source.nnz,
            unit=source.unit,
            stored_bytes=source.stored_bytes,
            read_overhead_bytes=source.read_overhead_bytes,
            entry_bytes=source.entry_bytes,
            clipped_entry_bytes=source.clipped_entry_bytes,
            largest_unit_entries=source.largest_unit_entries,
            opening_passes=source.opening_passes,
            codec=source.codec,
        )

    def region_bytes(self, rows: int, columns: int) -> int:
        """Return the memory of a block of this size; an average for sparse sources."""
        if self.nnz is None:
            return rows * columns * self.block_itemsize
        entries = -(-self.nnz * rows * columns // (self.n * self.d))
        return self._entries_bytes(entries, rows, columns)

    def _entries_bytes(self, entries: int, rows: int, columns: int) -> int:
        whole = rows == self.n
        entry_bytes = self.entry_bytes if whole else self.clipped_entry_bytes
        return entries * entry_bytes + 32 * (rows + columns + 2)

    def unit_bytes(self, rows: int) -> int:
        """Return the memory of the narrowest block of ``rows`` rows that is read whole."""
        unit_rows = min(-(-rows // self.unit[0]) * self.unit[0], self.n)
        least = self.region_bytes(unit_rows, self.unit[1])
        if self.nnz is None:
            return least
        # The fullest unit counts, whatever the average says.
        clipped = unit_rows if rows == self.n else min(unit_rows, self.n - 1)
        fullest = self._entries_bytes(self.largest_unit_entries, clipped, self.unit[1])
        return max(least, fullest)

    @property
    def held_row_bytes(self) -> int:
        """Return the memory of one row of X that is read and kept, its parts and their sum."""
        if self.nnz is not None and self.unit[1] == self.d:
            # Rows are read whole, and the fullest one is known: index, value, twice.
            return 2 * 16 * self.largest_unit_entries
        return 2 * self.region_bytes(1, self.d)

    @property
    def used_bytes(self) -> int:
        """Return the bytes of values and indices that a pass hands to the kernels: its progress."""
        if self.nnz is None:
            return self.n * self.d * self.block_itemsize
        return self.nnz * (self.block_itemsize + 4)

    @property
    def decoded_bytes(self) -> int:
        """Return the memory of all of X once read."""
        return self.region_bytes(self.n, self.d)
