"""Which method, how many columns, how to read: the plan, a pure function of facts and request."""

from __future__ import annotations

import math
from dataclasses import replace

from streamsparse.errors import BudgetTooSmallError, ParameterError
from streamsparse.methods.base import ALL_ROWS, SAMPLED_ROWS, Request
from streamsparse.methods.certify import rows_needs
from streamsparse.methods.exact import exact_needs
from streamsparse.methods.sketch import sketch_needs
from streamsparse.running.facts import Facts
from streamsparse.running.plan import Plan
from streamsparse.running.stream import Stream, plan_stream
from streamsparse.sketching.bounds import entrywise_columns, spectral_columns
from streamsparse.sketching.run_hash import SparseSign

# Round figures per thread on a 2020s core: they choose, they do not promise. Exact answers have no
# error, so "auto" accepts up to four times the time of a sketch for one (DESIGN decision 14).
_READ_BYTES_PER_SECOND = 1e9
_GRAM_FLOPS = 60e9
_SKETCH_ADDS = 3e9
_SCATTER_PRODUCTS = 0.8e9
_DENSE_FLOPS = 20e9
_EXACT_TIME_RATIO = 4.0
# Without m or epsilon a sketch takes up to 16 n columns: spectral error about 1/2 (THEORY 2.3).
_COLUMNS_PER_ROW = 16


def make_plan(facts: Facts, request: Request, *, threads: int) -> Plan:
    """Choose method, m and reading.

    Raises
    ------
    ParameterError : if m exceeds what the method or X can have.
    BudgetTooSmallError : if nothing fits, with both numbers and the remedy.
    """
    if request.m is not None and request.m > facts.d:
        raise ParameterError(f"m must be at most d = {facts.d:,}, not {request.m:,}")
    if request.method == "exact":
        return _plan_exact(facts, request, why="asked for", threads=threads)
    if request.method == "sketch":
        return _plan_sketch(facts, request, why="asked for", threads=threads)
    return _plan_auto(facts, request, threads=threads)


def make_check_plan(
    facts: Facts, request: Request, *, m: int, checked_rows: int, exact: bool, threads: int
) -> Plan:
    """Plan a pass that only checks a given Y (n, m); ``exact`` computes the whole of G."""
    if exact:
        # Y itself and its whitened copy come on top.
        needs = exact_needs(facts)
        needs = replace(needs, finish_bytes=needs.finish_bytes + 16 * facts.n * m)
    else:
        needs = rows_needs(facts, m=m, count=checked_rows)
    stream = plan_stream(facts=facts, needs=needs, memory_budget=request.memory, has_output=False)
    entries = facts.nnz if facts.nnz is not None else facts.n * facts.d
    work = 2 * checked_rows * entries / _GRAM_FLOPS / threads
    plan = _plan(facts, request, stream, work, 0.0, why="a check of Y", method="certify")
    return replace(plan, m=m, checked_rows=checked_rows)


def _plan_auto(facts: Facts, request: Request, *, threads: int) -> Plan:
    if request.m is not None and request.m > facts.n:
        why = f"m = {request.m:,} exceeds n = {facts.n:,}, more columns than an exact answer has"
        return _plan_sketch(facts, request, why=why, threads=threads)
    try:
        exact = _plan_exact(facts, request, why="", threads=threads)
    except BudgetTooSmallError:
        why = f"the exact Gram matrix of {facts.n:,} rows does not fit the budget"
        return _plan_sketch(facts, request, why=why, threads=threads)
    try:
        sketch = _plan_sketch(facts, request, why="", threads=threads)
    except BudgetTooSmallError:
        return replace(exact, why="a sketch does not fit the budget")
    # Nominal times, on one thread and as if stored uncompressed: the choice, and with it the bits
    # of Y, must depend neither on the machine nor on the codec.
    nominal = replace(facts, stored_bytes=facts.decoded_bytes)
    ratio = (
        _plan_exact(nominal, request, why="", threads=1).seconds
        / _plan_sketch(nominal, request, why="", threads=1).seconds
    )
    if ratio <= _EXACT_TIME_RATIO:
        why = f"no error but rounding, at about {ratio:.1f} times the time of a sketch"
        return replace(exact, why=why)
    return replace(sketch, why=f"about {ratio:.0f} times faster than the exact Gram matrix")


def _plan_exact(facts: Facts, request: Request, *, why: str, threads: int) -> Plan:
    if request.m is not None and request.m > facts.n:
        raise ParameterError(
            f"exact has at most n = {facts.n:,} columns, not m = {request.m:,}; "
            f'use m <= n, or method="sketch"'
        )
    stream = plan_stream(
        facts=facts,
        needs=exact_needs(facts),
        memory_budget=request.memory,
        has_output=request.has_output,
    )
    work = _gram_seconds(facts) / threads
    finish = 30 * facts.n**3 / _DENSE_FLOPS
    return _plan(facts, request, stream, work, finish, why=why, method="exact")


def _gram_seconds(facts: Facts) -> float:
    dense = facts.n * (facts.n + 1) * facts.d / _GRAM_FLOPS
    if facts.nnz is None:
        return dense
    # Columns of natural data are uneven: a typical entry sits in a column of about n / 10 entries.
    per_column = facts.nnz / facts.d
    typical = max(per_column, min(facts.n / 10, 10 * per_column))
    return min(dense, facts.nnz * typical / 2 / _SCATTER_PRODUCTS)


