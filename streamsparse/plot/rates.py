"""How fast a run went, over its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamsparse.errors import ParameterError
from streamsparse.plot.drawing import BLUE, GREY, axes_or_current, check_result
from streamsparse.units import format_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from streamsparse.results.result import Result

_BINS = 64


def throughput(result: Result, ax: Axes | None = None) -> Axes:
    """Draw how many bytes of X per second a run has summed, over its time.

    Parameters
    ----------
    result : of a run of one process or cluster.
    ax : where to draw; None takes the current axes.

    Returns
    -------
    ax

    Raises
    ------
    ParameterError : for a result without a timeline.

    Notes
    -----
    No pass over X. Bytes are those of values and indices as they are summed, decoded; GB are 1e9.
    The time is in 64 equal steps; bytes that arrive at once count for all of the time since the
    ones before. After the passes nothing is read: eigenvalues are computed, Y is made and measured.
    What an earlier run had done before this one went on from there takes no time and is not shown.
    """
    timeline = check_result(result).timeline
    if len(timeline) < 2 or timeline[-1][1] == 0:
        raise ParameterError(
            "this result has no timeline: sparsify records one, merge and compute=False do not, "
            "and a resumed run has none of what was done before"
        )
    seconds, done = np.array(timeline, np.float64).T
    edges = np.linspace(0, seconds[-1], _BINS + 1)
    rates = np.diff(np.interp(edges, seconds, done)) / np.diff(edges) / 1e9
    mean = done[-1] / seconds[-1] / 1e9
    ax = axes_or_current(ax)
    from matplotlib.ticker import EngFormatter  # noqa: PLC0415 - an extra

    amount = EngFormatter(unit="B", places=2)(done[-1])
    label = f"in steps of {format_seconds(edges[1])}"
    ax.stairs(rates, edges, color=BLUE, linewidth=1.5, label=label)
    ax.axhline(
        mean,
        color=GREY,
        linestyle="--",
        label=f"mean {mean:.3g} GB/s: {amount} in {format_seconds(seconds[-1])}",
    )
    ax.set_ylim(bottom=0)
    ax.set(xlabel="time since the passes began (s)", ylabel="X summed (GB/s)")
    ax.legend()
    return ax
