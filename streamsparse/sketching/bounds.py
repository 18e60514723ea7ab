"""Every formula between m, epsilon and delta, with its theorem; "proved" or "empirical" each.

n rows of rank k, m columns of Y, failure probability delta over the seed, E = Y Y^T - G.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import gammaincinv, lambertw

MOST_COLUMNS = 2**62


def entrywise_columns(*, n: int, epsilon: float, delta: float) -> int:
    """Smallest m for |E_ij| <= epsilon ||x_i|| ||x_j|| for all i, j, with probability 1 - delta.

    Parameters
    ----------
    n : number of rows, at least 1.
    epsilon : allowed error relative to the product of norms, in (0, 1).
    delta : allowed failure probability over the seed, in (0, 1).

    Notes
    -----
    4 ln(2 n^2 / delta) / (epsilon^2 (1 - 2 epsilon / 3)), THEORY 2.4: proved for dense random
    signs; for s = 8 it is empirical, and the certificate measures what was reached.
    """
    numerator = 4 * (math.log(2) + 2 * math.log(n) - math.log(delta))
    return _ceil_of_ratio(numerator, epsilon * epsilon * (1 - 2 * epsilon / 3))


def entrywise_epsilon(*, n: int, m: int, delta: float) -> float:
    """Smallest epsilon that :func:`entrywise_columns` allows with m columns; infinity if none."""
    wanted = 4 * (math.log(2) + 2 * math.log(n) - math.log(delta)) / m
    # epsilon^2 (1 - 2 epsilon / 3) rises from 0 to 1/3 on (0, 1).
    return _root(lambda epsilon: epsilon * epsilon * (1 - 2 * epsilon / 3) - wanted, 0.0, 1.0)


def spectral_columns(*, rank: int, epsilon: float, delta: float) -> int:
    """Smallest m for (1 - epsilon) G <= Y Y^T <= (1 + epsilon) G, with probability 1 - delta.

    Parameters
    ----------
    rank : rank of X, at most n.
    epsilon : Loewner distortion, in (0, 1).
    delta : allowed failure probability over the seed, in (0, 1).

    Notes
    -----
    (sqrt(k) + sqrt(2 ln(2 / delta)))^2 / (sqrt(1 + epsilon) - 1)^2, THEORY 2.3 (Davidson-Szarek):
    proved for Gaussian S; s = 8 follows it on every matrix measured there, which is not a proof.
    """
    numerator = _gaussian_width(rank, delta) ** 2
    # sqrt(1 + epsilon) - 1 without cancellation.
    return _ceil_of_ratio(numerator, math.expm1(math.log1p(epsilon) / 2) ** 2)


def spectral_epsilon(*, rank: int, m: int, delta: float) -> float:
    """Return the Loewner distortion that :func:`spectral_columns` allows with m columns."""
    return math.expm1(2 * math.log1p(_gaussian_width(rank, delta) / math.sqrt(m)))


def _gaussian_width(rank: int, delta: float) -> float:
    return math.sqrt(rank) + math.sqrt(2 * (math.log(2) - math.log(delta)))


def proved_columns(*, rank: int, epsilon: float, delta: float) -> int:
    """Return the smallest m for which a theorem gives (1 - epsilon) G <= Y Y^T <= (1 + epsilon) G.

    Parameters
    ----------
    rank : rank of X, at most n.
    epsilon : Loewner distortion, in (0, 1).
    delta : allowed failure probability over the seed, in (0, 1).

    Notes
    -----
    k (k + 1) / (epsilon^2 delta), THEORY 2.2, Theorem 2 (Nelson-Nguyen): Markov's inequality on
    ||K||_F^2, proved for any s, 4-wise independent signs (hash "poly4") and pairwise offsets. It
    implies the entrywise bound |E_ij| <= epsilon ||x_i|| ||x_j|| (THEORY 1.1).
    """
    return _ceil_of_ratio(rank * (rank + 1) / delta, epsilon * epsilon)


def proved_epsilon(*, rank: int, m: int, delta: float) -> float:
    """Distortion that :func:`proved_columns` allows with m columns."""
    return math.sqrt(rank * (rank + 1) / (delta * m))


def sampling_rate(*, rank: int, epsilon: float, delta: float) -> float:
    """Smallest c for which sampling column j with probability min(1, c tau_j) gives epsilon.

    Parameters
    ----------
    rank : rank of X, at most n; tau_j are the leverage scores, which add up to it.
    epsilon : Loewner distortion, in (0, 1).
    delta : allowed failure probability over the seed, in (0, 1).

    Notes
    -----
    2 (1 + epsilon / 3) ln(2 k / delta) / epsilon^2, THEORY 2.7, Theorem 3 (matrix Bernstein):
    proved for exact scores; estimated ones must not fall short by more than the slack in c. The
    expected number of columns is at most c k.
    """
    numerator = 2 * (1 + epsilon / 3) * (math.log(2 * rank) - math.log(delta))
    return numerator / epsilon**2 if epsilon > 1e-150 else math.inf


def largest_sample(*, expected: float, failure: float) -> int:
    """Return the size that a Poisson sample of this expected size exceeds with rare probability.

    Bernstein: a sum of independent indicators of mean mu exceeds mu + t with probability at most
    exp(-t^2 / (2 (mu + t / 3))); t solves this for ``failure``.
    """
    log = -math.log(failure)
    if expected > MOST_COLUMNS:
        return MOST_COLUMNS
    return math.ceil(expected + log / 3 + math.sqrt(log * log / 9 + 2 * expected * log))


def barrier_columns(*, rank: int, epsilon: float) -> int:
    """Return the columns with which barriers prove the spectral target: kappa k of them.

    kappa = ((1 + sqrt(1 - epsilon^2)) / epsilon)^2, the centred form of Batson, Spielman and
    Srivastava, Theorem 1.3 (THEORY 3.3); epsilon in (0, 1). No randomness, no delta.
    """
    return _ceil_of_ratio(rank * (1 + math.sqrt(1 - epsilon**2)) ** 2, epsilon**2)


def barrier_epsilon(*, rank: int, m: int) -> float:
    """Return the spectral error that barriers prove for m columns; 1 for m at or below the rank."""
    kappa = max(1.0, m / rank)
    return 2 * math.sqrt(kappa) / (kappa + 1)


def entry_of_attention(*, attention: float, beta: float, r: float) -> float:
    """Entry error, relative to r, that moves no row of softmax(beta G) by more than asked.

    THEORY 1.3, Theorem 1: logits off by eta = beta epsilon r move a row by at most 2 tanh(eta / 2)
    in L1. Infinity where even Y = 0 stays within.
    """
    scale = beta * r
    if scale == 0 or attention >= 2:
        return math.inf
    return 2 * math.atanh(attention / 2) / scale


def attention_of_entry(*, entry: float, beta: float, r: float) -> float:
    """Row L1 error of attention that an entry error, relative to r, allows: Theorem 1."""
    return 2 * math.tanh(beta * entry * r / 2)


def share_of_rows(*, checked: int, delta: float) -> float:
    """Least share of all rows that are no worse than the worst of ``checked`` random ones.

    THEORY 5.2: if more than a share q of all rows were worse, all checked ones would be spared with
    probability below (1 - q)^p; confidence 1 - delta. Any distribution of errors.
    """
    return float(delta ** (1 / checked))


def rows_for_share(*, share: float, delta: float) -> int:
    """Rows to check so that :func:`share_of_rows` is at least ``share``, in (0, 1)."""
    return math.ceil(math.log(delta) / math.log(share))


def chi_square_low(*, degrees: int, delta: float) -> float:
    """Return the delta quantile of chi-square with ``degrees`` degrees of freedom."""
    return 2 * float(gammaincinv(degrees / 2, delta))


def frobenius_low(*, probes: int, delta: float) -> float:
    """Return t < 1 with P(||E Omega||_F^2 / q <= t ||E||_F^2) <= delta for any E and q probes.

    THEORY 5.1: the probability is at most (t e^(1 - t))^(q / 2) (Chernoff, any spectrum), so
    t e^(1 - t) = delta^(2 / q), solved by Lambert's W.
    """
    return float(-lambertw(-math.exp(2 * math.log(delta) / probes - 1)).real)


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Return where a rising function crosses zero in (low, high), or infinity if nowhere."""
    if rising(high) < 0:
        return math.inf
    for _ in range(100):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return high


def _ceil_of_ratio(numerator: float, denominator: float) -> int:
    """Return the quotient rounded up; a tiny epsilon asks for every column there is."""
    if denominator == 0 or numerator / denominator > MOST_COLUMNS:
        return MOST_COLUMNS
    return math.ceil(numerator / denominator)
