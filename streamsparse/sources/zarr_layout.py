"""What Zarr metadata says about an array: its codecs, its chunk grid, what a shard index lists.

Pure functions of metadata documents, key sets and index bytes; nothing here reads a store.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numcodecs
import numpy as np

from streamsparse.arrays import Array
from streamsparse.errors import CorruptChunkError, UnsupportedInputError
from streamsparse.sources.decoding import CHECKSUMS, COMPRESSORS

# Streams whose format has a checksum of its own.
_CHECKED_STREAMS = frozenset({"bz2", "gzip", "zlib"})
_LZMA_XZ, _LZMA_UNCHECKED = 1, 0
# Codecs that map bytes or numbers to numbers and nothing else: none can build an object.
_ALLOWED = (
    CHECKSUMS
    | _CHECKED_STREAMS
    | {
        "astype",
        "bitround",
        "blosc",
        "bytes",
        "delta",
        "endian",
        "fixedscaleoffset",
        "lz4",
        "lzma",
        "packbits",
        "quantize",
        "sharding_indexed",
        "shuffle",
        "transpose",
        "zstd",
    }
)
SHARDING = "sharding_indexed"
ABSENT = 2**64 - 1

Coordinates = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Where the index of a shard lies and how it is written.

    Attributes
    ----------
    inner : shape of an inner chunk.
    per_shard : inner chunks along each axis of a shard.
    byte_count : bytes of the index, checksum included.
    at_end : whether it ends the shard; else it starts it.
    has_checksum : whether crc32c ends it.
    dtype : of one number in it.
    """

    inner: tuple[int, ...]
    per_shard: tuple[int, ...]
    byte_count: int
    at_end: bool
    has_checksum: bool
    dtype: str


