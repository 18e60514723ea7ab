"""How long a plan will take on a machine whose rates were measured."""

from __future__ import annotations

from streamsparse.methods.plans import entries_of, gram_seconds
from streamsparse.running.facts import Facts
from streamsparse.running.plan import Plan
from streamsparse.running.rates import Rates

# Opening, listing, planning, and the ends of threads.
_START_SECONDS = 0.05
_NARROW = ("float16", "float32", "int8", "uint8", "bool")
# The bootstrap of a sketch takes 1e9 flops, twice: products, and copies that feed them.
_BOOTSTRAP_FLOPS = 2e9
# What "exact" does with eigenvalues, square roots and inverses after the pass, in eigenvalues:
# measured at n = 1,024 and 2,048.
_EXACT_FINISH = 2.7


def predicted_seconds(plan: Plan, facts: Facts, rates: Rates, *, threads: int) -> float:
    """Return the time of a run from files that the system holds in memory.

    Reading, decoding and summing share the processors: their times add up. A disk that gives less
    than that takes bytes_to_read over its own rate, if that is more.
    """
    passes = max(1, plan.stream.passes)
    decoded = facts.used_bytes * passes / rates.decode(facts.codec)
    reading = plan.stream.bytes_to_read / rates.read + decoded
    reading += 2 * plan.stream.temporary_disk_bytes / rates.read
    n = facts.n
    eigenvalues = 30 * n**3 / rates.eigh
    if plan.method == "sketch":
        work = _sketch_work(plan, facts, rates)
        m = plan.sketch_columns or 1
        finish = 2 * n * m * (plan.checked_rows + 2 * plan.probes) / rates.dense
        finish += _BOOTSTRAP_FLOPS / rates.dense
        if plan.dense_stage:
            finish += eigenvalues + 4 * n * n * m / rates.dense
    elif plan.method == "exact":
        work, finish = _gram_work(facts, rates), _EXACT_FINISH * eigenvalues
    else:
        # What they do beside the Gram matrix scales as it does.
        scale = _gram_work(facts, rates) / max(gram_seconds(facts), 1e-9)
        return (reading / threads + _START_SECONDS) + plan.seconds * scale
    states = plan.stream.spans * 8 * n * (n if plan.method == "exact" else plan.sketch_columns or 1)
    work += states / rates.merge
    return (reading + work) / threads + finish + _START_SECONDS


def _sketch_work(plan: Plan, facts: Facts, rates: Rates) -> float:
    entries, s, p, q = entries_of(facts), plan.s or 1, plan.checked_rows, plan.probes
    if facts.nnz is None:
        rows = rates.rows32 if facts.dtype in _NARROW else rates.rows64
        work = entries * (1 / rates.norms + 1 / rates.visits + s / rates.adds)
        return work + entries * (2 * p / rows + 4 * q / rates.probes)
    work = entries * (1 / rates.sparse_entries + s / rates.sparse_adds)
    work += entries * (1 + p * facts.nnz / (facts.n * facts.d)) / rates.sparse_rows
    work += entries * 2 * q / rates.sparse_probes
    relaid = (entries + facts.d) / rates.relayout if facts.unit[1] < facts.d else 0.0
    return work + relaid + _checks(facts, rates)


def _checks(facts: Facts, rates: Rates) -> float:
    """Return what it takes to check a sparse source, of which empty columns count too."""
    majors = facts.d if facts.unit[1] < facts.d else facts.n
    return (entries_of(facts) + majors) / rates.checks


def _gram_work(facts: Facts, rates: Rates) -> float:
    entries = entries_of(facts)
    gram = rates.gram32 if facts.dtype in _NARROW else rates.gram64
    dense = facts.n * (facts.n + 1) * facts.d / gram
    if facts.nnz is None:
        return dense + entries / rates.norms
    # Columns of natural data are uneven: as in `gram_seconds`.
    per_column = facts.nnz / facts.d
    typical = max(per_column, min(facts.n / 10, 10 * per_column))
    relaid = (entries + facts.d) / rates.relayout if facts.unit[1] == facts.d else 0.0
    relaid += _checks(facts, rates)
    scattered = (facts.nnz * (typical + 1) / 2 + facts.d) / rates.scatter
    return min(dense, scattered) + relaid + entries / rates.norms
