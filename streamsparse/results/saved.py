"""A result as a group on disk: its fields as arrays and attributes, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamsparse.dense.certificate import Certificate
from streamsparse.errors import UnsupportedInputError
from streamsparse.methods.base import CurvePoint, Selection
from streamsparse.methods.known import Known
from streamsparse.running.plan import Plan
from streamsparse.sketching.row_map import RowMap
from streamsparse.sources.base import Source
from streamsparse.sources.labels import pack_labels, unpack_labels
from streamsparse.storing.result_store import (
    SCHEMA,
    ResultWriter,
    StoredResult,
    open_result,
)

if TYPE_CHECKING:
    from streamsparse.results.result import Result


def write_rest(writer: ResultWriter, result: Result, *, run: str | None = None) -> None:
    """Write everything but Y, the attributes last.

    ``run`` says which run has made it, so that a run which died after the last step is known again.
    """
    projection = None if result.map is None else result.map.projection
    arrays = {
        "columns": result.columns,
        "weights": result.weights,
        "projection": projection,
        "mean": None if result.map is None else result.map.mean,
    }
    known = result.known
    if known is not None:
        arrays |= {
            "gram": known.gram,
            "probes": known.probes,
            "squared_norms": known.squared_norms,
            "moved": known.moved,
            "digest": np.stack([portion.digest for portion in known.portions]),
        }
    for name, values in arrays.items():
        if values is not None:
            writer.write_array(name, values)
    writer.finish(
        {
            "schema": SCHEMA,
            "certificate": result.certificate.to_dict(),
            "plan": result.plan.to_dict(),
            "map": None if result.map is None else result.map.to_dict(),
            "curve": [point.to_dict() for point in result.curve],
            "column_names": result.column_names,
            "selection": None if result.selection is None else result.selection.to_dict(),
            "feature_digest": result.feature_digest,
            "timeline": result.timeline,
            "known": None if known is None else known.to_dict(),
            "row_names": pack_labels(result.row_names),
            "run": run,
        }
    )


def fields_of(stored: StoredResult) -> dict[str, Any]:
    """Return the fields of the result that a group holds, by name.

    Raises
    ------
    UnsupportedInputError : if the group holds something else, or lacks an attribute.
    """
    attributes = stored.attributes
    if "transform_of" in attributes:
        raise UnsupportedInputError(
            "this group holds transformed rows, not a result with a certificate"
        )
    try:
        row_map, selection = attributes["map"], attributes["selection"]
        names = attributes["column_names"]
        return {
            "Y": stored.Y,
            "certificate": Certificate.from_dict(attributes["certificate"]),
            "plan": Plan.from_dict(attributes["plan"]),
            "columns": stored.columns,
            "weights": stored.weights,
            "map": None if row_map is None else _map_of(row_map, stored),
            "curve": tuple(CurvePoint(**point) for point in attributes["curve"]),
            "column_names": None if names is None else tuple(names),
            "known": _known(stored),
            "selection": None if selection is None else Selection(**selection),
            "feature_digest": attributes["feature_digest"],
            "timeline": tuple((float(t), int(done)) for t, done in attributes["timeline"]),
            "row_names": unpack_labels(attributes["row_names"]),
        }
    except (KeyError, TypeError) as error:
        raise UnsupportedInputError(f"the attributes of the result lack {error}") from error


def _map_of(spec: dict[str, Any], stored: StoredResult) -> RowMap:
    return RowMap.from_dict(spec, stored.projection, stored.mean)


def _known(stored: StoredResult) -> Known | None:
    facts = stored.attributes["known"]
    if facts is None:
        return None
    if stored.squared_norms is None or stored.moved is None or stored.digest is None:
        raise KeyError("squared_norms, moved or digest")
    return Known.from_dict(
        facts,
        gram=stored.gram,
        probes=stored.probes,
        squared_norms=stored.squared_norms,
        moved=stored.moved,
        digests=stored.digest,
    )


def reopened(result: Result, path: Path) -> Result:
    """Return a result that was written to ``path`` with all that is large read from there."""
    stored = open_result(path)
    return replace(result, Y=stored.Y, known=_known(stored))


def path_of(obj: Any, source: Source) -> Path | None:
    """Return the local path that a source reads from, None if it is not a file."""
    name = str(getattr(obj, "filename", source.name)).removeprefix("file://")
    path = Path(name)
    return path if path.is_absolute() or path.exists() else None


def folder_of(Y: Any) -> Path | None:
    """Return the result on disk that Y is the array of, None where Y is in memory."""
    # Only of a class that has a store: an array in memory is asked for nothing but its shape.
    root = getattr(Y.store, "root", None) if hasattr(type(Y), "store") else None
    return None if root is None else Path(root)
