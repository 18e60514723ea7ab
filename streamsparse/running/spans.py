"""Spans, the fixed unit of summation, and the fixed tree that merges them (DESIGN decision 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streamsparse.accumulators.base import State
from streamsparse.arrays import Interval
from streamsparse.kernels.ranges import Each

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


@dataclass(frozen=True, slots=True)
class Node:
    """Part of the merge tree: ``count`` siblings at ``level``, folded left to right.

    ``spans``: what it is the sum of. More than one sibling only where they begin their group of
    sixteen: what is folded is then what a tree would hold at that level.
    """

    level: int
    count: int
    spans: Interval

    def children(self) -> list[Node]:
        """Return what is folded, left to right: nodes one level down, nothing for a leaf."""
        start, stop = self.spans
        width = ARITY**self.level
        if self.count > 1:
            return [Node(self.level, 1, (at, at + width)) for at in range(start, stop, width)]
        if self.level == 0:
            return []
        width //= ARITY
        return [Node(self.level - 1, 1, (at, at + width)) for at in range(start, stop, width)]


def cover(start: int, stop: int) -> list[Node]:
    """Return the nodes that, put into a tree of the spans before ``start``, bring it to ``stop``.

    As few as there can be: at most 15 a level on the way up, one a level on the way down.
    """
    nodes = []
    while start < stop:
        level = 0
        while start % ARITY ** (level + 1) == 0 and start + ARITY ** (level + 1) <= stop:
            level += 1
        width = ARITY**level
        count = (stop - start) // width if start % (width * ARITY) == 0 else 1
        nodes.append(Node(level, count, (start, start + count * width)))
        start += count * width
    return nodes


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

    def push(self, state: State, each: Each, *, level: int = 0, count: int = 1) -> State | None:
        """Add the state of the next span; return a state that is free to be cleared, if any.

        ``level``, ``count``: of the next :class:`Node`, where it is more than one span.
        """
        free: State | None = None
        while True:
            while len(self.levels) <= level:
                self.levels.append(None)
                self.counts.append(0)
            held = self.levels[level]
            if held is None:
                self.levels[level], self.counts[level] = state, count
            else:
                assert count == 1
                self._merge(held, state, each)
                self.counts[level] += 1
                state, free = held, state
            if self.counts[level] < ARITY:
                return free
            self.levels[level] = None
            level, count = level + 1, 1

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
