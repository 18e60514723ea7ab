"""What is known of X is a sum over columns: put together, taken apart, and refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
import strategies
import streamsparse as ss
from streamsparse.methods.known import Known
from streamsparse.methods.measuring import scope_of
from streamsparse.methods.portions import Portion

N = 6


def known_of(X):
    """What a pass over X finds."""
    result = ss.sparsify(X, "exact", progress=False)
    return result.known


def test_known__of_a_pass_is_G_norms_and_one_portion():
    X = strategies.integer_matrix(N, 90, "int16")
    known = known_of(X)
    np.testing.assert_array_equal(known.gram, reference.gram(X))
    np.testing.assert_array_equal(known.squared_norms, reference.gram(X).diagonal())
    np.testing.assert_array_equal(known.digest, np.array(reference.digest(X), np.uint64))
    assert (known.intervals, known.summed, known.is_integer) == (((0, 90),), 90, True)
    assert known.row_cells == N + 3
    assert not known.has_lost
    assert not known_of(X / 3).is_integer


@given(edges=st.lists(st.integers(1, 89), min_size=2, max_size=2, unique=True), data=st.data())
def test_known__loses_what_is_taken_away_in_any_order_and_no_more(edges, data):
    X = strategies.integer_matrix(N, 90, "int16")
    a, b = sorted(edges)
    whole = known_of(strategies.integer_matrix(N, 7, "int16", seed=1))
    seven = whole.squared_norms
    whole = whole.with_columns(known_of(X), 100)
    for k, (first, stop) in enumerate(data.draw(st.permutations([(0, a), (a, b), (b, 90)]))):
        assert len(whole.portions) == 2
        part = known_of(X[:, first:stop])
        # Where it lies in its portion.
        shown = X.copy()
        shown[:, :first] = shown[:, stop:] = 0
        part = replace(part, portions=known_of(shown).portions)
        whole = whole.without_columns(part, 100 + first)
        assert whole.has_lost
        assert not whole.norm_rounding.any()
        if k == 0:
            left = X * (shown == 0)
            digest = np.array(reference.digest(left), np.uint64)
            np.testing.assert_array_equal(whole.portions[1].digest, digest)
            np.testing.assert_array_equal(
                whole.squared_norms, seven + reference.gram(left).diagonal()
            )
    assert whole.intervals == ((0, 7),)
    np.testing.assert_array_equal(whole.squared_norms, seven)
    np.testing.assert_array_equal(whole.moved, seven + 2 * reference.gram(X).diagonal())


def test_known__rounds_no_more_than_it_says_whatever_came_and_went():
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        parts = [(10.0**k * rng.standard_normal((N, 300))).astype(dtype) for k in (0, 3, 5, 0)]
        known = known_of(parts[0])
        for k, part in enumerate(parts[1:], 1):
            known = known.with_columns(known_of(part), 300 * k)
        for k in (2, 1):
            known = known.without_columns(known_of(parts[k]), 300 * k)
        left = reference.gram(np.concatenate([parts[0], parts[3]], axis=1).astype(np.float64))
        bound = known.rounding * np.sqrt(np.outer(known.moved, known.moved))
        assert (np.abs(known.gram - left) <= bound).all()
        assert (np.abs(known.squared_norms - left.diagonal()) <= known.norm_rounding).all()
        if dtype == "float64":
            # What was taken away leaves more than rounding of what is there could.
            ours = known.rounding * np.sqrt(np.outer(left.diagonal(), left.diagonal()))
            assert (np.abs(known.gram - left) > ours).any()


def test_scope_of__includes_the_rounding_of_what_was_taken_away():
    X = np.random.default_rng(0).standard_normal((N, 300))
    plan = ss.sparsify(X, "exact", progress=False).plan
    before = scope_of(plan, known_of(X))
    both = known_of(X).with_columns(known_of(1000 * X), 300)
    assert scope_of(plan, both).rounding <= before.rounding + 2 * 2.0**-53
    after = scope_of(plan, both.without_columns(known_of(1000 * X), 300))
    assert after.rounding >= 1e6 * before.rounding
    assert after.r <= before.r
    assert after.r == pytest.approx(before.r, rel=1e-6)


def test_portion__keeps_the_pieces_beside_what_goes():
    digest = np.arange(3, dtype=np.uint64)
    portion = Portion(10, ((10, 20), (30, 40)), digest)
    assert portion.without((12, 15), digest).left == ((10, 12), (15, 20), (30, 40))
    assert portion.without((30, 40), digest).left == ((10, 20),)
    assert not portion.without((10, 20), digest).digest.any()


def test_known__is_whole_again_from_its_description():
    known = known_of(strategies.integer_matrix(N, 90, "int16"))
    again = Known.from_dict(
        json.loads(json.dumps(known.to_dict())),
        gram=known.gram,
        probes=None,
        squared_norms=known.squared_norms,
        moved=known.moved,
        digests=known.digest[None],
    )
    assert again.to_dict() == known.to_dict()
    assert again.intervals == known.intervals
