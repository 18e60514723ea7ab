"""Candidates for Y: what is measured of each, and which one is taken."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
import strategies
from streamsparse.dense.linalg import eigenpairs, regularised_error
from streamsparse.dense.measure import Scope, measure_exactly, measure_sampled
from streamsparse.methods.base import ALL_ROWS, CurvePoint
from streamsparse.methods.choose import (
    Search,
    Spectrum,
    count_candidates,
    fold_columns,
    fold_points,
    smallest,
    truncation_points,
    truncation_ranks,
)
from streamsparse.methods.known import Known
from streamsparse.methods.measuring import Seen
from streamsparse.sketching.draws import PROBES, normals
from streamsparse.sketching.row_map import RowMap
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.sources.preprocess import Preprocess

EPS = np.finfo(float).eps
N, D, DELTA = 30, 400, 0.01
SAMPLE = np.array([1, 4, 17, 29])
TARGETS = ("attention", "entries", "regularised")


@pytest.fixture(scope="module")
def X():
    X = strategies.matrix_from_spectrum(N, D, 0.9 ** np.arange(N))
    return X / np.linalg.norm(X, axis=1).max()


def search_of(X, *, target, sample=None, exact_diagonal=False, epsilon=0.1):
    G = X @ X.T
    rows = np.arange(N) if sample is None else sample
    probes = normals(seed=3, rows=N, columns=16, stream=PROBES)
    known = Known.of_pass(
        G[rows],
        G.diagonal(),
        None,
        G @ probes,
        d=D,
        preprocess=Preprocess(),
        block_dtype=np.dtype("float64"),
        lengths=None,
    )
    seen = Seen(known, rows, probes)
    scope = Scope.of(G.diagonal(), beta=2.0, queries=None, rounding=0.0)
    # Four rows speak for 95 % of all rows where little confidence is asked.
    delta = DELTA if sample is None else 0.82
    return Search(seen, scope, target, epsilon, delta, exact_diagonal)


def spectrum_of(X):
    """Eigenpairs of a sketch's Gram matrix, as the dense stage makes them."""
    sketch = reference.sketch(X, m=128, s=1, seed=0)
    return Spectrum(*eigenpairs(sketch @ sketch.T))


def measured(search, F):
    """The certified error of F = Y Y^T, measured at once."""
    G, rows = search.seen.G_I, search.seen.sample
    if search.seen.knows_all:
        errors = measure_exactly(G=G, F=F, scope=search.scope, spectral=None, regularised=None)
        return {"attention": errors.attention, "entries": errors.entry}[search.target].value
    errors = measure_sampled(G_I=G, F_I=F[rows], scope=search.scope, delta=DELTA)
    found = {"attention": errors.most_rows_attention, "entries": errors.most_rows_entry}
    return found[search.target].value


def rescaled(F, diagonal):
    scale = np.sqrt(diagonal / F.diagonal())
    return F * scale * scale[:, None]


@pytest.mark.parametrize("target", ["attention", "entries"])
@pytest.mark.parametrize("sample", [None, SAMPLE])
@pytest.mark.parametrize("exact_diagonal", [False, True])
def test_truncation_points__add_up_to_what_is_measured_at_once(X, target, sample, exact_diagonal):
    search, spectrum = (
        search_of(X, target=target, sample=sample, exact_diagonal=exact_diagonal),
        spectrum_of(X),
    )
    ranks = (1, 2, 7, 8, 30)
    points = list(truncation_points(search, spectrum, ranks))
    assert [point.m for point in points] == list(ranks)
    for point in points:
        U = spectrum.vectors[:, : point.m]
        F = (U * spectrum.values[: point.m]) @ U.T
        if exact_diagonal:
            F = rescaled(F, search.seen.squared_norms)
        # Sums of 30 terms below r = 1 in two orders; beta = 2 and n entries for attention.
        assert point.error == pytest.approx(measured(search, F), abs=30 * 60 * EPS, rel=60 * EPS)
        assert point.way == "truncation"
        assert point.meets == (point.error <= 0.1)


def test_truncation_points__of_the_regularised_error_are_exact_where_G_is_known(X):
    search, spectrum = search_of(X, target="regularised"), spectrum_of(X)
    G = X @ X.T
    for point in truncation_points(search, spectrum, (1, 5, 30)):
        U = spectrum.vectors[:, : point.m]
        F = (U * spectrum.values[: point.m]) @ U.T
        expected = regularised_error(G, F, r=float(G.diagonal().max()), rounding=0.0)
        assert point.error == pytest.approx(expected.value, abs=31 * 30 * 30 * EPS)
        assert point.zero_error is None


def test_truncation_points__of_the_regularised_error_are_bounds_where_G_is_not_known(X):
    # The sketch is G itself here: only truncation errs, and late ranks have a bound.
    search = search_of(X, target="regularised", sample=SAMPLE)
    spectrum = Spectrum(*eigenpairs(X @ X.T))
    points = list(truncation_points(search, spectrum, (5, 15, 30)))
    for point in points:
        lost = spectrum.values[point.m] if point.m < N else 0
        assert point.known_error >= lost / (lost + 1) - 31 * 30 * 30 * EPS
    assert points[-1].error is not None
    unprobed = Seen(replace(search.seen.known, probes=None), SAMPLE, None)
    blind = Search(unprobed, search.scope, "regularised", 0.1, DELTA, False)
    assert [point.error for point in truncation_points(blind, spectrum, (5,))] == [None]


