"""What encoded bytes say of themselves, checked before any decoder sees them.

Pure: bytes and the expected size in, an error or nothing out. Blosc's decoder believes its header
and reads past the end of a buffer that was cut; zstd and LZ4 allocate what theirs announce.
"""

from __future__ import annotations

from streamsparse.errors import CorruptChunkError

_BLOSC_HEADER = 16
_BLOSC_IS_COPY = 0x02
_BLOSC_FORMAT = 2
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_LZ4_HEADER = 4


def check_encoded(codec: str, raw: memoryview, *, size: int | None, limit: int) -> None:
    """Refuse encoded bytes that announce another size than they must have.

    Parameters
    ----------
    codec : its id; one whose encoding announces nothing is not looked at.
    raw : the encoded bytes, all of them.
    size : bytes they must decode to, None where that varies.
    limit : most bytes they may decode to.

    Raises
    ------
    CorruptChunkError : with both numbers.
    """
    if codec == "blosc":
        _check_blosc(raw, size=size, limit=limit)
    elif codec == "zstd":
        frame = zstd_content_size(raw)
        if frame is not None:
            check_size("the zstd frame states", frame, size=size, limit=limit)
        elif size is None:
            raise CorruptChunkError("the zstd frame states no size, and neither does the grid")
    elif codec == "lz4":
        if len(raw) < _LZ4_HEADER:
            raise CorruptChunkError(f"{len(raw)} bytes are too few for LZ4")
        stated = int.from_bytes(raw[:_LZ4_HEADER], "little")
        check_size("the LZ4 prefix states", stated, size=size, limit=limit)


def check_size(what: str, count: int, *, size: int | None, limit: int) -> None:
    """Refuse a number of decoded bytes other than ``size``, or above ``limit`` without one.

    Raises
    ------
    CorruptChunkError : with both numbers.
    """
    if size is not None and count != size:
        raise CorruptChunkError(f"{what} {count:,} bytes; the chunk grid needs {size:,}")
    if count > limit:
        raise CorruptChunkError(f"{what} {count:,} bytes; no chunk has over {limit:,}")


def most_encoded(size: int) -> int:
    """Most bytes that an honest encoder makes of ``size``: none of ours adds a fourth."""
    return size + size // 4 + 4096


def _check_blosc(raw: memoryview, *, size: int | None, limit: int) -> None:
    if len(raw) < _BLOSC_HEADER:
        raise CorruptChunkError(f"{len(raw)} bytes are too few for a Blosc header")
    decoded = int.from_bytes(raw[4:8], "little")
    block = int.from_bytes(raw[8:12], "little")
    encoded = int.from_bytes(raw[12:16], "little")
    if encoded != len(raw):
        raise CorruptChunkError(
            f"the Blosc header states {encoded:,} encoded bytes but there are {len(raw):,}"
        )
    check_size("the Blosc header states", decoded, size=size, limit=limit)
    is_copy = bool(raw[2] & _BLOSC_IS_COPY)
    if is_copy and encoded != decoded + _BLOSC_HEADER:
        raise CorruptChunkError(
            f"the Blosc header states a copy of {decoded:,} bytes in {encoded:,} encoded ones"
        )
    if raw[0] != _BLOSC_FORMAT or raw[3] == 0 or (decoded and not 0 < block <= decoded):
        raise CorruptChunkError("the Blosc header is not one that Blosc writes")


def zstd_content_size(raw: memoryview) -> int | None:
    """Return the decoded size that the first zstd frame states, None where it states none.

    Raises
    ------
    CorruptChunkError : if there is no zstd frame.
    """
    if len(raw) < 6 or raw[:4] != _ZSTD_MAGIC:
        raise CorruptChunkError(f"{len(raw):,} bytes do not begin with a zstd frame")
    descriptor = raw[4]
    has_window = not descriptor & 0x20
    width = (0 if has_window else 1, 2, 4, 8)[descriptor >> 6]
    if width == 0:
        return None
    start = 5 + has_window + (0, 1, 2, 4)[descriptor & 3]
    if len(raw) < start + width:
        raise CorruptChunkError(f"{len(raw):,} bytes end within the header of a zstd frame")
    stated = int.from_bytes(raw[start : start + width], "little")
    return stated + 256 if width == 2 else stated
