"""Regions of a Zarr array in a folder of this machine: chunk by chunk, on the thread that asks.

What ``zarr_chunks`` does for any store, by the same rules, without an event loop, and with no more
copies than there must be: a chunk that lies whole in what is asked for is read, or decoded, to
where it belongs. There every chunk passes through the memory once; a chunk in part is decoded next
to it, in memory that is used again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from streamsparse.arrays import Array
from streamsparse.errors import CorruptChunkError, StoreError
from streamsparse.sources.buffers import empty_block
from streamsparse.sources.decoding import as_view
from streamsparse.sources.encoded import check_size
from streamsparse.sources.reading import attempt
from streamsparse.sources.zarr_chain import Region, inner_span, pieces, slices
from streamsparse.sources.zarr_chunks import ChunkReader
from streamsparse.sources.zarr_layout import index_numbers

T = TypeVar("T")

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
# What zarr's own store takes for "there is no such object".
_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class ChunkFiles:
    """Reads regions of one array.

    Parameters
    ----------
    root : folder of the store.
    reader : knows the keys, the codecs, and what stands for an absent chunk.
    """

    def __init__(self, root: Path, reader: ChunkReader) -> None:
        self._root = root
        self._reader = reader

    def read_into(self, region: Region, out: Array) -> None:
        """Fill ``out``, of the shape of a region, of any dtype that values may be turned into.

        Raises
        ------
        MissingChunkError, CorruptChunkError, StoreError : naming the chunk and the array.
        """
        chain = self._reader.chain
        for chunk, inside, outside in pieces(region, chain.form.shape):
            key, target = self._reader.key(chunk), out[slices(outside)]
            where = f"{key} of {self._reader.name}"
            if chain.has_open_shards:
                self._place_inner(key, inside, target, where)
            else:
                self._place(key, inside, target, where)

    def _place(self, key: str, inside: Region, out: Array, where: str) -> None:
        chain = self._reader.chain
        goal = None if chain.values or chain.steps else chain.raw_bytes(out)
        if goal is not None:
            is_there = self._with_file(key, partial(_read_all, goal=goal, where=where))
        else:
            raw = self._with_file(key, _read_whole)
            is_there = raw is not None
            if is_there:
                self._reader.decode(chain, raw, inside, out, where)
        if not is_there:
            self._reader.absence.fill(out, where)

    def _place_inner(self, key: str, inside: Region, out: Array, where: str) -> None:
        """Place what a region needs of a shard, its inner chunks read one by one."""
        reader, chain = self._reader, self._reader.chain
        at, inner = chain.index, chain.inner
        assert at is not None
        assert inner is not None
        count = at.byte_count
        first = -count if at.at_end else 0
        index = self._with_file(key, partial(_read_part, start=first, count=count))
        if index is None:
            reader.absence.fill(out, where)
            return
        numbers = index_numbers(at, as_view(index), where)
        for position, within, outside in pieces(inside, at.inner):
            named, target = f"inner chunk {position} of {where}", out[slices(outside)]
            span = inner_span(chain, numbers, position, named)
            raw = None
            if span is not None:
                start, stop = span
                raw = self._with_file(key, partial(_read_part, start=start, count=stop - start))
            if span is None or raw is None:
                reader.absence.fill(target, named)
                continue
            if len(raw) != span[1] - span[0]:
                raise CorruptChunkError(
                    f"{named} has {len(raw):,} bytes where its shard's index states "
                    f"{span[1] - span[0]:,}"
                )
            reader.decode(inner, raw, within, target, named)

    def _with_file(self, key: str, read: Callable[[int], T]) -> T | None:
        """Return what is read from an open file, None where there is no such file."""

        def action() -> T:
            file = os.open(self._root / key, _FLAGS)
            try:
                return read(file)
            finally:
                os.close(file)

        try:
            return attempt(f"reading {key}", action)
        except _ABSENT:
            return None
        except StoreError as error:
            if isinstance(error.__cause__, _ABSENT):
                return None
            raise StoreError(f"{self._reader.name}: {error}") from error.__cause__


def _read_whole(file: int) -> Array:
    return _read_part(file, 0, os.fstat(file).st_size)


def _read_part(file: int, start: int, count: int) -> Array:
    """Return bytes from ``start`` on, or before the end where it is negative; fewer at the end."""
    size = os.fstat(file).st_size
    start = max(0, size + start) if start < 0 else start
    out = empty_block((max(0, min(count, size - start)),), np.dtype(np.uint8))
    return out[: _fill(file, as_view(out), start)]


def _read_all(file: int, goal: memoryview, where: str) -> bool:
    """Fill ``goal`` with the whole file, which must be just as long."""
    size = os.fstat(file).st_size
    if size == len(goal):
        size = _fill(file, goal, 0)
    try:
        check_size("it holds", size, size=len(goal), limit=len(goal))
    except CorruptChunkError as error:
        raise CorruptChunkError(f"{where}: {error}") from error
    return True


def _fill(file: int, goal: memoryview, start: int) -> int:
    done = 0
    while done < len(goal):
        count = os.preadv(file, [goal[done:]], start + done)
        if count == 0:
            break
        done += count
    return done
