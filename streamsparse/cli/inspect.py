"""``streamsparse info`` and ``streamsparse certify``: look at a source or a result, check one."""

from __future__ import annotations

from typing import Any

import click

import streamsparse as ss
from streamsparse.cli.command import Command, parameter_option
from streamsparse.cli.options import (
    feature_axis_option,
    json_option,
    memory_option,
    missing_option,
    nonfinite_option,
    print_json,
    progress_option,
)


@click.command(
    cls=Command,
    short_help="Describe a matrix, a result or a part.",
    epilog="""\b
Examples:
  streamsparse info X.zarr        shape, type, chunks, bytes
  streamsparse info Y.zarr        a result: its certificate and its plan
  streamsparse info Y.zarr --report report.html
  streamsparse info part-1        a part: which columns it is the sums of
""",
)
@click.argument("path", type=click.Path())
@feature_axis_option("open_source")
@click.option(
    "--report",
    type=click.Path(),
    metavar="PAGE",
    help="Of a result: write it as one HTML page, with curve and spectrum.",
)
@click.option(
    "-f", "--force", "overwrite", is_flag=True, help="With --report: replace an earlier one."
)
@json_option
def info(
    path: str, feature_axis: int | str, report: str | None, overwrite: bool, as_json: bool
) -> None:
    """Describe PATH, a matrix, a result or a part, from its metadata.

    Of a matrix: shape, type, chunks, codec, bytes, names of columns, and the
    method that `reduce` would choose. Of a result: what was measured, how it was
    made, and the commands that go on from it.
    """
    from streamsparse.cli.describe import describe_path

    if overwrite and report is None:
        raise click.UsageError("-f goes with --report")
    facts, lines = describe_path(path, feature_axis=feature_axis)
    if report is not None:
        if facts["kind"] != "result":
            raise click.UsageError(f"--report is about a result, which {path} is not")
        ss.load(path).report(report, overwrite=overwrite)
        lines.append(f"wrote {report}")
    if as_json:
        print_json(facts)
    else:
        click.echo("\n".join(lines))


@click.command(
    cls=Command,
    short_help="Check a result against its matrix, which is read again.",
    epilog="""\b
Examples:
  streamsparse certify X.zarr Y.zarr                some rows, all by probes
  streamsparse certify X.zarr Y.zarr --spectral 3   and the spectral error
  streamsparse certify X.zarr Y.zarr --exact        every row, n x n memory
""",
)
@click.argument("source", type=click.Path())
@click.argument("out", type=click.Path())
@parameter_option(
    "certify", "exact", "--exact", is_flag=True, help="Every row, and the spectral error."
)
@parameter_option(
    "certify",
    "spectral",
    "--spectral",
    type=int,
    metavar="PASSES",
    help="Bound the spectral error, the sharper the more passes; n x n memory.",
)
@parameter_option(
    "certify",
    "rows",
    "--rows",
    type=int,
    metavar="N",
    help="How many rows to check, drawn at random.  [default: for 95 % of all rows]",
)
@parameter_option(
    "certify",
    "delta",
    "--delta",
    type=float,
    metavar="D",
    help="Allowed probability that a bound fails.",
)
@parameter_option(
    "certify",
    "seed",
    "--seed",
    type=int,
    metavar="K",
    help="Which random rows: any other than the run's gives fresh ones.",
)
@memory_option("certify")
@feature_axis_option("certify")
@missing_option("certify")
@nonfinite_option("certify")
@progress_option("certify")
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
        return
    click.echo(str(certificate))
    if request["spectral"] and certificate.spectral_error is None:
        click.echo(
            "  so many passes do not bound the spectral error below 1; --exact computes it, in\n"
            "    n x n memory"
        )
