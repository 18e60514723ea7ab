"""Bounds on an error matrix E (n, n) from its products with q Gaussian vectors (THEORY 5.1).

E and whatever multiplies it must be independent of the probes; then every statement below holds
with the probability given, for any E.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.certificate import Errors, Measure
from streamsparse.dense.measure import Scope
from streamsparse.sketching.bounds import chi_square_low, frobenius_low

# e^R is no help beyond, and would overflow.
_LARGEST_REACH = 50.0


class Probed(NamedTuple):
    """What probes of E showed.

    Attributes
    ----------
    products : E Omega, shape (n, q), and how far rounding may have moved each row of it.
    slack : (n,).
    largest_F : max F_ii, F = Y Y^T.
    """

    products: Array
    slack: Array
    largest_F: float


def probe_error(
    *,
    G_probes: Array,
    F_probes: Array,
    probes: Array,
    lengths: Array,
    largest_F: float,
    d: int,
    value_rounding: float = 0.0,
) -> Probed:
    """Return what the probes Omega (n, q) show, given G Omega and F Omega.

    Rounding: X (X^T Omega) in float64 errs by at most (n + d) u64 l_i sum_j l_j |Omega_jt|, and
    F Omega by no more, up to the size of F. ``lengths`` l (n,) are those of the rows, or more;
    ``value_rounding`` is that of the values of X themselves, of which a product has two.
    """
    size = max(1.0, largest_F / max(float(lengths.max()) ** 2, np.finfo(float).tiny))
    u64 = 2.0**-53
    reach = np.linalg.norm(lengths @ np.abs(probes))
    relative = (probes.shape[0] + d) * u64 + 2 * value_rounding
    slack = 2 * relative * size * lengths * reach
    return Probed(F_probes - G_probes, slack, largest_F)


def with_probes(
    errors: Errors,
    probed: Probed | None,
    scope: Scope,
    *,
    delta: float,
    confidence: float | None = None,
) -> Errors:
    """Return the errors with what the probes bound: every row, and the mean square.

    Each bound by itself fails with probability ``delta`` at most. ``confidence``: what it is called
    where it belongs to a choice among several, each at ``delta``; None for 1 - delta.
    """
    if probed is None or scope.r == 0:
        return errors
    n, q = probed.products.shape
    looking, keys = scope.looking_rows(n), n - scope.first_key
    # Relative to r, so that squares neither vanish nor overflow.
    lengths = np.linalg.norm(probed.products / scope.r, axis=1) + probed.slack / scope.r
    # (E Omega)_i is N(0, ||E_i||^2 I_q): chi-square. Which row of E is the longest does not depend
    # on Omega, so that one row's bound holds for all of them: no union over rows is needed.
    rows = lengths[:looking] / math.sqrt(chi_square_low(degrees=q, delta=delta))
    frobenius = float(np.linalg.norm(lengths[:looking])) / math.sqrt(
        q * frobenius_low(probes=q, delta=delta)
    )
    attention = _attention_of_rows(rows, keys, scope, probed)
    confidence = 1 - delta if confidence is None else confidence
    return replace(
        errors,
        # All the rows that look may be known exactly, and with them the mean square.
        rms_entry=errors.rms_entry or _bound(frobenius / math.sqrt(looking * keys), confidence),
        all_rows_entry=_bound(float(rows.max()), confidence),
        # Rows of attention are never further apart than 2.
        all_rows_attention=_bound(attention if attention < 1.99 else math.inf, confidence),
    )


def _attention_of_rows(rows: Array, keys: int, scope: Scope, probed: Probed) -> float:
    """Return the largest row L1 error of attention that errors of these lengths over r allow.

    The spread of the logits, max delta - min delta, is at most sqrt(2) ||delta||: Theorem 1 gives
    2 tanh(spread / 4). Where logits are small, e^R ||delta|| / sqrt(keys) is better (THEORY 1.5).
    """
    moved = scope.beta * scope.r * rows
    by_spread = 2 * np.tanh(moved * math.sqrt(2) / 4)
    reach = scope.beta * max(scope.r, probed.largest_F)
    if reach < _LARGEST_REACH:
        by_spread = np.minimum(by_spread, math.exp(reach) * moved / math.sqrt(keys))
    return float(by_spread.max())


def _bound(value: float, confidence: float) -> Measure | None:
    return Measure(value, "bound", confidence) if math.isfinite(value) else None


def norm_bound(products: Array, *, delta: float, slack: float = 0.0) -> float:
    """Return a bound on ||M||_2 that fails with probability ``delta``, from M Omega (any, q).

    ``slack``: how far, in Frobenius norm, rounding may have moved the products.

    The smaller of two: the Frobenius norm of M, and the fourth root of ||M^T M||_F^2. With
    Omega = [A, B], conditional on A the columns of B are probes of M^T M A, and those of A probes
    of M^T M: the Frobenius bound, used twice, needs only B^T M^T M A. It overshoots by the fourth
    root of the rank where the Frobenius norm overshoots by the square root.
    """
    q = products.shape[1]
    length = float(np.linalg.norm(products)) + slack
    frobenius = length / math.sqrt(q * frobenius_low(probes=q, delta=delta / 2))
    half = q // 2
    if half == 0:
        return frobenius
    crossed = products[:, half:].T @ products[:, :half]
    low = math.prod(
        count * frobenius_low(probes=count, delta=delta / 4) for count in (half, q - half)
    )
    most = float(np.linalg.norm(crossed)) + 2 * length * slack
    return min(frobenius, math.sqrt(most / math.sqrt(low)))


def regularised_bound(
    whitened: Array, *, r: float, delta: float, slack: float = 0.0, confidence: float | None = None
) -> Measure | None:
    """Return a bound on the epsilon with |E| <= epsilon (G + r I), from A E Omega (n, q).

    A is any matrix with A^T A = (F + r I)^-1. ||A E A^T|| <= ||A E|| / sqrt(r) =: eta, so
    |E| <= eta (F + r), and F + r <= (G + r) / (1 - eta) because F + r - E = G + r. None where eta
    reaches 1. It fails with probability ``delta``; ``confidence`` as in :func:`with_probes`;
    ``slack`` is how far rounding may have moved E Omega, in Frobenius norm.
    """
    if r == 0:
        return None
    # ||A|| <= 1 / sqrt(r) stretches rounding too.
    eta = norm_bound(whitened, delta=delta, slack=slack / math.sqrt(r)) / math.sqrt(r)
    return _of_eta(eta, 1 - delta if confidence is None else confidence)


def whitened_by_pairs(eigenvalues: Array, eigenvectors: Array, products: Array, r: float) -> Array:
    """Return A E Omega for F with these eigenpairs, (m,) and (n, m), all others being 0."""
    inside = eigenvectors.T @ products
    outside = products - eigenvectors @ inside
    return np.concatenate([inside / np.sqrt(eigenvalues + r)[:, None], outside / math.sqrt(r)])


def spectral_bound(
    products: Array, *, power: int, slack: float, delta: float, confidence: float | None = None
) -> Measure | None:
    """Return a bound on the Loewner epsilon from K^p Omega, K = L^-1 G L^-T - I, F = L L^T.

    eta >= ||K||_2 = ||K^p||_2^(1/p) gives (1 - eta) F <= G <= (1 + eta) F, hence
    epsilon = eta / (1 - eta) (THEORY 5.4). What a bound overshoots by falls as the p-th root.
    ``slack`` as in :func:`norm_bound`, ``confidence`` as in :func:`with_probes`. None where eta
    reaches 1.
    """
    eta = norm_bound(products, delta=delta, slack=slack) ** (1 / power)
    return _of_eta(eta, 1 - delta if confidence is None else confidence)


def _of_eta(eta: float, confidence: float) -> Measure | None:
    return Measure(eta / (1 - eta), "bound", confidence) if eta < 1 else None
