import json
import shutil

import numpy as np
import pytest
import scipy.sparse
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import flip_byte
from streamsparse.errors import (
    CorruptChunkError,
    MissingChunkError,
    SourceNotFoundError,
    StoreError,
    StreamSparseError,
    UnsupportedInputError,
)
from streamsparse.storing import zarr_write
from streamsparse.storing.result_store import SCHEMA, ResultWriter, open_result

ATTRIBUTES = {
    "schema": SCHEMA,
    "certificate": {"r": 0.1, "text": "ä", "none": None, "list": [1, 2]},
}


def start_result(path, n, m):
    writer = ResultWriter(path)
    writer.start(n, m)
    return writer


def write_result(path, Y, *, step=1, attributes=ATTRIBUTES, **arrays):
    writer = start_result(path, *Y.shape)
    for start in range(0, Y.shape[0], step):
        writer.write_rows(start, Y[start : start + step])
    for name, values in arrays.items():
        writer.write_array(name, values)
    writer.finish(attributes)


def test_result__round_trip_keeps_every_array_and_attribute(tmp_path):
    Y = np.random.default_rng(0).standard_normal((7, 3))
    columns, weights = np.array([5, 2**40, 1]), np.array([1.0, 0.5, 2.0])
    projection = np.arange(12.0).reshape(4, 3)
    write_result(tmp_path / "r", Y, columns=columns, weights=weights, projection=projection)
    result = open_result(str(tmp_path / "r"))
    np.testing.assert_array_equal(result.Y[:], Y)
    np.testing.assert_array_equal(result.columns, columns)
    assert result.columns.dtype == columns.dtype
    np.testing.assert_array_equal(result.weights, weights)
    np.testing.assert_array_equal(result.projection, projection)
    assert result.attributes == ATTRIBUTES


def test_result__optional_arrays_are_none_where_not_written(tmp_path):
    write_result(tmp_path / "r", np.ones((2, 2)))
    result = open_result(tmp_path / "r")
    assert result.columns is result.weights is result.projection is None


