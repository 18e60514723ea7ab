"""Coordinates in which X X^T is the identity: what "close" means for a selection of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.linalg import eigenpairs, rank_of, triangle_of
from streamsparse.kernels.ranges import steps


@dataclass(frozen=True, slots=True)
class Whitener:
    """v = R x, so that sum v v^T + offset = I over the columns x of X (THEORY 1.1, 3.1).

    Attributes
    ----------
    R : (k, n) upper trapezoidal, k the numerical rank of G: half the work of any other R.
    offset : (k, k), what a ridge adds: lambda R R^T; None without one.
    size : sum ||v||^2, k without a ridge, else the effective dimension.
    gain : ||R||^2, by which an error of G is enlarged.
    """

    R: Array
    offset: Array | None
    size: float
    gain: float

    @classmethod
    def of(cls, G: Array, *, ridge: float, rank_tolerance: float, noise: float) -> Whitener:
        """Return R with R (G + ridge I) R^T = I on the range of G.

        Directions below ``rank_tolerance`` of the largest eigenvalue, or below ``noise``, are left
        out: dividing by them would make them matter most.
        """
        values, vectors = eigenpairs(G.copy())
        rank = max(1, min(rank_of(values, rank_tolerance), int((values > noise).sum())))
        values, vectors = values[:rank], vectors[:, :rank]
        shifted = np.where(values + ridge > 0, values + ridge, 1.0)
        R = triangle_of((vectors / np.sqrt(shifted)).T)
        offset = ridge * (R @ R.T) if ridge > 0 else None
        return cls(R, offset, float((values / shifted).sum()), 1 / float(shifted.min()))

    @property
    def rank(self) -> int:
        """K, the directions of X that count."""
        return int(self.R.shape[0])

    def apply(self, columns: Any) -> Array:
        """Return V = R X_columns, (k, any) C-contiguous, for columns (n, any), dense or sparse."""
        if isinstance(columns, np.ndarray):
            V = np.empty((self.rank, columns.shape[1]))
            for a, b in steps(self.rank, 256):
                # Left of its diagonal R is zero.
                np.matmul(self.R[a:b, a:], columns[a:], out=V[a:b])
            return V
        return np.ascontiguousarray((columns.T @ self.R.T).T)
