"""Temporary folders beside the output: checked for room, removed whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamsparse.errors import StoreError
from streamsparse.storing.files import free_disk_bytes, make_temporary_directory, remove_tree
from streamsparse.units import format_bytes


@contextmanager
def scratch_folder(
    beside: Path | None, *, needed: int, purpose: str, remedy: str
) -> Iterator[Path]:
    """Yield a new folder, removed on exit with all that is in it.

    Parameters
    ----------
    beside : where to make it, None for the system's temporary directory.
    needed : bytes that will be written there.
    purpose, remedy : what the disk is for, and what else would do: for the message.

    Raises
    ------
    StoreError : if it cannot be made or the disk has less room than is needed.
    """
    folder = make_temporary_directory(beside, purpose=purpose)
    try:
        free = free_disk_bytes(folder)
        if free < needed:
            raise StoreError(
                f"{purpose} needs {format_bytes(needed)} of disk in {folder.parent} but "
                f"{format_bytes(free)} are free; free some, or {remedy}"
            )
        yield folder
    finally:
        with suppress(StoreError):
            remove_tree(folder)
