"""A source that cannot be read: what is known of one that somebody else reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from streamsparse.arrays import Interval
from streamsparse.sources.base import Block, Source, SourceMixin


class DescribedSource(SourceMixin):
    """What a method needs to know of X where all passes over it are made elsewhere.

    It is small and goes where a graph of tasks cannot.
    """

    def __init__(self, source: Source) -> None:
        self.name, self.shape = source.name, source.shape
        self.feature_axis = source.feature_axis
        self.dtype: np.dtype[Any] = source.dtype
        self.block_dtype: np.dtype[Any] = source.block_dtype
        self.nnz, self.unit = source.nnz, source.unit
        self.stored_bytes = source.stored_bytes
        self.read_overhead_bytes = source.read_overhead_bytes
        self.entry_bytes = source.entry_bytes
        self.clipped_entry_bytes = source.clipped_entry_bytes
        self.codec = source.codec
        self.opening_passes = source.opening_passes
        self.is_lazy = source.is_lazy
        self.integrity = source.integrity
        if isinstance(source, SourceMixin):
            self.row_labels, self.column_labels = source.row_labels, source.column_labels

    def verify(self) -> None:
        """Do nothing: there is nothing to look at."""

    def fingerprint(self) -> str:
        """Refuse: it is the source that has one."""
        raise NotImplementedError

    def bands(self, max_rows: int, max_bytes: int) -> list[Interval]:
        """Refuse to be read."""
        raise NotImplementedError

    def cut(
        self, rows: Interval, max_bytes: int, columns: Interval | None = None
    ) -> Iterator[Interval]:
        """Refuse to be read."""
        raise NotImplementedError

    def read(self, rows: Interval, columns: Interval) -> Block:
        """Refuse to be read."""
        raise NotImplementedError
