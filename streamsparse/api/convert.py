"""``convert``: anything that is read becomes a store that is best to reduce."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.checks import POLICIES, check_choice, check_flag, check_path
from streamsparse.errors import ParameterError, StoreError
from streamsparse.results.saved import path_of
from streamsparse.running.copying import copy_columns, plan_copy
from streamsparse.running.facts import Facts
from streamsparse.running.interrupts import Interrupts
from streamsparse.running.progress import show_progress
from streamsparse.sources.base import Source, refuse_change, regular_intervals, state_of
from streamsparse.sources.labels import as_labels
from streamsparse.sources.open import open_source as open_any_source
from streamsparse.storing.commit import Workplace, check_output
from streamsparse.storing.matrix_store import (
    NAMES,
    DenseColumns,
    SparseColumns,
    make_annotated,
    refuse_foreign,
    write_names,
)
from streamsparse.units import parse_memory

# What these end in is a file; a store is a folder.
_FILES = (".npy", ".npz", ".h5", ".h5ad", ".hdf5", ".safetensors", ".zip")


def convert(
    X: Any,
    out: str | Path,
    *,
    feature_axis: int | str = 1,
    memory: int | str = "1 GiB",
    overwrite: bool = False,
    progress: str | bool = "auto",
    missing: str = "error",
) -> Source:
    """Write X (n, d) as the Zarr store that is read fastest and checked best.

    Dense X becomes a Zarr 3 array with dimensions "row" and "column", in chunks of whole columns of
    about 32 MiB, raw, each with a crc32c; sparse X a group in AnnData's ``csc_matrix`` encoding, in
    zstd with checksums. Where columns or rows have names (text or numbers), it is ``X`` of a group
    of AnnData with the names in ``var`` and ``obs``. Either is opened by the path ``out``.

    Parameters
    ----------
    X : anything :func:`open_source` takes.
    out : the new store, a folder; it appears complete or not at all.
    feature_axis : 0 or 1, the long axis of X as stored, or its name; the copy has it as axis 1.
    memory : bytes for the whole computation, interpreter included, or text with a unit; below about
        450 MiB chunks are smaller.
    overwrite : replace what ``convert`` wrote to ``out`` earlier.
    progress : "auto" (a bar on stderr if it is a terminal or notebook), True or False.
    missing : "error" or "fill": what to do about absent chunks; the copy has their values.

    Returns
    -------
    The copy, opened as by :func:`open_source`: the same values, the same ``feature_digest``. The
    dtype is that of X in native byte order; bfloat16 becomes float32.

    Raises
    ------
    StreamSparseError : one of its subclasses, for bad parameters, unreadable or incomplete input, a
        budget that is too small (before the first read), an output in the way, a source that
        changed meanwhile, a full disk.
    RunInterrupted : a KeyboardInterrupt: on SIGINT and SIGTERM; nothing is left behind.

    Notes
    -----
    One pass over X, and one over a temporary copy beside ``out`` where X gives no whole columns
    within ``memory``. Memory: at most ``memory``. Guarantee: the values of X, NaN included, none
    changed; entries of sparse X sorted, explicit zeros kept.
    """
    check_choice("missing", missing, POLICIES["missing"])
    memory_budget, target = parse_memory(memory), check_path("out", out)
    check_flag("overwrite", overwrite)
    if target.suffix.lower() in _FILES:
        raise ParameterError(
            f"convert writes a matrix as a Zarr store, a folder, not as a file {target.suffix}: "
            f"name it like {target.stem}.zarr"
        )
    source = open_any_source(X, feature_axis=feature_axis, missing=missing)
    check_output(
        target,
        overwrite=overwrite,
        source_path=path_of(X, source),
        refuse_foreign=refuse_foreign,
    )
    _write(source, target, memory_budget=memory_budget, overwrite=overwrite, progress=progress)
    return open_any_source(str(target), feature_axis=1, missing="error")


def _write(
    source: Source, target: Path, *, memory_budget: int, overwrite: bool, progress: str | bool
) -> None:
    """Copy X to a new store in the place of ``target``, and commit it."""
    state = state_of(source)
    facts = Facts.of(source)
    stream, chunk = plan_copy(facts, memory_budget=memory_budget)
    source.verify()
    dtype = source.dtype.newbyteorder("=")
    interrupts = Interrupts()
    with (
        interrupts.watching(),
        Workplace(target).entered() as place,
        show_progress(progress, label="convert", total=facts.used_bytes) as bar,
    ):
        place.refuse_recovered(overwrite=overwrite)
        with place.staged(overwrite=overwrite) as temporary:
            path = temporary / "X" if _write_all_names(source, temporary) else temporary
            writer: DenseColumns | SparseColumns
            if source.nnz is None:
                writer = DenseColumns(path, source.shape, dtype, chunk)
            else:
                writer = SparseColumns(path, source.shape, source.nnz, dtype)
            copy_columns(
                source, stream, writer, beside=place.folder, progress=bar, interrupts=interrupts
            )
            refuse_change(source, state)


def _write_all_names(source: Source, path: Path) -> bool:
    """Write the names that X has, in a group for X; return whether there are any."""
    n, d = source.shape
    rows = _kept(source.row_names())
    columns = _kept(_names(source, (0, min(d, NAMES))))
    if rows is None and columns is None:
        return False
    make_annotated(path)
    if rows is not None:
        write_names(path / "obs", n, [rows])
    if columns is not None:
        write_names(path / "var", d, _all_names(source))
    return True


def _kept(labels: Array | None) -> Array | None:
    """Return names of text or numbers; None for others."""
    return labels if labels is not None and labels.dtype.kind in "Uiuf" else None


def _all_names(source: Source) -> Iterator[Array]:
    for columns in regular_intervals(source.shape[1], NAMES, NAMES):
        labels = _names(source, columns)
        if labels is None:
            raise StoreError(
                f"the names of columns {columns[0]:,} to {columns[1]:,} of {source.name} cannot be "
                f"read, those before them could"
            )
        yield labels


def _names(source: Source, columns: tuple[int, int]) -> Array | None:
    names = source.feature_names(np.arange(*columns))
    return None if names is None else as_labels(names)
