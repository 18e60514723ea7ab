"""Which columns of X came into a result together, and which of them are left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from streamsparse.arrays import Array, Interval


@dataclass(frozen=True, slots=True)
class Portion:
    """Columns that came into a result together.

    Attributes
    ----------
    first : where they were put: their first column became this one of X.
    left : which columns of X are still there of them, intervals in order.
    digest : of the values of each row of those, (n,) uint64, column ``first`` counted as 0: the
        same values have the same digest wherever they are put.
    """

    first: int
    left: tuple[Interval, ...]
    digest: Array

    def without(self, columns: Interval, digest: Array) -> Portion:
        """Return what is left when some of the columns go, which have this digest."""
        left = []
        for start, stop in self.left:
            left += [(start, min(stop, columns[0])), (max(start, columns[1]), stop)]
        kept = tuple((start, stop) for start, stop in left if start < stop)
        return replace(self, left=kept, digest=self.digest - digest)

    @property
    def width(self) -> int:
        """How many columns are left."""
        return sum(stop - first for first, stop in self.left)


def joined(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Return disjoint intervals in order, those that touch as one."""
    merged: list[Interval] = []
    for first, stop in sorted(intervals):
        touches = bool(merged) and merged[-1][1] == first
        merged.append((merged.pop()[0] if touches else first, stop))
    return tuple(merged)


def described(columns: Interval) -> str:
    """Return an interval of columns as text: its first and its last."""
    return f"{columns[0]:,} to {columns[1] - 1:,}"
