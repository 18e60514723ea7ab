"""Checks of parameters: one function per kind, one wording per kind, before any read."""

import math
from numbers import Integral, Real
from pathlib import Path

from streamsparse.errors import ParameterError

MAX_SEED = 2**64 - 1
# Words that parameters of the public functions may be.
METHODS = ("auto", "sketch", "sample", "select", "exact")
ALGORITHMS = ("auto", "bss", "balance")
TARGETS = ("attention", "entries", "spectral", "regularised")
IMPUTATIONS = ("mean", "zero")
POLICIES = {"missing": ("error", "fill"), "nonfinite": ("error", "zero")}


def check_count(name: str, value: object, *, low: int, high: int | None = None) -> int:
    """Return ``value`` as an int in [low, high]; ``high`` None means no upper end.

    Raises
    ------
    ParameterError : if it is not an integer or lies outside.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ParameterError(f"{name} must be an integer, not {value!r}")
    count = int(value)
    if count < low or (high is not None and count > high):
        limit = f"at least {low:,}" if high is None else f"between {low:,} and {high:,}"
        raise ParameterError(f"{name} must be {limit}, not {count:,}")
    return count


def as_float(value: object) -> float | None:
    """Return a real number as a float, infinity where it is too large; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def check_open_interval(name: str, value: object, *, low: float, high: float) -> float:
    """Return ``value`` as a float in the open interval (low, high).

    Raises
    ------
    ParameterError : if it is not a real number or lies outside.
    """
    number = as_float(value)
    if number is None:
        raise ParameterError(f"{name} must be a number in ({low:g}, {high:g}), not {value!r}")
    if not low < number < high:
        raise ParameterError(f"{name} must lie in ({low:g}, {high:g}), not {number:g}")
    return number


def check_flag(name: str, value: object) -> bool:
    """Return a bool.

    Raises
    ------
    ParameterError : for anything else, which is a mistake.
    """
    if not isinstance(value, bool):
        raise ParameterError(f"{name} must be True or False, not {value!r}")
    return value


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises
    ------
    ParameterError : naming the choices.
    """
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ParameterError(f"{name} must be one of {listed}, not {value!r}")
    return str(value)


def check_path(name: str, path: object) -> Path:
    """Return an absolute path, which stays what it is whatever becomes of the working directory.

    Raises
    ------
    ParameterError : if it is none.
    """
    if not isinstance(path, str | Path) or "\0" in str(path):
        raise ParameterError(f"{name} must be a path, not {path!r}")
    if "://" in str(path):
        raise ParameterError(f"{name} must be a path on this machine, not the URL {path}")
    return Path(path).absolute()
