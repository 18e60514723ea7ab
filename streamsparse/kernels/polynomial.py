"""Degree-3 polynomials modulo 2^61 - 1: hash values that are exactly 4-wise independent."""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array
from streamsparse.kernels.jit import kernel

PRIME = 2**61 - 1

_P = np.uint64(PRIME)
_LOW32 = np.uint64(2**32 - 1)
_LOW29 = np.uint64(2**29 - 1)
_U3, _U29, _U32, _U61 = np.uint64(3), np.uint64(29), np.uint64(32), np.uint64(61)


@kernel
def polynomial_words(first: int, coefficients: Array, words: Array) -> None:
    """words[j] = ((c3 x + c2) x + c1) x + c0 mod 2^61 - 1, x = first + j, c = coefficients.

    Products of two 61-bit numbers are assembled from 32-bit halves, and 2^61 = 1 modulo the prime:
    no intermediate exceeds 64 bits. Shapes: coefficients (4,) uint64 below the prime, words (any,).
    """
    for j in range(words.shape[0]):
        x = np.uint64(first + j)
        x1, x0 = x >> _U32, x & _LOW32
        word = coefficients[3]
        for k in range(3):
            a1, a0 = word >> _U32, word & _LOW32
            low, middle, high = a0 * x0, a1 * x0 + a0 * x1, a1 * x1
            word = (
                (low & _P)
                + (low >> _U61)
                + ((middle & _LOW29) << _U32)
                + (middle >> _U29)
                + (high << _U3)
            )
            word = (word & _P) + (word >> _U61) + coefficients[2 - k]
            word = (word & _P) + (word >> _U61)
            if word >= _P:
                word -= _P
        words[j] = word
