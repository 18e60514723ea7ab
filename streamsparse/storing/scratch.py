"""Temporary folders beside the output: checked for room, removed whatever happens."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamsparse.errors import StoreError
from streamsparse.storing.files import free_disk_bytes, reporting
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
    with reporting(f"making a temporary folder for {purpose} in", beside or Path(".")):
        folder = Path(tempfile.mkdtemp(prefix=".streamsparse-", dir=beside))
    try:
        free = free_disk_bytes(folder)
        if free < needed:
            raise StoreError(
                f"{purpose} needs {format_bytes(needed)} of disk in {folder.parent} but "
                f"{format_bytes(free)} are free; free some, or {remedy}"
            )
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