@dataclass(frozen=True, slots=True)
class Layout:
    """What of an array's metadata decides how it is read and verified.

    Attributes
    ----------
    shape, chunk : of the array and of one object of the store (chunk, or shard where sharded).
    index : the shard index, None where the array is not sharded.
    is_opaque : whether it is sharded in a way that hides from us which inner chunks are there.
    has_fill : whether an absent chunk has a value to stand for it.
    is_checksummed : whether every byte of every chunk is covered by a checksum.
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    index: ShardIndex | None
    is_opaque: bool
    has_fill: bool
    is_checksummed: bool

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of stored objects along each axis."""
        return tuple(-(-s // c) for s, c in zip(self.shape, self.chunk, strict=True))

    @property
    def chunk_count(self) -> int:
        """Number of chunks that hold part of the array, inner chunks where sharded."""
        chunk = self.chunk if self.index is None else self.index.inner
        return math.prod(-(-s // c) for s, c in zip(self.shape, chunk, strict=True))

    def inner_grid(self, shard: Coordinates) -> tuple[int, ...]:
        """Inner chunks of one shard, along each axis, that hold part of the array."""
        assert self.index is not None
        return tuple(
            -(-(min(s, (i + 1) * c) - i * c) // w)
            for s, c, w, i in zip(self.shape, self.chunk, self.index.inner, shard, strict=True)
        )


def grid_positions(grid: tuple[int, ...]) -> Iterator[Coordinates]:
    """Yield the positions of a grid of any size, the last axis fastest, without holding it."""
    for flat in itertools.count():
        position, rest = [], flat
        for length in reversed(grid):
            position.append(rest % length)
            rest //= length
        if rest:
            return
        yield tuple(reversed(position))


def layout_of(metadata: Mapping[str, Any], name: str) -> Layout:
    """Return the layout that array metadata of Zarr format 2 or 3 describes.

    Raises
    ------
    UnsupportedInputError : for codecs that are not plainly numeric and for irregular grids.
    """
    codecs = codecs_of(metadata)
    if metadata["zarr_format"] == 2:
        chunk = metadata["chunks"]
    else:
        grid = metadata["chunk_grid"]
        if grid["name"] != "regular":
            raise UnsupportedInputError(
                f"{name} has a chunk grid named {grid['name']!r}; only 'regular' grids are read"
            )
        chunk = grid["configuration"]["chunk_shape"]
    check_codecs(codecs, name)
    shape = tuple(int(s) for s in metadata["shape"])
    chunk = tuple(int(c) for c in chunk)
    if any(c < 1 <= s for s, c in zip(shape, chunk, strict=True)):
        raise UnsupportedInputError(
            f"{name} has chunks of shape {chunk}; each must be at least 1 long"
        )
    # An empty array may have been given chunks of width 0.
    chunk = tuple(max(1, c) for c in chunk)
    has_shards = any(name_of(codec) == SHARDING for codec in codecs)
    index = _plain_index(codecs, chunk) if has_shards else None
    return Layout(
        shape=shape,
        chunk=chunk,
        index=index,
        is_opaque=has_shards and index is None,
        has_fill=metadata.get("fill_value") is not None,
        is_checksummed=_has_checksum(codecs),
    )


def codecs_of(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return every codec that array metadata of Zarr format 2 or 3 names."""
    if metadata["zarr_format"] == 2:
        named = [*(metadata.get("filters") or ()), metadata.get("compressor")]
        return [codec for codec in named if codec]
    return list(metadata["codecs"])


def compressor_of(metadata: Mapping[str, Any]) -> str:
    """Return the name of the codec that compresses chunks, inner ones too; "" where none does."""
    codecs = codecs_of(metadata)
    for codec in codecs:
        codecs = codecs + _parts(codec, "codecs")
    names = [name_of(codec) for codec in codecs]
    return next((name for name in names if name in COMPRESSORS), "")


def check_codecs(
    codecs: Iterable[Mapping[str, Any]], name: str, *, also: frozenset[str] = frozenset()
) -> None:
    """Refuse, before anything is decoded, every codec that is not known to be plainly numeric.

    ``also``: names of codecs that are allowed besides.

    Raises
    ------
    UnsupportedInputError : naming the codec.
    """
    for codec in codecs:
        if name_of(codec) not in _ALLOWED | also:
            raise UnsupportedInputError(
                f"{name} uses the codec {codec.get('name', codec.get('id'))!r}, which is not one "
                f"we decode: it may build objects, or is unknown"
            )
        check_codecs(_parts(codec, "codecs"), name, also=also)
        check_codecs(_parts(codec, "index_codecs"), name)


def name_of(codec: Mapping[str, Any]) -> str:
    """Return the id of a codec, the same in both formats."""
    return str(codec.get("name", codec.get("id"))).removeprefix("numcodecs.")


def settings_of(codec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of a codec; format 2 keeps them beside the id."""
    return codec if "id" in codec else codec.get("configuration") or {}


def _parts(codec: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return list(settings_of(codec).get(key) or ()) if name_of(codec) == SHARDING else []


def _has_checksum(codecs: Iterable[Mapping[str, Any]]) -> bool:
    for codec in codecs:
        name, settings = name_of(codec), settings_of(codec)
        if name in CHECKSUMS | _CHECKED_STREAMS:
            return True
        if name == "zstd" and settings.get("checksum") is True:
            return True
        if name == "lzma" and settings.get("format", _LZMA_XZ) == _LZMA_XZ:
            return bool(settings.get("check") != _LZMA_UNCHECKED)
        if name == SHARDING and all(
            _has_checksum(_parts(codec, key)) for key in ("codecs", "index_codecs")
        ):
            return True
    return False


def shard_index(codec: Mapping[str, Any], chunk: tuple[int, ...]) -> ShardIndex | None:
    """Return where the index of a shard lies, None for an index that we cannot find or decode."""
    index_codecs = _parts(codec, "index_codecs")
    names = [name_of(codec) for codec in index_codecs]
    if names not in (["bytes"], ["bytes", "crc32c"]):
        return None
    configured = settings_of(codec)
    inner = tuple(int(c) for c in configured["chunk_shape"])
    count = math.prod(c // w for c, w in zip(chunk, inner, strict=True))
    return ShardIndex(
        inner=inner,
        per_shard=tuple(c // w for c, w in zip(chunk, inner, strict=True)),
        byte_count=16 * count + 4 * (len(names) - 1),
        at_end=configured.get("index_location", "end") == "end",
        has_checksum=len(names) == 2,
        dtype=">u8" if settings_of(index_codecs[0]).get("endian") == "big" else "<u8",
    )


def _plain_index(codecs: list[Mapping[str, Any]], chunk: tuple[int, ...]) -> ShardIndex | None:
    """Return the index of shards that are nothing but shards of plain chunks."""
    nested = any(name_of(codec) == SHARDING for codec in _parts(codecs[0], "codecs"))
    return None if len(codecs) != 1 or nested else shard_index(codecs[0], chunk)


def index_numbers(at: ShardIndex, raw: bytes | memoryview, where: str) -> Array:
    """Return (offset, length) of each inner chunk of a shard, shape (*per_shard, 2).

    Raises
    ------
    CorruptChunkError : if the index is cut short or fails its checksum.
    """
    if len(raw) != at.byte_count:
        raise CorruptChunkError(
            f"the index of {where} has {len(raw):,} bytes, not {at.byte_count:,}: the shard is "
            f"truncated"
        )
    if at.has_checksum:
        try:
            raw = bytes(numcodecs.get_codec({"id": "crc32c"}).decode(raw))
        except (RuntimeError, ValueError) as error:
            raise CorruptChunkError(f"the index of {where} fails its checksum") from error
    return np.frombuffer(raw, at.dtype).reshape(*at.per_shard, 2)


def absent_inner_chunks(
    layout: Layout, shard: Coordinates, index: bytes | memoryview, where: str
) -> Iterator[Coordinates]:
    """Yield the grid position, within the shard, of each inner chunk that the index lacks.

    Raises
    ------
    CorruptChunkError : if the index is cut short or fails its checksum.
    """
    assert layout.index is not None
    absent = (index_numbers(layout.index, index, where) == ABSENT).all(axis=-1)
    used = tuple(slice(count) for count in layout.inner_grid(shard))
    for position in np.argwhere(absent[used]).tolist():
        yield tuple(position)
