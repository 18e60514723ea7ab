"""``reduce_part`` and ``merge``: a run shared out to processes that know nothing of each other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from streamsparse.api.access import open_columns
from streamsparse.api.arguments import check_policies, check_request
from streamsparse.api.identity import Policies
from streamsparse.api.merging import merge_parts
from streamsparse.api.part_set import Part
from streamsparse.api.running import check_destination
from streamsparse.api.summing import Wanted, sum_part
from streamsparse.checks import check_count, check_flag, check_path
from streamsparse.errors import ParameterError
from streamsparse.results.result import Result
from streamsparse.results.saved import path_of
from streamsparse.sources.preprocess import Preprocess


def reduce_part(
    X: Any,
    path: str | Path,
    method: str = "auto",
    *,
    part: tuple[int, int],
    after: str | Path | None = None,
    m: int | None = None,
    epsilon: float | None = None,
    target: str = "attention",
    delta: float = 0.01,
    beta: float = 1.0,
    seed: int = 0,
    memory: int | str = "1 GiB",
    feature_axis: int | str = 1,
    preprocess: Preprocess | str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: str | bool = "auto",
    missing: str = "error",
    nonfinite: str = "error",
    s: int = 8,
    strict: bool = False,
) -> Part:
    """Sum one of N shares of the columns of X, for :func:`merge` to make Y of all of them.

    Parameters
    ----------
    X : as for :func:`sparsify`; the same in every part.
    path : where the sums go, a folder; it appears complete or not at all.
    part : (I, N), I from 1 to N: which share. Shares are whole spans, the columns that are summed
        together (``plan`` prints how many there are), and differ by an eighth at most where there
        are many.
    after : of method "sample", which makes two passes: None for a part of the first; for one of the
        second the path of the first, merged.
    resume : return the part at once if it is there: a job that was queued again does nothing.
    overwrite : replace an earlier part.
    method, m, epsilon, target, delta, beta, seed, memory, feature_axis, preprocess, progress,
    missing, nonfinite, s, strict :
        as for :func:`sparsify` with ``out``; the same in every part but for ``memory`` and
        ``progress``. Method "select" cannot be shared out.

    Returns
    -------
    A :class:`Part`: print it, or take its fields.

    Raises
    ------
    ParameterError : for more parts than spans, or method "select".
    PartMismatchError : if ``after`` is no first pass, or that of another run.
    BudgetTooSmallError : if the memory is too small, or X would have to be rewritten by columns.
    OutputExistsError : if something is at ``path``.
    StreamSparseError, RunInterrupted : as for :func:`sparsify`.

    Notes
    -----
    One N-th of a pass over X, in whole chunks; all of it where rows are stored one by one (a CSR
    group). Where the plan has several row bands the sampled rows are read twice. Memory: as
    planned. A part that is interrupted begins again.
    """
    check_policies(missing=missing, nonfinite=nonfinite)
    number, count = check_part(part)
    request = check_request(
        method=method,
        m=m,
        epsilon=epsilon,
        target=target,
        delta=delta,
        beta=beta,
        seed=seed,
        memory=memory,
        s=s,
        strict=strict,
        has_output=True,
        preprocess=preprocess,
    )
    source = open_columns(
        X,
        request.preprocess,
        feature_axis=feature_axis,
        missing=missing,
        nonfinite=nonfinite,
    )
    wanted = Wanted(
        path=check_path("path", path),
        number=number,
        count=count,
        after=None if after is None else check_path("after", after),
        overwrite=check_flag("overwrite", overwrite),
        resume=check_flag("resume", resume),
        address=_address_of(X),
        source_path=path_of(X, source),
    )
    return sum_part(source, request, Policies(missing, nonfinite), wanted, progress=progress)


def merge(
    parts: Iterable[str | Path],
    out: str | Path | None = None,
    *,
    source: Any = None,
    after: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: str | bool = "auto",
) -> Result | Part:
    """Make of all parts of a run what one process would have made, to the last bit.

    Parameters
    ----------
    parts : paths of what :func:`reduce_part` has written, in any order: all of a pass.
    out : where to write the result, as for :func:`sparsify`; None keeps Y in memory.
    source : the X that was reduced, where the parts do not know how to find it: it was in memory,
        or has another path here.
    after : the first pass of "sample", merged, if it has another path here.
    overwrite, resume, progress : as for :func:`sparsify`.

    Returns
    -------
    A :class:`Result`, its certificate with the sum of all seconds and the largest peak of memory;
    of the first pass of "sample" a :class:`Part`, which parts of the second take as ``after``.

    Raises
    ------
    PartMismatchError : if columns are missing or there twice, or the parts are of different X,
        parameters or versions: what differs is named.
    SourceChangedError : if X was written to since.
    CorruptChunkError, MissingChunkError : if a part is not what was written.
    SourceNotFoundError : if a part or X is not there.
    StreamSparseError, RunInterrupted : as for :func:`sparsify`.

    Notes
    -----
    No pass over X: its metadata and the names of its columns. Memory: as planned for the run, the
    sums of one part at a time; without ``out`` Y as well.
    """
    if isinstance(parts, str | os.PathLike):
        raise ParameterError("parts must be a list of paths, not one path")
    paths = [check_path("a part", path) for path in parts]
    if not paths:
        raise ParameterError("parts is empty: give the paths of all parts")
    return merge_parts(
        paths,
        check_destination(out, overwrite=overwrite, resume=resume),
        X=source,
        after=None if after is None else check_path("after", after),
        progress=progress,
    )


def check_part(part: object) -> tuple[int, int]:
    """Return (number, count), 1 <= number <= count.

    Raises
    ------
    ParameterError : for anything else.
    """
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise ParameterError(f"part must be (I, N), which of how many, not {part!r}")
    count = check_count("N of part=(I, N)", part[1], low=1)
    return check_count("I of part=(I, N)", part[0], low=1, high=count), count


def _address_of(X: Any) -> str | None:
    """Return the path or URL by which others can open X; None if it is an object in memory."""
    if not isinstance(X, str | os.PathLike):
        return None
    text = os.fspath(X)
    return text if "://" in text else str(Path(text).absolute())
