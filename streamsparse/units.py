"""Text for people: bytes, counts and durations, both ways; lines that fit a terminal."""

import re
import textwrap

from streamsparse.errors import ParameterError

_PREFIXES = ["", "k", "m", "g", "t", "p", "e"]
_SIZE = re.compile(r"(\d+\.?\d*(?:e\d+)?|\.\d+(?:e\d+)?) *(?:([kmgtpe]?)(i?)b?)", re.IGNORECASE)
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_LINE_WIDTH = 80


def format_bytes(count: float) -> str:
    """Return ``count`` bytes as text with a binary unit, such as ``1.50 GiB``."""
    value, unit = float(count), _BINARY_UNITS[0]
    for unit in _BINARY_UNITS:
        if abs(value) < 1024 or unit == _BINARY_UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.2f} {unit}"


def parse_memory(memory: int | str) -> int:
    """Return a number of bytes given as an integer or as text with a unit, such as ``"1 GiB"``.

    Raises
    ------
    ParameterError : if the text has no meaning or the number is not positive.
    """
    try:
        count = _read_size(memory) if isinstance(memory, str) else int(memory)
    except (ValueError, TypeError, OverflowError) as error:
        raise _meaningless(memory) from error
    if count <= 0:
        raise ParameterError(f"memory must be positive, not {memory!r}")
    return int(count)


def _read_size(text: str) -> int:
    """Return the bytes that text such as "1.5 GiB", "2e9" or "512MB" names; units as dask's."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    number, prefix, binary = found.groups()
    step = 1024 if binary else 1000
    return int(float(number) * step ** _PREFIXES.index(prefix.lower()))


def _meaningless(memory: object) -> ParameterError:
    return ParameterError(
        f"memory must be bytes or text with a unit such as '1 GiB', not {memory!r}"
    )


def format_seconds(seconds: float) -> str:
    """Return a duration as text with two significant units, such as ``2 min 05 s``."""
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def printable(text: str) -> str:
    """Return the text with everything that no terminal or page can show as a backslash escape.

    Newlines stay. File names may hold control characters, and bytes that are no characters at all.
    """
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def fold(line: str, *, indent: int) -> str:
    """Return one line as lines of at most 80 characters, those that continue it indented.

    Broken at spaces; a word that is longer than a line is cut.
    """
    return textwrap.fill(
        printable(line), _LINE_WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False
    )
