"""Passes as tasks of whatever scheduler dask picks, in waves: what comes back can be kept.

A wave is a part of the merge tree, computed elsewhere and put into a tree that this process holds.
So a lost cluster costs the wave under way, and what a local run has kept can be continued on a
cluster, and the other way round.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from dask import base

from streamsparse.kernels.parts import serially
from streamsparse.running.checkpoint import Place
from streamsparse.running.graph import BandGraph, Feed, Lazy, feed_of
from streamsparse.running.local import Execution, Found, Scan, fill
from streamsparse.running.spans import ARITY, cover
from streamsparse.running.sums import Sums
from streamsparse.running.tasks import Work
from streamsparse.running.threads import read_ahead
from streamsparse.running.worker import lanes
from streamsparse.sources.base import Interval
from streamsparse.sources.digests import digest_of
from streamsparse.sources.reading import attempt_once

# A wave should take about so long: what a lost cluster costs, and the time between checkpoints.
_WAVE_SECONDS = 30.0
# It is computed with those before it too where a chunk lies in both: one in so many at most.
_UNITS_PER_WAVE = 8
# Nor should it leave lanes idle for long while it ends.
_ROUNDS_PER_WAVE = 2
# Partial sums come back together and are held here: not more than this.
_WAVE_BYTES = 512 << 20

_compute: Callable[..., tuple[Any, ...]] = base.compute


@dataclass(frozen=True, slots=True)
class DaskWorkers:
    """Runs passes as dask tasks.

    Attributes
    ----------
    identity : of the run; part of the keys of its tasks.
    """

    identity: str

    def run_bands(self, scan: Scan, execution: Execution) -> Iterator[tuple[Interval, Found]]:
        """Stream X through fresh accumulators on the workers; yield (band, what was found)."""
        name = digest_of(self.identity, scan.number)[:16]
        feed = feed_of(name, scan.source, block_bytes=scan.stream.block_bytes)
        for position, rows in enumerate(scan.bands()):
            made = scan.accumulators(rows)
            sums = scan.sums(made, remembers=False)
            graph = band_graph(
                f"{name}-band-{position}",
                scan,
                rows,
                feed,
                zero_nonfinite=execution.zero_nonfinite,
            )
            waves = partial(_waves, sums, graph, scan, execution, scan.column_bytes(rows))
            place = Place(scan.number, position)
            with execution.interrupts.deferred():
                fill(sums, waves, place, execution, serially, scan.column_bytes(rows))
            yield rows, sums.results(made)


def band_graph(
    name: str, scan: Scan, rows: Interval, feed: Feed, *, zero_nonfinite: bool
) -> BandGraph:
    """Return the tasks that sum one band of a pass."""
    work = Work(
        accumulators=scan.accumulators,
        rows=rows,
        span_width=scan.stream.span_width,
        d=scan.source.shape[1],
        by_rows=scan.by_rows,
        zero_nonfinite=zero_nonfinite,
    )
    column_bytes = scan.column_bytes(rows)
    return BandGraph.make(name, work, feed, lanes=lanes(), column_bytes=column_bytes)


def _waves(
    sums: Sums, graph: BandGraph, scan: Scan, execution: Execution, column_bytes: float
) -> Iterator[int]:
    """Have wave after wave computed, take in what comes back, and yield the bytes it stands for."""
    spans, d = scan.stream.spans, scan.source.shape[1]
    # A task for every lane.
    round_spans = graph.lanes.count * graph.spans_per_task
    fewest = max(
        ARITY,
        _ROUNDS_PER_WAVE * round_spans,
        -(-_UNITS_PER_WAVE * scan.source.unit[1] // scan.stream.span_width),
    )
    most_nodes = max(1, _WAVE_BYTES // graph.partial_bytes)
    count = fewest
    while sums.span < spans:
        first, began = sums.first_column, time.monotonic()
        stop = wave_stop(sums.span, count, spans=spans, most_nodes=most_nodes)
        nodes = cover(sums.span, stop)
        lazy = [graph.node(node) for node in nodes]
        doing = f"summing spans {sums.span:,} to {stop:,} of {scan.source.name} with dask"
        computed = _result(doing, lazy, execution)
        for node, packed in zip(nodes, computed, strict=True):
            sums.take(node, packed, serially)
        yield int((min(sums.first_column, d) - first) * column_bytes)
        seconds = max(1e-3, time.monotonic() - began)
        count = max(fewest, int(count * min(ARITY, _WAVE_SECONDS / seconds)))
        count -= count % round_spans


def wave_stop(start: int, count: int, *, spans: int, most_nodes: int) -> int:
    """Return where a wave of about ``count`` spans ends: on the edge of a group, or of all."""
    stop = max(start + ARITY, start + count)
    stop = spans if stop >= spans else stop // ARITY * ARITY
    return cover(start, stop)[:most_nodes][-1].spans[1]


def _result(doing: str, lazy: list[Lazy], execution: Execution) -> tuple[Any, ...]:
    """Return what dask computes, on a thread of its own, so that signals are heard meanwhile.

    Raises
    ------
    StoreError : if the cluster is lost, or gives up.
    """
    # Which scheduler is the current one may be known to this context alone.
    context = contextvars.copy_context()

    def compute(lazy: list[Lazy]) -> tuple[Any, ...]:
        return attempt_once(doing, lambda: context.run(_compute, *lazy))

    (computed,) = read_ahead(compute, [lazy], ahead=0, check=execution.interrupts.check)
    return computed
