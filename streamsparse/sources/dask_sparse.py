"""Dask arrays whose chunks are ``scipy.sparse``: computed whole, checked, and joined here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
from dask.delayed import delayed
from scipy import sparse

from streamsparse.arrays import Array, Interval
from streamsparse.errors import BadStructureError, UnsupportedInputError
from streamsparse.sources.base import SourceMixin, SparseBlock, check_unit_fits, split_intervals
from streamsparse.sources.compressed import POINTER_BYTES
from streamsparse.sources.dask_array import (
    Grid,
    compute_all,
    compute_chunks,
    edges_of,
    fingerprint_of,
    overlap,
    touched,
)
from streamsparse.sources.digests import digest_of
from streamsparse.sources.dtypes import as_block_dtype, block_dtype_of
from streamsparse.sources.reading import attempt_once
from streamsparse.sources.sparse import as_compressed, check_compressed
from streamsparse.sources.structure import CHECK_BYTES, check_indices, keep_minors

# A stored entry in a chunk, in its checked copy, and in the block, with the positions between.
_ENTRY_BYTES = 48

T = TypeVar("T")

# As a plain predicate: the stubs narrow to a class that lacks what every format has.
is_sparse: Callable[[Any], bool] = sparse.issparse


class Piece(NamedTuple):
    """One chunk's part of a block, compressed along the majors of the source.

    Attributes
    ----------
    indptr, indices, data : as in a ``SparseBlock``; indices relative to the piece.
    shift : first minor of the piece, relative to the block.
    """

    indptr: Array
    indices: Array
    data: Array
    shift: int


class SparseChunks:
    """``scipy.sparse`` chunks, checked and put together to blocks of X.

    Attributes
    ----------
    by_rows : whether blocks are compressed by rows of X.
    counts : entries of each chunk, as somebody has counted them; None if nobody has.
    """

    def __init__(self, grid: Grid, *, stored_format: str) -> None:
        self.grid = grid
        self.block_dtype = block_dtype_of(grid.dtype, grid.name)
        self.stored_by_rows = stored_format == "csr"
        self.by_rows = self.stored_by_rows != grid.is_transposed
        self.counts: Array | None = None

    def join(self, rows: Interval, columns: Interval, chunks: Iterable[Any]) -> SparseBlock:
        """Return a block made of the chunks that it touches, in the order of ``positions``.

        Raises
        ------
        BadStructureError, UnsupportedInputError : for a chunk that is not what was announced.
        """
        grid = self.grid
        extent = self._oriented(rows, columns)[1]
        # Pieces by major: positions run over rows first.
        parts: dict[int, list[Piece]] = {}
        for position, chunk in zip(grid.positions(rows, columns), chunks, strict=True):
            major = self._oriented(*position)[0]
            parts.setdefault(major, []).append(self._clip(position, chunk, rows, columns))
        joined = [_join_minors(pieces, extent[1] - extent[0]) for pieces in parts.values()]
        block = joined[0] if len(joined) == 1 else _stack_majors(joined)
        data = as_block_dtype(block.data)
        return SparseBlock(rows, columns, self.by_rows, block.indptr, block.indices, data)

    def _oriented(self, of_rows: T, of_columns: T) -> tuple[T, T]:
        """Return (of majors, of minors); and, being its own inverse, back again."""
        return (of_rows, of_columns) if self.by_rows else (of_columns, of_rows)

    def _checked(self, at: tuple[int, int], chunk: Any) -> Any:
        """Return one chunk as stored, in the format of all, with its three arrays in agreement."""
        name, counts = self.grid.name, self.counts
        self.grid.check(at, chunk)
        if not is_sparse(chunk):
            raise UnsupportedInputError(
                f"a chunk of {name} is a {type(chunk).__name__}, not the scipy.sparse matrix that "
                f"the dask array announces; give the dask array the right meta"
            )
        if counts is not None and chunk.nnz > counts[at]:
            raise BadStructureError(
                f"a chunk of {name} had {counts[at]:,} entries when it was counted and "
                f"has {chunk.nnz:,} now: its values change from one computation to the next"
            )
        chunk = as_compressed(chunk, name=name, prefer_rows=self.stored_by_rows)
        check_compressed(chunk, name=name)
        return chunk.asformat("csr" if self.stored_by_rows else "csc")

    def _clip(self, at: tuple[int, int], chunk: Any, rows: Interval, columns: Interval) -> Piece:
        """Return one chunk's part of a block."""
        grid, chunk = self.grid, self._checked(at, chunk)
        i, j = overlap(grid.rows, at[0], rows), overlap(grid.columns, at[1], columns)
        majors, minors = self._oriented(i, j)
        major, minor = self._oriented(int(grid.rows[at[0]]), int(grid.columns[at[1]]))
        height, width = chunk.shape[::-1] if grid.is_transposed else chunk.shape
        pointers = chunk.indptr.astype(np.int64)[majors[0] - major : majors[1] - major + 1]
        low, high = int(pointers[0]), int(pointers[-1])
        indptr = pointers - low
        length = self._oriented(height, width)[1]
        indices, data = check_indices(
            indptr,
            np.asarray(chunk.indices)[low:high],
            np.asarray(chunk.data)[low:high],
            minors=length,
            name=grid.name,
            by_rows=self.by_rows,
            first=majors[0],
            is_ours=False,
        )
        if minors[1] - minors[0] < length:
            kept = minors[0] - minor, minors[1] - minor
            indptr, indices, data = keep_minors(indptr, indices, data, kept)
        return Piece(indptr, indices, data, minors[0] - self._oriented(rows, columns)[1][0])


