"""The plan of columns that come to a result or go from it."""

from __future__ import annotations

from dataclasses import replace

from streamsparse.methods.exact_plan import exact_needs
from streamsparse.methods.plans import (
    DENSE_FLOPS,
    READ_BYTES_PER_SECOND,
    SKETCH_ADDS,
    certificate_seconds,
    entries_of,
    gram_seconds,
    with_first_reads,
)
from streamsparse.methods.sketch_plan import Shape, sketch_needs
from streamsparse.running.facts import Facts
from streamsparse.running.plan import Plan
from streamsparse.running.stream import Needs, Stream, plan_stream
from streamsparse.sketching.run_hash import SparseSign


def plan_change(
    facts: Facts,
    earlier: Plan,
    *,
    operator: SparseSign | None,
    Y_bytes: int,
    known_cells: int,
    memory_budget: int,
    has_output: bool,
    threads: int,
) -> Plan:
    """Plan the pass over columns, given how the result was planned.

    Parameters
    ----------
    facts : of the columns.
    earlier : the plan of the result.
    operator : S, None for the exact method.
    Y_bytes, known_cells : what Y before takes in memory all the while, and for each row what is
        known of X.

    Raises
    ------
    BudgetTooSmallError : if the pass, or what the result keeps, does not fit.
    """
    probes, rows = earlier.probes, earlier.checked_rows

    def planned(needs: Needs, more_bytes: int) -> Stream:
        """Plan a pass beside what was there before, which stays in memory all the while."""
        kept_bytes = Y_bytes + 8 * facts.n * known_cells
        needs = replace(
            needs,
            scratch_bytes=needs.scratch_bytes + kept_bytes + more_bytes,
            finish_bytes=needs.finish_bytes + kept_bytes,
        )
        return plan_stream(
            facts=facts, needs=needs, memory_budget=memory_budget, has_output=has_output
        )

    def sketch(probes: int) -> Needs:
        """Return what a sketch that stays as it is asks for, and the rows of Y before."""
        assert operator is not None
        shape = Shape(operator, dense_stage=False, chooses=False, checked_rows=rows, probes=probes)
        needs = sketch_needs(facts, shape, earlier.preprocess)
        # As they are read, and as sums.
        return replace(needs, band_cells=needs.band_cells + 2 * operator.m)

    if operator is None:
        stream = planned(exact_needs(facts, earlier.preprocess), 0)
        work, finish = gram_seconds(facts), 30 * facts.n**3 / DENSE_FLOPS
    else:
        stream = planned(sketch(probes), 0)
        if stream.bands > 1:
            # Probes need whole columns; the sampled rows are read first and kept.
            probes = 0
            held_bytes = rows * facts.held_row_bytes
            stream = planned(sketch(probes), held_bytes)
            stream = with_first_reads(facts, stream, checked_rows=rows)
        work = operator.s * entries_of(facts) / SKETCH_ADDS
        work += certificate_seconds(facts, checked_rows=rows, probes=probes)
        finish = 0.0
    reading = stream.bytes_to_read + 2 * stream.temporary_disk_bytes
    return replace(
        earlier,
        source=facts.name,
        d=facts.d,
        dtype=facts.dtype,
        nnz=facts.nnz,
        probes=probes,
        memory_budget=memory_budget,
        stream=stream,
        seconds=max(reading / READ_BYTES_PER_SECOND, work / threads) + finish,
    )
