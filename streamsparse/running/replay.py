"""Passes that were made elsewhere, given to a method as if it made them now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from streamsparse.running.local import Execution, Found, Scan
from streamsparse.sources.base import Interval
from streamsparse.storing.records import Portable

# Returns the packed sums of a band, (number of the pass, position of the band); None: not made yet.
Made: TypeAlias = Callable[[int, int], list[Portable] | None]


class PassReachedError(Exception):
    """A method wants a pass that nobody has made yet: ``scan`` says what it computes."""

    def __init__(self, scan: Scan) -> None:
        super().__init__(f"pass {scan.number}")
        self.scan = scan


class Replay:
    """Gives a method the passes that were made, and ends it where it wants another.

    Parameters
    ----------
    made : finds what was made. What it returns is the method's to keep.
    """

    def __init__(self, made: Made) -> None:
        self._made = made

    def run_bands(self, scan: Scan, execution: Execution) -> Iterator[tuple[Interval, Found]]:  # noqa: ARG002 - the protocol's
        """Yield (band, what was found of it).

        Raises
        ------
        PassReachedError : if the pass was not made.
        """
        for position, rows in enumerate(scan.bands()):
            packed = self._made(scan.number, position)
            if packed is None:
                raise PassReachedError(scan)
            made = scan.accumulators(rows)
            sums = scan.sums(made, remembers=False)
            sums.adopt(packed)
            yield rows, sums.results(made)
