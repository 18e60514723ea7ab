"""Candidate columns in memory, in whitened coordinates, and what a choice among them is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.linalg import eigenvalues
from streamsparse.kernels.ranges import Each, steps

# Columns of V that are one BLAS call, and rows of a product: fixed, so that bits are.
_COLUMNS = 1024
_ROWS = 256


@dataclass(frozen=True, slots=True)
class Pool:
    """Columns v_1 ... v_P that a selection may use.

    Attributes
    ----------
    V : (k, P) float64, C-contiguous.
    offset : (k, k), added to every sum; None for none. The aim is sum w v v^T + offset = I.
    each : the threads of the runner.
    """

    V: Array
    offset: Array | None
    each: Each

    @property
    def size(self) -> int:
        """Number of columns."""
        return int(self.V.shape[1])

    @property
    def tau(self) -> Array:
        """||v_j||^2, (P,)."""
        return np.asarray(np.einsum("ij,ij->j", self.V, self.V))

    def take(self, positions: Array) -> Pool:
        """Return a pool of some of the columns."""
        return Pool(np.ascontiguousarray(self.V[:, positions]), self.offset, self.each)

    def matrix(self, weights: Array) -> Array:
        """Return A = sum w v v^T + offset, (k, k); 2 k^2 flops per column of weight over 0."""
        used = np.flatnonzero(weights)
        V = self.V if used.size == weights.size else self.V[:, used]
        scales = weights[used]
        k = V.shape[0]
        A = np.zeros((k, k)) if self.offset is None else self.offset.copy()
        bands = steps(k, _ROWS)

        def add(part: int) -> None:
            a, b = bands[part]
            for start, stop in steps(V.shape[1], _COLUMNS):
                A[a:b, :b] += (V[a:b, start:stop] * scales[start:stop]) @ V[:b, start:stop].T

        self.each(add, len(bands))
        return np.tril(A) + np.tril(A, -1).T

    def forms(self, vectors: Array, coefficients: Array) -> Array:
        """Return sum_i coefficients[:, i] (u_i . v_j)^2, (rows, P), u_i the columns of vectors."""
        found = np.empty((coefficients.shape[0], self.size))
        parts = steps(self.size, _COLUMNS)

        def evaluate(part: int) -> None:
            a, b = parts[part]
            C = vectors.T @ self.V[:, a:b]
            np.square(C, out=C)
            np.matmul(coefficients, C, out=found[:, a:b])

        self.each(evaluate, len(parts))
        return found

    def distortion(self, weights: Array) -> tuple[float, Array]:
        """Return (epsilon, weights scaled): the smallest with -epsilon I <= A - I <= epsilon I.

        Without an offset the scale is free, and centred: (max - min) / (max + min) of the
        eigenvalues of A (THEORY 3.3). With an offset the weights stay as they are.
        """
        return self.centred(eigenvalues(self.matrix(weights)), weights)

    def centred(self, values: Array, weights: Array) -> tuple[float, Array]:
        """Return (epsilon, weights scaled), given the ascending eigenvalues of their A."""
        low, high = float(values[0]), float(values[-1])
        if self.offset is not None:
            return max(high - 1.0, 1.0 - low), weights
        if high <= 0:
            return 1.0, weights
        low = max(low, 0.0)
        return (high - low) / (high + low), weights * (2 / (low + high))
