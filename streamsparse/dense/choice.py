"""Which m columns of a pool, and with which weights: thin, refill, exchange, polish."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.balance import thin
from streamsparse.dense.barriers import Schedule, Walk
from streamsparse.dense.polish import Effort, Polished, polish
from streamsparse.dense.pool import Pool

# Share of the columns that one round of exchange replaces, and by what it shrinks when it fails.
_EXCHANGED = 0.3
_SHRINK = 1.5
# Steps of a walk that only refills need a schedule of more steps than directions.
_LEAST_KAPPA = 2.0


class Care(NamedTuple):
    """How much work is put into a choice; a plan decides it from sizes alone.

    Attributes
    ----------
    rounds : of exchange.
    between, last : polish in each round, and at the end.
    """

    rounds: int
    between: Effort
    last: Effort


def choose_balanced(pool: Pool, weights: Array, m: int, care: Care) -> Polished:
    """Return at most m columns of a pool whose columns of these weights add up to about I."""
    error = pool.matrix(weights)
    error[np.diag_indices_from(error)] -= 1
    weights = thin(pool.V, weights, error, count=m, each=pool.each)
    count = np.count_nonzero(weights)
    if care.rounds or not 0 < count <= m:
        # A balance alone may end with a few columns less than m.
        weights = resize(pool, weights, m)
    return improve(pool, weights, m, care)


def improve(pool: Pool, weights: Array, m: int, care: Care) -> Polished:
    """Return weights that are no worse: exchange weak columns for better ones, then polish.

    Each round drops the weakest 30 % of the columns, lets barriers around what is left choose
    others, and keeps the result if it is better after polishing.
    """
    if care.rounds == 0:
        return polish(pool, weights, care.last)
    best = polish(pool, weights, care.between)
    share = _EXCHANGED
    for _ in range(care.rounds):
        fewer = keep_strongest(pool, best.weights, m - max(1, math.floor(share * m)))
        tried = polish(pool, refill(pool, fewer, m), care.between)
        if tried.epsilon < best.epsilon:
            best = tried
        else:
            share /= _SHRINK
    return polish(pool, best.weights, care.last)


def resize(pool: Pool, weights: Array, m: int) -> Array:
    """Return weights of at most m columns: the strongest, or more of them."""
    if np.count_nonzero(weights) > m:
        return keep_strongest(pool, weights, m)
    return refill(pool, weights, m)


def keep_strongest(pool: Pool, weights: Array, count: int) -> Array:
    """Return the weights of the ``count`` columns of largest w ||v||^2, scaled to the same sum."""
    strength = weights * pool.tau
    kept = np.zeros_like(weights)
    chosen = np.argsort(-strength, kind="stable")[:count]
    total = float(strength[chosen].sum())
    factor = float(strength.sum()) / total if total > 0 else 1.0
    kept[chosen] = weights[chosen] * factor
    return kept


def refill(pool: Pool, weights: Array, m: int) -> Array:
    """Return weights of up to m columns: those given, and more that barriers around them choose.

    Their potentials are those of a walk of m steps, so that what is added has the right size.
    """
    missing = m - np.count_nonzero(weights)
    if missing <= 0:
        return weights
    k = pool.V.shape[0]
    schedule = Schedule(k, max(_LEAST_KAPPA, m / k))
    scale = schedule.kappa * k
    walk = Walk(pool, schedule, weights, scale=scale, repeats=False)
    while walk.picks < missing and walk.step() is not None:
        pass
    return np.asarray(walk.weights / scale)
