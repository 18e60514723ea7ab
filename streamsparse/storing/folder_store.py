"""A folder as a zarr store whose every write goes through ``files``: zarr itself writes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from zarr.abc.store import Store
from zarr.storage import LocalStore

from streamsparse.errors import MissingChunkError
from streamsparse.storing.files import make_directories, remove_tree, write_file


class FolderStore(Store):
    """Reads as zarr does; every write is one call of ours, made in order, one at a time.

    Parameters
    ----------
    root : the folder, which must be there.
    """

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(self, root: Path) -> None:
        super().__init__(read_only=False)
        self._root = root
        self._reader = LocalStore(root, read_only=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FolderStore) and self._root == other._root

    def __hash__(self) -> int:
        return hash(self._root)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return what a key holds, None if there is nothing."""
        return await self._reader.get(key, prototype, byte_range)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[Any]) -> Any:
        """Return parts of what keys hold."""
        return await self._reader.get_partial_values(prototype, key_ranges)

    async def exists(self, key: str) -> bool:
        """Return whether a key holds anything."""
        return await self._reader.exists(key)

    async def set(self, key: str, value: Any) -> None:
        """Write a file."""
        path = self._root / key
        make_directories(path.parent)
        write_file(path, value.as_buffer_like())

    async def delete(self, key: str) -> None:
        """Remove a file."""
        remove_tree(self._root / key)

    def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        return self._reader.list()

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin so."""
        return self._reader.list_prefix(prefix)

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names in a folder."""
        return self._reader.list_dir(prefix)


class ResultStore(LocalStore):
    """A result on disk, to read: of it every chunk was written, so one that is gone is an error."""

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        """Return what a key holds, None if it is of metadata and there is nothing.

        Raises
        ------
        MissingChunkError : where zarr would answer zeros.
        """
        found = await super().get(key, prototype, byte_range)
        if found is None and "/c/" in key:
            raise MissingChunkError(
                f"chunk {self.root / key} is missing: the result was damaged, moved or removed "
                f"since it was opened"
            )
        return found
