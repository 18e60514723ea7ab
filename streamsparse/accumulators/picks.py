"""Columns of X that were picked, with what the rule thought of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.ranges import Each
from streamsparse.storing.records import Portable

# Beside its values a pick is an index, a score, a key and its share of a batch.
PICK_BYTES = 400

# Columns of X in compressed form: (indptr, row indices, values).
Compressed: TypeAlias = "tuple[Array, Array, Array]"


@dataclass(frozen=True, slots=True)
class Batch:
    """Some picked columns, in column order.

    Attributes
    ----------
    columns : their indices in X, (k,).
    scores, keys : what the rule was given for each, and what it made of it, (k,).
    values : their values, (k, n), or as :data:`Compressed`.
    """

    columns: Array
    scores: Array
    keys: Array
    values: Array | Compressed

    def take(self, positions: Array) -> Batch:
        """Return a copy of some of them."""
        values = self.values
        if isinstance(values, tuple):
            extents = np.stack([values[0][:-1], values[0][1:]])
            taken: Array | Compressed = compress(extents[:, positions], *values[1:])
        else:
            taken = values[positions]
        return Batch(self.columns[positions], self.scores[positions], self.keys[positions], taken)


def join(parts: list[Compressed]) -> Compressed:
    """Return compressed columns one after the other."""
    counts = np.concatenate([np.diff(indptr) for indptr, _, _ in parts])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    indices = np.concatenate([indices for _, indices, _ in parts])
    return indptr, indices, np.concatenate([data for _, _, data in parts])


def compress(extents: Array, indices: Array, data: Array) -> Compressed:
    """Return a copy of some compressed columns, given where each begins and ends, (2, k)."""
    counts = extents[1] - extents[0]
    indptr = np.concatenate([[0], np.cumsum(counts)])
    entries = np.repeat(extents[0] - indptr[:-1], counts) + np.arange(indptr[-1])
    return indptr, indices[entries], data[entries]


def _cut(columns: list[Array], start: int, stop: int) -> Compressed:
    """Return a copy of neighbouring compressed columns."""
    indptr, indices, data = columns
    a, b = indptr[start], indptr[stop]
    return indptr[start : stop + 1] - a, indices[a:b].copy(), data[a:b].copy()


def densify(columns: Compressed, rows: int, dtype: np.dtype[np.generic]) -> Array:
    """Return compressed columns as a matrix (rows, k)."""
    indptr, indices, data = columns
    dense = np.zeros((rows, indptr.size - 1), dtype)
    dense[indices, np.repeat(np.arange(indptr.size - 1), np.diff(indptr))] = data
    return dense


class Picks:
    """The columns picked so far: a list of batches, in column order."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    @property
    def count(self) -> int:
        """How many columns there are."""
        return sum(batch.columns.size for batch in self.batches)

    @property
    def columns(self) -> Array:
        """Their indices in X."""
        return self._joined([batch.columns for batch in self.batches], np.int64)

    @property
    def scores(self) -> Array:
        """Their scores."""
        return self._joined([batch.scores for batch in self.batches], np.float64)

    @property
    def keys(self) -> Array:
        """Their keys."""
        return self._joined([batch.keys for batch in self.batches], np.float64)

    def _joined(self, parts: list[Array], dtype: type[np.generic]) -> Array:
        return np.concatenate([np.empty(0, dtype), *parts])

    def keep(self, chosen: Array) -> None:
        """Keep only the picks for which ``chosen`` (count,) is true."""
        kept, start = [], 0
        for batch in self.batches:
            stop = start + batch.columns.size
            positions = np.flatnonzero(chosen[start:stop])
            if positions.size == batch.columns.size:
                kept.append(batch)
            elif positions.size:
                kept.append(batch.take(positions))
            start = stop
        self.batches = kept


class Compacter(Protocol):
    """What drops picks that are no longer wanted."""

    def remember(self) -> Portable:
        """Return a copy of what it knows of the columns so far, None if it knows nothing."""
        ...

    def recall(self, memory: Portable) -> None:
        """Know what :meth:`remember` returned."""
        ...

    def compact(self, picks: Picks, *, is_final: bool) -> None:
        """Drop picks that can no longer be among those kept."""
        ...


RuleType = TypeVar("RuleType", bound=Compacter)


class Picking(Generic[RuleType]):
    """Accumulators whose states are picks, appended in column order and compacted by a rule."""

    rule: RuleType

    def start(self) -> Picks:
        """Return no picks."""
        return Picks()

    def add(self, state: Picks, batch: Batch) -> None:
        """Append the picks of a batch."""
        if batch.columns.size:
            state.batches.append(batch)
            self.rule.compact(state, is_final=False)

    def merge(self, into: Picks, other: Picks, each: Each) -> None:  # noqa: ARG002 - the protocol's
        """Append the picks of later columns."""
        into.batches += other.batches
        self.rule.compact(into, is_final=False)

    def clear(self, state: Picks) -> None:
        """Forget the picks."""
        state.batches = []

    def pack(self, state: Picks) -> Portable:
        """Return the batches: what is small of them put together, dense values as they are.

        There may be a batch for every pick, and to name an array costs more than it holds.
        """
        batches = state.batches
        sizes = [batch.columns.size for batch in batches]
        packed = [np.array(sizes, np.int64), state.columns, state.scores, state.keys]
        compressed = [batch.values for batch in batches if isinstance(batch.values, tuple)]
        if compressed:
            return [*packed, list(join(compressed))]
        return [*packed, {"dense": [batch.values for batch in batches]}]

    def unpack(self, packed: Portable) -> Picks:
        """Return the picks they were taken from, in the same batches."""
        sizes, columns, scores, keys, values = packed
        picks, stop = Picks(), 0
        for k, size in enumerate(sizes.tolist()):
            start, stop = stop, stop + size
            held = values["dense"][k] if isinstance(values, dict) else _cut(values, start, stop)
            # Copies: what is dropped later must not be held by what stays.
            found, weights, keyed = (array[start:stop].copy() for array in (columns, scores, keys))
            picks.batches.append(Batch(found, weights, keyed, held))
        return picks

    def remember(self) -> Portable:
        """Return what the rule knows."""
        return self.rule.remember()

    def recall(self, memory: Portable) -> None:
        """Let the rule know it again."""
        self.rule.recall(memory)

    def finish(self, state: Picks) -> Picks:
        """Return the picks, in column order."""
        self.rule.compact(state, is_final=True)
        return state