class DaskSparseSource(SourceMixin):
    """A dask array of ``scipy.sparse`` chunks.

    Dask does not know how many entries a sparse chunk stores, and without that no block can be
    kept within a budget: opening computes every chunk once to count them.
    """

    integrity = "structural"
    opening_passes = 1
    is_lazy = True
    is_known_by_name = True
    entry_bytes = _ENTRY_BYTES
    clipped_entry_bytes = _ENTRY_BYTES

    @property
    def largest_unit_entries(self) -> int:
        """Entries of the fullest column of chunks."""
        return int(self._counts.sum(axis=0).max())

    def __init__(self, array: Any, *, feature_axis: int, name: str = "dask array") -> None:
        self.name, self.array, self.feature_axis = name, array, feature_axis
        self._grid = Grid(array, feature_axis=feature_axis, name=name)
        self.chunks = SparseChunks(self._grid, stored_format=array._meta.format)
        self.shape, self.unit = self._grid.shape, self._grid.unit
        self.dtype: np.dtype[Any] = array.dtype
        self.block_dtype = self.chunks.block_dtype
        self.by_rows = self.chunks.by_rows
        self._counts = self.chunks.counts = self._count()
        self.nnz: int | None = int(self._counts.sum())
        self.stored_bytes = self.nnz * (self.dtype.itemsize + 4)
        # The chunk whose entries are not kept, where a block takes only part of it.
        self.read_overhead_bytes = CHECK_BYTES + int(self._counts.max()) * _ENTRY_BYTES

    def _count(self) -> Array:
        chunks = self.array.to_delayed()
        counts = attempt_once(
            f"computing the chunks of {self.name}",
            lambda: compute_all(*(delayed(_stored_entries)(chunk) for chunk in chunks.flat)),
        )
        for chunk in counts:
            if chunk is None:
                raise UnsupportedInputError(
                    f"a chunk of {self.name} is not the scipy.sparse matrix that the dask array "
                    f"announces; give the dask array the right meta"
                )
        table = np.array(counts, np.int64).reshape(chunks.shape)
        return table.T if self._grid.is_transposed else table

    def fingerprint(self) -> str:
        """Return a digest of the graph's name and of how many entries each chunk had."""
        return digest_of(fingerprint_of(self.array, self._grid), self._counts.tolist())

    def verify(self) -> None:
        """Do nothing: a dask array cannot be checked without computing it."""

    def _needed(self, entries: int, majors: int) -> int:
        return entries * _ENTRY_BYTES + 4 * (majors + 1) * POINTER_BYTES

    def bands(self, max_rows: int, max_bytes: int) -> list[Interval]:
        """Cut [0, n) on chunk edges, so that each column of chunks fits; inside one if needed."""
        edges, bands = self._grid.rows, [(0, 0)]
        width = self.unit[1]
        held = np.zeros(self._counts.shape[1], np.int64)
        for (start, stop), counts in zip(pairwise(edges.tolist()), self._counts, strict=True):
            height = stop - bands[-1][0]
            majors = height if self.by_rows else width
            fits = self._needed(int((held + counts).max()), majors) <= max_bytes
            if bands[-1][1] > bands[-1][0] and not (fits and height <= max_rows):
                bands.append((start, stop))
                held[:] = 0
            bands[-1] = (bands[-1][0], stop)
            held += counts
        return split_intervals(bands, max_rows)

    def cut(
        self, rows: Interval, max_bytes: int, columns: Interval | None = None
    ) -> Iterator[Interval]:
        """Yield column ranges between chunk edges whose entries fit ``max_bytes``."""
        heights = touched(self._grid.rows, rows)
        widths = touched(self._grid.columns, columns or (0, self.shape[1]))
        counts = self._counts[heights.start : heights.stop, widths.start : widths.stop]
        edges = edges_of(self._grid.columns, columns).tolist()
        start, end, held = edges[0], edges[0], 0
        for stop, count in zip(edges[1:], counts.sum(axis=0).tolist(), strict=True):
            majors = rows[1] - rows[0] if self.by_rows else stop - start
            if end > start and self._needed(held + count, majors) > max_bytes:
                yield start, end
                start, held = end, 0
            majors = rows[1] - rows[0] if self.by_rows else stop - start
            needed = self._needed(held + count, majors)
            check_unit_fits(name=self.name, unit_bytes=needed, max_bytes=max_bytes)
            end, held = stop, held + count
        yield start, end

    def read(self, rows: Interval, columns: Interval) -> SparseBlock:
        """Compute the chunks that a block touches, check them and join them."""
        positions = self._grid.positions(rows, columns)
        chunks = (
            chunk
            for _, along in groupby(positions, key=itemgetter(0))
            for chunk in compute_chunks(self.array, self._grid, list(along))
        )
        return self.chunks.join(rows, columns, chunks)


