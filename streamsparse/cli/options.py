"""Options that several commands share; every default is that of the Python function."""

from __future__ import annotations

import json
import math
import re
import shlex
from typing import TYPE_CHECKING, Any

import click

from streamsparse.checks import ALGORITHMS, METHODS, POLICIES, TARGETS
from streamsparse.cli.command import Decorator, default_of, parameter_option
from streamsparse.cli.preprocess import preprocess_options

if TYPE_CHECKING:
    from streamsparse import Result

_WIDTH = 80
# Room to the right of an option: for its value and a backslash.
_VALUE_WIDTH = 20


def _parse_axis(_context: click.Context, _parameter: click.Parameter, text: str) -> int | str:
    """Return 0, 1, or the name of a dimension.

    Raises
    ------
    click.BadParameter : for any other number.
    """
    if not re.fullmatch(r"-?\d+", text):
        return text
    if text not in {"0", "1"}:
        raise click.BadParameter(f"must be 0, 1 or the name of a dimension, not {text}")
    return int(text)


def feature_axis_option(function: str) -> Decorator:
    """Return the option that names the long axis as stored."""
    return parameter_option(
        function,
        "feature_axis",
        "--feature-axis",
        metavar="0|1|NAME",
        callback=_parse_axis,
        shell_complete=lambda _ctx, _parameter, begun: [x for x in "01" if x.startswith(begun)],
        help="The long axis of X as stored: 0 for files with features first; or its name.",
    )


def memory_option(function: str) -> Decorator:
    """Return the option for the memory budget."""
    return parameter_option(
        function,
        "memory",
        "--memory",
        metavar="SIZE",
        help="Memory for the whole computation: bytes, or text such as '512 MiB'.",
    )


def missing_option(function: str) -> Decorator:
    """Return the option for absent chunks."""
    return parameter_option(
        function,
        "missing",
        "--missing",
        type=click.Choice(POLICIES["missing"]),
        help="Chunks that are absent: refuse, or take their fill value.",
    )


def nonfinite_option(function: str) -> Decorator:
    """Return the option for NaN and infinities."""
    return parameter_option(
        function,
        "nonfinite",
        "--nonfinite",
        type=click.Choice(POLICIES["nonfinite"]),
        help="NaN and infinities: refuse, or read as zero.",
    )


