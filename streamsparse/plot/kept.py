"""Which columns of X were kept, along the feature axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamsparse.arrays import Array
from streamsparse.errors import ParameterError
from streamsparse.plot.drawing import BLUE, VERMILION, axes_or_current, check_result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from streamsparse.results.result import Result

_MOST_NAMES = 5
_SAMPLED = "1 / weight, at most 1\n(proportional to leverage)"
# A wider range of heights than this is read off a logarithm.
_WIDE = 100.0


def columns(result: Result, ax: Axes | None = None) -> Axes:
    """Draw the columns that were kept along the feature axis, a "Manhattan plot".

    Parameters
    ----------
    result : of method "sample" or "select".
    ax : where to draw; None takes the current axes.

    Returns
    -------
    ax

    Raises
    ------
    ParameterError : for a result that keeps no columns of X.

    Notes
    -----
    No pass over X. Of "sample" the height is 1 / weight, the probability with which the column was
    kept: proportional to its leverage score (ridge leverage for the regularised target), up to 1.
    Of "select" it is the weight itself. It is logarithmic where it spans more than a factor of
    100. The strongest few are named where the source has names.
    """
    check_result(result)
    if result.columns is None or result.weights is None:
        raise ParameterError(
            f"method {result.certificate.method!r} keeps no columns of X: reduce with "
            f'method="sample" or "select"'
        )
    is_sample = result.certificate.method == "sample"
    heights = 1 / result.weights if is_sample else result.weights
    ax = axes_or_current(ax)
    from matplotlib.ticker import EngFormatter  # noqa: PLC0415 - an extra

    ax.plot(
        result.columns,
        heights,
        linestyle="none",
        marker="o",
        markersize=4 if heights.size <= 2000 else 1.5,
        color=BLUE,
        alpha=0.8,
        markeredgewidth=0,
        rasterized=heights.size > 10_000,
    )
    if heights.max() > _WIDE * heights.min():
        ax.set_yscale("log")
        ax.margins(y=0.1)
    else:
        ax.set_ylim(0, 1.1 * float(heights.max()))
    ax.set_xlim(-0.02 * result.certificate.d, 1.02 * result.certificate.d)
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set(
        xlabel="column of X, index along the feature axis",
        ylabel=_SAMPLED if is_sample else "weight (no unit)",
    )
    if result.column_names is not None:
        _name_strongest(ax, result.columns, heights, result.column_names)
    return ax


def _name_strongest(ax: Axes, indices: Array, heights: Array, names: tuple[str, ...]) -> None:
    """Write numbers over the strongest columns, from 1 down, and their names above the axes."""
    from matplotlib.transforms import ScaledTranslation  # noqa: PLC0415 - an extra

    # Seven points up.
    above = ax.transData + ScaledTranslation(0, 7 / 72, ax.figure.dpi_scale_trans)
    for place, k in enumerate(np.argsort(-heights, kind="stable")[:_MOST_NAMES].tolist(), 1):
        ax.plot(
            [indices[k]],
            [heights[k]],
            linestyle="none",
            marker=f"${place}$",
            markersize=6,
            color=VERMILION,
            transform=above,
            label=names[k],
        )
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize="small", frameon=False)
