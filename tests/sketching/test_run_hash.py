from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from streamsparse.errors import ParameterError
from streamsparse.sketching.run_hash import SparseSign, hash_words

GOLDEN_WORDS = ["2466c917b1ec5de6", "ce946790b7bf7b6a", "643aabd84cddf352"]
GOLDEN_OFFSETS = [
    [312, 659, 1382, 1919, 2473, 3385, 3662, 4336],
    [207, 1020, 1474, 2215, 2534, 2927, 3592, 4281],
]
GOLDEN_SIGNS = [["0ff0078046a26252", "980423a1b4fe1b54"], ["ad72d021577bbcc7", "b069aaecaa8f698a"]]


@given(
    seed=st.integers(0, 2**64 - 1),
    keys=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20),
    stream=st.integers(0, 2**40),
)
def test_hash_words__equals_the_integer_twin(seed, keys, stream):
    words = hash_words(seed=seed, keys=np.array(keys, np.uint64), stream=stream)
    assert words.tolist() == [reference.hash_word(seed, key, stream) for key in keys]


def test_hash_words__golden_values_pin_the_hash_for_ever():
    words = hash_words(seed=12345, keys=np.array([0, 1, 2**40], np.uint64), stream=3)
    assert [f"{word:016x}" for word in words.tolist()] == GOLDEN_WORDS


def test_tables__golden_values_pin_offsets_and_signs_for_ever():
    operator = SparseSign.make(d=10**6, m=4096, s=8, seed=7)
    offsets, signs = operator.tables(3, 5)
    assert offsets.tolist() == GOLDEN_OFFSETS
    assert [[f"{word:016x}" for word in row] for row in signs[:, :2].tolist()] == GOLDEN_SIGNS


@pytest.mark.parametrize(
    ("m", "s", "run"),
    [(4096, 8, 64), (512, 8, 64), (511, 8, 32), (100, 8, 8), (8, 8, 1), (3, 8, 1), (64, 1, 64)],
)
def test_make__run_is_the_largest_power_of_two_below_every_width(m, s, run):
    operator = SparseSign.make(d=1000, m=m, s=s, seed=0)
    assert operator.run == run
    assert sum(operator.widths) == m
    assert max(operator.widths) - min(operator.widths) <= 1
    assert operator.run <= min(operator.widths)


def test_make__columns_of_one_run_never_share_a_bucket_of_a_replicate():
    S = reference.dense_S(d=640, m=130, s=2, seed=5)
    run = SparseSign.make(d=640, m=130, s=2, seed=5).run
    for q in range(640 // run):
        columns = S[:, q * run : (q + 1) * run]
        assert (np.abs(columns).sum(axis=1) <= 1).all()


def test_from_dict__gives_the_same_operator_and_refuses_another_hash():
    operator = SparseSign.make(d=1000, m=64, s=4, seed=9)
    assert SparseSign.from_dict(operator.to_dict()) == operator
    with pytest.raises(ParameterError, match="hash version 99"):
        SparseSign.from_dict(operator.to_dict() | {"hash_version": 99})


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, None])
def test_make__refuses_a_seed_that_is_not_64_bits(seed):
    with pytest.raises(ParameterError, match="seed"):
        SparseSign.make(d=10, m=4, s=1, seed=seed)


@pytest.mark.parametrize("s", [1, 2, 4, 8])
def test_S__every_column_has_s_signs_one_per_replicate(s):
    S = reference.dense_S(d=300, m=96, s=s, seed=1)
    assert (np.abs(S).sum(axis=0) == s).all()


@pytest.mark.parametrize("s", [1, 8])
def test_S__signs_and_offsets_are_uniform(s):
    # Chi-square over the buckets of one replicate, 4,000 runs: mean w - 1, variance 2 (w - 1).
    operator = SparseSign.make(d=1, m=64 * s, s=s, seed=3)
    offsets, signs = operator.tables(0, 4000)
    width = operator.widths[0]
    for t in range(s):
        start = offsets[:, t] - t * (width + operator.run - 1)
        counts = np.bincount(start, minlength=width)
        chi_square = ((counts - 4000 / width) ** 2 / (4000 / width)).sum()
        assert abs(chi_square - (width - 1)) < 6 * np.sqrt(2 * (width - 1))
        ones = sum(bin(word).count("1") for word in signs[:, t].tolist())
        assert abs(ones - 4000 * 32) < 6 * np.sqrt(4000 * 64 / 4)


