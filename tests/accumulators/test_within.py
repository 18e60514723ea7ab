"""Accumulators that see some columns alone, and sketches of columns that lie further on."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import drivers
import reference
import strategies
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.accumulators.within import Within
from streamsparse.sketching.run_hash import SparseSign

N, D, M = 5, 700, 48
X = strategies.integer_matrix(N, D, "int16")
FORMS = [np.asarray, scipy.sparse.csr_array]
OPERATOR = SparseSign.make(d=D, m=M, s=4, seed=3)


@st.composite
def intervals(draw):
    edges = sorted(draw(st.sets(st.integers(0, D), min_size=2, max_size=8)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return tuple(pairs)


@pytest.mark.parametrize("form", FORMS)
@given(intervals=intervals(), edge=st.integers(1, D - 1), span=st.sampled_from([64, 300, 1024]))
def test_within__sees_the_columns_of_its_intervals_alone(form, intervals, edge, span):
    there = np.zeros(D, bool)
    for first, stop in intervals:
        there[first:stop] = True
    for made, expected in (
        (NormsAccumulator(rows=N), ((X * there).astype(float) ** 2).sum(axis=1)),
        (
            SketchAccumulator(rows=N, operator=OPERATOR),
            (X * there) @ reference.dense_S(d=D, m=M, s=4, seed=3).T,
        ),
    ):
        found = drivers.accumulate(Within(made, intervals), form(X), edges=[0, edge, D], span=span)
        np.testing.assert_array_equal(found, expected)


def test_within__lets_no_nan_through_from_outside():
    bad = X.astype(float)
    bad[:, 100:200] = np.nan
    within = Within(NormsAccumulator(rows=N), ((0, 100), (200, D)))
    assert np.isfinite(drivers.accumulate(within, bad)).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("hash", ["splitmix", "poly4"])
@given(first=st.integers(0, 1 << 40), edge=st.integers(1, 99))
def test_sketch__of_columns_further_on_takes_their_part_of_S(form, hash, first, edge):
    operator = SparseSign.make(d=D, m=M, s=2, seed=5, hash=hash)
    made = SketchAccumulator(rows=N, operator=operator, first_column=first)
    found = drivers.accumulate(made, form(X[:, :100]), edges=[0, edge, 100], span=64)
    S = reference.dense_S(d=100, m=M, s=2, seed=5, hash=hash, start=first)
    np.testing.assert_array_equal(found, X[:, :100] @ S.T)
