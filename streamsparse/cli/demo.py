"""``streamsparse demo``: the main job on real input, and what it showed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from streamsparse.cli.command import Command
from streamsparse.cli.options import command_line, json_option, print_json
from streamsparse.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from streamsparse.demo.report import Neighbours, Report, Run

_NAME_WIDTH = 24


@click.command(
    cls=Command,
    short_help="Reduce real input, offline: the sources of Python's library.",
    epilog="""\b
Examples:
  streamsparse demo
  streamsparse demo --dense 2GB
""",
)
@click.option(
    "--dense",
    metavar="SIZE",
    help="Instead, make a dense array of this size and keep to a smaller budget.",
)
@click.option(
    "--limit", type=click.IntRange(min=2), metavar="N", help="Use only the first N modules."
)
@json_option
@click.pass_context
def demo(ctx: click.Context, dense: str | None, limit: int | None, as_json: bool) -> None:
    """Reduce the Python standard library's own sources, offline.

    Hashes the character n-grams of every module into a sparse matrix on disk,
    reduces it with each method, checks every result against the exact Gram
    matrix, and shows the nearest modules before and after. Everything is made
    in a temporary folder and removed. Exits with 1 if a certificate is violated.
    """
    from streamsparse.demo.run import run_demo, run_dense_demo

    def say(what: str) -> None:
        click.echo(f"streamsparse: {what} ...", err=True)

    if dense is None:
        report = run_demo(limit=limit, say=say)
    else:
        report = run_dense_demo(dense, limit=limit, say=say)
    if as_json:
        print_json(report.to_dict())
    else:
        for line in _describe(report):
            click.echo(line)
    if report.violations:
        count = len(report.violations)
        broken = f"{count} certificate{'s' if count > 1 else ''} violated"
        click.echo(f"streamsparse: error: {broken}: {'; '.join(report.violations)}", err=True)
        ctx.exit(1)


def _describe(report: Report) -> Iterator[str]:
    yield from _describe_input(report)
    yield ""
    yield from _table(report.runs)
    yield ""
    if report.neighbours:
        yield from _describe_neighbours(report)
        yield ""
    yield from _conclude(report)


def _describe_input(report: Report) -> Iterator[str]:
    kind = "random Fourier features of" if report.nnz is None else "hashed 5-grams of"
    yield f"X: {kind} {report.n:,} modules of Python's standard library"
    entries = "dense" if report.nnz is None else f"{report.nnz:,} nonzeros"
    stored = format_bytes(report.stored_bytes)
    yield f"   {report.n:,} x {report.d:,}, {entries}, {stored} on disk as Zarr"
    yield f"   memory budget {format_bytes(report.memory)}; rows have norm 1"
    text = (
        f"attention is softmax(beta G) with beta = {report.beta:g}: a module gives "
        f"{report.own_attention:.0%} of it to itself (median), neither all nor 1/n"
    )
    yield textwrap.fill(text, 80, initial_indent="   ", subsequent_indent="   ")


def _table(runs: list[Run]) -> Iterator[str]:
    yield "                    bytes              peak  attention error   entry"
    yield "method       m       read    time    memory  sampled all rows   error   Y = 0"
    for run in runs:
        c, check = run.certificate, run.check
        peak = "unknown" if c.peak_memory_bytes is None else format_bytes(c.peak_memory_bytes)
        sampled = c.attention_error if c.checked_rows < c.n else None
        numbers = [
            None if measure is None else measure.value
            for measure in (
                sampled,
                check.attention_error,
                check.entry_error,
                check.uniform_attention_error,
            )
        ]
        cells = " ".join(f"{'-' if x is None else f'{x:.2g}':>{w}}" for x, w in _widths(numbers))
        yield (
            f"{run.asked:<7}{c.m:>7,}{format_bytes(c.bytes_read):>11}"
            f"{format_seconds(c.seconds):>8}{peak:>11} {cells}"
        )
    yield textwrap.fill(
        "Errors are the largest row L1 distance of attention and max |E_ij| / r, by an "
        "independent pass over all rows; 'sampled' is what the run itself knew, from "
        "a random sample of rows of large inputs; "
        "'Y = 0' is the error of uniform attention.",
        80,
    )


def _widths(numbers: list[float | None]) -> Iterator[tuple[float | None, int]]:
    yield from zip(numbers, (8, 8, 7, 7), strict=True)


def _describe_neighbours(report: Report) -> Iterator[str]:
    after = f"after: sketch, m = {report.neighbours_m:,}"
    yield f"{'nearest modules':<17}{'before: exact G':<32}{after}"
    for entry in report.neighbours:
        yield from _pairs(entry)


def _pairs(entry: Neighbours) -> Iterator[str]:
    for k, pair in enumerate(zip(entry.before, entry.after, strict=True)):
        label = entry.module if k == 0 else ""
        cells = [f"{cosine:5.3f} {_shorten(name)}" for name, cosine in pair]
        yield f"{label[:16]:<17}{cells[0]:<32}{cells[1]}"


def _shorten(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else f"..{name[2 - _NAME_WIDTH :]}"


def _conclude(report: Report) -> Iterator[str]:
    peaks = [run.certificate.peak_memory_bytes for run in report.runs]
    known = [peak for peak in peaks if peak is not None]
    if report.nnz is None and report.stored_bytes <= report.memory:
        yield "The array fits the budget: ask for more than 512 MiB to see the budget kept."
    elif report.nnz is None and known and max(known) <= report.memory:
        yield (
            f"{format_bytes(report.stored_bytes)} of X went through at most "
            f"{format_bytes(max(known))} of memory, within {format_bytes(report.memory)}."
        )
    found = "every certificate held" if not report.violations else "CERTIFICATES VIOLATED"
    yield f"{found}; {format_seconds(report.seconds)} in all"
    if report.nnz is None:
        yield f"next:  {command_line('plan')} YOUR.zarr"
    else:
        yield f"next:  {command_line('demo', '--dense', '2GB')}"
        yield f"   or  {command_line('plan')} YOUR.zarr"
