"""Lazy arrays of dask arrays: pieces of ``sparsify`` that compose with the user's own graph.

>>> import dask.array as da, streamsparse as ss
>>> x = da.random.default_rng(0).standard_normal((100, 50_000), chunks=(50, 10_000))
>>> Y = ss.dask.sketch(x, m=256)  # nothing is computed
>>> Y.shape, Y.chunks
((100, 256), ((50, 50), (256,)))
>>> bool((Y.compute() == ss.sparsify(x, "sketch", m=256).Y).all())
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamsparse.api.arguments import check_feature_axis, check_policies, check_s, check_seed

if TYPE_CHECKING:
    import dask.array as da


def sketch(
    x: Any, m: int, *, s: int = 8, seed: int = 0, feature_axis: int = 1, nonfinite: str = "error"
) -> da.Array:
    """Return Y = X S^T as a lazy dask array: what ``sparsify(x, "sketch", m=m).Y`` is.

    Parameters
    ----------
    x : dask array, (n, d) or its transpose; chunks are NumPy arrays or scipy.sparse ones (csr or
        csc, matrix or array), of any known sizes.
    m : columns of Y, 1 .. d.
    s, seed, feature_axis, nonfinite : as for :func:`streamsparse.sparsify`.

    Returns
    -------
    dask array (n, m) of float64, with the chunks of x along the rows.

    Raises
    ------
    ParameterError : if a parameter is out of range.
    UnsupportedInputError : for other objects, unknown chunk sizes, other dtypes.
    NonFiniteError : while it is computed, where x holds NaN or infinity.

    Notes
    -----
    Passes: none now; one when it is computed, every chunk used once for each span of columns that
    it lies in. Memory of a task: two partial sums of a chunk of rows, rows x (m + s 63) float64
    each, and 32 MiB of chunks or one chunk. No certificate: see ``sparsify(x, compute=False)``.
    Guarantee: the same bits for any chunks, scheduler and number of workers.
    """
    from streamsparse.api.lazy_arrays import lazy_sketch  # noqa: PLC0415 - dask takes a while

    check_policies(missing="error", nonfinite=nonfinite)
    return lazy_sketch(
        x,
        m=m,
        s=check_s(s),
        seed=check_seed(seed),
        feature_axis=check_feature_axis(feature_axis),
        zero_nonfinite=nonfinite == "zero",
    )


def gram(x: Any, *, feature_axis: int = 1, nonfinite: str = "error") -> da.Array:
    """Return G = X X^T as a lazy dask array, summed in float64.

    Parameters
    ----------
    x : as for :func:`sketch`.
    feature_axis, nonfinite : as for :func:`streamsparse.sparsify`.

    Returns
    -------
    dask array (n, n) of float64 in one chunk.

    Raises
    ------
    ParameterError, UnsupportedInputError, NonFiniteError : as for :func:`sketch`.

    Notes
    -----
    Passes: none now; one when it is computed. Memory of a task: two partial sums of n^2 float64,
    and 32 MiB of chunks or one column of chunks. Exact up to rounding: float32 products are off by
    at most 1.5e-5 ||x_i|| ||x_j||, sums of integers below 2^53 by nothing. Guarantee: the same
    bits for any chunks, scheduler and number of workers.
    """
    from streamsparse.api.lazy_arrays import lazy_gram  # noqa: PLC0415 - dask takes a while

    check_policies(missing="error", nonfinite=nonfinite)
    return lazy_gram(
        x,
        feature_axis=check_feature_axis(feature_axis),
        zero_nonfinite=nonfinite == "zero",
    )
