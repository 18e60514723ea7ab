"""The certificate of a finished Y: what a pass has seen of G, compared with Y Y^T."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.certificate import Errors, Measure
from streamsparse.dense.linalg import loewner_error, product_with_transpose, regularised_error
from streamsparse.dense.measure import Scope, measure_exactly, measure_sampled
from streamsparse.dense.probes import Probed, probe_error, with_probes
from streamsparse.errors import NonFiniteError, ParameterError
from streamsparse.methods.base import SHARE_OF_ROWS
from streamsparse.methods.known import Known
from streamsparse.methods.products import dense_rows, gram_rows, gram_times, squared_row_norms
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.running.plan import Plan


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of X, and at what of G a certificate looks.

    Attributes
    ----------
    known : the sums over X.
    sample : rows I, (p,), of which ``known`` has G.
    probes : Omega, (n, q), with which it has G Omega; None where there are none.
    """

    known: Known
    sample: Array
    probes: Array | None

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

    Where columns were taken away, r is the least that it can be, and the rounding of all that was
    ever there stands beside it: with H the sums of squares that were moved, the entries of G err by
    at most b max H, and its norm by b sum H.

    Raises
    ------
    NonFiniteError : if the trace of G overflows.
    ParameterError : if nothing is left but rounding.
    """
    with np.errstate(over="ignore"):
        if not np.isfinite(known.moved.sum()):
            raise NonFiniteError("the squares of X together overflow float64; scale X down")
    beta, queries, rounding = plan.beta, plan.queries, known.rounding
    if not known.has_lost:
        return Scope.of(known.squared_norms, beta=beta, queries=queries, rounding=rounding)
    least = np.maximum(known.squared_norms - known.norm_rounding, 0)
    scope = Scope.of(least, beta=beta, queries=queries, rounding=rounding)
    moved = Scope.of(known.moved, beta=beta, queries=queries, rounding=rounding)
    whole = Scope.of(known.squared_norms, beta=beta, queries=queries, rounding=rounding)
    if scope.r < whole.r / 2:
        raise ParameterError(
            f"what is left of X is lost in the rounding of what was taken away (r = {whole.r:.3g} "
            f"of {moved.r:.3g}): reduce the columns that are left instead"
        )
    if scope.r == 0:
        return scope
    trace = float(least.sum()) - rounding * float(known.moved.sum())
    of_norm = float(known.moved.sum()) / trace if trace > 0 else math.inf
    return replace(scope, rounding=rounding * max(moved.r / scope.r, of_norm))


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
        squared_norms=seen.known.moved,
        largest_F=float(squared_row_norms(Y).max()),
        d=seen.known.summed,
    )


def measure_all(G: Array, Y: Array, scope: Scope) -> Errors:
    """Measure every error of Y (n, m) against G (n, n)."""
    spectral = loewner_error(
        G, Y, rank_tolerance=rank_tolerance(G.shape[0]), rounding=scope.rounding
    )
    F = product_with_transpose(Y)
    # lambda = r is the largest squared norm, whatever the queries look at.
    ridge = float(G.diagonal().max())
    regularised = regularised_error(G, F, r=ridge, rounding=scope.rounding)
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
        ridge = float(G.diagonal().max())
        regularised = regularised_error(G, F, r=ridge, rounding=scope.rounding)
    errors = measure_exactly(G=G, F=F, scope=scope, spectral=None, regularised=regularised)
    measured = certified_error(errors, target)
    return float("inf") if measured is None else measured.value
