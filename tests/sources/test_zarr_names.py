"""Names of columns beside a matrix: found, digested, and compared when new rows come."""

import json
import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse
import zarr

import streamsparse as ss
from streamsparse.storing.zarr_write import write_sparse

N, D = 5, 12
X = np.arange(N * D, dtype=np.float32).reshape(N, D) % 7


def write_names(group, name, values):
    values = np.asarray(values)
    if values.dtype.kind != "U":
        group.create_array(name, data=values)
        return
    with warnings.catch_warnings():
        # zarr says that its string type may yet change.
        warnings.simplefilter("ignore")
        array = group.create_array(name, shape=values.shape, dtype="str", chunks=(5,))
        array[:] = values


def write_anndata(path, names, *, sparse=False, axis="var"):
    group = zarr.create_group(path, attributes={"encoding-type": "anndata"})
    stored = X if axis == "var" else X.T
    if sparse:
        write_sparse(path / "X", scipy.sparse.csr_array(stored))
    else:
        group.create_array("X", data=stored)
    table = group.create_group(axis, attributes={"_index": "gene_ids"})
    write_names(table, "gene_ids", names)
    return path / "X"


GENES = [f"gene {k}" for k in range(D)]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("axis", ["var", "obs"])
def test_feature_digest__depends_on_the_names_and_their_order(tmp_path, sparse, axis):
    feature_axis = 1 if axis == "var" else 0

    def digest(name, names):
        path = write_anndata(tmp_path / name, names, sparse=sparse, axis=axis)
        return ss.open_source(path, feature_axis=feature_axis).feature_digest()

    first = digest("a", GENES)
    assert len(first) == 32
    assert digest("b", GENES) == first
    assert digest("c", GENES[::-1]) != first
    assert digest("d", [*GENES[:-1], "other"]) != first
    assert digest("e", GENES[:-1]) is None


def test_feature_digest__is_found_from_the_group_a_path_and_a_layer(tmp_path):
    path = write_anndata(tmp_path / "a", GENES)
    group = zarr.open_group(tmp_path / "a")
    layers = group.create_group("layers", attributes={"encoding-type": "dict"})
    layers.create_array("counts", data=X)
    digests = {
        ss.open_source(opened).feature_digest()
        for opened in (path, group["X"], group["layers/counts"], tmp_path / "a/layers/counts")
    }
    assert len(digests) == 1
    assert None not in digests


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_feature_digest__of_a_coordinate_named_like_the_dimension(tmp_path, zarr_format):
    group = zarr.create_group(tmp_path / "x", zarr_format=zarr_format)
    if zarr_format == 3:
        group.create_array("X", data=X, dimension_names=("time", "site"))
    else:
        group.create_array("X", data=X, attributes={"_ARRAY_DIMENSIONS": ["time", "site"]})
    assert ss.open_source(tmp_path / "x/X").feature_digest() is None
    group.create_array("site", data=np.arange(D) * 10)
    assert len(ss.open_source(tmp_path / "x/X").feature_digest()) == 32


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("axis", ["var", "obs"])
def test_row_names__are_the_other_index_of_anndata(tmp_path, sparse, axis):
    path = write_anndata(tmp_path / "a", GENES, sparse=sparse, axis=axis)
    by_features, by_rows = (0, 1) if axis == "obs" else (1, 0)
    assert ss.open_source(path, feature_axis=by_features).row_names() is None
    assert ss.open_source(path, feature_axis=by_rows).row_names().tolist() == GENES
    result = ss.sparsify(path, "exact", feature_axis=by_rows, out=tmp_path / "y.zarr")
    assert result.row_names.tolist() == GENES
    assert ss.load(tmp_path / "y.zarr").row_names.tolist() == GENES


def test_feature_digest__is_none_without_names(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=X)
    for source in (tmp_path / "x.zarr", X, scipy.sparse.csr_array(X)):
        assert ss.open_source(source).feature_digest() is None


def test_transform__refuses_columns_in_another_order(tmp_path):
    path = write_anndata(tmp_path / "a", GENES)
    result = ss.sparsify(path, "sketch", m=8, out=tmp_path / "y.zarr")
    loaded = ss.load(tmp_path / "y.zarr")
    assert loaded.feature_digest == result.feature_digest
    np.testing.assert_array_equal(loaded.transform(path), result.Y[:])
    # Without names there is nothing to compare.
    np.testing.assert_array_equal(loaded.transform(X), result.Y[:])
    other = write_anndata(tmp_path / "b", GENES[::-1])
    with pytest.raises(ss.ParameterError, match="other names, or another order"):
        loaded.transform(other)
    with pytest.raises(ss.ParameterError, match="other names, or another order"):
        ss.sparsify_pair(path, other, m=8)


def test_feature_digest__decodes_no_codec_that_builds_objects(tmp_path):
    # A pickle that would leave a trace if anybody opened it.
    numcodecs = pytest.importorskip("numcodecs")
    group = zarr.create_group(
        tmp_path / "a", zarr_format=2, attributes={"encoding-type": "anndata"}
    )
    group.create_array("X", data=X)
    var = group.create_group("var", attributes={"_index": "names"})
    var.create_array("names", data=np.arange(D), filters=[], compressors=None)
    assert ss.open_source(tmp_path / "a/X").feature_digest() is not None
    metadata = tmp_path / "a" / "var" / "names" / ".zarray"
    text = metadata.read_text()
    assert '"filters": null' in text or '"filters": []' in text
    pickled = numcodecs.Pickle().get_config()
    for empty in ("null", "[]"):
        text = text.replace(f'"filters": {empty}', f'"filters": [{json.dumps(pickled)}]')
    metadata.write_text(text)
    (tmp_path / "a" / "var" / "names" / "0").write_bytes(pickle.dumps(Trace(tmp_path / "trace")))
    assert ss.open_source(tmp_path / "a/X").feature_digest() is None
    assert not (tmp_path / "trace").exists()


class Trace:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))
