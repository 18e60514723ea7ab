"""Bounds from probes: hand-made errors, coverage over fixed seeds, and the cases of nothing."""

import math

import numpy as np
import pytest

import strategies
import tolerances
from streamsparse.dense.certificate import Errors
from streamsparse.dense.linalg import product_with_transpose, regularised_error, whitened_by_factor
from streamsparse.dense.measure import Scope
from streamsparse.dense.probes import (
    norm_bound,
    probe_error,
    regularised_bound,
    spectral_bound,
    whitened_by_pairs,
    with_probes,
)
from streamsparse.sketching.bounds import chi_square_low, frobenius_low
from streamsparse.sketching.draws import PROBES, normals

EPS = np.finfo(float).eps
TRIALS = 200
ERRORS = {
    "rank one": np.diag([3.0] + [0] * 29),
    "flat": np.eye(30),
    "decaying": np.diag(0.7 ** np.arange(30)),
    "one row": np.outer(np.eye(30)[4], np.ones(30)) + np.outer(np.ones(30), np.eye(30)[4]),
}


def omega(n, q, seed):
    return normals(seed=seed, rows=n, columns=q, stream=PROBES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("q", [1, 2, 16, 64])
def test_norm_bound__fails_no_more_often_than_allowed(kind, q):
    E, delta = ERRORS[kind], 0.1
    norm = np.linalg.norm(E, 2)
    failures = sum(norm_bound(E @ omega(30, q, seed), delta=delta) < norm for seed in range(TRIALS))
    assert failures <= tolerances.most_failures(TRIALS, delta)


def test_norm_bound__of_many_probes_is_the_smaller_of_two():
    # Flat, rank 400: Frobenius overshoots by 20, the fourth root by 4.5 times what 64 probes add.
    products = omega(400, 64, 0)
    frobenius = np.linalg.norm(products) / math.sqrt(64 * frobenius_low(probes=64, delta=0.005))
    bound = norm_bound(products, delta=0.01)
    assert 1 < bound < 0.5 * frobenius
    # Rank one: the Frobenius norm is the norm.
    products = np.outer(np.eye(400)[0], omega(1, 64, 0)[0])
    assert 1 < norm_bound(products, delta=0.01) < 2


@pytest.mark.parametrize("q", [2, 5, 16])
def test_norm_bound__is_the_fourth_root_of_what_two_groups_of_probes_show(q):
    # Flat, rank 3,000: the Frobenius bound is far behind, however few the probes.
    products = omega(3000, q, 0)
    A, B = products[:, : q // 2], products[:, q // 2 :]
    squares = np.square(B.T @ A).sum()
    low_A, low_B = (
        group.shape[1] * frobenius_low(probes=group.shape[1], delta=0.05 / 4) for group in (A, B)
    )
    crossed = (squares / low_A / low_B) ** 0.25
    low = q * frobenius_low(probes=q, delta=0.05 / 2)
    frobenius = math.sqrt(np.square(products).sum() / low)
    # Sums of 3,000 squares, in two orders.
    expected = min(crossed, frobenius)
    assert norm_bound(products, delta=0.05) == pytest.approx(expected, rel=6000 * EPS)
    assert q == 2 or crossed < frobenius


def test_norm_bound__of_one_probe_is_the_frobenius_bound():
    products = np.array([[3.0], [4.0]])
    low = frobenius_low(probes=1, delta=0.05)
    assert norm_bound(products, delta=0.1) == pytest.approx(5 / math.sqrt(low), rel=4 * EPS)


def test_norm_bound__of_zero_is_zero():
    assert norm_bound(np.zeros((5, 1)), delta=0.1) == 0
    assert norm_bound(np.zeros((5, 16)), delta=0.1) == 0


def test_norm_bound__scales_with_the_matrix():
    products = omega(30, 16, 0)
    bound = norm_bound(products, delta=0.01)
    assert norm_bound(1024 * products, delta=0.01) == pytest.approx(1024 * bound, rel=8 * EPS)


def test_spectral_bound__turns_eta_into_epsilon_and_adds_the_noise():
    products = 1e-3 * omega(5, 64, 0)
    eta = norm_bound(products, delta=0.01)
    measure = spectral_bound(products, power=1, slack=0.0, delta=0.01)
    assert measure.value == pytest.approx(eta / (1 - eta), rel=4 * EPS)
    assert (measure.kind, measure.confidence) == ("bound", 0.99)
    noisy = spectral_bound(products, power=1, slack=0.01, delta=0.01)
    more = norm_bound(products, delta=0.01, slack=0.01)
    assert more > eta
    assert noisy.value == pytest.approx(more / (1 - more), rel=8 * EPS)
    assert spectral_bound(products, power=1, slack=1e3, delta=0.01) is None
    # ||K||_2 = ||K^2||_2^(1/2).
    squared = spectral_bound(products, power=2, slack=0.0, delta=0.01)
    assert squared.value == pytest.approx(eta**0.5 / (1 - eta**0.5), rel=8 * EPS)
    assert spectral_bound(1e3 * products, power=1, slack=0.0, delta=0.01) is None
    assert spectral_bound(0 * products, power=1, slack=0.0, delta=0.01).value == 0


@pytest.mark.parametrize("r", [0.0, 1.0])
def test_regularised_bound__of_no_error_is_zero_and_of_r_zero_is_nothing(r):
    measure = regularised_bound(np.zeros((5, 16)), r=r, delta=0.01)
    if r == 0:
        assert measure is None
    else:
        assert (measure.value, measure.kind, measure.confidence) == (0, "bound", 0.99)


def test_regularised_bound__is_nothing_where_eta_reaches_one():
    assert regularised_bound(np.full((5, 16), 10.0), r=1.0, delta=0.01) is None


def truncated(rank=5):
    """(G, the rank-k truncation F as eigenpairs, r) of a decaying spectrum."""
    X = strategies.matrix_from_spectrum(30, 60, 0.5 ** np.arange(30))
    G = product_with_transpose(X)
    values, vectors = np.linalg.eigh(G)
    return G, values[::-1][:rank], vectors[:, ::-1][:, :rank], float(G.diagonal().max())


@pytest.mark.parametrize("rank", [2, 5, 20])
def test_regularised_bound__covers_the_true_error(rank):
    G, values, vectors, r = truncated(rank)
    F = (vectors * values) @ vectors.T
    truth = regularised_error(G, F, r=r, rounding=0.0).value
    found = []
    for seed in range(50):
        products = (F - G) @ omega(30, 16, seed)
        found.append(
            regularised_bound(whitened_by_pairs(values, vectors, products, r), r=r, delta=0.1)
        )
    failures = sum(measure is not None and measure.value < truth for measure in found)
    assert failures <= tolerances.most_failures(50, 0.1)
    assert sum(measure is not None for measure in found) > 25


@pytest.mark.parametrize("rank", [1, 5, 20])
def test_whitening__by_factor_and_by_pairs_agree_up_to_a_rotation(rank):
    # Both are A M with A^T A = (F + r I)^-1: their products with each other agree.
    _, values, vectors, r = truncated(rank)
    F = (vectors * values) @ vectors.T
    products = omega(30, 4, 0)
    by_pairs = whitened_by_pairs(values, vectors, products, r)
    by_factor = whitened_by_factor(F.copy(), products, r)
    expected = products.T @ np.linalg.solve(F + r * np.eye(30), products)
    # Condition number (||F|| + r) / r <= 1 + tr(G) / r <= 1 + n.
    bound = 31 * 30 * 30 * EPS * np.abs(expected).max()
    assert np.abs(by_pairs.T @ by_pairs - expected).max() <= bound
    assert np.abs(by_factor.T @ by_factor - expected).max() <= bound


def probed(E, q=16, seed=0, **changes):
    n = E.shape[0]
    probes = omega(n, q, seed)
    arguments = {
        "G_probes": probes,
        "F_probes": probes + E @ probes,
        "probes": probes,
        "lengths": np.ones(n),
        "largest_F": 1.0,
        "d": 10,
    }
    return probe_error(**(arguments | changes))


def test_probe_error__is_the_difference_of_products_with_a_slack_for_rounding():
    E = ERRORS["decaying"]
    found = probed(E)
    probes = omega(30, 16, 0)
    assert np.abs(found.products - E @ probes).max() <= 4 * EPS * np.abs(probes).max()
    reach = np.linalg.norm(np.abs(probes).sum(axis=0))
    np.testing.assert_allclose(found.slack, (30 + 10) * EPS * reach, rtol=40 * EPS)
    # F ten times as large as G rounds ten times as coarsely.
    np.testing.assert_allclose(probed(E, largest_F=10.0).slack, 10 * found.slack, rtol=4 * EPS)


def test_probe_error__of_zero_rows_has_no_slack_there():
    norms = np.where(np.arange(30) % 2 == 0, 1.0, 0.0)
    slack = probed(ERRORS["flat"], lengths=np.sqrt(norms)).slack
    np.testing.assert_array_equal(slack == 0, norms == 0)


@pytest.mark.parametrize("kind", ERRORS)
def test_with_probes__bounds_every_row_and_the_mean_square(kind):
    E, delta = ERRORS[kind], 0.1
    scope = Scope(r=1.0, ridge=1.0, beta=1.0, queries=None, rounding=0.0, rounding_of_norm=0.0)
    longest = np.linalg.norm(E, axis=1).max()
    rms = np.sqrt(np.square(E).mean())
    rows = mean = 0
    for seed in range(TRIALS):
        errors = with_probes(Errors(), probed(E, seed=seed), scope, delta=delta)
        rows += errors.all_rows_entry.value < longest
        mean += errors.rms_entry.value < rms
    assert rows <= tolerances.most_failures(TRIALS, delta)
    assert mean <= tolerances.most_failures(TRIALS, delta)


def test_with_probes__is_the_formula_of_theory():
    E, delta = ERRORS["decaying"], 0.01
    scope = Scope(r=2.0, ridge=2.0, beta=0.1, queries=None, rounding=0.0, rounding_of_norm=0.0)
    found = probed(E)
    errors = with_probes(Errors(checked_rows=3), found, scope, delta=delta)
    lengths = np.linalg.norm(found.products, axis=1) + found.slack
    row = lengths.max() / math.sqrt(chi_square_low(degrees=16, delta=delta))
    frobenius = np.linalg.norm(lengths) / math.sqrt(16 * frobenius_low(probes=16, delta=delta))
    assert errors.all_rows_entry.value == pytest.approx(row / 2, rel=8 * EPS)
    assert errors.rms_entry.value == pytest.approx(frobenius / 30 / 2, rel=8 * EPS)
    moved = 0.1 * row
    attention = min(2 * math.tanh(moved / math.sqrt(8)), math.exp(0.2) * moved / math.sqrt(30))
    assert errors.all_rows_attention.value == pytest.approx(attention, rel=16 * EPS)
    assert errors.checked_rows == 3
    assert errors.rms_entry.confidence == 0.99


def test_with_probes__of_a_pair_bounds_the_rows_that_look():
    # Only row 7 errs; queries are the first five rows.
    E = np.zeros((30, 30))
    E[7] = 1.0
    scope = Scope(r=1.0, ridge=1.0, beta=1.0, queries=5, rounding=0.0, rounding_of_norm=0.0)
    found = probed(E)
    errors = with_probes(Errors(), found, scope, delta=0.01)
    assert errors.all_rows_entry.value <= 100 * found.slack.max()
    everyone = with_probes(Errors(), found, Scope(1.0, 1.0, 1.0, None, 0.0, 0.0), delta=0.01)
    assert everyone.all_rows_entry.value > math.sqrt(30)


def test_with_probes__says_nothing_where_it_knows_nothing():
    scope = Scope(r=0.0, ridge=0.0, beta=1.0, queries=None, rounding=0.0, rounding_of_norm=0.0)
    found = probed(ERRORS["flat"])
    assert with_probes(Errors(), found, scope, delta=0.01) == Errors()
    assert with_probes(Errors(), None, Scope(1.0, 1.0, 1.0, None, 0.0, 0.0), delta=0.01) == Errors()


def test_with_probes__of_no_error_bounds_by_the_slack_alone():
    found = probed(np.zeros((30, 30)))
    errors = with_probes(Errors(), found, Scope(1.0, 1.0, 1.0, None, 0.0, 0.0), delta=0.01)
    most = found.slack.max() / math.sqrt(chi_square_low(degrees=16, delta=0.01 / 30))
    assert 0 < errors.all_rows_entry.value <= most * (1 + 4 * EPS)
    assert errors.all_rows_attention.value <= 2 * most


def test_with_probes__drops_an_attention_bound_that_everything_meets():
    scope = Scope(r=1.0, ridge=1.0, beta=1e6, queries=None, rounding=0.0, rounding_of_norm=0.0)
    errors = with_probes(Errors(), probed(ERRORS["flat"]), scope, delta=0.01)
    assert errors.all_rows_attention is None
    assert errors.all_rows_entry is not None
