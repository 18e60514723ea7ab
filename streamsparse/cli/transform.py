"""``streamsparse transform``: the same map for new rows."""

from __future__ import annotations

from typing import Any

import click

import streamsparse as ss
from streamsparse.cli.command import Command
from streamsparse.cli.options import (
    feature_axis_option,
    force_option,
    json_option,
    memory_option,
    missing_option,
    next_line,
    nonfinite_option,
    print_json,
    progress_option,
)


@click.command(
    cls=Command,
    short_help="Apply the map of a result to new rows.",
    epilog="""\b
Examples:
  streamsparse reduce X.zarr Y.zarr --method sketch --m 4096
  streamsparse transform Y.zarr more_rows.zarr Y_more.zarr
""",
)
@click.argument("out", type=click.Path())
@click.argument("new_source", type=click.Path())
@click.argument("new_out", type=click.Path())
@memory_option("Result.transform")
@feature_axis_option("Result.transform")
@missing_option("Result.transform")
@nonfinite_option("Result.transform")
@force_option("Result.transform")
@progress_option("Result.transform")
@json_option
def transform(out: str, new_source: str, new_out: str, as_json: bool, **request: Any) -> None:
    """Apply the map of the result OUT to the rows of NEW_SOURCE.

    NEW_SOURCE has the columns that the reduced matrix had; its rows land beside
    the earlier ones, and NEW_OUT holds them. Method exact keeps no such map, and
    a sketch without --m keeps of new rows only their part in the span of the old.
    """
    Y = ss.load(out).transform(new_source, out=new_out, **request)
    n, m = Y.shape
    if as_json:
        print_json({"out": new_out, "n": n, "m": m})
        return
    click.echo(f"Y {n:,} x {m:,}, mapped as in {out}")
    click.echo(f"wrote {new_out}")
    click.echo(next_line("info", new_out))
