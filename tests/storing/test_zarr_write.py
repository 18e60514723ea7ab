import json

import numpy as np
import pytest
import scipy.sparse
import zarr

from drivers import flip_byte
from streamsparse.errors import UnsupportedInputError
from streamsparse.storing.zarr_write import DenseWriter, write_sparse


def test_dense_writer__writes_rectangles_and_checksums_them(tmp_path):
    X = np.random.default_rng(1).standard_normal((5, 9)).astype(np.float32)
    X[:, 4:8] = 0
    writer = DenseWriter(tmp_path / "x", X.shape, X.dtype, (5, 4))
    for start in range(0, 9, 4):
        writer.write((0, 5), (start, min(start + 4, 9)), X[:, start : start + 4])
    array = zarr.open_array(tmp_path / "x", mode="r")
    np.testing.assert_array_equal(array[:], X)
    assert array.dtype == np.float32
    assert len(list((tmp_path / "x" / "c" / "0").iterdir())) == 3
    flip_byte(tmp_path / "x" / "c" / "0" / "1", 0)
    with pytest.raises(ValueError, match="checksum"):
        array[:]


@pytest.mark.parametrize("kind", ["csr", "csc"])
@pytest.mark.parametrize("density", [0.0, 0.3])
def test_write_sparse__is_anndata_encoding(tmp_path, kind, density):
    rng = np.random.default_rng(2)
    X = scipy.sparse.random_array((6, 50), density=density, format=kind, rng=rng)
    write_sparse(tmp_path / "x", X, chunk_entries=16)
    group = zarr.open_group(tmp_path / "x", mode="r")
    assert dict(group.attrs) == {
        "encoding-type": f"{kind}_matrix",
        "encoding-version": "0.1.0",
        "shape": [6, 50],
    }
    parts = tuple(group[name][:] for name in ("data", "indices", "indptr"))
    again = (scipy.sparse.csr_array if kind == "csr" else scipy.sparse.csc_array)(
        parts, shape=X.shape
    )
    np.testing.assert_array_equal(again.toarray(), X.toarray())
    codec = json.loads((tmp_path / "x" / "data" / "zarr.json").read_text())["codecs"][-1]
    assert codec["name"] == "zstd"
    assert codec["configuration"]["checksum"] is True


def test_write_sparse__refuses_other_formats(tmp_path):
    with pytest.raises(UnsupportedInputError, match="coo"):
        write_sparse(tmp_path / "x", scipy.sparse.coo_array((2, 2)))