@given(n=st.integers(1, 40), height=st.integers(1, 12), step=st.integers(1, 45))
@settings(max_examples=25, deadline=None)
def test_result__any_row_steps_write_each_chunk_once(tmp_path_factory, n, height, step):
    path = tmp_path_factory.mktemp("steps") / "r"
    Y = np.arange(3.0 * n).reshape(n, 3)
    writes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zarr_write, "_CHUNK_BYTES", 24 * height)
        real = ResultWriter._write_held
        patch.setattr(
            ResultWriter,
            "_write_held",
            lambda self, count: (writes.append(count), real(self, count)),
        )
        write_result(path, Y, step=step)
    stored = open_result(path).Y
    np.testing.assert_array_equal(stored[:], Y)
    assert stored.chunks == (min(n, height), 3)
    assert len(writes) == -(-n // height)


def test_result__is_plain_zarr_with_raw_checksummed_chunks(tmp_path):
    write_result(tmp_path / "r", np.zeros((3, 2)))
    group = zarr.open_group(tmp_path / "r", mode="r")
    metadata = json.loads((tmp_path / "r" / "Y" / "zarr.json").read_text())
    assert metadata["dimension_names"] == ["row", "component"]
    assert [codec["name"] for codec in metadata["codecs"]] == ["bytes", "crc32c"]
    assert (tmp_path / "r" / "Y" / "c" / "0" / "0").stat().st_size == 3 * 2 * 8 + 4
    sealed = group.attrs["streamsparse"]
    assert {name: sealed[name] for name in ATTRIBUTES} == ATTRIBUTES


def test_result__chunks_are_whole_rows_of_about_four_mebibytes(tmp_path):
    assert start_result(tmp_path / "a", 1000, 1024).Y.chunks == (512, 1024)
    assert start_result(tmp_path / "b", 1000, 1 << 20).Y.chunks == (1, 1 << 20)


@pytest.mark.parametrize("position", [0, 20, -1])
def test_result__a_flipped_byte_of_Y_is_detected_when_read(tmp_path, position):
    write_result(tmp_path / "r", np.ones((3, 2)))
    flip_byte(tmp_path / "r" / "Y" / "c" / "0" / "0", position)
    result = open_result(tmp_path / "r")
    with pytest.raises(ValueError, match="checksum"):
        result.Y[:]


def test_open_result__a_flipped_byte_of_an_optional_array_is_refused(tmp_path):
    write_result(tmp_path / "r", np.ones((3, 2)), weights=np.ones(2))
    flip_byte(tmp_path / "r" / "weights" / "c" / "0", 3)
    with pytest.raises(CorruptChunkError, match="weights"):
        open_result(tmp_path / "r")


def test_open_result__a_lost_or_cut_chunk_of_Y_is_refused(tmp_path):
    write_result(tmp_path / "r", np.ones((3, 2)))
    chunk = tmp_path / "r" / "Y" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(CorruptChunkError, match="51 bytes, not 52"):
        open_result(tmp_path / "r")
    chunk.unlink()
    with pytest.raises(MissingChunkError, match="is missing"):
        open_result(tmp_path / "r")


def test_open_result__damaged_array_metadata_is_refused(tmp_path):
    write_result(tmp_path / "r", np.ones((3, 2)))
    (tmp_path / "r" / "Y" / "zarr.json").write_text("{")
    with pytest.raises(CorruptChunkError, match="metadata"):
        open_result(tmp_path / "r")


def test_open_result__refuses_what_is_absent_foreign_incomplete_or_newer(tmp_path):
    with pytest.raises(SourceNotFoundError):
        open_result(tmp_path / "absent")
    start_result(tmp_path / "half", 2, 1).write_rows(0, np.ones((2, 1)))
    zarr.create_array(tmp_path / "array", shape=(2,), chunks=(1,), dtype="f8")
    (tmp_path / "file").write_text("x")
    for name in ("half", "array", "file"):
        with pytest.raises(UnsupportedInputError, match="not a complete result"):
            open_result(tmp_path / name)
    write_result(tmp_path / "newer", np.ones((2, 1)), attributes={"schema": SCHEMA + 1})
    with pytest.raises(UnsupportedInputError, match=f"schema version {SCHEMA + 1}"):
        open_result(tmp_path / "newer")
    ResultWriter(tmp_path / "empty").finish(ATTRIBUTES)
    with pytest.raises(UnsupportedInputError, match="no array Y"):
        open_result(tmp_path / "empty")


@pytest.mark.parametrize("name", ["zarr.json", "Y/zarr.json", "weights/zarr.json"])
def test_open_result__refuses_any_changed_byte_of_the_metadata(tmp_path, name):
    write_result(tmp_path / "r", np.ones((3, 2)), weights=np.ones(2))
    path = tmp_path / "r" / name
    whole = path.read_bytes()
    unread = whole.find(b'"consolidated_metadata"')
    for position in range(0, len(whole), 3):
        flip_byte(path, position)
        try:
            result = open_result(tmp_path / "r")
        except StreamSparseError:
            continue
        finally:
            path.write_bytes(whole)
        # Zarr's own words in the root that nobody reads.
        assert name == "zarr.json"
        assert position < whole.find(b'"attributes"') or position >= unread
        assert result.attributes == ATTRIBUTES


def test_result_writer__refuses_what_reads_back_differently(tmp_path, monkeypatch):
    writer = start_result(tmp_path / "r", 2, 1)
    writer.write_rows(0, np.ones((2, 1)))
    writer.Y[0] = 5.0
    with pytest.raises(StoreError, match="other values than were written"):
        writer.finish(ATTRIBUTES)


def test_result_writer__refuses_rows_out_of_order_and_an_unfinished_Y(tmp_path):
    writer = start_result(tmp_path / "r", 4, 1)
    writer.write_rows(0, np.ones((2, 1)))
    with pytest.raises(AssertionError):
        writer.write_rows(3, np.ones((1, 1)))
    with pytest.raises(AssertionError):
        writer.finish(ATTRIBUTES)


def test_result_writer__a_full_disk_becomes_a_store_error(tmp_path, monkeypatch):
    writer = start_result(tmp_path / "r", 4, 1)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    with pytest.raises(StoreError, match=r"writing Y in .*No space left"):
        writer.write_rows(0, np.ones((4, 1)))


def sparse_Y(density=0.3):
    rng = np.random.default_rng(3)
    return scipy.sparse.random_array((40, 9), density=density, format="csc", rng=rng)


def write_sparse_result(path, Y):
    writer = ResultWriter(path)
    writer.write_sparse(Y)
    writer.write_array("columns", np.arange(9))
    writer.write_array("weights", np.ones(9))
    writer.finish(ATTRIBUTES)


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_result__round_trip_keeps_a_sparse_Y(tmp_path, density):
    Y = sparse_Y(density)
    write_sparse_result(tmp_path / "r", Y)
    result = open_result(tmp_path / "r")
    assert isinstance(result.Y, scipy.sparse.csc_array)
    assert result.Y.shape == Y.shape
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(result.Y, name), getattr(Y, name))
    np.testing.assert_array_equal(result.columns, np.arange(9))
    assert result.attributes == ATTRIBUTES


