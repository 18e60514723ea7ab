import numpy as np
import pytest

from streamsparse.errors import BudgetTooSmallError, UnsupportedInputError
from streamsparse.sources.open import open_source

DTYPES = ["f2", "f4", ">f4", "f8", ">f8", "i1", "u2", ">i4", "i8", "u8", "?"]


@pytest.mark.parametrize("feature_axis", [0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_array_source__blocks_equal_the_array(check, matrix, dtype, order, feature_axis):
    values = matrix(dtype)
    if order == "strided":
        values = np.repeat(np.repeat(values, 2, axis=0), 2, axis=1)[::2, ::2]
    else:
        values = np.asarray(values, order=order)
    source = open_source(values, feature_axis=feature_axis, missing="error")
    X = values if feature_axis == 1 else values.T
    check(source, X, budgets=(300, 1000, 10**6))


def test_array_source__shares_memory_where_the_layout_allows(matrix):
    values = matrix("f4")
    for axis in (0, 1):
        source = open_source(values, feature_axis=axis, missing="error")
        block = source.read((0, source.shape[0]), (2, 5))
        assert np.shares_memory(block.data, values)
    assert np.shares_memory(source.read((1, 4), (2, 5)).data, values)


def test_array_source__blocks_have_contiguous_data(matrix):
    for values in (matrix("f4"), np.asfortranarray(matrix("f4")), matrix("f4")[::2, ::3]):
        source = open_source(values, feature_axis=1, missing="error")
        flags = source.read((1, 4), (2, 5)).data.flags
        assert flags.c_contiguous or flags.f_contiguous


def test_array_source__gives_all_blocks_and_names_itself(matrix):
    source = open_source(matrix("f8"), feature_axis=1, missing="error")
    assert sum(block.view().sum() for block in source.blocks(500)) == matrix("f8").sum()
    assert "11 x 29 float64" in repr(source)
    source.verify()


def test_array_source__np_matrix_is_two_dimensional(check, matrix):
    values = matrix("f8")
    with pytest.warns(PendingDeprecationWarning):
        legacy = np.matrix(values)
    check(open_source(legacy, feature_axis=1, missing="error"), values, budgets=(1000,))


def test_array_source__refuses_a_budget_below_one_entry(matrix):
    source = open_source(matrix("f8"), feature_axis=1, missing="error")
    with pytest.raises(BudgetTooSmallError, match="raise memory"):
        source.bands(5, 7)


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        (np.array(3.0), "0 dimensions"),
        (np.zeros(4), "1 dimensions"),
        (np.zeros((2, 2, 2)), "3 dimensions"),
        (np.zeros((0, 3)), "empty"),
        (np.zeros((3, 0)), "empty"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.zeros((2, 2), "U3"), "<U3"),
        (np.zeros((2, 2), "S3"), "S3"),
        (np.zeros((2, 2), object), "object"),
        (np.zeros((2, 2), "M8[s]"), "datetime64"),
        (np.zeros((2, 2), "m8[s]"), "timedelta64"),
        (np.zeros((2, 2), [("a", "f4")]), "'a'"),
        (np.zeros((2, 2), np.longdouble), "float128|longdouble"),
        (np.ma.masked_array(np.zeros((2, 2))), "masked"),
    ],
)
def test_array_source__refuses_what_is_not_a_real_matrix(values, cause):
    with pytest.raises(UnsupportedInputError, match=cause):
        open_source(values, feature_axis=1, missing="error")
