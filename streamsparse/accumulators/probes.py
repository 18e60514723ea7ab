"""G Omega for a few probe vectors: what bounds the error of every row (THEORY 5.1)."""

from __future__ import annotations

from functools import partial
from itertools import islice

import numpy as np

from streamsparse.accumulators.base import Additive, DensePiece, Piece, SparsePiece, State
from streamsparse.accumulators.steps import column_steps
from streamsparse.accumulators.tiles import TILE_WIDTH, Tile, TileStack
from streamsparse.arrays import Array
from streamsparse.kernels.project import (
    STAGED_ROWS,
    expand_dense,
    expand_rows,
    project_dense,
    project_rows,
)
from streamsparse.kernels.ranges import Each, even_ranges
from streamsparse.kernels.vector import OUTER_LANES

# Sparse steps that are projected at once, each by one thread.
_STEPS = 4


class ProbesAccumulator(Additive):
    """Accumulate X (X^T Omega), 4 q flops per entry of X, in float64.

    Parameters
    ----------
    probes : Omega, shape (n, q); the band must be all n rows.
    block_dtype : dtype of the blocks that will come.

    Notes
    -----
    Memory: n q * 8 bytes per state, q up to the next multiple of 16, and one tile. Sparse pieces
    must come by rows.
    """

    def __init__(self, *, probes: Array, block_dtype: np.dtype[np.generic]) -> None:
        # Whole vectors of probes, the last ones zero.
        self._count = int(probes.shape[1])
        padding = ((0, 0), (0, -self._count % OUTER_LANES))
        self.probes = np.pad(np.asarray(probes, np.float64), padding)
        self._transposed = np.ascontiguousarray(self.probes.T)
        self.rows = int(probes.shape[0])
        projected_bytes = 8 * TILE_WIDTH * self.probes.shape[1]
        self._stack = TileStack(rows=self.rows, block_dtype=block_dtype, bytes_each=projected_bytes)

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
        projected = [np.empty((tile.width, self.probes.shape[1])) for tile in tiles]
        parts = even_ranges(self.rows, 64)

        def project(k: int) -> None:
            tile = tiles[k]
            stage = np.zeros((STAGED_ROWS, TILE_WIDTH + OUTER_LANES), tile.data.dtype)
            project_dense(tile.data, tile.lo, tile.hi, self._transposed, stage, projected[k])

        def expand(part: int) -> None:
            a, b = parts[part]
            for tile, vectors in zip(tiles, projected, strict=True):
                expand_dense(tile.data[a:b], tile.lo, tile.hi, vectors, out[a:b])

        each(project, len(tiles))
        each(expand, len(parts))

    def _update_sparse(self, out: Array, piece: SparsePiece, each: Each) -> None:
        # What is made of _STEPS steps at once takes two stacks.
        bytes_per_column = 8 * self.probes.shape[1] * _STEPS // 2
        steps = column_steps(piece, bytes_per_column=bytes_per_column)
        while some := list(islice(steps, _STEPS)):
            self._add_steps(out, some, each)

    def _add_steps(self, out: Array, steps: list[SparsePiece], each: Each) -> None:
        """Project each step on X^T Omega, then expand all of them by rows of X."""
        shifts = [step.columns[0] - step.origin for step in steps]
        widths = [step.columns[1] - step.columns[0] for step in steps]
        projected = [np.zeros((width, self.probes.shape[1])) for width in widths]
        parts = even_ranges(self.rows, 64)

        def project(k: int) -> None:
            step = steps[k]
            target = projected[k]
            project_rows(step.extents, step.indices, step.data, shifts[k], self.probes, target)

        def expand(part: int) -> None:
            a, b = parts[part]
            for step, shift, vectors in zip(steps, shifts, projected, strict=True):
                extents = step.extents[:, a:b]
                expand_rows(extents, step.indices, step.data, shift, vectors, out[a:b])

        each(project, len(steps))
        each(expand, len(parts))

    def close_span(self, state: State, each: Each) -> None:
        """Multiply the tiles that are not full."""
        self._stack.flush(partial(self._multiply, state[0], each))

    def finish(self, state: State) -> Array:
        """Return G Omega (n, q)."""
        return np.asarray(state[0][:, : self._count])
