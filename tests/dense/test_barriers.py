"""Walks between barriers against the naive algorithm, and against what the theorem says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
import strategies
from drivers import serial
from streamsparse.dense.barriers import SHORTLIST, Schedule, Walk
from streamsparse.dense.pool import Pool
from streamsparse.dense.whiten import Whitener

EPS = np.finfo(np.float64).eps
KINDS = ["gaussian", "power law", "heavy"]


def walk_over(V, kappa, *, weights=None, scale=1, repeats=True, offset=None):
    weights = np.zeros(V.shape[1]) if weights is None else weights
    schedule = Schedule(V.shape[0], kappa)
    return Walk(Pool(V, offset, serial), schedule, weights, scale=scale, repeats=repeats)


def take(walk, count):
    return [walk.step() for _ in range(count)]


def spectrum(V, weights):
    return np.linalg.eigvalsh((V * weights) @ V.T)


def rounding(k, kappa, picks):
    """How far rounding may move a form, relatively, by the last of that many picks.

    The distance of A from the lower barrier is at least sqrt(kappa), tr (A - l)^-1 being at most
    1 / sqrt(kappa), that from the next one at least sqrt(kappa) - 1: what is inverted has a
    condition number of at most (u - l) / (sqrt(kappa) - 1), and each pick adds k roundings of it.
    """
    root = math.sqrt(kappa)
    width = k * root * ((root + 1) ** 2 / (root - 1) - (root - 1)) + picks
    return picks * k * EPS * width / (root - 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kappa", [2, 4, 9])
@pytest.mark.parametrize(("k", "d"), [(2, 7), (5, 60), (8, SHORTLIST)])
def test_walk__picks_what_the_naive_algorithm_picks(kind, kappa, k, d):
    V = strategies.uneven_columns(k, d, kind)
    found = take(walk_over(V, kappa), kappa * k)
    positions, ts = reference.bss(V, kappa * k, kappa, first=found[0].position)
    assert [pick.position for pick in found] == positions
    tolerance = rounding(k, kappa, kappa * k)
    assert np.allclose([pick.t for pick in found], ts, rtol=tolerance, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kappa", [1.5, 2, 4, 9])
def test_walk__keeps_the_eigenvalues_strictly_between_the_barriers(kind, kappa):
    k = 8
    V, schedule = strategies.uneven_columns(k, 300, kind), Schedule(k, kappa)
    walk = walk_over(V, kappa)
    lower, upper = schedule.first
    for picks in range(1, int(kappa * k) + 1):
        assert walk.step() is not None
        lower, upper = lower + 1, upper + schedule.upper_step
        values = spectrum(V, walk.weights)
        assert lower < values[0]
        assert values[-1] < upper
        # The potentials, which rounding moves as it moves forms, never grow.
        most = 1 + rounding(k, kappa, picks)
        assert (1 / (values - lower)).sum() <= schedule.lower_potential * most
        assert (1 / (upper - values)).sum() <= schedule.upper_potential * most
    report = walk.report()
    assert report.holds
    assert report.picks == walk.picks == int(kappa * k)
    # As many additions round each barrier; k eps of cond(I) the eigenvalues.
    assert (report.lower, report.upper) == pytest.approx((lower, upper), rel=report.picks * EPS)
    extremes = [report.smallest, report.largest]
    assert np.abs(extremes - values[[0, -1]]).max() <= 10 * report.picks * k * EPS * values[-1]


@pytest.mark.parametrize("kappa", [2, 4, 9, 25])
def test_report__proves_the_epsilon_of_the_theorem(kappa):
    V = strategies.uneven_columns(6, 100, "gaussian")
    walk = walk_over(V, kappa)
    take(walk, 6 * kappa)
    report = walk.report()
    expected = 2 * math.sqrt(kappa) / (kappa + 1)
    # 6 kappa additions round each barrier; u + l is at least u / 2.
    assert report.epsilon == pytest.approx(expected, rel=4 * 6 * kappa * EPS)
    values = spectrum(V, walk.weights)
    assert (values[-1] - values[0]) / (values[-1] + values[0]) < expected


def test_report__does_not_hold_where_an_eigenvalue_is_at_a_barrier():
    report = walk_over(strategies.uneven_columns(3, 20, "gaussian"), 4).report()
    assert report.holds
    assert not report._replace(smallest=report.lower).holds
    assert not report._replace(largest=report.upper).holds


@pytest.mark.parametrize("kind", strategies.hard_matrices())
@pytest.mark.parametrize("kappa", [2, 4])
def test_theorem__holds_for_every_hard_matrix(kind, kappa):
    X = strategies.hard_matrices(n=12, d=1024)[kind].astype(np.float64)
    whitener = Whitener.of(X @ X.T, ridge=0.0, rank_tolerance=1e-12 * X.shape[0], noise=0.0)
    V, k = whitener.apply(X), whitener.rank
    walk = walk_over(V, kappa)
    assert None not in take(walk, kappa * k)
    assert walk.report().holds
    values = spectrum(V, walk.weights)
    epsilon = (values[-1] - values[0]) / (values[-1] + values[0])
    assert epsilon <= 2 * math.sqrt(kappa) / (kappa + 1)
    report = walk.report()
    measured = (report.largest - report.smallest) / (report.largest + report.smallest)
    assert measured == pytest.approx(epsilon, abs=100 * k * EPS)


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=12), kappa=st.floats(1.01, 100))
def test_around__gives_barriers_of_just_the_potentials(values, kappa):
    values, schedule = np.sort(values), Schedule(len(values), kappa)
    lower, upper = schedule.around(values)
    assert lower < values[0]
    assert upper > values[-1]
    for sign, barrier, most in [
        (1, lower, schedule.lower_potential),
        (-1, upper, schedule.upper_potential),
    ]:
        # The sum has k + 1 roundings, and the barrier one, of eps / 2 of it: a gap is at least
        # 1 / potential, and is moved by it, as is the potential, relatively.
        more = 1 + (len(values) + 1) * EPS + EPS * abs(barrier) * most
        assert (1 / (sign * (values - barrier))).sum() <= most * more
        nearer = np.nextafter(barrier, sign * np.inf)
        with np.errstate(divide="ignore"):
            assert (1 / (sign * (values - nearer))).sum() * more >= most


@pytest.mark.parametrize("kappa", [2.5, 9])
def test_around__of_the_zero_matrix_is_where_a_walk_begins(kappa):
    schedule = Schedule(5, kappa)
    assert schedule.around(np.zeros(5)) == pytest.approx(schedule.first, rel=8 * EPS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_offset", [False, True])
def test_walk__begun_from_any_weights_keeps_the_barriers_around_them(kind, with_offset):
    k, kappa, scale = 7, 4, 30.0
    V = strategies.uneven_columns(k, 200, kind)
    offset = np.diag(np.linspace(0, 0.4, k)) if with_offset else None
    fixed = 0 if offset is None else scale * offset
    rng = np.random.default_rng(1)
    weights = rng.random(200) * (rng.random(200) < 0.3)
    walk = walk_over(V, kappa, weights=weights, scale=scale, offset=offset)
    lower, upper = Schedule(k, kappa).around(
        np.linalg.eigvalsh((V * (weights * scale)) @ V.T + fixed)
    )
    before = walk.report()
    # Barriers move as eigenvalues do, by 10 k eps of the largest of about ``scale``.
    assert (before.lower, before.upper) == pytest.approx((lower, upper), abs=1e3 * k * EPS * upper)
    assert None not in take(walk, 40)
    after = walk.report()
    assert after.lower == pytest.approx(lower + 40, abs=1e3 * k * EPS * upper)
    assert after.upper == pytest.approx(upper + 40 * 3, abs=1e3 * k * EPS * upper)
    values = np.linalg.eigvalsh((V * walk.weights) @ V.T + fixed)
    assert after.lower < values[0]
    assert values[-1] < after.upper
    assert after.holds
    assert (walk.weights >= weights * scale).all()


@pytest.mark.parametrize("steps", [0, 1, 6, 23])
def test_forms__agree_with_inverses(steps):
    k, kappa = 9, 4
    V = strategies.uneven_columns(k, 120, "power law")
    walk = walk_over(V, kappa)
    take(walk, steps)
    Q, a, b = walk.forms()
    report = walk.report()
    A = (V * walk.weights) @ V.T
    U, L = reference.barrier_forms(A, V, report.lower, report.upper, 3)
    C = np.square(Q.T @ V)
    tolerance = rounding(k, kappa, steps + 1)
    assert np.allclose(a @ C, U, rtol=tolerance, atol=0)
    # L is a difference, of terms of which the second is below v^T v.
    assert np.abs(b @ C - L).max() <= tolerance * (np.abs(b) @ C).max()


@pytest.mark.parametrize(("kind", "few"), [("gaussian", 9), ("power law", 12), ("power law", 60)])
def test_step__returns_none_only_where_nothing_qualifies_and_goes_on(kind, few):
    k, kappa = 8, 4
    V = strategies.uneven_columns(k, 400, kind)
    # Columns of zeros are never candidates; later they become others, in place.
    seen = V.copy()
    seen[:, few:] = 0
    walk = walk_over(seen, kappa)
    lower, upper = Schedule(k, kappa).first
    for _ in range(kappa * k):
        A = (V * walk.weights) @ V.T
        U, L = reference.barrier_forms(A, V, lower, upper, 3)
        if (pick := walk.step()) is None:
            break
        assert U[pick.position] <= L[pick.position] * (1 + rounding(k, kappa, walk.picks))
        lower, upper = lower + 1, upper + 3
    assert 0 < walk.picks < kappa * k
    assert (U[:few] > L[:few]).all()
    assert (U[few:] <= L[few:]).any()
    used, turns = walk.weights.copy(), walk.turns.copy()
    seen[:] = V
    walk.look_again()
    np.testing.assert_array_equal(walk.weights, used)
    np.testing.assert_array_equal(walk.turns, turns)
    first = walk.step()
    assert first.position == few + np.argmax((L / U)[few:])
    assert None not in take(walk, kappa * k - walk.picks)
    assert walk.report().holds
    assert walk.report().lower < spectrum(V, walk.weights)[0]


def test_turns__are_the_steps_of_first_picks():
    V = strategies.uneven_columns(6, 40, "heavy")
    walk = walk_over(V, 9)
    found = [pick.position for pick in take(walk, 54)]
    assert len(set(found)) < len(found)
    expected = [found.index(j) if j in found else -1 for j in range(40)]
    assert walk.turns.tolist() == expected
    totals = np.bincount(found, minlength=40) > 0
    np.testing.assert_array_equal(walk.weights > 0, totals)


@pytest.mark.parametrize("kind", KINDS)
def test_walk__without_repeats_takes_every_column_once(kind):
    V = strategies.uneven_columns(6, 60, kind)
    weights = np.zeros(60)
    weights[::7] = 0.1
    walk = walk_over(V, 3, weights=weights, scale=18.0, repeats=False)
    found = [pick.position for pick in take(walk, 60) if pick is not None]
    assert found
    assert len(set(found)) == len(found)
    assert not set(found) & set(range(0, 60, 7))
    np.testing.assert_array_equal(walk.weights[::7], weights[::7] * 18.0)
    assert walk.report().holds
