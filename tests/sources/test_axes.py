"""The long axis by its name: of DataArrays and of zarr arrays; what has no names says so."""

import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr

import streamsparse as ss
from streamsparse.errors import ParameterError
from streamsparse.sources.axes import resolve_axis

N, D = 5, 12
X = np.arange(N * D, dtype=np.float32).reshape(N, D) % 7


def named(path, values, dimensions, *, zarr_format=3):
    """A zarr array with names of dimensions, as zarr 3 has them or by xarray's convention."""
    names = (
        {"dimension_names": dimensions}
        if zarr_format == 3
        else {"attributes": {"_ARRAY_DIMENSIONS": list(dimensions)}}
    )
    zarr.create_array(path, data=values, zarr_format=zarr_format, **names)
    return path


def read_all(source):
    """The whole matrix of a dense source."""
    n, d = source.shape
    return np.asarray(source.read((0, n), (0, d)).view())


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("stored", "axis"), [(X, 1), (X.T, 0)])
def test_open_source__finds_the_axis_of_a_zarr_array_by_its_name(
    tmp_path, stored, axis, zarr_format
):
    dimensions = ("row", "feature") if axis == 1 else ("feature", "row")
    path = named(tmp_path / "x.zarr", stored, dimensions, zarr_format=zarr_format)
    for given in (path, zarr.open_array(path, mode="r")):
        source = ss.open_source(given, feature_axis="feature")
        np.testing.assert_array_equal(read_all(source), X)
        assert source.feature_axis == axis


def test_sparsify__has_the_same_bits_plan_and_identity_by_name_and_by_position(tmp_path):
    path = named(tmp_path / "x.zarr", X.T, ("feature", "row"))
    by_name, by_position = (
        ss.sparsify(path, "sketch", m=8, feature_axis=axis) for axis in ("feature", 0)
    )
    np.testing.assert_array_equal(by_name.Y, by_position.Y)
    assert by_name.plan == by_position.plan
    assert by_name.plan.feature_axis == 0
    assert ss.plan(path, "sketch", m=8, feature_axis="feature") == by_name.plan
    assert ss.certify(path, by_name, feature_axis="feature").trace == by_name.certificate.trace
    np.testing.assert_array_equal(by_name.transform(path, feature_axis="feature"), by_name.Y)
    assert ss.attention_error(path, by_name, feature_axis="feature") < 2
    assert np.abs(by_name.Y).max() > 0


def test_sparsify__goes_on_by_position_with_what_was_begun_by_name(tmp_path):
    path = named(tmp_path / "x.zarr", X.T, ("feature", "row"))
    first = ss.sparsify(path, "exact", feature_axis="feature", out=tmp_path / "y.zarr")
    again = ss.sparsify(path, "exact", feature_axis=0, out=tmp_path / "y.zarr", resume=True)
    assert again.certificate.seconds == first.certificate.seconds


def test_merge__opens_the_source_of_parts_that_were_given_a_name(tmp_path):
    path = named(tmp_path / "x.zarr", X.T, ("feature", "row"))
    ss.reduce_part(path, tmp_path / "p", part=(1, 1), method="exact", feature_axis="feature")
    merged = ss.merge([tmp_path / "p"])
    np.testing.assert_array_equal(merged.Y, ss.sparsify(X, "exact").Y)


def test_sparsify_pair__resolves_the_name_in_each_of_both(tmp_path):
    Q = named(tmp_path / "q.zarr", X, ("row", "feature"))
    K = named(tmp_path / "k.zarr", X[:3].T, ("feature", "row"))
    by_name = ss.sparsify_pair(Q, K, "exact", feature_axis="feature")
    np.testing.assert_array_equal(by_name.Y, ss.sparsify_pair(X, X[:3], "exact").Y)


def test_open_source__lists_the_names_that_there_are(tmp_path):
    path = named(tmp_path / "x.zarr", X, ("row", "feature"))
    with pytest.raises(ParameterError, match=r"\('row', 'feature'\), not 'gene'"):
        ss.open_source(path, feature_axis="gene")


@pytest.mark.parametrize(
    "make",
    [
        lambda _: X,
        lambda _: dask.array.from_array(X),
        lambda _: scipy.sparse.csr_array(X),
        lambda path: np.save(path / "x.npy", X) or path / "x.npy",
        lambda path: zarr.create_array(path / "x.zarr", data=X),
        lambda path: named(path / "x.zarr", X, (None, None)),
    ],
)
def test_open_source__says_so_where_dimensions_have_no_names(tmp_path, make):
    with pytest.raises(ParameterError, match=r"'row': the dimensions of .* have no names"):
        ss.open_source(make(tmp_path), feature_axis="row")


def test_resolve_axis__refuses_a_name_that_two_dimensions_have():
    with pytest.raises(ParameterError, match="one dimension"):
        resolve_axis("x", ["x", "x"], name="X")
    assert resolve_axis("x", [None, "x"], name="X") == 1


@pytest.mark.parametrize("names", [["row"], "row", 5, [["row"], 1, 2]])
def test_open_source__takes_names_that_do_not_fit_for_none(tmp_path, names):
    zarr.create_array(
        tmp_path / "x.zarr", data=X, zarr_format=2, attributes={"_ARRAY_DIMENSIONS": names}
    )
    with pytest.raises(ParameterError, match="have no names"):
        ss.open_source(tmp_path / "x.zarr", feature_axis="row")
