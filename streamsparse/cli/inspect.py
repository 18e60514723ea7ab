"""``streamsparse info`` and ``streamsparse certify``: look at a source or a result, check one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import streamsparse as ss
from streamsparse.cli.options import (
    describe_result,
    feature_axis_option,
    json_option,
    memory_option,
    missing_option,
    nonfinite_option,
    parameter_option,
    print_json,
)
from streamsparse.sources.base import Source
from streamsparse.storing.commit import read_marker
from streamsparse.storing.part_store import is_part, open_part
from streamsparse.units import format_bytes

_KINDS = {
    "NpySource": "NumPy file",
    "ZarrSource": "Zarr array",
    "ZarrSparseSource": "Zarr group, sparse",
}


@click.command(
    epilog="""\b
Examples:
  streamsparse info X.zarr        shape, type, chunks, bytes
  streamsparse info Y.zarr        a result: its certificate and its plan
  streamsparse info Y.zarr --report report.html
  streamsparse info part-1        a part: which columns it is the sums of
"""
)
@click.argument("path")
@feature_axis_option(ss.open_source)
@click.option(
    "--report",
    type=click.Path(),
    metavar="PAGE",
    help="Of a result: write it as one HTML page, with curve and spectrum.",
)
@parameter_option(
    ss.Result.report,
    "overwrite",
    "-f",
    "--force",
    is_flag=True,
    help="With --report: replace an earlier one.",
)
@json_option
def info(path: str, feature_axis: int, report: str | None, overwrite: bool, as_json: bool) -> None:
    """Describe PATH, a matrix, a result or a part, from its metadata."""
    marker = None if "://" in path else read_marker(Path(path))
    if report is not None and (marker is None or "transform_of" in marker):
        raise click.UsageError(f"--report is about a result, which {path} is not")
    if overwrite and report is None:
        raise click.UsageError("-f goes with --report")
    if "://" not in path and is_part(Path(path)):
        _show_part(path, as_json)
    elif marker is None:
        _show_source(path, feature_axis, as_json)
    elif "transform_of" in marker:
        _show_transformed(path, marker["transform_of"], as_json)
    else:
        _show_result(path, as_json, report=report, overwrite=overwrite)


def _show_part(path: str, as_json: bool) -> None:
    part = ss.Part.of(open_part(Path(path)))
    if as_json:
        print_json({"kind": "part", "path": path, **part.to_dict(), "part": path})
    else:
        click.echo(str(part))


def _show_source(path: str, feature_axis: int, as_json: bool) -> None:
    source = ss.open_source(path, feature_axis=feature_axis)
    facts = _describe_source(path, source)
    if as_json:
        print_json(facts)
        return
    chunks = facts["chunks"]
    entries = "dense"
    if source.nnz is not None:
        entries = f"{source.nnz:,} nonzeros ({source.nnz / facts['n'] / facts['d']:.2%})"
    lines = [
        ("source", path),
        ("kind", facts["kind"]),
        ("X", f"{facts['n']:,} x {facts['d']:,} (n x d), feature axis {feature_axis}"),
        ("values", f"{facts['dtype']}, {entries}"),
        ("unit", f"{facts['unit'][0]:,} rows x {facts['unit'][1]:,} columns of X"),
        ("stored", f"{format_bytes(source.stored_bytes)}, {source.integrity}"),
    ]
    if chunks is not None:
        lines.append(("chunks", f"{chunks['initialized']:,} of {chunks['total']:,} written"))
    _print_lines(lines)


def _describe_source(path: str, source: Source) -> dict[str, Any]:
    name = type(source).__name__
    return {
        "kind": _KINDS.get(name, name),
        "path": path,
        "n": source.shape[0],
        "d": source.shape[1],
        "dtype": str(source.dtype),
        "nnz": source.nnz,
        "unit": list(source.unit),
        "stored_bytes": source.stored_bytes,
        "integrity": source.integrity,
        "chunks": _count_chunks(path) if name.startswith("Zarr") else None,
    }


def _count_chunks(path: str) -> dict[str, int]:
    """Return how many chunks the Zarr array, or the arrays of the sparse group, have and hold."""
    import zarr  # noqa: PLC0415 - half a second that the other commands need not pay

    node = zarr.open(path, mode="r", use_consolidated=False)
    arrays = [node] if isinstance(node, zarr.Array) else [array for _, array in node.arrays()]
    return {
        "initialized": sum(array.nchunks_initialized for array in arrays),
        "total": sum(array.nchunks for array in arrays),
    }


def _show_result(path: str, as_json: bool, *, report: str | None, overwrite: bool) -> None:
    result = ss.load(path)
    if report is not None:
        result.report(report, overwrite=overwrite)
    if as_json:
        facts = {"kind": "result", "path": path, **describe_result(result)}
        print_json(facts)
        return
    click.echo(f"result   {path}")
    click.echo(str(result.certificate))
    if result.selection is not None:
        click.echo(str(result.selection))
    click.echo("planned as")
    click.echo(str(result.plan))
    if report is not None:
        click.echo(f"wrote {report}")


def _show_transformed(path: str, certificate: dict[str, Any], as_json: bool) -> None:
    from streamsparse.storing.result_store import open_result  # noqa: PLC0415 - imports zarr

    n, m = open_result(path).Y.shape
    if as_json:
        print_json(
            {"kind": "transformed", "path": path, "n": n, "m": m, "transform_of": certificate}
        )
        return
    _print_lines(
        [("rows", path), ("Y", f"{n:,} x {m:,}: new rows, not certified; mapped as the rows below")]
    )
    click.echo(str(ss.Certificate.from_dict(certificate)))


def _print_lines(lines: list[tuple[str, str]]) -> None:
    for label, text in lines:
        click.echo(f"{label:<8} {text}")


@click.command(
    epilog="""\b
Examples:
  streamsparse certify X.zarr Y.zarr                some rows, all by probes
  streamsparse certify X.zarr Y.zarr --spectral 3   and the spectral error
  streamsparse certify X.zarr Y.zarr --exact        every row, n x n memory
"""
)
@click.argument("source")
@click.argument("out", type=click.Path())
@parameter_option(
    ss.certify, "exact", "--exact", is_flag=True, help="Every row, and the spectral error."
)
@parameter_option(
    ss.certify,
    "spectral",
    "--spectral",
    type=int,
    metavar="PASSES",
    help="Bound the spectral error, the sharper the more passes; n x n memory.",
)
@parameter_option(
    ss.certify,
    "rows",
    "--rows",
    type=int,
    metavar="N",
    help="How many rows to check, drawn at random.  [default: for 95 % of all rows]",
)
@parameter_option(
    ss.certify,
    "delta",
    "--delta",
    type=float,
    metavar="D",
    help="Allowed probability that a bound fails.",
)
@parameter_option(
    ss.certify,
    "seed",
    "--seed",
    type=int,
    metavar="K",
    help="Which random rows: any other than the run's gives fresh ones.",
)
@memory_option(ss.certify)
@feature_axis_option(ss.certify)
@missing_option(ss.certify)
@nonfinite_option(ss.certify)
@json_option
def certify(source: str, out: str, as_json: bool, **request: Any) -> None:
    """Check the result OUT against SOURCE, which is read again.

    Compares Y Y^T with X X^T and prints what was measured, each number with its
    kind: exact, bound or estimate.
    """
    if request["exact"] and request["rows"] is not None:
        raise click.UsageError("--exact checks every row: leave out --rows")
    certificate = ss.certify(source, ss.load(out), **request)
    if as_json:
        print_json(certificate.to_dict())
    else:
        click.echo(str(certificate))
