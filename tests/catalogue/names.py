"""Names of axes that do not fit, and arrays with names that hold no matrix that we read."""

from importlib.util import find_spec

import dask.array
import numpy as np

import streamsparse as ss
from catalogue.common import Bad, given, group, metadata

PARAMETER, UNSUPPORTED = ss.ParameterError, ss.UnsupportedInputError
BY_NAME = given(feature_axis="gene")
ONES = np.ones((6, 12))


def labelled(values, *dims):
    """A maker of a DataArray."""

    def make(_):
        import xarray

        return xarray.DataArray(values, dims=dims)

    return make


def dataset(_):
    import xarray

    return xarray.Dataset({"data": (("cell", "gene"), ONES)})


def not_read_yet(tmp_path):
    import xarray

    stored = labelled(ONES, "cell", "gene")(tmp_path).to_dataset(name="X")
    stored.to_zarr(tmp_path / "x.zarr", consolidated=False)
    return xarray.open_zarr(tmp_path / "x.zarr", consolidated=False, chunks=None)["X"]


OF_XARRAY = {
    "a DataArray without that dimension": Bad(
        labelled(ONES, "cell", "site"), PARAMETER, r"\('cell', 'site'\), not 'gene'", BY_NAME
    ),
    "a DataArray of 3 dimensions": Bad(
        labelled(np.ones((2, 2, 2)), "a", "b", "gene"), UNSUPPORTED, "3 dimensions", BY_NAME
    ),
    "a DataArray of text": Bad(
        labelled(np.array([["a", "b"]]), "cell", "gene"), UNSUPPORTED, "has dtype .*; X must be"
    ),
    "a DataArray of which nothing was read": Bad(not_read_yet, UNSUPPORTED, "path of the array"),
    "a Dataset": Bad(dataset, UNSUPPORTED, "cannot read a Dataset"),
}

NAMES = {
    "a name, NumPy": Bad(lambda _: ONES, PARAMETER, "ndarray have no names", BY_NAME),
    "a name, dask": Bad(
        lambda _: dask.array.from_array(ONES), PARAMETER, "Array have no names", BY_NAME
    ),
    "a name, group": Bad(group(), PARAMETER, "g.zarr have no names", BY_NAME),
    "a name that no dimension has": Bad(
        metadata(dimension_names=["cell", "site"]),
        PARAMETER,
        r"\('cell', 'site'\), not 'gene'",
        BY_NAME,
    ),
    "a name that two dimensions have": Bad(
        metadata(dimension_names=["gene", "gene"]), PARAMETER, "the name of one dimension", BY_NAME
    ),
    "a name, of dimensions without any": Bad(
        metadata(dimension_names=[None, None]), PARAMETER, "have no names", BY_NAME
    ),
    **(OF_XARRAY if find_spec("xarray") else {}),
}
