"""Matrices of any size without a disk: a Zarr store that makes the bytes of a chunk from its key.

Values are chosen so that X X^T has a closed form in integers: a chunk that repeats, pointers that
rise by a fixed step.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from itertools import product

import numpy as np
from zarr.abc.store import Store


@dataclass(frozen=True)
class Repeated:
    """The same chunk everywhere: X[:, j] = chunk[:, j mod width]."""

    chunk: np.ndarray

    @property
    def dtype(self):
        return self.chunk.dtype

    @property
    def width(self):
        return self.chunk.shape

    def at(self, position):
        return self.chunk


@dataclass(frozen=True)
class Ending(Repeated):
    """Zeros everywhere but in the chunk at ``last``."""

    last: tuple[int, ...]

    def at(self, position):
        return self.chunk if position == self.last else np.zeros_like(self.chunk)


@dataclass(frozen=True)
class Rising:
    """Pointers of majors with ``step`` entries each, the last ones fewer: min(step j, most)."""

    step: int
    most: int
    length: int = 1 << 18

    @property
    def dtype(self):
        return np.dtype(np.int64)

    @property
    def width(self):
        return (self.length,)

    def at(self, position):
        first = position[0] * self.length
        values = np.arange(first, first + self.length, dtype=np.int64)
        values *= self.step
        return np.minimum(values, self.most, out=values)


@dataclass(frozen=True)
class Array:
    """An array of the store: its shape and what makes its chunks."""

    shape: tuple[int, ...]
    values: Repeated | Rising

    def document(self):
        """The metadata of format 3, raw little-endian chunks."""
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.values.dtype.name,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": list(self.values.width)},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "attributes": {},
        }

    def chunk_keys(self):
        grid = [math.ceil(s / w) for s, w in zip(self.shape, self.values.width, strict=True)]
        for position in product(*map(range, grid)):
            yield "c/" + "/".join(map(str, position))


class GeneratedStore(Store):
    """Read-only; ``arrays`` by their path, "" for an array at the root; counts what is read.

    Parameters
    ----------
    arrays : name to :class:`Array`.
    attributes : of the group at the root.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, arrays, attributes=None):
        super().__init__(read_only=True)
        self._arrays = dict(arrays)
        self._attributes = attributes
        self._encoded = {}
        self.reads = Counter()

    def __eq__(self, other):
        return self is other

    def __str__(self):
        return "generated"

    __hash__ = Store.__hash__

    def __getstate__(self):
        return {**self.__dict__, "_encoded": {}}

    def with_read_only(self, read_only=True):
        return self

    @property
    def values_read(self):
        """Chunks of values and indices that were read: pointers are metadata."""
        return sum(count for name, count in self.reads.items() if name != "indptr")

    def _content(self, key):
        folder, _, leaf = key.rpartition("/")
        if leaf == "zarr.json":
            if folder in self._arrays:
                return json.dumps(self._arrays[folder].document()).encode()
            if folder == "" and self._attributes is not None:
                node = {"zarr_format": 3, "node_type": "group", "attributes": self._attributes}
                return json.dumps(node).encode()
            return None
        name, found, position = key.rpartition("c/")[0].rstrip("/"), "c/" in key, key
        if not found or name not in self._arrays:
            return None
        at = tuple(int(i) for i in position.rpartition("c/")[2].split("/"))
        self.reads[name] += 1
        return self._bytes_of(name, at)

    def _bytes_of(self, name, at):
        values = self._arrays[name].values
        if isinstance(values, Rising):
            return values.at(at).data.cast("B")
        # Chunks that are alike are made once.
        name = (name, isinstance(values, Ending) and at == values.last)
        if name not in self._encoded:
            self._encoded[name] = np.ascontiguousarray(values.at(at)).tobytes()
        return self._encoded[name]

    async def get(self, key, prototype, byte_range=None):
        content = self._content(key)
        if content is None:
            return None
        view = memoryview(content)
        if byte_range is not None:
            start, stop = _ends(byte_range, len(view))
            view = view[start:stop]
        return prototype.buffer.from_array_like(np.frombuffer(view, np.uint8))

    async def get_partial_values(self, prototype, key_ranges):
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key):
        return await self.get(key, _prototype()) is not None

    async def set(self, key, value):
        raise NotImplementedError

    async def delete(self, key):
        raise NotImplementedError

    async def list(self):
        if self._attributes is not None:
            yield "zarr.json"
        for name, array in self._arrays.items():
            prefix = f"{name}/" if name else ""
            yield f"{prefix}zarr.json"
            for key in array.chunk_keys():
                yield prefix + key

    async def list_prefix(self, prefix):
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix):
        if prefix.strip("/"):
            yield "zarr.json"
            return
        for name in ["zarr.json", *filter(None, self._arrays)]:
            yield name


