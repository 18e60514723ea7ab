import json
import pickle
import shutil
import time
import warnings

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from zarr.storage import LocalStore, MemoryStore, ZipStore

from streamsparse.errors import (
    BudgetTooSmallError,
    CorruptChunkError,
    MissingChunkError,
    SourceNotFoundError,
    StoreError,
    UnsupportedInputError,
)
from streamsparse.sources import zarr_array
from streamsparse.sources.open import open_source

FULL = {"write_empty_chunks": True}
KINDS = {
    "v2": {"zarr_format": 2, "chunks": (3, 4)},
    "v3": {"zarr_format": 3, "chunks": (3, 4)},
    "sharded": {"zarr_format": 3, "chunks": (3, 4), "shards": (6, 8)},
}


def written(store, values, **options):
    options = {"config": FULL, **options}
    array = zarr.create_array(store, shape=values.shape, dtype=values.dtype, **options)
    array[:] = values
    return array


def opened(target, feature_axis=1, missing="error"):
    source = open_source(target, feature_axis=feature_axis, missing=missing)
    source.verify()
    return source


@pytest.mark.parametrize("feature_axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8", "i1", "u2", "i8", "?"])
@pytest.mark.parametrize("kind", KINDS)
def test_zarr_source__blocks_equal_the_array(check, matrix, tmp_path, kind, dtype, feature_axis):
    values = matrix(dtype)
    if dtype.startswith(">") and kind != "v2":
        pytest.skip("format 3 keeps the byte order in a codec, not in the dtype")
    written(tmp_path / "x", values, **KINDS[kind])
    source = opened(tmp_path / "x", feature_axis)
    X = values if feature_axis == 1 else values.T
    check(source, X, budgets=(11 * 8 * 8, 10**6))
    unit = (6, 8) if kind == "sharded" else (3, 4)
    assert source.unit == (unit if feature_axis == 1 else unit[::-1])
    assert source.stored_bytes > 0


@settings(max_examples=40)
@given(
    n=st.integers(1, 20),
    d=st.integers(1, 20),
    chunk=st.tuples(st.integers(1, 22), st.integers(1, 22)),
    per_shard=st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)),
    zarr_format=st.sampled_from([2, 3]),
    feature_axis=st.integers(0, 1),
    order=st.sampled_from(["C", "F"]),
    request_bytes=st.sampled_from([1, 200, 1 << 25]),
)
def test_zarr_source__any_chunk_grid_gives_the_same_array(
    *, check, matrix, n, d, chunk, per_shard, zarr_format, feature_axis, order, request_bytes
):
    values = matrix("f4", shape=(n, d))
    options = {"chunks": chunk, "zarr_format": zarr_format, "config": FULL}
    if zarr_format == 2:
        options["order"] = order
    elif per_shard is not None:
        options["shards"] = tuple(c * k for c, k in zip(chunk, per_shard, strict=True))
    array = written(MemoryStore(), values, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zarr_array, "_REQUEST_BYTES", request_bytes)
        source = opened(array, feature_axis)
        X = values if feature_axis == 1 else values.T
        unit_bytes = min(source.unit[0], X.shape[0]) * min(source.unit[1], X.shape[1]) * 4
        check(source, X, budgets=(unit_bytes, 3 * unit_bytes, 10**6))


def test_zarr_source__paths_stores_arrays_and_subpaths_are_accepted(check, matrix, tmp_path):
    values = matrix("f4")
    written(tmp_path / "x" / "deep", values, chunks=(3, 4))
    memory = MemoryStore()
    targets = [
        str(tmp_path / "x" / "deep"),
        tmp_path / "x" / "deep",
        f"file://{tmp_path}/x/deep",
        LocalStore(tmp_path / "x" / "deep"),
        zarr.open_array(tmp_path / "x" / "deep"),
        written(memory, values, chunks=(3, 4)),
        memory,
    ]
    for target in targets:
        check(opened(target), values, budgets=(10**6,))
    source = opened(targets[0])
    assert opened(source) is source
    check(pickle.loads(pickle.dumps(source)), values, budgets=(10**6,))


def test_zarr_source__transposed_codec_is_read(check, matrix, tmp_path):
    values = matrix("f4")
    transpose = zarr.codecs.TransposeCodec(order=(1, 0))
    written(tmp_path / "x", values, chunks=(3, 4), filters=[transpose])
    check(opened(tmp_path / "x"), values, budgets=(10**6,))


