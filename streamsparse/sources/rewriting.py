"""What becomes of the columns of a block: missing values filled, all divided by their deviation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.errors import ParameterError
from streamsparse.kernels.columns import (
    CENTRE,
    DIFFERENCES,
    HIGH,
    LOW,
    MISSING,
    NONZEROS,
    SQUARES,
    SUM,
    change_columns,
    change_entries,
    square_columns,
    square_entries,
    sum_columns,
    sum_entries,
)
from streamsparse.kernels.layout import advance
from streamsparse.sources.base import Block, DenseBlock, Source, SparseBlock
from streamsparse.sources.buffers import empty_block
from streamsparse.sources.preprocess import Preprocess

# Columns that are looked at together: what is known of them, and of dense ones they themselves,
# stays in a cache.
_DENSE_COLUMNS = 256
_SPARSE_COLUMNS = 1 << 14


@dataclass(frozen=True, slots=True)
class Rewriter:
    """Imputes and scales the columns of a block, and centres those of a dense one.

    Attributes
    ----------
    preprocess : what is to be done.
    n : rows of X, all of which every block has.
    block_dtype : of the blocks that are made.
    code : the value that means missing, NaN for NaN.

    Notes
    -----
    A new block is made, its indices shared. Dense and sparse columns are scaled by the same
    factors, to the last bit. Dense ones are centred too, where that is wanted, because what is
    rounded then is what is left of them: being centred again afterwards takes nothing away.
    """

    preprocess: Preprocess
    n: int
    block_dtype: np.dtype[Any]
    code: float

    def __call__(self, block: Block) -> Block:
        """Return the block as it is to be."""
        assert block.rows == (0, self.n), "columns are rewritten whole"
        if isinstance(block, DenseBlock):
            return self._rewritten_dense(block)
        return self._rewritten_sparse(block)

    @property
    def _rule(self) -> Array:
        return np.array([self.code, self.preprocess.impute is not None])

    def _rewritten_dense(self, block: DenseBlock) -> DenseBlock:
        X, rule = block.view(), self._rule
        out = empty_block(X.shape, self.block_dtype)
        for start in range(0, X.shape[1], _DENSE_COLUMNS):
            columns = slice(start, start + _DENSE_COLUMNS)
            part = np.ascontiguousarray(X[:, columns])
            facts = _no_facts(part.shape[1])
            sum_columns(part, rule, facts)
            facts[CENTRE] = self._centres(facts)
            if self.preprocess.scale:
                square_columns(part, rule, facts)
            changes = self._changes(facts, shifts=self.preprocess.center)
            change_columns(part, rule, changes, out[:, columns])
        return DenseBlock(block.rows, block.columns, out)

    def _rewritten_sparse(self, block: SparseBlock) -> SparseBlock:
        rule, out = self._rule, empty_block(block.data.shape, self.block_dtype)
        for extents, first, width in _steps(block):
            entries = extents, block.indices, block.data, first, rule
            facts = _no_facts(width)
            sum_entries(*entries, facts)
            facts[CENTRE] = self._centres(facts)
            if self.preprocess.scale:
                square_entries(*entries, facts)
            change_entries(*entries, self._changes(facts, shifts=False), out)
        return SparseBlock(
            block.rows, block.columns, block.by_rows, block.indptr, block.indices, out
        )

    def _there(self, facts: Array) -> Array:
        """How many values the mean of each column is of: zeros put in count, means do not."""
        if self.preprocess.impute != "mean":
            return np.full(facts.shape[1], float(self.n))
        return np.asarray(self.n - facts[MISSING])

    def _centres(self, facts: Array) -> Array:
        return np.asarray(facts[SUM] / np.maximum(self._there(facts), 1))

    def _changes(self, facts: Array, *, shifts: bool) -> Array:
        """Return what is done to each column, (3, w): what fills, shift, factor.

        The mean is corrected by what the differences from it add up to, and so are their squares:
        little is lost of columns that differ in their last digits only.
        """
        there = self._there(facts)
        count, zeros = np.maximum(there, 1), there - facts[NONZEROS]
        low, high = (
            np.where(zeros > 0, pick(facts[row], 0), facts[row])
            for pick, row in ((np.minimum, LOW), (np.maximum, HIGH))
        )
        means, deviations = facts[CENTRE], np.zeros(there.size)
        if self.preprocess.scale:
            # What is not finite is reported where it is, by the norms of rows.
            with np.errstate(invalid="ignore", over="ignore"):
                differences = facts[DIFFERENCES] - zeros * means
                squares = facts[SQUARES] + zeros * means**2 - differences**2 / count
                deviations = np.sqrt(np.maximum(squares, 0) / self.n)
                means = means + differences / count
        # A column of nothing but one value has that mean, whatever its sum was rounded to.
        is_constant = (low >= high) | (there == 0)
        means = np.where(is_constant & (there > 0), low, means)
        means = np.where(np.isfinite(means), means, 0.0)
        is_scaled = ~is_constant & np.isfinite(deviations) & (deviations > 0)
        factors = 1 / np.where(is_scaled, deviations, 1.0)
        nothing = np.zeros(there.size)
        fills = means if self.preprocess.impute == "mean" else nothing
        return np.stack([fills, means if shifts else nothing, factors])


def code_of(preprocess: Preprocess, source: Source) -> float:
    """Return the value that means missing, as blocks have it.

    Raises
    ------
    ParameterError : if no value of X can be equal to it.
    """
    code, dtype = preprocess.missing_value, source.dtype
    if code is None:
        return math.nan
    if dtype.kind == "f":
        with np.errstate(over="ignore", under="ignore"):
            rounded = float(np.asarray(code).astype(dtype))
        if not math.isclose(rounded, code, rel_tol=float(np.finfo(dtype).eps)):
            raise ParameterError(
                f"missing_value={code:g} is no value of {source.name}: {dtype} has {rounded:g}"
            )
        return rounded
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not low <= code <= high or code != int(code):
        raise ParameterError(
            f"missing_value={code:g} is no value of {source.name}: {dtype} has integers from "
            f"{low} to {high}"
        )
    return code


def _no_facts(width: int) -> Array:
    facts = np.zeros((8, width))
    facts[LOW], facts[HIGH] = np.inf, -np.inf
    return facts


def _steps(block: SparseBlock) -> Iterator[tuple[Array, int, int]]:
    """Yield (extents, first column or -1, width) of a block, by rows or by columns, in steps."""
    columns = block.columns[1] - block.columns[0]
    starts, ends = block.indptr[:-1], block.indptr[1:]
    for first in range(0, columns, _SPARSE_COLUMNS):
        stop = min(first + _SPARSE_COLUMNS, columns)
        if block.by_rows:
            stops = np.empty_like(starts)
            advance(starts, ends, block.indices, stop, stops)
            yield np.stack([starts, stops]), first, stop - first
            starts = stops
        else:
            yield np.stack([starts[first:stop], ends[first:stop]]), -1, stop - first
