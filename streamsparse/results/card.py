"""A result at a glance, in lines and as a card for notebooks; nothing is read or computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streamsparse.dense.statement import certificate_tables, headline
from streamsparse.html import Markup, card, details, element, listing
from streamsparse.methods.portions import described
from streamsparse.methods.products import is_sparse
from streamsparse.results.saved import folder_of
from streamsparse.units import fold, format_bytes

if TYPE_CHECKING:
    from streamsparse.results.result import Result


def describe(result: Result) -> Iterator[str]:
    """Yield lines of at most 80 characters: what was made, how good it is, and how to go on."""
    of = f" of {result.plan.queries:,} queries and their keys" if result.is_pair else ""
    yield f"Result{of}"
    yield from outcome(result)
    yield fold(f"  {_next_steps(result)}", indent=4)


def outcome(result: Result) -> Iterator[str]:
    """Yield what was measured, how columns were selected, and which there are if not all."""
    yield str(result.certificate)
    if result.selection is not None:
        yield str(result.selection)
    for sentence in _parts(result):
        yield fold(f"  {sentence}", indent=4)


def result_title(result: Result) -> str:
    """Return what became what."""
    of = f"{result.plan.queries:,} queries and their keys: " if result.is_pair else ""
    return f"{of}{headline(result.certificate)}"


def result_body(result: Result) -> tuple[Markup, ...]:
    """Return verdict, errors, the run and the selection, as HTML."""
    chosen = () if result.selection is None else result.selection.sentences()
    return (*certificate_tables(result.certificate), listing([*chosen, *_parts(result)]))


def result_card(result: Result) -> str:
    """Return the card that notebooks show, the plan folded away."""
    plan = details("The plan", result.plan.to_html())
    steps = element("p", _next_steps(result))
    return card(result_title(result), *result_body(result), steps, plan)


def _parts(result: Result) -> list[str]:
    """Return which columns of X it is made of, where some are not there."""
    if result.is_whole:
        return []
    return [f"of columns {described(columns)} of X" for columns in result.intervals]


def _next_steps(result: Result) -> str:
    """Return where Y is, and the methods that lead on from here."""
    folder = folder_of(result.Y)
    steps = {
        ".transform(X_new)": result.map is not None or result.columns is not None,
        ".save(path)": folder is None,
        ".report(path)": True,
    }
    n, m = result.Y.shape
    kind = "sparse" if is_sparse(result.Y) else format_bytes(8 * n * m)
    where = "in memory" if folder is None else f"on disk at {folder}"
    return f"Y {where}, {kind}; next: {', '.join(step for step in steps if steps[step])}"
