"""DataArrays: their data is X, their dimensions name axes, their coordinates name columns."""

import sys
import warnings

import dask.array
import numpy as np
import pytest
import scipy.sparse

import streamsparse as ss
from streamsparse.sources.array import ArraySource
from streamsparse.sources.dask_array import DaskSource

xarray = pytest.importorskip("xarray")

N, D = 5, 12
X = np.arange(N * D, dtype=np.float32).reshape(N, D) % 7
GENES = [f"gene {k}" for k in range(D)]
CELLS = [f"cell {k}" for k in range(N)]


def labelled(values=X, dims=("cell", "gene"), **coords):
    return xarray.DataArray(values, dims=dims, coords=coords, attrs={"filename": "x"})


@pytest.mark.parametrize(
    ("wrap", "kind"), [(np.asarray, ArraySource), (dask.array.from_array, DaskSource)]
)
@pytest.mark.parametrize(("stored", "axis"), [(X, 1), (X.T, 0)])
def test_open_source__takes_the_data_of_a_data_array(stored, axis, wrap, kind):
    dims = ("cell", "gene") if axis == 1 else ("gene", "cell")
    array = labelled(wrap(stored), dims, gene=GENES)
    for feature_axis in ("gene", axis):
        source = ss.open_source(array, feature_axis=feature_axis)
        assert isinstance(source, kind)
        assert source.feature_axis == axis
        np.testing.assert_array_equal(source.read((0, N), (0, D)).view(), X)
        assert source.feature_names(np.array([3, 0])) == ["gene 3", "gene 0"]


def test_open_source__takes_the_second_axis_of_a_data_array_by_default():
    assert ss.open_source(labelled(X.T, ("gene", "cell"))).shape == (D, N)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    "names", [CELLS, np.arange(N) * 10, np.array(["2020-01-01"] * N, "M8[ns]"), np.arange(N) / 3]
)
def test_row_names__go_with_the_result_to_disk_and_back(tmp_path, names, lazy):
    array = labelled(X, cell=names)
    given = array.chunk({"gene": 5}) if lazy else array
    result = ss.sparsify(given, "sketch", m=8, feature_axis="gene", out=tmp_path / "y.zarr")
    for one in (result, ss.load(tmp_path / "y.zarr")):
        np.testing.assert_array_equal(one.row_names, np.asarray(names))
        assert one.row_names.dtype.kind == np.asarray(names).dtype.kind
        shown = one.to_xarray()
        assert shown.dims == ("row", "component")
        np.testing.assert_array_equal(shown, result.Y[:])
        np.testing.assert_array_equal(shown.coords["row"], names)
    if lazy:
        delayed = ss.sparsify(given, "sketch", m=8, feature_axis="gene", compute=False)
        np.testing.assert_array_equal(delayed.compute().row_names, np.asarray(names))


def test_to_xarray__has_no_coordinate_where_rows_have_no_names():
    for wrap in (np.asarray, scipy.sparse.csc_array):
        result = ss.sparsify(wrap(X), "sample", m=6)
        shown = result.to_xarray()
        assert list(shown.coords) == []
        np.testing.assert_array_equal(shown, result.Y if wrap is np.asarray else result.Y.toarray())
        assert np.abs(shown).max() > 0


def test_to_xarray__says_what_to_install(monkeypatch):
    result = ss.sparsify(X, "exact")
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ss.ParameterError, match="pip install xarray"):
        result.to_xarray()


@pytest.mark.parametrize("names", [[0.0, np.nan, 1, 2, 3], [None] * N, [("a", 1)] * N])
def test_row_names__that_cannot_be_kept_are_none(names):
    coordinate = np.empty(N, object)
    coordinate[:] = names
    values = np.array(names) if isinstance(names[0], float) else coordinate
    result = ss.sparsify(labelled(X, cell=values), "exact")
    assert result.row_names is None


def test_sparsify_pair__has_the_names_of_both_where_both_have_some():
    Q, K = labelled(X, cell=CELLS), labelled(X[:3], cell=["a", "b", "c"])
    assert ss.sparsify_pair(Q, K, "exact").row_names.tolist() == [*CELLS, "a", "b", "c"]
    assert ss.sparsify_pair(Q, X[:3], "exact").row_names is None
    assert ss.sparsify_pair(Q, labelled(X[:3], cell=[1, 2, 3]), "exact").row_names is None


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_row_names__are_found_in_a_store_of_xarray(tmp_path, zarr_format):
    times = np.array(["2020-01-01", "2020-01-02"] + ["2021-01-01"] * 3, "M8[ns]")
    for name, cells in (("a", CELLS), ("b", times)):
        with warnings.catch_warnings():
            # zarr says that its string type may yet change.
            warnings.simplefilter("ignore")
            dataset = labelled(X, cell=cells).to_dataset(name="X")
            dataset.to_zarr(tmp_path / name, zarr_format=zarr_format, consolidated=False)
    assert ss.open_source(tmp_path / "a/X").row_names().tolist() == CELLS
    # Numbers since some day are no names.
    assert ss.open_source(tmp_path / "b/X").row_names() is None


@pytest.mark.parametrize("lazy", [False, True])
def test_sparsify__has_the_bits_of_the_data(lazy):
    array = labelled(X, gene=GENES)
    given = array.chunk({"gene": 5}) if lazy else array
    for feature_axis, shown in (("gene", given), ("gene", given.T)):
        result = ss.sparsify(shown, "sample", m=6, feature_axis=feature_axis)
        np.testing.assert_array_equal(result.Y, ss.sparsify(X, "sample", m=6).Y)
        assert result.column_names == tuple(GENES[j] for j in result.columns)


def test_feature_digest__is_that_of_the_same_names_in_a_store(tmp_path):
    array = labelled(X, gene=GENES)
    array.to_dataset(name="X").to_zarr(tmp_path / "x.zarr", zarr_format=2, consolidated=False)
    stored = ss.open_source(tmp_path / "x.zarr" / "X", feature_axis="gene")
    assert ss.open_source(array).feature_digest() == stored.feature_digest() is not None
    assert ss.open_source(labelled(X)).feature_digest() is None
    turned = labelled(X, gene=GENES[::-1])
    with pytest.raises(ss.ParameterError, match="other names"):
        ss.sparsify(array, "sketch", m=8).transform(turned)


def test_open_source__refuses_values_in_a_file_instead_of_reading_them_all(tmp_path):
    labelled(X).to_dataset(name="X").to_zarr(tmp_path / "x.zarr", consolidated=False)
    opened = xarray.open_zarr(tmp_path / "x.zarr", consolidated=False, chunks=None)["X"]
    with pytest.raises(ss.UnsupportedInputError, match="path of the array"):
        ss.open_source(opened)
    chunked = xarray.open_zarr(tmp_path / "x.zarr", consolidated=False, chunks={})["X"]
    np.testing.assert_array_equal(
        ss.sparsify(chunked, "exact", feature_axis="gene").Y, ss.sparsify(X, "exact").Y
    )


def test_open_source__names_what_is_wrong_with_a_data_array():
    with pytest.raises(ss.ParameterError, match=r"\('cell', 'gene'\), not 'time'"):
        ss.open_source(labelled(), feature_axis="time")
    with pytest.raises(ss.UnsupportedInputError, match="1 dimensions"):
        ss.open_source(labelled(X[0], ("gene",)), feature_axis="gene")
    with pytest.raises(ss.UnsupportedInputError, match="cannot read a Dataset"):
        ss.open_source(labelled().to_dataset(name="X"))
