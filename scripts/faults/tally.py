"""Count what became of injected faults and print it as one table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

HEADER = "| fault | injected | detected or same bits | silent | crashes | note |"


@dataclass
class Tally:
    """What became of all faults of one kind.

    Attributes
    ----------
    name : of the kind.
    injected : faults injected.
    survived : ended in the documented error, or in the right bits.
    silent : ended in other bits without an error.
    crashes : killed the process, hung, or raised an exception that is not documented.
    note : what a reader should know besides.
    may_be_silent : whether nothing could have told the difference: ``silent`` is then no failure.
    """

    name: str
    injected: int = 0
    survived: int = 0
    silent: int = 0
    crashes: int = 0
    note: str = ""
    may_be_silent: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether the contract holds: every fault accounted for, none silent, no crash."""
        accounted = self.survived + self.silent + self.crashes == self.injected
        return accounted and not self.crashes and (self.may_be_silent or not self.silent)

    def add(self, outcome: str) -> None:
        """Count one fault that ended "survived", "silent" or "crashes"."""
        self.injected += 1
        setattr(self, outcome, getattr(self, outcome) + 1)


def print_table(tallies: Iterable[Tally], write: Callable[[str], object] = print) -> int:
    """Print one Markdown row per tally; return 1 if the contract is broken anywhere, else 0."""
    tallies = list(tallies)
    write(HEADER)
    write("|---|---:|---:|---:|---:|---|")
    for t in tallies:
        counts = " | ".join(f"{n:,}" for n in (t.injected, t.survived, t.silent, t.crashes))
        mark = "" if t.is_kept else "**broken** "
        write(f"| {t.name} | {counts} | {mark}{t.note} |")
    return int(not all(t.is_kept for t in tallies))


class Run(Protocol):
    """The faults of one script."""

    def __call__(self, *, small: bool) -> Iterable[Tally]:
        """Inject them, all or a few of each kind."""
        ...


def main(description: str | None, run: Run) -> int:
    """Run a script whose one option is ``--small``: what CI has time for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--small", action="store_true", help="a few faults of each kind")
    return print_table(run(small=parser.parse_args().small))
