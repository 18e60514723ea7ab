"""Which method: the plan of a request, a pure function of it and of the facts."""

from __future__ import annotations

from dataclasses import replace

from streamsparse.errors import BudgetTooSmallError, ParameterError
from streamsparse.methods.base import Request
from streamsparse.methods.exact_plan import plan_exact
from streamsparse.methods.predict import predicted_seconds
from streamsparse.methods.sample_plan import plan_sample
from streamsparse.methods.select_plan import plan_select
from streamsparse.methods.sketch_plan import plan_sketch
from streamsparse.running.facts import Facts
from streamsparse.running.plan import Plan
from streamsparse.running.rates import load_rates

# Exact answers have no error, so "auto" accepts up to four times the time of a sketch for one
# (DESIGN decision 14).
_EXACT_TIME_RATIO = 4.0


def make_plan(facts: Facts, request: Request, *, threads: int) -> Plan:
    """Choose method, m and reading; predict the time, by this machine's rates if they are known.

    Raises
    ------
    ParameterError : if m exceeds what the method or X can have.
    BudgetTooSmallError : if nothing fits, with both numbers and the remedy.
    """
    if request.m is not None and request.m > facts.d:
        raise ParameterError(f"m must be at most d = {facts.d:,}, not {request.m:,}")
    if request.preprocess.center and facts.n < 2:
        raise ParameterError("centring takes the mean of at least 2 rows, and X has 1")
    planners = {
        "exact": plan_exact,
        "sketch": plan_sketch,
        "sample": plan_sample,
        "select": plan_select,
    }
    if request.method in planners:
        plan = planners[request.method](facts, request, why="asked for", threads=threads)
    else:
        plan = _plan_auto(facts, request, threads=threads)
    rates = load_rates()
    if rates is None:
        return plan
    return replace(plan, seconds=predicted_seconds(plan, facts, rates, threads=threads))


def _plan_auto(facts: Facts, request: Request, *, threads: int) -> Plan:
    if request.m is not None and request.m > facts.n:
        why = f"m = {request.m:,} exceeds n = {facts.n:,}, more columns than an exact answer has"
        return plan_sketch(facts, request, why=why, threads=threads)
    try:
        exact = plan_exact(facts, request, why="", threads=threads)
    except BudgetTooSmallError:
        why = f"the exact Gram matrix of {facts.n:,} rows does not fit the budget"
        return plan_sketch(facts, request, why=why, threads=threads)
    try:
        sketch = plan_sketch(facts, request, why="", threads=threads)
    except (BudgetTooSmallError, ParameterError) as error:
        reason = "fit the budget" if isinstance(error, BudgetTooSmallError) else "meet the theorem"
        return replace(exact, why=f"a sketch does not {reason}")
    # Nominal times, on one thread and as if stored uncompressed: the choice, and with it the bits
    # of Y, must depend neither on the machine nor on the codec.
    nominal = replace(facts, stored_bytes=facts.decoded_bytes)
    ratio = (
        plan_exact(nominal, request, why="", threads=1).seconds
        / plan_sketch(nominal, request, why="", threads=1).seconds
    )
    if ratio <= _EXACT_TIME_RATIO:
        what = "no error but rounding"
        if request.m is not None or request.epsilon is not None:
            what = "from the exact Gram matrix"
        return replace(exact, why=f"{what}, at about {ratio:.1f} times the time of a sketch")
    return replace(sketch, why=f"about {ratio:.0f} times faster than the exact Gram matrix")