GOLDEN_POLY4_OFFSETS = [[350, 2417], [202, 3772]]
GOLDEN_POLY4_SIGNS = [
    ["260d2d27f72717c4", "8d2d9e12b71e8d13"],
    ["3298282486ef0ed7", "0522b2189521ef87"],
]
poly4_sizes = pytest.mark.parametrize(("m", "s"), [(64, 1), (130, 2), (20, 8), (512, 4)])


def dense_from_tables(operator, edges):
    """S put together from the tables of the runs between ``edges``."""
    S = np.zeros((operator.m, edges[-1] * operator.run))
    for first, stop in pairwise(edges):
        offsets, signs = operator.tables(first, stop)
        starts = np.cumsum([0, *operator.widths])
        for q, t in np.ndindex(offsets.shape):
            padded = int(offsets[q, t]) - t * (operator.run - 1)
            for a in range(operator.run):
                width = operator.widths[t]
                bucket = starts[t] + (padded - starts[t] + a) % width
                sign = -1 if (int(signs[q, t]) >> a) & 1 else 1
                S[bucket, (first + q) * operator.run + a] = sign
    return S


@poly4_sizes
def test_tables__of_poly4_give_the_dense_twin(m, s):
    operator = SparseSign.make(d=600, m=m, s=s, seed=21, hash="poly4")
    runs = -(-600 // operator.run)
    expected = reference.dense_S(d=600, m=m, s=s, seed=21, hash="poly4")
    np.testing.assert_array_equal(dense_from_tables(operator, [0, runs])[:, :600], expected)


@pytest.mark.parametrize("hash", ["splitmix", "poly4"])
@given(
    edges=st.lists(st.integers(1, 39), max_size=4, unique=True).map(sorted),
    seed=st.integers(0, 2**64 - 1),
)
def test_tables__are_the_same_for_any_cut_of_the_runs(hash, edges, seed):
    operator = SparseSign.make(d=10**9, m=130, s=2, seed=seed, hash=hash)
    offsets, signs = operator.tables(10**6, 10**6 + 40)
    cuts = [0, *edges, 40]
    parts = [operator.tables(10**6 + first, 10**6 + stop) for first, stop in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), offsets)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), signs)


def test_tables__golden_values_pin_poly4_for_ever():
    operator = SparseSign.make(d=10**6, m=4096, s=2, seed=7, hash="poly4")
    offsets, signs = operator.tables(3, 5)
    assert offsets.tolist() == GOLDEN_POLY4_OFFSETS
    assert [[f"{word:016x}" for word in row] for row in signs.tolist()] == GOLDEN_POLY4_SIGNS


def test_tables__of_poly4_share_nothing_with_splitmix_and_survive_to_dict():
    operator = SparseSign.make(d=1000, m=64, s=1, seed=7, hash="poly4")
    assert SparseSign.from_dict(operator.to_dict()) == operator
    other = SparseSign.make(d=1000, m=64, s=1, seed=7)
    assert (operator.tables(0, 9)[1] != other.tables(0, 9)[1]).all()


@pytest.mark.parametrize("hash", ["splitmix", "poly4"])
def test_fold__gives_the_operator_of_half_the_width(hash):
    operator = SparseSign.make(d=300, m=1024, s=2, seed=3, hash=hash)
    assert operator.levels == (1024, 512, 256, 128)
    X = np.random.default_rng(0).integers(-9, 10, (3, 300)).astype(float)
    sums = X @ reference.dense_S(d=300, m=1024, s=2, seed=3, hash=hash).T
    for columns in operator.levels:
        narrow = reference.dense_S(d=300, m=columns, s=2, seed=3, hash=hash)
        np.testing.assert_array_equal(operator.fold(sums, columns), X @ narrow.T)
        assert operator.folded(columns) == SparseSign.make(d=300, m=columns, s=2, seed=3, hash=hash)


@pytest.mark.parametrize(
    ("m", "s", "levels"),
    [(100, 1, (100,)), (128, 1, (128, 64)), (192, 1, (192, 96)), (8, 8, (8,)), (960, 8, (960,))],
)
def test_levels__end_where_a_replicate_is_odd_or_as_narrow_as_a_run(m, s, levels):
    assert SparseSign.make(d=10, m=m, s=s, seed=0).levels == levels
