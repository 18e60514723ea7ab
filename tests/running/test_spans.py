from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from streamsparse.accumulators.base import add_states
from streamsparse.running.spans import (
    ARITY,
    MergeTree,
    pieces_of,
    span_count,
    span_width,
    tree_depth,
)


def serial(task, count):
    for k in range(count):
        task(k)


@given(st.integers(1, 700))
def test_merge_tree__adds_in_the_order_of_the_reference_tree(spans):
    # Values of wildly different size: another order of additions gives other bits.
    rng = np.random.default_rng(spans)
    values = rng.standard_normal(spans) * 10.0 ** rng.integers(-12, 12, spans)
    tree = MergeTree(add_states)
    for value in values:
        tree.push([np.full((3, 1), value)], serial)
    expected = reference.merge_by_tree(list(values), ARITY)
    np.testing.assert_array_equal(tree.result(serial)[0], np.full((3, 1), expected))


@pytest.mark.parametrize("spans", [1, 2, 16, 17, 256, 257, 5000])
def test_merge_tree__holds_at_most_one_state_per_level_and_the_leaf(spans):
    tree = MergeTree(add_states)
    alive = 1
    most = 1
    for _ in range(spans):
        free = tree.push([np.ones((1, 1))], serial)
        held = sum(state is not None for state in tree.levels)
        alive = held + 1
        most = max(most, alive - (free is None))
    assert most <= tree_depth(spans) + 1
    assert tree.result(serial)[0][0, 0] == spans


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.sampled_from([2**14, 2**17]))
def test_pieces_of__cover_the_columns_once_without_crossing_a_span(start, count, width):
    pieces = list(pieces_of((start, start + count), width))
    assert pieces[0][1][0] == start
    assert pieces[-1][1][1] == start + count
    for (_, (_, stop)), (_, (following, _)) in pairwise(pieces):
        assert stop == following
    for span, (a, b) in pieces:
        assert span * width <= a < b <= (span + 1) * width


@given(st.integers(1, 10**12), st.integers(1, 10**5))
def test_span_width__is_a_power_of_two_with_few_spans_and_cheap_merges(d, cells):
    width = span_width(d=d, state_columns=cells)
    assert width & (width - 1) == 0
    assert width >= 32 * cells
    assert span_count(d=d, width=width) <= 4096
