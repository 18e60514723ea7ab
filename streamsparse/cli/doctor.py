"""``streamsparse doctor``: is this machine able to run it, and what to do if not."""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata

import click
from threadpoolctl import threadpool_info

from streamsparse import __version__
from streamsparse.cli.checkup import Check, run_checks
from streamsparse.cli.options import json_option, print_json

_PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "zarr",
    "numcodecs",
    "dask",
    "click",
    "tqdm",
    "threadpoolctl",
)


@click.command(
    epilog="""\b
Examples:
  streamsparse doctor
  streamsparse doctor --json > report.json     to send with a bug report
"""
)
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check versions, memory, disk, codecs and a tiny run; measure speed.

    What it measures in three seconds is kept in the user's cache folder, and
    lets plan predict times.

    Says what to do about each check that fails; exits with 1 if one does.
    """
    versions = _versions()
    checks = [_check_packages(versions), _check_blas(), *run_checks()]
    if as_json:
        values = [asdict(check) for check in checks]
        print_json({"versions": versions, "platform": platform.platform(), "checks": values})
    else:
        for line in _describe(versions, checks):
            click.echo(line)
    failed = [check.name for check in checks if not check.ok]
    if failed:
        click.echo(f"streamsparse: error: failed: {', '.join(failed)}", err=True)
        ctx.exit(1)


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {
        "python": platform.python_version(),
        "streamsparse": __version__,
    }
    return versions | {name: _version_of(name) for name in _PACKAGES}


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _check_packages(versions: dict[str, str | None]) -> Check:
    absent = [name for name, version in versions.items() if version is None]
    return Check(
        name="packages",
        ok=not absent,
        detail=f"not installed: {', '.join(absent)}" if absent else "all installed",
        remedy="install streamsparse again with pip, in a fresh virtual environment",
    )


def _check_blas() -> Check:
    """Look for a BLAS whose threads can be held to one during a pass."""
    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    named = [f"{b['internal_api']} {b['version']}, {b['num_threads']} threads" for b in found]
    return Check(
        name="blas",
        ok=bool(found),
        detail="; ".join(sorted(set(named))) or "no BLAS that threadpoolctl knows",
        remedy="install numpy and scipy from PyPI wheels or conda-forge, which bring OpenBLAS",
    )


def _describe(versions: dict[str, str | None], checks: list[Check]) -> Iterator[str]:
    named = ", ".join(f"{name} {version or 'ABSENT'}" for name, version in versions.items())
    yield textwrap.fill(named, 80, break_on_hyphens=False)
    yield textwrap.fill(platform.platform(), 80)
    yield ""
    for check in checks:
        label = f"{'ok' if check.ok else 'FAILED':<8}{check.name:<13}"
        yield textwrap.fill(
            check.detail,
            80,
            initial_indent=label,
            subsequent_indent=" " * len(label),
            break_on_hyphens=False,
        )
        if not check.ok:
            indent = " " * len(label)
            yield textwrap.fill(
                f"-> {check.remedy}", 80, initial_indent=indent, subsequent_indent=indent + "   "
            )
    yield ""
    yield "all checks passed" if all(check.ok for check in checks) else "some checks FAILED"
