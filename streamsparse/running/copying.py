"""X copied column by column to whoever writes it: planned and read like any other pass."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from streamsparse.arrays import Interval
from streamsparse.kernels.ranges import Each
from streamsparse.running.facts import Facts
from streamsparse.running.interrupts import Interrupts
from streamsparse.running.local import Execution, Scan, add_blocks
from streamsparse.running.memory import return_memory_at_once
from streamsparse.running.progress import Progress
from streamsparse.running.rebucket import by_columns
from streamsparse.running.stream import BASE_BYTES, Needs, Stream, plan_stream
from streamsparse.running.threads import worker_threads
from streamsparse.sources.base import Block, DenseBlock, Source
from streamsparse.storing.matrix_store import VECTORS_BYTES, DenseColumns, SparseColumns

_CHUNK_BYTES = 32 << 20
_LEAST_CHUNK_BYTES = 1 << 20


def plan_copy(facts: Facts, *, memory_budget: int) -> tuple[Stream, Interval]:
    """Return how X is read, and the (rows, columns) of the chunks of a dense copy.

    Chunks of whole columns, a power of two of them, of at most 32 MiB, and less where the budget is
    small; rows are cut where one column has more.

    Raises
    ------
    BudgetTooSmallError : with the bytes needed and the budget.
    """
    itemsize = np.dtype(facts.dtype).itemsize
    room = max(0, memory_budget - BASE_BYTES)
    most = max(_LEAST_CHUNK_BYTES, min(_CHUNK_BYTES, room // 8)) // itemsize
    rows = min(facts.n, most)
    chunk = rows, min(facts.d, 1 << int(math.log2(most // rows)))
    # A row of chunks is held, and one chunk encoded: values, bytes, and both with their checksum.
    dense_bytes = (facts.n + 3 * chunk[0]) * chunk[1] * itemsize
    needs = Needs(
        state_cells=0,
        band_cells=0,
        kept_cells=0,
        result_cells=0,
        scratch_bytes=dense_bytes if facts.nnz is None else VECTORS_BYTES,
        finish_bytes=0,
        span_width=facts.d,
        whole_columns=True,
    )
    stream = plan_stream(facts=facts, needs=needs, memory_budget=memory_budget, has_output=True)
    return stream, chunk


class _Copy:
    """Takes blocks in the order of columns, and hands them on."""

    first_column = 0

    def __init__(self, writer: DenseColumns | SparseColumns) -> None:
        self._writer = writer

    def add(self, block: Block, careful: Each, steady: Each) -> None:  # noqa: ARG002 - the protocol's
        """Write the columns of a block of all rows."""
        if isinstance(block, DenseBlock):
            assert isinstance(self._writer, DenseColumns)
            self._writer.append(block.view())
        else:
            assert isinstance(self._writer, SparseColumns)
            self._writer.append(block.indptr, block.indices, block.data)


def copy_columns(
    source: Source,
    stream: Stream,
    writer: DenseColumns | SparseColumns,
    *,
    beside: Path,
    progress: Progress,
    interrupts: Interrupts,
) -> None:
    """Read X once and append it to ``writer``; temporary files go to the folder ``beside``."""
    if stream.rebucket:
        with by_columns(source, stream, beside=beside) as copy:
            _copy(copy, stream, writer, progress, interrupts)
    else:
        _copy(source, stream, writer, progress, interrupts)


def _copy(
    source: Source,
    stream: Stream,
    writer: DenseColumns | SparseColumns,
    progress: Progress,
    interrupts: Interrupts,
) -> None:
    rows = (0, source.shape[0])
    scan = Scan(source, stream, _nothing, by_rows=False, number=0)
    execution = Execution(1, zero_nonfinite=False, progress=progress, interrupts=interrupts)
    return_memory_at_once()
    with worker_threads(1) as each:
        columns = source.cut(rows, stream.block_bytes)
        for added_bytes in add_blocks(_Copy(writer), rows, columns, scan, execution, each):
            progress.advance(added_bytes)
    writer.finish()


def _nothing(_: Interval) -> dict[str, Any]:
    """Return no accumulators: nothing is computed."""
    return {}
