from itertools import islice

import google_crc32c
import numpy as np
import pytest

from streamsparse.errors import CorruptChunkError, UnsupportedInputError
from streamsparse.sources.zarr_layout import absent_inner_chunks, grid_positions, layout_of

BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
CRC = {"name": "crc32c"}


def metadata(codecs, *, grid="regular", chunk=(6, 8)):
    return {
        "zarr_format": 3,
        "shape": (11, 29),
        "fill_value": 0,
        "chunk_grid": {"name": grid, "configuration": {"chunk_shape": chunk}},
        "codecs": codecs,
    }


def sharding(codecs, index_codecs, **settings):
    configuration = {"chunk_shape": (3, 4), "codecs": codecs, "index_codecs": index_codecs}
    return {"name": "sharding_indexed", "configuration": {**configuration, **settings}}


def test_layout_of__counts_chunks_that_hold_part_of_the_array():
    layout = layout_of(metadata([sharding([BYTES], [BYTES, CRC])]), "x")
    assert layout.grid == (2, 4)
    assert layout.chunk_count == 32
    assert layout.inner_grid((1, 3)) == (2, 2)
    assert layout.index.byte_count == 68


@pytest.mark.parametrize(
    "codecs",
    [
        [sharding([sharding([BYTES], [BYTES, CRC])], [BYTES, CRC])],
        [sharding([BYTES], [BYTES, {"name": "gzip"}])],
        [sharding([BYTES], [BYTES, CRC]), {"name": "gzip"}],
    ],
)
def test_layout_of__shards_whose_index_is_hidden_are_opaque(codecs):
    assert layout_of(metadata(codecs), "x").is_opaque


@pytest.mark.parametrize(
    "codecs",
    [
        [{"name": "numcodecs.pickle"}],
        [sharding([{"name": "vlen-bytes"}], [BYTES])],
        [sharding([BYTES], [{"name": "mystery"}])],
    ],
)
def test_layout_of__codecs_are_refused_wherever_they_hide(codecs):
    with pytest.raises(UnsupportedInputError, match=r"pickle|vlen-bytes|mystery"):
        layout_of(metadata(codecs), "x")


def test_layout_of__irregular_grids_are_refused():
    with pytest.raises(UnsupportedInputError, match="rectilinear"):
        layout_of(metadata([BYTES], grid="rectilinear"), "x")


@pytest.mark.parametrize("endian", ["little", "big"])
def test_absent_inner_chunks__ignores_those_outside_the_array(endian):
    index_codecs = [{"name": "bytes", "configuration": {"endian": endian}}, CRC]
    layout = layout_of(metadata([sharding([BYTES], index_codecs)]), "x")
    numbers = np.full((2, 2, 2), 2**64 - 1, layout.index.dtype)
    numbers[0, 0] = 0, 7
    raw = numbers.tobytes()
    raw += google_crc32c.value(raw).to_bytes(4, "little")
    assert list(absent_inner_chunks(layout, (0, 0), raw, "x")) == [(0, 1), (1, 0), (1, 1)]
    narrow = layout_of({**metadata([sharding([BYTES], index_codecs)]), "shape": (3, 8)}, "x")
    assert list(absent_inner_chunks(narrow, (0, 0), raw, "x")) == [(0, 1)]
    with pytest.raises(CorruptChunkError, match="checksum"):
        list(absent_inner_chunks(layout, (0, 0), raw[:-1] + b"?", "x"))
    with pytest.raises(CorruptChunkError, match="truncated"):
        list(absent_inner_chunks(layout, (0, 0), raw[:-1], "x"))


@pytest.mark.parametrize(
    ("codec", "is_checksummed"),
    [
        ({"id": "lzma"}, True),
        ({"id": "lzma", "format": 1, "check": -1}, True),
        ({"id": "lzma", "format": 1, "check": 0}, False),
        ({"id": "lzma", "format": 2, "check": -1}, False),
        ({"id": "lzma", "format": 3, "check": -1}, False),
        ({"id": "zlib"}, True),
        ({"id": "zstd", "checksum": False}, False),
        ({"id": "zstd", "checksum": True}, True),
        ({"id": "fletcher32"}, True),
        ({"id": "shuffle"}, False),
    ],
)
def test_layout_of__a_codec_is_checksummed_where_its_stream_is(codec, is_checksummed):
    document = {
        "zarr_format": 2,
        "shape": (11, 29),
        "chunks": (6, 8),
        "fill_value": 0,
        "compressor": codec,
    }
    assert layout_of(document, "x").is_checksummed is is_checksummed


@pytest.mark.parametrize("chunk", [(0, 8), (6, -1)])
def test_layout_of__chunks_without_length_are_refused(chunk):
    with pytest.raises(UnsupportedInputError, match="at least 1 long"):
        layout_of(metadata([BYTES], chunk=chunk), "x")


def test_grid_positions__are_those_of_loops_and_never_held():
    assert list(grid_positions((2, 1, 3))) == list(np.ndindex(2, 1, 3))
    assert list(islice(grid_positions((10**18, 10**18)), 2)) == [(0, 0), (0, 1)]
