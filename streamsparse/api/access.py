"""``open_source`` and ``load``: look at what is there, without a pass over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streamsparse.errors import ParameterError
from streamsparse.methods.base import Start
from streamsparse.results.result import Result
from streamsparse.sources.base import Source
from streamsparse.sources.open import open_source as open_any_source
from streamsparse.sources.preprocess import Preprocess
from streamsparse.sources.rewritten import preprocessed, refuse_late_zeros
from streamsparse.storing.result_store import open_result as open_stored


def open_source(obj: Any, feature_axis: int | str = 1) -> Source:
    """Open anything ``sparsify`` takes and return it as a provider of blocks of X (n, d).

    Parameters
    ----------
    obj : path, URL or zarr store of a Zarr v2 or v3 array; zarr.Array; Zarr group holding a sparse
        matrix in AnnData's encoding (csc_matrix, csr_matrix), or an AnnData, whose X is read;
        dask.array; ndarray or ``.npy`` path, or a folder of such files, each with some rows of one
        long array; scipy.sparse array or matrix, or the ``.npz`` path of one, which is read into
        memory beside any budget; xarray.DataArray of an ndarray or a dask array; path of an HDF5
        file ("data.h5:NAME", or its only matrix, or X), h5py.Dataset; path of a safetensors file
        ("model.safetensors:NAME", or its only matrix).
    feature_axis : 0 or 1, the long axis of ``obj`` as stored, or the name of that dimension where
        dimensions have names (xarray's, zarr's); blocks are (n, d) either way.

    Returns
    -------
    Source with ``shape`` (n, d), ``dtype``, ``nnz`` (None if dense), ``unit`` (the chunk grid as
    rows and columns of X) and ``blocks(max_bytes)``, which yields all of X in column order.

    Raises
    ------
    ParameterError : for a name that no dimension has, or where dimensions have none.
    SourceNotFoundError : if there is nothing at the path.
    UnsupportedInputError : for other objects, other than two dimensions, an empty axis, a dtype
        that is not float16, float32, float64, an integer or bool, or a codec that runs code.

    Notes
    -----
    No pass over the data: metadata only. A dask array of sparse chunks is computed once, because
    dask does not know how many entries they have; plans count that pass.
    """
    return open_any_source(obj, feature_axis=feature_axis, missing="error")


def open_columns(
    obj: Any,
    preprocess: Preprocess,
    *,
    feature_axis: int | str,
    missing: str,
    nonfinite: str = "error",
) -> Source:
    """Open a matrix whose columns are preprocessed as they are read.

    Raises
    ------
    ParameterError : if NaN would be read as zero only after columns were scaled.
    """
    refuse_late_zeros(preprocess, nonfinite)
    source = open_any_source(obj, feature_axis=feature_axis, missing=missing)
    return preprocessed(source, preprocess)


def load(path: str | Path) -> Result:
    """Open a saved result.

    Parameters
    ----------
    path : a group written by ``sparsify(out=...)``, :meth:`Result.save` or the command line.

    Returns
    -------
    A :class:`Result` whose Y is the zarr.Array on disk, of which nothing is read (a sparse Y is
    read whole).

    Raises
    ------
    SourceNotFoundError : if there is nothing at the path.
    UnsupportedInputError : if it is not a complete result of this format.
    MissingChunkError, CorruptChunkError : if chunks of it are absent or of the wrong size.
    ParameterError : if it was made by another version of the hash.

    Notes
    -----
    No pass over X. Memory: the projection, if the result has one, and a few numbers for each row.
    """
    return Result.from_stored(open_stored(Path(path)))


def open_start(start: Result | str | Path | None, source: Source | None) -> Start | None:
    """Return the earlier selection that ``start`` names; it must be of a matrix of this shape.

    ``source`` None: only look at ``start`` itself.
    """
    if start is None:
        return None
    if not isinstance(start, Result | str | Path):
        raise ParameterError(f"start must be a Result or the path of one, not {start!r}")
    result = start if isinstance(start, Result) else load(start)
    if result.known is None or result.columns is None or result.weights is None:
        raise ParameterError(
            f"start must be a result of method 'select', not of {result.certificate.method!r}"
        )
    certificate = result.certificate
    if source is not None and source.shape != (certificate.n, certificate.d):
        raise ParameterError(
            f"start is of a matrix of shape ({certificate.n:,}, {certificate.d:,}), but X is "
            f"({source.shape[0]:,}, {source.shape[1]:,})"
        )
    return Start(result.columns, result.weights, result.known.in_memory())
