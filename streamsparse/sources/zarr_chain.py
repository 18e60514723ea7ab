"""The codecs of a Zarr array put together from its metadata: encoded chunks in, regions out.

Everything here happens in memory. What zarr's own pipeline does not do: it says which inner chunk
is absent, it believes no size that the bytes state, and it holds shards to their index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import CorruptChunkError, UnsupportedInputError
from streamsparse.sources.decoding import (
    Form,
    Step,
    as_view,
    decode_bytes,
    decode_values,
    follow,
)
from streamsparse.sources.dtypes import copy_values
from streamsparse.sources.encoded import check_size, most_encoded
from streamsparse.sources.zarr_layout import (
    ABSENT,
    SHARDING,
    Coordinates,
    ShardIndex,
    index_numbers,
    name_of,
    settings_of,
    shard_index,
)

Region = tuple[Interval, ...]
# Puts the fill value into an array for the absent chunk that is named, or raises.
Fill = Callable[[Array, str], None]

_CODECS_BY_BYTES_ALONE = frozenset({"blosc", "lz4", "zstd"})


@dataclass(frozen=True, slots=True)
class Chain:
    """How chunks of one array are encoded.

    Attributes
    ----------
    form : of a decoded chunk.
    order : "C" or "F", of the values in its bytes.
    values : steps from values to values, in the order of writing.
    raw : what the bytes hold before any step from bytes to bytes.
    steps : from bytes to bytes, in the order of writing.
    index, inner : where the index of a shard lies and how its chunks are encoded; None for plain
        chunks.
    """

    form: Form
    order: str
    values: tuple[Step, ...]
    raw: Form
    steps: tuple[Step, ...]
    index: ShardIndex | None = None
    inner: Chain | None = None

    @property
    def most_bytes(self) -> int:
        """Most bytes that an encoded chunk has."""
        return most_encoded(self.raw.limit) + sum(most_encoded(0) for _ in self.steps)

    def raw_bytes(self, out: Array) -> memoryview | None:
        """Return an array as the bytes that a whole chunk is before any step, None if it differs.

        It does in another dtype, byte order, or order of the axes, and where it is no array of its
        own but a part of one.
        """
        is_same = out.dtype == self.raw.dtype or (
            out.dtype == np.uint8 and self.raw.dtype == np.bool_
        )
        is_laid = out.flags.f_contiguous if self.order == "F" else out.flags.c_contiguous
        if self.inner is not None or out.shape != self.raw.shape or not (is_same and is_laid):
            return None
        return as_view(out)

    @property
    def has_open_shards(self) -> bool:
        """Whether inner chunks can be had from a shard without the rest of it."""
        return self.inner is not None and not (self.values or self.steps)


def chain_of(
    metadata: Mapping[str, Any], dtype: np.dtype[Any], chunk: tuple[int, ...], name: str
) -> Chain:
    """Return the chain that array metadata of format 2 or 3 describes.

    Raises
    ------
    UnsupportedInputError : for settings from which no chain can be made.
    """
    try:
        if metadata["zarr_format"] == 2:
            return _chain_of_format_2(metadata, dtype, chunk)
        return _chain_of_format_3(list(metadata["codecs"]), dtype, chunk)
    except Exception as error:
        raise UnsupportedInputError(f"the codecs of {name} cannot be read: {error}") from error


def _chain_of_format_2(
    metadata: Mapping[str, Any], dtype: np.dtype[Any], chunk: tuple[int, ...]
) -> Chain:
    form = Form.of(dtype, chunk)
    named = [*(metadata.get("filters") or ()), metadata.get("compressor")]
    steps, _ = _steps([codec for codec in named if codec], form)
    return Chain(form, metadata.get("order") or "C", (), form, steps)


def _chain_of_format_3(
    codecs: list[Mapping[str, Any]], dtype: np.dtype[Any], chunk: tuple[int, ...]
) -> Chain:
    form = Form.of(dtype.newbyteorder("="), chunk)
    at = [name_of(codec) in {"bytes", "endian", SHARDING} for codec in codecs].index(True)
    values, raw = _steps(codecs[:at], form)
    serializer = codecs[at]
    if name_of(serializer) != SHARDING:
        is_big = settings_of(serializer).get("endian") == "big"
        raw = Form.of(raw.dtype.newbyteorder(">" if is_big else "<"), raw.shape)
        steps, _ = _steps(codecs[at + 1 :], raw)
        return Chain(form, "C", values, raw, steps)
    index = shard_index(serializer, raw.shape)
    if index is None:
        raise UnsupportedInputError("the index of its shards is encoded in a way we cannot read")
    inner = _chain_of_format_3(list(settings_of(serializer)["codecs"]), raw.dtype, index.inner)
    count = raw.limit // max(1, inner.form.limit)
    limit = index.byte_count + count * inner.most_bytes
    steps, _ = _steps(codecs[at + 1 :], Form(raw.dtype, raw.shape, None, limit))
    return Chain(form, "C", values, Form(raw.dtype, raw.shape, None, limit), steps, index, inner)


def _steps(codecs: list[Mapping[str, Any]], form: Form) -> tuple[tuple[Step, ...], Form]:
    """Return the steps of codecs in the order of writing, and what the last one makes."""
    steps: list[Step] = []
    for codec in codecs:
        config: dict[str, Any] = {"id": name_of(codec)}
        if config["id"] not in _CODECS_BY_BYTES_ALONE:
            config = {**settings_of(codec), **config}
        steps.append(Step(config, form))
        form = follow(config, form)
    return tuple(steps), form


def pieces(region: Region, widths: tuple[int, ...]) -> Iterator[tuple[Coordinates, Region, Region]]:
    """Yield, for each chunk that a region touches: its position, what of it, and where that goes.

    Parameters
    ----------
    region : intervals along each axis.
    widths : of chunks along each axis.

    Yields
    ------
    Position in the grid; intervals within that chunk; the same intervals within the region.
    """
    axes = []
    for (start, stop), width in zip(region, widths, strict=True):
        axis = []
        for i in range(start // width, -(-stop // width)):
            low, high = max(start, i * width), min(stop, (i + 1) * width)
            axis.append((i, (low - i * width, high - i * width), (low - start, high - start)))
        axes.append(axis)
    for parts in product(*axes):
        yield (
            tuple(part[0] for part in parts),
            tuple(part[1] for part in parts),
            tuple(part[2] for part in parts),
        )


def slices(region: Region) -> tuple[slice, ...]:
    """Return a region as an index."""
    return tuple(slice(*interval) for interval in region)


def decode_chunk(chain: Chain, raw: Any, where: str, fill: Fill) -> Array:
    """Return the values of one whole chunk or shard.

    Raises
    ------
    CorruptChunkError, MissingChunkError
    """
    held: Any = decode_bytes(chain.steps, raw)
    if chain.inner is not None:
        values = np.empty(chain.raw.shape, chain.raw.dtype)
        whole = tuple((0, length) for length in chain.raw.shape)
        _decode_shard(chain, as_view(held), whole, values, where, fill)
    else:
        view = as_view(held)
        check_size("it holds", view.nbytes, size=chain.raw.size, limit=chain.raw.limit)
        values = np.frombuffer(view, chain.raw.dtype)
        # Text order="F" is how format 2 says that the first axis runs fastest.
        values = values.reshape(chain.raw.shape, order="F" if chain.order == "F" else "C")
    return decode_values(chain.values, values)


def place_chunk(chain: Chain, raw: Any, region: Region, out: Array, where: str, fill: Fill) -> None:
    """Decode what a region needs of a chunk or shard into ``out``; to its place, if it is whole."""
    goal = None if chain.values else chain.raw_bytes(out)
    if goal is not None:
        held = decode_bytes(chain.steps, raw, goal)
        if held is not goal:
            view = as_view(held)
            check_size("it holds", view.nbytes, size=chain.raw.size, limit=chain.raw.limit)
            goal[:] = view
        return
    if chain.inner is not None and not chain.values:
        view = as_view(decode_bytes(chain.steps, raw))
        _decode_shard(chain, view, region, out, where, fill)
    else:
        copy_values(decode_chunk(chain, raw, where, fill)[slices(region)], out)


def _decode_shard(
    chain: Chain, view: memoryview, region: Region, out: Array, where: str, fill: Fill
) -> None:
    at, inner = chain.index, chain.inner
    assert at is not None
    assert inner is not None
    part = view[-at.byte_count :] if at.at_end else view[: at.byte_count]
    numbers = index_numbers(at, part, where)
    low = 0 if at.at_end else at.byte_count
    high = len(view) - at.byte_count if at.at_end else len(view)
    for position, inside, outside in pieces(region, at.inner):
        named = f"{where} inner chunk {position}"
        span = inner_span(chain, numbers, position, named)
        target = out[slices(outside)]
        if span is None:
            fill(target, named)
            continue
        start, stop = span
        if start < low or stop > high:
            raise CorruptChunkError(
                f"{named} lies at bytes {start:,} to {stop:,}; the shard has chunks from {low:,} "
                f"to {high:,}"
            )
        place_chunk(inner, view[start:stop], inside, target, named, fill)


def inner_span(chain: Chain, numbers: Array, position: Coordinates, named: str) -> Interval | None:
    """Return where an inner chunk lies in its shard, None if the index has none.

    Raises
    ------
    CorruptChunkError : if it is longer than any encoder makes it.
    """
    assert chain.inner is not None
    start, length = (int(number) for number in numbers[position])
    if start == length == ABSENT:
        return None
    if length > chain.inner.most_bytes:
        raise CorruptChunkError(
            f"{named} has {length:,} encoded bytes; no encoder makes over "
            f"{chain.inner.most_bytes:,} of it"
        )
    return start, start + length
