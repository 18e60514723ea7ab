"""Open anything we read as a source."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy import sparse

from streamsparse.checks import check_choice
from streamsparse.errors import SourceNotFoundError, UnsupportedInputError
from streamsparse.sources.array import ArraySource
from streamsparse.sources.axes import check_feature_axis, resolve_axis
from streamsparse.sources.base import Source
from streamsparse.sources.hdf5 import SUFFIXES as HDF5
from streamsparse.sources.hdf5 import open_hdf5, split_member
from streamsparse.sources.labelled import is_labelled, take_apart
from streamsparse.sources.npy import SUFFIX as NPY
from streamsparse.sources.npy import NpySource, has_npy_suffix
from streamsparse.sources.npz import SUFFIX as NPZ
from streamsparse.sources.npz import open_npz
from streamsparse.sources.safetensors import SUFFIX, SafetensorsSource
from streamsparse.sources.shards import ShardsSource, shard_paths
from streamsparse.sources.sparse import SparseSource

_ACCEPTED = (
    "a NumPy array, a scipy.sparse matrix or array, a dask array of either, an xarray.DataArray, a "
    "zarr array, group or store, an h5py dataset, the path of a .npy, .npz, .safetensors or HDF5 "
    "file or of a folder of .npy files, or a path or URL of zarr"
)

# The name of a file, or of a member of one.
_FILE_AT_URL = re.compile(
    rf"({'|'.join(map(re.escape, (SUFFIX, NPY, NPZ, *HDF5)))})(:[^/].*)?$", re.IGNORECASE
)

_ZARR_DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")


def open_source(obj: Any, *, feature_axis: int | str, missing: str) -> Source:
    """Open ``obj`` as a source of X (n, d); no values are read, except of sparse dask chunks.

    Parameters
    ----------
    obj : an array in memory, a dask array, a DataArray of either, a zarr array, group or store, a
        path or URL; a source is returned as it is.
    feature_axis : axis of ``obj`` along which the d columns of X lie: 1 if it is X, 0 if it is the
        transpose of X; or the name of that dimension, where dimensions have names.
    missing : what an absent chunk of a zarr array means: "error", or "fill" for its fill value.

    Raises
    ------
    ParameterError : for parameters out of range.
    SourceNotFoundError : if there is nothing at the path.
    UnsupportedInputError : for what is not a real matrix in a form that we read.
    BadStructureError, CorruptChunkError, StoreError : for what is damaged or out of reach.
    """
    check_feature_axis(feature_axis)
    check_choice("missing", missing, ("error", "fill"))
    if all(hasattr(obj, method) for method in ("read", "cut", "bands")):
        return cast(Source, obj)
    if isinstance(obj, str | os.PathLike):
        return _open_path(os.fspath(obj), feature_axis=feature_axis, missing=missing)
    if is_labelled(obj):
        return _open_labelled(obj, feature_axis=feature_axis, missing=missing)
    # A store may come from another package that subclasses zarr's.
    packages = {base.__module__.partition(".")[0] for base in type(obj).__mro__}
    if "zarr" in packages:
        return _open_zarr(obj, feature_axis=feature_axis, missing=missing)
    if "h5py" in packages:
        # Opened again, by its file: other processes must be able to.
        axis = resolve_axis(feature_axis, None, name=f"{obj.file.filename}:{obj.name}")
        member = None if obj.name == "/" else obj.name
        return open_hdf5(obj.file.filename, member, feature_axis=axis, missing=missing)
    if "fsspec" in packages:
        raise UnsupportedInputError(
            f"cannot read a {type(obj).__name__} of fsspec; give the URL of the zarr store, or "
            f"zarr.storage.FsspecStore(filesystem, path=...)"
        )
    axis = resolve_axis(feature_axis, None, name=f"a {type(obj).__name__}")
    if isinstance(obj, np.ndarray):
        return ArraySource(obj, feature_axis=axis)
    if sparse.issparse(obj):
        return SparseSource(obj, feature_axis=axis)
    if "dask" in packages and hasattr(obj, "chunks"):
        return _open_dask(obj, feature_axis=axis)
    raise UnsupportedInputError(f"cannot read a {type(obj).__name__}; give {_ACCEPTED}")


def _open_labelled(obj: Any, *, feature_axis: int | str, missing: str) -> Source:
    parts = take_apart(obj, feature_axis=feature_axis)
    source: Any = open_source(parts.data, feature_axis=parts.feature_axis, missing=missing)
    source.row_labels, source.column_labels = parts.rows, parts.columns
    return cast(Source, source)


def _open_path(path: str, *, feature_axis: int | str, missing: str) -> Source:
    open_file = _opener_of(path, missing=missing)
    if open_file is None:
        return _open_zarr(path, feature_axis=feature_axis, missing=missing)
    return open_file(feature_axis=resolve_axis(feature_axis, None, name=path))


def _opener_of(path: str, *, missing: str) -> Callable[..., Source] | None:
    """Return what opens a path, given ``feature_axis``; None for what is zarr's, if anybody's.

    Raises
    ------
    SourceNotFoundError : if there is nothing.
    """
    if "://" in path:
        if _FILE_AT_URL.search(path):
            raise UnsupportedInputError(
                f"{path} is no zarr store, and of URLs only those are read: copy the file to a "
                f"disk, or mount what holds it, and give its path"
            )
        return None
    file, separator, member = path.rpartition(f"{SUFFIX}:")
    if separator:
        return partial(SafetensorsSource, file + SUFFIX, member)
    hdf5 = split_member(path)
    if hdf5 is not None:
        return partial(open_hdf5, *hdf5, missing=missing)
    if not os.path.exists(path):
        raise SourceNotFoundError(f"there is nothing at {path}")
    if not os.path.isdir(path):
        return _open_file(path)
    return partial(ShardsSource, path) if _has_shards(Path(path)) else None


def _open_file(path: str) -> Callable[..., Source] | None:
    """Return what opens a file that is no part of another; None for one that is zarr's, if any."""
    if path.endswith(SUFFIX):
        return partial(SafetensorsSource, path, None)
    if has_npy_suffix(path):
        return partial(NpySource, path)
    if path.lower().endswith(NPZ):
        return partial(open_npz, path)
    if path.lower().endswith(".zip"):
        raise UnsupportedInputError(
            f"{path} is a file; if a zarr store is in it, give zip::file://{os.path.abspath(path)} "
            f'or zarr.storage.ZipStore({path!r}, mode="r")'
        )
    return None


def _has_shards(path: Path) -> bool:
    """Return whether a folder holds ``.npy`` files, and nothing that says it is zarr's."""
    if any((path / name).exists() for name in _ZARR_DOCUMENTS):
        return False
    return bool(shard_paths(path))


def _open_dask(array: Any, *, feature_axis: int) -> Source:
    # Importing dask.array takes a while, and nothing else needs it.
    from streamsparse.sources.dask_array import DaskSource  # noqa: PLC0415
    from streamsparse.sources.dask_sparse import DaskSparseSource  # noqa: PLC0415

    if sparse.issparse(array._meta):
        return DaskSparseSource(array, feature_axis=feature_axis)
    return DaskSource(array, feature_axis=feature_axis)


def _open_zarr(target: Any, *, feature_axis: int | str, missing: str) -> Source:
    # Importing zarr takes a while, and arrays in memory do without it.
    from streamsparse.sources.zarr_sources import open_zarr  # noqa: PLC0415

    return open_zarr(target, feature_axis=feature_axis, missing=missing)
