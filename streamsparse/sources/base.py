"""What a source is: shape, dtype, the unit it reads, and blocks; plus the arithmetic they share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import BudgetTooSmallError, SourceChangedError, UnsupportedInputError
from streamsparse.sources.labels import digest_labels
from streamsparse.units import format_bytes


@dataclass(frozen=True, slots=True)
class DenseBlock:
    """A rectangle of X held in memory.

    Attributes
    ----------
    rows, columns : half-open intervals of X that the block covers.
    data : native-endian array of float32, float64 or an integer type, C- or F-contiguous. It may
        hold more columns than the block: column ``columns[0]`` of X is ``data[:, offset]``.
    offset : position in ``data`` of the first column of the block.
    """

    rows: Interval
    columns: Interval
    data: Array
    offset: int = 0

    def cut(self, start: int, stop: int) -> DenseBlock:
        """Return the columns [start, stop) of X of this block, sharing its memory."""
        return replace(self, columns=(start, stop), offset=self.offset + start - self.columns[0])

    def view(self) -> Array:
        """Return the block as an array of exactly its own shape."""
        width = self.columns[1] - self.columns[0]
        return self.data[:, self.offset : self.offset + width]


@dataclass(frozen=True, slots=True)
class SparseBlock:
    """A rectangle of X in compressed form, indices sorted and unique within each row or column.

    Attributes
    ----------
    rows, columns : half-open intervals of X that the block covers.
    by_rows : True when ``indptr`` runs over rows (CSR), False when over columns (CSC).
    indptr : int64, shape (rows + 1,) or (columns + 1,), starting at 0.
    indices : int32 or int64, relative to the block: columns if ``by_rows``, else rows.
    data : native-endian values, float32, float64 or an integer type.
    """

    rows: Interval
    columns: Interval
    by_rows: bool
    indptr: Array
    indices: Array
    data: Array

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return int(self.data.shape[0])


Block: TypeAlias = DenseBlock | SparseBlock


class Source(Protocol):
    """A read-only provider of blocks of X (n, d).

    Attributes
    ----------
    name : what plans and errors call it.
    shape : (n, d), the feature axis already resolved.
    feature_axis : axis, 0 or 1, of what is stored along which the d columns lie.
    dtype : dtype as stored.
    block_dtype : dtype of ``Block.data``: float16 arrives as float32, bool as uint8, either byte
        order as native, everything else as it is.
    nnz : stored entries of a sparse source, None for a dense one.
    unit : (rows, columns) of the smallest region that can be read without reading anything else
        (chunk, shard or dask chunk; n or d where that axis cannot be cut cheaply).
    stored_bytes : bytes one pass reads from storage, before decoding where known.
    read_overhead_bytes : most bytes one ``read`` holds beside the block it returns.
    entry_bytes : memory of one stored entry while a block of whole rows or columns is read; 0 for
        dense sources.
    clipped_entry_bytes : the same where a block leaves out part of what is read.
    codec : name of what its bytes are compressed with, "" where they are not or it is not known.
    opening_passes : complete reads that opening took: 0, but for sources that must be counted.
    integrity : "checksummed" if every byte is covered by a checksum, else "structural".
    is_stored : whether others can write to it while it is read, and it may fail to answer.
    is_lazy : whether its values are computed by dask, wherever that is, when they are wanted.
    is_known_by_name : whether its fingerprint stays the same where its values change.
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
    entry_bytes: int
    clipped_entry_bytes: int
    codec: str
    opening_passes: int
    integrity: str
    is_stored: bool
    is_lazy: bool
    is_known_by_name: bool

    @property
    def largest_unit_entries(self) -> int:
        """Entries of the fullest unit, or a bound; found in metadata alone."""
        ...

    def verify(self) -> None:
        """Check, from listings and metadata alone, that the whole source is there; may raise."""
        ...

    def fingerprint(self) -> str:
        """Return a digest that is another one after somebody has written to the source.

        It looks afresh each time, reads no values of what is on disk, and depends on what is
        stored and on which way round X lies in it, not on what ``missing`` means. Cost: a listing
        of the store, or for what is in memory a read of all of it.
        """
        ...

    def feature_digest(self) -> str | None:
        """Return a digest of the names of the columns of X in their order; None without names."""
        ...

    def feature_names(self, columns: Array) -> list[Any] | None:
        """Return the names of some columns of X, text or numbers; None where there are none."""
        ...

    def row_names(self) -> Array | None:
        """Return the names of the n rows, as text or as numbers; None where there are none."""
        ...

    def bands(self, max_rows: int, max_bytes: int) -> list[Interval]:
        """Cut [0, n) into row ranges of at most ``max_rows`` rows, on unit edges where possible.

        Each range can then be read in blocks of at most ``max_bytes``.
        """
        ...

    def cut(
        self, rows: Interval, max_bytes: int, columns: Interval | None = None
    ) -> Iterator[Interval]:
        """Yield column ranges that cover [0, d) in order, each at most ``max_bytes`` in memory.

        ``columns`` : cover these alone, which begin at the edge of a unit.
        """
        ...

    def read(self, rows: Interval, columns: Interval) -> Block:
        """Read one block; safe to call from several threads at once."""
        ...