def test_zarr_source__a_budget_below_one_unit_is_refused(matrix, tmp_path):
    source = opened(written(MemoryStore(), matrix("f4"), chunks=(3, 4)))
    with pytest.raises(BudgetTooSmallError, match="one unit"):
        source.bands(11, 47)
    assert source.bands(11, 48)


@pytest.mark.parametrize(
    ("options", "integrity"),
    [
        ({}, "structural"),
        ({"compressors": None}, "structural"),
        ({"compressors": zarr.codecs.ZstdCodec(checksum=True)}, "checksummed"),
        ({"compressors": zarr.codecs.GzipCodec()}, "checksummed"),
        ({"compressors": [zarr.codecs.BloscCodec(), zarr.codecs.Crc32cCodec()]}, "checksummed"),
        ({"shards": (6, 8)}, "structural"),
        ({"shards": (6, 8), "compressors": zarr.codecs.GzipCodec()}, "checksummed"),
    ],
)
def test_zarr_source__integrity_is_what_the_codecs_give(matrix, options, integrity):
    array = written(MemoryStore(), matrix("f4"), chunks=(3, 4), **options)
    assert opened(array).integrity == integrity


@pytest.mark.parametrize("kind", KINDS)
def test_verify__absent_chunks_are_counted_named_and_filled_on_request(
    check, matrix, tmp_path, kind
):
    values = matrix("f4") + 1
    array = written(tmp_path / "x", values, fill_value=9, **KINDS[kind])
    key = array.metadata.encode_chunk_key((0, 1))
    (tmp_path / "x" / key).unlink()
    count, total = (4, 32) if kind == "sharded" else (1, 32)
    with pytest.raises(MissingChunkError, match=rf"{count} of {total} .*{key}.*--missing fill"):
        opened(tmp_path / "x")
    unit = opened(tmp_path / "x", missing="fill").unit
    values[: unit[0], unit[1] : 2 * unit[1]] = 9
    check(opened(tmp_path / "x", missing="fill"), values, budgets=(10**6,))


def test_verify__only_three_keys_are_named(matrix, tmp_path):
    written(tmp_path / "x", matrix("f4"), chunks=(3, 4))
    shutil.rmtree(tmp_path / "x" / "c")
    with pytest.raises(MissingChunkError, match=r"32 of 32 .*\(c/0/0, c/0/1, c/0/2, \.\.\.\)"):
        opened(tmp_path / "x")


@pytest.mark.parametrize("location", ["start", "end"])
def test_verify__absent_inner_chunk_of_a_shard_is_found(check, matrix, tmp_path, location):
    values = matrix("f4") + 1
    shards = {"shape": (6, 8), "index_location": location}
    written(tmp_path / "x", values, chunks=(3, 4), shards=shards)
    path = tmp_path / "x" / "c" / "1" / "2"
    shard = path.read_bytes()
    size = 16 * 4 + 4
    index = bytearray(shard[:size] if location == "start" else shard[-size:])
    index[16:32] = b"\xff" * 16
    index[-4:] = google_crc32c.value(bytes(index[:-4])).to_bytes(4, "little")
    path.write_bytes(index + shard[size:] if location == "start" else shard[:-size] + index)
    with pytest.raises(MissingChunkError, match=r"1 of 32 .*c/1/2 inner chunk \(0, 1\)"):
        opened(tmp_path / "x")
    values[6:9, 20:24] = 0
    check(opened(tmp_path / "x", missing="fill"), values, budgets=(10**6,))
    index[0] ^= 1
    path.write_bytes(index + shard[size:] if location == "start" else shard[:-size] + index)
    with pytest.raises(CorruptChunkError, match="checksum"):
        opened(tmp_path / "x")
    path.write_bytes(b"short")
    with pytest.raises(CorruptChunkError, match="truncated"):
        opened(tmp_path / "x")


def test_verify__shards_whose_index_is_hidden_cannot_be_verified(check, matrix, tmp_path):
    try:
        codec = zarr.codecs.ShardingCodec(
            chunk_shape=(3, 4), index_codecs=[zarr.codecs.BytesCodec(), zarr.codecs.GzipCodec()]
        )
        written(tmp_path / "x", matrix("f4"), chunks=(6, 8), serializer=codec, compressors=None)
    except (ValueError, TypeError) as error:
        pytest.skip(f"this zarr does not write such an index: {error}")
    with pytest.raises(MissingChunkError, match="index cannot be read"):
        opened(tmp_path / "x")


