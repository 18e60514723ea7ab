"""The one file that writes Zarr: results, and the matrices of the demo and the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from streamsparse.errors import (
    CorruptChunkError,
    MissingChunkError,
    SourceNotFoundError,
    UnsupportedInputError,
)
from streamsparse.storing.commit import MARKER, RESULT_ARRAYS, read_marker
from streamsparse.storing.files import Array, Interval, reporting

if TYPE_CHECKING:
    import zarr

SCHEMA = 1

_CHUNK_BYTES = 4 << 20
# A chunk of ours is its raw bytes and this.
_CHECKSUM_BYTES = 4
_SPARSE_CHUNK_ENTRIES = 1 << 20


def _import_zarr() -> ModuleType:
    import zarr  # noqa: PLC0415 - half a second that a caller who writes nothing need not pay

    return zarr


def _checksummed() -> dict[str, Any]:
    """Return the codecs and settings of a raw array whose every chunk carries a crc32c."""
    from zarr.codecs import Crc32cCodec  # noqa: PLC0415

    return {
        "compressors": Crc32cCodec(),
        "filters": None,
        "fill_value": 0,
        # An all-zero chunk that is dropped looks like a chunk that was lost.
        "config": {"write_empty_chunks": True},
    }


def _lines_per_chunk(shape: tuple[int, ...], itemsize: int) -> int:
    """Return how many whole lines along the first axis make a chunk of about 4 MiB."""
    line_bytes = itemsize * int(np.prod(shape[1:], dtype=np.int64))
    return max(1, min(shape[0], _CHUNK_BYTES // max(1, line_bytes)))


class ResultWriter:
    """A new result group; until ``finish`` it lacks the mark of a complete one.

    Parameters
    ----------
    path : the group; it must not exist yet.
    n, m : shape of Y, at least 1 each.

    Attributes
    ----------
    Y : (n, m) float64 on disk; it lags behind ``write_rows`` by less than a chunk.

    Raises
    ------
    StoreError : from every method, if the group cannot be written.

    Notes
    -----
    Memory: one chunk of Y, about 4 MiB or one row. Each chunk is written once.
    """

    def __init__(self, path: Path, n: int, m: int) -> None:
        self._path, self._shape, self._next = path, (n, m), 0
        self._buffer = np.empty((_lines_per_chunk((n, m), 8), m))
        with reporting("making", path):
            self._group = _import_zarr().create_group(path, zarr_format=3)
            self.Y: zarr.Array[Any] = self._group.create_array(
                "Y",
                shape=(n, m),
                chunks=self._buffer.shape,
                dtype="float64",
                dimension_names=("row", "component"),
                **_checksummed(),
            )

    def write_rows(self, start: int, Y_rows: Array) -> None:
        """Write the next rows of Y, shape (any, m): ``start`` is where the last call stopped."""
        assert start == self._next, f"expected row {self._next}, not {start}"
        n, height = self._shape[0], self._buffer.shape[0]
        assert start + Y_rows.shape[0] <= n
        done = 0
        while done < Y_rows.shape[0]:
            held = self._next % height
            count = min(height - held, Y_rows.shape[0] - done)
            self._buffer[held : held + count] = Y_rows[done : done + count]
            done += count
            self._next += count
            if held + count == height or self._next == n:
                self._write_held(held + count)

    def flush(self) -> None:
        """Make every row given so far readable in ``Y``; a chunk cut short is written again later.

        Nothing is left to do once all n rows were given.
        """
        if self._next < self._shape[0]:
            self._write_held(self._next % self._buffer.shape[0])

    def _write_held(self, count: int) -> None:
        with reporting("writing Y in", self._path):
            self.Y[self._next - count : self._next] = self._buffer[:count]

    def write_array(self, name: str, values: Array) -> None:
        """Write one of the optional arrays: "columns", "weights" or "projection"."""
        assert name in RESULT_ARRAYS[1:]
        values = np.asarray(values)
        chunks = (_lines_per_chunk(values.shape, values.itemsize), *values.shape[1:])
        with reporting(f"writing {name} in", self._path):
            array = self._group.create_array(
                name, shape=values.shape, chunks=chunks, dtype=values.dtype, **_checksummed()
            )
            array[...] = values

    def finish(self, attributes: dict[str, Any]) -> None:
        """Mark the group as complete: ``attributes`` is JSON and holds "schema"."""
        assert self._next == self._shape[0], f"only {self._next} rows of Y were written"
        with reporting("writing the attributes of", self._path):
            self._group.attrs[MARKER] = attributes


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A complete result on disk.

    Attributes
    ----------
    Y : (n, m) float64, read from disk when indexed; each chunk is checked against its crc32c.
    columns, weights : (m,) for methods that keep columns of X, else None.
    projection : (sketch columns, m), or None.
    attributes : what ``ResultWriter.finish`` was given.
    """

    Y: zarr.Array[Any]
    columns: Array | None
    weights: Array | None
    projection: Array | None
    attributes: dict[str, Any]


