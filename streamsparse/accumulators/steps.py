"""Pieces cut into narrower ones, so that what is kept per column stays small, or moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from streamsparse.accumulators.base import DensePiece, Piece, SparsePiece
from streamsparse.accumulators.tiles import STACK_BYTES
from streamsparse.arrays import Interval
from streamsparse.kernels.layout import advance


def column_steps(piece: SparsePiece, *, bytes_per_column: int) -> Iterator[SparsePiece]:
    """Yield the columns of a piece by rows in steps for which STACK_BYTES suffice."""
    width = max(1, STACK_BYTES // bytes_per_column)
    while piece.columns[1] - piece.columns[0] > width:
        step, piece = split_piece(piece, piece.columns[0] + width)
        yield step
    yield piece


def shifted(piece: Piece, columns: int) -> Piece:
    """Return a piece as if it lay so many columns further on in X."""
    if columns == 0:
        return piece
    moved = (piece.columns[0] + columns, piece.columns[1] + columns)
    if isinstance(piece, DensePiece):
        return replace(piece, columns=moved)
    return replace(piece, columns=moved, origin=piece.origin + columns)


def cut(piece: Piece, columns: Interval) -> Piece:
    """Return these columns of a piece, by rows if it is sparse."""
    if isinstance(piece, SparsePiece):
        return columns_of(piece, columns)
    offset = piece.offset + columns[0] - piece.columns[0]
    return replace(piece, columns=columns, offset=offset)


def columns_of(piece: SparsePiece, columns: Interval) -> SparsePiece:
    """Return these columns of a piece by rows."""
    _, after = split_piece(piece, columns[0])
    return split_piece(after, columns[1])[0]


def split_piece(piece: SparsePiece, column: int) -> tuple[SparsePiece, SparsePiece]:
    """Return the columns of a piece by rows before ``column`` of X, and those from there on."""
    starts, ends = piece.extents
    middle = np.empty_like(starts)
    advance(starts, ends, piece.indices, column - piece.origin, middle)
    return (
        replace(piece, columns=(piece.columns[0], column), extents=np.stack([starts, middle])),
        replace(piece, columns=(column, piece.columns[1]), extents=np.stack([middle, ends])),
    )
