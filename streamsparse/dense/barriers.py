"""Batson, Spielman and Srivastava's barriers: which column to add next, and how much of it.

A = sum t v v^T is kept between a lower barrier l and an upper one u that move by fixed steps; the
potentials tr (u - A)^-1 and tr (A - l)^-1 never grow (THEORY 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.linalg import symmetric_eigenpairs
from streamsparse.dense.pool import Pool

# Candidates that are scored at every pick; all of the pool is only when A is diagonalised anew.
SHORTLIST = 512
_BISECTIONS = 100
# Ratios L / U that agree in so many digits are equal.
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Schedule:
    """The constants of a walk of kappa k steps in k dimensions, kappa > 1 (delta_L = 1)."""

    k: int
    kappa: float

    @property
    def upper_step(self) -> float:
        """delta_U."""
        root = math.sqrt(self.kappa)
        return (root + 1) / (root - 1)

    @property
    def upper_potential(self) -> float:
        """epsilon_U, the most that tr (u - A)^-1 may be."""
        root = math.sqrt(self.kappa)
        return (root - 1) / (self.kappa + root)

    @property
    def lower_potential(self) -> float:
        """epsilon_L, the most that tr (A - l)^-1 may be."""
        return 1 / math.sqrt(self.kappa)

    @property
    def first(self) -> tuple[float, float]:
        """(l_0, u_0) around A = 0."""
        return -self.k / self.lower_potential, self.k / self.upper_potential

    def around(self, values: Array) -> tuple[float, float]:
        """Return (l, u) at which a matrix with these eigenvalues has just these potentials."""
        low, high = float(values[0]), float(values[-1])
        inside, outside = low, low - self.k / self.lower_potential
        lower = _bisect(lambda x: 1 / (values - x), inside, outside, self.lower_potential)
        inside, outside = high, high + self.k / self.upper_potential
        upper = _bisect(lambda x: 1 / (x - values), inside, outside, self.upper_potential)
        return lower, upper


def _bisect(terms: Callable[[float], Array], inside: float, outside: float, most: float) -> float:
    """Return the point nearest to ``inside`` found where the sum of the terms is at most that."""
    for _ in range(_BISECTIONS):
        middle = (inside + outside) / 2
        if middle in (inside, outside):
            break
        with np.errstate(divide="ignore"):
            total = terms(middle).sum()
        if total <= most:
            outside = middle
        else:
            inside = middle
    return outside


class Pick(NamedTuple):
    """Position in the pool, and the weight t that is added to it."""

    position: int
    t: float


class Report(NamedTuple):
    """Where a walk has ended.

    Attributes
    ----------
    picks : steps taken.
    lower, upper : the barriers.
    smallest, largest : extreme eigenvalues of A, between them if the theorem holds.
    """

    picks: int
    lower: float
    upper: float
    smallest: float
    largest: float

    @property
    def holds(self) -> bool:
        """Whether the eigenvalues are between the barriers."""
        return self.lower < self.smallest and self.largest < self.upper

    @property
    def epsilon(self) -> float:
        """What the barriers prove of the centred epsilon: (u - l) / (u + l)."""
        return (self.upper - self.lower) / (self.upper + self.lower)


class Walk:
    """Steps of the algorithm over a pool of candidates.

    Parameters
    ----------
    pool : candidates; its offset is part of A.
    schedule : constants.
    weights : (P,) what A is made of so far; all zero: from the beginning.
    scale : what the offset, and weights, are multiplied with in A; any, at the beginning.
    repeats : whether a column may be picked again.

    Attributes
    ----------
    weights : (P,) what A is made of now, times ``scale``.
    turns : (P,) the step at which each column was first picked, -1 where it was not.
    picks : steps taken.

    Notes
    -----
    THEORY 3.5: A is diagonalised every 2.3 sqrt(k) picks only. Meanwhile, with the picks since then
    Z = Q^T [v ...] and D = diag(t), R = 1 / (x - w) and K = (D^-1 - Z^T R Z)^-1,
    (x - A)^-1 = Q (R + R Z K Z^T R) Q^T, exactly. About 4 k q p flops per pick for p = 512
    candidates, and 20 k^3 + 2 k^2 P for each of the 1 / q diagonalisations.
    """

    def __init__(
        self, pool: Pool, schedule: Schedule, weights: Array, *, scale: float, repeats: bool
    ) -> None:
        self._pool, self._schedule, self._scale = pool, schedule, scale
        self._repeats = repeats
        self.weights = weights * scale
        self.turns = np.full(weights.size, -1)
        self.picks = 0
        self._most_pending = math.ceil(2.3 * math.sqrt(schedule.k))
        self._A = self._matrix()
        self._lower, self._upper = schedule.first
        starts_anew = not weights.any() and pool.offset is None
        self._freeze(None if starts_anew else schedule.around)

    def _matrix(self) -> Array:
        A = self._pool.matrix(self.weights)
        if self._pool.offset is not None:
            A += (self._scale - 1) * self._pool.offset
        return A

    def _freeze(self, around: Callable[[Array], tuple[float, float]] | None = None) -> None:
        """Diagonalise A and score all candidates."""
        values, Q = symmetric_eigenpairs(self._A)
        if around is not None:
            self._lower, self._upper = around(values)
        self._values, self._Q = values, Q
        self._phi_lower = float((1 / (values - self._lower)).sum())
        self._phi_upper = float((1 / (self._upper - values)).sum())
        self._gap = float(values[0]) - self._lower
        k = values.size
        self._Z, self._t = np.empty((k, 0)), np.empty(0)
        above, below = self._coefficients()
        U, L = self._pool.forms(Q, np.stack([above, below]))
        ratio = np.round(self._ratio(U, L), _DIGITS)
        self._shortlist = np.sort(np.lexsort((-U, -ratio))[:SHORTLIST])
        self._C = Q.T @ self._pool.V[:, self._shortlist]
        self._squares = np.square(self._C)

    def _coefficients(self) -> tuple[Array, Array]:
        """Return what U and L are in the eigenbasis of A, (k,) each, nothing pending."""
        values, schedule = self._values, self._schedule
        above = 1 / (self._upper + schedule.upper_step - values)
        below = 1 / (values - self._lower - 1)
        fall = self._phi_upper - float(above.sum())
        rise = float(below.sum()) - self._phi_lower
        return np.square(above) / fall + above, np.square(below) / rise - below

    def forms(self) -> tuple[Array, Array, Array]:
        """Return (Q, a, b): U(v) = sum a (Q^T v)^2 and L(v) = sum b (Q^T v)^2 at this moment."""
        self._settle()
        return self._Q, *self._coefficients()

    def _ratio(self, U: Array, L: Array, positions: Array | None = None) -> Array:
        """Return L / U, by which candidates are ranked; -inf for those that may not be taken."""
        weights = self.weights if positions is None else self.weights[positions]
        allowed = U > 0
        if not self._repeats:
            allowed &= weights == 0
        ratio = np.full(U.size, -np.inf)
        np.divide(L, U, out=ratio, where=allowed)
        return ratio

    def step(self) -> Pick | None:
        """Take the candidate of largest L / U, t = 2 / (U + L); None if no candidate has U <= L."""
        nearest = float(self._values[0]) - self._gap / 4
        if self._t.size >= self._most_pending or self._lower + 1 > nearest:
            self._settle()
        found = self._best()
        if found is None and self._t.size:
            self._settle()
            found = self._best()
        if found is None:
            return None
        k, t, upper, lower = found
        position = int(self._shortlist[k])
        self._Z = np.column_stack([self._Z, self._C[:, k]])
        self._t = np.append(self._t, t)
        self.weights[position] += t
        if self.turns[position] < 0:
            self.turns[position] = self.picks
        # Sherman and Morrison: what the pick does to both potentials.
        self._phi_upper = upper.trace + upper.second[k] / (1 / t - upper.first[k])
        self._phi_lower = lower.trace - lower.second[k] / (1 / t + lower.first[k])
        self._lower += 1
        self._upper += self._schedule.upper_step
        self.picks += 1
        return Pick(position, t)

    def _best(self) -> tuple[int, float, _Resolvent, _Resolvent] | None:
        upper = self._resolvent(self._upper + self._schedule.upper_step, sign=1)
        lower = self._resolvent(self._lower + 1, sign=-1)
        U = upper.second / (self._phi_upper - upper.trace) + upper.first
        L = lower.second / (lower.trace - self._phi_lower) - lower.first
        ratio = self._ratio(U, L, self._shortlist)
        largest = float(ratio.max())
        if not largest >= 1:
            return None
        # In the beginning all ratios are equal but for rounding: then the longest column.
        k = int(np.argmax(np.where(ratio >= largest * (1 - 10.0**-_DIGITS), U, -np.inf)))
        return k, 2 / float(U[k] + L[k]), upper, lower

    def _resolvent(self, x: float, *, sign: int) -> _Resolvent:
        """Return the forms and the trace of M = sign (x - A)^-1 and the forms of M^2."""
        R = 1 / (x - self._values)
        first, second, trace = R @ self._squares, np.square(R) @ self._squares, float(R.sum())
        if self._t.size:
            RZ = R[:, None] * self._Z
            K = np.linalg.inv(np.diag(1 / self._t) - self._Z.T @ RZ)
            P = RZ.T @ RZ
            W = RZ.T @ self._C
            KW = K @ W
            first = first + np.einsum("ij,ij->j", W, KW)
            second = second + np.einsum(
                "ij,ij->j", 2 * ((R[:, None] * RZ).T @ self._C) + P @ KW, KW
            )
            trace += float(np.vdot(K, P))
        return _Resolvent(sign * first, second, sign * trace)

    def _settle(self) -> None:
        """Add the pending picks to A and diagonalise it."""
        if self._t.size:
            Z = self._Q @ self._Z
            self._A += (Z * self._t) @ Z.T
            self._freeze()

    def look_again(self) -> None:
        """Go on after columns of the pool that are not in use became others, in place."""
        self._settle()
        self._freeze()

    def report(self) -> Report:
        """Return where the walk is."""
        self._settle()
        low, high = float(self._values[0]), float(self._values[-1])
        return Report(self.picks, self._lower, self._upper, low, high)


class _Resolvent(NamedTuple):
    """v^T M v and v^T M^2 v of the shortlist, (p,), and tr M; M = +-(x - A)^-1."""

    first: Array
    second: Array
    trace: float