def test_verify__dropped_zero_chunks_are_an_error_until_fill_is_asked_for(check, tmp_path):
    values = np.zeros((6, 8), "f4")
    values[0, 0] = 1
    config = {"write_empty_chunks": False}
    written(tmp_path / "x", values, chunks=(3, 4), config=config)
    with pytest.raises(MissingChunkError, match="3 of 4"):
        opened(tmp_path / "x")
    check(opened(tmp_path / "x", missing="fill"), values, budgets=(10**6,))


def test_verify__without_a_fill_value_absence_is_always_an_error(matrix, tmp_path):
    written(tmp_path / "x", matrix("f4"), chunks=(3, 4), zarr_format=2, fill_value=None)
    (tmp_path / "x" / "1.1").unlink()
    for missing in ("error", "fill"):
        with pytest.raises(MissingChunkError, match="no fill value"):
            opened(tmp_path / "x", missing=missing)


def test_open__stale_consolidated_metadata_is_ignored(check, write_group, matrix, tmp_path):
    write_group(tmp_path / "x", sparse.csr_array(matrix("f4")))
    zarr.open_group(tmp_path / "x", mode="a").attrs["shape"] = [11, 29]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(tmp_path / "x")
    document = json.loads((tmp_path / "x" / "zarr.json").read_text())
    document["consolidated_metadata"]["metadata"]["data"]["shape"] = [1]
    (tmp_path / "x" / "zarr.json").write_text(json.dumps(document))
    check(opened(tmp_path / "x"), matrix("f4"), budgets=(10**6,))
    check(opened(zarr.open_group(tmp_path / "x", mode="r")), matrix("f4"), budgets=(10**6,))


def corrupted(tmp_path, matrix, change, **options):
    written(tmp_path / "x", matrix("f4"), chunks=(3, 4), **options)
    path = tmp_path / "x" / "c" / "1" / "1"
    path.write_bytes(change(path.read_bytes()))
    return opened(tmp_path / "x")


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda raw: raw[:-3], {}),
        (lambda raw: b"", {}),
        (lambda raw: raw[:-3], {"compressors": None}),
        (lambda raw: raw + b"xy", {"compressors": None}),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), {"compressors": zarr.codecs.GzipCodec()}),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), {"compressors": zarr.codecs.Crc32cCodec()}),
    ],
)
def test_read__damaged_chunk_is_named(tmp_path, matrix, change, options):
    source = corrupted(tmp_path, matrix, change, **options)
    with pytest.raises(CorruptChunkError, match=r"c/1/1 of .*x"):
        source.read((0, 11), (0, 29))


def test_read__store_that_fails_is_a_store_error(matrix):
    class FailingStore(MemoryStore):
        async def get(self, key, *arguments, **options):
            if key.startswith("c/"):
                raise PermissionError("denied")
            return await super().get(key, *arguments, **options)

        def get_sync(self, key, *arguments, **options):
            if key.startswith("c/"):
                raise PermissionError("denied")
            return super().get_sync(key, *arguments, **options)

    store = FailingStore()
    written(store, matrix("f4"), chunks=(3, 4))
    store = FailingStore(store._store_dict, read_only=True)
    with pytest.raises(StoreError, match="denied"):
        opened(store).read((0, 11), (0, 29))


def with_document(tmp_path, matrix, change, **options):
    written(tmp_path / "x", matrix("f4"), chunks=(3, 4), **options)
    path = tmp_path / "x" / (".zarray" if options.get("zarr_format") == 2 else "zarr.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return tmp_path / "x"


@pytest.mark.parametrize(
    "codec", ["pickle", "json2", "msgpack2", "vlen-bytes", "vlen-utf8", "vlen-array", "unheard-of"]
)
def test_open__codecs_that_build_objects_are_refused(tmp_path, matrix, codec):
    def change(document):
        document["filters"] = [{"id": codec, "dtype": "<f4"} if "array" in codec else {"id": codec}]

    with pytest.raises(UnsupportedInputError, match=codec):
        opened(with_document(tmp_path, matrix, change, zarr_format=2))


def test_open__unknown_codec_of_format_3_is_refused(tmp_path, matrix):
    def change(document):
        document["codecs"].append({"name": "unheard-of", "configuration": {}})

    with pytest.raises(UnsupportedInputError, match="unheard-of"):
        opened(with_document(tmp_path, matrix, change))


def test_open__pickled_chunks_are_never_unpickled(tmp_path, matrix):
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self):
            return (open, (str(canary), "w"))

    def change(document):
        document["filters"], document["compressor"] = [{"id": "pickle"}], None

    path = with_document(tmp_path, matrix, change, zarr_format=2)
    for chunk in path.glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UnsupportedInputError, match="pickle"):
        opened(path)
    assert not canary.exists()


