"""G, and the part of it that each leaf contributes: what a search for columns looks into."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from streamsparse.accumulators.base import Forgetful, Piece
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.arrays import Array
from streamsparse.kernels.ranges import Each
from streamsparse.storing.records import Portable


@dataclass(slots=True)
class LeafState:
    """The Gram state of the columns so far, and packed sums by leaf.

    ``leaf``: of the span being filled, None before its first piece.
    """

    gram: list[Array]
    sums: dict[int, Array] = field(default_factory=dict)
    leaf: int | None = None


class LeafSumsAccumulator(Forgetful):
    """Accumulate sum x x^T of all columns and of each leaf of ``leaf_width`` columns.

    A leaf is a whole number of spans, so that its sum is made of states that the Gram pass makes
    anyway: no more products, one copy of a triangle per span. Without ``leaf_width`` there are no
    sums by leaf.
    Memory: as the Gram matrix, and 4 n^2 bytes per leaf that holds anything.
    """

    def __init__(
        self, *, rows: int, block_dtype: np.dtype[np.generic], leaf_width: int | None
    ) -> None:
        self._gram = GramAccumulator(rows=rows, block_dtype=block_dtype)
        self._leaf_width = leaf_width
        self._triangle = None if leaf_width is None else np.tril_indices(rows)

    def start(self) -> LeafState:
        """Return no columns."""
        return LeafState(self._gram.start())

    def update(self, state: LeafState, piece: Piece, each: Each) -> None:
        """Add the columns of one piece."""
        if self._leaf_width is not None:
            state.leaf = piece.columns[0] // self._leaf_width
        self._gram.update(state.gram, piece, each)

    def close_span(self, state: LeafState, each: Each) -> None:
        """Finish the span, and keep its sum."""
        self._gram.close_span(state.gram, each)
        if state.leaf is not None and self._triangle is not None:
            state.sums[state.leaf] = state.gram[0][self._triangle]

    def merge(self, into: LeafState, other: LeafState, each: Each) -> None:
        """Add the state of later columns."""
        self._gram.merge(into.gram, other.gram, each)
        for leaf, packed in other.sums.items():
            # Not in place: what it is added to may still be somebody else's.
            into.sums[leaf] = into.sums[leaf] + packed if leaf in into.sums else packed

    def clear(self, state: LeafState) -> None:
        """Forget all columns."""
        self._gram.clear(state.gram)
        state.sums, state.leaf = {}, None

    def pack(self, state: LeafState) -> Portable:
        """Return G, the leaves and their sums."""
        return [state.gram, list(state.sums), list(state.sums.values())]

    def unpack(self, packed: Portable) -> LeafState:
        """Return the state they were taken from."""
        gram, leaves, sums = packed
        return LeafState(gram, dict(zip(leaves, sums, strict=True)))

    def finish(self, state: LeafState) -> tuple[Array, dict[int, Array]]:
        """Return (G (n, n), the lower triangle of every leaf's sum, row by row)."""
        return self._gram.finish(state.gram), state.sums
