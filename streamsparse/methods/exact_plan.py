"""The plan of method "exact", and of checks that compute all of G."""

from __future__ import annotations

from dataclasses import replace

from streamsparse.accumulators.tiles import STACK_BYTES, STACK_CELLS
from streamsparse.errors import ParameterError
from streamsparse.kernels.norms import LANES
from streamsparse.methods.base import Request
from streamsparse.methods.plans import DENSE_FLOPS, ENTRY_TARGETS, Choice, gram_seconds, make
from streamsparse.running.facts import Facts
from streamsparse.running.plan import Plan
from streamsparse.running.spans import span_width
from streamsparse.running.stream import Needs, plan_stream
from streamsparse.sources.preprocess import Preprocess


def exact_needs(facts: Facts, preprocess: Preprocess) -> Needs:
    """Return what the exact Gram matrix asks of a pass."""
    n = facts.n
    return Needs(
        # One cell of the digest.
        state_cells=n + LANES * (1 + preprocess.center) + 1,
        band_cells=STACK_CELLS,
        # Norms and digest; of centred rows also what they were, and their means.
        kept_cells=2 + 3 * preprocess.center,
        result_cells=0,
        scratch_bytes=(2 + preprocess.center) * STACK_BYTES,
        # G, its eigenvectors, the workspace of eigh (2 n^2), Y, and the whitened copy.
        finish_bytes=8 * n * 6 * n,
        span_width=span_width(d=facts.d, state_columns=n),
        whole_columns=True,
    )


def plan_exact(facts: Facts, request: Request, *, why: str, threads: int) -> Plan:
    """Plan the exact Gram matrix and its square root.

    Raises
    ------
    ParameterError : if m exceeds n.
    BudgetTooSmallError : if n x n does not fit.
    """
    if request.m is not None and request.m > facts.n:
        raise ParameterError(
            f"exact has at most n = {facts.n:,} columns, not m = {request.m:,}; "
            f'use m <= n, or method="sketch"'
        )
    stream = plan_stream(
        facts=facts,
        needs=exact_needs(facts, request.preprocess),
        memory_budget=request.memory,
        has_output=request.has_output,
    )
    promise = ("proved", "no error but rounding")
    if request.m is not None:
        promise = ("proved", "the least ||E||_2 of any Y with m columns (Eckart-Young)")
    elif request.epsilon is not None:
        promise = ("proved", f"{request.target} error at most {request.epsilon:g}, as measured")
    plan = make(
        facts,
        request,
        stream,
        Choice("exact", why, *promise),
        work=gram_seconds(facts) / threads,
        finish=30 * facts.n**3 / DENSE_FLOPS,
        checked_rows=facts.n,
    )
    rescales = request.epsilon is not None and request.target in ENTRY_TARGETS
    return replace(plan, dense_stage=True, exact_diagonal=rescales)