def test_open__what_is_not_zarr_is_said_so(tmp_path):
    with pytest.raises(SourceNotFoundError, match="nothing at"):
        opened(tmp_path / "none")
    (tmp_path / "x.txt").write_text("text")
    for path in (tmp_path, tmp_path / "x.txt"):
        with pytest.raises(UnsupportedInputError, match=r"neither a \.npy"):
            opened(path)
    with pytest.raises(SourceNotFoundError, match="no zarr"):
        opened(MemoryStore())
    (tmp_path / "zarr.json").write_text("{garbage")
    with pytest.raises(UnsupportedInputError, match="cannot open"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("shape", "dtype", "cause"),
    [
        ((4,), "f4", "1 dimensions"),
        ((), "f4", "0 dimensions"),
        ((2, 2, 2), "f4", "3 dimensions"),
        ((0, 3), "f4", "empty"),
        ((3, 3), "c8", "complex64"),
        ((3, 3), "M8[s]", "datetime64"),
    ],
)
def test_open__arrays_that_are_not_real_matrices_are_refused(shape, dtype, cause):
    chunks = (2,) * len(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = zarr.create_array(MemoryStore(), shape=shape, dtype=dtype, chunks=chunks)
    with pytest.raises(UnsupportedInputError, match=cause):
        opened(array)


def test_open__groups_of_other_things_list_what_they_hold(tmp_path):
    group = zarr.open_group(tmp_path / "x", mode="w")
    group.create_array("X", shape=(2, 2), dtype="f4")
    with pytest.raises(UnsupportedInputError, match=r"encoding-type None.*it holds X"):
        opened(tmp_path / "x")


def test_open__metadata_in_both_formats_is_refused_until_one_is_chosen(check, matrix, tmp_path):
    values = matrix("f4")
    written(tmp_path / "x", values, chunks=(3, 4))
    written(tmp_path / "y", values, chunks=(3, 4), zarr_format=2)
    shutil.copy(tmp_path / "y" / ".zarray", tmp_path / "x" / ".zarray")
    with pytest.raises(UnsupportedInputError, match=r"format 2 and of format 3.*zarr_format=3"):
        opened(tmp_path / "x")
    chosen = zarr.open(tmp_path / "x", mode="r", zarr_format=3)
    check(opened(chosen), values, budgets=(10**6,))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("chunks", [0, 4]),
        ("chunks", [-3, 4]),
        ("chunks", [3]),
        ("chunks", [3, "4"]),
        ("shape", [11, -29]),
        ("shape", [11, 29, 1]),
        ("dtype", "<f5"),
        ("dtype", "nonsense"),
        ("dtype", ["a", "b"]),
        ("zarr_format", 4),
        ("compressor", {"id": "unheard-of"}),
        ("filters", [{"id": "delta", "dtype": "O"}]),
        ("filters", [{"id": "astype", "encode_dtype": "O", "decode_dtype": "<f4"}]),
    ],
)
def test_open__metadata_that_contradicts_itself_is_refused(tmp_path, matrix, key, value):
    path = with_document(
        tmp_path, matrix, lambda document: document.update({key: value}), zarr_format=2
    )
    with pytest.raises(UnsupportedInputError):
        opened(path).read((0, 11), (0, 29))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("missing", ["error", "fill"])
def test_verify__a_grid_of_absurd_size_is_not_gone_through(tmp_path, matrix, zarr_format, missing):
    def change(document):
        document["shape"] = [10**18, 10**18]

    path = with_document(tmp_path, matrix, change, zarr_format=zarr_format)
    begun = time.process_time()
    source = open_source(path, feature_axis=1, missing=missing)
    if missing == "error":
        with pytest.raises(MissingChunkError, match=r"at least 8\d,\d{3}(,\d{3}){10} of"):
            source.verify()
    else:
        source.verify()
    with pytest.raises(BudgetTooSmallError):
        source.cut((0, 10**18), 1 << 30).__next__()
    assert time.process_time() - begun < 1


