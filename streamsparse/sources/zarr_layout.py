"""What Zarr metadata says about an array: its codecs, its chunk grid, what a shard index lists.

Pure functions of metadata documents, key sets and index bytes; nothing here reads a store.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numcodecs
import numpy as np

from streamsparse.errors import CorruptChunkError, UnsupportedInputError

_CHECKSUMS = frozenset(
    {"crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3", "gzip", "zlib", "bz2", "lzma"}
)
# Codecs that map bytes or numbers to numbers and nothing else: none can build an object.
_ALLOWED = _CHECKSUMS | {
    "astype",
    "bitround",
    "blosc",
    "bytes",
    "delta",
    "endian",
    "fixedscaleoffset",
    "lz4",
    "packbits",
    "quantize",
    "sharding_indexed",
    "shuffle",
    "transpose",
    "zstd",
}
_SHARDING = "sharding_indexed"
_ABSENT = 2**64 - 1

Coordinates = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Where the index of a shard lies and how it is written.

    Attributes
    ----------
    inner : shape of an inner chunk.
    byte_count : bytes of the index, checksum included.
    at_end : whether it ends the shard; else it starts it.
    has_checksum : whether crc32c ends it.
    dtype : of one number in it.
    """

    inner: tuple[int, ...]
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
    # An empty array may have been given chunks of width 0.
    if any(c < 1 <= s for s, c in zip(shape, chunk, strict=False)):
        raise UnsupportedInputError(f"{name} has chunks of shape {tuple(chunk)}: they hold nothing")
    chunk = tuple(max(1, int(c)) for c in chunk)
    has_shards = any(_name_of(codec) == _SHARDING for codec in codecs)
    index = _shard_index(codecs, chunk) if has_shards else None
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
        if _name_of(codec) not in _ALLOWED | also:
            raise UnsupportedInputError(
                f"{name} uses the codec {codec.get('name', codec.get('id'))!r}, which is not one "
                f"we decode: it may build objects, or is unknown"
            )
        check_codecs(_parts(codec, "codecs"), name, also=also)
        check_codecs(_parts(codec, "index_codecs"), name)


def _name_of(codec: Mapping[str, Any]) -> str:
    return str(codec.get("name", codec.get("id"))).removeprefix("numcodecs.")


def _settings(codec: Mapping[str, Any]) -> Mapping[str, Any]:
    # Format 2 keeps the settings beside the id.
    return codec if "id" in codec else codec.get("configuration") or {}


def _parts(codec: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return list(_settings(codec).get(key) or ()) if _name_of(codec) == _SHARDING else []


def _has_checksum(codecs: Iterable[Mapping[str, Any]]) -> bool:
    for codec in codecs:
        name = _name_of(codec)
        if name in _CHECKSUMS or (name == "zstd" and _settings(codec).get("checksum") is True):
            return True
        if name == _SHARDING and all(
            _has_checksum(_parts(codec, key)) for key in ("codecs", "index_codecs")
        ):
            return True
    return False


def _shard_index(codecs: list[Mapping[str, Any]], chunk: tuple[int, ...]) -> ShardIndex | None:
    """Return the index of a plain shard, None for shards whose index we cannot find or decode."""
    inner_codecs = _parts(codecs[0], "codecs")
    index_codecs = _parts(codecs[0], "index_codecs")
    names = [_name_of(codec) for codec in index_codecs]
    if (
        len(codecs) != 1
        or any(_name_of(codec) == _SHARDING for codec in inner_codecs)
        or names not in (["bytes"], ["bytes", "crc32c"])
    ):
        return None
    settings = _settings(codecs[0])
    inner = tuple(int(c) for c in settings["chunk_shape"])
    count = math.prod(c // w for c, w in zip(chunk, inner, strict=True))
    return ShardIndex(
        inner=inner,
        byte_count=16 * count + 4 * (len(names) - 1),
        at_end=settings.get("index_location", "end") == "end",
        has_checksum=len(names) == 2,
        dtype=">u8" if _settings(index_codecs[0]).get("endian") == "big" else "<u8",
    )


def absent_inner_chunks(
    layout: Layout, shard: Coordinates, index: bytes, where: str
) -> Iterator[Coordinates]:
    """Yield the grid position, within the shard, of each inner chunk that the index lacks.

    Raises
    ------
    CorruptChunkError : if the index is cut short or fails its checksum.
    """
    at = layout.index
    assert at is not None
    if len(index) != at.byte_count:
        raise CorruptChunkError(
            f"the index of {where} has {len(index)} bytes, not {at.byte_count}: the shard is "
            f"truncated"
        )
    if at.has_checksum:
        try:
            index = bytes(numcodecs.get_codec({"id": "crc32c"}).decode(index))
        except (RuntimeError, ValueError) as error:
            raise CorruptChunkError(f"the index of {where} fails its checksum") from error
    per_shard = tuple(c // w for c, w in zip(layout.chunk, at.inner, strict=True))
    numbers = np.frombuffer(index, at.dtype).reshape(*per_shard, 2)
    absent = (numbers == _ABSENT).all(axis=-1)
    used = tuple(slice(count) for count in layout.inner_grid(shard))
    for position in np.argwhere(absent[used]).tolist():
        yield tuple(position)
