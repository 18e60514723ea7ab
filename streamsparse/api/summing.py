"""One part of a run, from a checked request and an open source to a folder of sums."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamsparse.api.identity import Identity, Policies
from streamsparse.api.part_set import Part, PartSet, first_pass_at, known_of
from streamsparse.api.running import check_source
from streamsparse.errors import (
    BudgetTooSmallError,
    OutputExistsError,
    ParameterError,
    StreamSparseError,
)
from streamsparse.methods.auto import make_plan
from streamsparse.methods.base import Job, Request
from streamsparse.methods.run import next_scan
from streamsparse.running.checkpoint import first_difference
from streamsparse.running.facts import Facts
from streamsparse.running.interrupts import Interrupts
from streamsparse.running.local import Execution
from streamsparse.running.memory import PeakMemory
from streamsparse.running.plan import Plan
from streamsparse.running.progress import Progress, show_progress
from streamsparse.running.shares import MadeElsewhere, columns_of, join_shares, share_of, sum_share
from streamsparse.running.threads import available_threads, blas_kernels
from streamsparse.sources.base import Source
from streamsparse.sources.digests import digest_of
from streamsparse.storing.commit import Workplace
from streamsparse.storing.part_store import PartWriter, check_part_output, is_part, open_part


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part, and where it goes.

    Attributes
    ----------
    path : of the part.
    number, count : which of how many.
    after : the first pass, merged, where this is a part of the second; else None.
    overwrite, resume : as for ``reduce_part``.
    address : path or URL by which others find the source; None where it has none.
    source_path : the local path that is read, None where it has none.
    """

    path: Path
    number: int
    count: int
    after: Path | None
    overwrite: bool
    resume: bool
    address: str | None
    source_path: Path | None


def sum_part(
    source: Source, request: Request, policies: Policies, wanted: Wanted, *, progress: str | bool
) -> Part:
    """Plan, sum the columns of one part and commit it; or return it where it is there."""
    if not (wanted.resume and is_part(wanted.path)):
        _check_out(wanted)
    plan = make_plan(Facts.of(source), request, threads=available_threads())
    _refuse_unfit(plan)
    before = None if wanted.after is None else _first_pass(wanted.after, plan)
    return PartRun(source, plan, policies, wanted, before=before).finish(progress)


def join_parts(source: Source, parts: PartSet, wanted: Wanted, *, progress: str | bool) -> Part:
    """Make one part of all those of a pass and commit it; or return it where it is there."""
    if not (wanted.resume and is_part(wanted.path)):
        _check_out(wanted)
    return PartRun(source, parts.plan, parts.policies, wanted, joined=parts).finish(progress)


def _check_out(wanted: Wanted) -> None:
    check_part_output(wanted.path, overwrite=wanted.overwrite, source_path=wanted.source_path)


def _refuse_unfit(plan: Plan) -> None:
    """Refuse what cannot be summed in parts.

    Raises
    ------
    ParameterError, BudgetTooSmallError : saying why, and what to do.
    """
    if plan.method == "select":
        raise ParameterError(
            "method 'select' decides about one column after the other, so its columns cannot be "
            "shared out: run it as one job (it can be resumed), or use 'exact', 'sketch' or "
            "'sample'"
        )
    if plan.stream.rebucket:
        other = "" if plan.method == "sketch" else "use method 'sketch', "
        raise BudgetTooSmallError(
            f"method {plan.method!r} needs whole columns, which do not fit: every part would first "
            f"rewrite all of {plan.source} by columns; raise memory until the plan has one row "
            f"band and no temporary disk, {other}or rechunk X by columns"
        )


def _first_pass(path: Path, plan: Plan) -> PartSet:
    if plan.scans == 1:
        raise ParameterError(f"method {plan.method!r} makes one pass: leave out after (--after)")
    return first_pass_at(path)