class SourceMixin:
    """What every source does by means of the protocol alone: yield its blocks, name itself.

    ``row_labels`` and ``column_labels`` : names that lie in memory beside X, None without any.
    """

    codec: str = ""
    opening_passes: int = 0
    is_stored: bool = False
    is_lazy: bool = False
    is_known_by_name: bool = False
    entry_bytes: int = 0
    clipped_entry_bytes: int = 0
    row_labels: Array | None = None
    column_labels: Array | None = None

    @property
    def largest_unit_entries(self) -> int:
        """Entries of the fullest unit: none, for dense sources."""
        return 0

    def feature_digest(self) -> str | None:
        """Return a digest of the names of the columns that came with X, None without names."""
        labels = self.column_labels
        return None if labels is None else digest_labels([labels.tolist()])

    def feature_names(self, columns: Array) -> list[Any] | None:
        """Return the names of some columns, None without names."""
        labels = self.column_labels
        return None if labels is None else list(labels[columns].tolist())

    def row_names(self) -> Array | None:
        """Return the names of the rows that came with X, None without names."""
        return self.row_labels

    def blocks(self: Source, max_bytes: int) -> Iterator[Block]:
        """Yield blocks of at most ``max_bytes`` that cover X once, band of rows by band of rows."""
        for rows in self.bands(self.shape[0], max_bytes):
            for columns in self.cut(rows, max_bytes):
                yield self.read(rows, columns)

    def __repr__(self: Source) -> str:
        n, d = self.shape
        entries = "" if self.nnz is None else f", {self.nnz:,} entries"
        return (
            f"<{type(self).__name__} {self.name}: X is {n:,} x {d:,} {self.dtype}{entries}, "
            f"{format_bytes(self.stored_bytes)} stored>"
        )


def check_shape(shape: tuple[int, ...], name: str) -> tuple[int, int]:
    """Return the shape of a non-empty matrix.

    Raises
    ------
    UnsupportedInputError : for other than two dimensions, or an empty axis.
    """
    if len(shape) != 2:
        raise UnsupportedInputError(f"{name} has {len(shape)} dimensions; X must have 2")
    if min(shape) < 1:
        raise UnsupportedInputError(f"{name} has shape {shape}; X must not be empty")
    return int(shape[0]), int(shape[1])


def regular_intervals(length: int, unit: int, most: int) -> Iterator[Interval]:
    """Yield intervals that cover [0, length): whole units, as many as fit in ``most``, or one."""
    step = max(unit, most // unit * unit)
    for start in range(0, length, step):
        yield start, min(start + step, length)


def split_intervals(intervals: Iterable[Interval], most: int) -> list[Interval]:
    """Return ``intervals``, each cut into parts at most ``most`` long."""
    return [
        (start + low, start + high)
        for start, stop in intervals
        for low, high in regular_intervals(stop - start, 1, most)
    ]


def intervals_from_edges(edges: Array, most: int) -> Iterator[Interval]:
    """Yield intervals between the increasing ``edges``, merging neighbours up to ``most`` wide."""
    start, end = int(edges[0]), int(edges[0])
    for edge in edges[1:].tolist():
        if edge - start > most and end > start:
            yield start, end
            start = end
        end = edge
    if end > start:
        yield start, end


def check_unit_fits(*, name: str, unit_bytes: int, max_bytes: int) -> None:
    """Refuse a block budget smaller than the smallest region the source can read.

    Raises
    ------
    BudgetTooSmallError : with both numbers and the remedy.
    """
    if unit_bytes > max_bytes:
        raise BudgetTooSmallError(
            f"one unit of {name} needs {format_bytes(unit_bytes)} in memory but only "
            f"{format_bytes(max_bytes)} of the budget is left for a block; raise memory or rechunk"
        )


def state_of(source: Source) -> str | None:
    """Return the fingerprint of a source that others can write to while it is read, else None.

    Values in memory have none to compare: theirs would cost a read of everything.
    """
    return source.fingerprint() if source.is_stored else None


def refuse_change(source: Source, state: str | None) -> None:
    """Refuse a source that was written to since it was in this state.

    Raises
    ------
    SourceChangedError : if it was.
    """
    if state_of(source) != state:
        raise SourceChangedError(
            f"{source.name} was written to while it was read; read it again when nobody writes to "
            f"it"
        )
