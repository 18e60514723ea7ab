"""Y as xarray has it; xarray is imported when somebody asks for that."""

from __future__ import annotations

from typing import Any

from streamsparse.arrays import Array
from streamsparse.errors import ParameterError


def as_data_array(Y: Array, row_names: Array | None) -> Any:
    """Return a DataArray (n, m) that shares the memory of Y.

    Raises
    ------
    ParameterError : if xarray is not installed.
    """
    try:
        import xarray  # noqa: PLC0415 - not needed for anything else
    except ImportError as error:
        raise ParameterError("to_xarray needs xarray: pip install xarray") from error
    coordinates = {} if row_names is None else {"row": row_names}
    return xarray.DataArray(Y, dims=("row", "component"), coords=coordinates, name="Y")
