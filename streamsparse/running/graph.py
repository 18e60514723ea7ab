"""Partial sums as a graph of dask tasks: one value per span, merged by the fixed tree.

Nothing here computes. The graph is the same whoever runs it; its keys name what they hold, the kind
of it first: a cluster takes keys that begin alike for tasks that are alike, and spreads those out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from dask.delayed import delayed

from streamsparse.arrays import Interval
from streamsparse.running.spans import ARITY, Node, cover, span_count
from streamsparse.running.tasks import Work, combine, fold
from streamsparse.running.worker import Lanes
from streamsparse.storing.records import count_bytes

# A value that dask will compute.
Lazy: TypeAlias = Any

# Of X, for one task where its spans are small; and so many tasks for every lane at least, or in all
# where nobody knows the lanes.
_TASK_BYTES = 64 << 20
_TASKS_PER_LANE = 4
_TASKS = 64
# Of the memory of a lane: one of several partial sums that may be there beside what it sums.
_PARTIAL_SHARE = 0.01
# Of the time of all lanes.
_BUSY = 0.75
# Partial sums that are added by one task, unless two are more: all of them are in its worker.
_FOLD_BYTES = 24 << 20


def key_of(kind: str, name: str, *which: object) -> str:
    """Return the key of a value: what kind of thing it is, of what run, and which one."""
    return "-".join(["streamsparse", kind, name, *map(str, which)])


def constant(kind: str, name: str, value: Any) -> Lazy:
    """Return something that many tasks share, as a value that dask hands to them."""
    return delayed(value, name=key_of(kind, name), traverse=False)


def task(function: Any, *arguments: Any, key: str, **settings: Any) -> Lazy:
    """Return ``function(*arguments)`` as a task."""
    made = delayed(function, pure=False, traverse=False)
    return made(*arguments, dask_key_name=key, **settings)


def spans_per_task(
    *, spans: int, span_bytes: float, partial_bytes: int, lanes: Lanes | None
) -> int:
    """Return how many spans a task sums: a power of 16, so that its sum is a node of the tree.

    More than one where that is still little work, and there are many tasks. Also where a few
    partial sums, which wait on a worker for their neighbours while it goes on, are much for its
    memory: a task that sums many spans adds them up as it goes. Not if lanes would be idle long.
    """
    count = 1
    fewest = _TASKS if lanes is None else _TASKS_PER_LANE * lanes.count
    while count * ARITY * span_bytes <= _TASK_BYTES and spans >= fewest * count * ARITY:
        count *= ARITY
    if count > 1 or lanes is None or lanes.memory_bytes is None:
        return count
    rounds = -(-spans // (ARITY * lanes.count))
    is_busy = spans >= _BUSY * rounds * ARITY * lanes.count
    is_large = partial_bytes > _PARTIAL_SHARE * lanes.memory_bytes
    return ARITY if is_large and is_busy else 1


class Feed(Protocol):
    """Where the tasks of a band get its columns from."""

    def sums(self, band: BandGraph, spans: Interval) -> Lazy:
        """Return the packed sums of some spans."""
        ...


@dataclass(frozen=True, slots=True)
class BandGraph:
    """The tasks of one band of rows.

    Attributes
    ----------
    name : in the key of every task: of what run, which pass, which band.
    work : what all of them share, a :class:`Work` that may be computed itself.
    feed : where columns come from.
    rows, span_width, d : of the band, the spans and X.
    partial_bytes : of one partial sum.
    spans_per_task : summed by one task at most, a power of 16.
    """

    name: str
    work: Lazy
    feed: Feed
    rows: Interval
    span_width: int
    d: int
    partial_bytes: int
    spans_per_task: int

    @classmethod
    def make(
        cls,
        name: str,
        work: Work,
        feed: Feed,
        *,
        column_bytes: float,
        lanes: Lanes | None,
    ) -> BandGraph:
        """Return the graph of a band, nothing in it yet.

        ``column_bytes``: of one column of it. ``lanes``: who will compute it, if that is known.
        """
        states = [accumulator.pack(accumulator.start()) for accumulator in work.made()]
        partial_bytes = max(1, count_bytes(states))
        return cls(
            name=name,
            work=constant("work", name, work),
            feed=feed,
            rows=work.rows,
            span_width=work.span_width,
            d=work.d,
            partial_bytes=partial_bytes,
            spans_per_task=spans_per_task(
                spans=span_count(d=work.d, width=work.span_width),
                span_bytes=work.span_width * column_bytes,
                partial_bytes=partial_bytes,
                lanes=lanes,
            ),
        )

    @property
    def spans(self) -> int:
        """How many there are."""
        return span_count(d=self.d, width=self.span_width)

    def columns(self, spans: Interval) -> Interval:
        """Return the columns of some spans."""
        return spans[0] * self.span_width, min(spans[1] * self.span_width, self.d)

    def node(self, node: Node) -> Lazy:
        """Return the packed sums of a node of the merge tree, folded left to right."""
        if node.spans[1] - node.spans[0] <= self.spans_per_task:
            return self.feed.sums(self, node.spans)
        total, *later = [self.node(child) for child in node.children()]
        at_once = max(1, _FOLD_BYTES // self.partial_bytes)
        for first in range(0, len(later), at_once):
            more = later[first : first + at_once]
            total = self.task("fold", *node.spans, first, call=(fold, total, *more))
        return total

    def total(self) -> Lazy:
        """Return the packed sums of all spans, merged as a run on one machine would."""
        nodes = cover(0, self.spans)
        return self.task("total", call=(combine, nodes, *map(self.node, nodes)))

    def task(self, kind: str, *which: object, call: tuple[Any, ...], **settings: Any) -> Lazy:
        """Return ``function(work, *arguments)`` as a task, of (function, *arguments)."""
        function, *arguments = call
        key = key_of(kind, self.name, *which)
        return task(function, self.work, *arguments, key=key, **settings)