def _stored_entries(chunk: Any) -> int | None:
    return int(chunk.nnz) if is_sparse(chunk) else None


def _join_minors(pieces: list[Piece], extent: int) -> Piece:
    """Join pieces with the same majors and neighbouring minors, in order."""
    if len(pieces) == 1:
        return pieces[0]
    counts = [np.diff(piece.indptr) for piece in pieces]
    indptr = np.zeros(pieces[0].indptr.size, np.int64)
    np.cumsum(np.sum(counts, axis=0), out=indptr[1:])
    index_dtype = np.int32 if extent <= np.iinfo(np.int32).max else np.int64
    indices = np.empty(int(indptr[-1]), index_dtype)
    data = np.empty(indices.size, pieces[0].data.dtype)
    following = indptr[:-1].copy()
    for piece, count in zip(pieces, counts, strict=True):
        places = np.repeat(following - piece.indptr[:-1], count)
        places += np.arange(places.size)
        indices[places] = piece.indices + index_dtype(piece.shift)
        data[places] = piece.data
        following += count
    return Piece(indptr, indices, data, 0)


def _stack_majors(pieces: list[Piece]) -> Piece:
    """Join pieces with the same minors and neighbouring majors, in order."""
    ends = np.cumsum([0, *(piece.indptr[-1] for piece in pieces)])
    indptr = [piece.indptr[:-1] + end for piece, end in zip(pieces, ends[:-1], strict=True)]
    return Piece(
        np.concatenate([*indptr, ends[-1:]]),
        np.concatenate([piece.indices for piece in pieces]),
        np.concatenate([piece.data for piece in pieces]),
        0,
    )
