"""What dense sources on a regular grid of units have in common: how they are cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from streamsparse.arrays import Interval
from streamsparse.sources.base import (
    SourceMixin,
    check_unit_fits,
    regular_intervals,
    split_intervals,
)


class DenseSource(SourceMixin):
    """Base of dense sources on a regular grid of units; the subclass sets the rest and reads."""

    name: str
    shape: tuple[int, int]
    feature_axis: int
    dtype: np.dtype[Any]
    block_dtype: np.dtype[Any]
    nnz: int | None = None
    unit: tuple[int, int] = (1, 1)
    stored_bytes: int
    read_overhead_bytes: int = 0
    integrity: str = "structural"

    def verify(self) -> None:
        """Do nothing: opening it has checked all that can be checked without reading."""

    def bands(self, max_rows: int, max_bytes: int) -> list[Interval]:
        """Cut [0, n) into row ranges; inside a unit only where it has over ``max_rows`` rows."""
        n, d = self.shape
        unit = min(self.unit[0], n)
        row_bytes = min(self.unit[1], d) * self.block_dtype.itemsize
        check_unit_fits(
            name=self.name, unit_bytes=min(unit, max_rows) * row_bytes, max_bytes=max_bytes
        )
        if max_rows >= unit:
            return list(regular_intervals(n, unit, min(max_rows, max_bytes // row_bytes)))
        return split_intervals(regular_intervals(n, unit, unit), max_rows)

    def cut(
        self, rows: Interval, max_bytes: int, columns: Interval | None = None
    ) -> Iterator[Interval]:
        """Yield column ranges of whole units, each at most ``max_bytes`` for these rows."""
        first, stop = columns or (0, self.shape[1])
        unit = min(self.unit[1], self.shape[1])
        column_bytes = (rows[1] - rows[0]) * self.block_dtype.itemsize
        check_unit_fits(name=self.name, unit_bytes=unit * column_bytes, max_bytes=max_bytes)
        for a, b in regular_intervals(stop - first, unit, max_bytes // column_bytes):
            yield first + a, first + b
