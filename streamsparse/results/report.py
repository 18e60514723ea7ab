"""The report of a result: one page that needs nothing else, the same for the same result."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.linalg import eigenvalues, product_with_transpose
from streamsparse.html import Markup, details, element, page, table
from streamsparse.methods.base import CurvePoint
from streamsparse.methods.products import dense_rows
from streamsparse.results.again import command_line, python_call
from streamsparse.results.card import result_body, result_title
from streamsparse.results.figures import Series, log_chart
from streamsparse.results.saved import folder_of
from streamsparse.running.threads import one_blas_thread
from streamsparse.version import __version__

if TYPE_CHECKING:
    from streamsparse.results.result import Result

# Y of at most so many cells is read, and so long a shorter side is diagonalised: about a second.
_MOST_CELLS = 1 << 23
_MOST_EIGENVALUES = 1024
_MOST_COLUMNS = 20
# In the middle between light and dark, so that they are seen on either; told apart without colour.
_BLUE, _ORANGE, _GREEN, _GREY = "#2e86c1", "#d9730d", "#2a9d5c", "#808080"
_WAYS = {
    "fold": ("narrower sketches", _BLUE, "circle"),
    "truncation": ("leading eigenvectors", _ORANGE, "square"),
    "columns": ("fewer columns", _BLUE, "diamond"),
}


def report_page(result: Result) -> str:
    """Return the page.

    Notes
    -----
    Reads Y, and diagonalises Y Y^T, where Y has at most 2^23 cells (64 MiB); the spectrum is left
    out where the shorter side of Y is above 1,024.
    """
    Y = None
    n, m = result.Y.shape
    if n * m <= _MOST_CELLS:
        Y = dense_rows(result.Y)
    parts = [*_section("Result", *result_body(result)), *_section("Plan", result.plan.to_html())]
    if result.curve:
        parts += _section("Error against columns", *_curve(result))
    parts += _section("Spectrum of Y Yᵀ", _spectrum(Y, min(n, m)))
    if result.columns is not None:
        parts += _section("Columns of X in Y", *_columns(result, Y))
    parts += _section("Load it", *_loading(result))
    parts += _section("Make it again", *_again(result))
    return page(result_title(result), *parts, element("p", _versions()))


def _section(title: str, *content: Markup) -> list[Markup]:
    return [element("section", element("h2", title), *content)]


def _curve(result: Result) -> Iterator[Markup]:
    target, epsilon = result.plan.target, result.plan.epsilon
    series = [
        Series(label, _points(result.curve, way), colour, mark)
        for way, (label, colour, mark) in _WAYS.items()
    ]
    zero = [(float(p.m), p.zero_error) for p in result.curve if p.zero_error is not None]
    series.append(Series("Y = 0", zero, _GREY, "", dash="2 4"))
    m = result.certificate.m
    here = [(float(p.m), p.known_error) for p in result.curve if p.m == m]
    series.append(Series("this Y", [min(here)] if here else [], _GREEN, "ring"))
    yield log_chart(
        f"{target} error against the columns m of Y",
        labels=("columns m", f"{target} error"),
        series=series,
        level=None if epsilon is None else (f"epsilon = {epsilon:g}", epsilon),
    )
    rows = [
        (
            f"{p.m:,}",
            _WAYS[p.way][0],
            _number(p.error),
            _number(p.zero_error),
            "yes" if p.meets else "no",
        )
        for p in result.curve
    ]
    head = ("columns m", "made of", "error", "Y = 0", "meets epsilon")
    yield details("The numbers", table("Candidates, as certified", head, rows))


def _points(curve: tuple[CurvePoint, ...], way: str) -> list[tuple[float, float]]:
    return [(float(p.m), p.error) for p in curve if p.way == way and p.error is not None]


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"


def _spectrum(Y: Array | None, side: int) -> Markup:
    if Y is None or side > _MOST_EIGENVALUES:
        return element(
            "p",
            f"Not computed: Y has more than {_MOST_CELLS:,} cells, or its shorter side is above "
            f"{_MOST_EIGENVALUES:,}.",
        )
    values = _relative_spectrum(Y)
    points = [(float(k), float(value)) for k, value in enumerate(values, start=1)]
    return log_chart(
        "Eigenvalues of Y Yᵀ, relative to the largest",
        labels=("number", "eigenvalue / largest"),
        series=[Series("eigenvalues", points, _BLUE, "circle" if len(points) <= 64 else "")],
    )


def _relative_spectrum(Y: Array) -> Array:
    """Return the eigenvalues of Y Y^T over the largest, descending, those above rounding."""
    largest = np.abs(Y).max()
    if largest == 0:
        return np.empty(0)
    # Squares of very small or large values would leave the range of float64.
    scaled = Y / largest
    shorter = scaled if Y.shape[0] <= Y.shape[1] else scaled.T
    with one_blas_thread():
        values = eigenvalues(product_with_transpose(shorter))[::-1]
    rounding = max(Y.shape) * np.finfo(np.float64).eps
    return np.asarray(values[values > rounding * values[0]] / values[0])


def _columns(result: Result, Y: Array | None) -> Iterator[Markup]:
    columns, weights, names = result.columns, result.weights, result.column_names
    assert columns is not None
    assert weights is not None
    shares = None if Y is None else _shares(Y)
    order, sentence = _strongest(result, shares)
    head = ["column of X", *(["name"] if names else []), "weight"]
    head += [] if shares is None else ["share of the trace"]
    rows: list[list[str]] = []
    for k in order:
        row = [f"{int(columns[k]):,}", *([names[k]] if names else []), f"{weights[k]:.4g}"]
        rows.append(row if shares is None else [*row, f"{shares[k]:.2%}"])
    yield element("p", sentence)
    yield table(f"{len(rows):,} of {columns.size:,} columns", head, rows)


def _shares(Y: Array) -> Array:
    """Return which share of tr(Y Y^T) each column is; zeros of Y = 0."""
    squares = np.square(Y / (np.abs(Y).max() or 1.0)).sum(axis=0)
    return np.asarray(squares / (squares.sum() or 1.0))


def _strongest(result: Result, shares: Array | None) -> tuple[list[int], str]:
    """Return which columns to show, and a sentence that says why those."""
    if result.selection is not None and result.selection.algorithm != "bss":
        order, sentence = range(result.certificate.m), "The strongest first, as they were chosen."
    elif shares is None:
        order, sentence = range(result.certificate.m), "The first ones, in the order of the result."
    else:
        order = np.argsort(-shares, kind="stable").tolist()
        sentence = "Those with the largest share of the trace of Y Yᵀ first."
    return list(order[:_MOST_COLUMNS]), sentence


def _loading(result: Result) -> Iterator[Markup]:
    folder = folder_of(result.Y)
    if folder is None:
        yield element("p", "This result was in memory when the report was written: save it first.")
    path = repr("Y.zarr" if folder is None else str(folder))
    save = f"result.save({path})\n" if folder is None else ""
    load = f"import streamsparse as ss\n\n{save}result = ss.load({path})"
    yield _code(load)


def _again(result: Result) -> Iterator[Markup]:
    if result.has_changed:
        yield element(
            "p",
            "Columns were appended to this result or removed from it; no single call makes it. The "
            "last one: " + result.plan.why + ".",
        )
        return
    yield _code(python_call(result.plan))
    command = command_line(result.plan)
    if command is not None:
        yield _code(command)
    yield element(
        "p",
        "A result does not keep start, missing, nonfinite and out: add those that were given. The "
        "same bits are promised on one version and kind of processor.",
    )


def _code(text: str) -> Markup:
    return element("pre", element("code", text))


def _versions() -> str:
    return (
        f"Written by streamsparse {__version__}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}."
    )
