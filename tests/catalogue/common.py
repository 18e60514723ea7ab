"""What one kind of bad input is, and the stores that several kinds are made from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import zarr
from zarr.storage import ZipStore

from streamsparse.storing.zarr_write import write_sparse


def to_new_path(tmp_path):
    return {"out": tmp_path / "y.zarr"}


class Bad(NamedTuple):
    """One kind: how it is made in an empty folder, what it raises, what the message says."""

    make: Callable[[Path], Any]
    error: type[Exception]
    message: str
    arguments: Callable[[Path], dict[str, Any]] = to_new_path


def given(**arguments):
    """Arguments that do not depend on the folder, beside an output."""
    return lambda tmp_path: to_new_path(tmp_path) | arguments


def dense(_=None):
    return np.arange(1.0, 251).reshape(5, 50)


def zarr_array(tmp_path, values, *, name="x.zarr", **options):
    """Values in a new zarr array of chunks of three by three."""
    settings = {"chunks": (3,) * values.ndim, "config": {"write_empty_chunks": True}}
    stored = zarr.create_array(
        tmp_path / name, shape=values.shape, dtype=values.dtype, **settings | options
    )
    if values.size:
        stored[...] = values
    return tmp_path / name


def edit(path, change):
    """Rewrite a JSON document by ``change``, which returns the new one or edits it in place."""
    document = json.loads(path.read_text())
    new = change(document)
    path.write_text(json.dumps(document if new is None else new))


def metadata(*, zarr_format=3, values=None, **changes):
    """Make a store whose metadata has fields replaced after it was written."""

    def make(tmp_path):
        X = np.ones((6, 12)) if values is None else values
        path = zarr_array(tmp_path, X, zarr_format=zarr_format)
        name = "zarr.json" if zarr_format == 3 else ".zarray"
        edit(path / name, lambda document: document.update(changes))
        return path

    return make


def csc():
    return scipy.sparse.csc_array(np.arange(1.0, 13).reshape(3, 4))


def group(*, matrix=None, attributes=None, without=(), **arrays):
    """Make a CSC group of a 3 x 4 matrix with arrays and attributes replaced, some removed."""

    def make(tmp_path):
        path = tmp_path / "g.zarr"
        write_sparse(path, csc() if matrix is None else matrix)
        node = zarr.open_group(path)
        for name, change in arrays.items():
            values = np.asarray(change)
            array = node.create_array(name, shape=values.shape, dtype=values.dtype, overwrite=True)
            if values.size:
                array[...] = values
        changes = attributes or {}
        kept = {**dict(node.attrs), **changes}
        edit(
            path / "zarr.json",
            lambda document: document.update(
                attributes={key: value for key, value in kept.items() if key not in without}
            ),
        )
        for name in without:
            if (path / name).exists():
                for file in sorted((path / name).rglob("*"), reverse=True):
                    file.rmdir() if file.is_dir() else file.unlink()
                (path / name).rmdir()
        return path

    return make


def zipped(tmp_path):
    """A zip of an array, opened."""
    path = tmp_path / "x.zip"
    with ZipStore(path, mode="w") as store:
        zarr.create_array(store, shape=(6, 12), chunks=(3, 3), dtype=float)[:] = 1.0
    return path