def test_read__a_chunk_larger_than_the_machine_is_refused(tmp_path, matrix):
    def change(document):
        document["shape"] = document["chunks"] = [10**9, 10**9]

    path = with_document(tmp_path, matrix, change, zarr_format=2)
    with pytest.raises(BudgetTooSmallError, match="this machine has"):
        opened(path).read((0, 1), (0, 1))


@pytest.mark.parametrize("change", ["longer", "shorter", "another dtype", "not there"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_open__stale_consolidated_metadata_of_both_formats(
    check, write_group, matrix, tmp_path, zarr_format, change
):
    values, path = matrix("f4"), tmp_path / "x"
    write_group(path, sparse.csr_array(values), zarr_format=zarr_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)
    file = path / (".zmetadata" if zarr_format == 2 else "zarr.json")
    document = json.loads(file.read_text())
    held = (
        document["metadata"] if zarr_format == 2 else document["consolidated_metadata"]["metadata"]
    )
    stale = held["data/.zarray" if zarr_format == 2 else "data"]
    length = stale["shape"][0]
    if change == "not there":
        for key in ("data/.zarray", "data/.zattrs", "data"):
            held.pop(key, None)
    elif change == "another dtype":
        stale["dtype" if zarr_format == 2 else "data_type"] = "<i4" if zarr_format == 2 else "int32"
    else:
        stale["shape"] = [length + 9 if change == "longer" else length - 9]
    file.write_text(json.dumps(document))
    for target in (path, zarr.open_group(path, mode="r"), zarr.open_consolidated(path)):
        check(opened(target), values, budgets=(10**6,))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("feature_axis", [0, 1])
def test_read__what_vanishes_after_verify_is_missing(matrix, tmp_path, kind, feature_axis):
    array = written(tmp_path / "x", matrix("f4"), **KINDS[kind])
    source = opened(tmp_path / "x", feature_axis)
    key = array.metadata.encode_chunk_key((0, 1))
    (tmp_path / "x" / key).unlink()
    n, d = source.shape
    with pytest.raises(MissingChunkError, match=rf"{key} of .*x is missing; .*--missing fill"):
        source.read((0, n), (0, d))
    (tmp_path / "x" / key).mkdir()
    with pytest.raises(MissingChunkError, match=key):
        source.read((0, n), (0, d))


def test_read__what_vanishes_without_a_fill_value_is_missing_always(matrix, tmp_path):
    written(tmp_path / "x", matrix("f4"), chunks=(3, 4), zarr_format=2, fill_value=None)
    source = opened(tmp_path / "x", missing="fill")
    (tmp_path / "x" / "1.1").unlink()
    with pytest.raises(MissingChunkError, match=r"1\.1 .*no fill value"):
        source.read((0, 11), (0, 29))


@pytest.mark.parametrize("missing", ["error", "fill"])
def test_read__nested_shards_and_shards_in_streams(check, matrix, tmp_path, missing):
    values = matrix("f4") + 1
    inner = zarr.codecs.ShardingCodec(chunk_shape=(3, 4))
    nested = zarr.codecs.ShardingCodec(chunk_shape=(6, 8), codecs=[inner])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"chunks": (12, 16), "compressors": None}
        written(tmp_path / "nested", values, serializer=nested, **options)
        streamed = {**options, "compressors": zarr.codecs.GzipCodec()}
        written(tmp_path / "streamed", values, serializer=inner, **streamed)
        for name in ("nested", "streamed"):
            source = open_source(tmp_path / name, feature_axis=1, missing=missing)
            check(source, values, budgets=(10**6,))


def test_open__stores_that_must_be_opened_first(check, matrix, tmp_path):
    values = matrix("f4")
    with ZipStore(tmp_path / "x.zip", mode="w") as store:
        written(store, values, chunks=(3, 4))
    check(opened(ZipStore(tmp_path / "x.zip", mode="r")), values, budgets=(10**6,))
    with pytest.raises(SourceNotFoundError):
        opened(LocalStore(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
