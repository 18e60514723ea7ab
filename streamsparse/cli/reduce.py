"""``streamsparse reduce`` and ``streamsparse plan``."""

from __future__ import annotations

import textwrap
from typing import Any

import click

import streamsparse as ss
from streamsparse.cli.command import Command, default_of
from streamsparse.cli.options import (
    describe_result,
    force_option,
    json_option,
    next_line,
    part_options,
    print_json,
    progress_option,
    request_options,
)

# Parameters of ``sparsify`` that decide nothing about the plan.
_NOT_PLANNED = ("missing", "nonfinite", "resume", "part", "after", "progress")
# Of method "select", which cannot be shared out.
_NOT_IN_PARTS = ("algorithm", "start")


@click.command(
    cls=Command,
    short_help="Reduce a matrix to Y, and print its certificate.",
    epilog="""\b
Examples:
  streamsparse reduce X.zarr Y.zarr
  streamsparse reduce X.zarr Y.zarr --method sketch --m 1024 --seed 7
  streamsparse reduce tall.npy Y.zarr --feature-axis 0 --memory '4 GiB'
  streamsparse reduce X.zarr Y.zarr --epsilon 0.05 -f --json
  streamsparse reduce X.zarr Y.zarr --center               # as for PCA
  streamsparse reduce X.zarr Y.zarr --method select --epsilon 0.1
  streamsparse reduce X.zarr Z.zarr --method select --m 4096 --start Y.zarr
  streamsparse reduce X.zarr part-3 --part 3/16 --resume   # one of many jobs
""",
)
@click.argument("source", type=click.Path())
@click.argument("out", type=click.Path())
@request_options
@part_options
@force_option("sparsify")
@progress_option("sparsify")
@json_option
def reduce(source: str, out: str, overwrite: bool, as_json: bool, **request: Any) -> None:
    """Reduce SOURCE (n x d) to OUT (n x m) and print its certificate.

    SOURCE is the path or URL of a Zarr array or of a Zarr group holding a sparse
    matrix (csc_matrix or csr_matrix, as AnnData writes them), a .npy file or a
    folder of them, a dataset or group in an HDF5 file (data.h5:/X), or a tensor of
    a safetensors file (data.safetensors:name). OUT becomes a Zarr group with the
    array Y; it appears complete or not at all.

    With --part OUT becomes a part, and `merge` makes Y of all N parts: the same
    one, to the last bit. Jobs of a batch queue need nothing but the files.
    """
    part, after = request.pop("part"), request.pop("after")
    if part is not None:
        _reduce_part(source, out, as_json, part=part, after=after, overwrite=overwrite, **request)
        return
    if after is not None:
        raise click.UsageError("--after goes with --part")
    result = ss.sparsify(source, out=out, overwrite=overwrite, **request)
    if as_json:
        print_json({"out": out, **describe_result(result)})
        return
    show_result(result, out, why=result.plan.why if request["method"] == "auto" else None)
    same = [
        word
        for name in ("feature_axis", "memory", "missing", "nonfinite")
        if request[name] != default_of("certify", name)
        for word in (f"--{name.replace('_', '-')}", request[name])
    ]
    click.echo(next_line("certify", source, out, "--exact", *same))


def show_result(result: ss.Result, out: str, *, why: str | None) -> None:
    """Print what was made and measured; ``why``: of the method, where nobody asked for it."""
    from streamsparse.results.card import outcome

    click.echo("\n".join(outcome(result)))
    if why is not None:
        why = f"auto chose {result.plan.method}: {why}"
        click.echo(textwrap.fill(why, 80, initial_indent="  ", subsequent_indent="    "))
    click.echo(f"wrote {out}")


def _reduce_part(source: str, out: str, as_json: bool, **request: Any) -> None:
    """Sum one part and print what it holds."""
    for name in _NOT_IN_PARTS:
        if request.pop(name) != default_of("sparsify", name) and request["method"] != "select":
            raise click.UsageError(f"--{name} is of method select, which has no --part")
    part = ss.reduce_part(source, out, **request)
    if as_json:
        print_json(part.to_dict() | {"part": out})
        return
    click.echo(str(part))
    click.echo(f"wrote {out}")
    goal = "OUT" if part.scan == part.scans else "FIRST"
    others = " ..." if part.count > 1 else ""
    click.echo(f"{next_line('merge', goal, out)}{others}  (all {part.count:,} parts)")


@click.command(
    cls=Command,
    short_help="Say what `reduce` would do: passes, memory, time.",
    epilog="""\b
Examples:
  streamsparse plan X.zarr
  streamsparse plan X.zarr --method sketch --m 1024 --memory '512 MiB'
""",
)
@click.argument("source", type=click.Path())
@click.argument("out", type=click.Path(), default="OUT")
@request_options
@part_options
@force_option("sparsify")
@progress_option("sparsify")
@json_option
def plan(source: str, out: str, overwrite: bool, as_json: bool, **request: Any) -> None:  # noqa: ARG001 - so that "reduce" can become "plan" on any command line
    """Say what `reduce` would do with SOURCE, reading metadata only.

    Takes the arguments of `reduce`: change one word of the command line to see
    its plan. Nothing is written.
    """
    planned = {name: value for name, value in request.items() if name not in _NOT_PLANNED}
    chosen = ss.plan(source, out=out, **planned)
    if as_json:
        print_json(chosen.to_dict())
    else:
        click.echo(str(chosen))
