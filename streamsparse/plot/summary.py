"""A certificate as a picture: every measured error with its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamsparse.dense.certificate import Certificate
from streamsparse.dense.statement import Finding, findings, verdict
from streamsparse.errors import ParameterError
from streamsparse.plot.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILION,
    axes_or_current,
    check_result,
    scale_by_logarithm,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from streamsparse.results.result import Result

_KINDS: dict[str, dict[str, Any]] = {
    "exact": {"marker": "o", "color": BLUE, "label": "exact"},
    "bound": {"marker": "<", "color": ORANGE, "label": "bound: at most this"},
    "estimate": {"marker": "D", "color": GREEN, "markerfacecolor": "none", "label": "estimate"},
}


def certificate(result_or_certificate: Result | Certificate, ax: Axes | None = None) -> Axes:
    """Draw every measured error on one logarithmic axis, with its kind and what Y = 0 would have.

    Parameters
    ----------
    result_or_certificate : a :class:`Result` or its certificate.
    ax : where to draw; None takes the current axes. Names and numbers stand to the left of it: a
        figure with layout="constrained" has room for them.

    Returns
    -------
    ax

    Raises
    ------
    ParameterError : where nothing was measured.

    Notes
    -----
    No pass over X. The error of Y = 0 is drawn where it is known: that of attention as measured,
    1 for spectral errors and for the largest entry of all rows. The line of epsilon crosses only
    the errors that it is about.
    """
    c = result_or_certificate
    if not isinstance(c, Certificate):
        c = check_result(c).certificate
    found = [finding for finding in findings(c) if finding.measure is not None]
    if not found:
        raise ParameterError("nothing was measured of this Y: check it with certify")
    measures = [finding.measure for finding in found if finding.measure is not None]
    ax = axes_or_current(ax)
    for kind, style in _KINDS.items():
        rows = [row for row, measure in enumerate(measures) if measure.kind == kind]
        if rows:
            values = [measures[row].value for row in rows]
            ax.plot(values, rows, linestyle="none", markersize=8, zorder=3, **style)
    known = [(zero, row) for row, zero in enumerate(_of_nothing(c, found)) if zero is not None]
    if known:
        ax.plot(*zip(*known, strict=True), "x", color=GREY, markersize=8, mew=2, label="Y = 0")
    _mark_epsilon(ax, c, found)
    drawn = [measure.value for measure in measures] + [value for value, _ in known]
    scale_by_logarithm(ax, "x", drawn)
    labels = [f"{finding.name}\n{' '.join(str(finding).split())}" for finding in found]
    ax.set_yticks(range(len(found)), labels, fontsize="small")
    # Room for the legend below the last line: nowhere else is it sure to hide nothing.
    ax.set_ylim(len(found) + len(found) / 6, -0.5)
    ax.grid(axis="y", linewidth=0.5, alpha=0.5)
    asked = "" if c.epsilon is None else f"\n{verdict(c).text}"
    ax.set(xlabel="error (relative, no unit)", title=f"Y {c.n:,} x {c.m:,} by {c.method}{asked}")
    ax.legend(loc="lower center", ncols=3, fontsize="small")
    return ax


def _of_nothing(c: Certificate, found: list[Finding]) -> list[float | None]:
    """Return the error that Y = 0 is known to have beside each: E = -G, and r = max |G_ij|."""
    uniform = c.errors.uniform
    zeros: dict[str, float | None] = {
        "attention": None if uniform is None else uniform.value,
        "spectral": 1.0 if c.r > 0 else None,
    }
    largest = 1.0 if c.r > 0 and c.queries is None else None
    # Of the entries the largest is r: one of all rows, or of those that were looked at if all were.
    covered = [c.errors.all_rows_entry, c.errors.entry if c.checked_rows == c.n else None]
    return [
        largest if any(finding.measure is m for m in covered) else zeros.get(finding.target)
        for finding in found
    ]


def _mark_epsilon(ax: Axes, c: Certificate, found: list[Finding]) -> None:
    """Draw epsilon across the errors of the target."""
    rows = [row for row, finding in enumerate(found) if finding.target == c.target]
    if c.epsilon is not None and rows:
        ax.plot(
            [c.epsilon, c.epsilon],
            [rows[0] - 0.5, rows[-1] + 0.5],
            color=VERMILION,
            linestyle="--",
            label=f"epsilon = {c.epsilon:g}",
        )
