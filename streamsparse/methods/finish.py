"""The dense stage of a sketch: what Y becomes, and what is measured of it (THEORY 2.6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.dense.bootstrap import MOST_COLUMNS, bootstrap_entry
from streamsparse.dense.certificate import Errors
from streamsparse.dense.linalg import (
    eigenpairs,
    product_with_transpose,
    rank_of,
    scaled_vectors,
    whitened_by_factor,
)
from streamsparse.dense.measure import Scope
from streamsparse.dense.probes import regularised_bound
from streamsparse.methods.base import CurvePoint, Job, Reduction, Way
from streamsparse.methods.choose import (
    Search,
    Spectrum,
    count_candidates,
    fold_columns,
    fold_points,
    smallest,
    truncation_points,
    truncation_ranks,
)
from streamsparse.methods.measuring import Risk, Seen, measure, scope_of
from streamsparse.methods.products import CHUNK_BYTES
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.methods.rows_out import RowsOut
from streamsparse.sketching.row_map import RowMap, diagonal_scale
from streamsparse.sketching.run_hash import SparseSign

# Returns the sums of a range of rows of the sketch.
Read: TypeAlias = Callable[[Interval], Array]


def keep_sketch(job: Job, row_map: RowMap, seen: Seen, Y: Any) -> Reduction:
    """Measure a Y that is the sketch itself."""
    plan = job.plan
    scope = scope_of(plan, seen.known)
    errors, _ = measure(Y, seen, scope, risk=Risk.plain(plan.delta))
    if isinstance(Y, np.ndarray) and not seen.knows_all:
        errors = _with_bootstrap(errors, Y, row_map, scope, job)
    row_map = replace(row_map, mean=seen.mean)
    return Reduction(Y, scope.r, seen.known.trace, errors, row_map, known=seen.known)


def finish_sketch(job: Job, operator: SparseSign, seen: Seen, read: Read) -> Reduction:
    """Choose what Y is, make it, measure it."""
    plan, n = job.plan, job.plan.n
    scope = scope_of(plan, seen.known)
    spectrum = _spectrum(read((0, n)), operator) if plan.dense_stage else None
    points, risk = _candidates(job, operator, spectrum, seen, scope, read)
    # Without a choice: all that the sketch holds, in the fewest columns.
    width = operator.m if spectrum is None else spectrum.values.size
    way: Way = "fold" if spectrum is None else "truncation"
    whole = width
    if points:
        best = smallest(points)
        way, width = best.way, best.m
    if spectrum is None or way == "fold":
        row_map = RowMap(operator, width, exact_diagonal=plan.exact_diagonal)
        Y = _mapped(job, row_map, seen, read)
        errors, _ = measure(Y, seen, scope, risk=risk)
    else:
        Y, row_map = _truncated(job, operator, spectrum, width, seen, read)
        errors = _measure_truncation(Y, seen, scope, risk=risk)
    if (way == "fold" or width == whole) and not seen.knows_all and plan.stream.bands == 1:
        errors = _bootstrap_of_map(errors, row_map, read, scope, job)
    curve = tuple(sorted(points, key=lambda point: point.m))
    row_map = replace(row_map, mean=seen.mean)
    # Only a sketch that is left as it is can be added to.
    known = seen.known if row_map.is_sketch else None
    return Reduction(Y, scope.r, seen.known.trace, errors, row_map, curve=curve, known=known)


def _candidates(
    job: Job,
    operator: SparseSign,
    spectrum: Spectrum | None,
    seen: Seen,
    scope: Scope,
    read: Read,
) -> tuple[list[CurvePoint], Risk]:
    """Return (what was found of every candidate, the risk of each); none where there is no choice.

    A spectral error below 1 needs every direction of X: nothing can be left out. What a theorem
    promises holds for the sketch only.
    """
    plan = job.plan
    is_by_theorem = plan.hash == "poly4"
    if plan.epsilon is None or plan.target == "spectral" or is_by_theorem:
        return [], Risk.plain(plan.delta)
    delta = plan.delta / count_candidates(operator, plan.n, dense_stage=plan.dense_stage)
    search = Search(seen, scope, plan.target, plan.epsilon, delta, plan.exact_diagonal)
    points: list[CurvePoint] = []
    if plan.target != "regularised":
        columns = fold_columns(operator, plan.n, dense_stage=plan.dense_stage)
        points += fold_points(search, operator, columns, read)
    if spectrum is not None:
        rank = spectrum.values.size
        ranks = sorted({min(k, rank) for k in truncation_ranks(min(plan.n, operator.m))})
        points += truncation_points(search, spectrum, tuple(ranks))
    is_by_probes = plan.target == "regularised"
    risk = Risk(
        of_rows=plan.delta if is_by_probes else delta,
        of_probes=delta if is_by_probes else plan.delta,
        stated=1 - plan.delta,
    )
    return points, risk


def _spectrum(sums: Array, operator: SparseSign) -> Spectrum:
    """Return the numerical eigenpairs of the Gram matrix of the sketch."""
    C = product_with_transpose(sums)
    C /= operator.s
    values, vectors = eigenpairs(C)
    rank = max(1, rank_of(values, rank_tolerance(sums.shape[0])))
    return Spectrum(values[:rank], vectors[:, :rank])


def _mapped(job: Job, row_map: RowMap, seen: Seen, read: Read) -> Any:
    """Return Y, made from the sketch in chunks of rows."""
    n = job.plan.n
    rows = RowsOut(job.output, n, row_map.m)
    step = max(1, CHUNK_BYTES // (8 * row_map.operator.m))
    for a in range(0, n, step):
        b = min(a + step, n)
        rows.put(a, row_map.apply(read((a, b)).copy(), seen.squared_norms[a:b]))
    return rows.Y


def _truncated(
    job: Job, operator: SparseSign, spectrum: Spectrum, m: int, seen: Seen, read: Read
) -> tuple[Any, RowMap]:
    """Return (Y, its map): with C = U Lambda U^T, Y = U Lambda^(1/2), P = Y_M^T U Lambda^(-1/2).

    Rows that are rescaled need all of P, to know how much of a row leaving out columns has taken.
    """
    plan, values, vectors = job.plan, spectrum.values, spectrum.vectors
    Y = scaled_vectors(values, vectors, m)
    rows = RowsOut(job.output, plan.n, m)
    is_cut = m < values.size
    if plan.exact_diagonal:
        Y *= diagonal_scale(seen.squared_norms, np.einsum("ij,ij->i", Y, Y))[:, None]
    else:
        values, vectors = values[:m], vectors[:, :m]
    safe = np.where(values > 0, values, 1.0)
    projection = read((0, plan.n)).T @ (vectors * (operator.scale / np.sqrt(safe)))
    rows.put(0, Y)
    kept = m if is_cut and plan.exact_diagonal else None
    return rows.Y, RowMap(operator, operator.m, projection, kept, plan.exact_diagonal)


def _measure_truncation(Y: Any, seen: Seen, scope: Scope, *, risk: Risk) -> Errors:
    """Measure Y, the regularised error by the probes included: an n x n matrix fits here."""
    errors, probed = measure(Y, seen, scope, risk=risk)
    r = float(seen.squared_norms.max())
    if probed is None or r == 0:
        return errors
    whitened = whitened_by_factor(
        product_with_transpose(np.asarray(Y[:], np.float64)), probed.products, r
    )
    bound = regularised_bound(
        whitened,
        r=r,
        delta=risk.of_probes,
        slack=math.sqrt(whitened.shape[1]) * float(np.linalg.norm(probed.slack)),
        confidence=risk.stated,
    )
    return replace(errors, regularised=bound)


def _bootstrap_of_map(
    errors: Errors, row_map: RowMap, read: Read, scope: Scope, job: Job
) -> Errors:
    """Bootstrap the sketch that a map is made of, folded as far as is cheap."""
    operator, n = row_map.operator, job.plan.n
    width = next((m for m in operator.levels if m <= MOST_COLUMNS), operator.levels[-1])
    narrow = RowMap(operator, min(width, row_map.columns))
    step = max(1, CHUNK_BYTES // (8 * operator.m))
    parts = [
        narrow.apply(read((a, min(a + step, n))).copy(), np.empty(0)) for a in range(0, n, step)
    ]
    sketch = np.concatenate(parts)
    return _with_bootstrap(errors, sketch, row_map, scope, job)


def _with_bootstrap(
    errors: Errors, sketch: Array, row_map: RowMap, scope: Scope, job: Job
) -> Errors:
    """Return the errors with the bootstrap's estimate; it knows nothing of queries and keys."""
    if job.plan.queries is not None:
        return errors
    measured = bootstrap_entry(
        sketch,
        m=row_map.columns,
        r=scope.r,
        seed=job.plan.seed,
        exact_diagonal=row_map.exact_diagonal,
    )
    return replace(errors, bootstrap_entry=measured)
