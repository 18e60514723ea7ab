"""How many columns a sketch needs: (target, epsilon, delta, n) -> m, each with its theorem."""

from __future__ import annotations

import math


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
    return math.ceil(4 * math.log(2 * n * n / delta) / (epsilon * epsilon * (1 - 2 * epsilon / 3)))


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
    numerator = (math.sqrt(rank) + math.sqrt(2 * math.log(2 / delta))) ** 2
    return math.ceil(numerator / (math.sqrt(1 + epsilon) - 1) ** 2)
