"""From blocks, as sources give them, to pieces, as accumulators want them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from streamsparse.accumulators.base import DensePiece, Piece, SparsePiece
from streamsparse.arrays import Array
from streamsparse.kernels.layout import (
    advance,
    transpose,
    transpose_compressed,
    zero_nonfinite,
)
from streamsparse.running.spans import pieces_of
from streamsparse.sources.base import Block, DenseBlock, SparseBlock
from streamsparse.sources.buffers import empty_block


def prepare(block: Block, *, by_rows: bool, zero: bool) -> Block:
    """Bring a block into the layout of the kernels; runs in the reading thread.

    Dense blocks become C-contiguous, sparse ones compressed by rows or by columns. With ``zero``
    the NaN and infinities of float data become 0, on a copy.
    """
    block = _prepare_dense(block) if isinstance(block, DenseBlock) else _oriented(block, by_rows)
    if zero and block.data.dtype.kind == "f":
        data = block.view().copy() if isinstance(block, DenseBlock) else block.data.copy()
        zero_nonfinite(np.atleast_2d(data))
        if isinstance(block, DenseBlock):
            return DenseBlock(block.rows, block.columns, data)
        return SparseBlock(
            block.rows, block.columns, block.by_rows, block.indptr, block.indices, data
        )
    return block


def _prepare_dense(block: DenseBlock) -> DenseBlock:
    if block.data.flags.c_contiguous:
        return block
    view = block.view()
    if view.flags.f_contiguous and not view.flags.c_contiguous:
        data = empty_block(view.shape, view.dtype)
        transpose(view.T, data)
    else:
        data = np.ascontiguousarray(view)
    return DenseBlock(block.rows, block.columns, data)


def _oriented(block: SparseBlock, by_rows: bool) -> SparseBlock:
    if block.by_rows == by_rows:
        return block
    rows = block.rows[1] - block.rows[0]
    columns = block.columns[1] - block.columns[0]
    indptr = np.zeros((rows if by_rows else columns) + 1, np.int64)
    majors = columns if by_rows else rows
    index_dtype = np.int32 if majors <= np.iinfo(np.int32).max else np.int64
    indices = empty_block((block.nnz,), np.dtype(index_dtype))
    data = empty_block((block.nnz,), block.data.dtype)
    transpose_compressed(block.indptr, block.indices, block.data, indptr, indices, data)
    return SparseBlock(block.rows, block.columns, by_rows, indptr, indices, data)


def cut_pieces(block: Block, span_width: int) -> Iterator[tuple[int, Piece]]:
    """Yield (span index, piece) for the parts of a prepared block that lie in one span each.

    What comes over a network lies anywhere, also across boundaries of its own numbers. numpy then
    copies it before a product, twice where both factors are the same, which it no longer sees: it
    takes another routine of BLAS, with other bits.
    """
    block = _aligned(block)
    if isinstance(block, DenseBlock):
        for span, (start, stop) in pieces_of(block.columns, span_width):
            part = block.cut(start, stop)
            yield span, DensePiece(part.rows, part.columns, part.data, part.offset)
    elif block.by_rows:
        yield from _cut_rows(block, span_width)
    else:
        origin = block.columns[0]
        for span, (start, stop) in pieces_of(block.columns, span_width):
            pointers = block.indptr[start - origin : stop - origin + 1]
            extents = np.stack([pointers[:-1], pointers[1:]])
            yield span, _sparse_piece(block, (start, stop), extents)


def _aligned(block: Block) -> Block:
    if isinstance(block, DenseBlock):
        return replace(block, data=np.require(block.data, requirements="A"))
    indptr, indices, data = (
        np.require(array, requirements="A") for array in (block.indptr, block.indices, block.data)
    )
    return SparseBlock(block.rows, block.columns, block.by_rows, indptr, indices, data)


def _cut_rows(block: SparseBlock, span_width: int) -> Iterator[tuple[int, Piece]]:
    starts, ends = block.indptr[:-1].copy(), block.indptr[1:]
    origin = block.columns[0]
    for span, (start, stop) in pieces_of(block.columns, span_width):
        stops = np.empty_like(starts)
        advance(starts, ends, block.indices, stop - origin, stops)
        yield span, _sparse_piece(block, (start, stop), np.stack([starts, stops]))
        starts = stops


def _sparse_piece(block: SparseBlock, columns: tuple[int, int], extents: Array) -> SparsePiece:
    return SparsePiece(
        rows=block.rows,
        columns=columns,
        by_rows=block.by_rows,
        extents=extents,
        indices=block.indices,
        data=block.data,
        origin=block.columns[0],
    )
