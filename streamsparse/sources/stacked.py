"""Two matrices with the same columns, one above the other: Z = [Q; K] for attention of Q K^T."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from streamsparse.arrays import Array, Interval
from streamsparse.errors import ParameterError
from streamsparse.sources.base import Block, DenseBlock, Source, SourceMixin, SparseBlock
from streamsparse.sources.digests import digest_of
from streamsparse.sources.open import open_source


class StackedSource(SourceMixin):
    """Rows of ``above``, then rows of ``below``; columns are those of both.

    Raises
    ------
    ParameterError : if they differ in d or in the names of their columns, or if one is sparse and
        the other dense.

    Notes
    -----
    A block that holds rows of both is copied together from two reads.
    """

    def __init__(self, above: Source, below: Source) -> None:
        _check_pair(above, below)
        self.above, self.below = above, below
        self.name = f"{above.name} over {below.name}"
        self.shape = (above.shape[0] + below.shape[0], above.shape[1])
        self.feature_axis = above.feature_axis
        self.dtype = np.result_type(above.dtype, below.dtype)
        self.block_dtype = np.result_type(above.block_dtype, below.block_dtype)
        self.nnz = None if above.nnz is None else above.nnz + (below.nnz or 0)
        # A unit of one may cover several of the other.
        self.unit = (
            max(above.unit[0], below.unit[0]),
            max(above.unit[1], below.unit[1]),
        )
        self.stored_bytes = above.stored_bytes + below.stored_bytes
        self.read_overhead_bytes = above.read_overhead_bytes + below.read_overhead_bytes
        # The parts and what is put together of them exist at once.
        self.entry_bytes = 2 * max(above.entry_bytes, below.entry_bytes)
        self.clipped_entry_bytes = self.entry_bytes + max(
            above.clipped_entry_bytes, below.clipped_entry_bytes
        )
        self.codec = above.codec or below.codec
        self.opening_passes = max(above.opening_passes, below.opening_passes)
        self.is_stored = above.is_stored or below.is_stored
        self.is_lazy = above.is_lazy or below.is_lazy
        self.is_known_by_name = above.is_known_by_name or below.is_known_by_name
        grades = {above.integrity, below.integrity}
        self.integrity = "checksummed" if grades == {"checksummed"} else "structural"

    @property
    def largest_unit_entries(self) -> int:
        """Entries of the fullest unit of both together."""
        return self.above.largest_unit_entries + self.below.largest_unit_entries

    def fingerprint(self) -> str:
        """Return a digest of the fingerprints of both."""
        return digest_of(self.above.fingerprint(), self.below.fingerprint())

    def feature_digest(self) -> str | None:
        """Return that of either."""
        return self.above.feature_digest() or self.below.feature_digest()

    def feature_names(self, columns: Array) -> list[Any] | None:
        """Return those of either."""
        return self.above.feature_names(columns) or self.below.feature_names(columns)

    def row_names(self) -> Array | None:
        """Return those of both, where both have names of one kind."""
        above, below = self.above.row_names(), self.below.row_names()
        if above is None or below is None or above.dtype.kind != below.dtype.kind:
            return None
        return np.concatenate([above, below])

    def verify(self) -> None:
        """Check both."""
        self.above.verify()
        self.below.verify()

    def bands(self, max_rows: int, max_bytes: int) -> list[Interval]:
        """Cut the rows; no band holds rows of both."""
        first = self.above.shape[0]
        bands = self.above.bands(max_rows, max_bytes)
        below = self.below.bands(max_rows, max_bytes)
        return bands + [(start + first, stop + first) for start, stop in below]

    def cut(
        self, rows: Interval, max_bytes: int, columns: Interval | None = None
    ) -> Iterator[Interval]:
        """Yield column ranges in which both parts together stay within ``max_bytes``."""
        parts = self._parts(rows)
        if len(parts) == 1:
            source, inside = parts[0]
            yield from source.cut(inside, max_bytes, columns)
        elif self.nnz is None:
            # Widths follow from rows and from the values that the blocks are joined in.
            source, (a, b) = max(parts, key=lambda part: part[1][1] - part[1][0])
            share = max_bytes * (b - a) * source.block_dtype.itemsize
            share //= (rows[1] - rows[0]) * self.block_dtype.itemsize
            yield from source.cut((a, b), max(1, share), columns)
        else:
            yield from _common_intervals(
                *(
                    source.cut(inside, self._share(source, max_bytes), columns)
                    for source, inside in parts
                )
            )

    def _share(self, source: Source, max_bytes: int) -> int:
        """Return the room of one sparse part; half of all is for what is put together."""
        assert self.nnz is not None
        fullest = source.largest_unit_entries * source.entry_bytes + 64
        return max(fullest, max_bytes * (source.nnz or 0) // (2 * max(1, self.nnz)))

    def read(self, rows: Interval, columns: Interval) -> Block:
        """Read one block."""
        parts = self._parts(rows)
        blocks = [source.read(inside, columns) for source, inside in parts]
        if isinstance(blocks[0], DenseBlock):
            arrays = [block.view() for block in blocks if isinstance(block, DenseBlock)]
            data = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
            return DenseBlock(rows, columns, data.astype(self.block_dtype, copy=False))
        stacked = sparse.vstack(
            [_as_scipy(block) for block in blocks if isinstance(block, SparseBlock)], format="csr"
        )
        return SparseBlock(
            rows,
            columns,
            True,
            stacked.indptr.astype(np.int64, copy=False),
            stacked.indices,
            stacked.data.astype(self.block_dtype, copy=False),
        )

    def _parts(self, rows: Interval) -> list[tuple[Source, Interval]]:
        """Return (source, its own rows) for the part of ``rows`` in each."""
        first = self.above.shape[0]
        parts: list[tuple[Source, Interval]] = []
        if rows[0] < first:
            parts.append((self.above, (rows[0], min(rows[1], first))))
        if rows[1] > first:
            parts.append((self.below, (max(rows[0], first) - first, rows[1] - first)))
        return parts


def open_pair(pair: Any, *, feature_axis: int | str, missing: str) -> StackedSource:
    """Open queries and keys, a tuple (Q, K), as one source with the queries above the keys."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ParameterError(
            f"queries and keys must be a tuple (Q, K), not a {type(pair).__name__}"
        )
    above, below = (open_source(X, feature_axis=feature_axis, missing=missing) for X in pair)
    return StackedSource(above, below)


