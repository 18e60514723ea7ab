"""One reduction, from a checked request and an open source to a Result."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsparse import result as results
from streamsparse.api.arguments import check_flag, check_out
from streamsparse.api.outcome import result_of, warn_if_missed
from streamsparse.api.workers import dask_workers
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
from streamsparse.result import Result
from streamsparse.running.checkpoint import PRECIOUS_SECONDS, Checkpoints
from streamsparse.running.facts import Facts
from streamsparse.running.interrupts import Interrupts
from streamsparse.running.local import Execution, Workers
from streamsparse.running.memory import PeakMemory
from streamsparse.running.plan import Plan
from streamsparse.running.progress import show_progress
from streamsparse.running.threads import available_threads
from streamsparse.sketching.run_hash import HASH_VERSION
from streamsparse.sources.base import Source
from streamsparse.sources.digests import digest_of
from streamsparse.storing.commit import Workplace, check_output, is_complete
from streamsparse.storing.result_store import ResultWriter, open_result
from streamsparse.units import format_seconds
from streamsparse.version import __version__


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
class Policies:
    """What to do about absent chunks and about NaN, as for ``sparsify``."""

    missing: str
    nonfinite: str


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
    out = destination.out
    if out is not None and not (destination.resume and is_complete(out)):
        _check_out(out, destination, source_paths)
    plan = make_plan(Facts.of(source), request, threads=available_threads())
    run = _Run(source, plan, policies, start, progress, on_workers=on_workers)
    with run.interrupts.watching():
        result = run.in_memory() if out is None else run.to_disk(out, destination, source_paths)
    warn_if_missed(result)
    return result


def delay_source(source: Source, request: Request, *, policies: Policies) -> Any:
    """Plan, and return a Delayed of dask whose value is the Result."""
    plan = make_plan(Facts.of(source), request, threads=available_threads())
    run = _Run(source, plan, policies, None, False, on_workers=True)
    return run.lazily()


def _check_out(out: Path, destination: Destination, source_paths: list[Path | None]) -> None:
    for path in source_paths:
        check_output(out, overwrite=destination.overwrite, source_path=path)


class _Run:
    """One reduction: what is read, how, and what its bits depend on."""

    def __init__(
        self,
        source: Source,
        plan: Plan,
        policies: Policies,
        start: Start | None,
        progress: str | bool,
        *,
        on_workers: bool,
    ) -> None:
        self.interrupts = Interrupts()
        self._source, self._plan, self._policies = source, plan, policies
        self._start, self._progress, self._on_workers = start, progress, on_workers
        self._began = time.perf_counter()
        # Of what others can write to while it is read: how it was.
        self._fingerprint = source.fingerprint() if source.is_stored else None

    def in_memory(self) -> Result:
        """Return the result, Y in memory."""
        return self._reduce(output=None, scratch=None, checkpoints=None)

    def lazily(self) -> Any:
        """Return a Delayed of the result."""
        # Importing dask takes a while, and nothing else needs it.
        from streamsparse.api.lazy import lazy_result  # noqa: PLC0415

        self._source.verify()
        return lazy_result(
            self._source,
            self._plan,
            identity=self._digest(),
            fingerprint=self._fingerprint,
            zero_nonfinite=self._policies.nonfinite == "zero",
        )

    def to_disk(
        self, out: Path, destination: Destination, source_paths: list[Path | None]
    ) -> Result:
        """Return the result, Y in a group at ``out``; unfinished work is kept beside it."""
        with Workplace(out).entered() as place:
            checkpoints = Checkpoints(place.folder, self._identity, check=self.interrupts.check)
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
                    self._warn_if_known_by_name()
            else:
                _discard(checkpoints, out, overwrite=destination.overwrite)
            try:
                with place.staged(overwrite=destination.overwrite) as temporary:
                    writer = ResultWriter(temporary)
                    result = self._reduce(writer, place.folder, checkpoints)
                    results.finish_writing(writer, result, run=self._key(resume=destination.resume))
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
        return results.with_stored(result, out)

    def _reduce(
        self, output: ResultWriter | None, scratch: Path | None, checkpoints: Checkpoints | None
    ) -> Result:
        source, plan = self._source, self._plan
        source.verify()
        if plan.stream.bands > 1:
            # Rows are uneven: one that does not fit is refused here, before anything is read.
            source.bands(plan.stream.band_rows, plan.stream.block_bytes)
        total = plan.scans * Facts.of(source).used_bytes
        with (
            PeakMemory() as peak,
            show_progress(self._progress, label=plan.method, total=total) as bar,
        ):
            execution = Execution(
                threads=available_threads(),
                zero_nonfinite=self._policies.nonfinite == "zero",
                progress=bar,
                checkpoints=checkpoints,
                interrupts=self.interrupts,
                workers=self._workers(),
            )
            job = Job(source, plan, execution, output, scratch=scratch, start=self._start)
            result = result_of(job, run_plan(job), self._began, peak)
        if self._fingerprint not in (None, source.fingerprint()):
            raise SourceChangedError(
                f"{source.name} was written to while it was read; reduce it again when nobody "
                f"writes to it"
            )
        return result

    def _workers(self) -> Workers | None:
        return dask_workers(self._digest()) if self._on_workers else None

    def _warn_if_known_by_name(self) -> None:
        if self._source.is_known_by_name:
            warnings.warn(
                f"{self._source.name} is known by its name alone: if what it reads has changed "
                f"since the run began, this is no result of what is there now; begin again without "
                f"resume if it may have",
                StreamSparseWarning,
                stacklevel=5,
            )

    def _identity(self) -> dict[str, Any]:
        """Return what the bits of Y depend on, by name."""
        return {
            "streamsparse": __version__,
            "hash_version": HASH_VERSION,
            "source": self._fingerprint or self._source.fingerprint(),
            **self._plan.identity(),
            "row_bands": self._row_bands(),
            "missing": self._policies.missing,
            "nonfinite": self._policies.nonfinite,
            "start": None if self._start is None else self._start.digest(),
        }

    def _row_bands(self) -> str | None:
        """Return a digest of the row bands, which follow from the size of blocks; None for one."""
        stream = self._plan.stream
        if stream.bands == 1:
            return None
        return digest_of(self._source.bands(stream.band_rows, stream.block_bytes))

    def _key(self, *, resume: bool) -> str | None:
        """Return a digest of the identity; None where it costs a look at values nobody asked for.

        ``resume``: somebody did, who may ask again.
        """
        if self._fingerprint is None and not resume:
            return None
        return self._digest()

    def _digest(self) -> str:
        text = json.dumps(self._identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

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
        if stored.attributes.get("run") != self._key(resume=True):
            return None
        self._warn_if_known_by_name()
        return results.from_stored(stored)


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
