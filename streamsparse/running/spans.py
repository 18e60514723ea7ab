"""Spans, the fixed unit of summation, and the fixed tree that merges them (DESIGN decision 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streamsparse.accumulators.base import State
from streamsparse.kernels.parts import Each
from streamsparse.sources.base import Interval

ARITY = 16
_MIN_WIDTH = 1 << 14
_MAX_SPANS = 4096


def span_width(*, d: int, state_columns: int) -> int:
    """Return the columns per span: a power of two that depends on d and the size of Y or G alone.

    A state has ``state_columns`` cells per row. Merging one cell costs about as much as reading a
    few entries, so 32 columns per cell keep merging under a tenth of the pass. More than about
    4,096 spans serve no one.
    """
    width = _MIN_WIDTH
    while width < 32 * state_columns or width * _MAX_SPANS < d:
        width *= 2
    return width


def span_count(*, d: int, width: int) -> int:
    """Return the number of spans that cover d columns."""
    return -(-d // width)


def tree_depth(spans: int) -> int:
    """Return the levels of the merge tree: the power of 16 that reaches the number of spans."""
    depth = 0
    while ARITY**depth < spans:
        depth += 1
    return depth


def pieces_of(columns: Interval, width: int) -> Iterator[tuple[int, Interval]]:
    """Yield (span index, interval) for the parts of ``columns`` that lie in one span each."""
    start, stop = columns
    while start < stop:
        span = start // width
        end = min(stop, (span + 1) * width)
        yield span, (start, end)
        start = end


class MergeTree:
    """Fold the states of spans 0, 1, 2, ... by a tree whose shape depends on their number alone.

    Sixteen children are folded left to right into their parent, at every level; the tree holds one
    partial state per level.

    Parameters
    ----------
    merge : adds its second state, of later columns, to its first.

    Attributes
    ----------
    levels, counts : the partial state of each level, and of how many children it is the sum.
    """

    def __init__(self, merge: Callable[[State, State, Each], None]) -> None:
        self._merge = merge
        self.levels: list[State | None] = []
        self.counts: list[int] = []

    def push(self, state: State, each: Each) -> State | None:
        """Add the state of the next span; return a state that is free to be cleared, if any."""
        free: State | None = None
        for level in range(len(self.levels) + 1):
            if level == len(self.levels):
                self.levels.append(None)
                self.counts.append(0)
            held = self.levels[level]
            if held is None:
                self.levels[level], self.counts[level] = state, 1
                break
            self._merge(held, state, each)
            self.counts[level] += 1
            free = state
            if self.counts[level] < ARITY:
                break
            state, self.levels[level] = held, None
        return free

    def result(self, each: Each) -> State:
        """Return the sum of all states: what is left on each level, from the leaves up."""
        total: State | None = None
        for held in self.levels:
            if held is None:
                continue
            if total is not None:
                self._merge(held, total, each)
            total = held
        assert total is not None
        return total
