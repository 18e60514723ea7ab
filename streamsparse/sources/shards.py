"""Folders of ``.npy`` files, each with some of the rows of one long array."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from streamsparse.arrays import Interval
from streamsparse.errors import UnsupportedInputError
from streamsparse.sources.base import DenseBlock
from streamsparse.sources.buffers import empty_block
from streamsparse.sources.dense import DenseSource
from streamsparse.sources.digests import digest_of
from streamsparse.sources.flat import PART_BYTES
from streamsparse.sources.npy import SUFFIX, NpySource
from streamsparse.sources.reading import within_deadline


class ShardsSource(DenseSource):
    """Files that follow each other along their first axis, in the order of the numbers in them.

    Parameters
    ----------
    folder : every ``.npy`` file directly in it is a shard: ``part-2`` comes before ``part-10``.
    feature_axis : axis of the whole array along which the d columns of X lie: 0 where a shard has
        some features of all samples, 1 where it has all features of some samples.

    Raises
    ------
    UnsupportedInputError : for shards of different dtypes, orders or widths.
    SourceNotFoundError, CorruptChunkError, StoreError : as for one file.
    """

    is_stored = True

    def __init__(self, folder: str | os.PathLike[str], *, feature_axis: int) -> None:
        self.name, self.feature_axis = str(folder), feature_axis
        paths = within_deadline(f"opening {folder}", lambda: shard_paths(Path(folder)))
        self._shards = [NpySource(path, feature_axis=feature_axis) for path in paths]
        first = self._shards[0]
        for shard in self._shards[1:]:
            _check_alike(first, shard, axis=1 - feature_axis)
        # The axis of X that the shards share out.
        self._axis = 1 - feature_axis
        extents = [shard.shape[self._axis] for shard in self._shards]
        self._edges = list(accumulate(extents, initial=0))
        length, across = self._edges[-1], first.shape[1 - self._axis]
        self.shape = (length, across) if self._axis == 0 else (across, length)
        self.dtype, self.block_dtype, self.unit = first.dtype, first.block_dtype, first.unit
        self.stored_bytes = sum(shard.stored_bytes for shard in self._shards)
        self.read_overhead_bytes = PART_BYTES

    def fingerprint(self) -> str:
        """Return a digest of those of all files, and of which there are."""
        names = [path.name for path in shard_paths(Path(self.name))]
        return digest_of(self.shape, names, [shard.fingerprint() for shard in self._shards])

    def read(self, rows: Interval, columns: Interval) -> DenseBlock:
        """Read one block, from every shard that has some of it."""
        shape = (rows[1] - rows[0], columns[1] - columns[0])
        out = empty_block(shape, self.block_dtype, self._shards[0].order)
        for shard, inside, place in self._overlaps(rows if self._axis == 0 else columns):
            if self._axis == 0:
                shard.read_into(inside, columns, out[slice(*place)])
            else:
                shard.read_into(rows, inside, out[:, slice(*place)])
        return DenseBlock(rows, columns, out)

    def _overlaps(self, wanted: Interval) -> Iterator[tuple[NpySource, Interval, Interval]]:
        """Yield (shard, what of it, where in a block) for those that have some of an interval."""
        for k, shard in enumerate(self._shards):
            edge = self._edges[k]
            start, stop = max(wanted[0], edge), min(wanted[1], self._edges[k + 1])
            if start < stop:
                inside, place = (start - edge, stop - edge), (start - wanted[0], stop - wanted[0])
                yield shard, inside, place


def shard_paths(folder: Path) -> list[Path]:
    """Return the ``.npy`` files directly in a folder, numbers in their names by value."""
    found = [path for path in folder.iterdir() if path.suffix.lower() == SUFFIX]
    return sorted(found, key=lambda path: _in_order(path.name))


def _in_order(name: str) -> list[tuple[int, str]]:
    # Digits by their value, all else as text; a digit before a letter.
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]


def _check_alike(first: NpySource, other: NpySource, *, axis: int) -> None:
    for what, ours, theirs in (
        ("dtype", first.dtype, other.dtype),
        ("order", first.order, other.order),
        ("width", first.shape[1 - axis], other.shape[1 - axis]),
    ):
        if ours != theirs:
            raise UnsupportedInputError(
                f"shards must be alike: {first.name} has {what} {ours}, {other.name} {theirs}"
            )