def open_result(path: str | Path) -> StoredResult:
    """Open a result group, checking that it is complete; Y itself is not read.

    Raises
    ------
    SourceNotFoundError : if nothing is there.
    UnsupportedInputError : if it is not ours, not complete, or of another schema version.
    MissingChunkError : if a chunk is absent.
    CorruptChunkError : if the metadata cannot be read, a chunk has the wrong size, or an optional
        array the wrong checksum.
    """
    path = Path(path)
    if not path.exists():
        raise SourceNotFoundError(f"there is nothing at {path}")
    attributes = read_marker(path)
    if attributes is None:
        raise UnsupportedInputError(f"{path} is not a complete result of streamsparse")
    if attributes.get("schema") != SCHEMA:
        raise UnsupportedInputError(
            f"{path} has schema version {attributes.get('schema')!r} but this version of "
            f"streamsparse reads version {SCHEMA}; read it with the version that wrote it"
        )
    arrays = _open_arrays(path)
    if "Y" not in arrays:
        raise UnsupportedInputError(f"{path} holds no array Y")
    for name, array in arrays.items():
        _check_chunks(path / name, array)
    optional = {name: _read_whole(path / name, arrays.get(name)) for name in RESULT_ARRAYS[1:]}
    return StoredResult(Y=arrays["Y"], attributes=attributes, **optional)


def _open_arrays(path: Path) -> dict[str, zarr.Array[Any]]:
    zarr = _import_zarr()
    try:
        with reporting("opening", path):
            group = zarr.open_group(path, mode="r")
            nodes = {name: group.get(name) for name in RESULT_ARRAYS}
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptChunkError(f"the metadata of {path} is damaged: {error}") from error
    return {name: node for name, node in nodes.items() if isinstance(node, zarr.Array)}


def _check_chunks(path: Path, array: zarr.Array[Any]) -> None:
    """Refuse an array of ours with a chunk file absent or of another size than it was written."""
    expected = int(np.prod(array.chunks)) * array.dtype.itemsize + _CHECKSUM_BYTES
    trailing = ["0"] * (len(array.shape) - 1)
    for i in range(-(-array.shape[0] // array.chunks[0])):
        chunk = path.joinpath("c", str(i), *trailing)
        try:
            size = chunk.stat().st_size
        except FileNotFoundError as error:
            raise MissingChunkError(f"chunk {chunk} is missing; the result is damaged") from error
        if size != expected:
            raise CorruptChunkError(
                f"chunk {chunk} has {size:,} bytes, not {expected:,}; the result is damaged"
            )


def _read_whole(path: Path, array: zarr.Array[Any] | None) -> Array | None:
    if array is None:
        return None
    try:
        with reporting("reading", path):
            return np.asarray(array[...])
    except ValueError as error:
        raise CorruptChunkError(f"{path} is damaged: {error}") from error


class DenseWriter:
    """A new Zarr array for a dense matrix, every chunk with a crc32c.

    Parameters
    ----------
    path : the array; it must not exist yet.
    shape, chunks : of the matrix and of a chunk.
    dtype : of the entries.

    Raises
    ------
    StoreError : from every method, if the array cannot be written.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int], dtype: np.dtype[Any], chunks: tuple[int, int]
    ) -> None:
        self._path = path
        with reporting("making", path):
            self._array = _import_zarr().create_array(
                path, shape=shape, chunks=chunks, dtype=dtype, zarr_format=3, **_checksummed()
            )

    def write(self, rows: Interval, columns: Interval, values: Array) -> None:
        """Write a rectangle; on chunk edges each chunk is written once, else read and rewritten."""
        with reporting("writing", self._path):
            self._array[slice(*rows), slice(*columns)] = values


def write_sparse(path: Path, X: Any, *, chunk_entries: int = _SPARSE_CHUNK_ENTRIES) -> None:
    """Write a scipy CSR or CSC matrix as a Zarr group in AnnData's encoding, zstd with checksums.

    Parameters
    ----------
    path : the group; it must not exist yet.
    X : array or matrix in CSR or CSC format.
    chunk_entries : stored entries per chunk, at least 1.

    Raises
    ------
    UnsupportedInputError : for another format.
    StoreError : if the group cannot be written.
    """
    from zarr.codecs import ZstdCodec  # noqa: PLC0415

    if getattr(X, "format", None) not in {"csr", "csc"}:
        raise UnsupportedInputError(f"write_sparse takes CSR or CSC, not {type(X).__name__}")
    attributes = {
        "encoding-type": f"{X.format}_matrix",
        "encoding-version": "0.1.0",
        "shape": [int(length) for length in X.shape],
    }
    with reporting("writing", path):
        group = _import_zarr().create_group(path, zarr_format=3, attributes=attributes)
        for name in ("data", "indices", "indptr"):
            values = np.asarray(getattr(X, name))
            array = group.create_array(
                name,
                shape=values.shape,
                chunks=(max(1, min(values.size, chunk_entries)),),
                dtype=values.dtype,
                compressors=ZstdCodec(checksum=True),
                config={"write_empty_chunks": True},
            )
            if values.size:
                array[:] = values
