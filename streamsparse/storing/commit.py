"""Outputs appear complete or not at all: written beside their target, synced, then renamed."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from streamsparse.errors import OutputExistsError, StoreError
from streamsparse.storing.files import (
    fsync_directory,
    fsync_tree,
    lock_file,
    make_directories,
    remove_directory,
    remove_tree,
    rename,
    unlock,
)

# The attribute that makes a group a result; it is written last.
MARKER = "streamsparse"
# The arrays of a result, Y and those that only some methods have.
RESULT_ARRAYS = (
    "Y",
    "columns",
    "weights",
    "projection",
    "mean",
    "gram",
    "probes",
    "squared_norms",
    "moved",
    "digest",
)

METADATA = "zarr.json"
_LOCK = "lock"
# What a half-finished process leaves in its folder begins like this, but for what can be continued.
_HALF = ("result", "partial", ".streamsparse-")


class Workplace:
    """The folder beside a target that holds everything unfinished about it.

    Attributes
    ----------
    target : what is being made.
    folder : beside it, under a name that starts with a dot; whoever has entered it is alone.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = target.with_name(f".{target.name}.unfinished")

    @contextmanager
    def entered(self) -> Iterator[Workplace]:
        """Make the folder ours, and clear away what a killed process has left of half outputs.

        On exit the folder goes too, unless there is something in it to continue from.

        Raises
        ------
        OutputBusyError : if another process, or another thread, is writing the same target.
        StoreError : if the folder cannot be made.
        """
        lock = self._lock()
        try:
            self._recover()
            yield self
        finally:
            # The lock goes last: what it guards is gone, or in order. A second Ctrl-C may come.
            try:
                with suppress(StoreError):
                    remove_tree(self._result)
                    remove_tree(self.folder / _LOCK)
                    remove_directory(self.folder)
            finally:
                unlock(lock)

    def _lock(self) -> int:
        while True:
            make_directories(self.folder)
            try:
                return lock_file(self.folder / _LOCK)
            except StoreError as error:
                # Whoever had it has just taken the folder away.
                if error.errno != errno.ENOENT:
                    remove_directory(self.folder)
                    raise

    @property
    def _result(self) -> Path:
        return self.folder / "result"

    @property
    def _replaced(self) -> Path:
        return self.folder / "replaced"

    def _recover(self) -> None:
        """Bring back what was being replaced when a process died; drop half outputs."""
        if os.path.lexists(self._replaced):
            if os.path.lexists(self.target):
                remove_tree(self._replaced)
            else:
                rename(self._replaced, self.target)
                fsync_directory(self.target.parent)
        for entry in sorted(self.folder.iterdir()):
            if entry.name.startswith(_HALF):
                remove_tree(entry)

    def refuse_recovered(self, *, overwrite: bool) -> None:
        """Refuse, before any work, what was brought back to the target when this was entered.

        Raises
        ------
        OutputExistsError : if something is there and not ``overwrite``.
        """
        if not overwrite and os.path.lexists(self.target):
            raise _exists(self.target)

    @contextmanager
    def staged(self, *, overwrite: bool) -> Iterator[Path]:
        """Yield a path in the folder to write to; on a clean exit it becomes the target.

        Parameters
        ----------
        overwrite : replace what is at the target. A reader sees the old or the new, or for a moment
            nothing, never a half.

        Raises
        ------
        OutputExistsError : if something appeared at the target meanwhile and not ``overwrite``.
        StoreError : if a file operation fails.

        Notes
        -----
        Whatever ends the body, KeyboardInterrupt included, what it wrote is removed and the
        exception goes on; of a killed process the next one to enter removes it.
        """
        try:
            yield self._result
            fsync_tree(self._result)
            is_replaced = self._move_in(overwrite=overwrite)
        except BaseException:
            with suppress(StoreError):
                remove_tree(self._result)
            raise
        fsync_directory(self.target.parent)
        if is_replaced:
            # The new one is there: the next to enter removes the old one, if this does not.
            with suppress(StoreError):
                remove_tree(self._replaced)

    def _move_in(self, *, overwrite: bool) -> bool:
        """Rename the result to the target; return whether something was replaced."""
        if not os.path.lexists(self.target):
            rename(self._result, self.target)
            return False
        if not overwrite:
            raise _exists(self.target)
        try:
            rename(self.target, self._replaced)
            # If the power fails now, it is found where it is.
            fsync_directory(self.folder)
            rename(self._result, self.target)
        except BaseException:
            # An interrupt can come before, between and after the two.
            if not os.path.lexists(self.target):
                rename(self._replaced, self.target)
            elif os.path.lexists(self._replaced):
                remove_tree(self._replaced)
            raise
        return True


@contextmanager
def staged(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a path to write to; on a clean exit it becomes ``target``: see :class:`Workplace`."""
    with Workplace(target).entered() as place:
        place.refuse_recovered(overwrite=overwrite)
        with place.staged(overwrite=overwrite) as temporary:
            yield temporary


def check_output(
    target: Path,
    *,
    overwrite: bool,
    source_path: Path | None,
    refuse_foreign: Callable[[Path], None] | None = None,
) -> None:
    """Refuse an output that would destroy something, before anything is read.

    Parameters
    ----------
    target : where the output is to be.
    overwrite : whether an earlier result there may be replaced.
    source_path : the local path that is read, None where it has none.
    refuse_foreign : raises where what is at ``target`` is not to be replaced; None for results.

    Raises
    ------
    OutputExistsError : if ``target`` is, contains or lies inside the source; if it lies inside a
        result, which would then hold what is no part of it; if it exists and ``overwrite`` is
        False; if it exists and is not a result of ours, whatever ``overwrite``.
    StoreError : if the directory that is to hold it does not exist.
    """
    if source_path is not None:
        _refuse_source(target, source_path)
    for folder in target.parents:
        if is_complete(folder):
            raise OutputExistsError(f"{target} lies inside the result {folder}; write it beside it")
    if os.path.lexists(target):
        if not overwrite:
            raise _exists(target)
        (refuse_foreign or _refuse_foreign)(target)
    elif not target.parent.is_dir():
        raise StoreError(f"{target} cannot be written: {target.parent} is not a directory")


def _exists(target: Path) -> OutputExistsError:
    return OutputExistsError(
        f"{target} already exists; choose another name, or replace it with overwrite=True (-f)"
    )


def _refuse_source(target: Path, source: Path) -> None:
    try:
        here, there = target.resolve(), source.resolve()
    except (OSError, RuntimeError) as error:
        # Links that lead to themselves.
        raise StoreError(f"{target} cannot be written: {error}") from error
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
    known = {METADATA, *RESULT_ARRAYS}
    foreign = sorted({entry.name for entry in target.iterdir()} - known)
    if foreign:
        raise OutputExistsError(
            f"{target} holds {foreign[0]!r}, which is no part of a result and which overwrite does "
            f"not delete; move it away or choose another name"
        )


def is_complete(path: Path) -> bool:
    """Whether there is a complete result of ours at ``path``."""
    return read_marker(path) is not None


def read_marker(path: Path) -> dict[str, Any] | None:
    """Return the attributes of the result group at ``path``, None if there is no complete one."""
    try:
        metadata = json.loads((path / METADATA).read_bytes())
        marker = metadata["attributes"][MARKER]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_group = metadata.get("node_type") == "group" and isinstance(marker, dict)
    return marker if is_group else None
