"""The timeline of a run: few points, rising, nothing lost but detail."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamsparse as ss
from streamsparse.running import timeline
from streamsparse.running.timeline import MOST_POINTS, Timeline


class Told:
    is_in_notebook = True

    def __init__(self):
        self.heard = []

    def advance(self, count):
        self.heard.append(("advance", count))

    def skip(self, count):
        self.heard.append(("skip", count))


def record(steps):
    """Tell a timeline of (seconds, bytes), under a clock of our own."""
    now, told = 16.0, Told()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeline, "time", SimpleNamespace(perf_counter=lambda: now))
        line = Timeline(told)
        for seconds, count in steps:
            now += seconds
            line.advance(count)
        return line.finish(), told, line


# Powers of two add up without rounding.
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 2.0**-20, 2.0**-7, 1.0, 256.0]), st.integers(0, 1 << 40)),
    max_size=900,
)


@given(STEPS)
def test_timeline__rises_within_its_size_from_nothing_to_all(steps):
    points, told, _ = record(steps)
    assert len(points) <= MOST_POINTS
    end = (sum(seconds for seconds, _ in steps), sum(count for _, count in steps))
    assert points[-1] == end
    assert points[0] == ((0.0, 0) if end[0] > 0 else end)
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(points))
    assert told.heard == [("advance", count) for _, count in steps]


@given(STEPS)
def test_timeline__keeps_only_what_happened(steps):
    seconds, done = np.cumsum([(0.0, 0), *steps], axis=0, dtype=object).T
    assert set(record(steps)[0]) <= set(zip(seconds, done, strict=True))


def test_timeline__of_a_long_run_leaves_no_long_gap():
    points, _, _ = record([(0.25, 1000)] * 10_000)
    gaps = np.diff([seconds for seconds, _ in points])
    assert MOST_POINTS >= len(points) > MOST_POINTS / 4
    # Each gap is the one asked for, at most 2 T / 256, and one step of the run.
    assert gaps.max() <= 2 * 2500 / MOST_POINTS + 0.25


def test_timeline__says_what_was_skipped_and_does_not_count_it():
    _, told, line = record([(1.0, 5)])
    line.skip(7)
    assert told.heard == [("advance", 5), ("skip", 7)]
    assert line.finish()[-1][1] == 5
    assert line.is_in_notebook


@pytest.fixture
def X():
    return np.random.default_rng(0).standard_normal((12, 3000))


@pytest.mark.parametrize(
    ("method", "passes"), [("exact", 1), ("sketch", 1), ("sample", 2), ("select", 2)]
)
def test_result__knows_when_its_bytes_were_summed(X, method, passes, tmp_path):
    result = ss.sparsify(X, method, progress=False, out=tmp_path / "Y.zarr")
    assert result.timeline[0] == (0.0, 0)
    assert result.timeline[-1][1] == passes * X.nbytes
    assert 0 < result.timeline[-1][0] <= result.certificate.seconds
    assert ss.load(tmp_path / "Y.zarr").timeline == result.timeline


def test_result__of_merged_parts_and_of_a_graph_has_no_timeline(X, tmp_path):
    dask_array = pytest.importorskip("dask.array")
    ss.reduce_part(X, tmp_path / "part", "sketch", m=16, part=(1, 1), progress=False)
    assert ss.merge([tmp_path / "part"], source=X, progress=False).timeline == ()
    lazy = ss.sparsify(dask_array.from_array(X), "sketch", m=16, progress=False, compute=False)
    assert lazy.compute(scheduler="sync").timeline == ()
