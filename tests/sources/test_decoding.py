import gzip
import lzma
import tracemalloc

import numcodecs
import numpy as np
import pytest

from streamsparse.errors import CorruptChunkError, UnsupportedInputError
from streamsparse.sources.decoding import Form, Step, decode_bytes, decode_values, follow

VALUES = np.arange(256, dtype="<i4")
FORM = Form.of(VALUES.dtype, VALUES.shape)
BYTES = ["adler32", "blosc", "bz2", "crc32", "crc32c", "fletcher32", "gzip", "jenkins_lookup3"]
BYTES += ["lz4", "lzma", "shuffle", "zlib", "zstd"]


def steps_of(*configs, form=FORM):
    steps = []
    for config in configs:
        steps.append(Step(config, form))
        form = follow(config, form)
    return tuple(steps), form


def written(values, configs):
    for config in configs:
        values = numcodecs.get_codec(dict(config)).encode(values)
    return bytes(memoryview(values).cast("B")) if not isinstance(values, bytes) else values


@pytest.mark.parametrize("outer", [None, *BYTES])
@pytest.mark.parametrize("inner", BYTES)
def test_decode_bytes__undoes_every_codec_and_every_two(inner, outer):
    configs = [{"id": name} for name in (inner, outer) if name]
    if outer == "shuffle":
        # Encoded bytes are of any number.
        configs[-1]["elementsize"] = 1
    steps, form = steps_of(*configs)
    raw = written(VALUES, configs)
    assert form.size in {None, len(raw)}
    assert len(raw) <= form.limit
    assert bytes(memoryview(decode_bytes(steps, raw)).cast("B")) == VALUES.tobytes()
    for bad in (raw[:-1], raw[:-5], b"", raw + b"\1", raw + raw):
        assert is_refused(steps, bad)


def is_refused(steps, raw):
    """Decoders say so in their own words; a length that is wrong is the caller's to see."""
    try:
        values = decode_bytes(steps, raw)
    except Exception:
        return True
    return memoryview(values).nbytes != VALUES.nbytes


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ({"id": "delta", "dtype": "<i4"}, "<i4"),
        ({"id": "delta", "dtype": "<i4", "astype": "<i2"}, "<i2"),
        ({"id": "astype", "encode_dtype": "<i8", "decode_dtype": "<i4"}, "<i8"),
        ({"id": "fixedscaleoffset", "offset": 0, "scale": 1, "dtype": "<i4", "astype": "u2"}, "u2"),
    ],
)
def test_follow__filters_give_the_form_that_numcodecs_gives(config, dtype):
    form = follow(config, FORM)
    encoded = numcodecs.get_codec(dict(config)).encode(VALUES)
    assert (form.dtype, form.size) == (np.dtype(dtype), encoded.nbytes)
    np.testing.assert_array_equal(decode_values((Step(config, FORM),), encoded), VALUES)


def test_follow__packbits_and_transpose():
    bits = np.array([1, 0, 1], bool)
    packed = numcodecs.PackBits().encode(bits)
    form = Form.of(np.dtype(bool), (3,))
    assert follow({"id": "packbits"}, form).size == packed.nbytes
    turned = {"id": "transpose", "order": (1, 2, 0)}
    form = Form.of(np.dtype("f4"), (2, 3, 4))
    values = np.arange(24, dtype="f4").reshape(2, 3, 4)
    assert follow(turned, form).shape == (3, 4, 2)
    back = decode_values((Step(turned, form),), values.transpose(1, 2, 0))
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize("key", ["dtype", "astype"])
@pytest.mark.parametrize("dtype", ["O", "M8[s]", "c8", "U3"])
def test_follow__filters_that_make_what_is_not_numeric_are_refused(key, dtype):
    with pytest.raises(UnsupportedInputError, match="not numeric"):
        follow({"id": "delta", "dtype": "<i4", key: dtype}, FORM)


def streaming_zstd(size):
    """A frame that states no size: blocks of one repeated byte, 128 KiB out of 4 bytes each."""
    block = 1 << 17
    count = size // block
    head = b"\x28\xb5\x2f\xfd\x00\x58"
    blocks = [
        (int(i == count - 1) | 2 | block << 3).to_bytes(3, "little") + b"\7" for i in range(count)
    ]
    return head + b"".join(blocks)


@pytest.mark.parametrize("codec", ["gzip", "zlib", "bz2", "lzma", "zstd"])
def test_decode_bytes__a_bomb_allocates_no_more_than_a_chunk(codec):
    size = 1 << 25
    bomb = (
        streaming_zstd(size)
        if codec == "zstd"
        else bytes(numcodecs.get_codec({"id": codec}).encode(np.full(size, 7, "u1")))
    )
    steps, _ = steps_of({"id": codec})
    tracemalloc.start()
    try:
        with pytest.raises((CorruptChunkError, RuntimeError)):
            decode_bytes(steps, bomb)
        assert tracemalloc.get_traced_memory()[1] < size // 2
    finally:
        tracemalloc.stop()


def test_decode_bytes__a_frame_without_a_size_is_decoded_where_the_grid_has_one():
    raw = streaming_zstd(1 << 18)
    form = Form.of(np.dtype("u1"), (1 << 18,))
    assert bytes(decode_bytes((Step({"id": "zstd"}, form),), raw)) == b"\7" * (1 << 18)


def test_decode_bytes__streams_in_a_row_are_one():
    raw = gzip.compress(VALUES[:100].tobytes()) + gzip.compress(VALUES[100:].tobytes())
    assert decode_bytes(steps_of({"id": "gzip"})[0], raw) == VALUES.tobytes()


def test_decode_bytes__raw_lzma_takes_its_filters_from_the_settings():
    config = {"id": "lzma", "format": 3, "check": -1, "filters": [{"id": lzma.FILTER_LZMA2}]}
    raw = written(VALUES, [config])
    assert decode_bytes(steps_of(config)[0], raw) == VALUES.tobytes()
