"""``streamsparse convert``: matrices in every form that a path has, and results."""

import json

import numpy as np
import pytest
import scipy.sparse
import zarr

import streamsparse as ss


@pytest.mark.parametrize("source", ["X.npy", "tall.npy", "X.zarr", "sparse.zarr"], indirect=True)
def test_convert__copies_what_reduce_then_takes(run, source, X):
    axis = 0 if source == "tall.npy" else 1
    result = run("convert", source, "copy.zarr", "--feature-axis", axis)
    assert result.exit_code == 0, result.stderr
    assert "X 6 x 500\nwrote copy.zarr\nnext:  streamsparse reduce copy.zarr" in result.stdout
    expected = scipy.sparse.csc_array(X) if source == "sparse.zarr" else X
    np.testing.assert_array_equal(
        ss.sparsify("copy.zarr", "sketch", m=8).Y, ss.sparsify(expected, "sketch", m=8).Y
    )
    again = run("convert", source, "copy.zarr", "--feature-axis", axis)
    assert again.exit_code == 1
    assert "already exists" in again.stderr
    forced = run("convert", source, "copy.zarr", "--feature-axis", axis, "-f", "--json")
    assert json.loads(forced.stdout) == {"out": "copy.zarr", "kind": "matrix", "shape": [6, 500]}


def test_convert__exports_Y_of_a_result(run, X):
    result = ss.sparsify(X, "exact", out="Y.zarr")
    shown = run("convert", "Y.zarr", "Y.npy")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout == "Y 6 x 6\nwrote Y.npy\n"
    np.testing.assert_array_equal(np.load("Y.npy"), result.Y[:])
    wrong = run("convert", "Y.zarr", "Y.csv")
    assert wrong.exit_code == 1
    assert "as .npy or .zarr" in wrong.stderr


def test_feature_axis__may_be_the_name_of_a_dimension(run, X):
    zarr.create_array("x.zarr", data=X.T, dimension_names=("feature", "row"))
    by_name = run("reduce", "x.zarr", "Y.zarr", "--feature-axis", "feature")
    assert by_name.exit_code == 0, by_name.stderr
    assert "--feature-axis feature" in by_name.stdout
    np.testing.assert_array_equal(ss.load("Y.zarr").Y[:], ss.sparsify(X).Y)
    assert "feature axis 0" in run("info", "x.zarr", "--feature-axis", "feature").stdout
    unknown = run("plan", "x.zarr", "--feature-axis", "gene")
    assert unknown.exit_code == 1
    assert "'feature', 'row'" in unknown.stderr


def test_info__counts_the_chunks_of_an_anndata_at_its_X(run, X):
    group = zarr.create_group("a.zarr", attributes={"encoding-type": "anndata"})
    group.create_array("X", data=X, chunks=(6, 125))
    assert "4 of 4 written" in run("info", "a.zarr").stdout


def test_convert__of_a_result_refuses_options_of_matrices(tmp_path, run):
    result = ss.sparsify(np.ones((3, 40)), "sketch", m=8)
    result.save(tmp_path / "Y.zarr")
    for option in (("--feature-axis", "0"), ("--missing", "fill")):
        refused = run("convert", tmp_path / "Y.zarr", tmp_path / "Y.npy", *option)
        assert refused.exit_code == 2
        assert "is of matrices, not of results" in refused.stderr
