"""Sequential Frobenius balancing: the fast deterministic selection of columns (THEORY 3.6)."""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.kernels.balance import balance_columns
from streamsparse.kernels.ranges import Each, steps
from streamsparse.storing.records import Portable

# lam of THEORY 3.6 in units of 1 / rate^2: the bound on ||E||_F^2 grows by 5 %, and the number of
# columns stays within sqrt(11 m) of what was asked.
_COUNT_SLACK = 0.1
# A rate at which every column that is not zero is kept; its square is still a number.
KEEP_ALL = 1e150


class Balance:
    """Keep or drop columns so that the weighted sum of x x^T stays close to the plain one.

    Parameters
    ----------
    rate : c; column x with tau = ||x||^2 is kept with weight 1 / p, p = min(1, c tau), or dropped.
    error : E so far, (k, k): what was kept minus what has passed. It is changed.

    Notes
    -----
    Theorem 4: ||E||_F^2 + lam surplus^2 <= sum (1 / p - 1) tau^2 + lam sum p (1 - p), whatever the
    order of the columns. About 3 k^2 flops per column, in the dtype of ``error``: E decides, what
    is claimed about the columns is measured anew from them. Only the lower triangle of E is used.
    """

    def __init__(self, *, rate: float, error: Array) -> None:
        self.rate = rate
        self.error = error
        self._surplus = np.zeros(1)
        self._bands = _bands(error.shape[0])

    @property
    def surplus(self) -> float:
        """How many columns more than expected were kept."""
        return float(self._surplus[0])

    def remember(self) -> Portable:
        """Return a copy of what it knows of the columns so far."""
        return [self.rate, self.error.copy(), self.surplus]

    def recall(self, memory: Portable) -> None:
        """Know what :meth:`remember` returned."""
        self.rate, error, self._surplus[0] = memory
        self.error[:] = error

    def choose(self, V: Array, each: Each) -> tuple[Array, Array]:
        """Decide the next columns V (k, w) in order; return (factors (w,), tau (w,)).

        A factor is 1 / p for a column that is kept, 0 for one that is dropped.
        """
        width = V.shape[1]
        squares = np.empty((width, width), V.dtype)
        parts = steps(width, -(-width // 4))
        scores = np.empty((len(self._bands), width))

        def square(part: int) -> None:
            # Only what comes later matters: cells right of the diagonal.
            a, b = parts[part]
            cells = squares[a:b, a:]
            np.matmul(V[:, a:b].T, V[:, a:], out=cells)
            np.square(cells, out=cells)

        def score(part: int) -> None:
            # x^T E x from the lower triangle: cells below the diagonal count twice.
            a, b = self._bands[part]
            product = self.error[a:b, a:b] @ V[a:b]
            if a:
                product += 2 * (self.error[a:b, :a] @ V[:a])
            np.einsum("ij,ij->j", V[a:b], product, out=scores[part], dtype=np.float64)

        each(square, len(parts))
        each(score, len(self._bands))
        tau = np.sqrt(squares.diagonal().astype(np.float64))
        p = np.minimum(1.0, self.rate * tau)
        z = np.empty(width)
        balance_columns(
            p, squares, scores.sum(axis=0), _COUNT_SLACK / self.rate**2, self._surplus, z
        )
        moved = V * z.astype(V.dtype)

        def update(part: int) -> None:
            a, b = self._bands[part]
            self.error[a:b, :b] += moved[a:b] @ V[:b].T

        each(update, len(self._bands))
        factors = np.where((z > -1) & (tau > 0), 1 + z, 0.0)
        return factors, tau


def _bands(k: int) -> list[Interval]:
    """Return bands of rows: work for threads, and large enough for BLAS."""
    return steps(k, 128)


def rate_for(tau: Array, count: int) -> float:
    """Return c with sum min(1, c tau_j) = count, or one that keeps all if there are no more."""
    positive = np.sort(tau[tau > 0])[::-1]
    if positive.size <= count:
        return KEEP_ALL
    # With the h largest kept for sure, c = (count - h) / (sum of the others).
    rest = np.cumsum(positive[::-1])[::-1][:count]
    rates = (count - np.arange(count)) / rest
    return float(rates[np.argmax(rates * positive[:count] <= 1)])


def thin(V: Array, weights: Array, error: Array, *, count: int, each: Each) -> Array:
    """Return new weights, about ``count`` of them positive, that balance what ``error`` lacks.

    Parameters
    ----------
    V, weights : columns (k, P) and their weights (P,).
    error : sum of weights v v^T minus what it should be, (k, k); it is lost.
    """
    tau = weights * np.einsum("ij,ij->j", V, V)
    balance = Balance(rate=rate_for(tau, count), error=error)
    kept = np.zeros_like(weights)
    for a, b in steps(V.shape[1], 256):
        factors, _ = balance.choose(V[:, a:b] * np.sqrt(weights[a:b]), each)
        kept[a:b] = weights[a:b] * factors
    return kept