class PartRun:
    """The making of one part.

    ``before``: the pass before that of the part; ``joined``: what it is made of, if not of X.
    """

    def __init__(
        self,
        source: Source,
        plan: Plan,
        policies: Policies,
        wanted: Wanted,
        *,
        before: PartSet | None = None,
        joined: PartSet | None = None,
    ) -> None:
        share = share_of(wanted.number, wanted.count, spans=plan.stream.spans)
        self._interrupts = Interrupts()
        self._source, self._plan, self._policies = source, plan, policies
        self._wanted, self._share, self._before, self._joined = wanted, share, before, joined
        self._began = time.perf_counter() - (0 if joined is None else joined.seconds)
        self._identity = Identity(source, plan, policies)
        self._columns = (0, 0)
        if joined is None:
            self._columns = columns_of(source, share, plan.stream.span_width)
        self._facts: dict[str, Any] = {
            "identity": self._identity.facts(),
            "scan": 0 if before is None else 1,
            "number": wanted.number,
            "count": wanted.count,
            "spans": list(share),
        }
        if before is not None:
            before.refuse_other(self._facts["identity"])

    def finish(self, progress: str | bool) -> Part:
        """Make the part and commit it; or return it where it is there."""
        wanted = self._wanted
        with self._interrupts.watching(), Workplace(wanted.path).entered() as place:
            if wanted.resume and (done := self._finished()) is not None:
                return done
            # What was being replaced when a run died is back now.
            _check_out(wanted)
            with place.staged(overwrite=wanted.overwrite) as temporary:
                self._write(temporary, progress)
            return Part.of(open_part(wanted.path))

    def _finished(self) -> Part | None:
        """Return the part if it is there; None if nothing is, or something that may be replaced.

        Raises
        ------
        OutputExistsError : if another part is there, naming what differs.
        """
        wanted = self._wanted
        if not is_part(wanted.path):
            return None
        try:
            stored = open_part(wanted.path)
        except StreamSparseError:
            if wanted.overwrite:
                return None
            raise
        difference = first_difference(_known_of(stored.facts), _known_of(self._facts))
        if difference is None:
            return Part.of(stored)
        if wanted.overwrite:
            return None
        raise OutputExistsError(
            f"{wanted.path} is a part of another run: {difference}; choose another name, or "
            f"replace it with overwrite=True (-f)"
        )

    def _write(self, folder: Path, progress: str | bool) -> None:
        """Sum the columns and write the part."""
        source, plan = self._source, self._plan
        check_source(source, plan)
        portion = (self._columns[1] - self._columns[0]) / plan.d
        total = int(Facts.of(source).used_bytes * (1 if self._joined else portion))
        key = digest_of(*(repr(self._facts[name]) for name in sorted(self._facts)))
        writer = PartWriter(folder, key, check=self._interrupts.check)
        with PeakMemory() as peak, show_progress(progress, label=plan.method, total=total) as bar:
            execution = self._execution(bar)
            scan = next_scan(Job(source, plan, execution, None))
            if self._joined is None:
                sum_share(scan, self._share, execution, writer.put)
            else:
                joined = self._joined
                peak.include(joined.peak_memory_bytes)
                join_shares(scan, lambda _, band: joined.nodes(band), execution, writer.put)
        self._identity.refuse_change()
        writer.finish(
            self._facts
            | {
                "plan": plan.to_dict(),
                "source": self._wanted.address,
                "after": None if self._wanted.after is None else str(self._wanted.after),
                "kernels": blas_kernels(),
                "seconds": time.perf_counter() - self._began,
                "peak_memory_bytes": peak.sample(),
                "bytes_read": int(plan.stream.bytes_to_read / plan.scans * portion),
                "bytes_written": writer.nbytes,
            }
        )

    def _execution(self, bar: Progress) -> Execution:
        return Execution(
            threads=available_threads(),
            zero_nonfinite=self._policies.nonfinite == "zero",
            progress=bar,
            interrupts=self._interrupts,
            workers=passes_of(self._before),
            columns=self._columns,
        )


def passes_of(*sets: PartSet | None) -> MadeElsewhere:
    """Return what gives a method the passes of these parts, the first pass first."""
    made = [parts for parts in sets if parts is not None]
    return MadeElsewhere(lambda scan, band: made[scan].nodes(band), passes=len(made))


def _known_of(facts: dict[str, Any]) -> dict[str, Any]:
    return known_of(facts) | {"part": f"{facts['number']}/{facts['count']}"}
