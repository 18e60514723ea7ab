"""Which columns to hold in memory, seen in whitened coordinates."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from streamsparse.accumulators.base import Forgetful
from streamsparse.accumulators.picks import Picks
from streamsparse.accumulators.rules import largest
from streamsparse.arrays import Array
from streamsparse.kernels.ranges import Each
from streamsparse.storing.records import Portable


class Decider(Protocol):
    """Gives the next columns factors, 0 for those that are dropped."""

    def choose(self, V: Array, each: Each) -> tuple[Array, Array]:
        """Return (factors, ||v||^2) of columns V (k, w)."""
        ...

    def remember(self) -> Portable:
        """Return a copy of what it knows of the columns so far."""
        ...

    def recall(self, memory: Portable) -> None:
        """Know what :meth:`remember` returned."""
        ...


class PoolChooser:
    """Keep what a sequential decider keeps, and some columns whatever it says.

    Parameters
    ----------
    decider : sees all columns, in order.
    always : columns to keep, sorted; those that the decider dropped have weight 0.

    The score of a pick is its weight.
    """

    def __init__(self, decider: Decider, always: Array) -> None:
        self._decider, self._always = decider, always

    def choose(self, columns: Array, V: Array, each: Each) -> tuple[Array, Array]:
        """Return (1 for what is kept, weights)."""
        factors, _ = self._decider.choose(V, each)
        first, stop = np.searchsorted(self._always, [columns[0], columns[-1] + 1])
        kept = factors > 0
        if first < stop:
            kept |= np.isin(columns, self._always[first:stop])
        return kept.astype(np.float64), factors

    def compact(self, picks: Picks, *, is_final: bool) -> None:
        """All stay."""

    def remember(self) -> Portable:
        """Return what the decider knows."""
        return self._decider.remember()

    def recall(self, memory: Portable) -> None:
        """Let the decider know it again."""
        self._decider.recall(memory)


class BestRatio(Forgetful):
    """Keep the columns of largest L(v) / U(v), two diagonal quadratic forms.

    Parameters
    ----------
    lower, upper : coefficients of L and of U > 0, (k,).
    count : how many to keep.
    interval : columns that count, others are not kept.
    """

    def __init__(
        self, lower: Array, upper: Array, *, count: int, interval: tuple[int, int]
    ) -> None:
        self._forms = np.stack([lower, upper])
        self._count, self._interval = count, interval

    def choose(self, columns: Array, V: Array, each: Each) -> tuple[Array, Array]:  # noqa: ARG002 - the protocol's
        """Return (ratios of what may be kept, ratios)."""
        L, U = self._forms @ np.square(V)
        ratio = np.divide(L, U, out=np.zeros_like(U), where=U > 0)
        start, stop = self._interval
        ratio[(columns < start) | (columns >= stop)] = 0
        ratio = np.maximum(ratio, 0)
        return np.where(largest(ratio, self._count), ratio, 0.0), ratio

    def compact(self, picks: Picks, *, is_final: bool) -> None:
        """Drop what others exceed."""
        slack = 0 if is_final else self._count
        if picks.count > self._count + slack:
            picks.keep(largest(picks.keys, self._count))
