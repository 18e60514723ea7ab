"""Results that dask will compute: a graph, and nothing computed while it is made."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from streamsparse.api.identity import Identity, Policies
from streamsparse.api.outcome import result_of
from streamsparse.errors import ParameterError, SourceChangedError
from streamsparse.methods.auto import make_plan
from streamsparse.methods.base import Job, Request
from streamsparse.methods.run import next_scan, run_plan
from streamsparse.results.result import Result
from streamsparse.running.facts import Facts
from streamsparse.running.feeds import feed_of
from streamsparse.running.graph import BandGraph, Lazy, constant, key_of, task
from streamsparse.running.local import Execution
from streamsparse.running.memory import PeakMemory
from streamsparse.running.plan import Plan
from streamsparse.running.progress import show_progress
from streamsparse.running.shares import MadeElsewhere
from streamsparse.running.spans import Node, tree_depth
from streamsparse.running.tasks import Work
from streamsparse.running.threads import available_threads
from streamsparse.sources.base import Source
from streamsparse.sources.described import DescribedSource
from streamsparse.sources.digests import digest_of
from streamsparse.storing.records import Portable


@dataclass(frozen=True, slots=True)
class LazyJob:
    """A reduction whose passes are made by other tasks.

    Attributes
    ----------
    source : the store, or what is known of a dask array.
    plan, zero_nonfinite : as for any run.
    fingerprint : of the store when the graph was made, None for what is no store.
    """

    source: Source
    plan: Plan
    zero_nonfinite: bool
    fingerprint: str | None

    def job(self, passes: tuple[list[Portable], ...]) -> Job:
        """Return the job, given the packed sums of the passes that were made."""

        def nodes(number: int, _: int) -> Iterator[tuple[Node, list[Portable]]]:
            # A copy: what is found of a pass is worked on, and tasks change nothing.
            spans = self.plan.stream.spans
            yield Node(tree_depth(spans), 1, (0, spans)), copy.deepcopy(passes[number])

        silent = show_progress(False, label="", total=0)
        made = MadeElsewhere(nodes, passes=len(passes))
        execution = Execution(1, self.zero_nonfinite, silent, workers=made)
        return Job(self.source, self.plan, execution, output=None)

    def work(self, *passes: list[Portable]) -> Work:
        """Return what the tasks of the next pass share."""
        scan = next_scan(self.job(passes))
        return Work(
            accumulators=scan.accumulators,
            rows=(0, self.plan.n),
            span_width=scan.stream.span_width,
            d=self.plan.d,
            by_rows=scan.by_rows,
            zero_nonfinite=self.zero_nonfinite,
        )

    def result(self, *passes: list[Portable]) -> Result:
        """Return the result, all passes given.

        Raises
        ------
        SourceChangedError : if the store was written to since the graph was made.
        """
        started, job = time.perf_counter(), self.job(passes)
        with PeakMemory() as peak:
            result = result_of(job, run_plan(job), started, peak, timeline=())
        if self.fingerprint is not None and self.fingerprint != self.source.fingerprint():
            raise SourceChangedError(
                f"{self.source.name} was written to since the graph that reads it was made; make "
                f"it again when nobody writes to it"
            )
        return result


def lazy_result(source: Source, request: Request, policies: Policies) -> Lazy:
    """Plan, and return a Delayed that computes to the result.

    Raises
    ------
    ParameterError : for a plan that no graph of tasks can follow: why, and what to do.
    StreamSparseError : as ``sparsify`` before its first read.
    """
    plan = make_plan(Facts.of(source), request, threads=available_threads())
    _check_plan(plan, is_lazy=source.is_lazy)
    source.verify()
    identity = Identity(source, plan, policies)
    name = digest_of(identity.digest(), "lazy")[:16]
    bare = DescribedSource(source) if source.is_lazy else source
    job = LazyJob(bare, plan, policies.nonfinite == "zero", identity.fingerprint)
    lazy_job = constant("job", name, job)
    feed = feed_of(name, source, block_bytes=plan.stream.block_bytes)
    column_bytes = Facts.of(source).used_bytes / plan.d
    graph = BandGraph.make(f"{name}-0", job.work(), feed, column_bytes=column_bytes, lanes=None)
    passes = [graph.total()]
    while len(passes) < plan.scans:
        here = f"{name}-{len(passes)}"
        work = task(LazyJob.work, lazy_job, *passes, key=key_of("work", here))
        passes.append(replace(graph, name=here, work=work).total())
    return task(LazyJob.result, lazy_job, *passes, key=key_of("result", name))


def _check_plan(plan: Plan, *, is_lazy: bool) -> None:
    why = None
    if plan.method == "select":
        why = "method 'select' chooses column after column, here; sample draws them"
    elif plan.stream.bands > 1 or (plan.stream.rebucket and not is_lazy):
        why = (
            "whole columns of X do not fit the memory of one task; raise memory, or rechunk X so "
            "that a chunk holds fewer columns"
        )
    if why is not None:
        raise ParameterError(f"compute=False makes a graph before anything is known of X: {why}")
