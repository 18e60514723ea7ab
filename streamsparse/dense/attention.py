"""Softmax attention of rows from their Gram matrix, and the distance between two of them."""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array


def softmax_rows(logits: Array) -> Array:
    """Return exp(logits) with every row divided by its sum, stably. Shape (rows, n)."""
    shifted: Array = logits - logits.max(axis=1, keepdims=True)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=1, keepdims=True)
    return shifted


def attention_rows(G_rows: Array, *, beta: float, mask_rows: Array | None) -> Array:
    """Return softmax(beta G) of some rows of G, masked."""
    return softmax_rows(masked(_logits(G_rows, beta), mask_rows))


def row_distances(G_rows: Array, F_rows: Array, *, beta: float, mask_rows: Array | None) -> Array:
    """Return the L1 distance of softmax(beta F) from softmax(beta G), for each row."""
    P = attention_rows(G_rows, beta=beta, mask_rows=mask_rows)
    P -= attention_rows(F_rows, beta=beta, mask_rows=mask_rows)
    distances: Array = np.abs(P).sum(axis=1)
    return distances


def _logits(G_rows: Array, beta: float) -> Array:
    """Return beta (G - the largest entry of each row): nothing can overflow upwards."""
    with np.errstate(over="ignore"):
        logits: Array = beta * (G_rows - G_rows.max(axis=1, keepdims=True))
    return logits


def masked(logits: Array, mask_rows: Array | None) -> Array:
    """Return logits with a boolean (True: may look) or additive mask applied, if any."""
    if mask_rows is None:
        return logits
    if mask_rows.dtype == np.bool_:
        return np.where(mask_rows, logits, -np.inf)
    return logits + mask_rows
