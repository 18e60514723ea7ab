"""Principal components of the rows of Y, and where those of X can be.

With H = I - 1 1^T / n the variances are the eigenvalues of H F H / (n - 1), F = Y Y^T. Everything
below compares H F H with H G H; lambda_j falls with j, and hats are of F.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.certificate import Certificate, Measure
from streamsparse.dense.implied import describe, with_rounding
from streamsparse.dense.linalg import eigenpairs, product_with_transpose


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalComponents:
    """The first k principal components of the rows of Y.

    Attributes
    ----------
    scores : (n, k), coordinates of the centred rows; in each column the largest is positive.
    variances, ratios : (k,), falling; the ratio is to the variance of all of Y.
    lower, upper : (k,), between them lie the variances of X; None where nothing was measured.
    error : no variance is further from that of X; None where nothing bounds it.
    angle : no angle between the span of these components (as directions over the rows, (n,)) and
        that of X has a larger sine; None where that cannot be told.
    """

    scores: Array
    variances: Array
    ratios: Array
    lower: Array | None
    upper: Array | None
    error: Measure | None
    angle: Measure | None

    def __repr__(self) -> str:
        """Return variances with their error bars, and the errors."""
        n, k = self.scores.shape
        lines = [f"PrincipalComponents of {n:,} rows: {k:,} component{'s' if k != 1 else ''}"]
        for j in range(min(k, 5)):
            bars = ""
            if self.lower is not None and self.upper is not None:
                bars = f", between {self.lower[j]:.4g} and {self.upper[j]:.4g}"
            lines.append(
                f"  {j + 1}: variance {self.variances[j]:.4g} ({self.ratios[j]:.1%}){bars}"
            )
        if k > 5:
            lines.append(f"  and {k - 5:,} more")
        lines.append(f"  error of a variance               {describe(self.error)}")
        lines.append(f"  sine of an angle of the span      {describe(self.angle)}")
        return "\n".join(lines)


class Components(NamedTuple):
    """Scores (n, k), eigenvalues (descending, n of them or m), their sum."""

    scores: Array
    eigenvalues: Array
    total: float


def principal_components(Y: Array, k: int) -> Components:
    """Return the first k principal components of Y (n, m), by the smaller of its two products."""
    centred = Y - Y.mean(axis=0)
    n, m = Y.shape
    if n <= m:
        values, vectors = eigenpairs(product_with_transpose(centred))
        scores = vectors[:, :k] * np.sqrt(values[:k])
    else:
        values, vectors = eigenpairs(product_with_transpose(centred.T))
        scores = centred @ vectors[:, :k]
    largest = np.abs(scores).argmax(axis=0)
    scores *= np.where(scores[largest, np.arange(k)] < 0, -1.0, 1.0)
    return Components(np.ascontiguousarray(scores), values, float(values.sum()))


class Spread(NamedTuple):
    """Where the eigenvalues of H G H can be, lower and upper (k + 1,); a bound on ||H E H||."""

    lower: Array
    upper: Array
    norm: float
    confidence: float | None

    def measure(self, value: float) -> Measure | None:
        """Return a bound that follows; None where it is no number."""
        return Measure(value, "bound", self.confidence) if math.isfinite(value) else None


def spread_of(eigenvalues: Array, certificate: Certificate, *, slack: float) -> Spread | None:
    """Return where the eigenvalues of X are, given those of Y; None where nothing was measured.

    Parameters
    ----------
    eigenvalues : the first ones of H F H, descending.
    certificate : what was measured.
    slack : what rounding, and directions that count as noise, may move an eigenvalue by.

    Notes
    -----
    If any claim is certain, all certain ones together. Otherwise all that have a confidence, and
    all of them hold with one less the sum of what they may fail by (union bound).
    """
    claims = list(_claims(certificate))
    certain = [claim for claim in claims if claim.confidence is None]
    claims = certain or claims
    if not claims:
        return None
    risks = [1 - claim.confidence for claim in claims if claim.confidence is not None]
    confidence = None if certain else max(0.0, 1 - math.fsum(risks))
    bars = [claim.bars(eigenvalues) for claim in claims]
    lower = np.maximum.reduce([np.maximum(bar.lower - slack, 0) for bar in bars])
    upper = np.minimum.reduce([bar.upper + slack for bar in bars])
    return Spread(lower, upper, min(bar.norm for bar in bars) + slack, confidence)


def with_bars(found: Components, first: Array, spread: Spread | None) -> PrincipalComponents:
    """Return the components with what is known about them; ``first``: k + 1 eigenvalues."""
    n, k = found.scores.shape
    variances = first[:k] / (n - 1)
    ratios = first[:k] / max(found.total, np.finfo(float).tiny)
    if spread is None:
        return PrincipalComponents(found.scores, variances, ratios, None, None, None, None)
    lower, upper = spread.lower[:k] / (n - 1), spread.upper[:k] / (n - 1)
    error = spread.measure(float(np.maximum(upper - variances, variances - lower).max()))
    angle = sine_of_span(first, spread, k)
    return PrincipalComponents(found.scores, variances, ratios, lower, upper, error, angle)


def sine_of_span(eigenvalues: Array, spread: Spread, k: int) -> Measure | None:
    """Return the largest sine between the spans of the first k eigenvectors of H F H and H G H.

    ||H E H|| / (lambda_k hat - lambda_(k+1)), by the sine theorem of Davis and Kahan (1970) for
    spectra on two sides of a gap, whose constant is 1: with P onto the span of Y and Q onto the
    complement of that of X, Z = P Q solves A Z - Z B = P (HFH - HGH) Q with A >= lambda_k hat and
    B <= lambda_(k+1), so Z = int exp(-t A) P (HFH - HGH) Q exp(t B) dt. lambda_(k+1) is below its
    upper bound. None where there is no gap, or at 1.
    """
    gap = float(eigenvalues[k - 1] - spread.upper[k])
    return spread.measure(spread.norm / gap) if gap > spread.norm else None


@dataclass(frozen=True, slots=True)
class _Loewner:
    """-epsilon (G + ridge I) <= E <= epsilon (G + ridge I).

    Multiplied with H from both sides, where I becomes H <= I. By Courant and Fischer eigenvalues
    keep the order: lambda hat <= lambda + epsilon (lambda + ridge), and
    lambda hat >= lambda - epsilon (lambda + ridge).
    """

    epsilon: float
    ridge: float
    confidence: float | None

    def bars(self, eigenvalues: Array) -> Spread:
        epsilon, moved = self.epsilon, self.epsilon * self.ridge
        lower = (eigenvalues - moved) / (1 + epsilon)
        upper = np.full_like(eigenvalues, math.inf)
        if epsilon < 1:
            upper = (eigenvalues + moved) / (1 - epsilon)
        norm = epsilon * (float(upper[0]) + self.ridge)
        return Spread(lower, upper, norm, self.confidence)


@dataclass(frozen=True, slots=True)
class _Frobenius:
    """||E||_F <= length, and so ||H E H||: Weyl's inequality moves eigenvalues by no more."""

    length: float
    confidence: float | None

    def bars(self, eigenvalues: Array) -> Spread:
        return Spread(
            eigenvalues - self.length, eigenvalues + self.length, self.length, self.confidence
        )


def _claims(certificate: Certificate) -> Iterator[_Loewner | _Frobenius]:
    """Yield what was measured of E as a matrix, each claim once."""
    errors, r = certificate.errors, certificate.r
    for measure, ridge in ((errors.spectral, 0.0), (errors.regularised, r)):
        # |E| <= epsilon G may stand for |E| <= epsilon (G + r I) too: it is one event.
        if measure is not None and (ridge == 0 or measure != errors.spectral):
            claim = with_rounding(measure)
            yield _Loewner(claim.value, ridge, claim.confidence)
    if errors.rms_entry is not None:
        claim = with_rounding(errors.rms_entry)
        yield _Frobenius(claim.value * certificate.n * r, claim.confidence)
