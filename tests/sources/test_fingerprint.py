"""A fingerprint is another one after any kind of writing, and the same for what is opened again."""

import os
import shutil

import dask.array as da
import numpy as np
import pytest
import zarr
from scipy import sparse
from zarr.storage import LocalStore, MemoryStore, WrapperStore, ZipStore

from streamsparse.errors import SourceNotFoundError
from streamsparse.sources.open import open_source
from streamsparse.sources.stacked import StackedSource


def fingerprint(target, feature_axis=1, missing="error"):
    return open_source(target, feature_axis=feature_axis, missing=missing).fingerprint()


def write(path, values, **options):
    array = zarr.create_array(
        path, shape=values.shape, dtype=values.dtype, chunks=(3, 4), compressors=None, **options
    )
    array[:] = values


@pytest.fixture(params=["v2", "v3", "sharded", "group", "npy"])
def stored(request, tmp_path, matrix, write_group):
    values, path = matrix("f4") + 1, tmp_path / "x"
    if request.param == "group":
        write_group(path, sparse.csr_array(values))
    elif request.param == "npy":
        path = tmp_path / "x.npy"
        np.save(path, values)
    else:
        options = {"v2": {"zarr_format": 2}, "v3": {}, "sharded": {"shards": (6, 8)}}
        write(path, values, **options[request.param])
    return path


def files_of(path):
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())


def test_fingerprint__of_what_is_opened_again_is_the_same(stored):
    first = open_source(stored, feature_axis=1, missing="error")
    before = first.fingerprint()
    for rows in first.bands(11, 1 << 20):
        for columns in first.cut(rows, 1 << 20):
            first.read(rows, columns)
    assert first.fingerprint() == before == fingerprint(stored)
    assert len(before) == 32
    if not stored.is_file():
        assert fingerprint(stored, missing="fill") == before
        assert fingerprint(LocalStore(stored)) == before
    assert fingerprint(stored, feature_axis=0) != before


def test_fingerprint__any_file_that_is_written_again_changes_it(stored):
    source = open_source(stored, feature_axis=1, missing="error")
    seen = {source.fingerprint()}
    for i, path in enumerate(files_of(stored)):
        raw = path.read_bytes()
        path.write_bytes(raw)
        # The clock of a file system may tick slower than we write.
        os.utime(path, ns=(10**18 + i, 10**18 + i))
        assert source.fingerprint() not in seen, path
        seen.add(source.fingerprint())
        path.write_bytes(raw + b" ")
        os.utime(path, ns=(10**18 + i, 10**18 + i))
        assert source.fingerprint() not in seen, path
        seen.add(source.fingerprint())
        path.write_bytes(raw)


def test_fingerprint__a_file_added_or_removed_changes_it(stored):
    source = open_source(stored, feature_axis=1, missing="error")
    before = source.fingerprint()
    if stored.is_file():
        stored.unlink()
        with pytest.raises(SourceNotFoundError, match="any more"):
            source.fingerprint()
        return
    chunk = files_of(stored / "data" if (stored / "data").exists() else stored)[-1]
    (chunk.parent / "77").write_bytes(b"")
    assert source.fingerprint() != before
    (chunk.parent / "77").unlink()
    held = chunk.read_bytes()
    chunk.unlink()
    assert source.fingerprint() != before
    chunk.write_bytes(held)
    shutil.rmtree(stored)
    with pytest.raises(SourceNotFoundError, match="any more"):
        source.fingerprint()


def test_fingerprint__attributes_are_part_of_the_metadata(tmp_path, write_group, matrix):
    write_group(tmp_path / "x", sparse.csr_array(matrix("f4")))
    source = open_source(tmp_path / "x", feature_axis=1, missing="error")
    before = source.fingerprint()
    zarr.open_group(tmp_path / "x", mode="a").attrs["note"] = 1
    assert source.fingerprint() != before


def test_fingerprint__one_value_in_memory(matrix):
    store = MemoryStore()
    write(store, matrix("f4") + 1)
    before = fingerprint(store)
    assert fingerprint(store) == before
    array = zarr.open_array(store, mode="a")
    array[10, 28] += 1
    assert fingerprint(store) != before


def test_fingerprint__of_any_other_store_is_metadata_and_keys(matrix):
    store = MemoryStore()
    write(store, matrix("f4") + 1)
    other = WrapperStore(store)
    seen = [fingerprint(other)]
    assert fingerprint(other) == seen[0]
    zarr.open_array(store, mode="a").attrs["note"] = 1
    seen.append(fingerprint(other))
    del store._store_dict["c/0/0"]
    seen.append(fingerprint(other))
    assert len(set(seen)) == 3


def test_fingerprint__a_zip_file_that_was_written_again(tmp_path, matrix):
    path = tmp_path / "x.zip"
    with ZipStore(path, mode="w") as store:
        write(store, matrix("f4") + 1)
    before = fingerprint(ZipStore(path, mode="r"))
    assert fingerprint(ZipStore(path, mode="r")) == before
    os.utime(path, ns=(10**18, 10**18))
    assert fingerprint(ZipStore(path, mode="r")) != before


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_fingerprint__every_byte_of_an_array_counts(matrix, order):
    values = np.asarray(matrix("i2"), order="C" if order == "strided" else order)
    values = values[::2, ::3] if order == "strided" else values
    before = fingerprint(values)
    assert fingerprint(values.copy(order="K")) == before or order == "strided"
    for position in ((0, 0), (-1, -1), (2, 5)):
        values[position] += 1
        assert fingerprint(values) != before
        values[position] -= 1
    assert fingerprint(values) == before
    assert fingerprint(values.view("u2")) != before
    assert fingerprint(values, feature_axis=0) != before


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array])
def test_fingerprint__every_array_of_a_sparse_matrix_counts(matrix, kind):
    made = kind(matrix("f4"))
    before = fingerprint(made)
    assert fingerprint(made.copy()) == before
    changed = made.copy()
    changed.data[-1] += 1
    assert fingerprint(changed) != before
    changed = made.copy()
    changed.indices[[0, 1]] = changed.indices[[1, 0]]
    assert fingerprint(changed) != before
    assert fingerprint(made, feature_axis=0) != before


def test_fingerprint__of_dask_arrays_follows_the_graph(matrix):
    X = matrix("f4")
    before = fingerprint(da.from_array(X, chunks=(5, 7)))
    assert fingerprint(da.from_array(X.copy(), chunks=(5, 7))) == before
    assert fingerprint(da.from_array(X, chunks=(5, 8))) != before
    assert fingerprint(da.from_array(X + 1, chunks=(5, 7))) != before
    made = da.from_array(X, chunks=(5, 7)).map_blocks(sparse.csr_array, dtype="f4")
    made = made.map_blocks(lambda block: block, meta=sparse.csr_array((0, 0), dtype="f4"))
    assert fingerprint(made) == fingerprint(made) != before


def test_fingerprint__of_two_stacked_is_that_of_both(matrix):
    above, below = (open_source(matrix("f4") + i, feature_axis=1, missing="error") for i in (0, 1))
    seen = {
        StackedSource(*pair).fingerprint()
        for pair in ((above, below), (below, above), (above, above))
    }
    assert len(seen) == 3
