"""Parts: what one holds, and all of a pass together, which must fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from streamsparse.api.identity import Policies
from streamsparse.arrays import Interval
from streamsparse.errors import PartMismatchError, SourceChangedError
from streamsparse.running.checkpoint import first_difference, warn_of_other_kernels
from streamsparse.running.plan import Plan
from streamsparse.running.spans import Node, cover
from streamsparse.running.threads import blas_kernels
from streamsparse.storing.part_store import StoredPart, open_part
from streamsparse.storing.records import Portable
from streamsparse.units import format_bytes, format_seconds

# Of missing parts so many are named.
_NAMED = 8


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a run on disk: the sums of some columns of X.

    Attributes
    ----------
    path : where it is.
    number, count : which of how many, 1 .. count; 1 of 1 for a whole pass.
    scan, scans : the pass that it is of, 1 .. scans, and how many the method makes.
    spans : the units of summation in it, [first, stop).
    columns : of X that they are, [first, stop).
    bytes_read : of X, about: whole chunks, so that neighbours may read one twice; 0 for a merge.
    bytes_written : of sums.
    seconds, peak_memory_bytes : what it took; the peak is None where nobody knows.
    plan : of the run.
    """

    path: Path
    number: int
    count: int
    scan: int
    scans: int
    spans: Interval
    columns: Interval
    bytes_read: int
    bytes_written: int
    seconds: float
    peak_memory_bytes: int | None
    plan: Plan

    @classmethod
    def of(cls, stored: StoredPart) -> Part:
        """Return the part that is stored."""
        facts = stored.facts
        plan = Plan.from_dict(facts["plan"])
        first, stop = facts["spans"]
        width = plan.stream.span_width
        return cls(
            path=stored.path,
            number=facts["number"],
            count=facts["count"],
            scan=facts["scan"] + 1,
            scans=plan.scans,
            spans=(first, stop),
            columns=(first * width, min(stop * width, plan.d)),
            bytes_read=facts["bytes_read"],
            bytes_written=facts["bytes_written"],
            seconds=facts["seconds"],
            peak_memory_bytes=facts["peak_memory_bytes"],
            plan=plan,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the part as JSON-ready values."""
        return {
            "part": str(self.path),
            "number": self.number,
            "count": self.count,
            "pass": self.scan,
            "passes": self.scans,
            "spans": list(self.spans),
            "columns": list(self.columns),
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "seconds": self.seconds,
            "peak_memory_bytes": self.peak_memory_bytes,
            "plan": self.plan.to_dict(),
        }

    def __str__(self) -> str:
        """Return what it holds as lines of at most 80 columns."""
        plan, (first, stop), (a, b) = self.plan, self.spans, self.columns
        of = f", pass {self.scan} of {self.scans}" if self.scans > 1 else ""
        peak = (
            ""
            if self.peak_memory_bytes is None
            else f", peak {format_bytes(self.peak_memory_bytes)}"
        )
        return "\n".join(
            [
                f"part {self.number} of {self.count}: method {plan.method}{of}",
                f"  spans    {first:,} to {stop:,} of {plan.stream.spans:,}",
                f"  columns  {a:,} to {b:,} of {plan.d:,}",
                f"  read     about {format_bytes(self.bytes_read)} in "
                f"{format_seconds(self.seconds)}{peak}",
                f"  holds    {format_bytes(self.bytes_written)} of sums",
            ]
        )


class PartSet:
    """All parts of one pass, in the order of their spans.

    Raises
    ------
    PartMismatchError : if they are of several runs or passes, or some spans are there twice or not
        at all.
    StreamSparseError : for what is no part, or damaged.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        opened = [open_part(path) for path in paths]
        self.parts = sorted(opened, key=lambda part: part.facts["spans"])
        self.facts = self.parts[0].facts
        self.plan = Plan.from_dict(self.facts["plan"])
        for part in self.parts[1:]:
            difference = first_difference(known_of(part.facts), known_of(self.facts))
            if difference is not None:
                raise PartMismatchError(
                    f"{part.path} and {self.parts[0].path} are parts of two runs: "
                    f"{difference.replace('this one', 'the other')}; sum one of them again"
                )
        self._refuse_overlap()
        self._refuse_gap()

    def _refuse_overlap(self) -> None:
        for one, other in pairwise(self.parts):
            stop, start = one.facts["spans"][1], other.facts["spans"][0]
            if start < stop:
                raise PartMismatchError(
                    f"{one.path} (part {_name(one)}) and {other.path} (part {_name(other)}) both "
                    f"have span {start:,}; leave one of them out"
                )

    def _refuse_gap(self) -> None:
        spans, width = self.plan.stream.spans, self.plan.stream.span_width
        stop = 0
        for start, following in [*(part.facts["spans"] for part in self.parts), (spans, spans)]:
            if start > stop:
                columns = f"{stop * width:,} to {min(start * width, self.plan.d):,}"
                raise PartMismatchError(
                    f"spans {stop:,} to {start:,} of {spans:,} (columns {columns}) are in no "
                    f"part{self._missing()}"
                )
            stop = following

    def _missing(self) -> str:
        """Return which parts are not there, if all are of as many."""
        counts = {part.facts["count"] for part in self.parts}
        if len(counts) > 1:
            return "; these parts are of different numbers of parts"
        (count,) = counts
        there = {part.facts["number"] for part in self.parts}
        missing = [number for number in range(1, count + 1) if number not in there]
        named = ", ".join(f"{number}/{count}" for number in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        return f"; missing: {named}{more}"

    @property
    def scan(self) -> int:
        """The pass that they are of, from 0."""
        return int(self.facts["scan"])

    @property
    def policies(self) -> Policies:
        """What they did about absent chunks and NaN."""
        identity = self.facts["identity"]
        return Policies(identity["missing"], identity["nonfinite"])

    @property
    def seconds(self) -> float:
        """What making them took, those before them included."""
        return float(sum(part.facts["seconds"] for part in self.parts))

    @property
    def peak_memory_bytes(self) -> int | None:
        """The largest peak of all, None where nobody knows."""
        peaks = [part.facts["peak_memory_bytes"] for part in self.parts]
        return None if None in peaks else max(peaks)

    def nodes(self, band: int) -> Iterator[tuple[Node, list[Portable]]]:
        """Yield the sums of a band of rows, one at a time, in the order of their spans."""
        for part in self.parts:
            for number, node in enumerate(cover(*part.facts["spans"])):
                yield node, part.read(band, number)

    def refuse_other(self, identity: dict[str, Any]) -> None:
        """Refuse to go on with another run than theirs.

        Raises
        ------
        SourceChangedError : if that is all that differs.
        PartMismatchError : naming what differs.
        """
        theirs = self.facts["identity"]
        difference = first_difference(theirs, identity)
        if difference is None:
            return
        if first_difference(theirs | {"source": identity["source"]}, identity) is None:
            raise SourceChangedError(
                f"the source is another one than that of {self.parts[0].path}, or was written to "
                f"since: sum all parts again when nobody writes to it"
            )
        raise PartMismatchError(
            f"{self.parts[0].path} is a part of another run: {difference}; go on with what was "
            f"given then, or sum all parts again"
        )

    def heed_kernels(self) -> None:
        """Warn where bits may differ because processors do; refuse where they would be mixed.

        Raises
        ------
        PartMismatchError : if later passes follow from eigenvectors that were computed twice.
        """
        mine = blas_kernels()
        others = [part for part in self.parts if part.facts["kernels"] != mine]
        if not others:
            return
        if self.scan > 0:
            raise PartMismatchError(
                f"{others[0].path} was summed with other BLAS kernels "
                f"({others[0].facts['kernels']}) than there are here ({mine}), and so with other "
                f"scores of columns: sum all parts of a later pass, and merge them, on one kind of "
                f"processor"
            )
        warn_of_other_kernels(others[0].facts["kernels"])


def first_pass_at(path: Path) -> PartSet:
    """Return the first of two passes, merged.

    Raises
    ------
    PartMismatchError : if something else is at the path.
    """
    found = PartSet([path])
    if found.scan != 0:
        raise PartMismatchError(f"{path} is no first pass, which after (--after) takes")
    return found


def known_of(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what the sums of a part are of, by name, but for their spans."""
    return {**facts["identity"], "pass": facts["scan"] + 1}


def _name(part: StoredPart) -> str:
    return f"{part.facts['number']}/{part.facts['count']}"
