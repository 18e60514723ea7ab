import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsparse.errors import BadStructureError
from streamsparse.sources import structure
from streamsparse.sources.structure import check_indices, check_indptr

columns = st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=12)


def naive(majors):
    """Sort each major with its values; None where one has duplicates."""
    if any(len(set(major)) < len(major) for major in majors):
        return None
    return [sorted(major) for major in majors]


@given(
    majors=columns,
    group=st.integers(1, 40),
    dtype=st.sampled_from(["u1", "i4", "i8", "u8"]),
    is_ours=st.booleans(),
)
def test_check_indices__agrees_with_the_naive_sort(majors, group, dtype, is_ours):
    indptr = np.cumsum([0, *map(len, majors)])
    indices = np.array([i for major in majors for i in major], dtype)
    data = indices.astype("f4") + np.float32(0.5)
    before = indices.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structure, "_CHECK_ENTRIES", group)
        arguments = {"minors": 10, "name": "X", "by_rows": False, "first": 0, "is_ours": is_ours}
        expected = naive(majors)
        if expected is None:
            with pytest.raises(BadStructureError, match="twice in column"):
                check_indices(indptr, indices, data, **arguments)
            return
        out, values = check_indices(indptr, indices, data, **arguments)
    assert out.dtype == np.int32
    np.testing.assert_array_equal(out, [i for major in expected for i in major])
    np.testing.assert_array_equal(values, out + np.float32(0.5))
    if not is_ours:
        np.testing.assert_array_equal(indices, before)


def test_check_indices__long_axes_keep_int64():
    out, _ = check_indices(
        np.array([0, 1]),
        np.array([2**31]),
        np.ones(1),
        minors=2**31 + 1,
        name="X",
        by_rows=False,
        first=0,
        is_ours=False,
    )
    assert out.dtype == np.int64


@pytest.mark.parametrize("dtype", ["u1", "i4", "i8", "u8"])
def test_check_indptr__any_integer_type_becomes_int64(dtype):
    pointers = check_indptr(np.array([0, 2, 5], dtype), name="X", by_rows=True, first=0, nnz=5)
    assert pointers.dtype == np.int64


def test_check_indptr__names_the_first_bad_major():
    with pytest.raises(BadStructureError, match="column 101"):
        check_indptr(np.array([5, 6, 3]), name="X", by_rows=False, first=100, nnz=9)
