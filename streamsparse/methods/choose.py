"""The smallest Y that meets epsilon, out of one sketch: folds of it, and truncations of its Gram.

The candidates are fixed before anything is measured; each is certified at delta / their number, so
that whichever is chosen afterwards keeps the confidence 1 - delta (THEORY 5.6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.dense.certificate import Errors
from streamsparse.dense.linalg import regularised_error
from streamsparse.dense.measure import Scope, measure_exactly
from streamsparse.dense.probes import regularised_bound, whitened_by_pairs
from streamsparse.methods.base import ALL_ROWS, CurvePoint, Way
from streamsparse.methods.measuring import Risk, Seen, certified_error, measure_rows
from streamsparse.methods.products import CHUNK_BYTES
from streamsparse.sketching.row_map import RowMap, diagonal_scale
from streamsparse.sketching.run_hash import SparseSign

_MOST_RANKS = 64


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Eigenvalues (k,), descending, and eigenvectors (n, k) of the sketch's Gram matrix."""

    values: Array
    vectors: Array


def fold_columns(operator: SparseSign, n: int, *, dense_stage: bool) -> tuple[int, ...]:
    """Return the widths to which the sketch may be folded for good.

    Where the dense stage follows, n columns hold all of it: only narrower folds are worth a look.
    """
    return tuple(m for m in operator.levels if not dense_stage or m < n)


def truncation_ranks(most: int) -> tuple[int, ...]:
    """Return the ranks to look at: every one where all rows are known, else in geometric steps."""
    if most <= ALL_ROWS:
        return tuple(range(1, most + 1))
    steps = np.geomspace(1, most, _MOST_RANKS)
    return tuple(int(rank) for rank in np.unique(np.round(steps)))


def count_candidates(operator: SparseSign, n: int, *, dense_stage: bool) -> int:
    """Return how many candidates will be certified, at most: decided by sizes alone."""
    ranks = len(truncation_ranks(min(n, operator.m))) if dense_stage else 0
    return max(1, len(fold_columns(operator, n, dense_stage=dense_stage)) + ranks)


@dataclass(frozen=True, slots=True)
class Search:
    """What the candidates are measured with.

    Attributes
    ----------
    seen, scope : what the pass knows of G, and which errors matter.
    target, epsilon : what must be met.
    delta : of each single candidate.
    exact_diagonal : rescale rows to their exact norms.
    """

    seen: Seen
    scope: Scope
    target: str
    epsilon: float
    delta: float
    exact_diagonal: bool

    def point(self, m: int, way: Way, errors: Errors) -> CurvePoint:
        """Return what was found of one candidate."""
        measure = certified_error(errors, self.target)
        error = None if measure is None else measure.value
        zero = None
        if self.target == "entries" and self.seen.G_I.size:
            looked_at = self.seen.G_I[:, self.scope.first_key :]
            zero = self.scope.relative(float(np.abs(looked_at).max()))
        if self.target == "attention" and errors.uniform is not None:
            zero = errors.uniform.value
        return CurvePoint(m, way, error, zero, meets=error is not None and error <= self.epsilon)

    def of_rows(self, F_I: Array) -> Errors:
        """Measure attention and entries on the rows that the pass knows."""
        return measure_rows(F_I, self.seen, self.scope, risk=Risk.plain(self.delta))


def fold_points(
    search: Search,
    operator: SparseSign,
    columns: tuple[int, ...],
    read: Callable[[Interval], Array],
) -> Iterator[CurvePoint]:
    """Yield one point per fold; ``read`` returns the sums of some rows of the sketch."""
    norms, sample = search.seen.squared_norms, search.seen.sample
    n, step = norms.size, max(1, CHUNK_BYTES // (8 * operator.m))
    for m in columns:
        row_map = RowMap(operator, m, exact_diagonal=search.exact_diagonal)
        # A budget may leave no row to check: then nothing is certified.
        none = np.empty((0, operator.m))
        chosen = np.concatenate([none, *(read((i, i + 1)) for i in sample.tolist())])
        Y_I = row_map.apply(chosen, norms[sample])
        parts = []
        for a in range(0, n, step):
            rows = (a, min(a + step, n))
            parts.append(Y_I @ row_map.apply(read(rows).copy(), norms[slice(*rows)]).T)
        yield search.point(m, "fold", search.of_rows(np.concatenate(parts, axis=1)))


def truncation_points(
    search: Search, spectrum: Spectrum, ranks: tuple[int, ...]
) -> Iterator[CurvePoint]:
    """Yield one point per rank, each from the one before: n cells per row and rank in all."""
    seen = search.seen
    values, vectors = spectrum.values, spectrum.vectors
    looking = vectors[seen.sample]
    F_I = np.zeros((seen.sample.size, vectors.shape[0]))
    diagonal = np.zeros(vectors.shape[0])
    done = 0
    for rank in ranks:
        new = slice(done, rank)
        F_I += (looking[:, new] * values[new]) @ vectors[:, new].T
        diagonal += np.square(vectors[:, new]) @ values[new]
        done = rank
        if search.target == "regularised":
            yield search.point(rank, "truncation", _regularised(search, spectrum, rank, F_I))
            continue
        F_scaled = F_I
        if search.exact_diagonal:
            scale = diagonal_scale(seen.squared_norms, diagonal)
            F_scaled = F_I * scale[seen.sample, None] * scale
        yield search.point(rank, "truncation", search.of_rows(F_scaled))


def _regularised(search: Search, spectrum: Spectrum, rank: int, F: Array) -> Errors:
    """Return the regularised error of a truncation, exactly or by the probes, and nothing else."""
    seen = search.seen
    ridge = search.scope.ridge
    if seen.knows_all:
        rounding = search.scope.rounding_of_norm
        error = regularised_error(seen.G_I, F=F, r=ridge, rounding=rounding)
        return measure_exactly(
            G=seen.G_I, F=F, scope=search.scope, spectral=None, regularised=error
        )
    if seen.probes is None or seen.known.probes is None:
        return Errors()
    values, vectors = spectrum.values[:rank], spectrum.vectors[:, :rank]
    products = vectors @ (values[:, None] * (vectors.T @ seen.probes)) - seen.known.probes
    whitened = whitened_by_pairs(values, vectors, products, ridge)
    return Errors(regularised=regularised_bound(whitened, r=ridge, delta=search.delta))


def smallest(points: list[CurvePoint]) -> CurvePoint:
    """Return the candidate of fewest columns that meets epsilon, else the one of least error.

    One that is worse than Y = 0 is taken only where all that meet epsilon are.
    """
    meeting = [point for point in points if point.meets]
    worthy = [point for point in meeting if point.is_worth_it]
    if meeting:
        return min(worthy or meeting, key=lambda point: point.m)
    # Where nothing could be certified, the one that lost nothing.
    return min(points, key=lambda point: (point.known_error, -point.m))
