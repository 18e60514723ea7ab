"""Tasks of a pass: what they read, how often, and that they change nothing they are given."""

import pickle
from collections import Counter

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse
from dask.utils import key_split
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from cluster_tools import flat, twice
from drivers import Watched, serial
from params import slow_but
from streamsparse.accumulators.digest import DigestAccumulator
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.accumulators.leaf_sums import LeafSumsAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.picker import ColumnPicker
from streamsparse.accumulators.rules import PriorityRule
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.running.feeds import StoreFeed, feed_of
from streamsparse.running.graph import BandGraph, key_of, spans_per_task
from streamsparse.running.pieces import prepare
from streamsparse.running.spans import cover
from streamsparse.running.tasks import Work
from streamsparse.running.worker import Lanes
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.sources.array import ArraySource
from streamsparse.sources.open import open_source
from streamsparse.storing.zarr_write import write_sparse

N = 5


class Units(ArraySource):
    """A matrix in memory that is read in units, as if it were stored."""

    def __init__(self, X, unit):
        super().__init__(X, feature_axis=1)
        self.unit = (X.shape[0], unit)


def light(rows):
    """What is cheap, and depends on the order of additions."""
    height = rows[1] - rows[0]
    return {"norms": NormsAccumulator(rows=height), "digest": DigestAccumulator(rows=height)}


def made_by(names, d, dtype):
    """Return what makes the accumulators of these names."""

    def make(rows):
        height = rows[1] - rows[0]
        vectors = np.random.default_rng(0).standard_normal((height, 3))
        S = SparseSign.make(d=d, m=16, s=4, seed=1)
        every = {
            "norms": lambda: NormsAccumulator(rows=height),
            "digest": lambda: DigestAccumulator(rows=height),
            "gram": lambda: GramAccumulator(rows=height, block_dtype=dtype),
            "leaves": lambda: LeafSumsAccumulator(rows=height, block_dtype=dtype, leaf_width=512),
            "sketch": lambda: SketchAccumulator(operator=S, rows=height),
            "picks": lambda: ColumnPicker(
                rows=height, rule=PriorityRule(300, 0), block_dtype=dtype, vectors=vectors
            ),
        }
        return {name: every[name]() for name in names}

    return make


def graph_of(source, *, span, block_bytes=1 << 20, accumulators=light, by_rows=True, rows=None):
    work = Work(accumulators, rows or (0, source.shape[0]), span, source.shape[1], by_rows, False)
    feed = feed_of("pass", source, block_bytes=block_bytes)
    column_bytes = source.shape[0] * source.block_dtype.itemsize
    return BandGraph.make("band", work, feed, column_bytes=column_bytes, lanes=None)


