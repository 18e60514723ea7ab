"""Who runs the passes of a call: this process, or the workers of dask."""

from __future__ import annotations

import os
from typing import Any

from streamsparse.checks import check_choice
from streamsparse.errors import ParameterError
from streamsparse.running.local import Workers
from streamsparse.sources.base import Source

RUNNERS = ("auto", "local", "dask")


def is_run_by_dask(source: Source, runner: str) -> bool:
    """Return whether passes over the source are run by dask.

    Raises
    ------
    ParameterError : if that was asked for and only this process can read X.
    """
    if runner == "dask" and not (source.is_lazy or source.is_stored):
        raise ParameterError(
            f"{source.name} is in the memory of this process, where workers cannot read it: give a "
            f"path or URL that they can reach, or a dask array"
        )
    return runner == "dask" or (runner == "auto" and source.is_lazy)


def seen_from_anywhere(X: Any, runner: str) -> Any:
    """Return X as whoever is to run finds it: workers have other working directories.

    Raises
    ------
    ParameterError : for an unknown runner, before X is opened, which may take a pass.
    """
    check_choice("runner", runner, RUNNERS)
    if runner != "dask" or not isinstance(X, str | os.PathLike) or "://" in os.fspath(X):
        return X
    return os.path.abspath(X)


def dask_workers() -> Workers:
    """Return what runs the passes of one call as tasks of dask."""
    # Importing dask takes a while, and nothing else needs it.
    from streamsparse.running.dask_runner import DaskWorkers  # noqa: PLC0415

    return DaskWorkers()
