"""Tensors of ``.safetensors`` files, read from where their header says they lie.

The format: the length of a JSON header as 8 bytes, the header, values in C order, little-endian.
Nothing in it runs, and nothing is taken on trust: what a header claims is held against the file.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamsparse.errors import CorruptChunkError, UnsupportedInputError
from streamsparse.sources.flat import FlatSource, read_head
from streamsparse.sources.reading import within_deadline

SUFFIX = ".safetensors"
_LENGTH_BYTES = 8
# As much as the format's own library accepts.
_MOST_HEADER_BYTES = 100_000_000
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


class SafetensorsSource(FlatSource):
    """A two-dimensional tensor of a ``.safetensors`` file.

    Parameters
    ----------
    path : the file.
    tensor : its name; None where there is just one of two dimensions.
    feature_axis : axis of the tensor along which the d columns of X lie.

    Raises
    ------
    UnsupportedInputError : for a tensor that is not there, or of a dtype that we do not read.
    CorruptChunkError : for a header that cannot be true.
    """

    def __init__(
        self, path: str | os.PathLike[str], tensor: str | None, *, feature_axis: int
    ) -> None:
        file = Path(path)
        tensors = within_deadline(f"opening {path}", lambda: _read_tensors(file))
        name = _chosen(tensor, tensors, str(path))
        entry = tensors[name]
        super().__init__(
            file,
            name=f"{path}:{name}",
            shape=entry.shape,
            dtype=np.dtype(_DTYPES[entry.dtype]),
            start=entry.start,
            feature_axis=feature_axis,
            is_bfloat=entry.dtype == "BF16",
        )


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    start: int


def _chosen(tensor: str | None, tensors: dict[str, _Entry], path: str) -> str:
    flat = sorted(name for name, entry in tensors.items() if len(entry.shape) == 2)
    if tensor is None and len(flat) == 1:
        return flat[0]
    listed = ", ".join(flat[:8]) + (", ..." if len(flat) > 8 else "")
    if tensor is None:
        raise UnsupportedInputError(
            f"{path} has {len(flat)} tensors of two dimensions; name one as {path}:NAME "
            f"({listed or 'there is none'})"
        )
    if tensor not in tensors:
        raise UnsupportedInputError(f"{path} has no tensor {tensor!r}; it has {listed or 'none'}")
    if tensors[tensor].dtype not in _DTYPES:
        raise UnsupportedInputError(
            f"{path}:{tensor} has dtype {tensors[tensor].dtype}; X must be one of "
            f"{', '.join(_DTYPES)}"
        )
    return tensor


def _read_tensors(path: Path) -> dict[str, _Entry]:
    head = read_head(path, _LENGTH_BYTES)
    length = int.from_bytes(head, "little")
    start = _LENGTH_BYTES + length
    if len(head) < _LENGTH_BYTES or not 2 <= length <= _MOST_HEADER_BYTES:
        raise CorruptChunkError(f"{path} has no valid safetensors header: its length is {length:,}")
    text = read_head(path, start)[_LENGTH_BYTES:]
    try:
        header = json.loads(text)
        return {
            str(name): _entry(facts, start)
            for name, facts in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptChunkError(f"{path} has no valid safetensors header: {error}") from error


def _entry(facts: dict[str, Any], start: int) -> _Entry:
    """Return one entry of a header whose data begin at ``start``."""
    first, stop = facts["data_offsets"]
    shape = tuple(facts["shape"])
    if not all(type(k) is int and k >= 0 for k in (first, stop, *shape)):
        raise ValueError(f"offsets {first} to {stop} of shape {shape}")
    entry = _Entry(str(facts["dtype"]), shape, start + first)
    if entry.dtype in _DTYPES:
        size = int(np.prod(shape, dtype=object)) * np.dtype(_DTYPES[entry.dtype]).itemsize
        if stop - first != size:
            raise ValueError(f"{stop - first:,} bytes for a tensor of {size:,}")
    return entry
