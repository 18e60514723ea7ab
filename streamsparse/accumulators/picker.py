"""Columns of X that a rule picks as they pass by."""

from __future__ import annotations

from functools import partial

import numpy as np

from streamsparse.accumulators.base import DensePiece, Piece, SparsePiece
from streamsparse.accumulators.picks import Batch, Picking, Picks, compress
from streamsparse.accumulators.rules import Rule
from streamsparse.accumulators.tiles import STACK_BYTES, TILE_WIDTH, Tile, TileStack, row_bands
from streamsparse.arrays import Array
from streamsparse.kernels.project import project_columns
from streamsparse.kernels.ranges import Each, even_ranges


class ColumnPicker(Picking[Rule]):
    """Pick columns by their leverage score ||T x_j||^2, or by their index alone.

    Parameters
    ----------
    rows : n; pieces hold all rows, sparse ones come by columns.
    rule : which columns to keep.
    block_dtype : dtype of the blocks that will come.
    vectors : T^T, shape (n, t): 2 t flops per entry of X; None where the rule needs no scores.

    Notes
    -----
    Scores are computed on tiles of fixed columns, so picks do not depend on block edges. Memory:
    the picked columns in float64 (dense) or as entries (sparse), plus one stack of tiles.
    """

    def __init__(
        self, *, rows: int, rule: Rule, block_dtype: np.dtype[np.generic], vectors: Array | None
    ) -> None:
        self.rows = rows
        self.rule = rule
        self.vectors = vectors
        self._stack: TileStack | None = None
        if vectors is not None:
            self._stack = TileStack(rows=rows, block_dtype=block_dtype, bytes_each=8 * TILE_WIDTH)

    def update(self, state: Picks, piece: Piece, each: Each) -> None:
        """Look at the columns of one piece."""
        if isinstance(piece, SparsePiece):
            self._update_sparse(state, piece, each)
        elif self._stack is None:
            self._pick_dense(state, piece)
        else:
            self._stack.add(piece, each, partial(self._score, state, each))

    def _pick_dense(self, state: Picks, piece: DensePiece) -> None:
        columns = np.arange(*piece.columns)
        scores = np.ones(columns.size)
        keys, positions = self._candidates(columns, scores)
        values = piece.data[:, piece.offset + positions].T.astype(np.float64)
        self.add(state, Batch(columns[positions], scores[positions], keys[positions], values))

    def _score(self, state: Picks, each: Each, tiles: list[Tile]) -> None:
        assert self.vectors is not None
        vectors, bands = self.vectors, row_bands(self.rows)
        scores = np.empty((len(tiles), TILE_WIDTH))

        def score(k: int) -> None:
            values = tiles[k].values
            projected = np.zeros((vectors.shape[1], values.shape[1]))
            for a, b in bands:
                projected += vectors[a:b].T @ values[a:b].astype(np.float64, copy=False)
            np.einsum("tj,tj->j", projected, projected, out=scores[k, : values.shape[1]])

        each(score, len(tiles))
        for k, tile in enumerate(tiles):
            columns = np.arange(*tile.columns)
            found = scores[k, : columns.size]
            keys, positions = self._candidates(columns, found)
            values = tile.values[:, positions].T.astype(np.float64, order="C")
            self.add(state, Batch(columns[positions], found[positions], keys[positions], values))

    def _update_sparse(self, state: Picks, piece: SparsePiece, each: Each) -> None:
        width = max(1, STACK_BYTES // (8 * (1 if self.vectors is None else self.vectors.shape[1])))
        for first in range(piece.columns[0], piece.columns[1], width):
            columns = np.arange(first, min(first + width, piece.columns[1]))
            extents = piece.extents[:, columns - piece.columns[0]]
            scores = self._scores_of_sparse(piece, extents, each)
            keys, positions = self._candidates(columns, scores)
            values = compress(extents[:, positions], piece.indices, piece.data)
            self.add(state, Batch(columns[positions], scores[positions], keys[positions], values))

    def _scores_of_sparse(self, piece: SparsePiece, extents: Array, each: Each) -> Array:
        count = extents.shape[1]
        if self.vectors is None:
            return np.ones(count)
        vectors = self.vectors
        projected = np.empty((count, vectors.shape[1]))
        parts = even_ranges(count, 64)

        def project(part: int) -> None:
            a, b = parts[part]
            project_columns(extents[:, a:b], piece.indices, piece.data, vectors, projected[a:b])

        each(project, len(parts))
        return np.asarray(np.einsum("jt,jt->j", projected, projected))

    def _candidates(self, columns: Array, scores: Array) -> tuple[Array, Array]:
        """Return (keys, positions of the columns that may be kept)."""
        keys = self.rule.keys(columns, scores)
        return keys, np.flatnonzero(keys > 0)

    def close_span(self, state: Picks, each: Each) -> None:
        """Look at the columns that are still in tiles."""
        if self._stack is not None:
            self._stack.flush(partial(self._score, state, each))
