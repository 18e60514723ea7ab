"""An HDF5 file and one dataset in it, their errors ours; h5py is imported when a file is opened."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from streamsparse.arrays import Array
from streamsparse.errors import (
    CorruptChunkError,
    MissingChunkError,
    SourceNotFoundError,
    StoreError,
    StreamSparseError,
    UnsupportedInputError,
    needs_extra,
)
from streamsparse.sources.dtypes import block_dtype_of
from streamsparse.sources.reading import attempt, within_deadline

T = TypeVar("T")

# What HDF5 holds of the chunks of one dataset, and one chunk on its way.
_CACHE_BYTES = 1 << 20


class Hdf5File:
    """A file that each process opens for itself, when it first reads."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._opened: Any = None

    @property
    def handle(self) -> Any:
        """The open file."""
        with self._lock:
            if self._opened is None:
                self._opened = attempt(f"opening {self.path}", self._open)
            return self._opened

    def _open(self) -> Any:
        if not Path(self.path).exists():
            raise SourceNotFoundError(f"there is nothing at {self.path}")
        try:
            import h5py  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise UnsupportedInputError(
                needs_extra(f"{self.path} is an HDF5 file, which", "h5py", "io")
            ) from error
        if not h5py.is_hdf5(self.path):
            raise UnsupportedInputError(f"{self.path} is not an HDF5 file")
        return _unless_damaged(f"{self.path} cannot be opened", lambda: h5py.File(self.path, "r"))

    def node(self, member: str) -> Any:
        """Return a dataset or group.

        Raises
        ------
        UnsupportedInputError : if there is none of that name.
        """
        try:
            return self.handle[member]
        except KeyError as error:
            listed = ", ".join(sorted(self.handle)[:8])
            raise UnsupportedInputError(
                f"{self.path} has no {member!r}; at its top are {listed or 'none'}"
            ) from error

    def refuse_cut(self) -> None:
        """Refuse a file that has become shorter than it was when it was opened.

        Raises
        ------
        CorruptChunkError : if it has; HDF5 would read zeros.
        """
        there, needed = self.fingerprint()[0], int(self.handle.id.get_filesize())
        if there < needed:
            raise CorruptChunkError(f"{self.path} is cut: it has {there:,} of {needed:,} bytes")

    def fingerprint(self) -> tuple[int, int]:
        """Return size and time of modification."""
        doing = f"reading the state of {self.path}"
        state = within_deadline(doing, lambda: attempt(doing, Path(self.path).stat))
        return state.st_size, state.st_mtime_ns

    def __getstate__(self) -> dict[str, Any]:
        # Neither a lock nor an open file means anything in another process.
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]


class Hdf5Dataset:
    """One dataset, read by slices, its errors ours."""

    def __init__(self, file: Hdf5File, node: Any, *, missing: str) -> None:
        self._file, self._member = file, str(node.name)
        self.name = f"{file.path}:{self._member}"
        if node.external or node.is_virtual:
            raise UnsupportedInputError(
                f"{self.name} lies in other files; give those, or copy it into one"
            )
        self.shape, self.dtype = tuple(node.shape or ()), node.dtype
        block_dtype_of(self.dtype, self.name)
        self.chunk = node.chunks
        self.codec = "gzip" if node.compression else ""
        # Fletcher32 covers values, not the metadata that say what and where they are.
        self.integrity = "structural"
        self.stored_bytes = int(node.id.get_storage_size()) or int(node.nbytes)
        self._missing = missing
        chunk_bytes = math.prod(self.chunk or ()) * self.dtype.itemsize
        self.overhead_bytes = _CACHE_BYTES + 2 * chunk_bytes

    def verify(self) -> None:
        """Compare the chunks that should be there with those that are.

        Raises
        ------
        MissingChunkError : where some were never written.
        """
        self._file.refuse_cut()
        if self._missing == "fill" or 0 in self.shape:
            return
        node = self._file.node(self._member)
        if self.chunk is None:
            there, expected = int(node.id.get_storage_size() > 0), 1
        else:
            there = int(node.id.get_num_chunks())
            expected = math.prod(-(-n // c) for n, c in zip(self.shape, self.chunk, strict=True))
        if there < expected:
            raise MissingChunkError(
                f"{expected - there:,} of {expected:,} chunks of {self.name} were never written; "
                f'write them, or pass missing="fill" (--missing fill) to read them as they are '
                f"filled"
            )

    def read_into(self, region: tuple[slice, ...], out: Array) -> None:
        """Fill ``out`` with a region, converted to its dtype."""
        target = out.view(np.bool_) if self.dtype == np.bool_ else out
        self._guarded(lambda node: node.read_direct(target, region))

    def read(self, start: int, stop: int) -> Array:
        """Return a range of a one-dimensional dataset in native byte order."""
        out = np.empty(stop - start, self.dtype.newbyteorder("="))
        if stop > start:
            self._guarded(lambda node: node.read_direct(out, np.s_[start:stop]))
        return out

    def _guarded(self, action: Callable[[Any], T]) -> T:
        def read() -> T:
            failed = f"{self.name} cannot be read"
            return _unless_damaged(failed, lambda: action(self._file.node(self._member)))

        try:
            return attempt(f"reading {self.name}", read)
        except (StreamSparseError, MemoryError):
            raise
        except Exception as error:
            raise StoreError(f"{self.name} cannot be read: {error}") from error


def _unless_damaged(failed: str, action: Callable[[], T]) -> T:
    """Return what an action of HDF5 returns; what it cannot make sense of is not asked again."""
    try:
        return action()
    except OSError as error:
        # What the system refuses has a number; what HDF5 cannot decode has none.
        if "errno" in str(error):
            raise
        raise CorruptChunkError(f"{failed}: {error}") from error
