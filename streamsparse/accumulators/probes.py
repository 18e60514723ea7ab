"""G Omega for a few probe vectors: what bounds the error of every row (THEORY 5.1)."""

from __future__ import annotations

from functools import partial

import numpy as np

from streamsparse.accumulators.base import Additive, DensePiece, Piece, SparsePiece, State
from streamsparse.accumulators.steps import column_steps
from streamsparse.accumulators.tiles import TILE_WIDTH, Tile, TileStack, row_bands
from streamsparse.kernels.project import expand_rows, project_rows
from streamsparse.kernels.ranges import Each, even_ranges
from streamsparse.sources.base import Array


class ProbesAccumulator(Additive):
    """Accumulate X (X^T Omega), 4 q flops per entry of X, in float64.

    Parameters
    ----------
    probes : Omega, shape (n, q); the band must be all n rows.
    block_dtype : dtype of the blocks that will come.

    Notes
    -----
    Memory: n q * 8 bytes per state, plus one stack of tiles. Sparse pieces must come by rows.
    """

    def __init__(self, *, probes: Array, block_dtype: np.dtype[np.generic]) -> None:
        self.probes = probes
        self.rows = int(probes.shape[0])
        self._stack = TileStack(rows=self.rows, block_dtype=block_dtype)

    def start(self) -> State:
        """Return G Omega, zero."""
        return [np.zeros_like(self.probes)]

    def update(self, state: State, piece: Piece, each: Each) -> None:
        """Add the columns of one piece."""
        if isinstance(piece, SparsePiece):
            self._update_sparse(state[0], piece, each)
            return
        assert isinstance(piece, DensePiece)
        self._stack.add(piece, each, partial(self._multiply, state[0], each))

    def _multiply(self, out: Array, each: Each, tiles: list[Tile]) -> None:
        bands = row_bands(self.rows)
        projected = np.zeros((len(tiles), TILE_WIDTH, self.probes.shape[1]))

        def project(k: int) -> None:
            tile = tiles[k]
            target = projected[k, : tile.width]
            wide = np.empty((bands[0][1], tile.width))
            for a, b in bands:
                target += _widened(tile, a, b, wide).T @ self.probes[a:b]

        def expand(part: int) -> None:
            a, b = bands[part]
            wide = np.empty((b - a, TILE_WIDTH))
            for k, tile in enumerate(tiles):
                values = _widened(tile, a, b, wide[:, : tile.width])
                out[a:b] += values @ projected[k, : tile.width]

        each(project, len(tiles))
        each(expand, len(bands))

    def _update_sparse(self, out: Array, piece: SparsePiece, each: Each) -> None:
        for step in column_steps(piece, bytes_per_column=16 * self.probes.shape[1]):
            self._add_step(out, step, each)

    def _add_step(self, out: Array, step: SparsePiece, each: Each) -> None:
        """Project on X^T Omega by columns of Omega, then expand by rows of X."""
        q = self.probes.shape[1]
        groups, parts = even_ranges(q, 8), even_ranges(self.rows, 16)
        shift = step.columns[0] - step.origin
        projected = np.zeros((step.columns[1] - step.columns[0], q))

        def project(k: int) -> None:
            a, b = groups[k]
            probes, target = self.probes[:, a:b], projected[:, a:b]
            project_rows(step.extents, step.indices, step.data, shift, probes, target)

        def expand(k: int) -> None:
            a, b = parts[k]
            extents = step.extents[:, a:b]
            expand_rows(extents, step.indices, step.data, shift, projected, out[a:b])

        each(project, len(groups))
        each(expand, len(parts))

    def close_span(self, state: State, each: Each) -> None:
        """Multiply the tiles that are not full."""
        self._stack.flush(partial(self._multiply, state[0], each))

    def finish(self, state: State) -> Array:
        """Return G Omega (n, q)."""
        return np.asarray(state[0])


def _widened(tile: Tile, start: int, stop: int, wide: Array) -> Array:
    """Return rows of a tile in float64, in ``wide`` unless they are; its memory is used again."""
    values = tile.values[start:stop]
    if values.dtype == np.float64:
        return values
    target = wide[: stop - start]
    target[...] = values
    return target
