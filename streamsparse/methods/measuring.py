"""The certificate of a finished Y: what a pass has seen of G, compared with Y Y^T."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.certificate import Errors, Measure
from streamsparse.dense.linalg import loewner_error, product_with_transpose, regularised_error
from streamsparse.dense.measure import Scope, measure_exactly, measure_sampled
from streamsparse.dense.probes import Probed, probe_error, with_probes
from streamsparse.errors import NonFiniteError
from streamsparse.methods.base import SHARE_OF_ROWS
from streamsparse.methods.products import dense_rows, gram_rows, gram_times, squared_row_norms
from streamsparse.methods.rounding import gram_rounding, rank_tolerance
from streamsparse.running.plan import Plan
from streamsparse.sources.base import Source


@dataclass(frozen=True, slots=True)
class Seen:
    """What a pass has seen of X beside what it was made for.

    Attributes
    ----------
    d : columns of X.
    squared_norms : (n,) float64.
    sample, G_I : rows I, (p,), and the rows I of G, (p, n).
    probes, G_probes : Omega and G Omega, (n, q); None where there are none.
    """

    d: int
    squared_norms: Array
    sample: Array
    G_I: Array
    probes: Array | None
    G_probes: Array | None

    @property
    def knows_all(self) -> bool:
        """Whether G_I is all of G."""
        return bool(self.sample.size == self.squared_norms.size)

    @property
    def trace(self) -> float:
        """Sum of the squared row norms."""
        return float(self.squared_norms.sum())


def scope_of(plan: Plan, source: Source, squared_norms: Array) -> Scope:
    """Return which entries of the error matter to this plan.

    Raises
    ------
    NonFiniteError : if the trace of G overflows.
    """
    with np.errstate(over="ignore"):
        if not np.isfinite(squared_norms.sum()):
            raise NonFiniteError("the squares of X together overflow float64; scale X down")
    rounding = gram_rounding(d=plan.d, block_dtype=source.block_dtype)
    return Scope.of(squared_norms, beta=plan.beta, queries=plan.queries, rounding=rounding)


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
    assert seen.G_probes is not None
    return probe_error(
        G_probes=seen.G_probes,
        F_probes=gram_times(Y, seen.probes),
        probes=seen.probes,
        squared_norms=seen.squared_norms,
        largest_F=float(squared_row_norms(Y).max()),
        d=seen.d,
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
