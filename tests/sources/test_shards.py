"""Folders of .npy files: one array, whichever way it is cut."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamsparse as ss
from streamsparse.errors import CorruptChunkError, UnsupportedInputError
from streamsparse.sources.open import open_source
from streamsparse.sources.shards import ShardsSource


def opened(path, feature_axis=1):
    return open_source(path, feature_axis=feature_axis, missing="error")


def sharded(folder, values, edges, *, order="C"):
    folder.mkdir(exist_ok=True)
    for k, part in enumerate(np.split(values, edges)):
        np.save(folder / f"part-{k}.npy", np.asarray(part, order=order))
    return folder


@pytest.mark.parametrize("feature_axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f2", ">f4", "i1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_shards__blocks_equal_the_whole(check, matrix, tmp_path, dtype, order, feature_axis):
    shape = (5003, 7) if feature_axis == 0 else (41, 1300)
    values = matrix(dtype, shape=shape)
    # Twelve: part-10 comes after part-9.
    edges = np.linspace(0, shape[0], 13).astype(int)[1:-1]
    source = opened(sharded(tmp_path / "E", values, edges, order=order), feature_axis)
    assert isinstance(source, ShardsSource)
    X = values if feature_axis == 1 else values.T
    check(source, X, budgets=(48 * 4096 * 8, 10**7), heights=(16, 10**9))


@given(data=st.data())
def test_shards__may_have_any_lengths(tmp_path_factory, data):
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    folder = tmp_path_factory.mktemp("E")
    values = np.arange(sum(lengths) * 4, dtype=np.int32).reshape(-1, 4)
    sharded(folder, values, np.cumsum(lengths)[:-1])
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(values))] * 2)))
    if a < b:
        X = opened(folder, 0)
        np.testing.assert_array_equal(X.read((1, 3), (a, b)).view(), values.T[1:3, a:b])
        np.testing.assert_array_equal(opened(folder).read((a, b), (0, 4)).view(), values[a:b])


def test_sparsify__of_shards_is_that_of_the_array(tmp_path):
    E = np.random.default_rng(0).standard_normal((4000, 30)).astype(np.float32)
    folder = sharded(tmp_path / "E", E, [100, 1700])
    ours = ss.sparsify(folder, "sketch", m=64, feature_axis=0)
    np.testing.assert_array_equal(ours.Y, ss.sparsify(E, "sketch", m=64, feature_axis=0).Y)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (np.ones((3, 4), np.float64), "dtype float32.*float64"),
        (np.ones((3, 5), np.float32), "width 4.*5"),
        (np.asfortranarray(np.ones((3, 4), np.float32)), "order [CF].* [CF]"),
    ],
)
@pytest.mark.parametrize("feature_axis", [0, 1])
def test_shards__that_differ_are_refused(tmp_path, other, message, feature_axis):
    np.save(tmp_path / "a.npy", np.ones((2, 4), np.float32))
    np.save(tmp_path / "b.npy", other)
    with pytest.raises(UnsupportedInputError, match=message):
        opened(tmp_path, feature_axis)


def test_shards__that_are_cut_short_are_refused(tmp_path):
    sharded(tmp_path / "E", np.ones((90, 40)), [30, 60])
    os.truncate(tmp_path / "E" / "part-1.npy", 1000)
    with pytest.raises(CorruptChunkError, match=r"part-1.npy is truncated"):
        opened(tmp_path / "E")


def test_shards__are_others_when_a_file_is_written_or_added(tmp_path):
    folder = sharded(tmp_path / "E", np.ones((90, 4)), [30, 60])
    source = opened(folder)
    before = source.fingerprint()
    assert pickle.loads(pickle.dumps(source)).fingerprint() == before
    np.save(folder / "part-3.npy", np.ones((5, 4)))
    assert source.fingerprint() != before
