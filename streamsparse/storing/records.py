"""Records: numbers and arrays in one file that is complete and unchanged, or refused.

A record is a line of magic, length and SHA-256 of a JSON header, the header, the bytes of the
arrays one after the other, and the SHA-256 of all that. Nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from streamsparse.errors import StoreError
from streamsparse.storing.files import (
    Array,
    PositionedFile,
    as_bytes,
    fsync_directory,
    remove_tree,
    replace,
)

# None, bool, int, float, str, arrays, and lists, tuples and dicts (by strings) of those.
Portable: TypeAlias = Any

_MAGIC = b"streamsparse record 1\n"
_LENGTH_BYTES = 8
_DIGEST_BYTES = 32
# No header of ours comes near this; a forged length cannot make us read more.
_MOST_HEADER_BYTES = 1 << 26
# What is hashed, read and written between two looks at whether to stop.
_STEP_BYTES = 16 << 20
_JOINED_BYTES = 1 << 20


class DamagedRecordError(Exception):
    """A file is no record, or not a whole one, or holds other bytes than were written."""


def count_bytes(value: Portable) -> int:
    """Return the bytes of the arrays in a body."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if isinstance(value, dict):
        return sum(map(count_bytes, value.values()))
    return sum(map(count_bytes, value)) if isinstance(value, list | tuple) else 0


def write_record(path: Path, facts: Portable, body: Portable, *, check: Callable[[], None]) -> None:
    """Write a record in the place of an older one, which stays until this one is on the disk.

    Parameters
    ----------
    path : of the record; beside it a file ending in ``.partial`` is used meanwhile.
    facts : what can be read without reading the arrays; holds none itself.
    body : anything :data:`Portable`.
    check : called every now and then; what it raises ends the writing, and the older one stays.

    Raises
    ------
    StoreError : if it cannot be written, or reads back differently.

    Notes
    -----
    Memory: nothing but the header; arrays are written as they are.
    """
    partial = path.with_name(f"partial-{path.name}")
    try:
        remove_tree(partial)
        digest = _write(partial, facts, body, check)
        _verify(partial, digest, check)
        replace(partial, path)
    except BaseException:
        remove_tree(partial)
        raise
    fsync_directory(path.parent)


def _write(path: Path, facts: Portable, body: Portable, check: Callable[[], None]) -> bytes:
    arrays: list[Array] = []
    described = {"facts": facts, "body": _take_apart(body, arrays)}
    described["arrays"] = [[array.dtype.str, list(array.shape)] for array in arrays]
    header = json.dumps(described).encode()
    digest, position = hashlib.sha256(), 0
    length = len(header).to_bytes(_LENGTH_BYTES, "little")
    start = _MAGIC + length + hashlib.sha256(header).digest() + header
    parts = [memoryview(start), *(as_bytes(np.ascontiguousarray(array)) for array in arrays)]
    file = PositionedFile(path)
    try:
        for step in _steps(parts):
            check()
            digest.update(step)
            file.write(np.frombuffer(step, np.uint8), position)
            position += len(step)
        file.write(np.frombuffer(digest.digest(), np.uint8), position)
        file.sync()
    finally:
        file.close()
    return digest.digest()


def _steps(parts: list[memoryview]) -> Iterator[memoryview | bytearray]:
    """Yield all bytes in order: short parts put together, long ones cut."""
    small = bytearray()
    for part in parts:
        if len(small) + len(part) <= _JOINED_BYTES:
            small += part
            continue
        yield small
        small = bytearray()
        for start in range(0, len(part), _STEP_BYTES):
            yield part[start : start + _STEP_BYTES]
    yield small


