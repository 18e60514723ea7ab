import numpy as np
import pytest
from scipy import sparse

from streamsparse.errors import BadStructureError, BudgetTooSmallError, UnsupportedInputError
from streamsparse.sources.open import open_source


def opened(values, feature_axis=1):
    return open_source(values, feature_axis=feature_axis, missing="error")


def read_all(source):
    return list(source.blocks(10**6))


@pytest.mark.parametrize("feature_axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "u2", "i8", "?"])
@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("is_array", [True, False])
def test_sparse_source__blocks_equal_the_matrix(check, matrix, dtype, kind, feature_axis, is_array):
    values = matrix(dtype)
    stored = (sparse.coo_array if is_array else sparse.coo_matrix)(values).asformat(kind)
    source = opened(stored, feature_axis)
    X = values if feature_axis == 1 else values.T
    check(source, X, budgets=(2000, 10**6))
    if kind not in {"bsr", "dia"}:
        assert source.nnz == np.count_nonzero(values)


@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_sparse_source__any_rectangle_can_be_read(matrix, kind):
    values = matrix("f4")
    source = opened(sparse.csr_array(values).asformat(kind))
    block = source.read((3, 8), (5, 21))
    made = sparse.csr_array if block.by_rows else sparse.csc_array
    X_block = made((block.data, block.indices, block.indptr), shape=(5, 16))
    np.testing.assert_array_equal(X_block.toarray(), values[3:8, 5:21])


def test_sparse_source__sorted_data_is_not_copied(matrix):
    stored = sparse.csc_array(matrix("f4"))
    block = opened(stored).read((0, 11), (2, 9))
    assert np.shares_memory(block.data, stored.data)
    assert np.shares_memory(block.indices, stored.indices)


def test_sparse_source__unsorted_indices_are_sorted_on_a_copy(check, matrix):
    stored = sparse.csc_array(matrix("f4"))
    for start, stop in zip(stored.indptr[:-1], stored.indptr[1:], strict=True):
        stored.indices[start:stop] = stored.indices[start:stop][::-1].copy()
        stored.data[start:stop] = stored.data[start:stop][::-1].copy()
    stored = sparse.csc_array((stored.data, stored.indices, stored.indptr), shape=stored.shape)
    before = stored.indices.copy()
    check(opened(stored), matrix("f4"), budgets=(2000, 10**6))
    np.testing.assert_array_equal(stored.indices, before)


def test_sparse_source__empty_matrix_and_empty_columns_are_read(check):
    check(opened(sparse.csc_array((5, 7), dtype="f8")), np.zeros((5, 7)), budgets=(100, 10**6))
    values = np.zeros((5, 7))
    values[2, 3] = 4
    check(opened(sparse.csr_array(values)), values, budgets=(300, 10**6))


def test_sparse_source__int64_indices_are_narrowed(matrix):
    stored = sparse.csc_array(matrix("f4"))
    stored.indices, stored.indptr = stored.indices.astype("i8"), stored.indptr.astype("i8")
    block = opened(stored).read((0, 11), (0, 29))
    assert block.indices.dtype == np.int32
    assert block.indptr.dtype == np.int64


def test_sparse_source__a_column_above_the_budget_is_named(matrix):
    source = opened(sparse.csc_array(np.ones((50, 4))))
    with pytest.raises(BudgetTooSmallError, match="column 0"):
        list(source.cut((0, 50), 500))
    source = opened(sparse.csr_array(np.ones((50, 4))))
    with pytest.raises(BudgetTooSmallError, match="row 0"):
        source.bands(50, 50)
    with pytest.raises(BudgetTooSmallError, match="rows 0 to 50"):
        list(source.cut((0, 50), 500))


def broken(**changes):
    stored = sparse.csr_array(np.array([[1.0, 2, 0], [0, 3, 4], [5, 0, 6]]))
    for name, values in changes.items():
        setattr(stored, name, np.asarray(values))
    return stored


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"indptr": [1, 2, 4, 6]}, "starts at 1"),
        ({"indptr": [0, 2, 4, 5]}, "ends at 5 but there are 6"),
        ({"indptr": [0, 2, 4, 7]}, "ends at 7 but there are 6"),
        ({"indptr": [0, 4, 2, 6]}, "wrong at row 1: it reaches 2"),
        ({"indptr": [0, -(2**31), 4, 6]}, "wrong at row 0"),
        ({"indptr": [0, 2, 6]}, "shape"),
        ({"indices": [0, 1, 1, 2, 0, 3]}, "index 3 in row 2"),
        ({"indices": [0, 1, -1, 2, 0, 2]}, "index -1 in row 1"),
        ({"indices": [0, 1, 1, 1, 0, 2]}, "index 1 occurs twice in row 1"),
        ({"indices": [0.0, 1, 1, 2, 0, 2]}, "float64"),
        ({"indices": [0, 1, 1, 2, 0]}, "data has shape"),
        ({"indices": np.array([0, 1, 2**64 - 1, 2, 0, 2], "u8")}, "row 1"),
    ],
)
def test_sparse_source__bad_structure_is_refused_with_its_place(changes, cause):
    with pytest.raises(BadStructureError, match=cause):
        read_all(opened(broken(**changes)))


def test_sparse_source__entries_given_twice_are_refused():
    stored = sparse.coo_array(([1.0, 2.0], ([0, 0], [1, 1])), shape=(2, 3))
    with pytest.raises(BadStructureError, match="twice"):
        opened(stored)


def test_sparse_source__complex_and_one_dimensional_are_refused():
    with pytest.raises(UnsupportedInputError, match="complex128"):
        opened(sparse.csr_array(np.ones((2, 2), complex)))
    with pytest.raises(UnsupportedInputError, match="1 dimensions"):
        opened(sparse.coo_array(np.ones(3)))
    with pytest.raises(UnsupportedInputError, match="empty"):
        opened(sparse.csr_array((0, 3)))
