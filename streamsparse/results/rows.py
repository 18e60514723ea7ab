"""The map of a result applied to the rows of another matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamsparse.checks import check_choice, check_flag, check_path
from streamsparse.errors import ParameterError
from streamsparse.methods.transform import map_rows, pick_columns, plan_columns, plan_row_map
from streamsparse.results.saved import path_of
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution
from streamsparse.running.progress import show_progress
from streamsparse.running.threads import available_threads
from streamsparse.sources.base import Source
from streamsparse.sources.open import open_source
from streamsparse.storing.commit import check_output, staged
from streamsparse.storing.result_store import SCHEMA, ResultWriter
from streamsparse.storing.result_store import open_result as open_stored
from streamsparse.units import parse_memory

if TYPE_CHECKING:
    from streamsparse.results.result import Result


@dataclass(frozen=True, slots=True)
class Reading:
    """How a matrix is read for a result that is there, and where what is made of it goes.

    The names are those of ``Result.transform``.
    """

    feature_axis: int | str
    memory: int | str
    out: str | Path | None
    overwrite: bool
    progress: str | bool
    missing: str
    nonfinite: str

    def check_out(self, sources: list[tuple[Any, Source]]) -> Path | None:
        """Return the output, None for none; refuse it where it would destroy something."""
        check_flag("overwrite", self.overwrite)
        if self.out is None:
            return None
        out = check_path("out", self.out)
        for given, source in sources:
            check_output(out, overwrite=self.overwrite, source_path=path_of(given, source))
        return out


def transform_rows(result: Result, X_new: Any, reading: Reading) -> Any:
    """Return Y_new: see ``Result.transform``."""
    if result.map is None and result.columns is None:
        raise ParameterError(
            f"method {result.certificate.method!r} keeps no map for new rows: reduce with "
            f'method="sketch", or stack the new rows under the old ones'
        )
    _refuse_unknown_columns(result)
    check_choice("nonfinite", reading.nonfinite, ("error", "zero"))
    source = open_source(X_new, feature_axis=reading.feature_axis, missing=reading.missing)
    _check_features(result, source)
    out = reading.check_out([(X_new, source)])
    source.verify()
    facts = Facts.of(source)
    budget = parse_memory(reading.memory)
    run = _plan_rows(result, facts, memory_budget=budget, has_output=out is not None)
    with show_progress(reading.progress, label="transform", total=facts.used_bytes) as bar:
        execution = Execution(available_threads(), reading.nonfinite == "zero", bar)
        if out is None:
            return run(source, execution, None)
        with staged(out, overwrite=reading.overwrite) as temporary:
            writer = ResultWriter(temporary)
            run(source, execution, writer)
            writer.finish({"schema": SCHEMA, "transform_of": result.certificate.to_dict()})
    return open_stored(out).Y


def _refuse_unknown_columns(result: Result) -> None:
    """Refuse new rows where what was done to the old columns cannot be done to theirs."""
    preprocess = result.plan.preprocess
    stack = "or stack the new rows under the old ones and reduce all of them"
    if preprocess.rewrites:
        raise ParameterError(
            f"the columns of X were {preprocess}, by numbers of each column that are not kept: do "
            f"that to X yourself before it is reduced, {stack}"
        )
    if result.map is not None and result.map.mean is not None and result.map.exact_diagonal:
        raise ParameterError(
            f"rows of this sketch were rescaled to the lengths of centred rows of X, which of new "
            f"rows nobody knows: reduce with m, or with target='spectral', {stack}"
        )


def _check_features(result: Result, source: Source) -> None:
    d = result.certificate.d
    if source.shape[1] != d:
        raise ParameterError(f"new rows must have d = {d:,} columns, not {source.shape[1]:,}")
    theirs = source.feature_digest()
    if None not in (result.feature_digest, theirs) and theirs != result.feature_digest:
        raise ParameterError(
            f"the columns of {source.name} have other names, or another order, than those that "
            f"were reduced (digest {theirs}, not {result.feature_digest}); reorder them"
        )


def _plan_rows(
    result: Result, facts: Facts, *, memory_budget: int, has_output: bool
) -> Callable[[Source, Execution, ResultWriter | None], Any]:
    """Return what maps the rows of a source with these facts, its reading planned."""
    if result.map is not None:
        row_map, intervals = result.map, result.intervals
        stream = plan_row_map(facts, row_map, memory_budget=memory_budget, has_output=has_output)
        return lambda source, execution, output: map_rows(
            source, stream, execution, row_map=row_map, intervals=intervals, output=output
        )
    columns, weights = result.columns, result.weights
    assert columns is not None
    assert weights is not None
    stream = plan_columns(facts, columns, memory_budget=memory_budget)
    return lambda source, execution, output: pick_columns(
        source, stream, execution, columns=columns, weights=weights, output=output
    )
