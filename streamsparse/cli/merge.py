"""``streamsparse merge``: Y of all parts that ``reduce --part`` has written."""

from __future__ import annotations

from typing import Any

import click

import streamsparse as ss
from streamsparse.cli.command import Command, default_of, parameter_option
from streamsparse.cli.options import (
    describe_result,
    force_option,
    json_option,
    next_line,
    print_json,
    progress_option,
)
from streamsparse.cli.reduce import show_result
from streamsparse.units import parse_memory


@click.command(
    cls=Command,
    short_help="Make Y of the parts that `reduce --part` has written.",
    epilog="""\b
Examples:
  streamsparse reduce X.zarr part-1 --part 1/2 --method exact
  streamsparse reduce X.zarr part-2 --part 2/2 --method exact
  streamsparse merge Y.zarr part-1 part-2
  streamsparse merge Y.zarr part-* --resume --json
""",
)
@click.argument("out", type=click.Path())
@click.argument("parts", metavar="PART...", type=click.Path(), nargs=-1, required=True)
@parameter_option(
    "merge",
    "source",
    "--source",
    metavar="SOURCE",
    type=click.Path(),
    help="The source, if it has another path here.",
)
@parameter_option(
    "merge",
    "after",
    "--after",
    metavar="FIRST",
    type=click.Path(),
    help="The first pass of sample, merged, if it has another path here.",
)
@parameter_option(
    "merge", "resume", "--resume", is_flag=True, help="Do nothing if OUT is there already."
)
@force_option("merge")
@progress_option("merge")
@json_option
def merge(out: str, parts: tuple[str, ...], as_json: bool, **request: Any) -> None:
    """Make OUT of all PARTs of a run, in any order, and print its certificate.

    OUT has the bits that `reduce` would have given it. Nothing of the source is
    read but its metadata. Of the first pass of method sample OUT is that pass,
    which `reduce --part I/N --after OUT` goes on from.
    """
    made = ss.merge(parts, out, **request)
    if isinstance(made, ss.Part):
        _show_pass(made, out, as_json)
        return
    if as_json:
        print_json({"out": out, **describe_result(made)})
        return
    show_result(made, out, why=None)
    plan, same = made.plan, ["--exact"]
    for name, value in (("feature_axis", plan.feature_axis), ("memory", plan.memory_budget)):
        default = default_of("certify", name)
        if value != (parse_memory(default) if name == "memory" else default):
            same += [f"--{name.replace('_', '-')}", str(value)]
    click.echo(next_line("certify", request["source"] or plan.source, out, *same))


def _show_pass(part: ss.Part, out: str, as_json: bool) -> None:
    if as_json:
        print_json(part.to_dict() | {"part": out})
        return
    click.echo(str(part))
    click.echo(f"wrote {out}")
    line = next_line("reduce", part.plan.source, "PART", "--part", "I/N", "--after", out)
    click.echo(f"{line} ...  (the second pass, and the options of the first)")
