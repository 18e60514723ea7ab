"""The group of commands, and how it ends: one clear line on stderr and an exit status."""

from __future__ import annotations

import signal
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

from streamsparse import RunInterrupted, StreamSparseError, StreamSparseWarning, __version__
from streamsparse.cli.command import DEBUG, debug_option
from streamsparse.cli.completion import completion
from streamsparse.cli.convert import convert
from streamsparse.cli.demo import demo
from streamsparse.cli.doctor import doctor
from streamsparse.cli.extend import append, remove
from streamsparse.cli.inspect import certify, info
from streamsparse.cli.merge import merge
from streamsparse.cli.reduce import plan, reduce
from streamsparse.cli.stopping import resume_line, status_of, within_two_seconds
from streamsparse.cli.transform import transform

_FAILED = 1
_WORDS = "streamsparse.words"


class Commands(click.Group):
    """A group whose commands end with one line on stderr instead of a traceback."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words of the command line, to say how it goes on."""
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click has it
        """Return the commands in the order in which a newcomer meets them."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; anything it raises becomes a line and an exit status."""
        try:
            with _warnings_as_lines(), within_two_seconds(ctx.meta[_WORDS]):
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt as stop:
            # The terminal has just echoed ^C, and a progress bar may stand on the line.
            click.echo("\nstreamsparse: interrupted", err=True, nl=False)
            if isinstance(stop, RunInterrupted) and stop.has_checkpoint:
                line = resume_line(ctx.meta[_WORDS])
                click.echo(
                    f"; what was summed so far is kept, go on with\n  {line}", err=True, nl=False
                )
            click.echo(err=True)
            ctx.exit(status_of(getattr(stop, "number", signal.SIGINT)))
        except Exception as error:
            if ctx.meta.get(DEBUG):
                click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
            click.echo(f"streamsparse: error: {_describe(error)}", err=True)
            ctx.exit(_FAILED)


def _describe(error: Exception) -> str:
    """Return what happened on one line."""
    text = " ".join(str(error).split())
    if isinstance(error, StreamSparseError | OSError) and text:
        return text
    if isinstance(error, MemoryError):
        return f"out of memory: {text or 'an allocation failed'}; lower --memory"
    name = type(error).__name__
    return f"unexpected {name}: {text} (--debug shows where)"


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print our own warnings as one line each, always; leave those of others as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", StreamSparseWarning)
        show_others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, StreamSparseWarning):
                show_others(message, category, filename, lineno, file, line)
                return
            click.echo(f"streamsparse: warning: {' '.join(str(message).split())}", err=True)

        warnings.showwarning = show
        yield


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="""\b
Examples:
  streamsparse demo                    see it work on real input, offline
  streamsparse plan X.zarr             what would be read, memory and time
  streamsparse reduce X.zarr Y.zarr    do it, within 1 GiB
  streamsparse certify X.zarr Y.zarr   check it independently
  streamsparse reduce --help           options of a command, and examples
""",
)
@click.version_option(__version__, prog_name="streamsparse")
@debug_option
def cli() -> None:
    """Reduce a very wide matrix X (n x d) to a small Y (n x m).

    Y Y^T is close to X X^T, and a certificate says how close. X is read by
    columns, from disk, within a memory budget.

    Results go to stdout, with --json as one JSON object; progress, warnings and
    errors to stderr, an error as one line. Exit status: 0 done, also where an
    epsilon was not met, which is a warning; 1 refused or failed; 2 bad usage;
    130 and 143 stopped by Ctrl-C and by SIGTERM.
    """


for command in (
    plan,
    reduce,
    certify,
    info,
    transform,
    append,
    remove,
    convert,
    merge,
    demo,
    doctor,
    completion,
):
    cli.add_command(command)
