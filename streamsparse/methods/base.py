"""The request, what a reduction yields, and what the methods share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from streamsparse.accumulators.base import DensePiece, Piece, SparsePiece
from streamsparse.dense.certificate import Errors
from streamsparse.running.local import Execution
from streamsparse.running.pieces import prepare
from streamsparse.running.plan import Plan
from streamsparse.running.stream import Stream
from streamsparse.sketching.run_hash import SparseSign, hash_words
from streamsparse.sources.base import Array, Block, DenseBlock, Interval, Source

# Rows of the error that are computed exactly: every row up to 256, else 32 of them. If all 32 are
# within a tolerance, then with 95 % confidence 91 % of all rows are (THEORY 5.2).
ALL_ROWS = 256
SAMPLED_ROWS = 32
_SAMPLE_STREAM = 1 << 32


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asked for, checked; the names are those of ``sparsify``."""

    method: str
    m: int | None
    epsilon: float | None
    target: str
    delta: float
    beta: float
    seed: int
    memory: int
    feature_axis: int
    s: int
    has_output: bool


class RowWriter(Protocol):
    """Takes Y band by band, so that it need not fit in memory."""

    def write_rows(self, start: int, Y_rows: Array) -> None:
        """Append the rows that begin at ``start``; bands come in order."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a method.

    Attributes
    ----------
    source, plan : what to reduce and how.
    execution : threads, progress, what to do with NaN.
    writer : takes Y band by band if the plan has several bands; None keeps Y in memory.
    """

    source: Source
    plan: Plan
    execution: Execution
    writer: RowWriter | None


@dataclass(frozen=True, slots=True)
class Reduction:
    """What a method made.

    Attributes
    ----------
    Y : (n, m), or None where the writer has it.
    r, trace : max and sum of the squared row norms of X.
    errors : what was measured; None where Y is on disk and G_I must be compared with it there.
    operator : the S that was applied, None for "exact".
    projection : (sketch columns, m) with Y = X S^T projection; None where Y is the sketch itself.
    sample, G_I : sampled rows I, shape (p,), and the rows I of G, (p, n).
    """

    Y: Array | None
    r: float
    trace: float
    errors: Errors | None
    operator: SparseSign | None
    projection: Array | None
    sample: Array
    G_I: Array


def sample_rows(*, n: int, count: int, seed: int) -> Array:
    """Return ``count`` different rows of n, sorted, drawn by a hash independent of S."""
    if count >= n:
        return np.arange(n)
    words = hash_words(seed=seed, keys=np.arange(n, dtype=np.uint64), stream=_SAMPLE_STREAM)
    return np.sort(np.argpartition(words, count)[:count])


def hold_sample(source: Source, stream: Stream, sample: Array, *, zero: bool) -> HeldSample | None:
    """Read the sampled rows of a source that is read by row bands, and keep them; else None.

    Every unit of rows that holds a sampled row is read once, block by block.
    """
    if stream.bands == 1 or sample.size == 0:
        return None
    dense: list[Array] = []
    sparse: list[tuple[Array, Array]] = []
    n = source.shape[0]
    unit = min(source.unit[0], n)
    for start in np.unique(sample // unit * unit).tolist():
        band = (start, min(start + unit, n))
        chosen = sample[(sample >= band[0]) & (sample < band[1])] - start
        picked = [
            _pick_rows(prepare(source.read(band, columns), by_rows=True, zero=zero), chosen)
            for columns in source.cut(band, stream.block_bytes)
        ]
        for parts in zip(*picked, strict=True):
            if isinstance(parts[0], tuple):
                indices, data = zip(*parts, strict=True)
                sparse.append((np.concatenate(indices), np.concatenate(data)))
            else:
                dense.append(np.concatenate(parts))
    if dense:
        return HeldSample(dense=np.stack(dense), sparse=None, count=sample.size)
    indptr = np.cumsum([0, *(indices.size for indices, _ in sparse)])
    joined = tuple(np.concatenate(arrays) for arrays in zip(*sparse, strict=True))
    return HeldSample(dense=None, sparse=(indptr, joined[0], joined[1]), count=sample.size)


def _pick_rows(block: Block, rows: Array) -> list[Any]:
    """Return copies of some rows of a prepared block: arrays, or (global columns, values)."""
    if isinstance(block, DenseBlock):
        return list(block.view()[rows])
    extents = [slice(*block.indptr[row : row + 2]) for row in rows.tolist()]
    return [
        (block.indices[extent].astype(np.int64) + block.columns[0], block.data[extent].copy())
        for extent in extents
    ]


@dataclass(frozen=True, slots=True)
class HeldSample:
    """The sampled rows of X in memory, dense (p, d) or compressed (indptr, indices, data)."""

    dense: Array | None
    sparse: tuple[Array, Array, Array] | None
    count: int

    def __call__(self, columns: Interval) -> Piece:
        """Return the sampled rows of a column interval."""
        if self.dense is not None:
            return DensePiece((0, self.count), columns, self.dense, columns[0])
        assert self.sparse is not None
        indptr, indices, data = self.sparse
        extents = np.array(
            [a + np.searchsorted(indices[a:b], columns) for a, b in pairwise(indptr)]
        ).T
        return SparsePiece((0, self.count), columns, True, extents, indices, data, 0)
