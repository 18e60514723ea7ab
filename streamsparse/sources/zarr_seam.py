"""Zarr stores behind the seam: every read and listing retried and named, nothing ever written."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, StorePath, WrapperStore, ZipStore
from zarr.storage._common import make_store

from streamsparse.errors import SourceNotFoundError, StoreError
from streamsparse.sources.reading import attempt, attempt_async, within_deadline

T = TypeVar("T")

# Documents that describe a node, in either format.
DOCUMENTS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
_DIGEST_BYTES = 16


class SeamStore(WrapperStore[Store]):
    """A read-only view of a store whose reads and listings go through the seam."""

    @property
    def inner(self) -> Store:
        """The store itself."""
        return self._store

    @property
    def read_only(self) -> bool:
        """True: not every store has a read-only copy of itself, and this one does not write."""
        return True

    def with_read_only(self, read_only: bool = False) -> SeamStore:  # noqa: ARG002 - the base's
        """Return this store."""
        return self

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return one object or a part of it, None where it is absent."""
        made = prototype or default_buffer_prototype()
        return await attempt_async(f"reading {key}", lambda: self._store.get(key, made, byte_range))

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return several parts."""
        return await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        for key, prototype, part in requests:
            yield key, await self.get(key, prototype, part)

    async def exists(self, key: str) -> bool:
        """Return whether an object is there."""
        return await attempt_async(f"looking for {key}", lambda: self._store.exists(key))

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys under a prefix, after all of them have been listed."""
        return self._all(f"listing {prefix}", lambda: self._store.list_prefix(prefix))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly under a prefix, after all of them have been listed."""
        return self._all(f"listing {prefix}", lambda: self._store.list_dir(prefix))

    async def _all(
        self, doing: str, listing: Callable[[], AsyncIterator[str]]
    ) -> AsyncGenerator[str, None]:
        async def collect() -> list[str]:
            return [key async for key in listing()]

        for key in await attempt_async(doing, collect):
            yield key


def seam_path(target: Any) -> StorePath:
    """Return a path, URL, store or place in a store as a place in a store behind the seam."""
    place: StorePath = (
        target if isinstance(target, StorePath) else StorePath(sync(make_store(target, mode="r")))
    )
    if isinstance(place.store, SeamStore):
        return place
    return StorePath(SeamStore(_opened(place.store)), place.path)


def _opened(store: Store) -> Store:
    """Return a store ready to read; opening one that may be written can make its folder."""
    if not store.read_only:
        with suppress(NotImplementedError, TypeError, ValueError):
            # Not every store has a read-only copy of itself.
            store = store.with_read_only(True)
    sync(attempt_async(f"opening {store}", store._ensure_open))
    return store


async def read_part(
    store: SeamStore, key: str, start: int | None = None, stop: int | None = None
) -> Any:
    """Return an object, its bytes [start, stop), or its last ``stop`` where ``start`` is None.

    None where the object is absent.
    """
    part: ByteRequest | None = None
    if stop is not None:
        part = SuffixByteRequest(stop) if start is None else RangeByteRequest(start, stop)
    found = await store.get(key, default_buffer_prototype(), part)
    # Bytes that lie in memory stay where they are.
    return None if found is None else found.as_numpy_array()


def read_documents(store: Store, path: str) -> dict[str, bytes]:
    """Return the metadata documents of a node as they are stored, by name."""

    async def read() -> dict[str, bytes]:
        keys = [f"{path}/{name}" if path else name for name in DOCUMENTS]
        found = await asyncio.gather(*(store.get(key, default_buffer_prototype()) for key in keys))
        return {
            name: document.to_bytes()
            for name, document in zip(DOCUMENTS, found, strict=True)
            if document is not None
        }

    return sync(read())


def local_root(store: Store) -> Path | None:
    """Return the folder of a store on this machine, None for any other store."""
    inner = store.inner if isinstance(store, SeamStore) else store
    return Path(inner.root) if isinstance(inner, LocalStore) else None


def list_keys(store: SeamStore, path: str, name: str) -> set[str]:
    """Return the keys below a node.

    Raises
    ------
    StoreError : if the store fails, does not answer, or cannot be listed.
    """
    prefix = f"{path}/" if path else ""
    root = local_root(store)

    def action() -> set[str]:
        if root is not None:
            return {f"{prefix}{key}" for key, _, _ in _walk(root / path, "")}
        return sync(_collect(store, prefix))

    return _listed(name, action)


def count_bytes(store: SeamStore, path: str, name: str) -> int | None:
    """Return the bytes of all objects below a node of a local store, None for any other store."""
    root = local_root(store)
    if root is None:
        return None
    return _listed(name, lambda: sum(size for _, size, _ in _walk(root / path, "")))


def stamp(store: SeamStore, path: str, name: str) -> str:
    """Return a digest of everything below a node that writing to it would change.

    A local store: metadata, and key, size and time of modification of every object (one listing).
    In memory: every byte. A zip file: its size and time too. Any other store: metadata and keys.
    """
    documents = read_documents(store, path)
    prefix, inner = f"{path}/" if path else "", store.inner
    root = local_root(store)

    def action() -> int:
        if root is not None:
            return sum(_digest(*entry) for entry in _walk(root / path, ""))
        keys = sync(_collect(store, prefix)) if store.supports_listing else set()
        if isinstance(inner, MemoryStore):
            held = inner._store_dict
            return sum(_digest(key, held[key].as_numpy_array().data) for key in keys)
        total = sum(_digest(key) for key in keys)
        if isinstance(inner, ZipStore):
            state = os.stat(inner.path)
            total += _digest("", state.st_size, state.st_mtime_ns)
        return total

    parts = (sorted(documents.items()), _listed(name, action) % (1 << 8 * _DIGEST_BYTES))
    return hashlib.blake2b(repr(parts).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _digest(key: str, *facts: Any) -> int:
    """Return a number that adds up: listings have no order of their own."""
    digest = hashlib.blake2b(key.encode(), digest_size=_DIGEST_BYTES)
    for fact in facts:
        digest.update(fact if isinstance(fact, memoryview) else f"\0{fact}".encode())
    return int.from_bytes(digest.digest(), "little")


def _listed(name: str, action: Callable[[], T]) -> T:
    doing = f"listing {name}"
    try:
        return within_deadline(doing, lambda: attempt(doing, action))
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"{name} is not there any more") from error


async def _collect(store: SeamStore, prefix: str) -> set[str]:
    if not store.supports_listing:
        raise StoreError('the store cannot be listed; pass missing="fill" (CLI: --missing fill)')
    return {key async for key in store.list_prefix(prefix)}


def _walk(folder: Path | str, prefix: str) -> Iterator[tuple[str, int, int]]:
    """Yield (key, size, time of modification in ns) of each file below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
                continue
            try:
                state = entry.stat()
            except FileNotFoundError:
                # Removed since, or a link to nothing: not there.
                continue
            if not entry.is_dir():
                yield f"{prefix}{entry.name}", state.st_size, state.st_mtime_ns
