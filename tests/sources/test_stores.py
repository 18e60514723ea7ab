"""Stores and URLs that are passed through to zarr and fsspec: read like folders, or refused."""

import numpy as np
import pytest
import zarr
from zarr.storage import FsspecStore, LocalStore, LoggingStore, MemoryStore, StorePath, ZipStore

import streamsparse as ss

X = np.arange(60.0).reshape(5, 12) % 7


def written(store):
    """X in a store."""
    settings = {"chunks": (5, 4), "overwrite": True, "config": {"write_empty_chunks": True}}
    zarr.create_array(store, data=X, **settings)
    return store


def zipped(tmp_path):
    with ZipStore(tmp_path / "x.zip", mode="w") as store:
        settings = {"chunks": (5, 4), "config": {"write_empty_chunks": True}}
        zarr.create_array(store, data=X, **settings)
    return tmp_path / "x.zip"


def object_store(tmp_path):
    obstore = pytest.importorskip("obstore")
    from zarr.storage import ObjectStore

    written(tmp_path / "x.zarr")
    return ObjectStore(obstore.store.LocalStore(str(tmp_path / "x.zarr")))


STORES = {
    "MemoryStore": lambda _: written(MemoryStore()),
    "LocalStore": lambda path: LocalStore(written(path / "x.zarr")),
    "StorePath": lambda path: StorePath(LocalStore(written(path / "x.zarr").parent), "x.zarr"),
    "LoggingStore": lambda path: LoggingStore(
        LocalStore(written(path / "x.zarr")), log_level="ERROR"
    ),
    "ZipStore": lambda path: ZipStore(zipped(path), mode="r"),
    "ObjectStore": object_store,
}
BY_FSSPEC = {
    "memory:// URL": lambda _: written("memory://x.zarr"),
    "file:// URL": lambda path: f"file://{written(path / 'x.zarr')}",
    "zip:: URL": lambda path: f"zip::file://{zipped(path)}",
    "cached URL": lambda _: "simplecache::" + written("memory://x.zarr"),
    "FsspecStore": lambda _: FsspecStore.from_url(written("memory://x.zarr")),
}


def check_store(store, tmp_path):
    result = ss.sparsify(store, "exact")
    np.testing.assert_array_equal(result.Y, ss.sparsify(X, "exact").Y)
    copy = ss.convert(store, tmp_path / "copy.zarr")
    np.testing.assert_array_equal(copy.read((0, 5), (0, 12)).view(), X)


@pytest.mark.parametrize("kind", STORES)
def test_open_source__reads_any_store_of_zarr(tmp_path, kind):
    check_store(STORES[kind](tmp_path), tmp_path)


@pytest.mark.parametrize("kind", BY_FSSPEC)
def test_open_source__reads_what_fsspec_reaches(tmp_path, kind):
    pytest.importorskip("fsspec")
    check_store(BY_FSSPEC[kind](tmp_path), tmp_path)


@pytest.mark.parametrize("kind", ["memory:// URL", "FsspecStore"])
def test_open_source__misses_chunks_of_any_store(tmp_path, kind):
    fsspec = pytest.importorskip("fsspec")
    store = BY_FSSPEC[kind](tmp_path)
    fsspec.filesystem("memory").rm("/x.zarr/c/0/1")
    with pytest.raises(ss.MissingChunkError, match="c/0/1"):
        ss.sparsify(store, "exact")


def test_open_source__says_what_to_give_for_a_mapper_of_fsspec(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    written("memory://x.zarr")
    for given in (fsspec.get_mapper("memory://x.zarr"), fsspec.filesystem("memory")):
        with pytest.raises(ss.UnsupportedInputError, match="give the URL of the zarr store"):
            ss.open_source(given)


def test_open_source__says_how_a_zip_is_read(tmp_path):
    path = zipped(tmp_path)
    with pytest.raises(ss.UnsupportedInputError, match="zip::file://") as caught:
        ss.open_source(path)
    pytest.importorskip("fsspec")
    check_store(str(caught.value).split("give ")[1].split(" or ")[0], tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "s3://b/x.npy",
        "https://h/x.NPZ",
        "s3://b/x.h5",
        "s3://b/a.h5ad:layers/a",
        "gs://b/a.safetensors:w",
    ],
)
def test_open_source__says_of_files_at_urls_that_they_must_be_copied(url):
    with pytest.raises(ss.UnsupportedInputError, match="copy the file"):
        ss.open_source(url)


def test_open_source__says_there_is_nothing_at_a_url():
    pytest.importorskip("fsspec")
    with pytest.raises(ss.SourceNotFoundError, match="memory://nothing"):
        ss.open_source("memory://nothing.zarr")
