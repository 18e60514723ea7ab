import struct

import numcodecs
import numpy as np
import pytest

from streamsparse.errors import CorruptChunkError
from streamsparse.sources.encoded import check_encoded, most_encoded, zstd_content_size

VALUES = np.arange(300, dtype="f4")
SIZE = VALUES.nbytes


def check(codec, raw, size=SIZE, limit=None):
    check_encoded(codec, memoryview(raw), size=size, limit=size if limit is None else limit)


def encoded(codec, values=VALUES):
    return bytes(numcodecs.get_codec({"id": codec}).encode(values))


@pytest.mark.parametrize("codec", ["blosc", "zstd", "lz4"])
def test_check_encoded__what_encoders_write_passes_and_another_size_does_not(codec):
    raw = encoded(codec)
    check(codec, raw)
    check(codec, raw, size=None, limit=SIZE)
    for size in (SIZE - 1, SIZE + 1):
        with pytest.raises(CorruptChunkError, match=rf"1,200 bytes; the chunk grid needs {size:,}"):
            check(codec, raw, size=size)
    with pytest.raises(CorruptChunkError, match="no chunk has over 1,199"):
        check(codec, raw, size=None, limit=SIZE - 1)


@pytest.mark.parametrize("values", [VALUES, np.random.default_rng(0).random(300)])
@pytest.mark.parametrize("change", [-1, -17, 1])
def test_check_encoded__blosc_of_another_length_is_refused(values, change):
    raw = encoded("blosc", values)
    raw = raw[:change] if change < 0 else raw + b"x" * change
    with pytest.raises(CorruptChunkError, match="encoded bytes but there are"):
        check("blosc", raw, size=values.nbytes)


@pytest.mark.parametrize(("at", "value"), [(0, b"\7"), (3, b"\0"), (8, bytes(4)), (8, b"\xff" * 4)])
def test_check_encoded__blosc_headers_that_blosc_does_not_write(at, value):
    raw = encoded("blosc")
    raw = raw[:at] + value + raw[at + len(value) :]
    with pytest.raises(CorruptChunkError, match="not one that Blosc writes"):
        check("blosc", raw)


def test_check_encoded__blosc_copy_of_another_length():
    raw = bytes(numcodecs.Blosc(clevel=0).encode(VALUES))
    check("blosc", raw)
    cut = raw[:12] + struct.pack("<I", len(raw) - 4) + raw[16:-4]
    with pytest.raises(CorruptChunkError, match="a copy of"):
        check("blosc", cut)


@pytest.mark.parametrize("codec", ["blosc", "zstd", "lz4"])
def test_check_encoded__too_few_bytes_for_a_header(codec):
    for count in range(4):
        with pytest.raises(CorruptChunkError):
            check(codec, encoded(codec)[:count])


def frame(descriptor, rest):
    return b"\x28\xb5\x2f\xfd" + bytes([descriptor]) + rest + bytes(4)


@pytest.mark.parametrize(
    ("raw", "size"),
    [
        (frame(0x20, b"\x07"), 7),
        (frame(0x60, struct.pack("<H", 44)), 300),
        (frame(0xA0, struct.pack("<I", 1 << 20)), 1 << 20),
        (frame(0xE0, struct.pack("<Q", 1 << 40)), 1 << 40),
        (frame(0xC0, b"\0" + struct.pack("<Q", 1 << 40)), 1 << 40),
        (frame(0x23, b"abcd\x09"), 9),
        (frame(0x00, b"\0"), None),
    ],
)
def test_zstd_content_size__every_width_of_the_field(raw, size):
    assert zstd_content_size(memoryview(raw)) == size


def test_zstd_content_size__agrees_with_the_encoder():
    for size in (1, 255, 256, 257, 65791, 65792, 10**6):
        raw = encoded("zstd", np.zeros(size, "u1"))
        assert zstd_content_size(memoryview(raw)) == size


def test_check_encoded__a_frame_of_a_tebibyte_is_refused():
    with pytest.raises(CorruptChunkError, match="states 1,099,511,627,776 bytes"):
        check("zstd", frame(0xE0, struct.pack("<Q", 1 << 40)))
    with pytest.raises(CorruptChunkError, match="states no size"):
        check("zstd", frame(0x00, b"\0"), size=None, limit=9)


@pytest.mark.parametrize("codec", ["blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd"])
@pytest.mark.parametrize("size", [0, 1, 1000, 10**6])
def test_most_encoded__no_encoder_makes_more_of_noise(codec, size):
    noise = np.random.default_rng(size).integers(0, 256, size, dtype="u1")
    if size or codec != "blosc":
        assert len(encoded(codec, noise)) <= most_encoded(size)
