"""Two sources, one above the other, against np.vstack."""

import numpy as np
import pytest
import scipy.sparse
import zarr

import strategies
from streamsparse.errors import ParameterError
from streamsparse.sources.open import open_source
from streamsparse.sources.stacked import StackedSource

D = 29
BUDGETS = (20_000, 10**6)


def stack(above, below):
    return StackedSource(
        *(open_source(part, feature_axis=1, missing="error") for part in (above, below))
    )


def halves(matrix, dtype, other=None):
    return matrix(dtype, (7, D)), matrix(other or dtype, (4, D))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "?", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_stacked_source__of_arrays_equals_vstack(check, matrix, dtype, order):
    above, below = (np.asarray(half, order=order) for half in halves(matrix, dtype))
    check(stack(above, below), np.vstack([above, below]), budgets=(100, 400, 10**6))


@pytest.mark.parametrize(
    "storages",
    [("csr", "csr"), ("csc", "csc"), ("csr", "csc"), ("csc", "csr")],
)
def test_stacked_source__of_sparse_matrices_equals_vstack(check, matrix, storages):
    above, below = halves(matrix, "f4")
    parts = (
        scipy.sparse.csr_array(half).asformat(storage)
        for half, storage in zip((above, below), storages, strict=True)
    )
    source = stack(*parts)
    assert source.nnz == np.count_nonzero(above) + np.count_nonzero(below)
    check(source, np.vstack([above, below]), budgets=BUDGETS)


@pytest.mark.parametrize("chunks", [((7, 5), (4, 5)), ((2, 29), (4, 3)), ((3, 4), (1, 29))])
def test_stacked_source__of_stored_arrays_equals_vstack(check, matrix, tmp_path, chunks):
    paths = []
    for k, (values, grid) in enumerate(zip(halves(matrix, "i4"), chunks, strict=True)):
        stored = zarr.create_array(
            tmp_path / f"{k}.zarr",
            shape=values.shape,
            chunks=grid,
            dtype=values.dtype,
            config={"write_empty_chunks": True},
        )
        stored[:] = values
        paths.append(tmp_path / f"{k}.zarr")
    source = stack(*paths)
    source.verify()
    check(source, np.vstack(halves(matrix, "i4")), budgets=(2000, 10**6), heights=(7, 10**9))


@pytest.mark.parametrize(
    ("dtypes", "together"), [(("f4", "f8"), "f8"), (("i1", "i4"), "i4"), (("?", "f4"), "f4")]
)
@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
def test_stacked_source__of_two_dtypes_has_the_wider_one(check, matrix, dtypes, together, storage):
    above, below = halves(matrix, *dtypes)
    source = stack(storage(above), storage(below))
    assert source.block_dtype == together
    check(source, np.vstack([above, below]).astype(together), budgets=BUDGETS)


def test_stacked_source__bands_hold_rows_of_one_part_only(matrix):
    source = stack(*halves(matrix, "f4"))
    for most in (1, 3, 11):
        bands = source.bands(most, 10**6)
        assert all(stop <= 7 or start >= 7 for start, stop in bands)
        assert [row for start, stop in bands for row in range(start, stop)] == list(range(11))


def test_stacked_source__names_both_and_adds_them_up(matrix):
    above, below = halves(matrix, "f4")
    source = stack(above, below)
    assert source.shape == (11, D)
    assert source.nnz is None
    assert source.stored_bytes == above.nbytes + below.nbytes
    assert " over " in source.name
    assert source.feature_digest() is None
    assert source.integrity == "structural"
    sparse = stack(scipy.sparse.csr_array(above), scipy.sparse.csr_array(below))
    parts = (sparse.above, sparse.below)
    assert sparse.largest_unit_entries == sum(part.largest_unit_entries for part in parts)


def test_stacked_source__verifies_both(matrix, tmp_path):
    above, below = halves(matrix, "i4")
    stored = zarr.create_array(tmp_path / "x.zarr", shape=below.shape, chunks=(2, 5), dtype="i4")
    stored[:] = 1
    (tmp_path / "x.zarr" / "c" / "1" / "2").unlink()
    with pytest.raises(ValueError, match="c/1/2"):
        stack(above, tmp_path / "x.zarr").verify()


def test_stacked_source__refuses_other_columns_and_mixed_storage(matrix):
    above, below = halves(matrix, "f4")
    with pytest.raises(ParameterError, match=r"d = 29, .* d = 28"):
        stack(above, below[:, :-1])
    for mixed in ((scipy.sparse.csr_array(above), below), (above, scipy.sparse.csr_array(below))):
        with pytest.raises(ParameterError, match="both be dense or both sparse"):
            stack(*mixed)


def test_stacked_source__refuses_columns_of_other_names(matrix):
    parts = [open_source(half, feature_axis=1, missing="error") for half in halves(matrix, "f4")]

    class Named:
        def __init__(self, source, digest):
            self._source, self._digest = source, digest

        def __getattr__(self, name):
            return getattr(self._source, name)

        def feature_digest(self):
            return self._digest

    with pytest.raises(ParameterError, match="other names"):
        StackedSource(Named(parts[0], "abc"), Named(parts[1], "ace"))
    both = StackedSource(Named(parts[0], "abc"), Named(parts[1], "abc"))
    assert both.feature_digest() == "abc"
    assert StackedSource(Named(parts[0], None), Named(parts[1], "ace")).feature_digest() == "ace"


def test_stacked_source__of_many_sparse_rows_keeps_to_its_budget():
    above = strategies.sparse_matrix(300, 4000, 0.02)
    below = strategies.sparse_matrix(20, 4000, 0.5, seed=1)
    source = stack(above.tocsc(), below.tocsc())
    dense = np.vstack([above.toarray(), below.toarray()])
    at = 0
    for a, b in source.cut((0, 320), 200_000):
        block = source.read((0, 320), (a, b))
        assert a == at
        at = b
        assert block.data.nbytes + block.indices.nbytes + block.indptr.nbytes <= 200_000
        matrix = scipy.sparse.csr_array((block.data, block.indices, block.indptr), (320, b - a))
        np.testing.assert_array_equal(matrix.toarray(), dense[:, a:b])
    assert at == 4000
