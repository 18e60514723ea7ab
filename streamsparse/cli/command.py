"""What every command shares: a help page under headings, defaults looked up late, ``--debug``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import click

import streamsparse as ss

DEBUG = "streamsparse.debug"
# click's decorators return what they are given.
Decorator = Callable[[Any], Any]

# The headings of a long help page, and the names of the parameters under each. What none of them
# names comes last.
_HEADINGS = {
    "Main options": ("method", "m", "epsilon", "memory", "overwrite", "exact", "spectral"),
    "Errors and chance": ("target", "beta", "delta", "rows", "seed"),
    "Of single methods": ("s", "strict", "algorithm", "start"),
    "What is done to columns first": ("center", "scale", "standardize", "impute", "missing_value"),
    "How X is read": ("feature_axis", "missing", "nonfinite"),
    "Runs that were stopped, and jobs of a batch queue": ("resume", "part", "after"),
}
_LAST = "What is printed"
# A page of fewer options is read whole.
_FEW = 10
# What click leaves for the names of options, and the space after them.
_NAME_WIDTH = 30


def default_of(function: str, name: str) -> Any:
    """Return the default of a parameter of a public function, such as "Result.transform"."""
    return inspect.signature(attrgetter(function)(ss)).parameters[name].default


class ParameterOption(click.Option):
    """An option with the default that a public function has for the parameter of its name.

    It is looked up when it is wanted, because importing the function takes half a second that
    completing a word must not take.
    """

    def __init__(self, flags: Sequence[str], *, function: str, **settings: Any) -> None:
        super().__init__(flags, show_default=True, **settings)
        self._function = function

    def get_default(self, ctx: click.Context, call: bool = True) -> Any:
        """Return the default, as it would be typed; nothing while words are completed."""
        # Help pages ask with call=False.
        if call and ctx.resilient_parsing:
            return None
        default = default_of(self._function, str(self.name))
        return str(default) if isinstance(self.type, click.Choice) else default


def parameter_option(function: str, name: str, *flags: str, **settings: Any) -> Decorator:
    """Return an option that stands for the parameter ``name`` of the public ``function``."""
    return click.option(*flags, name, cls=ParameterOption, function=function, **settings)


def debug_option(command: Any) -> Any:
    """Add ``--debug``, which people type before the command or after it."""

    def remember(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
        if wanted:
            context.meta[DEBUG] = True

    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=remember,
        help="Show the traceback of an error.",
    )(command)


class Command(click.Command):
    """A command that takes ``--debug`` and whose many options stand under headings."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        debug_option(self)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, aligned over all headings."""
        records: dict[str, list[tuple[str, str]]] = {name: [] for name in (*_HEADINGS, _LAST)}
        # Arguments are told of in the text above.
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        for option in options:
            record = option.get_help_record(ctx)
            if record is not None:
                records[_heading_of(option)].append(record)
        if len(options) <= _FEW:
            records = {"Options": [pair for part in records.values() for pair in part]}
        named = [len(name) for part in records.values() for name, _ in part]
        width = max((length for length in named if length <= _NAME_WIDTH), default=0)
        for heading, part in records.items():
            if part:
                with formatter.section(heading):
                    formatter.write_dl([(name.ljust(width), text) for name, text in part])


def _heading_of(option: click.Option) -> str:
    named = (heading for heading, names in _HEADINGS.items() if option.name in names)
    return next(named, _LAST)
