"""The sampled rows of a source that is read by row bands: read first, and kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from streamsparse.accumulators.base import DensePiece, Piece, SparsePiece
from streamsparse.arrays import Array, Interval
from streamsparse.running.pieces import prepare
from streamsparse.running.stream import Stream
from streamsparse.running.threads import read_ahead
from streamsparse.sources.base import Block, DenseBlock, Source


def hold_sample(
    source: Source,
    stream: Stream,
    sample: Array,
    *,
    zero: bool,
    columns: Interval | None,
) -> HeldSample | None:
    """Read the sampled rows of a source that is read by row bands, and keep them; else None.

    Every unit of rows that holds a sampled row is read once, block by block; of it the range
    ``columns`` of whole units, None for all. None is returned where that range is empty.
    """
    first, stop = columns or (0, source.shape[1])
    if stream.bands == 1 or sample.size == 0 or first == stop:
        return None
    dense: list[Array] = []
    sparse: list[tuple[Array, Array]] = []
    n = source.shape[0]
    unit = min(source.unit[0], n)
    for start in np.unique(sample // unit * unit).tolist():
        band = (start, min(start + unit, n))
        chosen = sample[(sample >= band[0]) & (sample < band[1])] - start
        load = partial(_load_rows, source, band, chosen, zero)
        intervals = list(source.cut(band, stream.block_bytes, columns))
        first = intervals[0][0]
        picked = list(read_ahead(load, intervals, ahead=0))
        for parts in zip(*picked, strict=True):
            if isinstance(parts[0], tuple):
                indices, data = zip(*parts, strict=True)
                sparse.append((np.concatenate(indices), np.concatenate(data)))
            else:
                dense.append(np.concatenate(parts))
    if dense:
        return HeldSample(np.stack(dense), None, sample.size, first)
    indptr = np.cumsum([0, *(indices.size for indices, _ in sparse)])
    joined = tuple(np.concatenate(arrays) for arrays in zip(*sparse, strict=True))
    return HeldSample(None, (indptr, joined[0], joined[1]), sample.size, first)


def _load_rows(
    source: Source, band: Interval, rows: Array, zero: bool, columns: Interval
) -> list[Any]:
    return _pick_rows(prepare(source.read(band, columns), by_rows=True, zero=zero), rows)


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
    """The sampled rows of X in memory, dense (p, any) or compressed (indptr, indices, data).

    ``first``: the column of X that the dense ones begin with.
    """

    dense: Array | None
    sparse: tuple[Array, Array, Array] | None
    count: int
    first: int

    def __call__(self, columns: Interval) -> Piece:
        """Return the sampled rows of a column interval."""
        if self.dense is not None:
            return DensePiece((0, self.count), columns, self.dense, columns[0] - self.first)
        assert self.sparse is not None
        indptr, indices, data = self.sparse
        extents = np.array(
            [a + np.searchsorted(indices[a:b], columns) for a, b in pairwise(indptr)]
        ).T
        return SparsePiece((0, self.count), columns, True, extents, indices, data, 0)