def expected_of(source, graph):
    """The packed sums of everything, one block and one span after the other."""
    work = graph.work.compute(scheduler="synchronous")
    sums = work.sums((0, -(-graph.d // graph.span_width)))
    block = source.read(work.rows, (0, source.shape[1]))
    sums.add(prepare(block, by_rows=work.by_rows, zero=False), serial, serial)
    sums.complete(serial)
    return sums.packed()


def run_waves(graph, stops, scheduler="synchronous"):
    """Compute wave after wave; return the packed sums."""
    work = graph.work.compute(scheduler="synchronous")
    sums = work.sums((0, stops[-1]))
    for stop in stops:
        nodes = cover(sums.span, stop)
        lazy = [graph.node(node) for node in nodes]
        for node, packed in zip(nodes, dask.compute(*lazy, scheduler=scheduler), strict=True):
            sums.take(node, packed, serial)
    sums.complete(serial)
    return sums.packed()


def assert_same(found, expected):
    assert flat(found) == flat(expected)


@st.composite
def layouts(draw):
    d = draw(st.integers(1, 800))
    span = draw(st.sampled_from([16, 64, 100, 256]))
    spans = -(-d // span)
    stops = sorted({*draw(st.lists(st.integers(1, spans), max_size=3)), spans})
    return d, span, draw(st.integers(1, 700)), stops


@settings(max_examples=12)
@given(layouts(), st.integers(1, 5))
def test_store_feed__reads_every_column_once_a_wave(layout, units_per_block):
    d, span, unit, stops = layout
    X = strategies.integer_matrix(N, d, "int16")
    source = Watched(Units(X, unit))
    graph = graph_of(source, span=span, block_bytes=units_per_block * unit * N * 2)
    assert isinstance(graph.feed, StoreFeed)
    # What a task reads is its own, so no reads are shared between waves.
    found = run_waves(graph, stops)
    reads, source.reads = source.reads, []
    assert_same(found, expected_of(source, graph))
    read = Counter(column for _, columns in reads for column in range(*columns))
    for column in range(d):
        # Once in every wave that its unit has columns in.
        ends = column // unit * unit, min(d, (column // unit + 1) * unit) - 1
        first, last = (np.searchsorted(np.multiply(stops, span), end, "right") for end in ends)
        assert read[column] == last - first + 1
    for _, (start, stop) in reads:
        assert start % unit == 0
        assert stop % unit == 0 or stop == d


@settings(max_examples=12)
@given(st.integers(1, 600), st.sampled_from([16, 64, 256]), st.data())
def test_chunk_feed__computes_each_chunk_once_a_wave(d, span, data):
    columns = data.draw(strategies_of_edges(d))
    rows = data.draw(strategies_of_edges(N))
    calls = Counter()
    X = strategies.integer_matrix(N, d, "int16")

    def chunk(block, block_info=None):
        calls[block_info[0]["chunk-location"]] += 1
        return block

    array = da.from_array(X, chunks=(rows, columns)).map_blocks(chunk, dtype=X.dtype)
    calls.clear()
    source = open_source(array, feature_axis=1, missing="error")
    at_once = data.draw(st.integers(max(columns), d))
    graph = graph_of(source, span=span, block_bytes=at_once * N * 2)
    found = run_waves(graph, [-(-d // span)])
    assert set(calls.values()) == {1}
    assert set(calls) >= {(i, j) for i in there(rows) for j in there(columns)}
    assert_same(found, expected_of(source, graph))


def there(lengths):
    return np.flatnonzero(lengths).tolist()


def strategies_of_edges(length):
    """Chunks of any sizes, empty ones too."""
    return st.lists(st.integers(0, length), max_size=6).map(
        lambda edges: tuple(np.diff([0, *sorted(edges), length]).tolist())
    )


ACCUMULATORS = ["norms", "digest", "gram", "leaves", "sketch", "picks"]
KINDS = ["units", "csc group", "dask", "dask csr", "dask csc", "dask annotated"]


def source_of(kind, X, folder):
    sparse = scipy.sparse.csr_array(X)
    if kind == "units":
        return Units(X, 300)
    if kind == "csc group":
        write_sparse(folder / "x.zarr", sparse.tocsc(), chunk_entries=100)
        return open_source(folder / "x.zarr", feature_axis=1, missing="error")
    # What is annotated is left to dask, and added in a chain.
    if kind == "dask annotated":
        with dask.annotate(priority=1):
            array = da.from_array(X, chunks=((4, 7), 10))
        return open_source(array, feature_axis=1, missing="error")
    array = da.from_array(X, chunks=((4, 7), (1, 299, 900, 900)))
    if kind.startswith("dask cs"):
        array = array.map_blocks(getattr(scipy.sparse, f"{kind.split()[1]}_matrix"))
    return open_source(array, feature_axis=1, missing="error")


@pytest.mark.parametrize("kind", slow_but(KINDS, "units", "csc group", "dask annotated"))
@pytest.mark.parametrize("name", ACCUMULATORS)
def test_tasks__may_run_twice_and_change_nothing(tmp_path, kind, name):
    # 33 spans: what is left on two levels of the tree is added at its end.
    d, span = 2100, 64
    X = strategies.integer_matrix(11, d, "int16") * (np.arange(d) % 3 == 0)
    # Of wildly different size: another order of additions gives other bits.
    X = (X / 7 * 10.0 ** np.random.default_rng(0).integers(-5, 5, d)).astype(np.float32)
    source = source_of(kind, X, tmp_path)
    graph = graph_of(
        source,
        span=span,
        # Of chunks of ten columns, a few: spans are summed in several steps.
        block_bytes=1 << 10 if kind == "dask annotated" else 256 << 10,
        accumulators=made_by([name], d, source.block_dtype),
        by_rows=name == "sketch",
    )
    found = run_waves(graph, [16, 20, 33], scheduler=twice(0))
    wanted = expected_of(source, graph)
    total = graph.total().compute(scheduler=twice(1))
    if name == "picks":
        # Batches follow blocks; the picks do not.
        accumulator = made_by([name], d, source.block_dtype)((0, 11))[name]
        found, wanted, total = (
            accumulator.finish(accumulator.unpack(p[0])) for p in (found, wanted, total)
        )
        found, wanted, total = ([p.columns, p.scores, p.keys] for p in (found, wanted, total))
    assert_same(found, wanted)
    assert_same(total, wanted)


@pytest.mark.parametrize("name", ACCUMULATORS)
def test_sums__pickle_in_the_middle_of_a_span(name):
    d = 1000
    X = strategies.integer_matrix(11, d, "int16")
    source = open_source(X, feature_axis=1, missing="error")
    make = made_by([name], d, X.dtype)
    work = Work(make, (0, 11), 256, d, False, False)

    def add(sums, start, stop):
        block = source.read((0, 11), (start, stop))
        sums.add(prepare(block, by_rows=False, zero=False), serial, serial)

    one, other = work.sums((0, 4)), work.sums((0, 4))
    add(one, 0, 700)
    one = pickle.loads(pickle.dumps(one))
    for sums, cut in ((one, 700), (other, 0)):
        add(sums, cut, d)
        sums.complete(serial)
    assert_same(one.packed()[0][1:4], other.packed()[0][1:4])
    assert_same(*(list(sums.packed()) if name != "picks" else [] for sums in (one, other)))


def test_keys__say_what_they_hold():
    source = Units(strategies.integer_matrix(N, 1000, "int16"), 90)
    (node,) = cover(0, 16)
    keys = set(graph_of(source, span=64).node(node).__dask_graph__())
    # Units of 90 on all edges of spans of 64 but 0 and, where the matrix ends, 1,000.
    edges = {f"streamsparse-unit-band-{64 * span // 90}" for span in range(1, 16)}
    spans = {f"streamsparse-span-band-{span}-{span + 1}" for span in range(16)}
    shared = {"streamsparse-work-band", "streamsparse-reader-pass"}
    assert keys == shared | {"streamsparse-fold-band-0-16-0"} | edges | spans


def test_keys__put_tasks_of_one_kind_into_one_group_of_a_cluster():
    # Or it gives all of them to the worker that has what they share.
    for kind in ("span", "unit", "fold", "work", "reader"):
        assert key_split(key_of(kind, "3e6a7dc1b878b8da-0", 7, 8)) == f"streamsparse-{kind}"


MIB = 1 << 20


@pytest.mark.parametrize(
    ("spans", "span_bytes", "partial_bytes", "lanes", "count"),
    [
        # Little work in a span, and many of them.
        (4096, 1 << 17, 1, None, 16),
        (4096, 1 << 23, 1, None, 1),
        (1023, 1, 1, None, 1),
        (1024, 1, 1, None, 16),
        (1 << 16, 1, 1, None, 256),
        (128, 1 << 17, 1, Lanes(2, None), 16),
        (127, 1 << 17, 1, Lanes(2, None), 1),
        (4096, 1, 1, Lanes(65, None), 1),
        # Partial sums that are much for a worker, unless lanes would be idle.
        (62, 128 * MIB, 13 * MIB, None, 1),
        (62, 128 * MIB, 13 * MIB, Lanes(2, None), 1),
        (62, 128 * MIB, 13 * MIB, Lanes(2, 512 * MIB), 16),
        (62, 128 * MIB, 13 * MIB, Lanes(2, 2048 * MIB), 1),
        (20, 128 * MIB, 13 * MIB, Lanes(2, 512 * MIB), 1),
        (62, 128 * MIB, 13 * MIB, Lanes(8, 512 * MIB), 1),
    ],
)
def test_spans_per_task__follows_work_and_memory(spans, span_bytes, partial_bytes, lanes, count):
    found = spans_per_task(
        spans=spans, span_bytes=span_bytes, partial_bytes=partial_bytes, lanes=lanes
    )
    assert found == count


def test_node__of_small_spans_is_one_task():
    source = Units(strategies.integer_matrix(N, 16 * 1024, "int16"), 90)
    graph = graph_of(source, span=16)
    assert graph.spans_per_task == 16
    assert_same(run_waves(graph, [16, 100, 1024]), expected_of(source, graph))
    (node,) = cover(0, 240)
    spans = [key for key in graph.node(node).__dask_graph__() if "-span-" in key]
    assert len(spans) == 15
