"""Zarr arrays whose chunks are missing, damaged or out of reach."""

import os
import zipfile

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore, ZipStore

import streamsparse as ss
from catalogue.common import Bad, given, zarr_array, zipped

MISSING, CORRUPT, FAILS = ss.MissingChunkError, ss.CorruptChunkError, ss.StoreError
ONES = np.ones((6, 12))
# What is wrong is said by the decoder; the chunk or the region is named by us.
DAMAGED = r"x\.zarr: .* bytes|cannot be decoded|reading \[.*\] of .*x\.zarr failed"


def without(*keys, **options):
    """An array of two by four chunks with some of its objects removed."""

    def make(tmp_path):
        path = zarr_array(tmp_path, ONES, **options)
        for key in keys:
            (path / key).unlink()
        return path

    return make


def without_inner(tmp_path):
    """A shard written in part: inner chunks that were never there."""
    path = tmp_path / "x.zarr"
    array = zarr.create_array(
        path,
        shape=(6, 12),
        chunks=(3, 3),
        shards=(6, 12),
        dtype=float,
        config={"write_empty_chunks": False},
    )
    array[:3, :3] = 1.0
    return path


def chunk_becomes(change, **options):
    """An array whose chunk (0, 1) was replaced."""

    def make(tmp_path):
        path = zarr_array(tmp_path, ONES, **options)
        key = path / ("0.1" if options.get("zarr_format") == 2 else "c/0/1")
        change(key)
        return path

    return make


def cut_to(count):
    return lambda key: key.write_bytes(key.read_bytes()[:count])


def to_folder(key):
    key.unlink()
    key.mkdir()


def to_dangling_link(key):
    key.unlink()
    key.symlink_to(key.with_name("nowhere"))


def to_looping_link(key):
    key.unlink()
    key.symlink_to(key)


def to_text(key):
    key.write_text("these are not the bytes that you wrote")


def forbidden(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read what nobody may")
    path = zarr_array(tmp_path, ONES)
    (path / "c/0/1").chmod(0)
    return path


def zip_without_a_chunk(tmp_path):
    with zipfile.ZipFile(zipped(tmp_path)) as old, zipfile.ZipFile(tmp_path / "y.zip", "w") as new:
        for name in old.namelist():
            if not name.endswith("c/1/2"):
                new.writestr(name, old.read(name))
    return ZipStore(tmp_path / "y.zip", mode="r")


class Unlisted(MemoryStore):
    """A store that cannot say what it holds, like plain HTTP."""

    supports_listing = False


class Refusing(MemoryStore):
    """A store that refuses every chunk."""

    async def get(self, key, prototype, byte_range=None):
        if "c/" in key:
            raise PermissionError(f"403 Forbidden: {key}")
        return await super().get(key, prototype, byte_range)


def in_memory(kind):
    def make(_):
        store = kind()
        zarr.create_array(store, shape=ONES.shape, chunks=(3, 3), dtype=float)[:] = ONES
        return store

    return make


CHUNKS = {
    "the first chunk is missing": Bad(without("c/0/0"), MISSING, "1 of 8 chunks .*c/0/0"),
    "a middle chunk is missing": Bad(without("c/1/2"), MISSING, "1 of 8 chunks .*c/1/2"),
    "the last chunk is missing": Bad(without("c/1/3"), MISSING, "1 of 8 chunks .*c/1/3"),
    "chunks are missing, format 2": Bad(
        without("0.0", "1.1", zarr_format=2), MISSING, r"2 of 8 chunks .*0\.0, 1\.1"
    ),
    "a chunk is missing and nothing may stand for it": Bad(
        without("0.1", zarr_format=2, fill_value=None),
        MISSING,
        "no fill value, so nothing can stand",
        given(missing="fill"),
    ),
    "a shard is missing": Bad(without("c/0/1", shards=(6, 6)), MISSING, "4 of 8 chunks .*c/0/1"),
    "inner chunks are missing": Bad(without_inner, MISSING, "7 of 8 chunks .*inner chunk"),
    "a chunk is missing from a zip": Bad(zip_without_a_chunk, MISSING, "1 of 8 .*c/1/2"),
    "a chunk of 0 bytes": Bad(chunk_becomes(cut_to(0)), CORRUPT, DAMAGED),
    "a chunk of 0 bytes, format 2": Bad(chunk_becomes(cut_to(0), zarr_format=2), CORRUPT, DAMAGED),
    "a chunk of 0 bytes, raw": Bad(chunk_becomes(cut_to(0), compressors=None), CORRUPT, DAMAGED),
    "a chunk cut short": Bad(chunk_becomes(cut_to(20)), CORRUPT, DAMAGED),
    "a raw chunk cut short": Bad(chunk_becomes(cut_to(64), compressors=None), CORRUPT, DAMAGED),
    "a raw chunk too long": Bad(
        chunk_becomes(lambda key: key.write_bytes(bytes(80)), compressors=None),
        CORRUPT,
        DAMAGED,
    ),
    "a chunk of text": Bad(chunk_becomes(to_text), CORRUPT, DAMAGED),
    "a chunk is a folder": Bad(chunk_becomes(to_folder), MISSING, "1 of 8 chunks .*c/0/1"),
    "a chunk is a dangling link": Bad(
        chunk_becomes(to_dangling_link), MISSING, "1 of 8 chunks .*c/0/1"
    ),
    "a chunk is a link to itself": Bad(
        chunk_becomes(to_looping_link), FAILS, "symbolic links.*c/0/1"
    ),
    "a chunk that nobody may read": Bad(forbidden, FAILS, "Permission"),
    "a store that cannot be listed": Bad(in_memory(Unlisted), FAILS, "cannot be listed"),
    "a store that refuses": Bad(in_memory(Refusing), FAILS, "403 Forbidden"),
}
