"""Matrices that lie in a file as they are, from some byte on: by positioned reads.

Never memory-mapped: a file that shrinks raises an error instead of ending the process.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Any, Literal

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import CorruptChunkError, SourceNotFoundError, UnsupportedInputError
from streamsparse.sources.base import DenseBlock, check_shape, regular_intervals
from streamsparse.sources.buffers import empty_block
from streamsparse.sources.dense import DenseSource
from streamsparse.sources.digests import digest_of
from streamsparse.sources.dtypes import block_dtype_of, copy_values, is_half
from streamsparse.sources.reading import attempt, within_deadline
from streamsparse.units import format_bytes

# Segments shorter than a page cost a page anyway.
_PAGE_BYTES = 4096
# What is not read to its place, to be widened or spread out, comes in parts of this size.
PART_BYTES = 1 << 20


class FlatSource(DenseSource):
    """A two-dimensional array in a file, in either order.

    Parameters
    ----------
    path : the file.
    name : what errors call the array.
    shape : (n, d) if ``feature_axis`` is 1, (d, n) if it is 0.
    dtype : of its values, in either byte order.
    start : position of its first byte.
    feature_axis : axis of the stored array along which the d columns of X lie.
    is_fortran : whether its first index runs fastest.
    is_bfloat : whether ``dtype``, uint16, is the upper half of float32.
    """

    is_stored = True

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        start: int,
        feature_axis: int,
        is_fortran: bool = False,
        is_bfloat: bool = False,
    ) -> None:
        self._path, self.name, self._start = path, name, start
        self.feature_axis = feature_axis
        self._raw_dtype, self._is_bfloat = dtype, is_bfloat
        self.dtype = np.dtype(np.float32) if is_bfloat else dtype
        self.block_dtype = block_dtype_of(self.dtype, name)
        rows, columns = check_shape(shape, name)
        self.shape = (rows, columns) if feature_axis == 1 else (columns, rows)
        # The file has a C-ordered matrix: X itself, or X transposed.
        self._is_transposed = (feature_axis == 0) != is_fortran
        self._file_width = self.shape[0] if self._is_transposed else self.shape[1]
        width = -(-_PAGE_BYTES // dtype.itemsize)
        self.unit = (width, 1) if self._is_transposed else (1, width)
        self.stored_bytes = rows * columns * dtype.itemsize
        self._is_widened = is_half(dtype) or is_bfloat
        self.read_overhead_bytes = PART_BYTES if self._is_widened else 0
        self._check_size(start + self.stored_bytes)
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def _check_size(self, expected: int) -> None:
        size = attempt(f"opening {self._path}", self._path.stat).st_size
        if size < expected:
            raise CorruptChunkError(
                f"{self.name} is truncated: its header announces {format_bytes(expected)} "
                f"({expected:,} bytes) but the file has {size:,}"
            )

    def fingerprint(self) -> str:
        """Return a digest of all before the matrix, and of size and time of the file."""
        doing = f"reading the state of {self.name}"
        try:
            state = within_deadline(doing, lambda: attempt(doing, self._path.stat))
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"there is nothing at {self.name} any more") from error
        head = within_deadline(doing, lambda: read_head(self._path, self._start))
        return digest_of(self.shape, self._is_transposed, state.st_size, state.st_mtime_ns, head)

    def read(self, rows: Interval, columns: Interval) -> DenseBlock:
        """Read one block into fresh memory, C-contiguous or its transpose."""
        shape = (rows[1] - rows[0], columns[1] - columns[0])
        out = empty_block(shape, self.block_dtype, self.order)
        self.read_into(rows, columns, out)
        return DenseBlock(rows, columns, out)

    @property
    def order(self) -> Literal["C", "F"]:
        """How blocks lie in memory, without a change of layout."""
        return "F" if self._is_transposed else "C"

    def read_into(self, rows: Interval, columns: Interval, out: Array) -> None:
        """Fill ``out``, a part of a block in our order, of the shape of a region."""
        lines, across, out = (columns, rows, out.T) if self._is_transposed else (rows, columns, out)
        if self._is_widened or not out.flags.c_contiguous:
            self._read_in_parts(out, lines, across)
            return
        raw = out.view(self._raw_dtype)
        self._read_lines(raw, lines, across)
        if not self._raw_dtype.isnative:
            raw.byteswap(inplace=True)

    def _read_in_parts(self, out: Array, lines: Interval, columns: Interval) -> None:
        entries = PART_BYTES // self._raw_dtype.itemsize
        for left, right in regular_intervals(out.shape[1], 1, entries):
            for low, high in regular_intervals(out.shape[0], 1, entries // (right - left)):
                raw = np.empty((high - low, right - left), self._raw_dtype)
                self._read_lines(
                    raw,
                    (lines[0] + low, lines[0] + high),
                    (columns[0] + left, columns[0] + right),
                )
                part = out[low:high, left:right]
                if self._is_bfloat:
                    np.left_shift(raw, np.uint32(16), out=part.view(np.uint32))
                else:
                    copy_values(raw, part)

    def _read_lines(self, raw: Array, lines: Interval, columns: Interval) -> None:
        itemsize, width = self._raw_dtype.itemsize, self._file_width
        view = raw.view(np.uint8).reshape(-1).data
        start = self._start + (lines[0] * width + columns[0]) * itemsize
        if columns[1] - columns[0] == width:
            self._fill(view, start)
            return
        segment = raw.shape[1] * itemsize
        for line in range(raw.shape[0]):
            self._fill(view[line * segment : (line + 1) * segment], start)
            start += width * itemsize

    def _fill(self, view: memoryview, position: int) -> None:
        try:
            attempt(f"reading {self.name}", lambda: self._fill_once(view, position))
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"there is nothing at {self.name} any more") from error

    def _fill_once(self, view: memoryview, position: int) -> None:
        done = 0
        while done < len(view):
            count = os.preadv(self._open(), [view[done:]], position + done)
            if count == 0:
                raise CorruptChunkError(
                    f"{self.name} ends before byte {position + len(view):,}; "
                    f"it was cut short after it was opened"
                )
            done += count

    def _open(self) -> int:
        with self._lock:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
                weakref.finalize(self, os.close, self._descriptor)
            return self._descriptor

    def __getstate__(self) -> dict[str, Any]:
        # Neither a lock nor a descriptor means anything in another process.
        return {**self.__dict__, "_lock": None, "_descriptor": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def read_head(path: Path, most: int) -> bytes:
    """Return at most so many of the first bytes of a regular file.

    Raises
    ------
    SourceNotFoundError, UnsupportedInputError, StoreError
    """
    if path.exists() and not path.is_file():
        # Opening a pipe would wait for its writer.
        raise UnsupportedInputError(f"{path} is not a regular file; copy it to one first")

    def action() -> bytes:
        with path.open("rb") as file:
            return file.read(most)

    try:
        return attempt(f"opening {path}", action)
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"there is nothing at {path}") from error
