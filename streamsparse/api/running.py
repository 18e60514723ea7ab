"""One reduction, from a checked request and an open source to a Result."""

from __future__ import annotations

import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamsparse.api.arguments import check_out
from streamsparse.api.identity import Identity, Policies
from streamsparse.api.outcome import result_of
from streamsparse.api.workers import dask_workers
from streamsparse.checks import check_flag
from streamsparse.errors import (
    OutputExistsError,
    ParameterError,
    RunInterrupted,
    SourceChangedError,
    StoreError,
    StreamSparseError,
    StreamSparseWarning,
)
from streamsparse.methods.auto import make_plan
from streamsparse.methods.base import Job, Request, Start
from streamsparse.methods.run import run_plan
from streamsparse.results.missed import warn_if_missed
from streamsparse.results.result import Result
from streamsparse.results.saved import reopened, write_rest
from streamsparse.running.checkpoint import PRECIOUS_SECONDS, Checkpoints, first_difference
from streamsparse.running.facts import Facts
from streamsparse.running.interrupts import Interrupts
from streamsparse.running.local import Execution, Workers
from streamsparse.running.memory import PeakMemory
from streamsparse.running.plan import Plan
from streamsparse.running.progress import show_progress
from streamsparse.running.threads import available_threads
from streamsparse.running.timeline import Timeline
from streamsparse.sources.base import Source
from streamsparse.storing.commit import Workplace, check_output, is_complete
from streamsparse.storing.result_store import ResultWriter, open_result
from streamsparse.units import format_seconds


@dataclass(frozen=True, slots=True)
class Destination:
    """Where Y goes: ``out`` None keeps it in memory; the other two as for ``sparsify``."""

    out: Path | None
    overwrite: bool
    resume: bool


def check_destination(out: str | Path | None, *, overwrite: bool, resume: bool) -> Destination:
    """Return where Y goes; a run can only be resumed where it left something."""
    if check_flag("resume", resume) and out is None:
        raise ParameterError("resume goes on with a run that writes to a path: give out")
    return Destination(check_out(out), check_flag("overwrite", overwrite), resume)


@dataclass(frozen=True, slots=True)
class Made:
    """Passes that were made before, in parts.

    Attributes
    ----------
    workers : gives their sums to a method.
    seconds : that making them took.
    peak_memory_bytes : the largest that any process had; None where nobody knows.
    """

    workers: Workers
    seconds: float
    peak_memory_bytes: int | None


def reduce_source(
    source: Source,
    request: Request,
    *,
    destination: Destination,
    policies: Policies,
    source_paths: list[Path | None],
    progress: str | bool,
    start: Start | None = None,
    on_workers: bool = False,
) -> Result:
    """Plan, run, certify and, where there is an output, commit; warn if epsilon was not met.

    ``on_workers``: passes are run as tasks of dask.
    """
    check_out_of(destination, source_paths)
    plan = make_plan(Facts.of(source), request, threads=available_threads())
    run = Run(source, plan, policies, start, progress, on_workers=on_workers)
    result = run.finish(destination, source_paths)
    warn_if_missed(result)
    return result


def check_source(source: Source, plan: Plan) -> None:
    """Refuse a source that is not all there, or that does not fit the plan, before it is read."""
    source.verify()
    if plan.stream.bands > 1:
        # Rows are uneven: one may not fit.
        source.bands(plan.stream.band_rows, plan.stream.block_bytes)


def check_out_of(destination: Destination, source_paths: list[Path | None]) -> None:
    """Refuse what is in the way of an output, unless it may be what a resumed run has made."""
    out = destination.out
    if out is not None and not (destination.resume and is_complete(out)):
        _check_out(out, destination, source_paths)


def _check_out(out: Path, destination: Destination, source_paths: list[Path | None]) -> None:
    for path in source_paths:
        check_output(out, overwrite=destination.overwrite, source_path=path)


