"""Attention before and after, and the difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamsparse.api.arguments import check_beta, check_matrix
from streamsparse.api.attention import Mask, check_mask, sides_of
from streamsparse.arrays import Array
from streamsparse.dense.attention import attention_rows
from streamsparse.errors import ParameterError
from streamsparse.plot.drawing import check_gram, pyplot
from streamsparse.results.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Pictures have at most this many cells a side: larger ones are drawn from means of squares.
_MOST_CELLS = 1024
_CHUNK_ROWS = 256
# Weights that are smaller than the largest by more than this look alike.
_RANGE = 1e4


def attention(
    result_or_Y: npt.ArrayLike | Result,
    G: npt.ArrayLike,
    beta: float = 1.0,
    mask: Mask = None,
    axes: Sequence[Axes] | npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """Draw the attention of X, that of Y, and the difference.

    Parameters
    ----------
    result_or_Y : a :class:`Result`, of queries and keys too, or Y, shape (n, m).
    G : X X^T, shape (n, n); of a pair Q K^T, shape (queries, keys).
    beta, mask : as for :func:`streamsparse.attention`.
    axes : three axes to draw on, in a row; None makes a figure.

    Returns
    -------
    axes (3,) : before, after, after - before.

    Raises
    ------
    ParameterError : for other shapes, a G that is not symmetric, another number of axes, or a row
        that may look nowhere.
    NonFiniteError : for NaN or infinity.

    Notes
    -----
    No pass over X; memory: 4 cells per logit of 256 rows. The first two share one logarithmic
    scale, of four decades at most. The third is centred at 0; its colours go by the cube root of a
    change, so that small ones are seen beside large ones. What is exactly 0, as masked cells are,
    is left blank. More than 1,024 rows or keys are drawn as means of squares of cells, whose size
    is in the titles; the L1 distance in the third title is of single rows in any case. In grey the
    third shows how much, not which way.
    """
    queries, keys = sides_of("Y", result_or_Y)
    shape = (queries.shape[0], keys.shape[0])
    is_pair = isinstance(result_or_Y, Result) and result_or_Y.is_pair
    products = check_matrix("Q K^T", G) if is_pair else check_gram(G, shape[0])
    if products.shape != shape:
        raise ParameterError(f"Q K^T must have shape {shape}, not {products.shape}")
    beta = check_beta(beta)
    allowed = check_mask(mask, shape)
    if axes is not None and np.asarray(axes).shape != (3,):
        raise ParameterError(f"axes must be three, in a row, not {np.asarray(axes).shape}")
    side = -(-max(shape) // _MOST_CELLS)
    before, after, largest = _maps(queries, keys, products, beta, allowed, side)
    if axes is None:
        axes = pyplot().subplots(1, 3, figsize=(12, 3.8), layout="compressed")[1]
    of = "" if side == 1 else f"\nmeans of {side} x {side} cells"
    titles = (
        f"attention of X{of}",
        f"attention of Y{of}",
        f"difference, Y - X\nL1 of a row at most {largest:.3g}",
    )
    _draw(np.asarray(axes), (before, after, after - before), titles, shape, side)
    return np.asarray(axes)


def _maps(
    queries: Array, keys: Array, G: Array, beta: float, mask: Array | None, side: int
) -> tuple[Array, Array, float]:
    """Return (before, after, largest L1 distance of a row), maps as means of side x side cells."""
    before, after, largest = [], [], 0.0
    step = side * max(1, _CHUNK_ROWS // side)
    for start in range(0, G.shape[0], step):
        rows = slice(start, start + step)
        mask_rows = None if mask is None else mask[rows]
        P = attention_rows(G[rows], beta=beta, mask_rows=mask_rows)
        P_Y = attention_rows(queries[rows] @ keys.T, beta=beta, mask_rows=mask_rows)
        largest = max(largest, float(np.abs(P_Y - P).sum(axis=1).max()))
        before.append(_means(P, side))
        after.append(_means(P_Y, side))
    return np.concatenate(before), np.concatenate(after), largest


def _means(P: Array, side: int) -> Array:
    """Return the means of squares of cells; those at the lower and right edge may be smaller."""
    for axis in (0, 1):
        starts = np.arange(0, P.shape[axis], side)
        counts = np.diff(starts, append=P.shape[axis])
        sums = np.add.reduceat(P, starts, axis=axis)
        P = sums / (counts[:, None] if axis == 0 else counts)
    return P


def _draw(
    axes: npt.NDArray[Any],
    maps: tuple[Array, Array, Array],
    titles: tuple[str, str, str],
    shape: tuple[int, int],
    side: int,
) -> None:
    from matplotlib.colors import FuncNorm, LogNorm  # noqa: PLC0415 - an extra

    before, after, difference = (np.ma.masked_equal(values, 0) for values in maps)
    highest, lowest = max(before.max(), after.max()), min(before.min(), after.min())
    weights = LogNorm(max(lowest, highest / _RANGE), highest)
    # Where nothing differs the scale still needs two ends.
    most = float(np.abs(maps[2]).max()) or 1.0
    changes = FuncNorm((np.cbrt, lambda root: root**3), -most, most)
    pictures = (
        (before, "cividis", weights),
        (after, "cividis", weights),
        (difference, "PuOr", changes),
    )
    extent = (-0.5, before.shape[1] * side - 0.5, before.shape[0] * side - 0.5, -0.5)
    aspect = "equal" if shape[0] == shape[1] else "auto"
    for ax, (values, colours, norm), title in zip(axes, pictures, titles, strict=True):
        ax.imshow(values, cmap=colours, norm=norm, extent=extent, aspect=aspect)
        ax.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
        ax.set(title=title, xlabel="row looked at, index", ylabel="row that looks, index")
        for axis in (ax.xaxis, ax.yaxis):
            axis.get_major_locator().set_params(integer=True)
    figure = axes[0].figure
    extend = "min" if lowest < weights.vmin else "neither"
    figure.colorbar(
        axes[1].images[0], ax=list(axes[:2]), extend=extend, label="weight (rows sum to 1)"
    )
    figure.colorbar(
        axes[2].images[0],
        ax=axes[2],
        ticks=most * np.array([-1, -0.1, -0.01, 0, 0.01, 0.1, 1]),
        format="%.2g",
        label="change of weight",
    )
