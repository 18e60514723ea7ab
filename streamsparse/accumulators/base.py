"""The protocol of accumulators and the pieces of X they are fed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from streamsparse.arrays import Array, Interval
from streamsparse.kernels.ranges import Each, even_ranges
from streamsparse.storing.records import Portable

# What one span contributes; the accumulator that made it knows what it is.
State: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class DensePiece:
    """Columns of a dense block that lie in one span.

    ``data`` is C-contiguous, (rows, any); column ``columns[0]`` of X is ``data[:, offset]``.
    """

    rows: Interval
    columns: Interval
    data: Array
    offset: int

    @property
    def lo_hi(self) -> Interval:
        """Half-open interval of columns of ``data``."""
        return self.offset, self.offset + self.columns[1] - self.columns[0]


@dataclass(frozen=True, slots=True)
class SparsePiece:
    """Columns of a sparse block that lie in one span, by rows or by columns.

    Row (or column) k has the entries ``extents[0, k] ... extents[1, k] - 1`` of ``indices`` and
    ``data``. Column indices of a piece by rows count from ``origin``, a column of X; row indices
    of a piece by columns count from ``rows[0]``.
    """

    rows: Interval
    columns: Interval
    by_rows: bool
    extents: Array
    indices: Array
    data: Array
    origin: int


Piece: TypeAlias = DensePiece | SparsePiece


class Accumulator(Protocol):
    """What one pass computes about a band of rows.

    An accumulator keeps only its description and scratch space; what it computes lives in a state
    that the runner owns, so that spans can be merged by a tree.
    """

    def start(self) -> State:
        """Return the zero state."""
        ...

    def update(self, state: State, piece: Piece, each: Each) -> None:
        """Add the columns of one piece; pieces of a span come in column order."""
        ...

    def close_span(self, state: State, each: Each) -> None:
        """Add what is still in scratch space; called once after the last piece of a span."""
        ...

    def merge(self, into: State, other: State, each: Each) -> None:
        """Add the state of later columns to that of earlier ones."""
        ...

    def clear(self, state: State) -> None:
        """Make a state that was merged into another the zero state again."""
        ...

    def finish(self, state: State) -> Any:
        """Return the result of the merged state."""
        ...

    def pack(self, state: State) -> Portable:
        """Return a state as arrays, numbers and lists of them, sharing its memory."""
        ...

    def unpack(self, packed: Portable) -> State:
        """Return the state that :meth:`pack` described; it owns the memory."""
        ...

    def remember(self) -> Portable:
        """Return a copy of what it knows beside its states, None if it knows nothing."""
        ...

    def recall(self, memory: Portable) -> None:
        """Know what :meth:`remember` returned."""
        ...


class Forgetful:
    """Accumulators that know nothing of one span when they see the next."""

    def remember(self) -> Portable:
        """Return nothing."""
        return None

    def recall(self, memory: Portable) -> None:
        """Do nothing."""


class Additive(Forgetful):
    """Accumulators whose states are lists of arrays that add up, and keep nothing in scratch."""

    def close_span(self, state: State, each: Each) -> None:
        """Nothing is kept back."""

    def merge(self, into: State, other: State, each: Each) -> None:
        """Add array by array, in ranges of rows."""
        add_states(into, other, each)

    def clear(self, state: State) -> None:
        """Zero every array."""
        for array in state:
            array.fill(0)

    def pack(self, state: State) -> Portable:
        """Return the arrays."""
        return state

    def unpack(self, packed: Portable) -> State:
        """Return the arrays."""
        return packed


def add_states(into: list[Array], other: list[Array], each: Each) -> None:
    """Add ``other`` to ``into``, by ranges of rows."""

    def add_arrays(a: Array, b: Array) -> None:
        parts = even_ranges(a.shape[0], 64)

        def add(part: int) -> None:
            lo, hi = parts[part]
            a[lo:hi] += b[lo:hi]

        each(add, len(parts))

    for a, b in zip(into, other, strict=True):
        add_arrays(a, b)
