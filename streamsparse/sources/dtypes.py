"""What dtypes X may have, and how values become those of blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from streamsparse.arrays import Array
from streamsparse.errors import UnsupportedInputError
from streamsparse.kernels.layout import widen_halves
from streamsparse.sources.buffers import empty_block


def block_dtype_of(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """Return the dtype in which blocks of ``dtype`` arrive.

    Raises
    ------
    UnsupportedInputError : for complex, text, object, datetime, structured and extended floats.
    """
    if dtype.fields is None and dtype.subdtype is None:
        if dtype == np.bool_:
            return np.dtype(np.uint8)
        if dtype.kind == "f" and dtype.itemsize <= 8:
            return np.dtype(np.float32) if dtype.itemsize == 2 else dtype.newbyteorder("=")
        if dtype.kind in "iu":
            return dtype.newbyteorder("=")
    raise UnsupportedInputError(
        f"{name} has dtype {dtype}; X must be float16, float32, float64, an integer type or bool"
    )


def as_block_dtype(values: Array) -> Array:
    """Return ``values`` in the dtype of blocks, without a copy where none is needed."""
    if values.dtype == np.bool_:
        return values.view(np.uint8)
    if is_half(values.dtype):
        by_columns = values.ndim == 2 and values.strides[0] < values.strides[1]
        wide = empty_block(values.shape, np.dtype(np.float32), "F" if by_columns else "C")
        copy_values(values, wide)
        return wide
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def is_half(dtype: np.dtype[Any]) -> bool:
    """Return whether it is float16, in either byte order."""
    return dtype.kind == "f" and dtype.itemsize == 2


def copy_values(values: Array, out: Array) -> None:
    """out[...] = values, with the same bits; numpy widens float16 one value at a time."""
    if values.dtype == np.float16 and out.dtype == np.float32 and values.size:
        for left, right in ((values, out), (values.T, out.T)):
            if _has_lines(left) and _has_lines(right):
                _widen(left, right)
                return
    out[...] = values


def _has_lines(values: Array) -> bool:
    """Return whether what differs in the last index alone lies side by side, rows in order."""
    if values.ndim > 2 or values.strides[-1] != values.itemsize:
        return False
    return values.ndim == 1 or values.strides[0] >= 0


def _widen(halves: Array, out: Array) -> None:
    lines, width = (1, *out.shape)[-2:]
    pitches = [
        array.strides[0] // array.itemsize if array.ndim == 2 else width for array in (halves, out)
    ]
    source, target = (
        # All that lies between the first value and the last, what is not ours included.
        as_strided(array, ((lines - 1) * pitch + width,), (array.itemsize,))
        for array, pitch in zip((halves, out), pitches, strict=True)
    )
    bits = target.view(np.uint32)
    widen_halves(source.view(np.uint16), pitches[0], bits, target, pitches[1], lines, width)
