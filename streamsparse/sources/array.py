"""Matrices in memory: NumPy arrays, read without a copy wherever their layout allows it."""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import UnsupportedInputError
from streamsparse.sources.base import DenseBlock, check_shape
from streamsparse.sources.dense import DenseSource
from streamsparse.sources.digests import digest_array, digest_of
from streamsparse.sources.dtypes import as_block_dtype, block_dtype_of


class ArraySource(DenseSource):
    """A two-dimensional array in memory, in any order and byte order.

    Parameters
    ----------
    values : shape (n, d) if ``feature_axis`` is 1, (d, n) if it is 0.
    feature_axis : axis of ``values`` along which the d columns of X lie.
    """

    def __init__(self, values: Array, *, feature_axis: int, name: str = "array") -> None:
        if isinstance(values, np.ma.MaskedArray):
            raise UnsupportedInputError(
                f"{name} is a masked array; X has no masked entries: fill them first"
            )
        values = np.asarray(values)
        self.name, self.feature_axis = name, feature_axis
        self.block_dtype = block_dtype_of(values.dtype, name)
        check_shape(values.shape, name)
        self._X: Array = values if feature_axis == 1 else values.T
        self.shape = check_shape(self._X.shape, name)
        self.dtype = values.dtype
        self.stored_bytes = values.nbytes
        # The other dtypes are converted block by block.
        self._is_direct = values.dtype in (np.dtype(np.bool_), self.block_dtype)

    def fingerprint(self) -> str:
        """Return a digest of every byte; reads the array once."""
        return digest_of(self.shape, digest_array(self._X))

    def read(self, rows: Interval, columns: Interval) -> DenseBlock:
        """Return one block; it shares memory with the array where its layout allows."""
        X_block = self._X[rows[0] : rows[1], columns[0] : columns[1]]
        if not self._is_direct:
            return DenseBlock(rows, columns, as_block_dtype(X_block))
        flags = self._X.flags
        if flags.c_contiguous:
            return DenseBlock(rows, columns, as_block_dtype(self._X[rows[0] : rows[1]]), columns[0])
        if flags.f_contiguous:
            return DenseBlock(rows, columns, as_block_dtype(np.asarray(X_block, order="F")))
        return DenseBlock(rows, columns, as_block_dtype(np.asarray(X_block, order="C")))