def _ends(part, size):
    if hasattr(part, "suffix"):
        return max(0, size - part.suffix), size
    if hasattr(part, "offset"):
        return part.offset, size
    return part.start, min(part.end, size)


def _prototype():
    from zarr.core.buffer import default_buffer_prototype

    return default_buffer_prototype()


def pattern(n, width, dtype):
    """Whole numbers from -3 to 3 (0 to 3 unsigned) that no two rows share: n x width."""
    i, j = np.arange(n, dtype=np.int64)[:, None], np.arange(width, dtype=np.int64)
    values = (i * 2654435761 + j * 40503 + i * j * 97 + (j >> 3)) >> 2
    dtype = np.dtype(dtype)
    low, high = (0, 4) if dtype.kind == "u" else (-3, 4)
    return (values % (high - low) + low).astype(dtype)


def dense(n, d, dtype="int8", *, chunk=None, values=None):
    """A store of X (n, d) whose chunks repeat; ``chunk`` is their shape, all rows by default."""
    rows, width = chunk or (n, max(1, min(d, (1 << 20) // (n * np.dtype(dtype).itemsize))))
    values = pattern(rows, width, dtype) if values is None else values
    return GeneratedStore({"": Array((n, d), Repeated(values))})


def ending(n, d, chunk):
    """A store of X (n, d), all zero but for its last chunk, and the first column of that chunk."""
    last = (d - 1) // chunk.shape[1]
    return GeneratedStore({"": Array((n, d), Ending(chunk, (0, last)))}), last * chunk.shape[1]


def dense_gram(n, d, chunk):
    """X X^T of a repeated chunk of all rows, in Python's integers."""
    B = chunk.astype(np.int64)
    times, rest = divmod(d, chunk.shape[1])
    # One chunk fits int64; what they add up to need not.
    return times * (B @ B.T).astype(object) + B[:, :rest] @ B[:, :rest].T


def compressed(majors, minors, step, *, kind="csc", nnz=None, dtype="int8", index_dtype="int32"):
    """A store of a CSC or CSR group: ``step`` entries in every major, at fixed minors, all alike.

    Minor k of a major is k times ``minors // step``; the last major may have fewer, down to
    ``nnz`` in all.
    """
    nnz = majors * step if nnz is None else nnz
    width = step * max(1, (1 << 18) // step)
    indices = (np.arange(width) % step * (minors // step)).astype(index_dtype)
    shape = [minors, majors] if kind == "csc" else [majors, minors]
    return GeneratedStore(
        {
            "data": Array((nnz,), Repeated(np.ones(width, dtype))),
            "indices": Array((nnz,), Repeated(indices)),
            "indptr": Array((majors + 1,), Rising(step, nnz)),
        },
        {"encoding-type": f"{kind}_matrix", "encoding-version": "0.1.0", "shape": shape},
    )


def listed_csr(indptr, indices, data, d):
    """A store of a CSR group of a few entries, however wide."""
    arrays = {"data": data, "indices": indices, "indptr": indptr}
    return GeneratedStore(
        {name: Array(np.shape(a), Repeated(np.asarray(a))) for name, a in arrays.items()},
        {
            "encoding-type": "csr_matrix",
            "encoding-version": "0.1.0",
            "shape": [len(indptr) - 1, d],
        },
    )
