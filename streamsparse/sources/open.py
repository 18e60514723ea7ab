"""Open anything we read as a source."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy import sparse

from streamsparse.checks import check_choice, check_count
from streamsparse.errors import SourceNotFoundError, UnsupportedInputError
from streamsparse.sources.array import ArraySource
from streamsparse.sources.base import Source
from streamsparse.sources.hdf5 import open_hdf5, split_member
from streamsparse.sources.npy import NpySource, has_npy_suffix
from streamsparse.sources.safetensors import SUFFIX, SafetensorsSource
from streamsparse.sources.shards import ShardsSource, shard_paths
from streamsparse.sources.sparse import SparseSource

_ACCEPTED = (
    "a NumPy array, a scipy.sparse matrix or array, a dask array of either, a zarr array, group or "
    "store, or a path of a .npy or .safetensors file, or a path or URL of zarr"
)

_ZARR_DOCUMENTS = ("zarr.json", ".zarray", ".zgroup")


def open_source(obj: Any, *, feature_axis: int, missing: str) -> Source:
    """Open ``obj`` as a source of X (n, d); no values are read, except of sparse dask chunks.

    Parameters
    ----------
    obj : an array in memory, a dask array, a zarr array, group or store, a path or URL; a source
        is returned as it is.
    feature_axis : axis of ``obj`` along which the d columns of X lie: 1 if it is X, 0 if it is the
        transpose of X.
    missing : what an absent chunk of a zarr array means: "error", or "fill" for its fill value.

    Raises
    ------
    ParameterError : for parameters out of range.
    SourceNotFoundError : if there is nothing at the path.
    UnsupportedInputError : for what is not a real matrix in a form that we read.
    BadStructureError, CorruptChunkError, StoreError : for what is damaged or out of reach.
    """
    check_count("feature_axis", feature_axis, low=0, high=1)
    check_choice("missing", missing, ("error", "fill"))
    if all(hasattr(obj, method) for method in ("read", "cut", "bands")):
        return cast(Source, obj)
    if isinstance(obj, np.ndarray):
        return ArraySource(obj, feature_axis=feature_axis)
    if sparse.issparse(obj):
        return SparseSource(obj, feature_axis=feature_axis)
    if isinstance(obj, str | os.PathLike):
        return _open_path(os.fspath(obj), feature_axis=feature_axis, missing=missing)
    # A store may come from another package that subclasses zarr's.
    packages = {base.__module__.partition(".")[0] for base in type(obj).__mro__}
    if "h5py" in packages:
        # Opened again, by its file: other processes must be able to.
        return open_hdf5(obj.file.filename, obj.name, feature_axis=feature_axis, missing=missing)
    if "dask" in packages and hasattr(obj, "chunks"):
        return _open_dask(obj, feature_axis=feature_axis)
    if "zarr" in packages:
        return _open_zarr(obj, feature_axis=feature_axis, missing=missing)
    raise UnsupportedInputError(f"cannot read a {type(obj).__name__}; give {_ACCEPTED}")


def _open_path(path: str, *, feature_axis: int, missing: str) -> Source:
    is_local = "://" not in path
    file, separator, member = path.rpartition(f"{SUFFIX}:")
    if separator:
        return SafetensorsSource(file + SUFFIX, member, feature_axis=feature_axis)
    hdf5 = split_member(path)
    if is_local and hdf5 is not None:
        return open_hdf5(*hdf5, feature_axis=feature_axis, missing=missing)
    if is_local and not os.path.exists(path):
        raise SourceNotFoundError(f"there is nothing at {path}")
    if path.endswith(SUFFIX):
        return SafetensorsSource(path, None, feature_axis=feature_axis)
    if is_local and has_npy_suffix(path) and not Path(path).is_dir():
        return NpySource(path, feature_axis=feature_axis)
    if is_local and _has_shards(Path(path)):
        return ShardsSource(path, feature_axis=feature_axis)
    return _open_zarr(path, feature_axis=feature_axis, missing=missing)


def _has_shards(path: Path) -> bool:
    """Return whether a folder holds ``.npy`` files, and nothing that says it is zarr's."""
    if not path.is_dir() or any((path / name).exists() for name in _ZARR_DOCUMENTS):
        return False
    return bool(shard_paths(path))


def _open_dask(array: Any, *, feature_axis: int) -> Source:
    # Importing dask.array takes a while, and nothing else needs it.
    from streamsparse.sources.dask_array import DaskSource  # noqa: PLC0415
    from streamsparse.sources.dask_sparse import DaskSparseSource  # noqa: PLC0415

    if sparse.issparse(array._meta):
        return DaskSparseSource(array, feature_axis=feature_axis)
    return DaskSource(array, feature_axis=feature_axis)


def _open_zarr(target: Any, *, feature_axis: int, missing: str) -> Source:
    # Importing zarr takes a while, and arrays in memory do without it.
    from streamsparse.sources.zarr_sources import open_zarr  # noqa: PLC0415

    return open_zarr(target, feature_axis=feature_axis, missing=missing)
