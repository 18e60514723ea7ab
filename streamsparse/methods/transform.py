"""The map of an earlier reduction applied to new rows, in one pass over them."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.picker import ColumnPicker
from streamsparse.accumulators.picks import PICK_BYTES
from streamsparse.accumulators.rules import GivenColumns
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.accumulators.within import Within
from streamsparse.arrays import Array, Interval
from streamsparse.kernels.norms import LANES
from streamsparse.methods.base import Output
from streamsparse.methods.picked import put_out, weighted_columns
from streamsparse.methods.rows_out import RowsOut
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution, run_bands
from streamsparse.running.spans import span_width
from streamsparse.running.stream import Needs, Stream, plan_stream
from streamsparse.sketching.row_map import RowMap
from streamsparse.sources.base import Source


def plan_row_map(facts: Facts, row_map: RowMap, *, memory_budget: int, has_output: bool) -> Stream:
    """Decide how the new rows are read; the spans are those of the first reduction."""
    operator, projection = row_map.operator, row_map.projection
    needs = Needs(
        state_cells=operator.padded_m + LANES,
        band_cells=2 * operator.m + 2 * row_map.m,
        kept_cells=0,
        result_cells=row_map.m,
        scratch_bytes=0 if projection is None else projection.nbytes,
        finish_bytes=0,
        span_width=span_width(d=facts.d, state_columns=operator.m),
        whole_columns=False,
    )
    return plan_stream(facts=facts, needs=needs, memory_budget=memory_budget, has_output=has_output)


def map_rows(
    source: Source,
    stream: Stream,
    execution: Execution,
    *,
    row_map: RowMap,
    intervals: tuple[Interval, ...],
    output: Output | None,
) -> Any:
    """Return Y_new (n_new, m) from the columns in ``intervals``; no block without one is read."""
    rows = RowsOut(output, source.shape[0], row_map.m)

    def accumulators(band: Interval) -> dict[str, Accumulator]:
        count = band[1] - band[0]
        return {
            "norms": Within(NormsAccumulator(rows=count), intervals),
            "sums": Within(SketchAccumulator(rows=count, operator=row_map.operator), intervals),
        }

    def is_wanted(columns: Interval) -> bool:
        return any(first < columns[1] and columns[0] < stop for first, stop in intervals)

    for (a, _), found in run_bands(
        source, stream, execution, accumulators, by_rows=True, wanted=is_wanted
    ):
        rows.put(a, row_map.apply_new(found["sums"], found["norms"]))
    return rows.Y


def plan_columns(facts: Facts, columns: Array, *, memory_budget: int) -> Stream:
    """Decide how the columns that an earlier reduction kept are read of new rows."""
    m = int(columns.size)
    needs = Needs(
        # The columns as picked, and Y made of them.
        state_cells=LANES,
        band_cells=0,
        kept_cells=3 * m,
        result_cells=0,
        scratch_bytes=PICK_BYTES * m,
        finish_bytes=0,
        span_width=span_width(d=facts.d, state_columns=m),
        whole_columns=True,
    )
    return plan_stream(facts=facts, needs=needs, memory_budget=memory_budget, has_output=False)


def pick_columns(
    source: Source,
    stream: Stream,
    execution: Execution,
    *,
    columns: Array,
    weights: Array,
    output: Output | None,
) -> Any:
    """Return Y_new[:, k] = sqrt(weights[k]) X_new[:, columns[k]], reading no block without one."""
    wanted = np.unique(columns)

    def is_wanted(interval: Interval) -> bool:
        first, stop = np.searchsorted(wanted, interval)
        return bool(first < stop)

    def accumulators(_: Interval) -> dict[str, Accumulator]:
        rule = GivenColumns(wanted)
        picker = ColumnPicker(
            rows=source.shape[0], rule=rule, block_dtype=source.block_dtype, vectors=None
        )
        return {"norms": NormsAccumulator(rows=source.shape[0]), "picks": picker}

    ((_, found),) = run_bands(
        source, stream, execution, accumulators, by_rows=False, wanted=is_wanted
    )
    Y = weighted_columns(found["picks"], columns, weights, rows=source.shape[0])
    return put_out(Y, output)