def check_queries(source: StackedSource, queries: int) -> None:
    """Refuse queries and keys that are not cut where the reduced ones were."""
    if source.above.shape[0] != queries:
        raise ParameterError(
            f"{queries:,} queries were reduced, but Q has {source.above.shape[0]:,} rows"
        )


def _common_intervals(first: Iterator[Interval], second: Iterator[Interval]) -> Iterator[Interval]:
    """Yield the pieces of both ways of cutting one axis: each lies in one interval of either."""
    a, b = next(first), next(second)
    start = a[0]
    while True:
        stop = min(a[1], b[1])
        yield start, stop
        start = stop
        ended = a[1] == stop, b[1] == stop
        a = next(first, a) if ended[0] else a
        b = next(second, b) if ended[1] else b
        if a[1] <= start or b[1] <= start:
            return


def _check_pair(above: Source, below: Source) -> None:
    if above.shape[1] != below.shape[1]:
        raise ParameterError(
            f"queries and keys must have the same columns: the queries, {above.name}, have d = "
            f"{above.shape[1]:,}, the keys, {below.name}, have d = {below.shape[1]:,}"
        )
    if (above.nnz is None) != (below.nnz is None):
        raise ParameterError(
            f"queries and keys must both be dense or both sparse: {above.name}, {below.name}"
        )
    digests = above.feature_digest(), below.feature_digest()
    if None not in digests and digests[0] != digests[1]:
        raise ParameterError(
            f"the columns of {above.name} and {below.name} have other names, or another order"
        )


def _as_scipy(block: SparseBlock) -> Any:
    made = sparse.csr_array if block.by_rows else sparse.csc_array
    shape = (block.rows[1] - block.rows[0], block.columns[1] - block.columns[0])
    arrays: Any = (block.data, block.indices, block.indptr)
    return made(arrays, shape=shape)
