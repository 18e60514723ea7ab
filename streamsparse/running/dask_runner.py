"""Passes as tasks of whatever scheduler dask picks, in waves: what comes back can be kept.

A wave is a part of the merge tree, computed elsewhere and put into a tree that this process holds.
So a lost cluster costs the wave under way, and what a local run has kept can be continued on a
cluster, and the other way round.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from dask import base
from dask.delayed import delayed

from streamsparse.arrays import Interval
from streamsparse.errors import RunInterrupted
from streamsparse.kernels.ranges import serially
from streamsparse.running.checkpoint import Place
from streamsparse.running.feeds import feed_of
from streamsparse.running.graph import BandGraph, Lazy
from streamsparse.running.local import Execution, Found, Scan, fill
from streamsparse.running.spans import ARITY, Node, cover
from streamsparse.running.sums import Sums
from streamsparse.running.tasks import Work
from streamsparse.running.threads import available_threads
from streamsparse.running.worker import Lanes, futures_of, lanes_of
from streamsparse.sources.reading import attempt_once

# A wave should take at least so long: what a lost cluster costs, and the time between checkpoints.
_WAVE_SECONDS = 30.0
# It is computed with those before it too where a chunk lies in both: one in so many at most.
_UNITS_PER_WAVE = 8
# Where the sums of a wave are made in this process they are held together: not more than this.
_WAVE_BYTES = 512 << 20
# Nor should it leave workers idle for long while it ends.
_TASKS_PER_LANE = 2

_compute: Callable[..., tuple[Any, ...]] = base.compute
_persist: Callable[..., tuple[Any, ...]] = base.persist


class DaskWorkers:
    """Runs passes as dask tasks.

    Their keys are this object's alone. What tasks are given follows from more than the source and
    the plan (a Y that is checked, rows that somebody named), and dask takes values of one key for
    one value.
    """

    def __init__(self) -> None:
        self._token = uuid4().hex[:16]

    def run_bands(self, scan: Scan, execution: Execution) -> Iterator[tuple[Interval, Found]]:
        """Stream X through fresh accumulators on the workers; yield (band, what was found)."""
        name = f"{self._token}-{scan.number}"
        feed = feed_of(name, scan.source, block_bytes=scan.stream.block_bytes)
        lanes = _lanes()
        for position, rows in enumerate(scan.bands()):
            made = scan.accumulators(rows)
            sums = scan.sums(made, remembers=False)
            work = Work(
                accumulators=scan.accumulators,
                rows=rows,
                span_width=scan.stream.span_width,
                d=scan.source.shape[1],
                by_rows=scan.by_rows,
                zero_nonfinite=execution.zero_nonfinite,
            )
            graph = BandGraph.make(
                f"{name}-{position}",
                work,
                feed,
                column_bytes=scan.column_bytes(rows),
                lanes=lanes,
            )
            waves = _Waves(sums, graph, scan, execution, lanes)
            place = Place(scan.number, position)
            with execution.interrupts.deferred():
                fill(sums, waves.run, place, execution, serially, scan.column_bytes(rows))
            yield rows, sums.results(made)


def _lanes() -> Lanes | None:
    """Return who computes, if a cluster does: nothing is looked for, dask is asked for a value."""
    if "distributed" not in sys.modules:
        return None
    nothing = delayed(None, name="streamsparse-nothing")
    return lanes_of(list(attempt_once("reaching the cluster", lambda: _persist(nothing))))


@dataclass(slots=True)
class Pace:
    """How many spans the next wave has: as many as take a while, and as keep everybody busy."""

    count: int

    def note(self, seconds: float) -> None:
        """Learn how long a wave took after the one before it."""
        if seconds < _WAVE_SECONDS:
            self.count = int(self.count * min(ARITY, _WAVE_SECONDS / max(seconds, 1e-3)))


def wave_stop(start: int, count: int, *, spans: int, most_nodes: int | None) -> int:
    """Return where a wave of about ``count`` spans ends: on the edge of a group, or of all."""
    stop = max(start + ARITY, start + count)
    stop = spans if stop >= spans else stop // ARITY * ARITY
    return cover(start, stop)[:most_nodes][-1].spans[1]


@dataclass(slots=True)
class _Wave:
    """Nodes of the merge tree that dask has begun; those that this process computes are ready."""

    nodes: list[Node]
    begun: list[Lazy]

    @property
    def stop(self) -> int:
        """The first span that is not in it."""
        return self.nodes[-1].spans[1]

    @property
    def futures(self) -> list[Any]:
        """What a cluster has promised; nothing where no cluster computes."""
        return futures_of(self.begun)


class _Waves:
    """Has one wave after another computed, and adds what comes back to the sums of a band."""

    def __init__(
        self,
        sums: Sums,
        graph: BandGraph,
        scan: Scan,
        execution: Execution,
        lanes: Lanes | None,
    ) -> None:
        self._sums, self._graph, self._execution = sums, graph, execution
        self._name, self._spans = scan.source.name, scan.stream.spans
        self._column_bytes = scan.column_bytes(graph.rows)
        units = -(-_UNITS_PER_WAVE * scan.source.unit[1] // scan.stream.span_width)
        self._pace = Pace(max(ARITY, units))
        self._keep_busy(Lanes(available_threads(), None) if lanes is None else lanes)
        self._is_cluster = lanes is not None
        # What a cluster holds comes one by one.
        self._most_nodes = None if self._is_cluster else max(1, _WAVE_BYTES // graph.partial_bytes)
        self._begun: deque[_Wave] = deque()

    def run(self) -> Iterator[int]:
        """Yield the bytes that each node stands for.

        A cluster has the next wave before the last one has ended.
        """
        last = time.monotonic()
        try:
            while self._sums.span < self._spans:
                if not self._begun:
                    self._begin(self._sums.span)
                wave = self._begun[0]
                if (lanes := lanes_of(wave.begun)) is not None:
                    # There may be more of them than before.
                    self._keep_busy(lanes)
                    self._begin(wave.stop)
                yield from self._take(wave)
                self._begun.popleft()
                now = time.monotonic()
                self._pace.note(now - last)
                last = now
        except RunInterrupted:
            for future in (future for wave in self._begun for future in wave.futures):
                future.cancel()
            raise

    def _keep_busy(self, lanes: Lanes) -> None:
        tasks = _TASKS_PER_LANE * lanes.count
        self._pace.count = max(self._pace.count, tasks * self._graph.spans_per_task)

    def _begin(self, start: int) -> None:
        """Have the spans from ``start`` on computed, if there are any and nobody does yet."""
        if start == self._spans or len(self._begun) > 1:
            return
        stop = wave_stop(start, self._pace.count, spans=self._spans, most_nodes=self._most_nodes)
        nodes = cover(start, stop)
        lazy = [self._graph.node(node) for node in nodes]
        # A cluster is only told: whoever interrupts that has no futures to cancel.
        waits = nullcontext() if self._is_cluster else self._heard()
        begun = self._done(_persist, lazy, (start, stop), waits)
        self._begun.append(_Wave(nodes, list(begun)))

    def _take(self, wave: _Wave) -> Iterator[int]:
        if self._execution.progress.is_in_notebook:
            _show_bar(wave.futures)
        for node in wave.nodes:
            (packed,) = self._done(_compute, wave.begun[:1], node.spans, self._heard())
            # What has come need not be kept there.
            del wave.begun[0]
            self._sums.take(node, packed, serially)
            del packed
            start, stop = self._graph.columns(node.spans)
            yield int((stop - start) * self._column_bytes)

    def _heard(self) -> AbstractContextManager[None]:
        """Have signals raise where they arrive; nothing is summed here meanwhile."""
        return self._execution.interrupts.heard_at_once()

    def _done(
        self,
        action: Callable[..., tuple[Any, ...]],
        lazy: list[Lazy],
        spans: Interval,
        waits: AbstractContextManager[None],
    ) -> tuple[Any, ...]:
        """Let dask do something on this thread: it has other pools for other threads.

        Raises
        ------
        StoreError : if the cluster is lost, or gives up.
        RunInterrupted : for a signal, where ``waits`` has it heard.
        """
        doing = f"summing spans {spans[0]:,} to {spans[1]:,} of {self._name} with dask"
        with waits:
            return attempt_once(doing, lambda: action(*lazy))


def _show_bar(futures: list[Any]) -> None:
    """Show the bar of distributed, which knows the tasks under way and those to come."""
    # Without ipywidgets it has none.
    with suppress(ImportError):
        if futures:
            from IPython.display import display  # noqa: PLC0415 - this is a notebook

            distributed: Any = sys.modules["distributed"]
            display(distributed.progress(futures, notebook=True))
