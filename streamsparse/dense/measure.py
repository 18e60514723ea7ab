"""Errors from rows of G themselves: all of them, or a random sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.attention import row_distances
from streamsparse.dense.certificate import Errors, Measure
from streamsparse.dense.linalg import LoewnerError
from streamsparse.sketching.bounds import attention_of_entry, share_of_rows

_CHUNK_BYTES = 4 << 20
# A number is exact where rounding is below this share of it, or of this size.
ROUNDING_SHARE = 0.01
NEGLIGIBLE = 1e-9
# Above this, relative to r, an estimate includes it: centring may leave little beside rounding.
_VISIBLE = 0.01


@dataclass(frozen=True, slots=True)
class Scope:
    """Which entries of E matter, and on what scale.

    Attributes
    ----------
    r : scale of the entries: max ||x_i||^2, or max ||q_i|| max ||k_j|| where queries look at keys.
    ridge : lambda of the regularised error: max ||x_i||^2, whatever looks at what.
    beta : scale of the logits.
    queries : rows [0, queries) look at the rows from there on (Q K^T, THEORY 1.7); None where every
        row looks at all of them.
    rounding : |fl(G) - G|_ij <= rounding r.
    rounding_of_norm : ||fl(G) - G|| <= rounding_of_norm tr(G), spectral and Frobenius.
    """

    r: float
    ridge: float
    beta: float
    queries: int | None
    rounding: float
    rounding_of_norm: float

    @classmethod
    def of(
        cls,
        squared_norms: Array,
        *,
        beta: float,
        queries: int | None,
        rounding: float,
        moved: Array | None = None,
    ) -> Scope:
        """Return the scope of a matrix with these squared row norms.

        |fl(G) - G|_ij <= rounding sqrt(moved_i moved_j), (n,); None for the squared norms.
        """
        r, of_norm = _scale(squared_norms, queries), rounding
        if moved is not None and r > 0:
            # Against the least trace that G may have as it was rounded.
            of_all = rounding * float(moved.sum())
            trace = float(squared_norms.sum()) - of_all
            of_norm = of_all / trace if trace > 0 else math.inf
            rounding *= _scale(moved, queries) / r
        ridge = float(squared_norms.max())
        return cls(r, ridge, beta, queries, rounding, of_norm)

    def looking_rows(self, n: int) -> int:
        """Return how many rows, the first ones, look at others."""
        return n if self.queries is None else self.queries

    @property
    def first_key(self) -> int:
        """The first row that is looked at."""
        return 0 if self.queries is None else self.queries

    @property
    def moved_attention(self) -> float:
        """Most that rounding of G can move a row of attention: Theorem 1."""
        return attention_of_entry(entry=self.rounding, beta=self.beta, r=self.r)

    def relative(self, entry: float) -> float:
        """Return an entry of E relative to r."""
        if self.r > 0:
            return entry / self.r
        return 0.0 if entry == 0 else math.inf


def _scale(squared_norms: Array, queries: int | None) -> float:
    """Return max ||x_i||^2, or max ||q_i|| max ||k_j||."""
    if queries is None:
        return float(squared_norms.max())
    longest = squared_norms[:queries].max(), squared_norms[queries:].max()
    return math.sqrt(longest[0]) * math.sqrt(longest[1])


class RowErrors(NamedTuple):
    """Largest errors over some rows, and the sum of squares of their entries over r."""

    entry: float
    attention: float
    uniform: float
    squares: float


def row_errors(G_rows: Array, F_rows: Array, scope: Scope) -> RowErrors:
    """Return the errors of rows that look, given as whole rows of G and of Y Y^T (p, n)."""
    G_rows, F_rows = G_rows[:, scope.first_key :], F_rows[:, scope.first_key :]
    attention = row_distances(G_rows, F_rows, beta=scope.beta, mask_rows=None)
    uniform = row_distances(G_rows, np.zeros_like(G_rows), beta=scope.beta, mask_rows=None)
    E_rows = F_rows - G_rows
    entry = max(float(E_rows.max()), -float(E_rows.min()))
    if scope.r > 0:
        # Squares of small entries would vanish.
        E_rows /= scope.r
    return RowErrors(
        entry, float(attention.max()), float(uniform.max()), float(np.vdot(E_rows, E_rows))
    )


def measure_exactly(
    *,
    G: Array,
    F: Array,
    scope: Scope,
    spectral: LoewnerError | None,
    regularised: LoewnerError | None,
) -> Errors:
    """Measure every row of E = F - G, F = Y Y^T, in chunks of rows.

    Parameters
    ----------
    G, F : shapes (n, n), or at least the rows that look.
    scope : which entries matter, on what scale; kinds say whether rounding does.
    spectral, regularised : the distortions, if they were computed.

    Notes
    -----
    Memory: about 32 MiB beside the inputs.
    """
    n = G.shape[1]
    looking = scope.looking_rows(n)
    worst = RowErrors(0.0, 0.0, 0.0, 0.0)
    step = max(1, _CHUNK_BYTES // (8 * n))
    for a in range(0, looking, step):
        rows = slice(a, min(a + step, looking))
        here = row_errors(G[rows], F[rows], scope)
        worst = RowErrors(
            max(worst.entry, here.entry),
            max(worst.attention, here.attention),
            max(worst.uniform, here.uniform),
            worst.squares + here.squares,
        )
    rms = math.sqrt(worst.squares / (looking * (n - scope.first_key)))
    if scope.r == 0 and rms > 0:
        rms = math.inf
    return Errors(
        spectral=_of_loewner(spectral),
        regularised=_of_loewner(regularised),
        entry=_with_rounding(scope.relative(worst.entry), scope.rounding, most=math.inf),
        attention=_with_rounding(worst.attention, scope.moved_attention, most=2.0),
        uniform=_with_rounding(worst.uniform, scope.moved_attention, most=2.0),
        rms_entry=_with_rounding(rms, scope.rounding, most=math.inf),
        checked_rows=looking,
    )


def measure_sampled(
    *,
    G_I: Array,
    F_I: Array,
    scope: Scope,
    delta: float | None,
    confidence: float | None = None,
) -> Errors:
    """Measure some of the rows: G_I and F_I (p, n) hold the rows I of G and of Y Y^T.

    ``delta``: the rows were drawn at random, and what holds for most rows may fail with this
    probability (THEORY 5.2); None where somebody chose them. ``confidence``: what that is called
    where it belongs to a choice among several, each at ``delta``; None for 1 - delta.
    """
    checked = G_I.shape[0]
    if checked == 0 or scope.rounding > 1:
        # No row was compared, or none that rounding lets us see.
        return Errors(checked_rows=checked)
    # Of all that is left of X rounding is far below what an estimate leaves open; else it counts.
    unseen, moved = 0.0, 0.0
    if scope.rounding > _VISIBLE:
        unseen, moved = scope.rounding, scope.moved_attention
    worst = row_errors(G_I, F_I, scope)
    entry = scope.relative(worst.entry)
    most_entry = most_attention = None
    if delta is not None and math.isfinite(entry):
        share = share_of_rows(checked=checked, delta=delta)
        confidence = 1 - delta if confidence is None else confidence
        most_entry = Measure(entry + scope.rounding, "bound", confidence, share)
        attention = min(worst.attention + scope.moved_attention, 2.0)
        most_attention = Measure(attention, "bound", confidence, share)
    return Errors(
        entry=Measure(entry + unseen, "estimate") if math.isfinite(entry) else None,
        attention=Measure(worst.attention + moved, "estimate"),
        uniform=Measure(worst.uniform, "estimate"),
        most_rows_entry=most_entry,
        most_rows_attention=most_attention,
        checked_rows=checked,
    )


def _of_loewner(error: LoewnerError | None) -> Measure | None:
    return None if error is None else _with_rounding(*error, most=math.inf)


def _with_rounding(value: float, rounding: float, *, most: float) -> Measure | None:
    """Return an exact measure where rounding is below 1 % of it, else a bound that includes it.

    None where the bound says nothing: no finite number, or rounding alone exceeds 1.
    """
    if not math.isfinite(value) or (most == math.inf and rounding > 1):
        return None
    if rounding <= ROUNDING_SHARE * value or rounding <= NEGLIGIBLE:
        return Measure(value, "exact")
    return Measure(min(value + rounding, most), "bound")
