"""Arrays with names of dimensions and coordinates, as xarray has them; it is never imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.errors import UnsupportedInputError
from streamsparse.sources.axes import resolve_axis
from streamsparse.sources.base import check_shape
from streamsparse.sources.labels import as_labels

_NAME = "DataArray"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A DataArray taken apart.

    Attributes
    ----------
    data : the ndarray or dask array in it.
    feature_axis : 0 or 1.
    rows, columns : the coordinates of the rows and columns of X; None where there are none.
    """

    data: Any
    feature_axis: int
    rows: Array | None
    columns: Array | None


def is_labelled(obj: Any) -> bool:
    """Return whether ``obj`` is like an ``xarray.DataArray``."""
    # Looked for in the type: asking the object for its data may read all of it.
    return all(hasattr(type(obj), name) for name in ("dims", "coords", "data", "variable"))


def take_apart(obj: Any, *, feature_axis: int | str) -> Labelled:
    """Return the data of a DataArray with its coordinates; nothing is read.

    Raises
    ------
    ParameterError : for a dimension that it does not have.
    UnsupportedInputError : for other than two dimensions, and for data that is neither in memory
        nor a dask array.
    """
    check_shape(obj.shape, _NAME)
    dimensions = [str(dimension) for dimension in obj.dims]
    axis = resolve_axis(feature_axis, dimensions, name=_NAME)
    # Asking for values that lie in a file would read all of them.
    if not getattr(obj.variable, "_in_memory", True) and obj.chunks is None:
        raise UnsupportedInputError(
            f"the values of the {_NAME} lie in a file of which nothing was read yet: open it with "
            f"chunks={{}}, which makes it a dask array, or give the path of the array in the store"
        )
    data = obj.data
    if not isinstance(data, np.ndarray) and not hasattr(data, "dask"):
        raise UnsupportedInputError(
            f"the {_NAME} holds a {type(data).__name__}; give one of a NumPy or a dask array"
        )
    rows, columns = (_coordinate(obj, obj.dims[k]) for k in (1 - axis, axis))
    return Labelled(data, axis, rows, columns)


def _coordinate(obj: Any, dimension: Any) -> Array | None:
    return as_labels(obj.coords[dimension].values) if dimension in obj.coords else None
