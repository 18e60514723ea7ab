"""``streamsparse doctor``: is this machine able to run it, and what to do if not."""

from __future__ import annotations

import platform
import textwrap
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING

import click

from streamsparse.cli.command import Command
from streamsparse.cli.options import json_option, print_json

if TYPE_CHECKING:
    from streamsparse.cli.installation import Check

_WIDTH = 80
_VERDICT_WIDTH, _NAME_WIDTH = 8, 14


@click.command(
    cls=Command,
    short_help="Check installation and machine; say what to do.",
    epilog="""\b
Examples:
  streamsparse doctor
  streamsparse doctor --json > report.json     to send with a bug report
""",
)
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check the installation and this machine, and measure its speed.

    Looks at packages and extras, BLAS, numba, the environment, processors, free
    memory and disk, codecs, and a tiny run of every method. Says what to do about
    each check that failed, and about what works but could be better (note).
    Exits with 1 if a check failed.

    The speed, measured in three seconds, is kept in the user's cache folder: plan
    predicts times by it.
    """
    from streamsparse.cli.checkup import run_checks
    from streamsparse.cli.installation import check_installation, find_versions

    versions = find_versions()
    if not as_json:
        click.echo(_describe_versions(versions))
    checks = []
    for check in chain(check_installation(versions), run_checks()):
        checks.append(check)
        if not as_json:
            click.echo(_describe_check(check))
    failed = [check.name for check in checks if not check.ok]
    if as_json:
        values = [asdict(check) | {"verdict": check.verdict} for check in checks]
        print_json({"versions": versions, "platform": platform.platform(), "checks": values})
    else:
        click.echo("\nsome checks FAILED" if failed else "\nall checks passed")
    if failed:
        click.echo(f"streamsparse: error: failed: {', '.join(failed)}", err=True)
        ctx.exit(1)


def _describe_versions(versions: dict[str, str | None]) -> str:
    named = ", ".join(f"{name} {version or 'ABSENT'}" for name, version in versions.items())
    return f"{textwrap.fill(named, _WIDTH, break_on_hyphens=False)}\n{platform.platform()}\n"


def _describe_check(check: Check) -> str:
    label = f"{check.verdict:<{_VERDICT_WIDTH}}{check.name:<{_NAME_WIDTH}}"
    lines = [(label, check.detail)]
    if check.remedy:
        lines.append((f"{'':<{len(label)}}-> ", check.remedy))
    return "\n".join(
        textwrap.fill(
            text,
            _WIDTH,
            initial_indent=begin,
            subsequent_indent=" " * len(begin),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for begin, text in lines
    )
