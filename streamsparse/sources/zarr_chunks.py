"""Regions of a Zarr array: each chunk that one touches is fetched, checked, decoded and placed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import starmap
from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.errors import CorruptChunkError, MissingChunkError, StoreError, StreamSparseError
from streamsparse.sources.zarr_chain import (
    Chain,
    Region,
    inner_span,
    pieces,
    place_chunk,
    slices,
)
from streamsparse.sources.zarr_layout import Coordinates, ShardIndex, index_numbers
from streamsparse.sources.zarr_seam import SeamStore, read_part

# Objects in flight at once, of one request.
_READS = 16


@dataclass(frozen=True, slots=True)
class Absence:
    """What stands for a chunk that is not there.

    Attributes
    ----------
    is_filled : whether the fill value may.
    value : the fill value, None where the array has none.
    """

    is_filled: bool
    value: Any

    def fill(self, out: Array, named: str) -> None:
        """Fill an array, or say which chunk is missing.

        Raises
        ------
        MissingChunkError
        """
        if self.is_filled and self.value is not None:
            out[...] = self.value
            return
        raise MissingChunkError(f"{named} is missing; {self.remedy}")

    @property
    def remedy(self) -> str:
        """What can be done about an absent chunk."""
        if self.value is None:
            return "it has no fill value, so nothing can stand for it"
        return (
            "if its writer dropped chunks that hold only the fill value on purpose, pass "
            'missing="fill" (CLI: --missing fill)'
        )


@dataclass(frozen=True, slots=True)
class ChunkReader:
    """Reads regions of one array.

    Attributes
    ----------
    store : behind the seam.
    metadata : zarr's, which names the keys.
    prefix : of all keys of the array.
    name : of the array, for errors.
    chain : how its chunks are encoded.
    absence : what stands for a chunk that is not there.
    """

    store: SeamStore
    metadata: Any
    prefix: str
    name: str
    chain: Chain
    absence: Absence

    def key(self, chunk: Coordinates) -> str:
        """Return the key of a chunk or shard."""
        return f"{self.prefix}{self.metadata.encode_chunk_key(chunk)}"

    async def read(self, region: Region) -> Array:
        """Return a region, its chunks fetched and decoded side by side.

        Raises
        ------
        MissingChunkError, CorruptChunkError, StoreError : naming the chunk and the array.
        """
        shape = [stop - start for start, stop in region]
        order: Any = "F" if self.chain.order == "F" else "C"
        out = np.empty(shape, self.chain.form.dtype, order=order)
        slots = asyncio.Semaphore(_READS)
        parts = pieces(region, self.chain.form.shape)

        async def place(chunk: Coordinates, inside: Region, outside: Region) -> None:
            await self._place(chunk, inside, out[slices(outside)], slots)

        await _all(list(starmap(place, parts)))
        return out

    async def _place(
        self, chunk: Coordinates, inside: Region, out: Array, slots: asyncio.Semaphore
    ) -> None:
        key = self.key(chunk)
        where = f"{key} of {self.name}"
        if self.chain.has_open_shards and out.shape != self.chain.form.shape:
            await self._place_inner(key, inside, out, slots)
            return
        raw = await self._get(slots, key)
        if raw is None:
            self.absence.fill(out, where)
        else:
            await asyncio.to_thread(self.decode, self.chain, raw, inside, out, where)

    async def _place_inner(
        self, key: str, inside: Region, out: Array, slots: asyncio.Semaphore
    ) -> None:
        """Place what a region needs of a shard, its inner chunks read one by one."""
        at, inner, where = self.chain.index, self.chain.inner, f"{key} of {self.name}"
        assert at is not None
        assert inner is not None
        index = await self._get(slots, key, None if at.at_end else 0, at.byte_count)
        if index is None:
            self.absence.fill(out, where)
            return
        numbers = index_numbers(at, index.data, where)

        async def place(position: Coordinates, within: Region, outside: Region) -> None:
            named = f"inner chunk {position} of {where}"
            span = inner_span(self.chain, numbers, position, named)
            raw = None if span is None else await self._get(slots, key, *span)
            if raw is None:
                self.absence.fill(out[slices(outside)], named)
                return
            if span is not None and len(raw) != span[1] - span[0]:
                raise CorruptChunkError(
                    f"{named} has {len(raw):,} bytes where its shard's index states "
                    f"{span[1] - span[0]:,}"
                )
            await asyncio.to_thread(self.decode, inner, raw, within, out[slices(outside)], named)

        await _all(list(starmap(place, pieces(inside, at.inner))))

    async def _get(self, slots: asyncio.Semaphore, key: str, *part: int | None) -> Any:
        async with slots:
            try:
                return await read_part(self.store, key, *part)
            except FileNotFoundError:
                return None
            except StoreError as error:
                raise StoreError(f"{self.name}: {error}") from error.__cause__

    def decode(self, chain: Chain, raw: Any, region: Region, out: Array, where: str) -> None:
        """Decode what a region needs of a chunk or shard into ``out``.

        Raises
        ------
        CorruptChunkError, MissingChunkError : naming the chunk.
        """
        try:
            place_chunk(chain, raw, region, out, where, self.absence.fill)
        except CorruptChunkError as error:
            raise CorruptChunkError(f"{where}: {error}") from error
        except (StreamSparseError, MemoryError):
            raise
        except Exception as error:
            # Decoders say "bad bytes" in as many ways as there are decoders.
            raise CorruptChunkError(
                f"{where} cannot be decoded: {type(error).__name__}: {error}"
            ) from error


async def read_indexes(store: SeamStore, keys: list[str], at: ShardIndex) -> list[memoryview]:
    """Return the encoded index of each shard, empty where the shard is gone."""
    slots = asyncio.Semaphore(_READS)

    async def read(key: str) -> memoryview:
        async with slots:
            found = await read_part(store, key, None if at.at_end else 0, at.byte_count)
        return memoryview(b"") if found is None else found.data

    return await asyncio.gather(*map(read, keys))


async def _all(tasks: list[Any]) -> None:
    """Wait for all, then raise the first error: nothing goes on behind the back of the caller."""
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
