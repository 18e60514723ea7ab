"""Columns appended to a result and removed from it."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from streamsparse.arrays import Interval
from streamsparse.checks import check_choice, check_count
from streamsparse.errors import ParameterError, StreamSparseWarning
from streamsparse.methods.base import Job, Reduction
from streamsparse.methods.extend import Change, change_columns
from streamsparse.methods.extend_plan import plan_change
from streamsparse.methods.measuring import is_met
from streamsparse.methods.portions import described
from streamsparse.methods.products import memory_of
from streamsparse.results.missed import warn_if_missed
from streamsparse.results.rows import Reading
from streamsparse.results.saved import reopened, write_rest
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution
from streamsparse.running.memory import PeakMemory
from streamsparse.running.plan import Plan
from streamsparse.running.progress import show_progress
from streamsparse.running.threads import available_threads
from streamsparse.sources.base import Source, refuse_change, state_of
from streamsparse.sources.open import open_source
from streamsparse.sources.rewritten import preprocessed, refuse_late_zeros
from streamsparse.sources.stacked import check_queries, open_pair
from streamsparse.storing.commit import staged
from streamsparse.storing.result_store import ResultWriter
from streamsparse.units import parse_memory

if TYPE_CHECKING:
    from streamsparse.methods.known import Known
    from streamsparse.results.result import Result

# Beyond, numbers of columns are no longer the same in JSON.
_MOST_COLUMNS = 1 << 53


def append_columns(result: Result, X_more: Any, start: int | None, reading: Reading) -> Result:
    """Return the result of X with more columns: see ``Result.append``."""
    call = _Call.open(result, X_more, reading)
    first = result.certificate.d if start is None else start
    columns = call.columns(first)
    call.known.refuse_overlap(columns)
    made = call.run(columns, removes=False)
    warn_if_missed(made)
    _warn_if_hidden(made)
    _warn_of_copies(call.known, made, columns)
    return made


def remove_columns(result: Result, X_some: Any, start: int, reading: Reading) -> Result:
    """Return the result of X without some columns: see ``Result.remove``."""
    call = _Call.open(result, X_some, reading)
    columns = call.columns(start)
    call.known.find(columns)
    if call.known.intervals == (columns,):
        raise ParameterError(
            f"columns {described(columns)} are all there are in the result; nothing would be left"
        )
    made = call.run(columns, removes=True)
    warn_if_missed(made)
    _warn_if_hidden(made)
    return made


@dataclass(frozen=True, slots=True)
class _Call:
    """One change of a result.

    Attributes
    ----------
    result, known : what is changed, and what it keeps of X.
    source : of the columns.
    given : what was given for them, and the source of each.
    reading : how they are read.
    began : when, as ``perf_counter``.
    """

    result: Result
    known: Known
    source: Source
    given: list[tuple[Any, Source]]
    reading: Reading
    began: float

    @classmethod
    def open(cls, result: Result, X: Any, reading: Reading) -> _Call:
        """Open the columns; they must be of the rows of the result."""
        began, known = time.perf_counter(), _known_of(result)
        check_choice("nonfinite", reading.nonfinite, ("error", "zero"))
        axis, missing = reading.feature_axis, reading.missing
        preprocess = result.plan.preprocess
        queries, n = result.plan.queries, result.certificate.n
        source: Source
        given: list[tuple[Any, Source]]
        if queries is None:
            refuse_late_zeros(preprocess, reading.nonfinite)
            bare = open_source(X, feature_axis=axis, missing=missing)
            source, given = preprocessed(bare, preprocess), [(X, bare)]
        else:
            source = pair = open_pair(X, feature_axis=axis, missing=missing)
            check_queries(pair, queries)
            given = list(zip(X, (pair.above, pair.below), strict=True))
        if source.shape[0] != n:
            raise ParameterError(
                f"the result has n = {n:,} rows, but {source.name} has {source.shape[0]:,}; give "
                f"columns of the same rows, in the same order"
            )
        _check_rows(result, source)
        return cls(result, known, source, given, reading, began)

    def columns(self, first: int) -> Interval:
        """Return which columns of X these are, where the first is known."""
        width = self.source.shape[1]
        first = check_count("start", first, low=0, high=_MOST_COLUMNS - width)
        return first, first + width

    def run(self, columns: Interval, *, removes: bool) -> Result:
        """Stream the columns and return the result that they make, on disk where it belongs."""
        reading, result = self.reading, self.result
        out = reading.check_out(self.given)
        plan = self._plan(columns, removes=removes, has_output=out is not None)
        self.source.verify()
        d = max(result.certificate.d, columns[1])
        known = self.known.in_memory()
        change = Change(result.Y, known, result.map, columns, d, removes)
        if out is None:
            made = self._reduce(plan, change, None)
        else:
            with staged(out, overwrite=reading.overwrite) as temporary:
                writer = ResultWriter(temporary)
                made = self._reduce(plan, change, writer)
                write_rest(writer, made)
            made = reopened(made, out)
        return made

    def _plan(self, columns: Interval, *, removes: bool, has_output: bool) -> Plan:
        result, reading = self.result, self.reading
        plan = plan_change(
            Facts.of(self.source),
            result.plan,
            operator=None if result.map is None else result.map.operator,
            Y_bytes=memory_of(result.Y),
            known_cells=self.known.row_cells,
            memory_budget=parse_memory(reading.memory),
            has_output=has_output,
            threads=available_threads(),
        )
        done = "removed from" if removes else "appended to"
        return replace(
            plan,
            why=f"columns {described(columns)} {done} an earlier result",
            feature_axis=self.source.feature_axis,
        )

    def _reduce(self, plan: Plan, change: Change, output: ResultWriter | None) -> Result:
        source, reading = self.source, self.reading
        state = state_of(source)
        total = Facts.of(source).used_bytes
        label = "remove" if change.removes else "append"
        with PeakMemory() as peak, show_progress(reading.progress, label=label, total=total) as bar:
            execution = Execution(available_threads(), reading.nonfinite == "zero", bar)
            reduction = change_columns(Job(source, plan, execution, output), change)
            made = self._result(plan, reduction, change.d, peak)
        refuse_change(source, state)
        return made

    def _result(self, plan: Plan, reduction: Reduction, d: int, peak: PeakMemory) -> Result:
        before, errors = self.result.certificate, reduction.errors
        grades = {before.integrity, self.source.integrity}
        certificate = replace(
            before,
            d=d,
            m=int(reduction.Y.shape[1]),
            r=reduction.r,
            trace=reduction.trace,
            errors=errors,
            met=is_met(errors, plan.target, plan.epsilon),
            passes=plan.stream.passes,
            bytes_read=plan.stream.bytes_to_read,
            peak_memory_bytes=peak.sample(),
            seconds=time.perf_counter() - self.began,
            integrity="checksummed" if grades == {"checksummed"} else "structural",
        )
        return replace(
            self.result,
            Y=reduction.Y,
            certificate=certificate,
            plan=plan,
            map=reduction.map,
            known=reduction.known,
            timeline=(),
            # That of all names cannot be made of those of two stores.
            feature_digest=None,
        )


def _check_rows(result: Result, source: Source) -> None:
    """Refuse columns whose rows have other names, or another order, than those of the result."""
    ours, theirs = result.row_names, source.row_names()
    if ours is None or theirs is None:
        return
    differing = np.flatnonzero(np.asarray(ours) != np.asarray(theirs))
    if differing.size:
        row = int(differing[0])
        raise ParameterError(
            f"the rows of {source.name} have other names, or another order, than those of the "
            f"result: row {row} is {str(theirs[row])!r}, not {str(ours[row])!r}; reorder them"
        )


def _known_of(result: Result) -> Known:
    """Return what is known of X, where Y is a sum over its columns or can be made again."""
    method = result.certificate.method
    is_sum = method == "exact" or (result.map is not None and result.map.is_sketch)
    if is_sum and result.known is not None:
        return result.known
    why = f"it is of method {method!r}"
    if method == "sketch":
        why = "its sketch was cut to a smaller Y, or its rows rescaled"
    raise ParameterError(
        f"columns cannot come to this result or go from it: {why}; reduce with "
        f'method="sketch", m=... or method="exact"'
    )


def _warn_if_hidden(made: Result) -> None:
    """Say so where what was taken away was so large that nothing can be measured of what is left.

    Y is less affected than G: its rounding is relative to lengths, that of G to their squares.
    """
    certificate = made.certificate
    is_hidden = certificate.checked_rows and certificate.errors.entry is None
    if is_hidden and not certificate.preprocess.center:
        warnings.warn(
            "the rounding of what was taken away hides the errors of what is left; measure them "
            "with certify, on X with zeros where columns are gone",
            StreamSparseWarning,
            stacklevel=4,
        )


def _warn_of_copies(known: Known, extended: Result, columns: Interval) -> None:
    """Say so where the same columns were there already, which is rarely meant."""
    assert extended.known is not None
    copies = known.copies(extended.known.portions[-1])
    if copies:
        warnings.warn(
            f"columns {described(columns)} have the values of columns {described(copies[0])}, "
            f"which are in the result already: now they count twice; remove them again if this "
            f"was not meant",
            StreamSparseWarning,
            stacklevel=4,
        )
