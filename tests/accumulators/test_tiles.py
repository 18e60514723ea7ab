"""Tiles on their way out of blocks: all columns, in order, no more at once than may be made of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from drivers import serial
from streamsparse.accumulators.base import DensePiece
from streamsparse.accumulators.tiles import STACK_BYTES, TILE_WIDTH, TileStack, as_factor

D = 3000


@given(cuts=strategies.cuts(D), at_once=st.sampled_from([1, 2, 7, 1000]))
def test_tile_stack__gives_out_all_columns_in_tiles_that_no_cut_moves(cuts, at_once):
    X = np.arange(2 * D, dtype=np.float32).reshape(2, D)
    stack = TileStack(rows=2, block_dtype=X.dtype, bytes_each=STACK_BYTES // at_once)
    given_out, groups = [], []

    def consume(tiles):
        groups.append(len(tiles))
        given_out.extend((tile.columns, tile.values.copy()) for tile in tiles)

    for a, b in zip([0, *cuts], [*cuts, D], strict=True):
        if a < b:
            stack.add(
                DensePiece((0, 2), (a, b), np.ascontiguousarray(X[:, a:b]), 0), serial, consume
            )
    stack.flush(consume)
    edges = [(a, min(a + TILE_WIDTH, D)) for a in range(0, D, TILE_WIDTH)]
    assert [columns for columns, _ in given_out] == edges
    for (a, b), values in given_out:
        np.testing.assert_array_equal(values, X[:, a:b])
    assert max(groups) <= at_once


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_as_factor__copies_nothing_that_is_safe(dtype):
    X = np.ones((3, 300), dtype)
    found = []
    TileStack(rows=3, block_dtype=X.dtype, bytes_each=1).add(
        DensePiece((0, 3), (0, 300), X, 0), serial, found.extend
    )
    assert all(np.shares_memory(as_factor(tile).values, X) for tile in found)
