"""Files in NumPy's ``.npy`` format, by positioned reads: a file that shrinks raises an error."""

from __future__ import annotations

import io
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from streamsparse.arrays import Array, Interval
from streamsparse.errors import (
    CorruptChunkError,
    SourceNotFoundError,
    UnsupportedInputError,
)
from streamsparse.sources.base import DenseBlock, check_shape, regular_intervals
from streamsparse.sources.buffers import empty_block
from streamsparse.sources.dense import DenseSource
from streamsparse.sources.digests import digest_of
from streamsparse.sources.dtypes import block_dtype_of, copy_values, is_half
from streamsparse.sources.reading import attempt, within_deadline
from streamsparse.units import format_bytes

# Segments shorter than a page cost a page anyway.
_PAGE_BYTES = 4096
# float16 is widened through a buffer of this size.
_WIDEN_BYTES = 1 << 20
_VERSIONS = ((1, 0), (2, 0), (3, 0))
# No honest header of a plain dtype comes near this; a forged length cannot make us read more.
_HEADER_BYTES = 1 << 17


class NpySource(DenseSource):
    """A two-dimensional ``.npy`` file in either order, never memory-mapped.

    Parameters
    ----------
    path : the file; its array has shape (n, d) if ``feature_axis`` is 1, (d, n) if it is 0.
    feature_axis : axis of the stored array along which the d columns of X lie.
    """

    is_stored = True

    def __init__(self, path: str | os.PathLike[str], *, feature_axis: int) -> None:
        self._path = Path(path)
        self.name = str(path)
        doing = f"opening {path}"
        shape, is_fortran, self.dtype, self._start = within_deadline(
            doing, lambda: _read_header(self._path)
        )
        self.block_dtype = block_dtype_of(self.dtype, self.name)
        rows, columns = check_shape(shape, self.name)
        self.shape = (rows, columns) if feature_axis == 1 else (columns, rows)
        # The file is a C-ordered matrix: X itself, or X transposed.
        self._is_transposed = (feature_axis == 0) != is_fortran
        self._file_width = self.shape[0] if self._is_transposed else self.shape[1]
        width = -(-_PAGE_BYTES // self.dtype.itemsize)
        self.unit = (width, 1) if self._is_transposed else (1, width)
        self.stored_bytes = rows * columns * self.dtype.itemsize
        self.read_overhead_bytes = _WIDEN_BYTES if is_half(self.dtype) else 0
        _check_size(self._path, self._start + self.stored_bytes)
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def fingerprint(self) -> str:
        """Return a digest of the header and of the size and time of modification of the file."""
        doing = f"reading the state of {self.name}"
        try:
            state = within_deadline(doing, lambda: attempt(doing, self._path.stat))
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"there is nothing at {self.name} any more") from error
        head = within_deadline(doing, lambda: _read_head(self._path))[: self._start]
        return digest_of(self.shape, self._is_transposed, state.st_size, state.st_mtime_ns, head)

    def read(self, rows: Interval, columns: Interval) -> DenseBlock:
        """Read one block into fresh memory, C-contiguous or its transpose."""
        if self._is_transposed:
            return DenseBlock(rows, columns, self._read_file(columns, rows).T)
        return DenseBlock(rows, columns, self._read_file(rows, columns))

    def _read_file(self, lines: Interval, columns: Interval) -> Array:
        shape = (lines[1] - lines[0], columns[1] - columns[0])
        out = empty_block(shape, self.block_dtype)
        if is_half(self.dtype):
            self._read_widened(out, lines, columns)
            return out
        raw = out.view(self.dtype)
        self._read_lines(raw, lines, columns)
        if not self.dtype.isnative:
            raw.byteswap(inplace=True)
        return out

    def _read_widened(self, out: Array, lines: Interval, columns: Interval) -> None:
        entries = _WIDEN_BYTES // 2
        for left, right in regular_intervals(out.shape[1], 1, entries):
            for low, high in regular_intervals(out.shape[0], 1, entries // (right - left)):
                raw = np.empty((high - low, right - left), self.dtype)
                self._read_lines(
                    raw,
                    (lines[0] + low, lines[0] + high),
                    (columns[0] + left, columns[0] + right),
                )
                copy_values(raw, out[low:high, left:right])

    def _read_lines(self, raw: Array, lines: Interval, columns: Interval) -> None:
        itemsize, width = self.dtype.itemsize, self._file_width
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


def _read_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return (shape, whether in Fortran order, dtype, position of the first byte of data)."""
    if path.exists() and not path.is_file():
        # Opening a pipe would wait for its writer.
        raise UnsupportedInputError(f"{path} is not a regular file; copy it to one first")
    head = io.BytesIO(_read_head(path))
    try:
        version = npy_format.read_magic(head)
        # Version 3 exists for structured dtypes alone; read as version 2 it gives their dtype.
        parse = (
            npy_format.read_array_header_1_0
            if version == (1, 0)
            else npy_format.read_array_header_2_0
        )
        shape, is_fortran, dtype = parse(head)
    except Exception as error:
        raise CorruptChunkError(f"{path} has no valid npy header: {error}") from error
    if version not in _VERSIONS:
        raise CorruptChunkError(f"{path} has no valid npy header: version {version} is not known")
    return shape, bool(is_fortran), dtype, head.tell()


def _read_head(path: Path) -> bytes:
    def action() -> bytes:
        with path.open("rb") as file:
            return file.read(_HEADER_BYTES)

    try:
        return attempt(f"opening {path}", action)
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"there is nothing at {path}") from error


def _check_size(path: Path, expected: int) -> None:
    size = attempt(f"opening {path}", path.stat).st_size
    if size < expected:
        raise CorruptChunkError(
            f"{path} is truncated: its header announces {format_bytes(expected)} "
            f"({expected:,} bytes) but the file has {size:,}"
        )


def has_npy_suffix(path: str | os.PathLike[str]) -> bool:
    """Return whether a path names a ``.npy`` file."""
    return os.fspath(path).lower().endswith(".npy")