def json_option(command: Any) -> Any:
    """Add ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
    )(command)


def progress_option(function: str) -> Decorator:
    """Return the options that ask for progress on stderr, or for none."""

    def resolve(context: click.Context, _parameter: click.Parameter, value: bool | None) -> Any:
        """Return the default where neither was asked for; nobody wants it to complete words."""
        is_wanted = value is None and not context.resilient_parsing
        return default_of(function, "progress") if is_wanted else value

    return click.option(
        "--progress/--no-progress",
        default=None,
        callback=resolve,
        help="Show bytes done, speed and time left on stderr.  [default: on a terminal]",
    )


def force_option(function: str) -> Decorator:
    """Return ``-f``."""
    return parameter_option(
        function, "overwrite", "-f", "--force", is_flag=True, help="Replace an earlier result."
    )


_REQUEST_OPTIONS: tuple[Decorator, ...] = (
    parameter_option(
        "sparsify",
        "method",
        "--method",
        type=click.Choice(METHODS),
        help="sketch: random, fast. sample: random columns of X, two passes. select: chosen "
        "columns, the fewest. exact: from the Gram matrix. auto: exact or sketch.",
    ),
    parameter_option(
        "sparsify",
        "algorithm",
        "--algorithm",
        type=click.Choice(ALGORITHMS),
        help="Of select: bss is the theorem, balance the fastest, auto the least error.",
    ),
    parameter_option(
        "sparsify",
        "start",
        "--start",
        type=click.Path(),
        help="An earlier result of select, of the same X, to continue from.",
    ),
    parameter_option("sparsify", "m", "--m", type=int, metavar="N", help="Columns of Y."),
    parameter_option(
        "sparsify",
        "epsilon",
        "--epsilon",
        type=float,
        metavar="E",
        help="Wanted error in (0, 1), in the sense of --target; not with --m.",
    ),
    parameter_option(
        "sparsify",
        "target",
        "--target",
        type=click.Choice(TARGETS),
        help="What --epsilon bounds: rows of softmax(beta G), entries / r, Loewner, or Loewner "
        "relative to G + r I.",
    ),
    parameter_option(
        "sparsify",
        "delta",
        "--delta",
        type=float,
        metavar="D",
        help="Allowed probability that a random method misses epsilon.",
    ),
    parameter_option(
        "sparsify", "beta", "--beta", type=float, metavar="B", help="Scale of the logits, > 0."
    ),
    parameter_option(
        "sparsify",
        "seed",
        "--seed",
        type=int,
        metavar="K",
        help="Fixes every bit of Y, with X, method and m.",
    ),
    parameter_option(
        "sparsify",
        "s",
        "--s",
        type=int,
        metavar="1|2|4|8",
        help="Nonzeros per column of the sketching matrix S.",
    ),
    parameter_option(
        "sparsify",
        "strict",
        "--strict",
        is_flag=True,
        help="Only what a theorem covers: 4-wise signs and its m; exact scores; barriers.",
    ),
    memory_option("sparsify"),
    feature_axis_option("sparsify"),
    preprocess_options,
    missing_option("sparsify"),
    nonfinite_option("sparsify"),
    parameter_option(
        "sparsify",
        "resume",
        "--resume",
        is_flag=True,
        help="Go on with a run to OUT that was interrupted, was killed or failed.",
    ),
)


def request_options(command: Any) -> Any:
    """Add the options that say what to reduce and how."""
    for add in reversed(_REQUEST_OPTIONS):
        command = add(command)
    return command


def _parse_part(
    _context: click.Context, _parameter: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """Return (I, N) of text such as 3/16.

    Raises
    ------
    click.BadParameter : for any other.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise click.BadParameter(f"must be I/N with I from 1 to N, such as 3/16, not {text!r}")
    return int(found[1]), int(found[2])


def part_options(command: Any) -> Any:
    """Add the options of one part of many."""
    command = click.option(
        "--after",
        metavar="FIRST",
        type=click.Path(),
        help="With --part, of sample: the first pass, merged; sum the second.",
    )(command)
    return click.option(
        "--part",
        metavar="I/N",
        callback=_parse_part,
        help="Sum only the I-th of N shares of the columns, for merge; OUT is the part.",
    )(command)


def print_json(values: dict[str, Any]) -> None:
    """Print one JSON object to stdout; JSON has no NaN and no infinity, so they become null."""
    click.echo(json.dumps(_finite(values), indent=2, allow_nan=False))


def describe_result(result: Result) -> dict[str, Any]:
    """Return the plan, the certificate and, where there are any, selection and gaps, for JSON."""
    facts: dict[str, Any] = {
        "plan": result.plan.to_dict(),
        "certificate": result.certificate.to_dict(),
    }
    if result.selection is not None:
        facts["selection"] = result.selection.to_dict()
    if not result.is_whole:
        facts["intervals"] = [list(interval) for interval in result.intervals]
    return facts


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def command_line(*words: object) -> str:
    """Return a command to type, its words quoted for a shell."""
    return shlex.join(["streamsparse", *map(str, words)])


def next_line(*words: object) -> str:
    """Return the line that names the next command, continued like a shell's where it is long."""
    lines = ["next:  streamsparse"]
    for word in map(str, words):
        quoted = shlex.quote(word)
        if word.startswith("--") and len(lines[-1]) + len(quoted) + _VALUE_WIDTH > _WIDTH:
            lines[-1] += " \\"
            lines.append(f"         {quoted}")
        else:
            lines[-1] += f" {quoted}"
    return "\n".join(lines)
