"""What the pictures share: axes, colours that everybody can tell apart, scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from streamsparse.api.arguments import check_matrix
from streamsparse.arrays import Array
from streamsparse.errors import ParameterError, needs_extra
from streamsparse.results.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito: distinct for every kind of colour vision. Grey reads on white and on black.
BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#808080"


def pyplot() -> Any:
    """Return matplotlib's pyplot.

    Raises
    ------
    ImportError : if it is not installed, with how to get it.
    """
    try:
        from matplotlib import pyplot  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError(needs_extra("streamsparse.plot", "matplotlib", "plot")) from error
    return pyplot


def axes_or_current(ax: Axes | None) -> Axes:
    """Return the axes, or the current ones; a figure made for them has room for all labels."""
    if ax is not None:
        if not hasattr(ax, "get_xaxis"):
            raise ParameterError(f"ax must be matplotlib's Axes, not {ax!r}")
        return ax
    plt = pyplot()
    made: Axes = plt.gca() if plt.get_fignums() else plt.subplots(layout="constrained")[1]
    return made


def check_result(result: object) -> Result:
    """Return a result; ParameterError for anything else."""
    if not isinstance(result, Result):
        raise ParameterError(f"this picture is of a Result, not of {type(result).__name__}")
    return result


def check_gram(G: npt.ArrayLike, n: int) -> Array:
    """Return G = X X^T in float64, a copy.

    Raises
    ------
    ParameterError : for another shape than (n, n), and where it is no Gram matrix.
    NonFiniteError : for NaN or infinity.
    """
    products = check_matrix("G", G).copy()
    if products.shape != (n, n):
        raise ParameterError(
            f"G must have shape {(n, n)}, as Y has {n:,} rows, not {products.shape}"
        )
    # Up to the rounding of a product of float32.
    most = 256 * np.finfo(np.float32).eps * np.abs(products).max()
    asymmetry = np.abs(products - products.T).max()
    if asymmetry > most:
        raise ParameterError(f"G must be X X^T: G_ij and G_ji differ by {asymmetry:.3g} somewhere")
    return products


def scale_by_logarithm(ax: Axes, name: Literal["x", "y"], values: npt.ArrayLike) -> None:
    """Give axis "x" or "y" a logarithmic scale, linear near zero where some values are zero."""
    values = np.asarray(values, np.float64)
    positive = values[values > 0]
    set_scale = ax.set_xscale if name == "x" else ax.set_yscale
    if positive.size == values.size:
        set_scale("log")
    elif positive.size:
        # A decade below the smallest, and wide enough that zero stands apart from it.
        decades = 1 + np.log10(positive.max() / positive.min())
        set_scale("symlog", linthresh=positive.min() / 10, linscale=max(1.0, decades / 6))
        ax.locator_params(name, numticks=6)


def count_by_logarithm(ax: Axes, values: npt.ArrayLike) -> None:
    """Give the x axis a logarithmic scale of counts, written out."""
    values = np.asarray(values)
    ax.set_xscale("log", base=2)
    # At least one power of two is in sight, even of a single value.
    ax.set_xlim(values.min() / 1.5, values.max() * 1.5)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
