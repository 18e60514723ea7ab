"""An independent check of Y: stream X again and compare Y Y^T with what is seen of X X^T."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.probes import ProbesAccumulator
from streamsparse.accumulators.rows import RowsAccumulator
from streamsparse.accumulators.tiles import STACK_BYTES, STACK_CELLS
from streamsparse.arrays import Array, Interval
from streamsparse.dense.certificate import Errors, Measure
from streamsparse.dense.linalg import eigenpairs, product_with_transpose, rank_of
from streamsparse.dense.probes import spectral_bound
from streamsparse.kernels.norms import LANES
from streamsparse.methods.base import ALL_ROWS, PROBES, Job, Request
from streamsparse.methods.centring import accumulators_of, centre, probes_for
from streamsparse.methods.exact import gram_pass
from streamsparse.methods.exact_plan import exact_needs
from streamsparse.methods.held import hold_sample
from streamsparse.methods.known import Known
from streamsparse.methods.measuring import Risk, Seen, measure, measure_all, scope_of
from streamsparse.methods.plans import (
    Choice,
    certificate_seconds,
    gram_seconds,
    make,
    with_first_reads,
)
from streamsparse.methods.products import CHUNK_BYTES, dense_rows
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.running.facts import Facts
from streamsparse.running.local import run_bands
from streamsparse.running.plan import Plan
from streamsparse.running.spans import span_width
from streamsparse.running.stream import Needs, plan_stream
from streamsparse.sketching import draws
from streamsparse.sketching.bounds import frobenius_low

SPECTRAL_PROBES = 64
# Vectors orthogonal to Y, by which a lost direction of X is found.
OUTSIDE_PROBES = 16


def plan_check(
    facts: Facts,
    request: Request,
    *,
    m: int,
    Y_bytes: int,
    checked_rows: int,
    exact: bool,
    spectral: int,
    threads: int,
) -> Plan:
    """Plan a pass that only checks a given Y (n, m).

    ``exact`` computes all of G; ``spectral`` passes multiply G with whitened probes. ``Y_bytes`` is
    what Y takes in memory all the while.
    """
    probes = PROBES if facts.n > ALL_ROWS and not exact else 0
    if exact:
        # Y itself and its whitened copy come on top.
        needs = exact_needs(facts, request.preprocess)
        needs = replace(needs, finish_bytes=needs.finish_bytes + 16 * facts.n * m)
        seconds = gram_seconds(facts)
    else:
        extra = SPECTRAL_PROBES + OUTSIDE_PROBES if spectral else 0
        needs = _rows_needs(facts, request, m=m, count=checked_rows, probes=probes + extra)
        if spectral:
            # Y, its Gram matrix, eigenvectors and the workspace of eigh.
            needs = replace(
                needs,
                whole_columns=True,
                scans=spectral,
                # The eigenvectors of Y Y^T wait for the pass.
                kept_cells=needs.kept_cells + facts.n,
                finish_bytes=needs.finish_bytes + 8 * facts.n * (m + 5 * facts.n),
            )
        seconds = certificate_seconds(facts, checked_rows=checked_rows, probes=probes + extra)
        seconds *= max(1, spectral)
    needs = replace(
        needs,
        scratch_bytes=needs.scratch_bytes + Y_bytes,
        finish_bytes=needs.finish_bytes + Y_bytes,
    )
    stream = plan_stream(facts=facts, needs=needs, memory_budget=request.memory, has_output=False)
    if stream.bands > 1:
        # The sampled rows are read first and kept; probes would need whole columns.
        probes, held = 0, checked_rows * facts.held_row_bytes
        needs = replace(needs, scratch_bytes=needs.scratch_bytes + held)
        stream = plan_stream(
            facts=facts, needs=needs, memory_budget=request.memory, has_output=False
        )
        stream = with_first_reads(facts, stream, checked_rows=checked_rows)
    plan = make(
        facts,
        request,
        stream,
        Choice("certify", "a check of Y", "none", "what is measured"),
        work=seconds / threads,
        finish=0.0,
        checked_rows=checked_rows,
    )
    return replace(plan, m=m, probes=probes)


def _rows_needs(facts: Facts, request: Request, *, m: int, count: int, probes: int) -> Needs:
    stacks = (1 + 2 * bool(probes)) * (facts.nnz is None)
    return Needs(
        state_cells=LANES * (1 + request.preprocess.center) + count + probes,
        band_cells=STACK_CELLS * stacks,
        kept_cells=6 * count + 4 * probes + 1 + (3 + probes) * request.preprocess.center,
        result_cells=0,
        scratch_bytes=(2 + 2 * bool(probes) + request.preprocess.center) * STACK_BYTES,
        finish_bytes=CHUNK_BYTES
        + 8 * facts.n * (6 * count + 4 * probes)
        + 8 * m * (count + probes),
        span_width=span_width(d=facts.d, state_columns=count),
        whole_columns=request.preprocess.is_needed,
    )


def check_everything(job: Job, Y: Any) -> tuple[Errors, Seen]:
    """Return (errors on all rows, what was seen), from the exact Gram matrix."""
    known = gram_pass(job)
    errors = measure_all(known.gram, dense_rows(Y), scope_of(job.plan, known))
    return errors, Seen(known, np.arange(job.plan.n), None)


def check_rows(
    job: Job, Y: Any, sample: Array, *, spectral: int, delta: float | None
) -> tuple[Errors, Seen]:
    """Return (errors on the sampled rows and by probes, what was seen).

    ``spectral``: passes for the spectral error, 0 for none. ``delta`` None: somebody chose the
    rows, and they say nothing about the others.
    """
    plan, n = job.plan, job.plan.n
    # Where every row is seen the spectral error is computed, not bounded.
    whitened = _Whitened.of(Y, seed=plan.seed) if spectral and sample.size < n else None
    probes = draws.normals(seed=plan.seed, rows=n, columns=plan.probes, stream=draws.PROBES)
    asked = probes if whitened is None else np.concatenate([probes, whitened.probes], axis=1)
    norms, G_I, products, lengths = _stream(job, sample, asked)
    known = Known.of_pass(
        G_I,
        norms,
        None,
        products[:, : plan.probes] if plan.probes else None,
        d=plan.d,
        preprocess=plan.preprocess,
        block_dtype=job.source.block_dtype,
        lengths=lengths,
    )
    seen = Seen(known, sample, probes if plan.probes else None)
    risk = None if delta is None else Risk.plain(delta)
    errors, _ = measure(Y, seen, scope_of(plan, known), risk=risk)
    if whitened is not None:
        bound = _spectral_bound(job, whitened, products[:, plan.probes :], known, spectral)
        # |E| <= epsilon G is more than |E| <= epsilon (G + r I).
        errors = replace(errors, spectral=bound, regularised=bound)
    return errors, seen


def _spectral_bound(
    job: Job, whitened: _Whitened, products: Array, known: Known, passes: int
) -> Measure | None:
    """Return the bound from K^passes Omega; one pass gave G times the first probes."""
    plan = job.plan
    # A direction counts by what is left of X, its rounding by what was summed.
    left, summed = known.trace, float(known.moved.sum())
    if whitened.has_lost_a_direction(products, trace=left, d=plan.d, delta=plan.delta / 2):
        return None
    vectors = whitened.plain
    nobody = np.empty(0, np.int64)
    for k in range(passes):
        if k:
            _, _, products, _ = _stream(job, nobody, whitened.spread @ vectors)
        vectors = whitened.spread.T @ products[:, :SPECTRAL_PROBES] - vectors
    # Every pass adds its rounding; ||K|| below 1 does not enlarge that of the passes before.
    slack = passes * whitened.noise(trace=summed, d=plan.d) * float(np.linalg.norm(whitened.plain))
    return spectral_bound(
        vectors, power=passes, slack=slack, delta=plan.delta / 2, confidence=1 - plan.delta
    )


def _stream(job: Job, sample: Array, probes: Array) -> tuple[Array, Array, Array, Array | None]:
    """Return (squared row norms (n,), rows I of G (p, n), G probes (n, q), lengths (n,))."""
    # Tasks are sent what they name: never the job, whose progress lies in this process.
    source, plan, n = job.source, job.plan, job.plan.n
    stream = plan.stream
    block_dtype = source.block_dtype
    zero, columns = job.execution.zero_nonfinite, job.execution.columns
    held = hold_sample(source, stream, sample, zero=zero, columns=columns)

    def accumulators(band: Interval) -> dict[str, Accumulator]:
        rows = band[1] - band[0]
        made: dict[str, Accumulator] = {
            "norms": NormsAccumulator(rows=rows),
            **accumulators_of(plan),
        }
        if sample.size:
            made["G_I"] = RowsAccumulator(
                rows=rows, sample=sample, held=held, block_dtype=block_dtype
            )
        if probes.shape[1]:
            made["products"] = ProbesAccumulator(
                probes=probes_for(plan, probes), block_dtype=block_dtype
            )
        return made

    norms, G_I, products = np.empty(n), np.empty((sample.size, n)), np.empty((n, 0))
    lengths = None
    for (a, b), summed in run_bands(source, stream, job.execution, accumulators, by_rows=True):
        found = centre(plan, summed, sample)
        norms[a:b], lengths = found["norms"], found.get("lengths")
        if sample.size:
            G_I[:, a:b] = found["G_I"].T
        products = found.get("products", products)
    return norms, G_I, products, lengths


@dataclass(frozen=True, slots=True)
class _Whitened:
    """Probes through the inverse square root of F = Y Y^T, for the spectral bound (THEORY 5.4).

    Attributes
    ----------
    values, vectors : eigenpairs of F over its numerical rank k: (k,), (n, k).
    plain : Omega, (k, 64), independent of Y.
    outside : (n, 16), Gaussian vectors in the orthogonal complement of Y; G must not see them.
    """

    values: Array
    vectors: Array
    plain: Array
    outside: Array

    @classmethod
    def of(cls, Y: Any, *, seed: int) -> _Whitened:
        values, vectors = eigenpairs(product_with_transpose(dense_rows(Y)))
        n = vectors.shape[0]
        rank = max(1, rank_of(values, rank_tolerance(n)))
        stream = draws.SPECTRAL_PROBES
        plain = draws.normals(seed=seed, rows=rank, columns=SPECTRAL_PROBES, stream=stream)
        extra = draws.normals(
            seed=seed, rows=n, columns=OUTSIDE_PROBES, stream=stream + SPECTRAL_PROBES
        )
        vectors = vectors[:, :rank]
        extra -= vectors @ (vectors.T @ extra)
        return cls(values[:rank], vectors, plain, extra)

    @property
    def probes(self) -> Array:
        """The vectors that G is to be multiplied with first, (n, 80)."""
        return np.concatenate([self.spread @ self.plain, self.outside], axis=1)

    @property
    def spread(self) -> Array:
        """L^-T, (n, k)."""
        safe = np.where(self.values > 0, self.values, 1.0)
        return np.asarray(self.vectors / np.sqrt(safe))

    def has_lost_a_direction(self, products: Array, *, trace: float, d: int, delta: float) -> bool:
        """Return whether X may have a direction that Y lacks: then no epsilon below 1 holds.

        With P the projector on the complement of Y, sum w^T P G P w over the probes w is that of
        ||G^(1/2) P w||^2: the Frobenius bound gives tr(P G P), which must be within what is noise
        in G: the rank tolerance and the rounding of its products. It fails with probability delta.
        """
        n, rank = self.vectors.shape
        if rank == n:
            return False
        seen = max(0.0, float(np.vdot(self.outside, products[:, SPECTRAL_PROBES:])))
        lost = seen / (OUTSIDE_PROBES * frobenius_low(probes=OUTSIDE_PROBES, delta=delta))
        noise = rank_tolerance(n) * float(self.values[0]) + (n + d) * 2.0**-53 * trace
        return bool(lost > noise)

    def noise(self, *, trace: float, d: int) -> float:
        """Return how far rounding of G, and of Y Y^T, may move K w for a unit vector w."""
        smallest = float(self.values[-1])
        size = max(trace, float(self.values.sum()))
        rounding = (2 * self.vectors.shape[0] + d) * 2.0**-53
        return rounding * size / smallest if smallest > 0 else float("inf")
