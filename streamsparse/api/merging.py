"""All parts of a run, from their paths to a Result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamsparse.api.access import open_columns
from streamsparse.api.identity import Identity
from streamsparse.api.part_set import Part, PartSet, first_pass_at
from streamsparse.api.running import Destination, Made, Run, check_out_of, warn_if_known_by_name
from streamsparse.api.summing import Wanted, join_parts, passes_of
from streamsparse.errors import ParameterError, SourceNotFoundError
from streamsparse.results.missed import warn_if_missed
from streamsparse.results.result import Result
from streamsparse.results.saved import path_of
from streamsparse.sources.base import Source


def merge_parts(
    paths: Sequence[Path],
    destination: Destination,
    *,
    X: Any,
    after: Path | None,
    progress: str | bool,
) -> Result | Part:
    """Finish the run that the parts are of, or the first of its two passes.

    ``X``: where the source is, if not where the parts found it; ``after``: the same for the first
    pass, where these are of the second.
    """
    if destination.out in paths:
        raise ParameterError(
            f"{destination.out} is one of the parts: the output comes before them (merge OUT "
            f"PART...)"
        )
    parts = PartSet(paths)
    X, source = _open_source(parts, X)
    identity = Identity(source, parts.plan, parts.policies).facts()
    parts.refuse_other(identity)
    parts.heed_kernels()
    warn_if_known_by_name(source, stacklevel=4)
    source_path = path_of(X, source)
    if parts.scan + 1 < parts.plan.scans:
        return _join(source, parts, destination, source_path, progress=progress)
    before = _first_pass(parts, after)
    if before is not None:
        before.refuse_other(identity)
    made = Made(
        passes_of(before, parts),
        parts.seconds + (0 if before is None else before.seconds),
        parts.peak_memory_bytes,
    )
    check_out_of(destination, [source_path])
    run = Run(source, parts.plan, parts.policies, None, progress, made=made)
    result = run.finish(destination, [source_path])
    warn_if_missed(result)
    return result


def _open_source(parts: PartSet, X: Any) -> tuple[Any, Source]:
    """Return (what was opened, the source of the parts).

    Raises
    ------
    SourceNotFoundError : if it is nowhere to be found.
    """
    given = parts.facts["source"] if X is None else X
    if given is None:
        raise ParameterError(
            "the parts are of a matrix that has no path: give the same one as source"
        )
    try:
        source = open_columns(
            given,
            parts.plan.preprocess,
            feature_axis=parts.plan.feature_axis,
            missing=parts.policies.missing,
        )
    except SourceNotFoundError as error:
        raise SourceNotFoundError(
            f"the source of the parts is not where they found it ({error}): merge where it can be "
            f"opened, or say where it is with source (--source)"
        ) from error
    return given, source


def _join(
    source: Source,
    parts: PartSet,
    destination: Destination,
    source_path: Path | None,
    *,
    progress: str | bool,
) -> Part:
    if destination.out is None:
        raise ParameterError(
            f"these are parts of the first of two passes of method {parts.plan.method!r}: give "
            f"out, where the merged pass goes that parts of the second take as after (--after)"
        )
    wanted = Wanted(
        path=destination.out,
        number=1,
        count=1,
        after=None,
        overwrite=destination.overwrite,
        resume=destination.resume,
        address=parts.facts["source"],
        source_path=source_path,
    )
    return join_parts(source, parts, wanted, progress=progress)


def _first_pass(parts: PartSet, after: Path | None) -> PartSet | None:
    """Return the first pass, merged, where the parts are of the second; else None."""
    if parts.scan == 0:
        if after is not None:
            raise ParameterError("the parts are of the only pass: leave out after (--after)")
        return None
    path = after or Path(parts.facts["after"])
    try:
        return first_pass_at(path)
    except SourceNotFoundError as error:
        raise SourceNotFoundError(
            f"the first pass is not where the parts found it ({error}): say where it is with after "
            f"(--after)"
        ) from error
