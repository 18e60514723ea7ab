"""The bootstrap: deterministic, zero where buckets cannot differ, and near the true scatter."""

import math

import numpy as np
import pytest

import reference
import strategies
from streamsparse.dense.bootstrap import QUANTILE, bootstrap_entry
from streamsparse.sketching.draws import BOOTSTRAP

EPS = np.finfo(float).eps


def estimate(Y, **changes):
    arguments = {"m": Y.shape[1], "r": 1.0, "seed": 0, "exact_diagonal": False}
    return bootstrap_entry(Y, **(arguments | changes))


def sketch():
    return np.random.default_rng(0).standard_normal((12, 40)) / math.sqrt(40)


@pytest.mark.parametrize("exact_diagonal", [False, True])
def test_bootstrap_entry__is_the_quantile_of_the_resampled_maxima(exact_diagonal):
    # The twin: 40 replicates of 40 buckets, drawn one by one, every sum by itself.
    Y = sketch()
    F = Y @ Y.T
    maxima = []
    for k in range(40):
        drawn = [int(reference.uniform(5, key, BOOTSTRAP + k) * 40) for key in range(40)]
        Y_star = Y[:, drawn]
        if exact_diagonal:
            scale = np.sqrt(F.diagonal() / np.square(Y_star).sum(axis=1))
            Y_star = Y_star * scale[:, None]
        maxima.append(np.abs(Y_star @ Y_star.T - F).max())
    measure = estimate(Y, seed=5, r=2.0, exact_diagonal=exact_diagonal)
    # Sums of 40 terms near 1, in two orders.
    expected = np.quantile(maxima, QUANTILE) / 2
    assert measure.value == pytest.approx(expected, rel=40 * 40 * EPS)
    assert (measure.kind, measure.confidence) == ("estimate", QUANTILE)


def test_bootstrap_entry__is_zero_where_all_buckets_are_equal():
    # Integers: however often each bucket is drawn, the sums are the same.
    Y = np.repeat(np.arange(1.0, 8)[:, None], 16, axis=1)
    assert estimate(Y).value == 0
    assert estimate(Y, exact_diagonal=True).value == 0


def test_bootstrap_entry__is_deterministic_for_a_seed():
    Y = sketch()
    assert estimate(Y) == estimate(Y)
    assert estimate(Y, seed=1) != estimate(Y)


def test_bootstrap_entry__falls_as_one_over_the_root_of_m():
    Y = sketch()
    assert estimate(Y, m=160).value == pytest.approx(estimate(Y).value / 2, rel=4 * EPS)
    assert estimate(Y, r=4.0).value == pytest.approx(estimate(Y).value / 4, rel=4 * EPS)


@pytest.mark.parametrize("exact_diagonal", [False, True])
def test_bootstrap_entry__knows_no_scale_without_r_and_survives_zero_rows(exact_diagonal):
    Y = sketch()
    assert estimate(0 * Y, r=0.0) is None
    Y[3] = 0
    found = estimate(Y, exact_diagonal=exact_diagonal).value
    rest = estimate(np.delete(Y, 3, axis=0), exact_diagonal=exact_diagonal).value
    assert found == pytest.approx(rest, rel=40 * 40 * EPS)


def test_bootstrap_entry__is_near_the_error_it_estimates():
    # 30 sketches: THEORY 5.3 measured an overshoot of 1.16 and a coverage of 97 %.
    X = strategies.matrix_from_spectrum(20, 300, np.ones(20))
    G = X @ X.T
    covered, ratios = 0, []
    for seed in range(30):
        Y = reference.sketch(X, m=128, s=1, seed=seed)
        truth = np.abs(Y @ Y.T - G).max()
        found = estimate(Y, seed=seed).value
        covered += found >= truth
        ratios.append(found / truth)
    assert covered >= 24  # below one in 10^4 for a coverage of 95 %
    assert np.median(ratios) < 2
