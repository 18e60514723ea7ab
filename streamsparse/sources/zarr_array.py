"""One array of a zarr store: what is there of it, and its regions."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import cached_property
from itertools import islice, product
from typing import Any

import numpy as np
from zarr.core.sync import sync

from streamsparse.arrays import Array, Interval
from streamsparse.errors import (
    BudgetTooSmallError,
    MissingChunkError,
)
from streamsparse.sources.buffers import empty_block
from streamsparse.sources.dtypes import as_block_dtype, copy_values
from streamsparse.sources.reading import within_deadline
from streamsparse.sources.zarr_chain import chain_of
from streamsparse.sources.zarr_chunks import Absence, ChunkReader, read_indexes
from streamsparse.sources.zarr_files import ChunkFiles
from streamsparse.sources.zarr_layout import (
    Coordinates,
    ShardIndex,
    absent_inner_chunks,
    compressor_of,
    grid_positions,
    layout_of,
)
from streamsparse.sources.zarr_names import digest_names, dimensions_of, pick_names, read_names
from streamsparse.sources.zarr_seam import (
    SeamStore,
    count_bytes,
    list_keys,
    local_root,
    stamp,
)
from streamsparse.units import format_bytes

# Every chunk of one request is held at once: requests are cut to this, or to one chunk.
_REQUEST_BYTES = 1 << 23
_INDEX_BATCH = 1024
_MEMORY_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
        self._store: SeamStore = array.store
        self.layout = layout_of(array.metadata.to_dict(), name)
        value = array.metadata.fill_value if self.layout.has_fill else None
        self._absence = Absence(is_filled=missing == "fill", value=value)
        self.shape = self.layout.shape
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.codec = compressor_of(array.metadata.to_dict())
        self.integrity = "checksummed" if self.layout.is_checksummed else "structural"
        self.decoded_bytes: int = math.prod(self.shape) * self.dtype.itemsize
        self._chunk_bytes = math.prod(self.layout.chunk) * self.dtype.itemsize
        if local_root(self._store) is not None:
            # An encoded chunk, and a decoded one that does not lie whole in what is read.
            self.overhead_bytes = 2 * self._chunk_bytes
        else:
            # Of one request: the encoded chunks, the decoded chunks and the answer.
            least = max(self._chunk_bytes, min(_REQUEST_BYTES, self.decoded_bytes))
            self.overhead_bytes = 3 * least

    @cached_property
    def _reader(self) -> ChunkReader:
        path, metadata = self._array.path, self._array.metadata
        return ChunkReader(
            store=self._store,
            metadata=metadata,
            prefix=f"{path}/" if path else "",
            name=self.name,
            chain=chain_of(metadata.to_dict(), self.dtype, self.layout.chunk, self.name),
            absence=self._absence,
        )

    @cached_property
    def _files(self) -> ChunkFiles | None:
        """What reads the files of a store on this machine; None for any other store."""
        root = local_root(self._store)
        return None if root is None else ChunkFiles(root, self._reader)

    @property
    def dimensions(self) -> list[str | None] | None:
        """Names of the dimensions, None where they have none."""
        return dimensions_of(self._array)

    def digest_names(self, *, axis: int, length: int) -> str | None:
        """Return a digest of the names along an axis of the array, None without names."""
        return digest_names(self._array, axis=axis, length=length)

    def pick_names(self, *, axis: int, length: int, positions: Array) -> list[Any] | None:
        """Return the names at some positions along an axis, None without names."""
        return pick_names(self._array, axis=axis, length=length, positions=positions)

    def read_names(self, *, axis: int, length: int) -> Array | None:
        """Return all names along an axis, None without names."""
        return read_names(self._array, axis=axis, length=length)

    def stored_bytes(self) -> int:
        """Bytes of the objects of a local store; of the decoded array for any other."""
        counted = count_bytes(self._store, self._array.path, self.name)
        return self.decoded_bytes if counted is None else counted

    def fingerprint(self) -> str:
        """Return a digest of what writing to the array would change; lists the store."""
        return stamp(self._store, self._array.path, self.name)

    def verify(self) -> None:
        """Compare the chunks that should be there with one listing of the store.

        Raises
        ------
        MissingChunkError : if chunks are absent and nothing may stand for them.
        """
        if self._absence.is_filled and self._absence.value is not None:
            return
        if self.layout.is_opaque:
            raise MissingChunkError(
                f"the shards of {self.name} are nested or encoded so that their index cannot be "
                f'read; pass missing="fill" (CLI: --missing fill) to trust that none is missing'
            )
        present = list_keys(self._store, self._array.path, self.name)
        objects = math.prod(self.layout.grid)
        # A grid far larger than the listing is not gone through: that chunks are missing is sure.
        is_sure = objects > 2 * len(present) + 1000
        absent = 0
        named: list[str] = []
        for count, key in self._absent(present, len(present) + 3 if is_sure else objects):
            absent += count
            if len(named) < 3:
                named.append(key)
        if absent:
            least = objects - len(present) if is_sure else absent
            raise MissingChunkError(
                f"{'at least ' if is_sure else ''}{max(absent, least):,} of "
                f"{self.layout.chunk_count:,} chunks of {self.name} are missing "
                f"({', '.join(named)}{', ...' if max(absent, least) > len(named) else ''}); "
                f"{self._absence.remedy}"
            )

    def _absent(self, present: set[str], most: int) -> Iterator[tuple[int, str]]:
        """Yield (chunks, key) for each absent object, and each inner chunk absent from a shard."""
        layout, shards = self.layout, list[tuple[Coordinates, str]]()
        for chunk in islice(grid_positions(layout.grid), most):
            key = self._reader.key(chunk)
            if key in present:
                shards.append((chunk, key))
            else:
                yield (1 if layout.index is None else math.prod(layout.inner_grid(chunk))), key
        if layout.index is None:
            return
        for start in range(0, len(shards), _INDEX_BATCH):
            batch = shards[start : start + _INDEX_BATCH]
            indexes = self._read_indexes([key for _, key in batch], layout.index)
            for (chunk, key), index in zip(batch, indexes, strict=True):
                for inner in absent_inner_chunks(layout, chunk, index, f"{key} of {self.name}"):
                    yield 1, f"{key} inner chunk {inner}"

    def _read_indexes(self, keys: list[str], at: ShardIndex) -> list[memoryview]:
        return within_deadline(
            f"reading the shard indexes of {self.name}",
            lambda: sync(read_indexes(self._store, keys, at)),
        )

    def read(self, region: tuple[Interval, ...], dtype: np.dtype[Any]) -> Array:
        """Return a region of the array in ``dtype``; only what is not local in several requests."""
        shape = tuple(stop - start for start, stop in region)
        if 0 in shape:
            return np.empty(shape, dtype)
        if self._chunk_bytes > _MEMORY_BYTES:
            raise BudgetTooSmallError(
                f"one chunk of {self.name} has {format_bytes(self._chunk_bytes)} but this machine "
                f"has {format_bytes(_MEMORY_BYTES)} of memory; rechunk the source"
            )
        if self._files is not None:
            out = empty_block(shape, dtype, "F" if self._reader.chain.order == "F" else "C")
            self._files.read_into(region, out)
            return out
        requests = list(self._requests(region))
        if len(requests) == 1:
            return as_block_dtype(self._request(region)).astype(dtype, copy=False)
        out = empty_block(shape, dtype)
        for request in requests:
            part = tuple(
                slice(start - origin[0], stop - origin[0])
                for (start, stop), origin in zip(request, region, strict=True)
            )
            copy_values(self._request(request), out[part])
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
        return sync(self._reader.read(region))