def _plan_sketch(facts: Facts, request: Request, *, why: str, threads: int) -> Plan:
    wanted, reason = _sketch_columns(facts, request)
    columns = wanted
    while True:
        try:
            stream, checked = _sketch_stream(facts, request, columns)
            break
        except BudgetTooSmallError:
            # m was asked for, or even a small sketch does not fit: nothing else to try.
            if request.m is not None or columns <= 64:
                raise
            columns = max(64, columns // 2)
    if columns < wanted:
        reason += f"; {wanted:,} columns wanted, the budget allows {columns:,}"
    entries = facts.nnz if facts.nnz is not None else facts.n * facts.d
    work = min(request.s, columns) * entries / _SKETCH_ADDS / threads
    work += 2 * checked * entries / _GRAM_FLOPS / threads
    factorises = _factorises(facts, request, columns)
    finish = facts.n**2 * (2 * columns + 30 * facts.n) / _DENSE_FLOPS if factorises else 0.0
    plan = _plan(
        facts,
        request,
        stream,
        work,
        finish,
        why="; ".join(filter(None, [why, reason])),
        method="sketch",
    )
    m = columns if not factorises else None
    return replace(
        plan,
        m=m,
        sketch_columns=columns,
        s=min(request.s, columns),
        checked_rows=checked,
    )


def _sketch_columns(facts: Facts, request: Request) -> tuple[int, str]:
    """Return (columns of the sketch, why so many)."""
    n, d = facts.n, facts.d
    if request.m is not None:
        return request.m, ""
    most = min(d, _COLUMNS_PER_ROW * n)
    if request.epsilon is None:
        return most, f"m not given: up to {_COLUMNS_PER_ROW} n columns"
    if request.target == "spectral":
        m = spectral_columns(rank=n, epsilon=request.epsilon, delta=request.delta)
        return min(d, m), "columns by the Gaussian reference, empirical for s = 8"
    if request.target == "entries":
        m = entrywise_columns(n=n, epsilon=request.epsilon, delta=request.delta)
        return min(d, m), "columns by the entrywise bound, empirical for s = 8"
    return most, "the attention error depends on r, unknown before the pass: as many as allowed"


def _factorises(facts: Facts, request: Request, columns: int) -> bool:
    """Y is the sketch itself where m was given; else n columns hold all that more would."""
    return request.m is None and columns > facts.n


def _sketch_stream(facts: Facts, request: Request, columns: int) -> tuple[Stream, int]:
    """Return (stream, rows to check): fewer rows where even they would not fit."""
    operator = SparseSign.make(d=facts.d, m=columns, s=request.s, seed=request.seed)
    factorises = _factorises(facts, request, columns)
    # A certificate must not cost more than an eighth of the budget: 6 arrays of p x n.
    affordable = request.memory // 8 // (6 * 8 * facts.n)
    checked = facts.n if facts.n <= ALL_ROWS else min(SAMPLED_ROWS, affordable)

    def stream_with(checked: int, held_bytes: int) -> Stream:
        needs = sketch_needs(facts, operator=operator, checked_rows=checked, factorises=factorises)
        return plan_stream(
            facts=facts,
            needs=replace(needs, scratch_bytes=needs.scratch_bytes + held_bytes),
            memory_budget=request.memory,
            has_output=request.has_output and not factorises,
        )

    stream = stream_with(checked, 0)
    if stream.bands == 1:
        return stream, checked
    # Row bands: the sampled rows are read first and kept, so they must fit beside the rest.
    row_bytes = 2 * facts.region_bytes(1, facts.d)
    checked = min(checked, SAMPLED_ROWS, request.memory // 8 // max(1, row_bytes))
    while True:
        try:
            stream = stream_with(checked, checked * row_bytes)
            break
        except BudgetTooSmallError:
            if checked == 0:
                raise
            checked //= 2
    rows_read = min(facts.n, checked * min(facts.unit[0], facts.n))
    extra = math.ceil(facts.stored_bytes * rows_read / facts.n)
    whole = rows_read == facts.n
    return (
        replace(
            stream,
            passes=stream.passes + whole,
            bytes_to_read=stream.bytes_to_read + extra,
        ),
        checked,
    )


def _plan(
    facts: Facts,
    request: Request,
    stream: Stream,
    work: float,
    finish: float,
    *,
    why: str,
    method: str,
) -> Plan:
    reading = stream.bytes_to_read / _READ_BYTES_PER_SECOND
    if stream.rebucket:
        reading += 2 * stream.temporary_disk_bytes / _READ_BYTES_PER_SECOND
    return Plan(
        source=facts.name,
        n=facts.n,
        d=facts.d,
        dtype=facts.dtype,
        nnz=facts.nnz,
        feature_axis=request.feature_axis,
        method=method,
        why=why,
        m=request.m,
        sketch_columns=None,
        s=None,
        target=request.target,
        epsilon=request.epsilon,
        delta=request.delta,
        beta=request.beta,
        seed=request.seed,
        checked_rows=facts.n,
        memory_budget=request.memory,
        stream=stream,
        seconds=max(reading, work) + finish,
    )
