"""Pages on disk: whole or not there, and never in the place of anything else."""

from __future__ import annotations

from pathlib import Path

from streamsparse.errors import OutputExistsError
from streamsparse.html import PAGE_START
from streamsparse.storing.commit import check_output, staged
from streamsparse.storing.files import reporting, write_file


def check_page_output(path: Path, *, overwrite: bool) -> None:
    """Refuse a place for a page where it would destroy something, as ``check_output`` does."""
    check_output(path, overwrite=overwrite, source_path=None, refuse_foreign=_refuse_foreign)


def write_page(path: Path, page: str, *, overwrite: bool) -> None:
    """Write a page beside its place and rename it when it is on the disk.

    Raises
    ------
    OutputExistsError : if something appeared there meanwhile and not ``overwrite``.
    StoreError : if it cannot be written.
    """
    with staged(path, overwrite=overwrite) as temporary:
        write_file(temporary, page.encode())


def _refuse_foreign(target: Path) -> None:
    if target.is_symlink() or not target.is_file() or not _is_page(target):
        raise OutputExistsError(
            f"{target} is no report of streamsparse, and overwrite replaces nothing else; remove "
            f"it yourself or choose another name"
        )


def _is_page(target: Path) -> bool:
    start = PAGE_START.encode()
    with reporting("reading", target), target.open("rb") as file:
        return file.read(len(start)) == start
