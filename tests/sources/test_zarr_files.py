"""Chunks read by ourselves from a folder against the same store read as any other."""

import os

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsparse.errors import CorruptChunkError, MissingChunkError, StoreError
from streamsparse.sources import reading, zarr_files
from streamsparse.sources.zarr_open import open_node

SHAPE, CHUNKS = (11, 23), (4, 6)
FORMATS = {
    "raw": {"compressors": None},
    "zstd": {"compressors": zarr.codecs.ZstdCodec(checksum=True)},
    "blosc": {"compressors": zarr.codecs.BloscCodec(cname="lz4")},
    "gzip": {"compressors": zarr.codecs.GzipCodec()},
    "lz4 of format 2": {"zarr_format": 2, "compressors": numcodecs.LZ4()},
    "crc32c": {"compressors": [zarr.codecs.Crc32cCodec()]},
    "two": {"compressors": [zarr.codecs.ZstdCodec(), zarr.codecs.Crc32cCodec()]},
    "big endian": {"serializer": zarr.codecs.BytesCodec(endian="big")},
    "transposed": {"filters": [zarr.codecs.TransposeCodec(order=(1, 0))]},
    "shards": {"shards": (8, 12), "compressors": zarr.codecs.ZstdCodec()},
    "format 2, F": {"zarr_format": 2, "order": "F", "compressors": None},
}
DTYPES = ["f2", "f4", "f8", "i1", "u1", "i4", "?"]


def values_of(dtype):
    values = np.random.default_rng(0).integers(0, 100, SHAPE)
    return (values % 2 if dtype == "?" else values).astype(dtype)


def write(path, dtype="f4", kind="raw", **more):
    options = {"chunks": CHUNKS, **FORMATS[kind], **more}
    array = zarr.create_array(
        path, shape=SHAPE, dtype=dtype, config={"write_empty_chunks": True}, **options
    )
    array[:] = values_of(dtype)
    return array


def opened(path, *, as_files=True, missing="error"):
    node = open_node(path, missing=missing, members=())
    assert node._files is not None
    if not as_files:
        node.__dict__["_files"] = None
    return node


def outcome(read):
    try:
        return read()
    except (CorruptChunkError, MissingChunkError, StoreError) as error:
        return type(error).__name__


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", FORMATS)
def test_chunk_files__give_what_the_general_path_gives(tmp_path, kind, dtype):
    write(tmp_path / "x", dtype, kind)
    block = np.dtype({"f2": "f4", "?": "u1"}.get(dtype, dtype))
    for region in (((0, 11), (0, 23)), ((4, 8), (6, 12)), ((3, 9), (5, 20)), ((10, 11), (22, 23))):
        got = opened(tmp_path / "x").read(region, block)
        assert got.dtype == block
        np.testing.assert_array_equal(got, values_of(dtype)[tuple(slice(*r) for r in region)])
        other = opened(tmp_path / "x", as_files=False).read(region, block)
        np.testing.assert_array_equal(got, other)


@settings(max_examples=60)
@given(
    kind=st.sampled_from(sorted(FORMATS)),
    at=st.integers(0, 10**9),
    change=st.sampled_from(["flip", "cut", "grow", "empty", "remove"]),
)
def test_chunk_files__refuse_what_the_general_path_refuses(tmp_path_factory, kind, at, change):
    folder = tmp_path_factory.mktemp("x")
    write(folder, "f4", kind)
    chunks = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith((".", "z"))
    )
    path = chunks[at % len(chunks)]
    raw = bytearray(path.read_bytes())
    if change == "remove":
        path.unlink()
    else:
        if change == "flip":
            raw[at % len(raw)] ^= 1 << at % 8
        changed = {"cut": raw[:-1], "grow": raw + b"\0", "empty": b""}.get(change, raw)
        path.write_bytes(changed)
    region = ((0, 11), (0, 23))
    outcomes = [
        outcome(lambda files=files: opened(folder, as_files=files).read(region, np.dtype("f4")))
        for files in (True, False)
    ]
    if isinstance(outcomes[1], str):
        assert outcomes[0] == outcomes[1]
    else:
        np.testing.assert_array_equal(*outcomes)


def test_chunk_files__read_a_whole_raw_chunk_to_its_place(tmp_path, monkeypatch):
    write(tmp_path / "x")
    node = opened(tmp_path / "x")

    def refuse(*_):
        raise ValueError("a copy was made")

    monkeypatch.setattr(zarr_files, "_read_whole", refuse)
    region = ((4, 8), (6, 12))
    np.testing.assert_array_equal(node.read(region, node.dtype), values_of("f4")[4:8, 6:12])
    with pytest.raises(StoreError, match="copy"):
        node.read(((4, 8), (6, 11)), node.dtype)


def test_chunk_files__name_the_chunk_and_both_sizes(tmp_path):
    write(tmp_path / "x")
    path = tmp_path / "x" / "c" / "1" / "1"
    raw = path.read_bytes()
    for changed in (raw[:-3], raw + b"\0"):
        path.write_bytes(changed)
        stated = rf"c/1/1 of .*x: it holds {len(changed)} bytes; .* needs 96"
        with pytest.raises(CorruptChunkError, match=stated):
            opened(tmp_path / "x").read(((4, 8), (6, 12)), np.dtype("f4"))
    path.unlink()
    with pytest.raises(MissingChunkError, match=r"c/1/1 of .* is missing; .*missing=\"fill\""):
        opened(tmp_path / "x").read(((4, 8), (6, 12)), np.dtype("f4"))
    filled = opened(tmp_path / "x", missing="fill").read(((4, 8), (6, 12)), np.dtype("f4"))
    assert (filled == 0).all()


def test_chunk_files__try_again_where_reading_failed(tmp_path, monkeypatch):
    write(tmp_path / "x")
    monkeypatch.setattr(reading, "PAUSES", (0.0, 0.0, 0.0))
    tries, preadv = [], os.preadv

    def flaky(file, buffers, at):
        tries.append(at)
        if len(tries) < 3:
            raise OSError(5, "Input/output error")
        return preadv(file, buffers, at)

    monkeypatch.setattr(os, "preadv", flaky)
    region = ((4, 8), (6, 12))
    got = opened(tmp_path / "x").read(region, np.dtype("f4"))
    np.testing.assert_array_equal(got, values_of("f4")[4:8, 6:12])

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(StoreError, match=r"x: reading c/1/1 failed 4 times in a row: OSError"):
        opened(tmp_path / "x").read(region, np.dtype("f4"))
