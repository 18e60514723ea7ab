"""The certificate of a finished Y: what a pass has seen of G, compared with Y Y^T."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.certificate import Errors, Measure
from streamsparse.dense.linalg import loewner_error, product_with_transpose, regularised_error
from streamsparse.dense.measure import ROUNDING_SHARE, Scope, measure_exactly, measure_sampled
from streamsparse.dense.probes import Probed, probe_error, with_probes
from streamsparse.errors import NonFiniteError, RoundingError
from streamsparse.methods.base import SHARE_OF_ROWS
from streamsparse.methods.known import Known
from streamsparse.methods.products import dense_rows, gram_rows, gram_times, squared_row_norms
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.running.plan import Plan

# Below it squares have lost digits, or vanish one by one.
_LEAST_TRACE = 1e-290

# What to do where centring leaves too little.
_SHIFT = (
    "subtract from each column what its values have in common before, or, of dense X, scale the "
    "columns too (standardize), which centres them as they are read"
)
REMEDY = f"give X as float64, {_SHIFT}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of X, and at what of G a certificate looks.

    Attributes
    ----------
    known : the sums over X.
    sample : rows I, (p,), of which ``known`` has G.
    probes : Omega, (n, q), with which it has G Omega; None where there are none.
    mean : the mean row of the sums that were centred, (sketch columns,), else None.
    """

    known: Known
    sample: Array
    probes: Array | None
    mean: Array | None = None

    @property
    def squared_norms(self) -> Array:
        """Of the rows of X, (n,)."""
        return self.known.squared_norms

    @property
    def G_I(self) -> Array:
        """The rows I of G, (p, n)."""
        G_I: Array = self.known.gram
        return G_I

    @property
    def knows_all(self) -> bool:
        """Whether G_I is all of G."""
        return bool(self.sample.size == self.squared_norms.size)


def scope_of(plan: Plan, known: Known) -> Scope:
    """Return which entries of the error matter to this plan, and what rounding is in G.

    Rounding is relative to H, the squares of all that was ever summed: rows as they were before
    they were centred, columns that were taken away. The entries of G err by at most b max H, and
    its norm by b sum H. Squares of rows are then the least that they can be, so that errors
    relative to r are not too small.

    Raises
    ------
    NonFiniteError : if the trace of G overflows.
    RoundingError : if centring, or taking columns away, has left less of X than rounding, or if its
        squares are too small for float64.
    """
    with np.errstate(over="ignore"):
        if not np.isfinite(known.moved.sum()):
            raise NonFiniteError("the squares of X together overflow float64; scale X down")
    squares, noise = known.squared_norms, known.norm_rounding
    if noise.any():
        _refuse_noise(plan, float(squares.max()), known, float(noise.max()))
        # The least that they can be.
        squares = np.maximum(squares - noise, 0)
    if known.trace < _LEAST_TRACE and known.is_nonzero:
        raise RoundingError(
            f"the squares of X vanish in float64: they add up to {known.trace:.3g}; scale X up"
        )
    return Scope.of(
        squares,
        beta=plan.beta,
        queries=plan.queries,
        rounding=known.rounding,
        moved=known.moved if known.has_lost else None,
    )


def _refuse_noise(plan: Plan, r: float, known: Known, noise: float) -> None:
    """Refuse rows whose squares are not known to 1 %: of what was summed, too little is left."""
    if noise <= ROUNDING_SHARE * r:
        return
    before = float(known.moved.max())
    if plan.preprocess.center:
        raise RoundingError(
            f"centring leaves too little of X: its longest row has the square {r:.3g} where rows "
            f"had about {before / 4:.3g}, whose rounding is up to {noise:.3g}; {_SHIFT}"
        )
    raise RoundingError(
        f"what is left of X is lost in the rounding of what was taken away: its longest row has "
        f"the square {r:.3g}, of {before:.3g} that was summed, whose rounding is up to "
        f"{noise:.3g}; reduce the columns that are left instead"
    )


def refuse_hidden(plan: Plan, scope: Scope) -> None:
    """Refuse a Gram matrix of which centring has left less than its rounding.

    Raises
    ------
    RoundingError : with both numbers.
    """
    if plan.preprocess.center and scope.rounding > 1:
        raise RoundingError(
            f"centring leaves too little of X for its Gram matrix: the longest row has the square "
            f"{scope.r:.3g}, the rounding of products of {plan.dtype} is up to "
            f"{scope.rounding * scope.r:.3g}; {REMEDY}"
        )


