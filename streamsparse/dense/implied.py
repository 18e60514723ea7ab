"""What a certificate implies for what is computed from Y, each inequality with its proof.

E = F - G, F = Y Y^T, and e bounds every |E_ij|; all of it absolute, with the r of the certificate
multiplied in. What is implied keeps the confidence and the share of what it follows from; what
follows from an estimate is an estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from streamsparse.dense.certificate import Certificate, Measure
from streamsparse.dense.measure import NEGLIGIBLE, ROUNDING_SHARE
from streamsparse.sketching.bounds import attention_of_entry

_U64 = 2.0**-53


@dataclass(frozen=True, slots=True)
class EntryError:
    """How far entries of F may be from those of G.

    Attributes
    ----------
    claim : |E_ij| <= claim.value; with a share, for that share of the rows i and every j.
    diagonal : |E_ii| + |E_jj| <= diagonal for any two rows; infinity where nothing bounds it.
    """

    claim: Measure
    diagonal: float

    @property
    def entry(self) -> float:
        """Bound on |E_ij|."""
        return self.claim.value

    @property
    def squared_distance(self) -> float:
        """Bound on the error of ||y_i - y_j||^2 = F_ii + F_jj - 2 F_ij: the triangle inequality.

        4 e, or 2 e where the diagonal is exact.
        """
        return 2 * self.entry + self.diagonal

    def implies(self, value: float, *, trivial: float = math.inf) -> Measure | None:
        """Return ``value`` as a measure that follows from the claim.

        None where it says nothing: at ``trivial``, which no error exceeds anyway, and beyond.
        """
        return replace(self.claim, value=value) if value < trivial else None


def entry_error(
    certificate: Certificate,
    *,
    share: float,
    needs_diagonal: bool,
    shortfall: float,
    largest_F: float,
) -> EntryError | None:
    """Return the strongest claim about entries; None where there is none.

    Parameters
    ----------
    certificate : what was measured.
    share : as for :func:`strongest`.
    needs_diagonal : whether E_jj matters too. What holds for most rows i says nothing about E_jj of
        the other rows j, so it is of use only where ``shortfall`` is finite.
    shortfall : sum of G_jj - F_jj where none of them is negative (see :func:`shortfall_of`), else
        infinity.
    largest_F : max F_ii.

    Notes
    -----
    |E_ii| + |E_jj| is at most 2 e where the claim is about all rows (of queries and keys it is
    about E_ij alone), and at most the shortfall, whose terms have one sign. Added to e: products of
    rows of Y are rounded here and were rounded in the certificate, each time by m + 2 units of
    max F_ii at most (Higham 3.5).
    """
    errors = certificate.errors
    most = None if needs_diagonal and shortfall == math.inf else errors.most_rows_entry
    found = strongest(errors.entry, errors.all_rows_entry, most, share=share)
    if found is None:
        return None
    claim = with_rounding(found)
    entry = claim.value * certificate.r + 2 * (certificate.m + 2) * _U64 * largest_F
    has_diagonal = claim.share is None and certificate.queries is None
    diagonal = 2 * entry if has_diagonal else math.inf
    return EntryError(replace(claim, value=entry), min(diagonal, shortfall))


def strongest(
    overall: Measure | None, every: Measure | None, most: Measure | None, *, share: float
) -> Measure | None:
    """Return the strongest of three claims about the same error.

    What is certain for all rows; a bound for all rows with its confidence; one for most rows; an
    estimate. With ``share`` below 1, that for most rows, if these are as many, goes before the one
    for all rows: they were asked for, which is no choice by values, so each keeps its confidence.
    """
    is_certain = overall is not None and overall.kind != "estimate"
    is_asked = most is not None and most.share is not None and share <= most.share
    order = (overall if is_certain else None, most if is_asked else None, every, most, overall)
    return next((claim for claim in order if claim is not None), None)


def with_rounding(measure: Measure) -> Measure:
    """Return the bound that a measure is: an exact one leaves out rounding that is small beside it.

    "exact" means that rounding is below 1 % of the value, or below 1e-9.
    """
    if measure.kind != "exact":
        return measure
    value = measure.value + max(ROUNDING_SHARE * measure.value, NEGLIGIBLE)
    return replace(measure, value=value, kind="bound")


def shortfall_of(certificate: Certificate, trace_of_Y: float) -> float:
    """Return a bound on sum_j |G_jj - F_jj|, for a Y whose rows were rescaled to their norms.

    F_jj = G_jj but for rows that the sketch made zero, where F_jj = 0 <= G_jj. All terms have one
    sign, so they add up to the difference of the traces. Rounding: n, m and d additions, twice.
    """
    c = certificate
    rounding = 2 * (c.n + c.m + c.d) * _U64 * c.trace
    return max(0.0, c.trace - trace_of_Y) + rounding


def bound_of_attention(
    certificate: Certificate, *, beta: float, is_masked: bool, share: float, largest_F: float
) -> Measure | None:
    """Return how far a row of softmax(beta F + mask) may be from that of G in L1.

    What was measured, if it was at this beta and without a mask. Else Theorem 1 (THEORY 1.3):
    logits off by eta = beta e move a row by at most 2 tanh(eta / 2), and a mask or bias cancels in
    the difference of the logits (1.6). None at 2: no two rows are further apart.
    """
    errors = certificate.errors
    if beta == certificate.beta and not is_masked:
        measured = strongest(
            errors.attention, errors.all_rows_attention, errors.most_rows_attention, share=share
        )
        if measured is not None:
            bound = with_rounding(measured)
            return bound if bound.value < 2 else None
    error = entry_error(
        certificate, share=share, needs_diagonal=False, shortfall=math.inf, largest_F=largest_F
    )
    if error is None:
        return None
    return error.implies(attention_of_entry(entry=error.entry, beta=beta, r=1.0), trivial=2.0)


def describe(error: Measure | None) -> str:
    """Return a measure as text."""
    return "not known" if error is None else str(error)
