"""Small stores of every kind that we read, and what is in them."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from scipy import sparse

from streamsparse.sources.open import open_source
from streamsparse.storing.zarr_write import sparse_attributes

FULL = {"write_empty_chunks": True}
SHAPE = (6, 40)
DENSE: dict[str, dict[str, Any]] = {
    "dense v2": {"zarr_format": 2, "chunks": (3, 8)},
    "dense v3": {"zarr_format": 3, "chunks": (3, 8)},
    "dense v3, sharded": {"zarr_format": 3, "chunks": (3, 4), "shards": (6, 8)},
}
SPARSE = ("csc", "csr")


def dense_matrix() -> np.ndarray:
    """Return small integers, none of them 0, so that a chunk of zeros is told from data."""
    return np.random.default_rng(3).integers(1, 50, SHAPE).astype(np.float32)


def sparse_matrix(kind: str) -> Any:
    """Return a matrix with entries in every row and column."""
    values = dense_matrix() * (np.random.default_rng(4).random(SHAPE) < 0.6)
    values[0], values[:, 0] = 1, 1
    return (sparse.csc_array if kind == "csc" else sparse.csr_array)(values)


def write_dense(target: Any, values: np.ndarray, **options: Any) -> None:
    """Write an array, empty chunks too."""
    with warnings.catch_warnings():
        # zarr warns of codecs that its format does not list; they are what is tested here.
        warnings.simplefilter("ignore")
        array = zarr.create_array(
            target, shape=values.shape, dtype=values.dtype, **{"config": FULL, **options}
        )
        array[:] = values


def write_sparse(target: Any, matrix: Any, **options: Any) -> None:
    """Write a CSR or CSC matrix in AnnData's encoding."""
    group = zarr.open_group(target, mode="a", zarr_format=3)
    group.attrs.update(sparse_attributes(matrix))
    for name in ("data", "indices", "indptr"):
        values = getattr(matrix, name)
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            **{"chunks": (16,), "config": FULL, **options},
        )
        array[:] = values


def read_all(target: Any, *, missing: str = "error", verify: bool = True) -> np.ndarray:
    """Return X as a source gives it, put together from small blocks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = open_source(target, feature_axis=1, missing=missing)
    if verify:
        source.verify()
    return read_source(source)


def read_source(source: Any) -> np.ndarray:
    """Return X of an open source; of a dense one half in narrow pieces, which cut its chunks."""
    X = np.zeros(source.shape, np.float64)
    n, d = source.shape
    blocks = source.blocks(1 << 20)
    if source.nnz is None:
        edges = [*range(0, d // 2, 3), d // 2, d]
        blocks = (source.read((0, n), columns) for columns in pairwise(edges))
    for block in blocks:
        where = slice(*block.rows), slice(*block.columns)
        X[where] = block.view() if hasattr(block, "offset") else _as_array(block)
    return X


def _as_array(block: Any) -> np.ndarray:
    shape = tuple(stop - start for start, stop in (block.rows, block.columns))
    made = sparse.csr_array if block.by_rows else sparse.csc_array
    return made((block.data, block.indices, block.indptr), shape=shape).toarray()


def chunk_files(folder: Path) -> list[Path]:
    """Return the files of a store that hold chunks, not metadata."""
    names = {"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"}
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in names)