@dataclass(frozen=True, slots=True)
class Risk:
    """With what probability bounds may fail.

    Attributes
    ----------
    of_rows, of_probes : at which statements on sampled rows, and by probes, are computed.
    stated : the confidence they are given: 1 - delta of the run. Where one Y was chosen among K
        by its rows (or by its probes), these are computed at delta / K; the others took no part.
    """

    of_rows: float
    of_probes: float
    stated: float

    @classmethod
    def plain(cls, delta: float) -> Risk:
        """Return the risk where nothing was chosen."""
        return cls(delta, delta, 1 - delta)


def measure(Y: Any, seen: Seen, scope: Scope, *, risk: Risk | None) -> tuple[Errors, Probed | None]:
    """Return (errors of Y, what the probes showed); ``risk`` None: somebody chose the rows.

    All rows exactly where G is known, or all rows that look; else the sampled rows and the probes.
    """
    if seen.knows_all:
        return measure_all(seen.G_I, dense_rows(Y), scope), None
    errors = measure_rows(gram_rows(Y, seen.sample), seen, scope, risk=risk)
    if seen.probes is None or risk is None:
        return errors, None
    probed = probe(Y, seen)
    delta, stated = risk.of_probes, risk.stated
    return with_probes(errors, probed, scope, delta=delta, confidence=stated), probed


def measure_rows(F_I: Array, seen: Seen, scope: Scope, *, risk: Risk | None) -> Errors:
    """Measure the rows of Y Y^T whose rows of G were seen: exactly, if no other row looks."""
    if seen.sample.size == scope.looking_rows(seen.squared_norms.size):
        return measure_exactly(G=seen.G_I, F=F_I, scope=scope, spectral=None, regularised=None)
    return measure_sampled(
        G_I=seen.G_I,
        F_I=F_I,
        scope=scope,
        delta=None if risk is None else risk.of_rows,
        confidence=None if risk is None else risk.stated,
    )


def probe(Y: Any, seen: Seen) -> Probed:
    """Return what the probes show of Y."""
    assert seen.probes is not None
    assert seen.known.probes is not None
    return probe_error(
        G_probes=seen.known.probes,
        F_probes=gram_times(Y, seen.probes),
        probes=seen.probes,
        # Of all that was summed: what was taken away has left its rounding.
        lengths=np.sqrt(seen.known.moved),
        largest_F=float(squared_row_norms(Y).max()),
        d=seen.known.summed,
        value_rounding=seen.known.value_rounding,
    )


def measure_all(G: Array, Y: Array, scope: Scope) -> Errors:
    """Measure every error of Y (n, m) against G (n, n)."""
    spectral = loewner_error(
        G, Y, rank_tolerance=rank_tolerance(G.shape[0]), rounding=scope.rounding_of_norm
    )
    F = product_with_transpose(Y)
    regularised = regularised_error(G, F, r=scope.ridge, rounding=scope.rounding_of_norm)
    return measure_exactly(G=G, F=F, scope=scope, spectral=spectral, regularised=regularised)


def certified_error(errors: Errors, target: str) -> Measure | None:
    """Return the number that may be compared with epsilon: what is exact or a bound, else None.

    A bound must hold for all rows, or for the share that a certificate is planned to speak about.
    """
    found = {
        "attention": (errors.attention, errors.most_rows_attention),
        "entries": (errors.entry, errors.most_rows_entry),
        "spectral": (errors.spectral,),
        "regularised": (errors.regularised,),
    }[target]
    for measure in found:
        if measure is None or measure.kind == "estimate":
            continue
        if measure.share is None or measure.share >= SHARE_OF_ROWS:
            return measure
    return None


def is_met(errors: Errors, target: str, epsilon: float | None) -> bool | None:
    """Return whether the error is certified to be within epsilon; None where nobody can say."""
    measured = None if epsilon is None else certified_error(errors, target)
    return None if measured is None or epsilon is None else measured.value <= epsilon


def error_of(G: Array, F: Array, scope: Scope, target: str) -> float:
    """Return the error of F = Y Y^T that is compared with epsilon; inf where rounding hides it.

    For every target but "spectral", which takes Y itself.
    """
    regularised = None
    if target == "regularised":
        regularised = regularised_error(G, F, r=scope.ridge, rounding=scope.rounding_of_norm)
    errors = measure_exactly(G=G, F=F, scope=scope, spectral=None, regularised=regularised)
    measured = certified_error(errors, target)
    return float("inf") if measured is None else measured.value
