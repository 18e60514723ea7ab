"""Many tiles of few rows in one call: the bits of one tile after the other."""

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from drivers import accumulate, block_dtype, serial
from streamsparse.accumulators import batches, gram, rows
from streamsparse.accumulators.base import DensePiece
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.accumulators.rows import RowsAccumulator
from streamsparse.accumulators.tiles import STACK_BYTES, TILE_WIDTH, Tile, as_factor
from streamsparse.running.threads import worker_threads

D = 21 * TILE_WIDTH + 100


def matrix(n, dtype, *, is_scaled):
    """Return values of which every other tile has rows whose squares leave float32."""
    X = np.random.default_rng(n).standard_normal((n, D))
    if is_scaled:
        X[::3, : 5 * TILE_WIDTH] *= 2.0**70
        X[1::3, 9 * TILE_WIDTH :] *= 2.0**-80
    return (X if np.dtype(dtype).kind == "f" else 50 * X).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int32"])
@pytest.mark.parametrize("is_scaled", [False, True])
@pytest.mark.parametrize("n", [1, 63, 128, 200, 256])
def test_accumulators__of_few_rows_have_the_bits_of_single_tiles(monkeypatch, n, dtype, is_scaled):
    if is_scaled and dtype not in ("float32", "float64"):
        pytest.skip("integers are never scaled")
    X = matrix(n, dtype, is_scaled=is_scaled)
    sample = np.arange(0, n, 3)

    def both():
        G = accumulate(GramAccumulator(rows=n, block_dtype=block_dtype(X)), X)
        made = RowsAccumulator(rows=n, sample=sample, held=None, block_dtype=block_dtype(X))
        return G, accumulate(made, X)

    in_batches = both()
    for module in (gram, rows):
        monkeypatch.setattr(module, "FEW_ROWS", 0)
    for ours, expected in zip(in_batches, both(), strict=True):
        np.testing.assert_array_equal(ours, expected)


@given(data=st.data(), n=st.sampled_from([3, 140]), is_scaled=st.booleans())
def test_accumulators__of_few_rows_have_the_same_bits_for_any_cut_and_threads(data, n, is_scaled):
    X = matrix(n, "float32", is_scaled=is_scaled)
    edges = data.draw(strategies.cuts(D))

    def made(**options):
        sampled = RowsAccumulator(
            rows=n, sample=np.arange(n), held=None, block_dtype=block_dtype(X)
        )
        G = accumulate(GramAccumulator(rows=n, block_dtype=block_dtype(X)), X, **options)
        return G, accumulate(sampled, X, **options)

    whole = made()
    with worker_threads(data.draw(st.sampled_from([1, 2, 5]))) as each:
        cut = made(edges=edges, each=each)
    for ours, expected in zip(cut, whole, strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("rows_count", [4, 200, 600])
def test_add_batches__takes_tiles_from_anywhere_in_any_number(rows_count):
    # Neighbours, a gap, another array, a narrow last one.
    X, Z = (np.full((rows_count, 4096), value, np.float32) for value in (2, 3))
    tiles = [Tile(0, X, lo, lo + 256) for lo in range(0, 2560, 256)]
    tiles += [Tile(0, X, 3072, 3328), Tile(0, Z, 3328, 3584), Tile(0, Z, 3584, 3600)]
    out = np.zeros((rows_count, rows_count))
    whole = (0, rows_count)
    batches.add_batches(tiles, [batches.Job(whole, whole, out, 0)], serial)
    assert (out == 11 * 256 * 4 + 256 * 9 + 16 * 9).all()


@pytest.mark.parametrize("count", [1, 10, 255, 256])
@pytest.mark.parametrize("kind", ["rows", "gram"])
def test_accumulators__of_few_rows_make_no_more_at_once_than_a_stack_takes(
    monkeypatch, kind, count
):
    # However many threads there are: each waits with its copies until all have theirs.
    barrier, factors = [], batches._factors

    def all_at_once(task, number):
        barrier[:] = [threading.Barrier(number)]
        with ThreadPoolExecutor(number) as pool:
            list(pool.map(task, range(number)))

    def factors_of(run):
        made = factors(run)
        barrier[0].wait()
        return made

    monkeypatch.setattr(batches, "_factors", factors_of)
    # 8-bit tiles are copied as float32: 256 KiB each, of which 128 pass by.
    X = np.ones((256, 128 * TILE_WIDTH), np.int8)
    made = (
        RowsAccumulator(rows=256, sample=np.arange(count), held=None, block_dtype=X.dtype)
        if kind == "rows"
        else GramAccumulator(rows=256, block_dtype=X.dtype)
    )
    piece, state = DensePiece((0, 256), (0, X.shape[1]), X, 0), made.start()
    made.update(state, piece, all_at_once)
    tracemalloc.start()
    try:
        made.update(state, piece, all_at_once)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Beside it: threads, tiles and jobs, less than a tile of 256 KiB.
    assert peak <= STACK_BYTES + (1 << 18)


def test_batches__copy_nothing_that_is_safe():
    X = np.ones((3, 1024), np.float32)
    run = [Tile(0, X, lo, lo + 256) for lo in range(0, 1024, 256)]
    assert np.shares_memory(batches._factors(run).values, X)
    assert np.shares_memory(as_factor(run[0]).values, X)
