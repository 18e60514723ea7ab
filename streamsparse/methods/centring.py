"""Columns without their means: what a pass has summed of X becomes what it is of H X.

H = I - 1 1^T / n takes the mean from every column, so all of it follows after the pass: the sketch
of H X is H Y, its Gram matrix H G H. What is rounded is G, not H G H: an error of b ||x_i|| ||x_j||
in each G_ij becomes one of b l_i l_j, l_i = ||x_i|| + mean ||x||, however little is left.
"""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.means import MeansAccumulator
from streamsparse.arrays import Array
from streamsparse.running.local import Found
from streamsparse.running.plan import Plan


def accumulators_of(plan: Plan) -> dict[str, Accumulator]:
    """Return what a pass must compute besides, so that :func:`centre` can follow."""
    return {"G_ones": MeansAccumulator(rows=plan.n)} if plan.preprocess.center else {}


def centred_rows(rows: Array) -> Array:
    """Return H rows: (n, any) less the mean of its rows, in place."""
    rows -= rows.mean(axis=0)
    return rows


def probes_for(plan: Plan, probes: Array) -> Array:
    """Return what G is to be multiplied with, so that :func:`centre` makes H G H Omega of it."""
    return centred_rows(probes.copy()) if plan.preprocess.center else probes


def centre(plan: Plan, found: Found, sample: Array) -> Found:
    """Return what a pass over all rows has found, of X without the means of its columns.

    In place, by name: "norms", "sums", "G", "G_I" (n, p) for the rows in ``sample``, "products"
    with probes. Added are "lengths", what rounding is relative to, and "mean", the mean row of the
    sums. Nothing is done unless asked for.
    """
    if not plan.preprocess.center:
        return found
    means = found.pop("G_ones") / plan.n
    lengths = np.sqrt(found["norms"])
    found["lengths"] = lengths + lengths.mean()
    found["norms"] = np.maximum(found["norms"] - 2 * means + means.mean(), 0)
    if "sums" in found:
        found["mean"] = found["sums"].mean(axis=0)
        found["sums"] -= found["mean"]
    if "products" in found:
        centred_rows(found["products"])
    if "G" in found:
        _centre_gram(found["G"])
    if "G_I" in found:
        _centre_sampled(found["G_I"], means, sample)
    return found


def _centre_gram(G: Array) -> None:
    """G = H G H, by its own means: so H G H 1 = 0 whatever was rounded."""
    means = G.mean(axis=1)
    total = means.mean()
    for i in range(G.shape[0]):
        # Symmetric to the last bit, as G is.
        G[i] -= (means + means[i]) - total


def _centre_sampled(G_I: Array, means: Array, sample: Array) -> None:
    """G[:, I] = (H G H)[:, I], from G 1 / n; from G itself where it is all there."""
    if sample.size == means.size:
        _centre_gram(G_I)
        return
    G_I -= means[:, None]
    G_I -= means[sample] - means.mean()
