"""Chunks that a task computes itself: which, how often, and that the bits are what dask's are."""

import dask
import dask.array as da
import numpy as np
import pytest

import streamsparse as ss
from streamsparse.running.feeds import ChunkFeed
from streamsparse.running.recipes import Recipes, Steps

N, D = 5, 16 << 14
X = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)


def counted(width, counts):
    """X as a dask array whose chunks count how often they are computed."""

    def chunk(block_info=None):
        (_, _), (start, stop) = block_info[None]["array-location"]
        counts.append(start)
        return X[:, start:stop].copy()

    widths = [min(width, D - start) for start in range(0, D, width)]
    return da.map_blocks(chunk, chunks=((N,), tuple(widths)), dtype=X.dtype, meta=X[:0, :0])


def recipes_of(array, *, is_annotated=False):
    lazy = array.to_delayed(optimize_graph=True)
    recipes = Recipes(lazy, is_annotated=is_annotated)
    return [recipes.of(chunk.key) is not None for chunk in lazy.flat]


@pytest.mark.parametrize("width", [1 << 12, 5000, 20_000])
def test_sums__computes_every_chunk_once(width):
    counts = []
    with dask.config.set(scheduler="sync"):
        ss.sparsify(counted(width, counts), "exact", progress=False)
    assert sorted(counts) == list(range(0, D, width))


@pytest.mark.parametrize("width", [1 << 12, 5000])
@pytest.mark.parametrize("by_itself", [True, False])
def test_sums__gives_the_bits_of_a_local_run(width, by_itself, monkeypatch):
    expected = ss.sparsify(X, "sketch", m=7, progress=False, runner="local").Y
    array = counted(width, [])
    seen = []

    def computed(feed, band, spans, original=ChunkFeed._computed):
        seen.append(original(feed, band, spans) if by_itself else None)
        return seen[-1]

    monkeypatch.setattr(ChunkFeed, "_computed", computed)
    with dask.config.set(scheduler="sync"):
        got = ss.sparsify(array, "sketch", m=7, progress=False).Y
    assert seen
    assert all(lazy is not None for lazy in seen) == by_itself
    np.testing.assert_array_equal(got, expected)


def test_recipes__are_of_chunks_that_need_nothing_but_data():
    array = counted(1 << 14, [])
    assert all(recipes_of(array))
    assert all(recipes_of(array * 2 + 1))
    assert not any(recipes_of(array, is_annotated=True))


def test_recipes__leave_what_is_there_to_dask():
    array = counted(1 << 14, [])
    assert not any(recipes_of(array.persist(scheduler="sync")))
    assert not any(recipes_of(da.from_array(X, chunks=(N, 1 << 14))))


def test_recipes__leave_what_needs_other_tasks_to_dask():
    halves = counted(1 << 14, []).rechunk((N, (1 << 14) - 100))
    assert not all(recipes_of(halves))


def test_steps__compute_a_chunk_when_it_is_asked_for():
    counts = []
    array = counted(1 << 14, counts)
    lazy = array.to_delayed(optimize_graph=True)
    recipes = Recipes(lazy, is_annotated=False)
    keys = [chunk.key for chunk in lazy.flat]
    columns = [(start, start + (1 << 14)) for start in range(0, D, 1 << 14)]
    steps = Steps(columns, [[key] for key in keys], {key: recipes.of(key) for key in keys}, [])
    for number, (_, chunks) in enumerate(steps.chunks([])):
        assert len(counts) == number
        (chunk,) = chunks
        np.testing.assert_array_equal(chunk, X[:, columns[number][0] : columns[number][1]])
