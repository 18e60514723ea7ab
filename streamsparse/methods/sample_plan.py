"""The plan of method "sample": two passes, and room for the columns that may be kept."""

from __future__ import annotations

from dataclasses import replace

from streamsparse.accumulators.picks import PICK_BYTES
from streamsparse.accumulators.rules import priority_slack
from streamsparse.accumulators.tiles import STACK_BYTES, STACK_CELLS
from streamsparse.errors import BudgetTooSmallError, ParameterError
from streamsparse.kernels.norms import LANES
from streamsparse.methods.base import ALL_ROWS, Request
from streamsparse.methods.plans import (
    COLUMNS_PER_ROW,
    DENSE_FLOPS,
    GRAM_FLOPS,
    SKETCH_ADDS,
    Choice,
    certificate_seconds,
    entries_of,
    gram_seconds,
    make,
    probes_of,
    rows_checked,
)
from streamsparse.methods.sample import RARE, SCORE_VECTORS_COUNT, score_slack
from streamsparse.running.facts import Facts
from streamsparse.running.plan import Plan
from streamsparse.running.spans import span_count, span_width, tree_depth
from streamsparse.running.stream import Needs, plan_stream
from streamsparse.sketching.bounds import largest_sample, sampling_rate
from streamsparse.sketching.run_hash import MAX_RUN, SparseSign

# The sketch that scores are read from: the subspace is kept within a factor of about two.
_SKETCH_PER_ROW = 8
_ENTRY_BYTES = 16


def plan_sample(facts: Facts, request: Request, *, why: str, threads: int) -> Plan:
    """Plan two passes that keep up to m columns, or as many as epsilon may need.

    Raises
    ------
    BudgetTooSmallError : if nothing fits.
    """
    operator = None
    if not request.strict and facts.n > ALL_ROWS:
        M = min(facts.d, -(-_SKETCH_PER_ROW * facts.n // MAX_RUN) * MAX_RUN)
        operator = SparseSign.make(d=facts.d, m=M, s=request.s, seed=request.seed)
    checked, probes = facts.n, 0
    if operator is not None:
        checked, probes = rows_checked(facts, request, candidates=1), probes_of(facts, request)
    wanted, kind, sentence = _wanted(facts, request, is_exact=operator is None)
    most = wanted
    while True:
        needs = _needs(facts, operator, checked, probes, most)
        try:
            stream = plan_stream(
                facts=facts, needs=needs, memory_budget=request.memory, has_output=False
            )
            break
        except BudgetTooSmallError:
            if request.m is not None or request.strict or most <= facts.n:
                raise
            most = max(facts.n, most // 2)
    if most < wanted:
        kind, sentence = "none", f"{wanted:,} columns may be needed, the budget allows {most:,}"
    n, entries = facts.n, entries_of(facts)
    finish = 30 * n**3 / DENSE_FLOPS
    if operator is None:
        work, t = gram_seconds(facts), n
    else:
        work, t = operator.s * entries / SKETCH_ADDS, SCORE_VECTORS_COUNT
        work += certificate_seconds(facts, checked_rows=checked, probes=probes)
        finish += 2 * n * n * operator.m / DENSE_FLOPS
    work += 2 * t * entries / GRAM_FLOPS
    plan = make(
        facts,
        request,
        stream,
        Choice("sample", why, kind, sentence),
        work=work / threads,
        finish=finish,
        checked_rows=checked,
    )
    return replace(
        plan,
        m=None,
        most_columns=most,
        sketch_columns=None if operator is None else operator.m,
        s=None if operator is None else operator.s,
        hash=None if operator is None else operator.hash,
        dense_stage=True,
        probes=probes,
        scans=2,
    )


def _wanted(facts: Facts, request: Request, *, is_exact: bool) -> tuple[int, str, str]:
    """Return (most columns to keep, kind of promise, promise)."""
    n, d = facts.n, facts.d
    if request.strict and request.epsilon is None:
        raise ParameterError(
            "strict: no theorem covers a sample of an exact size; give epsilon instead of m"
        )
    if request.m is not None:
        return request.m, "none", "an exact number of columns: the certificate says how good"
    if request.epsilon is None:
        reason = f"m not given: up to {COLUMNS_PER_ROW} n columns"
        return min(d, COLUMNS_PER_ROW * n), "none", reason
    if request.target == "attention" and request.strict:
        raise ParameterError(
            "strict: the columns that attention needs depend on r, unknown before the pass; "
            "give target='entries' or 'spectral'"
        )
    # For attention the rate follows from r, known after the first pass.
    epsilon = 0.5 if request.target == "attention" else request.epsilon
    rate = sampling_rate(rank=n, epsilon=epsilon, delta=request.delta)
    most = min(d, largest_sample(expected=score_slack(n) * rate * n, failure=RARE))
    kind = "proved" if is_exact else "empirical"
    scores = "exact scores" if is_exact else "estimated scores"
    sentence = (
        f"{request.target} error at most {request.epsilon:g} with probability "
        f"{1 - request.delta:g} (Theorem 3, {scores})"
    )
    if request.target == "attention":
        kind, sentence = "empirical", f"{sentence}, if r lets so few columns do"
    if most > d // 2:
        sentence += "; most columns of X may be kept, a sketch or method exact is smaller"
    return most, kind, sentence


def _needs(
    facts: Facts, operator: SparseSign | None, checked: int, probes: int, most: int
) -> Needs:
    n = facts.n
    M = n if operator is None else operator.m
    first = LANES + 1 + (n if operator is None else operator.padded_m + checked + probes)
    picked = most + 1 + priority_slack(most)
    states = tree_depth(span_count(d=facts.d, width=span_width(d=facts.d, state_columns=M))) + 1
    pick_bytes = states * picked * PICK_BYTES
    cells, Y_bytes = picked, 8 * n * most
    if facts.nnz is not None:
        cells = 0
        entries = min(facts.nnz, n * picked)
        pick_bytes += states * entries * _ENTRY_BYTES
        Y_bytes = 4 * entries * _ENTRY_BYTES
    t = n if operator is None else SCORE_VECTORS_COUNT
    eigen = 8 * n * (M + 6 * n + 6 * checked + 4 * probes)
    measuring = 8 * n * (6 * checked + 4 * probes) + 2 * Y_bytes + pick_bytes + 8 * n * cells
    if operator is None:
        # All of G: Y made dense, its Gram matrix, the whitened copy.
        measuring += 8 * n * (6 * n + 2 * most)
    return Needs(
        state_cells=max(first, cells + 1),
        band_cells=M + 3 * STACK_CELLS,
        kept_cells=6 * checked + 4 * probes + 1 + t,
        result_cells=0,
        scratch_bytes=4 * STACK_BYTES + pick_bytes,
        finish_bytes=max(eigen, measuring),
        span_width=span_width(d=facts.d, state_columns=M),
        whole_columns=True,
        scans=2,
    )
