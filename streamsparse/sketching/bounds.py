"""How many columns a sketch needs: (target, epsilon, delta, n) -> m, each with its theorem."""

from __future__ import annotations

import math

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
    numerator = (math.sqrt(rank) + math.sqrt(2 * (math.log(2) - math.log(delta)))) ** 2
    # sqrt(1 + epsilon) - 1 without cancellation.
    return _ceil_of_ratio(numerator, math.expm1(math.log1p(epsilon) / 2) ** 2)


def _ceil_of_ratio(numerator: float, denominator: float) -> int:
    """Return the quotient rounded up; a tiny epsilon asks for every column there is."""
    if denominator == 0 or numerator / denominator > MOST_COLUMNS:
        return MOST_COLUMNS
    return math.ceil(numerator / denominator)
