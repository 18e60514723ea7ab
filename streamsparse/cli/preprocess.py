"""Options that say what is done to the columns of X: one parameter in Python."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from streamsparse.checks import IMPUTATIONS

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("--center", is_flag=True, help="Subtract from each column its mean."),
    click.option("--scale", is_flag=True, help="Divide each column by its standard deviation."),
    click.option("--standardize", is_flag=True, help="Both: --center --scale."),
    click.option(
        "--impute",
        type=click.Choice(IMPUTATIONS),
        help="Missing values become the mean of their column, or zero.",
    ),
    click.option(
        "--missing-value",
        type=float,
        metavar="V",
        help="The value that means missing, such as -1.  [default: NaN]",
    ),
)


def preprocess_options(command: Any) -> Any:
    """Add the options, which the command receives as ``preprocess``."""

    @functools.wraps(command)
    def run(
        *arguments: Any,
        center: bool,
        scale: bool,
        standardize: bool,
        impute: str | None,
        missing_value: float | None,
        **others: Any,
    ) -> Any:
        from streamsparse import Preprocess

        preprocess = Preprocess(center or standardize, scale or standardize, impute, missing_value)
        return command(*arguments, preprocess=preprocess, **others)

    made: Any = run
    for add in reversed(_OPTIONS):
        made = add(made)
    return made
