"""Results on disk: a Zarr group with Y, written row by row and marked when complete."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from streamsparse.errors import (
    CorruptChunkError,
    MissingChunkError,
    SourceNotFoundError,
    StoreError,
    UnsupportedInputError,
)
from streamsparse.storing.commit import MARKER, METADATA, RESULT_ARRAYS, Workplace, read_marker
from streamsparse.storing.files import Array, as_bytes, reporting
from streamsparse.storing.zarr_write import (
    SPARSE_ARRAYS,
    checksummed,
    import_zarr,
    lines_per_chunk,
    new_store,
    result_store,
    sparse_attributes,
)

SCHEMA = 5

# Arrays that are not read before they are asked for; Y is another.
_LARGE = ("gram", "probes")

# Within the attributes: a digest of the rest of them, and of the metadata of every array.
_SEAL = "sha256"

# A chunk of ours is its raw bytes and this.
_CHECKSUM_BYTES = 4


class ResultWriter:
    """A new result group; until ``finish`` it lacks the mark of a complete one.

    Parameters
    ----------
    path : the group; it must not exist yet.

    Raises
    ------
    StoreError : from every method, if the group cannot be written.

    Notes
    -----
    Memory: one chunk of Y, about 4 MiB or one row. Each chunk is written once.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._shape, self._next = path, (0, 0), 0
        self._Y: Any = None
        # Of every array: where it is, and the crc32 of the values that were given.
        self._written: dict[Path, tuple[Any, int]] = {}
        with reporting("making", path):
            self._group = import_zarr().create_group(new_store(path), zarr_format=3)

    @property
    def Y(self) -> Any:
        """(n, m): a zarr array, which lags behind ``write_rows`` by less than a chunk, or CSC."""
        return self._Y

    def start(self, n: int, m: int) -> None:
        """Make room for a dense Y (n, m), at least 1 each; its rows come next."""
        self._shape = (n, m)
        self._buffer = np.empty((lines_per_chunk((n, m), 8), m))
        with reporting("making", self._path):
            self._Y = self._group.create_array(
                "Y",
                shape=(n, m),
                chunks=self._buffer.shape,
                dtype="float64",
                dimension_names=("row", "component"),
                **checksummed(),
            )

    def write_sparse(self, Y: sparse.csc_array) -> None:
        """Write a sparse Y as a group in AnnData's encoding, every chunk with a crc32c."""
        with reporting("writing Y in", self._path):
            group = self._group.create_group("Y", attributes=sparse_attributes(Y))
        for name in SPARSE_ARRAYS:
            self._write(group, name, np.asarray(getattr(Y, name)))
        self._Y = Y

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

    def _write_held(self, count: int) -> None:
        values = self._buffer[:count]
        with reporting("writing Y in", self._path):
            self.Y[self._next - count : self._next] = values
        self._note(self._path / "Y", self.Y, values)

    def write_array(self, name: str, values: Array) -> None:
        """Write one of the optional arrays, ``RESULT_ARRAYS`` but the first."""
        assert name in RESULT_ARRAYS[1:]
        self._write(self._group, name, np.asarray(values))

    def _write(self, group: Any, name: str, values: Array) -> None:
        chunks = (lines_per_chunk(values.shape, values.itemsize), *values.shape[1:])
        with reporting(f"writing {name} in", self._path):
            array = group.create_array(
                name, shape=values.shape, chunks=chunks, dtype=values.dtype, **checksummed()
            )
            if values.size:
                array[...] = values
        self._note(self._path / array.path, array, values)

    def _note(self, path: Path, array: Any, values: Array) -> None:
        _, crc = self._written.get(path, (array, 0))
        self._written[path] = array, zlib.crc32(as_bytes(np.ascontiguousarray(values)), crc)

    def _verify(self) -> None:
        """Read everything again, each chunk against its crc32c and all against what was given.

        Raises
        ------
        StoreError : if the store holds something else than what was written.
        """
        for path, (array, expected) in self._written.items():
            crc = 0
            for values in _read_steps(path, array):
                crc = zlib.crc32(as_bytes(np.ascontiguousarray(values)), crc)
            if crc != expected:
                raise StoreError(f"{path} holds other values than were written: a disk that fails?")

    def finish(self, attributes: dict[str, Any]) -> None:
        """Verify all arrays, then mark the group as complete.

        ``attributes`` is JSON and holds "schema".
        """
        assert self._next == self._shape[0], f"only {self._next} rows of Y were written"
        self._verify()
        with reporting("writing the attributes of", self._path):
            seal = _seal(self._path, attributes)
            self._group.attrs[MARKER] = attributes | {_SEAL: seal}


