"""The map of an earlier sketch applied to new rows: Y_new = X_new S^T P, one pass."""

from __future__ import annotations

import numpy as np

from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.kernels.norms import LANES
from streamsparse.methods.base import RowWriter
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution, run_bands
from streamsparse.running.spans import span_width
from streamsparse.running.stream import Needs, Stream, plan_stream
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.sources.base import Array, Interval, Source


def plan_transform(
    facts: Facts,
    operator: SparseSign,
    *,
    m: int,
    projection_bytes: int,
    memory_budget: int,
    has_output: bool,
) -> Stream:
    """Decide how the new rows are read; the spans are those of the first reduction."""
    needs = Needs(
        state_cells=operator.padded_m + LANES,
        band_cells=operator.m + 2 * m,
        kept_cells=0,
        result_cells=m,
        scratch_bytes=projection_bytes,
        finish_bytes=0,
        span_width=span_width(d=facts.d, state_columns=operator.m),
        whole_columns=False,
    )
    return plan_stream(facts=facts, needs=needs, memory_budget=memory_budget, has_output=has_output)


def transform_rows(
    source: Source,
    stream: Stream,
    execution: Execution,
    *,
    operator: SparseSign,
    projection: Array | None,
    writer: RowWriter | None,
) -> Array | None:
    """Return Y_new (n_new, m), or None if the writer took it."""
    m = operator.m if projection is None else projection.shape[1]
    Y = np.empty((source.shape[0], m)) if writer is None else None

    def accumulators(band: Interval) -> list[Accumulator]:
        rows = band[1] - band[0]
        return [NormsAccumulator(rows=rows), SketchAccumulator(rows=rows, operator=operator)]

    for (a, b), made, states in run_bands(source, stream, execution, accumulators, by_rows=True):
        _, Y_band = (
            accumulator.finish(state) for accumulator, state in zip(made, states, strict=True)
        )
        if projection is not None:
            Y_band = Y_band @ projection
        if writer is not None:
            writer.write_rows(a, Y_band)
        elif Y is not None:
            Y[a:b] = Y_band
    return Y
