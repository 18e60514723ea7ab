"""Which columns of X to pick: rules that see one score per column and a hash of its index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from streamsparse.accumulators.base import Forgetful
from streamsparse.accumulators.picks import Compacter, Picks
from streamsparse.arrays import Array
from streamsparse.errors import BudgetTooSmallError
from streamsparse.sketching.draws import COLUMN_SAMPLE, uniforms


class Rule(Compacter, Protocol):
    """Which columns to keep."""

    def keys(self, columns: Array, scores: Array) -> Array:
        """Return a key for each column; those that are not kept have the key 0."""
        ...


@dataclass(frozen=True)
class GivenColumns(Forgetful):
    """Keep the columns whose indices are ``wanted``, sorted and unique."""

    wanted: Array

    def keys(self, columns: Array, scores: Array) -> Array:  # noqa: ARG002 - the protocol's
        """Return 1 for the columns that are wanted."""
        return np.isin(columns, self.wanted, assume_unique=True).astype(np.float64)

    def compact(self, picks: Picks, *, is_final: bool) -> None:
        """All that are wanted stay."""


@dataclass(frozen=True)
class PoissonRule(Forgetful):
    """Keep column j with probability p_j = min(1, rate score_j), independently (THEORY 2.7).

    Attributes
    ----------
    rate : c, per unit of score.
    most : columns that memory was planned for.
    seed : fixes U(j): column j is kept where U(j) < p_j. The key is p_j.
    """

    rate: float
    most: int
    seed: int

    def keys(self, columns: Array, scores: Array) -> Array:
        """Return p_j for the columns that are kept."""
        p = np.minimum(1.0, self.rate * scores)
        U = uniforms(seed=self.seed, keys=columns.astype(np.uint64), stream=COLUMN_SAMPLE)
        return np.where(p > U, p, 0.0)

    def compact(self, picks: Picks, *, is_final: bool) -> None:  # noqa: ARG002 - the protocol's
        """All stay, if they fit.

        Raises
        ------
        BudgetTooSmallError : if more were kept than was planned, which is rare beyond measure.
        """
        if picks.count > self.most:
            raise BudgetTooSmallError(
                f"sampling kept more than the {self.most:,} columns that memory was planned for; "
                f"give m, or a larger epsilon or memory"
            )


@dataclass(frozen=True)
class PriorityRule(Forgetful):
    """Keep the ``count`` + 1 columns of largest score_j / U(j), the last one as the threshold.

    Priority sampling (Duffield, Lund, Thorup): an exact size, and with theta the (count + 1)-st
    key, p_j = min(1, score_j / theta) makes the weighted sum unbiased. The key is score_j / U(j).
    """

    count: int
    seed: int

    def keys(self, columns: Array, scores: Array) -> Array:
        """Return the priority of every column, 0 for those that others in sight exceed."""
        U = uniforms(seed=self.seed, keys=columns.astype(np.uint64), stream=COLUMN_SAMPLE)
        keys = scores / U
        return np.where(largest(keys, self.count + 1), keys, 0.0)

    def compact(self, picks: Picks, *, is_final: bool) -> None:
        """Keep the largest keys; ties go to the first column."""
        slack = 0 if is_final else priority_slack(self.count)
        if picks.count > self.count + 1 + slack:
            picks.keep(largest(picks.keys, self.count + 1))


def largest(keys: Array, count: int) -> Array:
    """Return where the ``count`` largest of the keys are, as booleans; ties go to the first."""
    chosen = np.zeros(keys.size, bool)
    chosen[np.argsort(-keys, kind="stable")[:count]] = True
    return chosen


def priority_slack(count: int) -> int:
    """Return how many picks too many are held before they are sorted out."""
    return 256 + count // 8