@pytest.mark.parametrize("target", ["attention", "entries"])
@pytest.mark.parametrize("sample", [None, SAMPLE])
@pytest.mark.parametrize("exact_diagonal", [False, True])
@pytest.mark.parametrize(("m", "s"), [(256, 1), (1024, 8)])
def test_fold_points__are_those_of_the_folded_sketch(X, target, sample, exact_diagonal, m, s):
    search = search_of(X, target=target, sample=sample, exact_diagonal=exact_diagonal)
    operator = SparseSign.make(d=D, m=m, s=s, seed=6)
    sums = reference.sums(X, m=m, s=s, seed=6)
    points = list(
        fold_points(search, operator, operator.levels, lambda rows: sums[slice(*rows)].copy())
    )
    assert [point.m for point in points] == list(operator.levels)
    for point in points:
        Y = reference.sketch(X, m=point.m, s=s, seed=6)
        F = Y @ Y.T
        if exact_diagonal:
            F = rescaled(F, search.seen.squared_norms)
        # Sums of at most d + m terms, in two orders, of products below 2 r = 2.
        bound = 4 * (D + m) * EPS
        assert point.error == pytest.approx(measured(search, F), abs=N * bound)
        assert point.way == "fold"


def test_points__know_the_error_of_Y_zero(X):
    operator = SparseSign.make(d=D, m=64, s=1, seed=6)
    sums = reference.sums(X, m=64, s=1, seed=6)
    for target in ("attention", "entries"):
        search = search_of(X, target=target)
        (point,) = fold_points(search, operator, (64,), lambda rows: sums[slice(*rows)].copy())
        zero = measured(search, np.zeros((N, N)))
        assert point.zero_error == pytest.approx(zero, rel=60 * EPS)
        assert point.is_worth_it == (point.error < point.zero_error)
        row_map = RowMap(operator, 64)
        assert row_map.m == point.m


def point(m, error, *, zero=1.0, epsilon=0.5):
    return CurvePoint(m, "fold", error, zero, meets=error <= epsilon)


def test_smallest__takes_the_fewest_columns_that_meet_epsilon():
    points = [point(8, 0.1), point(2, 0.4), point(4, 0.3), point(1, 0.6)]
    assert smallest(points) == point(2, 0.4)


def test_smallest__passes_over_what_is_worse_than_Y_zero():
    points = [point(1, 0.4, zero=0.4), point(2, 0.45, zero=0.4), point(8, 0.2, zero=0.4)]
    assert smallest(points).m == 8
    # Where all that meet epsilon are, the fewest columns do.
    assert smallest(points[:2]).m == 1
    assert smallest([point(3, 0.4, zero=None), point(8, 0.2, zero=None)]).m == 3


def test_smallest__takes_the_least_error_where_none_meets_epsilon():
    points = [point(1, 0.9), point(2, 0.7), point(4, 0.7), point(8, 0.8)]
    assert smallest(points) == point(4, 0.7)
    # Where nothing could be certified, the one that lost nothing.
    assert smallest([point(1, math.inf), point(8, math.inf), point(4, math.inf)]).m == 8


@given(
    points=st.lists(
        st.tuples(st.integers(1, 20), st.floats(0, 2), st.none() | st.floats(0, 2)), min_size=1
    )
)
def test_smallest__is_as_good_as_any_brute_force_choice(points):
    made = [point(m, error, zero=zero) for m, error, zero in points]
    chosen = smallest(made)
    assert chosen in made
    meeting = [candidate for candidate in made if candidate.meets]
    worthy = [candidate for candidate in meeting if candidate.is_worth_it]
    if worthy:
        assert chosen in worthy
        assert all(chosen.m <= candidate.m for candidate in worthy)
    elif meeting:
        assert chosen.m == min(candidate.m for candidate in meeting)
    else:
        assert chosen.error == min(candidate.error for candidate in made)


@given(n=st.integers(1, 5000), m=st.integers(1, 20_000), s=st.sampled_from([1, 2, 4, 8]))
def test_count_candidates__is_at_least_the_number_of_points(n, m, s):
    operator = SparseSign.make(d=10**6, m=m, s=s, seed=0)
    for dense_stage in (False, True):
        folds = fold_columns(operator, n, dense_stage=dense_stage)
        ranks = truncation_ranks(min(n, m)) if dense_stage else ()
        assert count_candidates(operator, n, dense_stage=dense_stage) >= len(folds) + len(ranks)
        assert set(folds) <= set(operator.levels)
        assert not dense_stage or all(columns < n for columns in folds)
        assert dense_stage or folds == operator.levels


@given(most=st.integers(1, 10**6))
def test_truncation_ranks__rise_from_one_to_the_most(most):
    ranks = truncation_ranks(most)
    assert ranks[0] == 1
    assert ranks[-1] == most
    assert list(ranks) == sorted(set(ranks))
    assert len(ranks) <= max(64, ALL_ROWS)
