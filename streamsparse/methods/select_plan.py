"""The plan of method "select": two passes, a pool of columns, and how hard to choose among them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from streamsparse.accumulators.picks import PICK_BYTES
from streamsparse.accumulators.tiles import STACK_BYTES, STACK_CELLS
from streamsparse.dense.choice import Care
from streamsparse.dense.polish import NONE, QUICK, THOROUGH, Effort
from streamsparse.errors import BudgetTooSmallError, ParameterError
from streamsparse.kernels.norms import LANES
from streamsparse.methods.base import Request
from streamsparse.methods.plans import (
    DENSE_FLOPS,
    GRAM_FLOPS,
    Choice,
    gram_seconds,
    make,
)
from streamsparse.running.facts import Facts
from streamsparse.running.plan import Plan
from streamsparse.running.spans import span_count, span_width, tree_depth
from streamsparse.running.stream import Needs, Stream, plan_stream
from streamsparse.sketching.bounds import barrier_columns, barrier_epsilon

# Without m or epsilon: enough for a spectral error of about 0.2 to 0.3.
_COLUMNS_PER_ROW = 8
_POOL_PER_ROW = 32
# Sums by leaf take at most this, unless eight of them take more (DESIGN decision 30).
_LEAF_BYTES = 128 << 20
_LEAST_LEAVES = 8
# What "auto" may spend in memory, in times of the Gram pass and in seconds; and what "balance" may.
_AUTO_SPENDS = (10.0, 100.0)
_BALANCE_SPENDS = (3.0, 2.0)
_MOST_ROUNDS = 6
_ENTRY_BYTES = 16


class Sizes(NamedTuple):
    """What the memory of a selection is made of.

    Attributes
    ----------
    most : most columns of Y.
    pool : columns held in memory to choose from.
    leaf_width : columns of one leaf, None where sums by leaf are not kept.
    """

    most: int
    pool: int
    leaf_width: int | None


def plan_select(facts: Facts, request: Request, *, why: str, threads: int) -> Plan:
    """Plan the Gram pass, the pass that fills the pool, and the choice in memory.

    Raises
    ------
    BudgetTooSmallError : if it does not fit.
    ParameterError : for strict with "balance", which no theorem of this kind covers.
    """
    if request.strict and request.algorithm != "bss":
        raise ParameterError(
            "strict: the theorem with m = O(n) is about the barriers; give algorithm='bss'"
        )
    scans = 1 if request.continues or _picks_in_first_pass(request) else 2
    sizes, stream = _fitting(facts, request, scans=scans)
    care = care_for(facts, request.algorithm, sizes.most, trials=1)
    n = facts.n
    # Whitening, and about 3 n^2 flops of balancing per column that is not empty.
    columns = facts.d if facts.nnz is None else min(facts.d, facts.nnz)
    whitening = 2 * (facts.nnz or facts.d * n / 2) * n
    work = gram_seconds(facts) + (whitening + 3 * n * n * columns) / GRAM_FLOPS
    finish = 30 * n**3 / DENSE_FLOPS + _care_seconds(n, sizes.most, sizes.pool, care)
    if request.algorithm == "bss":
        finish = 30 * n**3 / DENSE_FLOPS + sizes.most * _pick_seconds(n, sizes.pool)
    plan = make(
        facts,
        request,
        stream,
        Choice("select", why, *_promise(facts, request, sizes.most)),
        work=work / threads,
        finish=finish,
        checked_rows=n,
    )
    return replace(
        plan,
        m=None,
        most_columns=sizes.most,
        dense_stage=True,
        algorithm=request.algorithm,
        pool_columns=sizes.pool,
        leaf_width=sizes.leaf_width,
        scans=scans,
    )


def _fitting(facts: Facts, request: Request, *, scans: int) -> tuple[Sizes, Stream]:
    """Return sizes and a way to read that fit the budget.

    How many columns epsilon takes is known afterwards only: as many as fit are tried.
    """
    sizes, one_pass = _sizes(facts, request), _picks_in_first_pass(request)
    while True:
        needs = _needs(facts, sizes, scans=scans, one_pass=one_pass)
        try:
            return sizes, plan_stream(
                facts=facts, needs=needs, memory_budget=request.memory, has_output=False
            )
        except BudgetTooSmallError:
            if request.epsilon is None or sizes.most <= 2 * facts.n:
                raise
            sizes = _sizes(facts, request, most=sizes.most // 2)


def _picks_in_first_pass(request: Request) -> bool:
    """Whether the pool comes from the pass that makes G: there is one, and nothing is whitened."""
    balances = is_one_pass(request.algorithm, request.target, request.epsilon)
    return balances and not request.continues


def is_one_pass(algorithm: str | None, target: str, epsilon: float | None) -> bool:
    """Whether columns are balanced unwhitened, as they pass by first: for m and for entries.

    The bound is (tr G)^2 / m on ||E||_F^2 (THEORY 3.6): of entries, not of directions.
    """
    return algorithm == "balance" and target == "entries" and epsilon is None


def care_for(facts: Facts, algorithm: str, m: int, *, trials: int) -> Care:
    """Return how hard to choose m columns: a function of sizes alone, as the bits of Y are.

    The times are nominal, on one thread, whatever machine this is; ``trials`` share them.
    """
    n = facts.n
    share, least = _AUTO_SPENDS if algorithm == "auto" else _BALANCE_SPENDS
    allowed = max(least, share * gram_seconds(facts)) / trials
    rounds = 0
    if algorithm == "auto":
        # Exchange before polish: it gains more.
        once = Care(1, QUICK, QUICK)
        one = _care_seconds(n, m, pool_size(n, facts.d, m), once)
        rounds = min(_MOST_ROUNDS, int((allowed - _polish_seconds(n, m, QUICK)) / one))
        allowed -= rounds * one
    last = next(
        (effort for effort in (THOROUGH, QUICK) if _polish_seconds(n, m, effort) <= allowed), NONE
    )
    return Care(rounds, QUICK, last) if rounds > 0 else Care(0, NONE, last)


def pool_size(n: int, d: int, m: int) -> int:
    """Return how many columns to choose m from: the more, the better the choice."""
    return min(d, max(_POOL_PER_ROW * n, 2 * m + n))


def _sizes(facts: Facts, request: Request, *, most: int | None = None) -> Sizes:
    n, d = facts.n, facts.d
    if most is not None:
        pass
    elif request.m is not None:
        most = request.m
    elif request.epsilon is None:
        most = min(d, _COLUMNS_PER_ROW * n)
    else:
        # What attention needs follows from r, which the first pass finds.
        epsilon = 0.2 if request.target == "attention" else request.epsilon
        most = min(d, barrier_columns(rank=n, epsilon=epsilon))
    pool = pool_size(n, d, most) if request.epsilon is None else min(d, max(most, 8 * n))
    if _picks_in_first_pass(request):
        pool = min(d, 2 * (2 * most + n))
    leaf_width = None
    if request.algorithm == "bss" and not request.continues:
        leaf_width = span_width(d=d, state_columns=n)
        leaves = max(_LEAST_LEAVES, _LEAF_BYTES // (4 * n * n))
        while leaf_width * leaves < d:
            leaf_width *= 2
    return Sizes(most, pool, leaf_width)


def _promise(facts: Facts, request: Request, most: int) -> tuple[str, str]:
    """Return (kind, sentence): proved only where the walk of the theorem is run if all else fails.

    What is chosen in coordinates with a ridge is measured, and no theorem of ours covers it.
    """
    if _picks_in_first_pass(request):
        return "empirical", "||E||_F at most sqrt(2 / m) tr G (Theorem 4 twice)"
    if request.algorithm == "balance":
        return "empirical", "whitened error: sum of squares at most rank^2 / m (Theorem 4)"
    epsilon = request.epsilon
    has_ridge = request.target == "regularised" or (
        epsilon is not None and request.target != "spectral"
    )
    if request.algorithm == "auto" and has_ridge:
        return "none", "chosen for the error asked for, which is measured, not promised"
    if epsilon is not None and request.target != "attention":
        wanted = barrier_columns(rank=facts.n, epsilon=epsilon)
        if most < min(wanted, facts.d):
            return "none", f"{wanted:,} columns may be needed, the budget allows {most:,}"
        return "proved", f"{request.target} error at most {epsilon:g} (barriers)"
    if epsilon is None and most > facts.n:
        proved = barrier_epsilon(rank=facts.n, m=most)
        return "proved", f"spectral error at most {proved:.2g} (barriers)"
    if epsilon is None:
        return "none", "m at or below the rank loses directions; the certificate says what"
    return "none", "the columns that attention needs depend on r, unknown before the pass"


def _polish_seconds(n: int, m: int, effort: Effort) -> float:
    evaluations = len(effort.powers) * (effort.iterations + 2)
    return evaluations * (15 * n**3 / DENSE_FLOPS + 3 * n * n * m / GRAM_FLOPS)


def _pick_seconds(n: int, pool: int) -> float:
    """Return the time of one step of a walk (see ``barriers.Walk``)."""
    pending = 2.3 * math.sqrt(n)
    by_gemm = 4 * n * pending * 512 + 2 * n * n * pool / pending
    return by_gemm / GRAM_FLOPS + 15 * n**3 / pending / DENSE_FLOPS


def _care_seconds(n: int, m: int, pool: int, care: Care) -> float:
    one = _polish_seconds(n, m, care.between) + 0.3 * m * _pick_seconds(n, pool)
    return care.rounds * one + _polish_seconds(n, m, care.last)


def _needs(facts: Facts, sizes: Sizes, *, scans: int, one_pass: bool) -> Needs:
    n = facts.n
    leaves = 0 if sizes.leaf_width is None else -(-facts.d // sizes.leaf_width)
    # Chance decides how many more columns than expected pass for the pool.
    held = sizes.pool + 4 * math.isqrt(sizes.pool) + 256
    if one_pass:
        # Every state of the merge tree may hold some of them.
        width = span_width(d=facts.d, state_columns=n)
        held *= tree_depth(span_count(d=facts.d, width=width)) + 1
    raw = held * PICK_BYTES
    if facts.nnz is None:
        raw += held * n * (4 if facts.block_itemsize <= 4 and "float" in facts.dtype else 8)
    else:
        raw += min(facts.nnz, held * n) * _ENTRY_BYTES
    # Packed triangles, and the two indices of their cells.
    sums = (leaves + 2 * bool(leaves)) * 4 * n * (n + 1)
    kept = raw + sums
    whitened = 8 * n * held
    # Y, its whitened copy, the columns that are polished; groups of columns being whitened.
    chosen = 3 * 8 * n * sizes.most + 4 * 8 * n * 1024
    return Needs(
        state_cells=n + LANES + 1,
        # A copy of what the chooser knew when the last span ended is among them.
        band_cells=STACK_CELLS + 7 * n,
        kept_cells=1,
        result_cells=0,
        scratch_bytes=8 * STACK_BYTES + kept,
        finish_bytes=8 * n * 8 * n + 8 * STACK_BYTES + kept + whitened + chosen,
        span_width=span_width(d=facts.d, state_columns=n),
        whole_columns=True,
        scans=scans,
    )
