"""``streamsparse append`` and ``streamsparse remove``: columns of a finished result."""

from __future__ import annotations

from typing import Any

import click

import streamsparse as ss
from streamsparse.cli.command import Command, parameter_option
from streamsparse.cli.options import (
    describe_result,
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
from streamsparse.cli.reduce import show_result


@click.command(
    cls=Command,
    short_help="Append columns to a result; they alone are read.",
    epilog="""\b
Examples:
  streamsparse reduce May.zarr Y.zarr --method sketch --m 4096
  streamsparse append Y.zarr June.zarr Y2.zarr
  streamsparse append Y2.zarr August.zarr Y3.zarr --start 3000000
""",
)
@click.argument("out", type=click.Path())
@click.argument("more", type=click.Path())
@click.argument("new_out", type=click.Path())
@parameter_option(
    "Result.append",
    "start",
    "--start",
    type=int,
    metavar="J",
    help="The column that its first one becomes.  [default: the next]",
)
@memory_option("Result.append")
@feature_axis_option("Result.append")
@missing_option("Result.append")
@nonfinite_option("Result.append")
@force_option("Result.append")
@progress_option("Result.append")
@json_option
def append(out: str, more: str, new_out: str, as_json: bool, **request: Any) -> None:
    """Append the columns of MORE to the result OUT, as NEW_OUT.

    Only MORE is read: the same rows as before, in the same order. NEW_OUT is what
    one run over all columns would make, with a certificate of all. For results
    of exact, and of sketch with --m.
    """
    _show(ss.load(out).append(more, out=new_out, **request), new_out, as_json)


@click.command(
    cls=Command,
    short_help="Remove columns from a result; they alone are read.",
    epilog="""\b
Examples:
  streamsparse remove Y2.zarr June.zarr Y3.zarr --start 2000000
""",
)
@click.argument("out", type=click.Path())
@click.argument("some", type=click.Path())
@click.argument("new_out", type=click.Path())
@click.option(
    "--start",
    type=int,
    metavar="J",
    required=True,
    help="Which column of the result the first one of SOME is.",
)
@memory_option("Result.remove")
@feature_axis_option("Result.remove")
@missing_option("Result.remove")
@nonfinite_option("Result.remove")
@force_option("Result.remove")
@progress_option("Result.remove")
@json_option
def remove(out: str, some: str, new_out: str, as_json: bool, **request: Any) -> None:
    """Remove the columns of SOME from the result OUT, as NEW_OUT.

    SOME holds the values that were added, and is read once. The columns after
    them keep their numbers. What was removed leaves its rounding, which the
    certificate includes.
    """
    _show(ss.load(out).remove(some, out=new_out, **request), new_out, as_json)


def _show(result: ss.Result, new_out: str, as_json: bool) -> None:
    if as_json:
        print_json({"out": new_out, **describe_result(result)})
        return
    show_result(result, new_out, why=None)
    click.echo(next_line("info", new_out))
