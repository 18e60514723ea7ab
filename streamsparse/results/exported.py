"""Y alone, as others read it: an ``.npy`` file, a Zarr array, a sparse group of AnnData."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import ParameterError
from streamsparse.methods.products import chunk_rows, dense_rows, is_sparse
from streamsparse.storing.commit import check_output, staged
from streamsparse.storing.matrix_store import (
    SparseColumns,
    dense_writer,
    refuse_foreign,
    write_npy,
)

_DIMENSIONS = ("row", "component")


def export(Y: Any, target: Path, *, overwrite: bool) -> None:
    """Write Y (n, m) in the form that the suffix of ``target`` names, row by row.

    Raises
    ------
    ParameterError : for another suffix.
    OutputExistsError : if something is there.
    StoreError : if it cannot be written.
    """
    suffix = target.suffix.lower()
    if suffix not in {".npy", ".zarr"}:
        raise ParameterError(
            f"Y can be exported as .npy or .zarr, not as {suffix or 'a name without suffix'!r}; "
            f"save keeps the whole result"
        )
    check_output(target, overwrite=overwrite, source_path=None, refuse_foreign=refuse_foreign)
    with staged(target, overwrite=overwrite) as temporary:
        if suffix == ".npy":
            write_npy(temporary, Y.shape, (rows for _, rows in _rows_of(Y)))
        elif is_sparse(Y):
            columns = Y.tocsc().sorted_indices()
            writer = SparseColumns(temporary, Y.shape, columns.nnz, columns.dtype)
            writer.append(columns.indptr, columns.indices, columns.data)
            writer.finish()
        else:
            chunk = (chunk_rows(Y), Y.shape[1])
            array = dense_writer(temporary, Y.shape, np.dtype(np.float64), chunk, _DIMENSIONS)
            for interval, rows in _rows_of(Y):
                array.write(interval, (0, Y.shape[1]), rows)


def _rows_of(Y: Any) -> Iterator[tuple[Interval, Array]]:
    """Yield (rows, their values in float64, C-ordered)."""
    by_rows = Y.tocsr() if is_sparse(Y) else Y
    step = chunk_rows(Y)
    for start in range(0, Y.shape[0], step):
        part = by_rows[start : start + step]
        rows = np.ascontiguousarray(dense_rows(part))
        yield (start, start + rows.shape[0]), rows
