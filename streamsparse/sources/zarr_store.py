"""Zarr arrays and AnnData's sparse groups; the one module that imports zarr for reading."""

from __future__ import annotations

import asyncio
import gzip
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore

from streamsparse.errors import (
    CorruptChunkError,
    MissingChunkError,
    SourceNotFoundError,
    StoreError,
    StreamSparseError,
    UnsupportedInputError,
)
from streamsparse.sources.base import Array, Interval, as_block_dtype
from streamsparse.sources.zarr_layout import absent_inner_chunks, layout_of
from streamsparse.sources.zarr_names import digest_names, pick_names

# zarr holds every chunk of one request at once: requests are cut to this, or to one chunk.
_REQUEST_BYTES = 1 << 23
_INDEX_READS = 16
# Enough of absent chunks to be sure: forged metadata may announce more than can be counted.
_MOST_COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A zarr group: its attributes and the arrays directly in it.

    Attributes
    ----------
    name : what errors call it.
    attributes : its JSON attributes.
    arrays : by name within the group; only arrays that were asked for.
    members : names of everything in it, for messages.
    node : what zarr opened.
    """

    name: str
    attributes: dict[str, Any]
    arrays: dict[str, StoredArray]
    members: list[str]
    node: Any

    def digest_names(self, *, axis: int, length: int) -> str | None:
        """Return a digest of the names along an axis of the matrix, None without names."""
        return digest_names(self.node, axis=axis, length=length)

    def pick_names(self, *, axis: int, length: int, positions: Array) -> list[str] | None:
        """Return the names at some positions along an axis, None without names."""
        return pick_names(self.node, axis=axis, length=length, positions=positions)


def open_node(target: Any, *, missing: str, members: tuple[str, ...]) -> StoredArray | StoredGroup:
    """Open a zarr array, or a group with those of its arrays that are named ``members``.

    Parameters
    ----------
    target : path or URL, store, ``zarr.Array`` or ``zarr.Group``; metadata is read afresh, and
        consolidated metadata is ignored because it goes stale.
    missing : "error" or "fill", for chunks that are absent.

    Raises
    ------
    SourceNotFoundError, UnsupportedInputError, StoreError : nothing there, not zarr, no access.
    """
    name = str(target)
    if isinstance(target, zarr.Array | zarr.Group):
        target = target.store_path
        name = str(target)
    try:
        node = _open(target)
        if isinstance(node, zarr.Array):
            return StoredArray(node, name=name, missing=missing)
        names = sorted(node.keys())
        arrays = {
            key: StoredArray(child, name=f"{name}/{key}", missing=missing)
            for key in members
            if key in names and isinstance(child := node[key], zarr.Array)
        }
        return StoredGroup(name, dict(node.attrs), arrays, names, node)
    except StreamSparseError:
        raise
    except FileNotFoundError as error:
        if isinstance(target, str | os.PathLike) and os.path.exists(target):
            raise UnsupportedInputError(
                f"{name} is neither a .npy file nor a zarr array or group"
            ) from error
        raise SourceNotFoundError(f"there is no zarr array or group at {name}") from error
    except OSError as error:
        raise StoreError(f"opening {name} failed: {error}") from error
    except Exception as error:
        raise UnsupportedInputError(f"zarr cannot open {name}: {error}") from error


def _open(target: Any) -> Any:
    try:
        return zarr.open(target, mode="r", use_consolidated=False)
    except ValueError as error:
        # Some stores can be written and have no read-only copy of themselves.
        if "read-only" not in str(error):
            raise
        return zarr.open(target, mode="r+", use_consolidated=False)


class StoredArray:
    """One zarr array: its chunks listed, its regions read, its errors ours.

    Parameters
    ----------
    array : opened read-only.
    name : what errors call it.
    missing : "error" or "fill".
    """

    def __init__(self, array: Any, *, name: str, missing: str) -> None:
        self.name = name
        self._array = array
        self._missing = missing
        self.layout = layout_of(array.metadata.to_dict(), name)
        self.shape = self.layout.shape
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.integrity = "checksummed" if self.layout.is_checksummed else "structural"
        self.decoded_bytes: int = math.prod(self.shape) * self.dtype.itemsize
        chunk_bytes = math.prod(self.layout.chunk) * self.dtype.itemsize
        # Of one request: the encoded chunks, the decoded chunks and the answer.
        self.overhead_bytes = 3 * max(chunk_bytes, min(_REQUEST_BYTES, self.decoded_bytes))

    def digest_names(self, *, axis: int, length: int) -> str | None:
        """Return a digest of the names along an axis of the array, None without names."""
        return digest_names(self._array, axis=axis, length=length)

    def pick_names(self, *, axis: int, length: int, positions: Array) -> list[str] | None:
        """Return the names at some positions along an axis, None without names."""
        return pick_names(self._array, axis=axis, length=length, positions=positions)

    def stored_bytes(self) -> int:
        """Bytes of the objects of a local store; of the decoded array for any other."""
        store: Store = self._array.store
        if not isinstance(store, LocalStore):
            return self.decoded_bytes
        root = Path(store.root) / self._array.path
        total: int = self._guard("listing", lambda: _folder_bytes(root))
        return total

    def verify(self) -> None:
        """Compare the chunks that should be there with one listing of the store.

        Raises
        ------
        MissingChunkError : if chunks are absent and nothing may stand for them.
        """
        if self._missing == "fill" and self.layout.has_fill:
            return
        if self.layout.is_opaque:
            raise MissingChunkError(
                f"the shards of {self.name} are nested or encoded so that their index cannot be "
                f'read; pass missing="fill" (CLI: --missing fill) to trust that none is missing'
            )
        absent = 0
        named: list[str] = []
        for count, key in self._absent():
            absent += count
            if len(named) < 3:
                named.append(key)
            if absent >= _MOST_COUNTED:
                break
        if absent:
            remedy = (
                "if its writer dropped chunks that hold only the fill value on purpose, pass "
                'missing="fill" (CLI: --missing fill)'
                if self.layout.has_fill
                else "it has no fill value, so nothing can stand for them"
            )
            raise MissingChunkError(
                f"{'at least ' if absent >= _MOST_COUNTED else ''}{absent:,} of "
                f"{self.layout.chunk_count:,} chunks of {self.name} are missing "
                f"({', '.join(named)}{', ...' if absent > len(named) else ''}); {remedy}"
            )

    def _absent(self) -> Iterator[tuple[int, str]]:
        """Yield (chunks, key) for each absent object, and each inner chunk absent from a shard."""
        layout, path = self.layout, self._array.path
        prefix = f"{path}/" if path else ""
        present = self._guard("listing", lambda: sync(_list(self._array.store, prefix)))
        shards: list[tuple[tuple[int, ...], str]] = []
        for chunk in _positions(layout.grid):
            key = prefix + self._array.metadata.encode_chunk_key(chunk)
            if key in present:
                shards.append((chunk, key))
            else:
                yield (1 if layout.index is None else math.prod(layout.inner_grid(chunk))), key
        if layout.index is None:
            return
        size = layout.index.byte_count
        part = SuffixByteRequest(size) if layout.index.at_end else RangeByteRequest(0, size)
        for start in range(0, len(shards), 1024):
            batch = shards[start : start + 1024]
            request = _read_parts(self._array.store, [key for _, key in batch], part)
            indexes = self._guard("reading shard indexes", lambda request=request: sync(request))
            for (chunk, key), index in zip(batch, indexes, strict=True):
                for inner in absent_inner_chunks(layout, chunk, index, f"{key} of {self.name}"):
                    yield 1, f"{key} inner chunk {inner}"

    def read(self, region: tuple[Interval, ...], dtype: np.dtype[Any]) -> Array:
        """Return a region of the array in ``dtype``, read in requests of bounded size."""
        if any(start == stop for start, stop in region):
            return np.empty([stop - start for start, stop in region], dtype)
        requests = list(self._requests(region))
        if len(requests) == 1:
            return as_block_dtype(self._request(region)).astype(dtype, copy=False)
        out = np.empty([stop - start for start, stop in region], dtype)
        for request in requests:
            part = tuple(
                slice(start - origin[0], stop - origin[0])
                for (start, stop), origin in zip(request, region, strict=True)
            )
            out[part] = self._request(request)
        return out

    def _requests(self, region: tuple[Interval, ...]) -> Iterator[tuple[Interval, ...]]:
        chunk = self.layout.chunk
        room = max(1, _REQUEST_BYTES // max(1, math.prod(chunk) * self.dtype.itemsize))
        axes: list[list[Interval]] = []
        for (start, stop), width in reversed(list(zip(region, chunk, strict=True))):
            origin = start // width * width
            count = min(room, -(-(stop - origin) // width))
            room //= max(1, count)
            room = max(1, room)
            edges = range(origin, stop, max(1, count) * width)
            axes.append([(max(start, e), min(stop, e + edges.step)) for e in edges])
        return product(*reversed(axes))

    def _request(self, region: tuple[Interval, ...]) -> Array:
        where = ", ".join(f"{start:,}:{stop:,}" for start, stop in region)
        selection = tuple(slice(*interval) for interval in region)
        values = np.asarray(self._guard(f"reading [{where}]", lambda: self._array[selection]))
        if values.shape != tuple(stop - start for start, stop in region):
            raise CorruptChunkError(f"{self.name}[{where}] came with shape {values.shape}")
        return values

    def _guard(self, doing: str, action: Any) -> Any:
        try:
            return action()
        except OSError as error:
            # Two decoders report bad bytes as failures of the system.
            if isinstance(error, gzip.BadGzipFile) or "Invalid data stream" in str(error):
                raise CorruptChunkError(f"{doing} of {self.name} failed: {error}") from error
            raise StoreError(f"{doing} of {self.name} failed: {error}") from error
        except MemoryError:
            raise
        except Exception as error:
            raise CorruptChunkError(f"{doing} of {self.name} failed: {error}") from error


def _positions(grid: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield every position in a grid, the last axis fastest, without holding any axis in memory."""
    if not grid:
        yield ()
        return
    for first in range(grid[0]):
        for rest in _positions(grid[1:]):
            yield (first, *rest)


def _folder_bytes(root: Path) -> int:
    return sum(
        os.stat(os.path.join(folder, file)).st_size
        for folder, _, files in os.walk(root)
        for file in files
    )


async def _list(store: Store, prefix: str) -> set[str]:
    if not store.supports_listing:
        raise StoreError('the store cannot be listed; pass missing="fill" (CLI: --missing fill)')
    return {key async for key in store.list_prefix(prefix)}


async def _read_parts(
    store: Store, keys: list[str], part: RangeByteRequest | SuffixByteRequest
) -> list[bytes]:
    slots = asyncio.Semaphore(_INDEX_READS)

    async def read(key: str) -> bytes:
        async with slots:
            found = await store.get(key, default_buffer_prototype(), byte_range=part)
        return b"" if found is None else found.to_bytes()

    return await asyncio.gather(*map(read, keys))
