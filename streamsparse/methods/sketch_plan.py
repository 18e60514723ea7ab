"""The plan of method "sketch": how many columns, which certificate, how to read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from streamsparse.accumulators.tiles import STACK_BYTES, STACK_CELLS
from streamsparse.errors import BudgetTooSmallError, ParameterError
from streamsparse.kernels.norms import LANES
from streamsparse.methods.base import Request
from streamsparse.methods.choose import count_candidates
from streamsparse.methods.plans import (
    COLUMNS_PER_ROW,
    DENSE_FLOPS,
    ENTRY_TARGETS,
    SKETCH_ADDS,
    Choice,
    certificate_seconds,
    entries_of,
    make,
    probes_of,
    rows_checked,
    with_first_reads,
)
from streamsparse.running.facts import Facts
from streamsparse.running.plan import Plan
from streamsparse.running.spans import span_width
from streamsparse.running.stream import Needs, Stream, plan_stream
from streamsparse.sketching.bounds import (
    entrywise_columns,
    entrywise_epsilon,
    proved_columns,
    proved_epsilon,
    spectral_columns,
    spectral_epsilon,
)
from streamsparse.sketching.run_hash import MAX_RUN, Hash, SparseSign
from streamsparse.sources.preprocess import Preprocess

# The attention error depends on r, unknown before the pass: an entry error of about 0.1 at least.
_ATTENTION_COLUMNS = 8192
# The entrywise bound is no theorem for s = 8: twice its columns leave room to fold down.
_ROOM_TO_FOLD = 2
_FEWEST_COLUMNS = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """What a sketch of this size makes and checks.

    Attributes
    ----------
    operator : S.
    dense_stage : whether the n x n stage follows.
    chooses : whether Y is chosen among folds and truncations.
    checked_rows, probes : of the certificate.
    """

    operator: SparseSign
    dense_stage: bool
    chooses: bool
    checked_rows: int
    probes: int


def sketch_needs(facts: Facts, shape: Shape, preprocess: Preprocess) -> Needs:
    """Return what such a sketch asks of a pass."""
    n, M, p, q = facts.n, shape.operator.m, shape.checked_rows, shape.probes
    stacks = (bool(p) + 2 * bool(q)) * (facts.nnz is None)
    finish = M + 6 * p + 4 * q + min(M, 512)
    if shape.chooses:
        # Y beside the sketch that it is folded from.
        finish += M
    if shape.dense_stage or p == n:
        # Y, its Gram matrix, eigenvectors, workspace of eigh (2 n^2), and the projection.
        finish = 2 * M + 6 * n + 6 * p + 4 * q
    return Needs(
        # One cell of the digest.
        state_cells=shape.operator.padded_m + LANES * (1 + preprocess.center) + 1 + p + q,
        band_cells=M + STACK_CELLS * stacks,
        kept_cells=6 * p + 4 * q + 2 + (3 + q) * preprocess.center,
        result_cells=M,
        scratch_bytes=(2 + 2 * bool(q) + preprocess.center) * STACK_BYTES,
        finish_bytes=8 * n * finish,
        span_width=span_width(d=facts.d, state_columns=M),
        whole_columns=preprocess.is_needed,
    )


def plan_sketch(facts: Facts, request: Request, *, why: str, threads: int) -> Plan:
    """Plan a sketch of as many columns as are wanted, or as the budget allows.

    Raises
    ------
    ParameterError : if a theorem is asked for that needs more than d columns.
    BudgetTooSmallError : if nothing fits.
    """
    wanted, reason = _wanted_columns(facts, request)
    if request.strict:
        # Without a theorem there is nothing to make room for.
        _promise(facts, request, wanted)
    columns = wanted
    while True:
        try:
            stream, shape = _stream(facts, request, columns)
            break
        except BudgetTooSmallError:
            # m was asked for, or a theorem, or even a small sketch does not fit.
            if request.m is not None or request.strict or columns <= _FEWEST_COLUMNS:
                raise
            columns = max(_FEWEST_COLUMNS, columns // 2)
    reason = "; ".join(filter(None, [why, reason]))
    if columns < wanted:
        reason += f"; {wanted:,} columns wanted, the budget allows {columns:,}"
    operator = shape.operator
    work = operator.s * entries_of(facts) / SKETCH_ADDS
    work += certificate_seconds(facts, checked_rows=shape.checked_rows, probes=shape.probes)
    finish = 0.0
    if shape.dense_stage:
        finish = facts.n**2 * (2 * columns + 30 * facts.n) / DENSE_FLOPS
    plan = make(
        facts,
        request,
        stream,
        Choice("sketch", reason, *_promise(facts, request, columns)),
        work=work / threads,
        finish=finish,
        checked_rows=shape.checked_rows,
    )
    fixed = not shape.dense_stage and not shape.chooses
    return replace(
        plan,
        m=columns if fixed else None,
        sketch_columns=columns,
        s=operator.s,
        hash=operator.hash,
        dense_stage=shape.dense_stage,
        # Where m was given, Y is X S^T itself.
        exact_diagonal=request.m is None and request.target in ENTRY_TARGETS and not request.strict,
        probes=shape.probes,
    )


def _wanted_columns(facts: Facts, request: Request) -> tuple[int, str]:
    """Return (columns of the sketch, why so many)."""
    n, d = facts.n, facts.d
    if request.m is not None:
        return request.m, ""
    if request.strict and request.epsilon is not None and request.target != "attention":
        m = proved_columns(rank=n, epsilon=request.epsilon, delta=request.delta)
        if m > d:
            raise ParameterError(
                f"strict needs n (n + 1) / (epsilon^2 delta) = {m:,} columns, more than "
                f"d = {d:,}: raise epsilon or delta, or use method='exact'"
            )
        return m, "columns by Theorem 2"
    if request.strict:
        return d, "as many columns as X has: Theorem 2 needs them"
    if request.epsilon is None:
        reason = f"m not given: up to about {COLUMNS_PER_ROW} n columns"
        return _foldable(COLUMNS_PER_ROW * n, d, request.s), reason
    if request.target == "entries":
        m = entrywise_columns(n=n, epsilon=request.epsilon, delta=request.delta)
        return _foldable(_ROOM_TO_FOLD * m, d, request.s), "columns by the entrywise bound"
    if request.target == "attention":
        most = max(_ATTENTION_COLUMNS, COLUMNS_PER_ROW * n)
        return _foldable(most, d, request.s), "the attention error depends on r, not known yet"
    m = spectral_columns(rank=n, epsilon=request.epsilon, delta=request.delta)
    return _foldable(m, d, request.s), "columns by the Gaussian reference"


def _foldable(least: int, most: int, s: int) -> int:
    """Return the smallest s 64 2^k that is at least ``least``, or the largest that is within d."""
    step = s * MAX_RUN
    if step > most:
        return most
    doublings = max(0, math.ceil(math.log2(max(1, least) / step)))
    return min(step << doublings, step << int(math.log2(most // step)))


def _promise(facts: Facts, request: Request, columns: int) -> tuple[str, str]:
    """Return (kind, sentence): what is known of the error before the first read.

    Raises
    ------
    ParameterError : if only a theorem will do and there is none for so few columns.
    """
    n, delta = facts.n, request.delta
    chance = f"with probability {1 - delta:g}"
    if request.strict:
        epsilon = proved_epsilon(rank=n, m=columns, delta=delta)
        if epsilon >= 1 and request.m is not None:
            # The rank of X may be below n, and then the theorem may hold all the same.
            return "none", f"Theorem 2 gives nothing at {columns:,} columns for rank n"
        if epsilon >= 1:
            raise ParameterError(
                f"strict: Theorem 2 needs more than n (n + 1) / delta = "
                f"{math.ceil(n * (n + 1) / delta):,} columns to say anything, the sketch has "
                f"{columns:,} (d = {facts.d:,}): raise delta, or use method='exact'"
            )
        return "proved", f"spectral and entry errors at most {epsilon:.2g} {chance} (Theorem 2)"
    if request.s != 8:
        return "none", f"no formula holds for s = {request.s} on every X; the certificate measures"
    # What is chosen out of the sketch meets epsilon by measurement, and no better.
    whose = "" if request.epsilon is None else "of the sketch itself: "
    if request.target in ("spectral", "regularised"):
        epsilon = spectral_epsilon(rank=n, m=columns, delta=delta)
        if epsilon >= 1:
            return "none", f"the Gaussian reference gives nothing at {columns:,} columns"
        return (
            "empirical",
            f"{whose}{request.target} error at most {epsilon:.2g} {chance} (Gaussian reference)",
        )
    epsilon = entrywise_epsilon(n=n, m=columns, delta=delta)
    if math.isinf(epsilon):
        return "none", f"the entrywise bound gives nothing at {columns:,} columns"
    sentence = f"{whose}entry error at most {epsilon:.2g} {chance} (dense signs, s = 8 follows)"
    if request.target == "attention":
        sentence += f"; attention at most 2 tanh({request.beta * epsilon / 2:.2g} r)"
    return "empirical", sentence


def _stream(facts: Facts, request: Request, columns: int) -> tuple[Stream, Shape]:
    """Return how to read, and what is checked: less where even that would not fit."""
    s = 1 if request.strict else request.s
    drawn: Hash = "poly4" if request.strict else "splitmix"
    operator = SparseSign.make(
        d=facts.d,
        m=columns,
        s=s,
        seed=request.seed,
        hash=drawn,
    )
    # A theorem speaks of the sketch, and of nothing that is cut from it or rescaled.
    chooses = request.epsilon is not None and request.target != "spectral" and not request.strict
    # n columns hold all that more would; the leading ones may do. Fewer need no n x n matrix.
    dense_stage = request.m is None and columns > facts.n
    candidates = 1
    if chooses:
        candidates = count_candidates(operator, facts.n, dense_stage=dense_stage)
    checked = rows_checked(facts, request, candidates=candidates)

    def attempt(checked: int, probes: int, held_bytes: int) -> tuple[Stream, Shape]:
        shape = Shape(operator, dense_stage, chooses, checked, probes)
        needs = sketch_needs(facts, shape, request.preprocess)
        stream = plan_stream(
            facts=facts,
            needs=replace(needs, scratch_bytes=needs.scratch_bytes + held_bytes),
            memory_budget=request.memory,
            has_output=request.has_output and not dense_stage,
        )
        return stream, shape

    probes, is_banded = probes_of(facts, request), False
    # In row bands the sampled rows are read first and kept, so they must fit beside the rest.
    # Of the sketch, too, the sampled rows are in memory: as they are, and folded.
    row_bytes = facts.held_row_bytes + 16 * columns
    while True:
        try:
            stream, shape = attempt(checked, probes, checked * row_bytes * is_banded)
        except BudgetTooSmallError:
            # Fewer columns are tried before a smaller certificate, where that is a choice.
            may_shrink = is_banded or request.m is not None or columns <= _FEWEST_COLUMNS
            if not may_shrink or checked == 0:
                raise
            # First the probes go, which are the loosest; then rows.
            checked = checked if probes else checked // 2
            probes = 0
            continue
        if stream.bands == 1:
            return stream, shape
        if is_banded:
            disk = 8 * facts.n * columns if chooses and request.has_output else 0
            stream = with_first_reads(facts, stream, checked_rows=checked)
            return replace(stream, temporary_disk_bytes=disk), shape
        # Probes would need whole columns.
        is_banded, probes = True, 0
        checked = min(checked, facts.n - 1, request.memory // 8 // max(1, row_bytes))
