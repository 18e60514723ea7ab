import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

from streamsparse.errors import CorruptChunkError, MissingChunkError, UnsupportedInputError
from streamsparse.sources.zarr_chain import chain_of, decode_chunk, pieces, place_chunk

VALUES = np.arange(24, dtype="f4").reshape(4, 6)


def refuse(out, named):
    raise MissingChunkError(named)


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 20), st.integers(1, 9)), min_size=1, max_size=2
    )
)
def test_pieces__cover_a_region_once(axes):
    region = tuple((start, start + length) for start, length, _ in axes)
    widths = tuple(width for *_, width in axes)
    seen = np.zeros([length for _, length, _ in axes], int)
    for position, inside, outside in pieces(region, widths):
        seen[tuple(slice(*part) for part in outside)] += 1
        for axis, (i, part, goal) in enumerate(zip(position, inside, outside, strict=True)):
            assert 0 <= part[0] < part[1] <= widths[axis]
            assert i * widths[axis] + part[0] == region[axis][0] + goal[0]
            assert part[1] - part[0] == goal[1] - goal[0]
    assert (seen == 1).all()


def shard(**options):
    """Return (chain, bytes) of one shard of four chunks."""
    store = MemoryStore()
    array = zarr.create_array(
        store, shape=(4, 6), dtype="f4", chunks=(2, 3), shards=(4, 6), compressors=None, **options
    )
    array[:] = VALUES
    metadata = zarr.open_array(store, mode="r").metadata.to_dict()
    chain = chain_of(metadata, np.dtype("f4"), (4, 6), "x")
    return chain, store._store_dict["c/0/0"].to_bytes()


def with_index(raw, number, offset, length):
    """Return a shard whose index says something else of one chunk; it has no checksum."""
    numbers = np.frombuffer(raw[-64:], "<u8").copy().reshape(4, 2)
    numbers[number] = offset, length
    return raw[:-64] + numbers.tobytes()


def plain_shard():
    store = MemoryStore()
    codec = zarr.codecs.ShardingCodec(chunk_shape=(2, 3), index_codecs=[zarr.codecs.BytesCodec()])
    options = {"chunks": (4, 6), "serializer": codec, "compressors": None}
    zarr.create_array(store, shape=(4, 6), dtype="f4", **options)[:] = VALUES
    metadata = zarr.open_array(store, mode="r").metadata.to_dict()
    chain = chain_of(metadata, np.dtype("f4"), (4, 6), "x")
    return chain, store._store_dict["c/0/0"].to_bytes()


def test_decode_chunk__whole_and_in_part():
    for chain, raw in (shard(), plain_shard()):
        np.testing.assert_array_equal(decode_chunk(chain, raw, "x", refuse), VALUES)
        out = np.zeros((2, 4), "f4")
        place_chunk(chain, raw, ((1, 3), (2, 6)), out, "x", refuse)
        np.testing.assert_array_equal(out, VALUES[1:3, 2:6])


@pytest.mark.parametrize(
    ("offset", "length", "cause"),
    [
        (80, 24, "chunks from 0 to 96"),
        (2**63, 24, "chunks from 0 to 96"),
        (0, 23, "the chunk grid needs 24"),
        (0, 25, "the chunk grid needs 24"),
        (0, 2**40, "no encoder makes over"),
        (2**64 - 1, 24, "chunks from 0 to 96"),
    ],
)
def test_decode_chunk__an_index_that_points_elsewhere_is_refused(offset, length, cause):
    chain, raw = plain_shard()
    raw = with_index(raw, 1, offset, length)
    # 96 bytes of values, then 64 of index.
    with pytest.raises(CorruptChunkError, match=cause):
        decode_chunk(chain, raw, "x", refuse)


def test_decode_chunk__an_absent_inner_chunk_is_named():
    chain, raw = plain_shard()
    raw = with_index(raw, 1, 2**64 - 1, 2**64 - 1)
    with pytest.raises(MissingChunkError, match=r"x inner chunk \(0, 1\)"):
        decode_chunk(chain, raw, "x", refuse)


def test_chain_of__an_index_that_we_cannot_read_is_refused():
    index_codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip"}]
    settings = {"chunk_shape": (2, 3), "codecs": [{"name": "bytes"}], "index_codecs": index_codecs}
    document = {
        "zarr_format": 3,
        "codecs": [{"name": "sharding_indexed", "configuration": settings}],
    }
    with pytest.raises(UnsupportedInputError, match="index of its shards"):
        chain_of(document, np.dtype("f4"), (4, 6), "x")
