"""What a run keeps on disk so that it can go on: after Ctrl-C, kill, a crash, a failed store."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from streamsparse.errors import CheckpointMismatchError, StoreError, StreamSparseWarning
from streamsparse.running.threads import Check, blas_kernels, nothing_ends_it
from streamsparse.storing.files import remove_tree
from streamsparse.storing.records import (
    DamagedRecordError,
    Portable,
    count_bytes,
    read_facts,
    read_record,
    write_record,
)

# Between two checkpoints, unless writing one takes more than this share of the time.
INTERVAL_SECONDS = 30.0
_SHARE_OF_TIME = 1 / 40
# What is done within so short a time is done again rather than kept.
WORTH_KEEPING_SECONDS = 5.0
# More work than this is not thrown away unasked.
PRECIOUS_SECONDS = 60.0
# What memory decides unless m is given.
_BY_MEMORY = {
    *("bands", "band_rows", "row_bands", "span_width", "spans"),
    *("m", "sketch_columns", "most_columns", "pool_columns", "checked_rows", "probes"),
}
# A run that is asked to end keeps what can be written in so short a time: by what writing took
# before, or by the speed of a slow disk.
_SALVAGE_SECONDS = 1.0
_BYTES_PER_SECOND = 200e6

_SLOTS = ("checkpoint-a", "checkpoint-b")
_COMPLETE = "pass-"


class Place(NamedTuple):
    """Where in a run sums are made: which pass over the data, which band of rows."""

    scan: int
    band: int


class Savable(Protocol):
    """Sums that can be kept; ``span`` is the first one that is not in them."""

    span: int

    def save(self) -> Portable:
        """Return them."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """A record of an earlier run: the sums of how many spans, or of all."""

    path: Path
    place: Place
    span: int
    is_complete: bool


class Checkpoints:
    """Keeps the sums of a run in a folder, and finds them again.

    Two slots, written in turn, hold the pass that is under way. A band that is complete has a
    record of its own, so that neither later passes nor the dense stage make it again. Of a record
    every byte is as it was written, or it does not count; then the one before it does.

    Parameters
    ----------
    folder : of the output that is being made; nobody else writes there.
    identity : returns what the bits of the run depend on: by name, JSON values.
    check : raises if the run is asked to end.

    Attributes
    ----------
    seconds_before : of work that is in what was found.
    """

    def __init__(
        self, folder: Path, identity: Callable[[], dict[str, Any]], *, check: Check
    ) -> None:
        self._folder, self._identity, self._check = folder, identity, check
        self._facts: dict[str, Any] | None = None
        self._started = self._last = time.monotonic()
        self._rate = _BYTES_PER_SECOND
        self._cost = 0.0
        self._next_slot = 0
        self._found: list[_Kept] = []
        self._furthest = (Place(0, 0), 0)
        self.seconds_before = 0.0

    def seconds_found(self) -> float:
        """Return how much work the records in the folder stand for; 0 without any."""
        return max((facts["seconds"] for _, facts in self._records()), default=0.0)

    @property
    def has_any(self) -> bool:
        """Whether there is something to continue from."""
        return any(True for _ in self._records())

    def discard(self) -> None:
        """Remove all records."""
        for path in self._paths():
            remove_tree(path)

    def recover(self) -> None:
        """Look at what an earlier run has left; what is damaged is left out.

        Raises
        ------
        CheckpointMismatchError : if that was another run: what differs, and how.
        """
        for path, facts in self._records():
            _refuse_other(facts["identity"], self._own_identity(), self._folder)
            warn_of_other_kernels(facts["kernels"])
            if facts["kernels"] != blas_kernels() and facts["place"][0] > 0:
                # Later passes follow from eigenvectors of the first, and those have other signs.
                continue
            kept = _Kept(path, Place(*facts["place"]), facts["span"], facts["is_complete"])
            self._found.append(kept)
            self.seconds_before = max(self.seconds_before, facts["seconds"])
            if not kept.is_complete:
                self._furthest = max(self._furthest, (kept.place, kept.span))

    def find(self, place: Place) -> Portable | None:
        """Return the sums that were kept of a band, those of most spans; None without any."""
        here = [kept for kept in self._found if kept.place == place]
        for kept in sorted(here, key=lambda kept: (kept.is_complete, kept.span), reverse=True):
            try:
                sums = read_record(kept.path)
            except (DamagedRecordError, StoreError):
                # A sector that cannot be read is as good as one that was changed.
                continue
            if kept.path.name in _SLOTS:
                self._next_slot = 1 - _SLOTS.index(kept.path.name)
            return sums
        return None

    def offer(self, place: Place, sums: Savable) -> None:
        """Keep the sums if it is time to.

        Raises
        ------
        StoreError : if they cannot be written.
        """
        pause = max(INTERVAL_SECONDS, self._cost / _SHARE_OF_TIME)
        if time.monotonic() - self._last >= pause and (place, sums.span) > self._furthest:
            self._write_slot(place, sums.span, sums.save(), check=self._check)

    def complete(self, place: Place, sums: Savable) -> None:
        """Keep the sums of a band that is complete, if making them again would take a while.

        Raises
        ------
        StoreError : if they cannot be written.
        """
        if self._elapsed() >= WORTH_KEEPING_SECONDS:
            path = self._folder / f"{_COMPLETE}{place.scan}-band-{place.band}"
            self._write(path, place, sums.span, sums.save(), is_complete=True, check=self._check)

    def salvage(self, place: Place, sums: Savable, *, at_least: bool) -> None:
        """Keep what can be kept in a second; ``at_least`` what says which run this was."""
        if self._furthest > (place, sums.span) or not (sums.span or at_least):
            return
        saved = sums.save()
        if count_bytes(saved) > self._rate * _SALVAGE_SECONDS:
            if self.has_any or not at_least:
                return
            saved = None
        # What ends the run is said by whoever calls this.
        with suppress(StoreError):
            self._write_slot(place, sums.span if saved else 0, saved, check=nothing_ends_it)

    def _write_slot(self, place: Place, span: int, saved: Portable, *, check: Check) -> None:
        path = self._folder / _SLOTS[self._next_slot]
        self._write(path, place, span, saved, is_complete=False, check=check)
        self._next_slot = 1 - self._next_slot
        self._furthest = (place, span)

    def _write(
        self,
        path: Path,
        place: Place,
        span: int,
        saved: Portable,
        *,
        is_complete: bool,
        check: Check,
    ) -> None:
        facts = {
            "identity": self._own_identity(),
            "kernels": blas_kernels(),
            "place": list(place),
            "span": span,
            "is_complete": is_complete,
            "seconds": self.seconds_before + self._elapsed(),
        }
        began = time.monotonic()
        write_record(path, facts, saved, check=check)
        self._last = time.monotonic()
        self._cost = self._last - began
        self._rate = max(1.0, count_bytes(saved)) / max(self._cost, 1e-6)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _own_identity(self) -> dict[str, Any]:
        if self._facts is None:
            # As it will be read again.
            self._facts = json.loads(json.dumps(self._identity()))
        return self._facts

    def _paths(self) -> list[Path]:
        return [
            path
            for path in sorted(self._folder.iterdir())
            if path.name in _SLOTS or path.name.startswith(_COMPLETE)
        ]

    def _records(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path in self._paths():
            with suppress(DamagedRecordError):
                yield path, read_facts(path)


def first_difference(theirs: dict[str, Any], mine: dict[str, Any]) -> str | None:
    """Return what differs first between the identities of two runs; None where nothing does."""
    for name in (*mine, *theirs):
        if theirs.get(name) != mine.get(name):
            why = ", which may follow from memory" if name in _BY_MEMORY else ""
            return f"it has {name} = {theirs.get(name)!r}, this one {mine.get(name)!r}{why}"
    return None


def _refuse_other(theirs: dict[str, Any], mine: dict[str, Any], folder: Path) -> None:
    """Refuse what another run has kept: name what differs first."""
    difference = first_difference(theirs, mine)
    if difference is not None:
        raise CheckpointMismatchError(
            f"{folder} is of another run: {difference}; resume with what was given then, or begin "
            f"again with overwrite=True (-f) and without resume"
        )


def warn_of_other_kernels(theirs: str) -> None:
    """Say where bits may differ, given the BLAS kernels that sums were made with."""
    mine = blas_kernels()
    if theirs != mine:
        warnings.warn(
            f"the run goes on with other BLAS kernels ({mine}) than it began with ({theirs}): the "
            f"answer is as good, but its last bits may be others",
            StreamSparseWarning,
            stacklevel=2,
        )
