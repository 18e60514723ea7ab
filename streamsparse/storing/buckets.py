"""Temporary stores of X by columns, filled from bands of rows and read by ranges of columns.

Bucket b holds the columns [b * width, (b + 1) * width) of X; the last one may be narrower.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from streamsparse.storing.files import Array, Interval, PositionedFile

_BUFFER_BYTES = 64 << 20
# While a buffer is written: its bucket numbers, their order, and one sorted section.
_SORTING_BYTES = 20
# Bands are taken in pieces of this many entries, which bounds the temporaries.
_PIECE_ENTRIES = 1 << 18


class DenseBuckets:
    """Dense X as one file of buckets, each a C-ordered (n, w) array at a fixed position.

    Parameters
    ----------
    path : the file; it must not exist yet.
    shape : (n, d) of X.
    dtype : of X.
    width : columns per bucket, at least 1.

    Raises
    ------
    StoreError : from every method, if the file cannot be made, written or read.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int], dtype: np.dtype[Any], width: int
    ) -> None:
        self.shape, self.dtype, self.width = shape, np.dtype(dtype), width
        self._lock = threading.Lock()
        self._bytes_written = 0
        self._file = PositionedFile(path)
        self._file.preallocate(shape[0] * shape[1] * self.dtype.itemsize)

    @property
    def bytes_written(self) -> int:
        """Bytes put so far."""
        return self._bytes_written

    def put(self, rows: Interval, columns: Interval, values: Array) -> None:
        """Write a rectangle of X, shape (rows, columns); safe from several threads at once.

        Notes
        -----
        One write per bucket that the rectangle covers in full width, one per row elsewhere.
        """
        start, stop = columns
        for bucket in range(start // self.width, -(-stop // self.width)):
            first, last = self._columns(bucket)
            low, high = max(start, first), min(stop, last)
            part = np.ascontiguousarray(values[:, low - start : high - start], self.dtype)
            if (low, high) == (first, last):
                self._file.write(part, self._position(bucket, rows[0], 0))
            else:
                for i, row in enumerate(part, rows[0]):
                    self._file.write(row, self._position(bucket, i, low - first))
        with self._lock:
            self._bytes_written += (rows[1] - rows[0]) * (stop - start) * self.dtype.itemsize

    def read(self, rows: Interval, bucket: int) -> Array:
        """Return rows of one bucket, C-ordered (rows, w); safe from several threads at once."""
        first, last = self._columns(bucket)
        out = np.empty((rows[1] - rows[0], last - first), self.dtype)
        self._file.read_into(out, self._position(bucket, rows[0], 0))
        return out

    def close(self) -> None:
        """Close the file; it stays where it is."""
        self._file.close()

    def _columns(self, bucket: int) -> Interval:
        return bucket * self.width, min((bucket + 1) * self.width, self.shape[1])

    def _position(self, bucket: int, row: int, column: int) -> int:
        first, last = self._columns(bucket)
        entries = first * self.shape[0] + row * (last - first) + column
        return entries * self.dtype.itemsize


class SparseBuckets:
    """Sparse X as one append-only file; each flush of the buffer is sorted by bucket.

    Parameters
    ----------
    path : the file; it must not exist yet.
    shape : (n, d) of X.
    dtype : of the entries.
    width : columns per bucket, at least 1.
    buffer_bytes : memory for entries not yet written, the space to sort them included.

    Raises
    ------
    StoreError : from every method, if the file cannot be made, written or read.

    Notes
    -----
    Besides the buffer, memory holds one pointer of 8 bytes per bucket and flush.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        width: int,
        *,
        buffer_bytes: int = _BUFFER_BYTES,
    ) -> None:
        self.shape, self.dtype, self.width = shape, np.dtype(dtype), width
        self._num_buckets = -(-shape[1] // width)
        # The narrowest type: NumPy sorts 16-bit integers by radix, in linear time.
        self._bucket_dtype = np.min_scalar_type(self._num_buckets - 1)
        self._sections = [np.dtype(t) for t in (_index_dtype(shape[0]), _index_dtype(width))]
        self._sections.append(self.dtype)
        self._entry_bytes = sum(section.itemsize for section in self._sections)
        capacity = max(1, buffer_bytes // (self._entry_bytes + _SORTING_BYTES))
        self._buffer = [np.empty(capacity, section) for section in self._sections]
        self._buckets = np.empty(capacity, self._bucket_dtype)
        self._used = 0
        self._flushes: list[tuple[int, Array]] = []
        self._bytes_written = 0
        self._lock = threading.RLock()
        self._file = PositionedFile(path)

    @property
    def bytes_written(self) -> int:
        """Bytes in the file so far."""
        return self._bytes_written

    def put(self, rows: Interval, indptr: Array, indices: Array, data: Array) -> None:
        """Add a band of rows in CSR form over all d columns; bands may come in any order.

        Parameters
        ----------
        rows : half-open interval of X.
        indptr : shape (rows + 1,), starting at 0.
        indices : shape (nnz,), columns of X.
        data : shape (nnz,).
        """
        with self._lock:
            done, total = 0, int(indptr[-1])
            while done < total:
                count = min(total - done, self._buckets.size - self._used, _PIECE_ENTRIES)
                here, there = slice(self._used, self._used + count), slice(done, done + count)
                owners = np.searchsorted(indptr, np.arange(done, done + count), side="right")
                self._buffer[0][here] = owners + (rows[0] - 1)
                columns = indices[there].astype(np.int64, copy=False)
                buckets = columns // self.width
                self._buckets[here] = buckets
                self._buffer[1][here] = columns - buckets * self.width
                self._buffer[2][here] = data[there]
                self._used += count
                done += count
                if self._used == self._buckets.size:
                    self._flush()

    def read_bucket(self, bucket: int) -> tuple[Array, Array, Array]:
        """Return one bucket as CSR over all n rows; safe from several threads at once.

        Returns
        -------
        indptr : int64, shape (n + 1,).
        indices : int32 or int64, shape (nnz,), relative to the first column of the bucket, in the
            order in which each row was put.
        data : shape (nnz,).
        """
        with self._lock:
            self._flush()
            extents = [
                (position, int(edges[-1]), int(edges[bucket]), int(edges[bucket + 1]))
                for position, edges in self._flushes
            ]
        total = sum(stop - start for *_, start, stop in extents)
        rows, indices, data = (np.empty(total, section) for section in self._sections)
        done = 0
        for position, size, start, stop in extents:
            begin = position
            for out in (rows, indices, data):
                part = out[done : done + stop - start]
                self._file.read_into(part, begin + start * out.itemsize)
                begin += size * out.itemsize
            done += stop - start
        if bool((rows[1:] < rows[:-1]).any()):
            order = np.argsort(rows, kind="stable")
            rows, indices, data = rows[order], indices[order], data[order]
        indptr = np.zeros(self.shape[0] + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=self.shape[0]), out=indptr[1:])
        return indptr, indices, data

    def close(self) -> None:
        """Close the file; it stays where it is."""
        self._file.close()

    def _flush(self) -> None:
        if self._used == 0:
            return
        buckets = self._buckets[: self._used]
        order = np.argsort(buckets, kind="stable")
        position = self._bytes_written
        edges = np.zeros(self._num_buckets + 1, np.int64)
        np.cumsum(np.bincount(buckets, minlength=self._num_buckets), out=edges[1:])
        for section in self._buffer:
            values = section[: self._used][order]
            self._file.write(values, self._bytes_written)
            self._bytes_written += values.nbytes
        self._flushes.append((position, edges))
        self._used = 0


def _index_dtype(length: int) -> type[np.signedinteger[Any]]:
    return np.int32 if length <= np.iinfo(np.int32).max else np.int64
