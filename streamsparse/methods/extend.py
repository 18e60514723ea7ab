"""Columns that come to a finished result, or go from it: one pass over those columns alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.methods.base import Job, Reduction
from streamsparse.methods.exact import finish_exactly, gram_pass
from streamsparse.methods.finish import keep_sketch
from streamsparse.methods.known import Known
from streamsparse.methods.rows_out import RowsOut
from streamsparse.methods.run import with_planned_layout
from streamsparse.methods.sketch import sketch_pass
from streamsparse.running.threads import one_blas_thread
from streamsparse.sketching.row_map import RowMap


@dataclass(frozen=True, slots=True)
class Change:
    """What is changed, and how.

    Attributes
    ----------
    Y, known, map : of the result before; no map for the exact method.
    columns : those of X that come or go, which the source of the job holds.
    d : columns of X afterwards.
    removes : whether they go.
    """

    Y: Any
    known: Known
    map: RowMap | None
    columns: Interval
    d: int
    removes: bool

    @property
    def digest_column(self) -> int:
        """As which column the first one counts in the digest: from the start of its portion."""
        if not self.removes:
            return 0
        return self.columns[0] - self.known.portions[self.known.find(self.columns)].first

    def applied_to(self, known: Known) -> Known:
        """Return what is known afterwards, given what is of the columns; that is lost."""
        if self.removes:
            return self.known.without_columns(known, self.columns[0])
        return self.known.with_columns(known, self.columns[0])


def change_columns(job: Job, change: Change) -> Reduction:
    """Stream the columns, add them or take them away, and certify the result.

    S is a function of the column, so X S^T is a sum over columns; so is all that a certificate is
    measured from, and G. Every sum is that of one run over all columns, in another order.
    """
    with one_blas_thread(), with_planned_layout(job) as ready:
        if change.map is None:
            known = gram_pass(ready, digest_column=change.digest_column)
            return finish_exactly(ready, change.applied_to(known))
        return _change_sketch(ready, change, change.map)


def _change_sketch(job: Job, change: Change, row_map: RowMap) -> Reduction:
    operator = replace(row_map.operator, d=change.d)
    rows = RowsOut(job.output, job.plan.n, operator.m)

    def take(start: int, sums: Array, norms: Array) -> None:
        before = _sums_of(change, start, sums.shape[0], operator.s)
        combined = np.subtract if change.removes else np.add
        rows.put(start, row_map.apply(combined(before, sums, out=before), norms))

    seen = sketch_pass(
        job,
        operator,
        take,
        first_column=change.columns[0],
        digest_column=change.digest_column,
    )
    mean = seen.mean
    if mean is not None:
        # That of the sums: it adds up as they do.
        mean = row_map.mean - mean if change.removes else row_map.mean + mean
    seen = replace(seen, known=change.applied_to(seen.known), mean=mean)
    return keep_sketch(job, replace(row_map, operator=operator), seen, rows.Y)


def _sums_of(change: Change, start: int, count: int, s: int) -> Array:
    """Return the sums that rows of Y were made of: sqrt(s) Y.

    Of integers they are integers: what dividing by sqrt(s) has rounded is put back, below 2^51.
    """
    sums: Array = np.asarray(change.Y[start : start + count], np.float64) * np.sqrt(np.float64(s))
    if change.known.is_integer:
        np.rint(sums, out=sums)
    return sums
