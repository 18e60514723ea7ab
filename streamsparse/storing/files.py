"""Every file operation of ours: errors get their names here, tests inject their faults here."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from streamsparse.errors import OutputBusyError, StoreError, StreamSparseError

try:
    import fcntl
except ImportError:  # pragma: no cover - not on this kind of system: nothing is locked
    fcntl = None  # type: ignore[assignment]

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Interval: TypeAlias = tuple[int, int]

# What file systems without locks say.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


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
        os.mkdir(path)


def make_directories(path: Path) -> None:
    """Make a directory and those above it; those that are there already are no error.

    Raises
    ------
    StoreError : if one cannot be made.
    """
    with reporting("making the directory", path):
        if path.is_dir():
            return
    make_directories(path.parent)
    try:
        make_directory(path)
    except StoreError:
        # Somebody else may have made it meanwhile.
        if not path.is_dir():
            raise


def make_temporary_directory(beside: Path | None, *, purpose: str) -> Path:
    """Make a new directory in ``beside``, None for the system's place for temporary files.

    Raises
    ------
    StoreError : if it cannot be made; ``purpose`` is what it is for.
    """
    where = Path(tempfile.gettempdir()) if beside is None else beside
    path = where / f".streamsparse-{secrets.token_hex(8)}"
    with reporting(f"making a temporary folder for {purpose} in", where):
        os.mkdir(path, 0o700)
    return path


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file in whole, replacing what it held.

    Raises
    ------
    StoreError : if it cannot be made or written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)
    with reporting("writing", path):
        descriptor = os.open(path, flags, 0o666)
        try:
            view = memoryview(content).cast("B")
            while len(view):
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)


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
        descriptor = os.open(path, flags, 0)
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
        os.rename(source, target)


def replace(source: Path, target: Path) -> None:
    """Give a file the name of another one, which is lost, in one step.

    Raises
    ------
    StoreError : if it cannot be renamed.
    """
    with reporting(f"renaming {source} to", target):
        os.replace(source, target)


def remove_tree(path: Path) -> None:
    """Remove a file, a link, or a directory with everything below it; nothing there is no error.

    Raises
    ------
    StoreError : if something cannot be removed.
    """
    with reporting("removing", path):
        if path.is_dir() and not path.is_symlink():
            for entry in sorted(path.iterdir()):
                remove_tree(entry)
            os.rmdir(path)
        elif os.path.lexists(path):
            os.unlink(path)


def remove_directory(path: Path) -> None:
    """Remove a directory if it is empty; nothing there, or something in it, is no error."""
    with suppress(OSError):
        os.rmdir(path)


def lock_file(path: Path) -> int:
    """Make a file that this process alone holds until it closes it, or ends; return a descriptor.

    Raises
    ------
    OutputBusyError : if somebody holds it.
    StoreError : if it cannot be made.

    Notes
    -----
    File systems without locks let everybody pass.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    while True:
        with reporting("locking", path):
            descriptor = os.open(path, flags, 0o666)
            try:
                _lock(descriptor, path)
                # Who held it before may have removed it while we waited at the door.
                if _is_same_file(descriptor, path):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputBusyError(
            f"somebody else is writing there: {path} is locked; wait until it is done, or choose "
            f"another name"
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def unlock(descriptor: int) -> None:
    """Let go of a locked file."""
    os.close(descriptor)


def free_disk_bytes(path: Path) -> int:
    """Return the bytes that we may still write to the file system of an existing path.

    Raises
    ------
    StoreError : if the path is not there.
    """
    with reporting("asking for the free space of", path):
        return shutil.disk_usage(path).free


class PositionedFile:
    """A file that threads may write and read at any position at once.

    Parameters
    ----------
    path : the file; it must not exist yet, or, with ``is_new`` False, it is only read.

    Raises
    ------
    StoreError : from every method, naming the path and the operation.
    """

    def __init__(self, path: Path, *, is_new: bool = True) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL if is_new else os.O_RDONLY
        with reporting("making" if is_new else "opening", path):
            self._descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o666)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        with reporting("asking for the size of", self.path):
            return os.fstat(self._descriptor).st_size

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

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        with reporting("syncing", self.path):
            os.fsync(self._descriptor)

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
