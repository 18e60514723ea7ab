"""Values on their way into blocks: what numpy makes of them, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsparse.sources.dtypes import as_block_dtype, copy_values

EVERY_HALF = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def bits(values):
    return np.ascontiguousarray(values).view(np.uint32)


def test_as_block_dtype__widens_every_float16_to_the_bits_that_numpy_gives():
    np.testing.assert_array_equal(
        bits(as_block_dtype(EVERY_HALF)), bits(EVERY_HALF.astype(np.float32))
    )


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "part of longer rows": lambda A: np.pad(A, ((0, 0), (3, 2)))[:, 3:-2],
    "part of longer columns": lambda A: np.asfortranarray(np.pad(A, ((3, 2), (0, 0))))[3:-2],
    "every second": lambda A: np.repeat(A, 2, axis=1)[:, ::2],
    "backwards": lambda A: np.ascontiguousarray(A[::-1])[::-1],
    "big-endian": lambda A: A.astype(A.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("laid", LAYOUTS)
@pytest.mark.parametrize("into", LAYOUTS)
def test_copy_values__copies_halves_between_any_layouts_and_nothing_beside(laid, into):
    values = LAYOUTS[laid](EVERY_HALF[20_000:].reshape(16, -1)[:, :2049])
    out = LAYOUTS[into](np.full(values.shape, 7, np.float32))
    whole = out if out.base is None else out.base
    before = whole.copy()
    copy_values(values, out)
    np.testing.assert_array_equal(out, values.astype(np.float32))
    out[...] = 7
    np.testing.assert_array_equal(whole, before)


@given(
    shape=st.tuples(st.integers(0, 3), st.integers(0, 5)) | st.tuples(st.integers(0, 5)),
    dtype=st.sampled_from(["float16", ">f2", "float32", ">f4", "int8", "bool"]),
)
def test_as_block_dtype__keeps_shape_and_values(shape, dtype):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    made = as_block_dtype(values)
    np.testing.assert_array_equal(made, values)
    assert made.dtype.isnative
    assert made.dtype != np.float16
