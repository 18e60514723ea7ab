"""What LLVM is told to do against what it means."""

import os

import numpy as np
import pytest

from streamsparse.kernels import vector
from streamsparse.kernels.jit import compiled
from streamsparse.kernels.vector import LANES, OUTER_LANES, OUTER_ROWS, ROWS, WIDTH

DTYPES = ["float32", "float64", "int8", "uint8", "int16", "int32", "int64"]


def staging(x, start, stage, to):
    vector.stage_run(x, start, stage, to)


def adding(stage, step, positions, signs, entries, at, first, second):
    vector.add_cells(stage, step, positions, signs, *entries, at, (first, second))


def multiplying(a, at, step, b, start, stride, depth, sums):
    vector.add_outer(a, at, step, b, start, stride, depth, sums)


def adding_multiple(y, at, value, x, start):
    vector.add_multiple(y, at, value, x, start)


def fetching(x, at):
    vector.fetch(x, at)


def both(function, *arguments):
    """Return what the function makes of copies of the arguments, compiled and as it is written."""
    copies = [[np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments] for _ in range(2)]
    compiled(function)(*copies[0])
    function(*copies[1])
    return copies


def values(count, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, 100, count).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [(dtype, "float64") for dtype in DTYPES]
    + [(dtype, "float32") for dtype in ("float32", "int8", "uint8", "int16")],
)
def test_stage_run__copies_and_converts(dtype, wide):
    x = values(3 + WIDTH, dtype)
    ours, _ = both(staging, x, 3, np.zeros(5 + WIDTH, wide), 5)
    np.testing.assert_array_equal(ours[2][5:], x[3:])
    assert (ours[2][:5] == 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("entries", [0, 1, 5])
def test_add_cells__has_the_same_bits_as_its_meaning(dtype, entries):
    rng = np.random.default_rng(entries)
    step = 40
    stage = rng.standard_normal(ROWS * step).astype(dtype)
    positions = rng.integers(0, step - LANES, 7).astype(np.int32)
    signs = rng.integers(0, 256, 7).astype(np.uint8)
    rows = [rng.standard_normal(3 + LANES) for _ in range(ROWS)]
    ours, theirs = both(adding, stage, step, positions, signs, (2, 2 + entries), 3, *rows)
    for mine, meant, before in zip(ours[-ROWS:], theirs[-ROWS:], rows, strict=True):
        np.testing.assert_array_equal(mine, meant)
        np.testing.assert_array_equal(mine[:3], before[:3])


def test_add_cells__adds_once_to_a_row_that_is_given_twice():
    stage = np.tile(np.arange(40, dtype=np.float64), ROWS)
    row = np.zeros(LANES)
    zero = np.zeros(1, np.int32)
    compiled(adding)(stage, 40, zero, zero.astype(np.uint8), (0, 1), 0, row, row)
    np.testing.assert_array_equal(row, np.arange(LANES))


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", ["float32", "float64", "int8"])
def test_add_outer__multiplies(left, right):
    depth, stride = 9, OUTER_LANES + 3
    a, b = values(4 + OUTER_ROWS * 11, left, 1), values(2 + depth * stride, right, 2)
    sums = np.ones((OUTER_ROWS, OUTER_LANES))
    A = np.stack([a[4 + 11 * r : 4 + 11 * r + depth] for r in range(OUTER_ROWS)]).astype(float)
    B = np.stack([b[2 + stride * k : 2 + stride * k + OUTER_LANES] for k in range(depth)])
    ours, theirs = both(multiplying, a, 4, 11, b, 2, stride, depth, sums)
    # Integers: no rounding, fused or not.
    np.testing.assert_array_equal(ours[-1], 1 + A @ B.astype(float))
    np.testing.assert_array_equal(theirs[-1], ours[-1])


def test_add_multiple__has_the_same_bits_as_its_meaning():
    rng = np.random.default_rng(0)
    y, x = rng.standard_normal(3 + OUTER_LANES + 2), rng.standard_normal(5 + OUTER_LANES)
    ours, theirs = both(adding_multiple, y, 3, 0.1, x, 5)
    np.testing.assert_array_equal(ours[0], theirs[0])
    changed = np.flatnonzero(ours[0] != y)
    np.testing.assert_array_equal(changed, np.arange(3, 3 + OUTER_LANES))


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_fetch__changes_nothing():
    x = values(10, "float32")
    compiled(fetching)(x, 3)
    np.testing.assert_array_equal(x, values(10, "float32"))
