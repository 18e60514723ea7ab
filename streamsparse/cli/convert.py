"""``streamsparse convert``: a matrix into a store that is best to reduce, a result into Y."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import streamsparse as ss
from streamsparse.cli.command import Command, default_of
from streamsparse.cli.options import (
    feature_axis_option,
    force_option,
    json_option,
    memory_option,
    missing_option,
    next_line,
    print_json,
    progress_option,
)


@click.command(
    cls=Command,
    short_help="Copy a matrix into chunks that read well, or export Y.",
    epilog="""\b
Examples:
  streamsparse convert data.h5ad X.zarr            chunks of whole columns
  streamsparse convert tall.npy X.zarr --feature-axis 0
  streamsparse convert Y.zarr Y.npy                Y of a result, for NumPy
""",
)
@click.argument("source", type=click.Path())
@click.argument("out", type=click.Path())
@memory_option("convert")
@feature_axis_option("convert")
@missing_option("convert")
@force_option("convert")
@progress_option("convert")
@json_option
def convert(source: str, out: str, as_json: bool, overwrite: bool, **request: Any) -> None:
    """Copy SOURCE to OUT in the form that is read best, values unchanged.

    A matrix, anything that `reduce` takes, becomes a Zarr store: in one pass,
    within --memory, every chunk with a checksum. Of a result Y alone is written,
    as OUT ends: .npy, or .zarr (an array; of a sparse Y a group for AnnData).
    """
    from streamsparse.storing.commit import is_complete

    is_result = "://" not in source and is_complete(Path(source))
    if is_result:
        for name in ("feature_axis", "missing"):
            if request[name] != default_of("convert", name):
                raise click.UsageError(f"--{name.replace('_', '-')} is of matrices, not of results")
        result = ss.load(source)
        result.export(out, overwrite=overwrite)
        (n, m), name = result.Y.shape, "Y"
    else:
        copy = ss.convert(source, out, overwrite=overwrite, **request)
        (n, m), name = copy.shape, "X"
    if as_json:
        print_json({"out": out, "kind": "result" if is_result else "matrix", "shape": [n, m]})
        return
    click.echo(f"{name} {n:,} x {m:,}")
    click.echo(f"wrote {out}")
    if not is_result:
        click.echo(next_line("reduce", out, "Y.zarr"))
