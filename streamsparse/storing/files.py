"""Every file operation of ours: errors get their names here, tests inject their faults here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from streamsparse.errors import StoreError, StreamSparseError

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Interval: TypeAlias = tuple[int, int]


@contextmanager
def reporting(operation: str, path: Path) -> Iterator[None]:
    """Turn an OSError of the body into one that names the operation and the path.

    Raises
    ------
    StoreError : for any OSError that is not ours already; ``errno`` is kept.
    """
    try:
        yield
    except StreamSparseError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        named = StoreError(f"{operation} {path} failed: {reason}")
        named.errno = error.errno
        raise named from error


def make_directory(path: Path) -> None:
    """Make one directory; its parent must be there and it must not.

    Raises
    ------
    StoreError : if it cannot be made.
    """
    with reporting("making the directory", path):
        path.mkdir()


def fsync_file(path: Path) -> None:
    """Wait until the contents of a file are on the disk.

    Raises
    ------
    StoreError : if the disk refuses, which is the last chance to hear of a lost write.
    """
    _fsync(path, os.O_RDONLY)


def fsync_directory(path: Path) -> None:
    """Wait until the names in a directory are on the disk.

    Raises
    ------
    StoreError : if the disk refuses.
    """
    # Where directories cannot be opened (Windows) there is nothing to wait for.
    if hasattr(os, "O_DIRECTORY"):
        _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    with reporting("syncing", path):
        descriptor = os.open(path, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def fsync_tree(path: Path) -> None:
    """Wait until a file, or a directory with everything below it, is on the disk.

    Raises
    ------
    StoreError : if the disk refuses, or the tree cannot be listed.
    """
    if not path.is_dir():
        fsync_file(path)
        return
    with reporting("listing", path):
        entries = sorted(path.iterdir())
    for entry in entries:
        if not entry.is_symlink():
            fsync_tree(entry)
    fsync_directory(path)


def rename(source: Path, target: Path) -> None:
    """Give a file or directory another name in the same file system, in one step.

    Raises
    ------
    StoreError : if it cannot be renamed, as when ``target`` is a directory that is not empty.
    """
    with reporting(f"renaming {source} to", target):
        source.rename(target)


def remove_tree(path: Path) -> None:
    """Remove a file, a link, or a directory with everything below it; nothing there is no error.

    Raises
    ------
    StoreError : if something cannot be removed.
    """
    with reporting("removing", path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def free_disk_bytes(path: Path) -> int:
    """Return the bytes that we may still write to the file system of an existing path.

    Raises
    ------
    StoreError : if the path is not there.
    """
    with reporting("asking for the free space of", path):
        return shutil.disk_usage(path).free


class PositionedFile:
    """A new file that threads may write and read at any position at once.

    Parameters
    ----------
    path : the file; it must not exist yet.

    Raises
    ------
    StoreError : from every method, naming the path and the operation.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        with reporting("making", path):
            self._descriptor = os.open(path, flags, 0o666)

    def preallocate(self, size_bytes: int) -> None:
        """Set the size of the file in bytes; what is never written reads as zeros."""
        with reporting("sizing", self.path):
            os.ftruncate(self._descriptor, size_bytes)

    def write(self, values: Array, position: int) -> None:
        """Write a C-contiguous array at a byte position, all of it."""
        view, done = as_bytes(values), 0
        with reporting("writing", self.path):
            while done < len(view):
                done += os.pwrite(self._descriptor, view[done:], position + done)

    def read_into(self, values: Array, position: int) -> None:
        """Fill a C-contiguous array from a byte position; a file that ends early is an error."""
        view, done = as_bytes(values), 0
        with reporting("reading", self.path):
            while done < len(view):
                count = os.preadv(self._descriptor, [view[done:]], position + done)
                if count == 0:
                    raise StoreError(
                        f"reading {self.path} failed: it ends before byte {position + len(view):,}"
                    )
                done += count

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with reporting("closing", self.path):
                os.close(descriptor)


def as_bytes(values: Array) -> memoryview:
    """Return the memory of a C-contiguous array, to write or to fill."""
    assert values.flags.c_contiguous
    return values.reshape(-1).view(np.uint8).data
