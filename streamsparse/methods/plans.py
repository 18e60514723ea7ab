"""What all plans share: nominal rates, the rows that a certificate checks, the value itself."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from streamsparse.methods.base import (
    ALL_ROWS,
    PROBES,
    REGULARISED_PROBES,
    SHARE_OF_ROWS,
    Request,
)
from streamsparse.running.facts import Facts
from streamsparse.running.plan import Plan
from streamsparse.running.stream import Stream
from streamsparse.sketching.bounds import rows_for_share

# Round figures per thread on a 2020s core: they choose, they do not promise.
READ_BYTES_PER_SECOND = 1e9
GRAM_FLOPS = 60e9
SKETCH_ADDS = 3e9
SCATTER_PRODUCTS = 0.8e9
DENSE_FLOPS = 20e9

# Without m or epsilon: a sketch of 16 n columns has a spectral error of about 1/2 (THEORY 2.3).
COLUMNS_PER_ROW = 16
# Targets that the largest entry of the error decides: rows may be rescaled to their exact norms.
ENTRY_TARGETS = ("attention", "entries")


def with_first_reads(facts: Facts, stream: Stream, *, checked_rows: int) -> Stream:
    """Return the stream of row bands with the reading of the sampled rows, before all, counted."""
    rows_read = min(facts.n, checked_rows * min(facts.unit[0], facts.n))
    return replace(
        stream,
        passes=stream.passes + (rows_read == facts.n),
        bytes_to_read=stream.bytes_to_read + math.ceil(facts.stored_bytes * rows_read / facts.n),
    )


class Choice(NamedTuple):
    """Which method, why, and what is known about its error: the words of a plan."""

    method: str
    why: str
    promise_kind: str
    promise: str


def rows_checked(facts: Facts, request: Request, *, candidates: int) -> int:
    """Return how many rows of G to compute: all of few, else what a statement on most rows takes.

    ``candidates`` share the confidence. A certificate must not cost more than an eighth of the
    budget: six arrays of p x n.
    """
    if facts.n <= ALL_ROWS:
        return facts.n
    looking = facts.n if request.queries is None else request.queries
    wanted = rows_for_share(share=SHARE_OF_ROWS, delta=request.delta / candidates)
    if looking <= ALL_ROWS:
        # Few queries: all that look, exactly.
        wanted = looking
    affordable = request.memory // 8 // (6 * 8 * facts.n)
    return min(looking, facts.n - 1, wanted, affordable)


def probes_of(facts: Facts, request: Request) -> int:
    """Return how many Gaussian vectors G is multiplied with: none where all of G is known."""
    if facts.n <= ALL_ROWS:
        return 0
    return REGULARISED_PROBES if request.target == "regularised" else PROBES


def entries_of(facts: Facts) -> int:
    """Return how many values a pass looks at."""
    return facts.nnz if facts.nnz is not None else facts.n * facts.d


def gram_seconds(facts: Facts) -> float:
    """Return the time of the exact Gram matrix on one thread."""
    dense = facts.n * (facts.n + 1) * facts.d / GRAM_FLOPS
    if facts.nnz is None:
        return dense
    # Columns of natural data are uneven: a typical entry sits in a column of about n / 10 entries.
    per_column = facts.nnz / facts.d
    typical = max(per_column, min(facts.n / 10, 10 * per_column))
    return min(dense, facts.nnz * typical / 2 / SCATTER_PRODUCTS)


def certificate_seconds(facts: Facts, *, checked_rows: int, probes: int) -> float:
    """Return the time of the sampled rows and probes on one thread."""
    entries = entries_of(facts)
    per_entry = 2 * checked_rows
    if facts.nnz is not None:
        # Only pairs of entries that share a column count.
        per_entry = math.ceil(per_entry * min(1.0, 4 * facts.nnz / (facts.n * facts.d)))
    return entries * (per_entry + 4 * probes) / GRAM_FLOPS


def make(
    facts: Facts,
    request: Request,
    stream: Stream,
    choice: Choice,
    *,
    work: float,
    finish: float,
    checked_rows: int,
) -> Plan:
    """Return the plan with what every method fills in; ``work`` overlaps reading, in seconds."""
    reading = stream.bytes_to_read / READ_BYTES_PER_SECOND
    reading += 2 * stream.temporary_disk_bytes / READ_BYTES_PER_SECOND
    return Plan(
        source=facts.name,
        n=facts.n,
        d=facts.d,
        dtype=facts.dtype,
        nnz=facts.nnz,
        feature_axis=facts.feature_axis,
        preprocess=request.preprocess,
        method=choice.method,
        why=choice.why,
        promise=choice.promise,
        promise_kind=choice.promise_kind,
        m=request.m,
        most_columns=None,
        sketch_columns=None,
        s=None,
        hash=None,
        dense_stage=False,
        exact_diagonal=False,
        target=request.target,
        epsilon=request.epsilon,
        delta=request.delta,
        beta=request.beta,
        seed=request.seed,
        queries=request.queries,
        checked_rows=checked_rows,
        probes=0,
        memory_budget=request.memory,
        algorithm=None,
        pool_columns=None,
        leaf_width=None,
        scans=1,
        stream=stream,
        seconds=max(reading, work) + finish,
    )
