"""An accumulator that sees some columns of X alone."""

from __future__ import annotations

from typing import Any

from streamsparse.accumulators.base import Accumulator, Additive, Piece, State
from streamsparse.accumulators.steps import cut
from streamsparse.arrays import Interval
from streamsparse.kernels.ranges import Each


class Within(Additive):
    """Add the columns of some intervals to another accumulator, and pass over all others.

    Parameters
    ----------
    accumulator : one whose states add up; sparse pieces come by rows.
    intervals : of columns of X, in order.

    Notes
    -----
    Memory: that of the accumulator.
    """

    def __init__(self, accumulator: Accumulator, intervals: tuple[Interval, ...]) -> None:
        self._accumulator, self._intervals = accumulator, intervals

    def start(self) -> State:
        """Return the zero state of the accumulator."""
        return self._accumulator.start()

    def update(self, state: State, piece: Piece, each: Each) -> None:
        """Add those columns of one piece that lie in an interval."""
        for first, stop in self._intervals:
            columns = (max(first, piece.columns[0]), min(stop, piece.columns[1]))
            if columns[0] < columns[1]:
                self._accumulator.update(state, cut(piece, columns), each)

    def close_span(self, state: State, each: Each) -> None:
        """Close the span of the accumulator."""
        self._accumulator.close_span(state, each)

    def finish(self, state: State) -> Any:
        """Return what the accumulator found."""
        return self._accumulator.finish(state)
