"""Parts of the merge tree made elsewhere: the tree that takes them in is that of single spans."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import reference
from streamsparse.accumulators.base import add_states
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.kernels.ranges import serially
from streamsparse.running.dask_runner import wave_stop
from streamsparse.running.spans import ARITY, MergeTree, Node, cover
from streamsparse.running.sums import Sums


def values_of(spans):
    """Values of wildly different size: another order of additions gives other bits."""
    rng = np.random.default_rng(spans)
    return rng.standard_normal(spans) * 10.0 ** rng.integers(-12, 12, spans)


def folded(node, values):
    """What a worker returns: children folded left to right, a leaf as it is."""
    children = node.children()
    if not children:
        return [np.full((1, 1), values[node.spans[0]])]
    total, *others = [folded(child, values) for child in children]
    for other in others:
        add_states(total, other, serially)
    return total


def leaves_of(node):
    children = node.children()
    if not children:
        return [node.spans]
    return [leaf for child in children for leaf in leaves_of(child)]


@st.composite
def waves(draw):
    """A number of spans, and where waves end: on edges of groups of sixteen, or anywhere."""
    spans = draw(st.integers(1, 1500))
    step = draw(st.sampled_from([1, ARITY, ARITY**2]))
    stops = draw(st.lists(st.integers(1, max(1, spans // step)), max_size=8))
    return spans, sorted({min(spans, stop * step) for stop in stops} | {spans})


@given(waves())
def test_push__of_any_waves_is_the_tree_of_single_spans(waves):
    spans, stops = waves
    values, tree, single = values_of(spans), MergeTree(add_states), MergeTree(add_states)
    start = 0
    for stop in stops:
        for node in cover(start, stop):
            tree.push(folded(node, values), serially, level=node.level, count=node.count)
        for value in values[start:stop]:
            single.push([np.full((1, 1), value)], serially)
        start = stop
        # Not the result alone: what a checkpoint keeps is the same, level by level.
        depth = max(len(tree.levels), len(single.levels))
        for held, expected in zip(padded(tree, depth), padded(single, depth), strict=True):
            assert held == expected
    expected = reference.merge_by_tree(list(values), ARITY)
    assert tree.result(serially)[0][0, 0] == expected


def padded(tree, depth):
    levels = [(None if state is None else state[0][0, 0]) for state in tree.levels]
    counts = [
        count if held is not None else 0 for held, count in zip(levels, tree.counts, strict=True)
    ]
    missing = [(None, 0)] * (depth - len(levels))
    return list(zip(levels, counts, strict=True)) + missing


@given(st.integers(0, 10**6), st.integers(1, 10**5))
def test_cover__has_few_nodes_that_cover_the_spans_once(start, count):
    nodes = cover(start, start + count)
    assert [node.spans[0] for node in nodes] == [start, *(node.spans[1] for node in nodes[:-1])]
    assert nodes[-1].spans[1] == start + count
    assert len(nodes) <= 16 * 6
    for node in nodes:
        width = ARITY**node.level
        assert node.spans[0] % width == 0
        assert node.spans[1] - node.spans[0] == node.count * width
        # More than one sibling only where they begin a group, and never a whole one.
        assert node.count == 1 or (node.spans[0] % (width * ARITY) == 0 and node.count < ARITY)


@given(st.integers(0, 2), st.integers(1, 15), st.integers(0, 40))
def test_node__ends_in_its_spans_one_by_one(level, count, group):
    width = ARITY**level
    start = group * width * ARITY
    node = Node(level, count, (start, start + count * width))
    assert leaves_of(node) == [(at, at + 1) for at in range(*node.spans)]
    for child in node.children():
        assert child.count == 1
        assert child.level == (level if count > 1 else level - 1)


@given(st.integers(1, 200_000), st.integers(1, 50_000), st.integers(1, 200), st.integers(0, 10_000))
def test_wave_stop__always_advances_and_keeps_to_the_memory(spans, count, most_nodes, group):
    start = group * ARITY
    if start >= spans:
        start = 0
    stop = wave_stop(start, count, spans=spans, most_nodes=most_nodes)
    assert start < stop <= spans
    assert len(cover(start, stop)) <= most_nodes
    assert stop == spans or stop % ARITY == 0 or most_nodes < len(cover(start, spans))


@given(st.integers(1, 3000), st.integers(1, 4), st.lists(st.integers(1, 700), min_size=1))
def test_wave_stop__ends_every_run_however_few_partial_sums_fit(spans, most_nodes, counts):
    at, waves = 0, 0
    while at < spans:
        stop = wave_stop(at, counts[waves % len(counts)], spans=spans, most_nodes=most_nodes)
        assert at < stop
        at, waves = stop, waves + 1
    assert at == spans
    assert waves <= spans


@given(waves())
def test_take__makes_of_any_waves_what_single_spans_make(waves):
    spans, stops = waves
    values, accumulator = values_of(spans), NormsAccumulator(rows=3)

    def packed(node):
        (lanes,) = accumulator.start()
        lanes += folded(node, values)[0]
        return [[lanes]]

    taken, single = (Sums([accumulator], 64, spans=(0, spans), remembers=False) for _ in range(2))
    start = 0
    for stop in stops:
        for node in cover(start, stop):
            taken.take(node, packed(node), serially)
        for at in range(start, stop):
            leaf = Node(0, 1, (at, at + 1))
            single.take(leaf, packed(leaf), serially)
        start = stop
        assert taken.first_column == stop * 64
        assert [padded(*sums._trees, 5) for sums in (taken, single)] == [
            padded(*taken._trees, 5)
        ] * 2
    taken.complete(serially)
    single.complete(serially)
    np.testing.assert_array_equal(taken.packed()[0][0], single.packed()[0][0])
