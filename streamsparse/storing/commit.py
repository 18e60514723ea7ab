"""Outputs appear complete or not at all: written beside their target, synced, then renamed."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from streamsparse.errors import OutputExistsError, StoreError
from streamsparse.storing.files import fsync_directory, fsync_tree, remove_tree, rename

# The attribute that makes a group a result; it is written last.
MARKER = "streamsparse"
# The arrays of a result, Y and those that only some methods have.
RESULT_ARRAYS = ("Y", "columns", "weights", "projection", "gram", "squared_norms", "digest")

_METADATA = "zarr.json"


@contextmanager
def staged(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a path beside ``target`` to write to; on a clean exit it becomes ``target``.

    Parameters
    ----------
    target : what is to be written, a file or a directory.
    overwrite : replace what is at ``target``. A reader sees the old or the new, or for a moment
        nothing, never a half.

    Raises
    ------
    OutputExistsError : if something appeared at ``target`` meanwhile and ``overwrite`` is False.
    StoreError : if a file operation fails.

    Notes
    -----
    Whatever ends the body, KeyboardInterrupt included, the temporary is removed and the exception
    goes on. Only a killed process leaves it behind, under a name that starts with a dot.
    """
    temporary = _beside(target, "partial")
    try:
        yield temporary
        fsync_tree(temporary)
        old = _move_in(temporary, target, overwrite=overwrite)
    except BaseException:
        with suppress(StoreError):
            remove_tree(temporary)
        raise
    fsync_directory(target.parent)
    if old is not None:
        remove_tree(old)


def _beside(target: Path, word: str) -> Path:
    return target.with_name(f".{target.name}.{word}-{os.getpid()}-{secrets.token_hex(4)}")


def _move_in(temporary: Path, target: Path, *, overwrite: bool) -> Path | None:
    """Rename ``temporary`` to ``target``; return where the replaced thing is, None if none was."""
    if not os.path.lexists(target):
        rename(temporary, target)
        return None
    if not overwrite:
        raise _exists(target)
    old = _beside(target, "old")
    try:
        rename(target, old)
        rename(temporary, target)
    except BaseException:
        # An interrupt can come before, between and after the two.
        if os.path.lexists(target):
            remove_tree(old)
        else:
            rename(old, target)
        raise
    return old


def check_output(target: Path, *, overwrite: bool, source_path: Path | None) -> None:
    """Refuse an output that would destroy something, before anything is read.

    Parameters
    ----------
    target : where the output is to be.
    overwrite : whether an earlier result there may be replaced.
    source_path : the local path that is read, None where it has none.

    Raises
    ------
    OutputExistsError : if ``target`` is, contains or lies inside the source; if it exists and
        ``overwrite`` is False; if it exists and is not a result of ours, whatever ``overwrite``.
    StoreError : if the directory that is to hold it does not exist.
    """
    if source_path is not None:
        _refuse_source(target, source_path)
    if os.path.lexists(target):
        if not overwrite:
            raise _exists(target)
        _refuse_foreign(target)
    elif not target.parent.is_dir():
        raise StoreError(f"{target} cannot be written: {target.parent} is not a directory")


def _exists(target: Path) -> OutputExistsError:
    return OutputExistsError(
        f"{target} already exists; choose another name, or replace it with overwrite=True (-f)"
    )


def _refuse_source(target: Path, source: Path) -> None:
    here, there = target.resolve(), source.resolve()
    for is_clash, relation in (
        (here == there, "is"),
        (here.is_relative_to(there), "lies inside"),
        (there.is_relative_to(here), "contains"),
    ):
        if is_clash:
            raise OutputExistsError(
                f"the output {target} {relation} the source {source}; write it somewhere else"
            )


def _refuse_foreign(target: Path) -> None:
    if target.is_symlink():
        raise OutputExistsError(
            f"{target} is a symbolic link, which overwrite does not replace; "
            f"give the path it points to"
        )
    if read_marker(target) is None:
        raise OutputExistsError(
            f"{target} is not a result of streamsparse, which overwrite does not delete; "
            f"remove it yourself or choose another name"
        )
    known = {_METADATA, *RESULT_ARRAYS}
    foreign = sorted({entry.name for entry in target.iterdir()} - known)
    if foreign:
        raise OutputExistsError(
            f"{target} holds {foreign[0]!r}, which is no part of a result and which overwrite does "
            f"not delete; move it away or choose another name"
        )


def read_marker(path: Path) -> dict[str, Any] | None:
    """Return the attributes of the result group at ``path``, None if there is no complete one."""
    try:
        metadata = json.loads((path / _METADATA).read_bytes())
        marker = metadata["attributes"][MARKER]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_group = metadata.get("node_type") == "group" and isinstance(marker, dict)
    return marker if is_group else None