def _verify(path: Path, expected: bytes, check: Callable[[], None]) -> None:
    """Read a record again: the SHA-256 of everything in it but its last bytes is as expected."""
    file, digest = PositionedFile(path, is_new=False), hashlib.sha256()
    try:
        position, end = 0, file.size - _DIGEST_BYTES
        buffer = np.empty(_STEP_BYTES, np.uint8)
        while position < end:
            check()
            part = buffer[: min(_STEP_BYTES, end - position)]
            file.read_into(part, position)
            digest.update(as_bytes(part))
            position += part.size
    finally:
        file.close()
    if digest.digest() != expected:
        raise StoreError(f"{path} holds other bytes than were written: a disk that fails?")


def read_facts(path: Path) -> Portable:
    """Return the facts of a record, checked; whether the rest is whole is not looked at.

    Raises
    ------
    DamagedRecordError : if there is no header that can be read.
    StoreError : if the file cannot be read.
    """
    file = PositionedFile(path, is_new=False)
    try:
        described, _ = _read_header(file)
    finally:
        file.close()
    return described["facts"]


def read_record(path: Path) -> Portable:
    """Return the body of a record, every byte of it checked.

    Raises
    ------
    DamagedRecordError : if it is not what was once written.
    StoreError : if the file cannot be read.
    """
    file = PositionedFile(path, is_new=False)
    try:
        described, position = _read_header(file)
        digest = hashlib.sha256()
        _hash_start(file, position, digest)
        arrays: list[Array] = []
        for dtype, shape in described["arrays"]:
            array = np.empty(shape, np.dtype(dtype))
            if position + array.nbytes > file.size:
                raise DamagedRecordError(f"{path} is cut short")
            file.read_into(array, position)
            digest.update(as_bytes(array))
            position += array.nbytes
            arrays.append(array)
        stored = np.empty(_DIGEST_BYTES, np.uint8)
        if position + stored.size != file.size:
            raise DamagedRecordError(f"{path} is cut short, or goes on after its end")
        file.read_into(stored, position)
        if digest.digest() != stored.tobytes():
            raise DamagedRecordError(f"{path} fails its checksum")
        return _put_together(described["body"], arrays)
    except (ValueError, TypeError, KeyError, IndexError, MemoryError) as error:
        raise DamagedRecordError(f"{path} is damaged: {error}") from error
    finally:
        file.close()


def _read_header(file: PositionedFile) -> tuple[dict[str, Any], int]:
    """Return (what the header says, where it ends)."""
    fixed = len(_MAGIC) + _LENGTH_BYTES + _DIGEST_BYTES
    start = np.empty(min(fixed, file.size), np.uint8)
    file.read_into(start, 0)
    magic, rest = start[: len(_MAGIC)].tobytes(), start[len(_MAGIC) :].tobytes()
    length, expected = int.from_bytes(rest[:_LENGTH_BYTES], "little"), rest[_LENGTH_BYTES:]
    if magic != _MAGIC or length > min(_MOST_HEADER_BYTES, file.size - fixed):
        raise DamagedRecordError(f"{file.path} is no record of this version")
    header = np.empty(length, np.uint8)
    file.read_into(header, fixed)
    if hashlib.sha256(as_bytes(header)).digest() != expected:
        raise DamagedRecordError(f"the header of {file.path} is damaged")
    described: dict[str, Any] = json.loads(header.tobytes())
    return described, fixed + length


def _hash_start(file: PositionedFile, stop: int, digest: Any) -> None:
    start = np.empty(stop, np.uint8)
    file.read_into(start, 0)
    digest.update(start)


def _take_apart(value: Portable, arrays: list[Array]) -> Any:
    """Return JSON, every array in it replaced by its number in ``arrays``."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, list | tuple):
        return [_take_apart(item, arrays) for item in value]
    if isinstance(value, dict):
        return {"dict": {str(key): _take_apart(item, arrays) for key, item in value.items()}}
    return value


def _put_together(value: Any, arrays: list[Array]) -> Portable:
    if isinstance(value, list):
        return [_put_together(item, arrays) for item in value]
    if isinstance(value, dict):
        if "array" in value:
            return arrays[value["array"]]
        return {key: _put_together(item, arrays) for key, item in value["dict"].items()}
    return value