class Run:
    """One reduction: what is read, how, and what its bits depend on.

    ``made``: what is not read any more.
    """

    def __init__(
        self,
        source: Source,
        plan: Plan,
        policies: Policies,
        start: Start | None,
        progress: str | bool,
        *,
        on_workers: bool = False,
        made: Made | None = None,
    ) -> None:
        self.interrupts = Interrupts()
        self._source, self._plan, self._policies = source, plan, policies
        self._start, self._progress, self._on_workers = start, progress, on_workers
        self._made = made
        self._began = time.perf_counter() - (0 if made is None else made.seconds)
        self._identity = Identity(source, plan, policies, start)

    def finish(self, destination: Destination, source_paths: list[Path | None]) -> Result:
        """Return the result, Y in memory or where it belongs."""
        out = destination.out
        with self.interrupts.watching():
            if out is None:
                return self._reduce(output=None, scratch=None, checkpoints=None)
            return self._to_disk(out, destination, source_paths)

    def _to_disk(
        self, out: Path, destination: Destination, source_paths: list[Path | None]
    ) -> Result:
        """Return the result, Y in a group at ``out``; unfinished work is kept beside it."""
        with Workplace(out).entered() as place:
            checkpoints = Checkpoints(
                place.folder, self._identity.facts, check=self.interrupts.check
            )
            if destination.resume:
                done = self._finished(out, overwrite=destination.overwrite)
                if done is not None:
                    checkpoints.discard()
                    return done
            # What was being replaced when a run died is back now.
            _check_out(out, destination, source_paths)
            if destination.resume:
                checkpoints.recover()
                self._began -= checkpoints.seconds_before
                if checkpoints.has_any:
                    warn_if_known_by_name(self._source, stacklevel=6)
            else:
                _discard(checkpoints, out, overwrite=destination.overwrite)
            try:
                with place.staged(overwrite=destination.overwrite) as temporary:
                    writer = ResultWriter(temporary)
                    result = self._reduce(writer, place.folder, checkpoints)
                    write_rest(writer, result, run=self._identity.key(resume=destination.resume))
            except RunInterrupted as stop:
                raise _resumable(stop, checkpoints, out) from None
            except StoreError as error:
                if not checkpoints.has_any:
                    raise
                raise StoreError(f"{error}; {_way_on(out)}") from error
            except SourceChangedError:
                # Nothing can be made of sums over a mixture.
                checkpoints.discard()
                raise
            # Y is there: what is left over is swept by the next run, if not now.
            with suppress(StoreError):
                checkpoints.discard()
        return reopened(result, out)

    def _reduce(
        self, output: ResultWriter | None, scratch: Path | None, checkpoints: Checkpoints | None
    ) -> Result:
        source, plan = self._source, self._plan
        check_source(source, plan)
        total = plan.scans * Facts.of(source).used_bytes
        with (
            PeakMemory() as peak,
            show_progress(self._progress, label=plan.method, total=total, passes=plan.scans) as bar,
        ):
            timeline = Timeline(bar)
            execution = Execution(
                threads=available_threads(),
                zero_nonfinite=self._policies.nonfinite == "zero",
                progress=timeline,
                checkpoints=checkpoints,
                interrupts=self.interrupts,
                workers=self._workers(),
                columns=None if self._made is None else (0, 0),
            )
            job = Job(source, plan, execution, output, scratch=scratch, start=self._start)
            reduction = run_plan(job)
            if self._made is None:
                points = timeline.finish()
            else:
                # Others have read X, at times that nobody knows here.
                points = ()
                peak.include(self._made.peak_memory_bytes)
            result = result_of(job, reduction, self._began, peak, points)
        self._identity.refuse_change()
        return result

    def _workers(self) -> Workers | None:
        if self._made is not None:
            return self._made.workers
        return dask_workers() if self._on_workers else None

    def _finished(self, out: Path, *, overwrite: bool) -> Result | None:
        """Return the result at ``out`` if this very run has made it, before it died.

        Raises
        ------
        StreamSparseError : if it cannot be read, unless it may be replaced.
        """
        if not is_complete(out):
            return None
        try:
            stored = open_result(out)
        except StreamSparseError:
            if overwrite:
                return None
            raise
        if stored.attributes.get("run") != self._identity.key(resume=True):
            if not overwrite:
                self._refuse_other(out, Result.from_stored(stored))
            return None
        warn_if_known_by_name(self._source, stacklevel=6)
        return Result.from_stored(stored)

    def _refuse_other(self, out: Path, there: Result) -> None:
        """Refuse the result of another request: name what differs first, where plans tell."""
        difference = first_difference(there.plan.identity(), self._plan.identity())
        if difference is not None:
            raise OutputExistsError(
                f"{out} already exists, of another run: {difference}; choose another name, or "
                f"replace it with overwrite=True (-f)"
            )


def warn_if_known_by_name(source: Source, *, stacklevel: int) -> None:
    """Say so where nobody can know whether X is what it was."""
    if source.is_known_by_name:
        warnings.warn(
            f"{source.name} is known by its name alone: if what it reads has changed since the "
            f"run began, this is no result of what is there now; begin again without resume if it "
            f"may have",
            StreamSparseWarning,
            stacklevel=stacklevel,
        )


def _discard(checkpoints: Checkpoints, out: Path, *, overwrite: bool) -> None:
    """Drop what an earlier run has left, unless much work is in it and nobody said so."""
    if not overwrite and (seconds := checkpoints.seconds_found()) >= PRECIOUS_SECONDS:
        raise OutputExistsError(
            f"an unfinished run of {out} has {format_seconds(seconds)} of work in it; continue it "
            f"with resume=True (--resume), or begin again with overwrite=True (-f)"
        )
    checkpoints.discard()


def _resumable(stop: RunInterrupted, checkpoints: Checkpoints, out: Path) -> RunInterrupted:
    """Return what ended the run, with the way to go on."""
    text = str(stop)
    if checkpoints.has_any:
        text += f"; {_way_on(out)}"
    return RunInterrupted(stop.number, text, has_checkpoint=checkpoints.has_any)


def _way_on(out: Path) -> str:
    return (
        f"what was summed so far is kept beside {out}: the same call with resume=True (--resume) "
        f"goes on from there"
    )
