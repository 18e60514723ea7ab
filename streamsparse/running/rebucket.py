"""X rewritten once by columns, where a source gives row bands and a method needs columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.running.pieces import prepare
from streamsparse.running.stream import Stream
from streamsparse.running.threads import read_ahead
from streamsparse.sources.base import Block, DenseBlock, Source, SparseBlock, regular_intervals
from streamsparse.storing.buckets import DenseBuckets, SparseBuckets
from streamsparse.storing.scratch import scratch_folder

_SPARSE_ENTRY_BYTES = 16
_MOST_BUCKETS = 1 << 14


class BucketSource:
    """The temporary store as a source whose blocks are whole columns."""

    def __init__(self, source: Source, buckets: DenseBuckets | SparseBuckets, width: int) -> None:
        self.name = f"{source.name}, by columns"
        self.shape, self.feature_axis = source.shape, source.feature_axis
        self.dtype: np.dtype[Any] = source.dtype
        self.block_dtype: np.dtype[Any] = source.block_dtype
        self.nnz = source.nnz
        self.unit = (source.shape[0], width)
        self.stored_bytes = source.stored_bytes
        self.read_overhead_bytes = 0
        self.codec = ""
        self.opening_passes = 0
        self.entry_bytes = self.clipped_entry_bytes = source.entry_bytes
        self.integrity = source.integrity
        self.is_stored = source.is_stored
        self.is_lazy = False
        self.is_known_by_name = source.is_known_by_name
        self._source = source
        self._buckets = buckets
        self._width = width

    def fingerprint(self) -> str:
        """Return that of the source: nobody else writes to the copy."""
        return self._source.fingerprint()

    def feature_digest(self) -> str | None:
        """Return that of the source: the columns are the same."""
        return self._source.feature_digest()

    def feature_names(self, columns: Array) -> list[Any] | None:
        """Return those of the source."""
        return self._source.feature_names(columns)

    def row_names(self) -> Array | None:
        """Return those of the source."""
        return self._source.row_names()

    @property
    def largest_unit_entries(self) -> int:
        """A bucket may be full."""
        return self.shape[0] * self._width

    def verify(self) -> None:
        """Check nothing: this process has just written the store."""

    def bands(self, max_rows: int, max_bytes: int) -> list[Interval]:
        """Return all rows: the store was made to be read by whole columns."""
        assert max_rows >= self.shape[0]
        assert max_bytes > 0
        return [(0, self.shape[0])]

    def cut(
        self,
        rows: Interval,  # noqa: ARG002 - the protocol's
        max_bytes: int,  # noqa: ARG002
        columns: Interval | None = None,
    ) -> Iterator[Interval]:
        """Yield one column range per bucket, whose size the plan chose for ``max_bytes``."""
        assert columns is None
        yield from regular_intervals(self.shape[1], self._width, self._width)

    def read(self, rows: Interval, columns: Interval) -> Block:
        """Read one bucket."""
        bucket = columns[0] // self._width
        whole = (bucket * self._width, min((bucket + 1) * self._width, self.shape[1]))
        assert columns == whole, f"columns {columns} are not the bucket {whole}"
        assert rows == (0, self.shape[0])
        if isinstance(self._buckets, DenseBuckets):
            return DenseBlock(rows, columns, self._buckets.read(rows, bucket))
        indptr, indices, data = self._buckets.read_bucket(bucket)
        return SparseBlock(rows, columns, True, indptr, indices, data)


@contextmanager
def by_columns(source: Source, stream: Stream, *, beside: Path | None) -> Iterator[Source]:
    """Yield a column-blocked copy of the source, removed on exit; reads the source once.

    Parameters
    ----------
    source : gives row bands cheaply, whole columns not.
    stream : the plan; its ``block_bytes`` bounds both the bands read and the buckets.
    beside : folder for the temporary files, None for the system's.

    Raises
    ------
    StoreError : if the disk has less room than the copy takes.
    """
    with (
        scratch_folder(
            beside,
            needed=stream.temporary_disk_bytes,
            purpose=f"rewriting {source.name} by columns",
            remedy="raise memory until the plan takes no temporary disk",
        ) as folder,
        _fill(source, stream, folder) as copy,
    ):
        yield copy


@contextmanager
def _fill(source: Source, stream: Stream, folder: Path) -> Iterator[Source]:
    n, d = source.shape
    entry_bytes = np.dtype(source.block_dtype).itemsize
    if source.nnz is not None:
        # Columns are uneven: a bucket fits a block even where all of its columns are full.
        entry_bytes = _SPARSE_ENTRY_BYTES
    width = min(d, max(1, stream.block_bytes // (n * entry_bytes), d // _MOST_BUCKETS))
    path = folder / "buckets"
    dtype = np.dtype(source.block_dtype)
    buckets: DenseBuckets | SparseBuckets
    if source.nnz is None:
        buckets = DenseBuckets(path, source.shape, dtype, width)
    else:
        size = stream.block_bytes
        buckets = SparseBuckets(path, source.shape, dtype, width, buffer_bytes=size)
    try:
        for band in source.bands(n, stream.block_bytes):
            for block in read_ahead(
                partial(_load, source, band), source.cut(band, stream.block_bytes), ahead=0
            ):
                _put(buckets, block)
        yield BucketSource(source, buckets, width)
    finally:
        buckets.close()


def _load(source: Source, band: Interval, columns: Interval) -> Block:
    return prepare(source.read(band, columns), by_rows=True, zero=False)


def _put(buckets: DenseBuckets | SparseBuckets, block: Block) -> None:
    if isinstance(block, DenseBlock):
        assert isinstance(buckets, DenseBuckets)
        buckets.put(block.rows, block.columns, block.view())
    else:
        assert isinstance(buckets, SparseBuckets)
        indices: Array = block.indices
        buckets.put(block.rows, block.indptr, indices, block.data)