def _seal(path: Path, attributes: dict[str, Any]) -> str:
    """Return the SHA-256 of the attributes and of the metadata below them, in a fixed order."""
    digest = hashlib.sha256(json.dumps(attributes, sort_keys=True).encode())
    for metadata in sorted(path.glob(f"*/**/{METADATA}")):
        digest.update(f"{metadata.relative_to(path)}\n".encode() + metadata.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A complete result on disk.

    Attributes
    ----------
    Y : (n, m) float64: a zarr array, read from disk when indexed, each chunk checked against its
        crc32c; or a scipy CSC array in memory, where X was sparse and columns of it were kept.
    columns, weights : (m,) for methods that keep columns of X, else None.
    projection : (sketch columns, m), or None.
    mean : (sketch columns,) of a sketch of centred X, or None.
    gram, probes : (p, n) and (n, q) as zarr arrays, or None: see ``read_array``.
    squared_norms, moved, digest : (n,), (n,) and (any, n), or None.
    attributes : what ``ResultWriter.finish`` was given.
    """

    Y: Any
    columns: Array | None
    weights: Array | None
    projection: Array | None
    mean: Array | None
    gram: Any | None
    probes: Any | None
    squared_norms: Array | None
    moved: Array | None
    digest: Array | None
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
    # Y is read from there later, wherever the process is by then.
    path = Path(path).absolute()
    if not path.exists():
        hint = ""
        if Workplace(path).folder.is_dir():
            hint = ", but a run of it that did not end: go on with resume=True (--resume)"
        raise SourceNotFoundError(f"there is nothing at {path}{hint}")
    attributes = read_marker(path)
    if attributes is None:
        raise UnsupportedInputError(f"{path} is not a complete result of streamsparse")
    if attributes.get("schema") != SCHEMA:
        raise UnsupportedInputError(
            f"{path} has schema version {attributes.get('schema')!r} but this version of "
            f"streamsparse reads version {SCHEMA}; read it with the version that wrote it"
        )
    attributes = dict(attributes)
    with reporting("reading the metadata of", path):
        if attributes.pop(_SEAL, None) != _seal(path, attributes):
            raise CorruptChunkError(f"the metadata of {path} is not what was written")
    arrays = _open_arrays(path)
    for name, array in arrays.items():
        _check_chunks(path / name, array)
    if "Y" in arrays:
        Y: Any = arrays["Y"]
    elif f"Y/{SPARSE_ARRAYS[0]}" in arrays:
        Y = _read_sparse(path, arrays)
    else:
        raise UnsupportedInputError(f"{path} holds no array Y")
    optional = {
        name: arrays.get(name) if name in _LARGE else _read_whole(path / name, arrays.get(name))
        for name in RESULT_ARRAYS[1:]
    }
    return StoredResult(Y=Y, attributes=attributes, **optional)


def read_array(array: Any) -> Array:
    """Return an array of a result in memory: as it is, or read from disk against its checksums.

    Raises
    ------
    MissingChunkError, CorruptChunkError : if it is damaged.
    """
    if isinstance(array, np.ndarray):
        return array
    return _read_checked(Path(array.store.root) / array.path, array)


def _open_arrays(path: Path) -> dict[str, Any]:
    zarr = import_zarr()
    names = (*RESULT_ARRAYS, *(f"Y/{name}" for name in SPARSE_ARRAYS))
    try:
        with reporting("opening", path):
            group = zarr.open_group(result_store(path), mode="r")
            nodes = {name: group.get(name) for name in names}
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptChunkError(f"the metadata of {path} is damaged: {error}") from error
    return {name: node for name, node in nodes.items() if isinstance(node, zarr.Array)}


def _read_sparse(path: Path, arrays: dict[str, Any]) -> sparse.csc_array:
    parts: Any = tuple(
        _read_whole(path / "Y" / name, arrays.get(f"Y/{name}")) for name in SPARSE_ARRAYS
    )
    try:
        shape = json.loads((path / "Y" / "zarr.json").read_bytes())["attributes"]["shape"]
        Y = sparse.csc_array(parts, shape=tuple(shape))
        Y.check_format()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptChunkError(f"the sparse Y of {path} is damaged: {error}") from error
    return Y


def _check_chunks(path: Path, array: Any) -> None:
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


def _read_steps(path: Path, array: Any) -> Iterator[Array]:
    """Yield an array chunk by chunk along its first axis."""
    step = array.chunks[0]
    for start in range(0, array.shape[0], step):
        try:
            with reporting("reading back", path):
                yield np.asarray(array[start : start + step])
        except ValueError as error:
            raise StoreError(f"{path} cannot be read back: {error}") from error


def _read_whole(path: Path, array: Any | None) -> Array | None:
    return None if array is None else _read_checked(path, array)


def _read_checked(path: Path, array: Any) -> Array:
    try:
        with reporting("reading", path):
            return np.asarray(array[...])
    except ValueError as error:
        raise CorruptChunkError(f"{path} is damaged: {error}") from error
