"""Decode one chunk by the codecs its metadata names, never into more bytes than it may have.

A chunk goes through the codecs in one order when it is written and in the other when it is read.
What each must give back is known from the shape and the dtype before a byte is read, so every step
is checked, and none can allocate without bound.
"""

from __future__ import annotations

import bz2
import lzma
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numcodecs
import numpy as np

from streamsparse.arrays import Array
from streamsparse.errors import CorruptChunkError, UnsupportedInputError
from streamsparse.sources.buffers import empty_block
from streamsparse.sources.encoded import check_encoded, check_size, most_encoded

COMPRESSORS = frozenset({"blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"})
CHECKSUMS = frozenset({"adler32", "crc32", "crc32c", "fletcher32", "jenkins_lookup3"})
_CHECKSUM_BYTES = 4
# Settings that name a dtype, first those that name what values are turned into.
_DTYPES = ("encode_dtype", "astype", "dtype", "decode_dtype")
# What an xz stream may ask for to be decoded: preset 9 asks for 65 MiB.
_LZMA_BYTES = 1 << 28
_FORMAT_RAW = 3


@dataclass(frozen=True, slots=True)
class Form:
    """What a chunk is between two codecs: values of a dtype in a shape, or bytes.

    Attributes
    ----------
    dtype, shape : of the values.
    size : of the bytes, None where it varies.
    limit : most bytes.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    size: int | None
    limit: int

    @classmethod
    def of(cls, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Form:
        """Return the form of an array."""
        size = math.prod(shape) * dtype.itemsize
        return cls(dtype, shape, size, size)


@dataclass(frozen=True, slots=True)
class Step:
    """One codec: its id and settings as numcodecs writes them, and what it must decode to."""

    config: Mapping[str, Any]
    decoded: Form

    @property
    def codec(self) -> str:
        """Id of the codec."""
        return str(self.config["id"])


def follow(config: Mapping[str, Any], form: Form) -> Form:
    """Return what a codec makes of a chunk when it is written.

    Raises
    ------
    UnsupportedInputError : for settings that name a dtype which is not numeric.
    """
    codec = config["id"]
    if codec in CHECKSUMS:
        size = None if form.size is None else form.size + _CHECKSUM_BYTES
        return Form(form.dtype, form.shape, size, form.limit + _CHECKSUM_BYTES)
    if codec in COMPRESSORS:
        return Form(form.dtype, form.shape, None, most_encoded(form.limit))
    if codec == "transpose":
        return Form.of(form.dtype, tuple(form.shape[axis] for axis in config["order"]))
    if codec == "packbits":
        return Form.of(np.dtype(np.uint8), (1 + -(-math.prod(form.shape) // 8),))
    dtypes = [np.dtype(config[key]) for key in _DTYPES if config.get(key)]
    for dtype in dtypes:
        if dtype.kind not in "biuf":
            raise UnsupportedInputError(f"the codec {codec!r} makes {dtype}, which is not numeric")
    if not dtypes or form.size is None:
        return form
    return Form.of(dtypes[0], form.shape)


def decode_bytes(steps: tuple[Step, ...], raw: Any, out: memoryview | None = None) -> Any:
    """Undo steps from bytes to bytes, the last first; return ``out`` where it was decoded into.

    ``out``: room for just what must come, which decoders that can do so fill.

    Raises
    ------
    CorruptChunkError : where a step does not give what it must.
    """
    for k, step in reversed(list(enumerate(steps))):
        form, view = step.decoded, as_view(raw)
        check_encoded(step.codec, view, size=form.size, limit=form.limit)
        raw = _decoder(step, out if k == 0 else None)(view)
        check_size(f"{step.codec} gives", as_view(raw).nbytes, size=form.size, limit=form.limit)
    return raw


def as_view(raw: Any) -> memoryview:
    """Return bytes of any kind, or values of any dtype, as a view of bytes."""
    if isinstance(raw, np.ndarray):
        return raw.reshape(-1, order="A").view(np.uint8).data
    return memoryview(raw).cast("B")


def decode_values(steps: tuple[Step, ...], values: Array) -> Array:
    """Undo steps from values to values, the last first."""
    for step in reversed(steps):
        if step.codec == "transpose":
            values = values.transpose(np.argsort(step.config["order"]))
        else:
            values = np.asarray(numcodecs.get_codec(dict(step.config)).decode(values))
            values = values.reshape(step.decoded.shape)
    return values


def _decoder(step: Step, out: memoryview | None) -> Callable[[memoryview], Any]:
    if step.codec in _STREAMS:
        make = _STREAMS[step.codec]
        return lambda view: _inflate(lambda: make(step.config), view, step)
    codec = numcodecs.get_codec(dict(step.config))
    if step.codec in {"blosc", "lz4", "zstd"} and step.decoded.size is not None:
        # Decoders given room for just what must come cannot write more.
        size, room = step.decoded.limit, out
        if room is None or len(room) != size:
            room = as_view(empty_block((size,), np.dtype(np.uint8)))
        return lambda view: _filled(codec.decode(view, out=room), room)
    return lambda view: np.asarray(codec.decode(view))


def _filled(decoded: Any, room: memoryview) -> Any:
    """Return the room that a decoder has filled, itself."""
    return room if as_view(decoded).nbytes == len(room) else decoded


def _inflate(make: Callable[[], Any], view: memoryview, step: Step) -> bytes:
    """Decode streams that end where the next begins, and stop one byte above the limit."""
    parts: list[bytes] = []
    room = step.decoded.limit + 1
    rest: memoryview | bytes = view
    while rest or not parts:
        stream = make()
        part = stream.decompress(rest, room)
        parts.append(part)
        room -= len(part)
        if room <= 0:
            break
        if not stream.eof:
            raise CorruptChunkError(f"{len(view):,} bytes end within the {step.codec} stream")
        rest = stream.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _lzma(config: Mapping[str, Any]) -> lzma.LZMADecompressor:
    form, filters = config.get("format", 1), config.get("filters")
    if form == _FORMAT_RAW:
        return lzma.LZMADecompressor(form, filters=filters)
    return lzma.LZMADecompressor(form, memlimit=_LZMA_BYTES)


# How the streams that the standard library decodes are begun.
_STREAMS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "gzip": lambda _: zlib.decompressobj(wbits=31),
    "zlib": lambda _: zlib.decompressobj(wbits=15),
    "bz2": lambda _: bz2.BZ2Decompressor(),
    "lzma": _lzma,
}
