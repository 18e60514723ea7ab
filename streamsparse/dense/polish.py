"""Better weights for columns already chosen: a convex problem, in memory (THEORY 3.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.linalg import symmetric_eigenpairs
from streamsparse.dense.pool import Pool


class Effort(NamedTuple):
    """How long to polish: ||A - I|| in the Schatten norms 2 p, so many iterations each."""

    powers: Sequence[int]
    iterations: int


# p = 1 is Frobenius' norm; the larger p, the closer to the spectral norm, and the harder.
THOROUGH = Effort((1, 2, 4, 8, 16), 20)
QUICK = Effort((1, 4), 6)
NONE = Effort((), 0)


class Polished(NamedTuple):
    """Weights (P,) of a pool, and the epsilon that they reach."""

    weights: Array
    epsilon: float


def polish(pool: Pool, weights: Array, effort: Effort) -> Polished:
    """Minimise ||sum w v v^T + offset - I|| over w >= 0, columns of weight 0 staying out.

    Parameters
    ----------
    pool, weights : the columns and where to start, (P,); not changed.
    effort : norms and iterations.

    Returns
    -------
    The best weights met on the way, which are never worse than those given.

    Notes
    -----
    A Schatten norm of an affine function of w is convex; its gradient is v^T (A - I)^(2p-1) v up to
    scale. L-BFGS-B of SciPy with w >= 0. Each evaluation takes one eigendecomposition and about
    3 k^2 flops per column; about ``len(powers) * iterations`` evaluations in all.
    """
    used = np.flatnonzero(weights)
    if used.size == 0:
        return Polished(weights, pool.distortion(weights)[0])
    chosen = pool.take(used)
    epsilon, start = chosen.distortion(weights[used])
    best = Polished(start, epsilon)
    # In units of the first weights, which are of very different size.
    units = start.copy()

    def evaluate(x: Array, p: int) -> tuple[float, Array]:
        nonlocal best
        w = x * units
        values, vectors = symmetric_eigenpairs(chosen.matrix(w))
        epsilon, scaled = chosen.centred(values, w)
        if epsilon < best.epsilon:
            best = Polished(scaled, epsilon)
        distance = values - 1.0
        largest = float(np.abs(distance).max())
        if largest == 0:
            return 0.0, np.zeros_like(x)
        relative = np.abs(distance) / largest
        total = float((relative ** (2 * p)).sum())
        slopes = np.sign(distance) * relative ** (2 * p - 1) * total ** (1 / (2 * p) - 1)
        gradient = chosen.forms(vectors, slopes[None])[0] * units
        return largest * total ** (1 / (2 * p)), gradient

    from scipy.optimize import minimize  # noqa: PLC0415 - 0.1 s that few runs need

    x = np.ones(used.size)
    for p in effort.powers:
        found = minimize(
            evaluate,
            x,
            args=(p,),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None)] * used.size,
            options={"maxiter": effort.iterations},
        )
        x = np.asarray(found.x)
    full = np.zeros_like(weights)
    full[used] = best.weights
    return Polished(full, best.epsilon)
