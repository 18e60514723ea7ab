"""The error of every candidate against its number of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamsparse.errors import ParameterError
from streamsparse.methods.base import CurvePoint
from streamsparse.methods.choose import smallest
from streamsparse.methods.measuring import certified_error
from streamsparse.plot.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILION,
    axes_or_current,
    check_result,
    count_by_logarithm,
    scale_by_logarithm,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from streamsparse.results.result import Result

_WAYS: dict[str, dict[str, Any]] = {
    "fold": {"label": "folds of the sketch", "marker": "o", "linestyle": "-", "color": BLUE},
    "truncation": {"label": "truncations", "marker": "s", "linestyle": "--", "color": ORANGE},
    "columns": {"label": "columns of X", "marker": "^", "linestyle": "-.", "color": GREEN},
}
_ERRORS = {
    "attention": "attention error, L1 of a row",
    "entries": "entry error, max |E_ij| / r",
    "spectral": "spectral error, Loewner epsilon",
    "regularised": "regularised error, lambda = r",
}


def error_curve(result: Result, ax: Axes | None = None) -> Axes:
    """Draw the certified error of every candidate against m, and which one was chosen.

    Parameters
    ----------
    result : of a run with ``epsilon`` that had a choice of m.
    ax : where to draw; None takes the current axes.

    Returns
    -------
    ax

    Raises
    ------
    ParameterError : for a result without a curve, or of which no candidate could be certified.

    Notes
    -----
    No pass over X. Candidates that could not be certified are left out. The line of Y = 0 is drawn
    where its error was measured: what lies above it is worth nothing.
    """
    curve = check_result(result).curve
    target, epsilon = result.plan.target, result.plan.epsilon
    if not curve or epsilon is None:
        raise ParameterError(
            'this result has no curve: give epsilon, not m, to method "sketch" or "select" (no '
            'curve of target "spectral" by sketch, of strict, or of algorithm "bss")'
        )
    points = [point for point in curve if point.error is not None]
    if not points:
        raise ParameterError("no candidate of this result could be certified: see its warning")
    ax = axes_or_current(ax)
    for way, style in _WAYS.items():
        of_way = [point for point in points if point.way == way]
        if of_way:
            m, errors = [point.m for point in of_way], [point.known_error for point in of_way]
            ax.plot(m, errors, markersize=4, linewidth=1.2, **style)
    ax.axhline(epsilon, color=GREY, linestyle="--", label=f"epsilon = {epsilon:g}")
    zeros = [point.zero_error for point in points if point.zero_error is not None]
    if zeros:
        ax.axhline(max(zeros), color=GREY, linestyle=":", label="Y = 0")
    _mark(ax, points, result.certificate.m)
    count_by_logarithm(ax, [point.m for point in points])
    scale_by_logarithm(ax, "y", [epsilon, *zeros, *(point.known_error for point in points)])
    measure = certified_error(result.certificate.errors, target)
    share = None if measure is None else measure.share
    whose = "" if share is None else f"\nof {share:.1%} of rows"
    ax.set(xlabel="m, columns of Y", ylabel=f"certified {_ERRORS[target]}{whose}")
    ax.legend()
    return ax


def _mark(ax: Axes, points: list[CurvePoint], m: int) -> None:
    """Ring the candidate that was chosen; a walk of barriers that took over is not among them."""
    of_width = [point for point in points if point.m == m]
    if of_width:
        chosen = smallest(of_width)
        ax.plot(
            [chosen.m],
            [chosen.known_error],
            linestyle="none",
            marker="o",
            markersize=13,
            markerfacecolor="none",
            markeredgecolor=VERMILION,
            markeredgewidth=2,
            label=f"chosen: m = {m:,}, error {chosen.known_error:.4g}",
        )