@pytest.mark.parametrize("name", ["data", "indices", "indptr"])
@pytest.mark.parametrize("position", [0, -1])
def test_open_result__refuses_a_sparse_Y_with_a_flipped_byte(tmp_path, name, position):
    write_sparse_result(tmp_path / "r", sparse_Y())
    flip_byte(tmp_path / "r" / "Y" / name / "c" / "0", position)
    with pytest.raises(CorruptChunkError, match=name):
        open_result(tmp_path / "r")


@pytest.mark.parametrize("name", ["data", "indices", "indptr"])
def test_open_result__refuses_a_sparse_Y_that_is_cut_short(tmp_path, name):
    write_sparse_result(tmp_path / "r", sparse_Y())
    chunk = tmp_path / "r" / "Y" / name / "c" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(CorruptChunkError, match="the result is damaged"):
        open_result(tmp_path / "r")
    chunk.unlink()
    with pytest.raises(MissingChunkError, match="the result is damaged"):
        open_result(tmp_path / "r")


def test_open_result__refuses_a_sparse_Y_whose_arrays_contradict_each_other(tmp_path):
    Y = sparse_Y()
    Y.indices = Y.indices + 1000
    write_sparse_result(tmp_path / "r", Y)
    with pytest.raises(CorruptChunkError, match=r"the sparse Y of .* is damaged"):
        open_result(tmp_path / "r")


@pytest.mark.parametrize("name", ["data", "indices", "indptr"])
def test_open_result__refuses_a_sparse_Y_without_one_of_its_arrays(tmp_path, name):
    write_sparse_result(tmp_path / "r", sparse_Y())
    shutil.rmtree(tmp_path / "r" / "Y" / name)
    with pytest.raises((CorruptChunkError, UnsupportedInputError)):
        open_result(tmp_path / "r")


def test_open_result__a_chunk_that_is_gone_is_an_error_whenever_it_goes(tmp_path, monkeypatch):
    import streamsparse as ss

    X = np.random.default_rng(0).standard_normal((8, 300))
    monkeypatch.chdir(tmp_path)
    made = ss.sparsify(X, "sketch", m=16, out="Y.zarr", progress=False)
    loaded, expected = ss.load("Y.zarr"), made.Y[:]
    assert expected.any()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for result in (made, loaded):
        np.testing.assert_array_equal(result.Y[:], expected)
    (tmp_path / "Y.zarr" / "Y" / "c" / "0" / "0").unlink()
    for result in (made, loaded):
        with pytest.raises(ss.MissingChunkError, match="is missing"):
            result.Y[:]


def test_sparsify__out_is_where_it_was_when_the_run_began(tmp_path, monkeypatch):
    import streamsparse as ss

    X = ss.open_source(np.random.default_rng(0).standard_normal((8, 300)))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    class Moving:
        def __getattr__(self, name):
            return getattr(X, name)

        def read(self, rows, columns):
            monkeypatch.chdir(tmp_path / "elsewhere")
            return X.read(rows, columns)

    ss.sparsify(Moving(), "sketch", m=16, out="Y.zarr", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Y.zarr", "elsewhere"]
