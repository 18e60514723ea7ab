"""Eigenvalues of Y Y^T beside those of G."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamsparse.api.arguments import check_matrix
from streamsparse.arrays import Array
from streamsparse.dense.linalg import eigenvalues
from streamsparse.errors import NonFiniteError, ParameterError
from streamsparse.plot.drawing import BLUE, ORANGE, axes_or_current, check_gram, count_by_logarithm
from streamsparse.results.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_MARKERS = 32


def spectrum(
    result_or_Y: npt.ArrayLike | Result, G: npt.ArrayLike | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the eigenvalues of Y Y^T, and of G = X X^T where it is given, in falling order.

    Parameters
    ----------
    result_or_Y : a :class:`Result`, or Y, shape (n, m).
    G : X X^T, shape (n, n).
    ax : where to draw; None takes the current axes.

    Returns
    -------
    ax

    Raises
    ------
    ParameterError : for other shapes, a G that is not symmetric, and a matrix of zeros, which has
        no eigenvalue to draw.
    NonFiniteError : for NaN or infinity, and where squares overflow.

    Notes
    -----
    No pass over X; O(n m min(n, m)) flops, O(n^3) with G. Both axes are logarithmic. Eigenvalues
    below rounding, max(n, m) eps times the largest, are left out: they are noise of either sign.
    """
    Y = check_matrix("Y", result_or_Y)
    with np.errstate(over="ignore", invalid="ignore"):
        smaller = Y.T @ Y if Y.shape[1] < Y.shape[0] else Y @ Y.T
    spectra = [("eigenvalues of Y Y^T", _of_gram(smaller))]
    if G is not None:
        spectra.insert(0, ("eigenvalues of G = X X^T", _of_gram(check_gram(G, Y.shape[0]))))
    if any(values.size == 0 for _, values in spectra):
        raise ParameterError("a matrix of zeros has no eigenvalue that a logarithm can show")
    ax = axes_or_current(ax)
    styles: list[dict[str, Any]] = [
        {"marker": "s", "markersize": 7, "linewidth": 3, "color": ORANGE, "alpha": 0.6},
        {"marker": "o", "markersize": 4, "linewidth": 1, "color": BLUE, "linestyle": "--"},
    ]
    for (label, values), style in zip(spectra, styles[-len(spectra) :], strict=True):
        # Markers as far apart as a logarithm shows them.
        marked = np.unique(np.geomspace(1, values.size, _MARKERS).round().astype(int) - 1)
        indices = np.arange(1, values.size + 1)
        ax.plot(indices, values, label=label, markevery=marked.tolist(), **style)
    count_by_logarithm(ax, [1, max(values.size for _, values in spectra)])
    ax.set_yscale("log")
    ax.set(xlabel="index, largest first", ylabel="eigenvalue (squared unit of X)")
    ax.legend()
    return ax


def _of_gram(M: Array) -> Array:
    """Return the eigenvalues above rounding, descending; M is lost."""
    if not np.isfinite(M).all():
        raise NonFiniteError("the squares of Y overflow float64; scale it down")
    size, found = M.shape[0], eigenvalues(M)[::-1]
    kept: Array = found[found > size * np.finfo(np.float64).eps * found[0]]
    return kept
