"""How work is shared out: the runner's threads, as everybody below it sees them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

from streamsparse.arrays import Interval

# The runner's threads: each(task, count) calls task(k) for k in range(count), in any order, waits,
# and raises the first exception.
Each: TypeAlias = Callable[[Callable[[int], None], int], None]


def serially(task: Callable[[int], None], count: int) -> None:
    """Do everything on this thread: an :data:`Each` for work inside of other work."""
    for k in range(count):
        task(k)


def even_ranges(rows: int, least: int) -> list[Interval]:
    """Cut ``rows`` rows into at most 64 contiguous ranges of at least ``least`` rows."""
    count = max(1, min(64, rows // least))
    edges = [rows * k // count for k in range(count + 1)]
    return list(pairwise(edges))


def steps(length: int, width: int) -> list[Interval]:
    """Cut [0, length) into intervals of ``width``, the last one as long as what is left."""
    return [(a, min(a + width, length)) for a in range(0, length, width)]
