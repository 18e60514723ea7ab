"""What ``streamsparse info`` says of a matrix, a result, mapped rows or a part."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import streamsparse as ss
from streamsparse.cli.options import describe_result, next_line
from streamsparse.results.card import outcome
from streamsparse.storing.commit import read_marker
from streamsparse.storing.part_store import is_part, open_part
from streamsparse.units import format_bytes, format_seconds

_KINDS = {
    "Hdf5Source": "HDF5 dataset",
    "Hdf5SparseSource": "HDF5 group, sparse",
    "NpySource": "NumPy file",
    "NpzSource": "scipy.sparse file",
    "SafetensorsSource": "tensor of a safetensors file",
    "ShardsSource": "folder of NumPy files",
    "ZarrSource": "Zarr array",
    "ZarrSparseSource": "Zarr group, sparse",
}
# As JSON, and as lines for people.
Described: TypeAlias = tuple[dict[str, Any], list[str]]


def describe_path(path: str, *, feature_axis: int | str) -> Described:
    """Return what there is at ``path``, from its metadata."""
    if "://" in path:
        return _describe_matrix(path, feature_axis)
    if is_part(Path(path)):
        return _describe_part(path)
    marker = read_marker(Path(path))
    if marker is None:
        return _describe_matrix(path, feature_axis)
    if "transform_of" in marker:
        return _describe_mapped(path, marker["transform_of"])
    return _describe_result(path)


def _line(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        80,
        initial_indent=f"{label:<8} ",
        subsequent_indent=" " * 9,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _describe_matrix(path: str, feature_axis: int | str) -> Described:
    source = ss.open_source(path, feature_axis=feature_axis)
    name = type(source).__name__
    n, d = source.shape
    chunks = _count_chunks(source.name) if name.startswith("Zarr") else None
    names = source.feature_names(np.array([0, d - 1]))
    auto = _describe_auto(path, feature_axis)
    facts = {
        "kind": _KINDS.get(name, name),
        "path": path,
        "n": n,
        "d": d,
        "dtype": str(source.dtype),
        "nnz": source.nnz,
        "unit": list(source.unit),
        "codec": source.codec or None,
        "stored_bytes": source.stored_bytes,
        "integrity": source.integrity,
        "chunks": chunks,
        "column_names": names,
        "auto": auto,
    }
    axis = source.feature_axis
    lines = [*_lines_of_matrix(facts, axis), next_line("plan", path, *_axis(axis))]
    return facts, lines


def _axis(feature_axis: int) -> list[str]:
    return ["--feature-axis", "0"] if feature_axis == 0 else []


def _lines_of_matrix(facts: dict[str, Any], feature_axis: int) -> Iterator[str]:
    n, d, nnz, chunks = facts["n"], facts["d"], facts["nnz"], facts["chunks"]
    entries = "dense" if nnz is None else f"{nnz:,} nonzeros ({nnz / n / d:.2%})"
    yield _line("source", facts["path"])
    yield _line("kind", facts["kind"])
    yield _line("X", f"{n:,} x {d:,} (n x d), feature axis {feature_axis}")
    yield _line("values", f"{facts['dtype']}, {entries}")
    yield _line("unit", f"{facts['unit'][0]:,} rows x {facts['unit'][1]:,} columns of X")
    codec = f", {facts['codec']}" if facts["codec"] else ""
    yield _line("stored", f"{format_bytes(facts['stored_bytes'])}{codec}, {facts['integrity']}")
    if chunks is not None:
        yield _line("chunks", f"{chunks['initialized']:,} of {chunks['total']:,} written")
    if facts["column_names"] is not None:
        yield _line("names", f"columns {' to '.join(facts['column_names'])}")
    yield _line("auto", _sentence_of_auto(facts["auto"]))


def _describe_auto(path: str, feature_axis: int | str) -> dict[str, Any]:
    """Return what ``reduce`` without options would do, or why it would refuse."""
    try:
        plan = ss.plan(path, feature_axis=feature_axis)
    except ss.StreamSparseError as error:
        return {"method": None, "why": " ".join(str(error).split()), "seconds": None}
    return {"method": plan.method, "why": plan.why, "seconds": plan.seconds}


def _sentence_of_auto(auto: dict[str, Any]) -> str:
    if auto["method"] is None:
        return f"would refuse: {auto['why']}"
    return f"would take {auto['method']}, about {format_seconds(auto['seconds'])}: {auto['why']}"


def _count_chunks(path: str) -> dict[str, int]:
    """Return how many chunks the Zarr array, or the arrays of the sparse group, have and hold."""
    import zarr

    node = zarr.open(path, mode="r", use_consolidated=False)
    arrays = [node] if isinstance(node, zarr.Array) else [array for _, array in node.arrays()]
    return {
        "initialized": sum(array.nchunks_initialized for array in arrays),
        "total": sum(array.nchunks for array in arrays),
    }


def _describe_result(path: str) -> Described:
    result = ss.load(path)
    lines = [_line("result", path), *outcome(result)]
    plan = result.plan
    # The plan of a result that was added to knows the last columns alone.
    source = "ALL_COLUMNS" if result.has_changed else plan.source
    ways = [next_line("certify", source, path, *_axis(plan.feature_axis))]
    if plan.method != "exact":
        line = next_line("transform", path, "NEW_ROWS", "NEW_OUT", *_axis(plan.feature_axis))
        ways.append(f"   or{line.removeprefix('next:')}")
    lines += ["planned as", str(plan), *ways]
    return {"kind": "result", "path": path, **describe_result(result)}, lines


def _describe_mapped(path: str, certificate: dict[str, Any]) -> Described:
    from streamsparse.storing.result_store import open_result

    n, m = open_result(path).Y.shape
    facts = {"kind": "transformed", "path": path, "n": n, "m": m, "transform_of": certificate}
    lines = [
        _line("rows", path),
        _line("Y", f"{n:,} x {m:,}: new rows, not certified; mapped as the rows below"),
        str(ss.Certificate.from_dict(certificate)),
    ]
    return facts, lines


def _describe_part(path: str) -> Described:
    part = ss.Part.of(open_part(Path(path)))
    return {"kind": "part", "path": path, **part.to_dict(), "part": path}, [str(part)]
