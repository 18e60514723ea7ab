"""The formulas of THEORY, computed again: its tables, its quoted factors, their inverses."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chi2, poisson

from streamsparse.sketching import bounds

epsilons = st.floats(1e-3, 0.99)
deltas = st.floats(1e-9, 0.5)


@pytest.mark.parametrize(
    ("epsilon", "few", "many"),
    [(0.9, 236, 293), (0.6, 354, 439), (0.5, 459, 569), (0.3, 1062, 1318), (0.1, 8192, 10165)],
)
def test_entrywise_columns__are_those_of_the_table(epsilon, few, many):
    columns = bounds.entrywise_columns
    assert columns(n=1000, epsilon=epsilon, delta=0.01) == pytest.approx(few, abs=1)
    assert columns(n=10_000, epsilon=epsilon, delta=0.01) == pytest.approx(many, abs=1)


@pytest.mark.parametrize(("epsilon", "ratio"), [(0.9, 7.0), (0.5, 19.8), (0.2, 109.8)])
def test_spectral_columns__approach_the_table_for_large_rank(epsilon, ratio):
    # The sqrt(2 ln(2 / delta)) term is 3.3 beside sqrt(rank) = 10^4: 0.07 %.
    rank = 10**8
    m = bounds.spectral_columns(rank=rank, epsilon=epsilon, delta=0.01)
    assert m / rank == pytest.approx(ratio, rel=0.01)


def test_spectral_columns__pay_for_confidence():
    assert bounds.spectral_columns(rank=1, epsilon=0.5, delta=1e-6) == pytest.approx(
        (1 + (2 * 14.508657738524219) ** 0.5) ** 2 / (1.5**0.5 - 1) ** 2, abs=1
    )


@pytest.mark.parametrize(
    ("epsilon", "theorem", "bernstein"),
    [
        (0.9, 12, 39),
        (0.8, 16, 48),
        (0.6, 28, 81),
        (0.5, 40, 114),
        (0.4, 62, 173),
        (0.3, 111, 298),
        (0.2, 250, 651),
        (0.1, 1000, 2523),
    ],
)
def test_proved_columns_and_sampling_rate__are_those_of_the_table(epsilon, theorem, bernstein):
    # The table rounds to integers; m / k^2 is (k + 1) / k times its limit.
    m = bounds.proved_columns(rank=1000, epsilon=epsilon, delta=0.1)
    assert m / (1000 * 1001) == pytest.approx(theorem, abs=0.51)
    rate = bounds.sampling_rate(rank=1000, epsilon=epsilon, delta=0.01)
    assert rate == pytest.approx(bernstein, abs=0.51)


INVERSES = {
    "entrywise": (bounds.entrywise_columns, bounds.entrywise_epsilon, "n"),
    "spectral": (bounds.spectral_columns, bounds.spectral_epsilon, "rank"),
    "proved": (bounds.proved_columns, bounds.proved_epsilon, "rank"),
}


@pytest.mark.parametrize("kind", INVERSES)
@given(size=st.integers(1, 10**6), epsilon=epsilons, delta=deltas)
def test_epsilon__is_the_inverse_of_columns(kind, size, epsilon, delta):
    columns, inverse, name = INVERSES[kind]
    m = columns(**{name: size}, epsilon=epsilon, delta=delta)
    assume(m < bounds.MOST_COLUMNS)
    # m is rounded up, so the epsilon it allows is smaller; one column fewer allows less.
    assert inverse(**{name: size}, m=m, delta=delta) <= epsilon * (1 + 1e-9)
    if m > 1:
        assert inverse(**{name: size}, m=m - 1, delta=delta) >= epsilon * (1 - 1e-9)


def test_epsilon__is_infinite_where_the_formula_gives_nothing():
    assert bounds.entrywise_epsilon(n=1000, m=10, delta=0.01) == math.inf
    assert bounds.sampling_rate(rank=10, epsilon=1e-170, delta=0.01) == math.inf
    assert bounds.largest_sample(expected=math.inf, failure=1e-9) == bounds.MOST_COLUMNS


def test_columns__of_a_hopeless_epsilon_stay_an_integer():
    for columns, _, name in INVERSES.values():
        assert columns(**{name: 1000}, epsilon=1e-170, delta=0.01) == bounds.MOST_COLUMNS


@given(size=st.integers(1, 10**5), epsilon=st.floats(0.01, 0.9), delta=st.floats(1e-6, 0.4))
def test_columns__rise_with_everything_that_is_asked(size, epsilon, delta):
    for columns, _, name in INVERSES.values():
        m = columns(**{name: size}, epsilon=epsilon, delta=delta)
        assert m >= 1
        assert columns(**{name: size + 1}, epsilon=epsilon, delta=delta) >= m
        assert columns(**{name: size}, epsilon=epsilon * 0.9, delta=delta) >= m
        assert columns(**{name: size}, epsilon=epsilon, delta=delta / 2) >= m


@pytest.mark.parametrize(
    ("probes", "thousand", "ten_thousand"),
    [(8, 5.6, 7.5), (16, 2.8, 3.3), (32, 1.94, 2.1), (64, 1.55, 1.6)],
)
def test_chi_square_low__overshoots_by_the_factors_quoted(probes, thousand, ten_thousand):
    # THEORY 5.1: sqrt(q / chi2_{q; delta / n}) at delta = 0.01, rounded there to two digits.
    for n, factor in ((1000, thousand), (10_000, ten_thousand)):
        low = bounds.chi_square_low(degrees=probes, delta=0.01 / n)
        assert math.sqrt(probes / low) == pytest.approx(factor, rel=0.03)


@given(degrees=st.integers(1, 300), delta=st.floats(1e-12, 0.9))
def test_chi_square_low__is_the_quantile(degrees, delta):
    low = bounds.chi_square_low(degrees=degrees, delta=delta)
    assert chi2.cdf(low, degrees) == pytest.approx(delta, rel=1e-6)


@pytest.mark.parametrize(("probes", "factor"), [(8, 2.74), (16, 1.92), (32, 1.54), (64, 1.34)])
def test_frobenius_low__overshoots_by_the_factors_quoted(probes, factor):
    t = bounds.frobenius_low(probes=probes, delta=0.01)
    assert 1 / math.sqrt(t) == pytest.approx(factor, abs=0.006)


@given(probes=st.integers(1, 200), delta=st.floats(1e-12, 0.9))
def test_frobenius_low__solves_its_equation_and_is_no_more_than_the_quantile(probes, delta):
    t = bounds.frobenius_low(probes=probes, delta=delta)
    assert 0 < t < 1
    left, right = math.log(t) + 1 - t, 2 * math.log(delta) / probes
    assert left == pytest.approx(right, rel=1e-6, abs=1e-12)
    # Rank one: q F / ||E||^2 is chi-square with q degrees, so t q cannot exceed its quantile.
    assert t * probes <= bounds.chi_square_low(degrees=probes, delta=delta) * (1 + 1e-9)


@pytest.mark.parametrize(("share", "delta", "rows"), [(0.95, 0.01, 90), (0.95, 0.05, 59)])
def test_rows_for_share__are_the_numbers_quoted(share, delta, rows):
    assert bounds.rows_for_share(share=share, delta=delta) == rows


@given(share=st.floats(0.01, 0.999), delta=deltas)
def test_rows_for_share__is_the_fewest_that_reach_it(share, delta):
    rows = bounds.rows_for_share(share=share, delta=delta)
    assert bounds.share_of_rows(checked=rows, delta=delta) >= share * (1 - 1e-12)
    if rows > 1:
        assert bounds.share_of_rows(checked=rows - 1, delta=delta) < share * (1 + 1e-12)


@pytest.mark.parametrize(("checked", "bad"), [(32, 0.089), (64, 0.046), (128, 0.023), (256, 0.012)])
def test_share_of_rows__leaves_the_bad_rows_quoted(checked, bad):
    assert 1 - bounds.share_of_rows(checked=checked, delta=0.05) == pytest.approx(bad, abs=6e-4)


@given(
    chances=st.lists(st.floats(0, 1), min_size=1, max_size=12),
    failure=st.sampled_from([1e-2, 1e-4, 1e-9]),
)
def test_largest_sample__is_exceeded_less_often_than_allowed(chances, failure):
    # The exact distribution of a sum of independent indicators, by convolution.
    repeated = np.array(chances * 8)
    exact = np.ones(1)
    for p in repeated:
        exact = np.convolve(exact, [1 - p, p])
    most = bounds.largest_sample(expected=float(repeated.sum()), failure=failure)
    assert exact[most + 1 :].sum() <= failure


@pytest.mark.parametrize("expected", [0.1, 10, 1000, 1e6])
@pytest.mark.parametrize("failure", [1e-3, 1e-9])
def test_largest_sample__holds_in_the_poisson_limit_without_much_waste(expected, failure):
    most = bounds.largest_sample(expected=expected, failure=failure)
    assert poisson.sf(most, expected) <= failure
    # Bernstein's t is at most sqrt(2 mu L) + 2 L / 3.
    log = -math.log(failure)
    assert most <= expected + math.sqrt(2 * expected * log) + 2 * log / 3 + 1


@given(expected=st.floats(0.01, 1e6), failure=st.floats(1e-12, 0.5))
def test_largest_sample__solves_the_bound_of_bernstein(expected, failure):
    t = bounds.largest_sample(expected=expected, failure=failure) - expected

    def chance(t):
        return math.exp(-t * t / (2 * (expected + t / 3)))

    # Rounded up to a whole column.
    assert chance(t) <= failure * (1 + 1e-6)
    assert t < 1 or chance(t - 1) >= failure * (1 - 1e-6)


@given(attention=st.floats(1e-6, 1.99), beta=st.floats(1e-3, 1e3), r=st.floats(1e-3, 1e3))
def test_entry_of_attention__is_the_inverse_of_attention_of_entry(attention, beta, r):
    entry = bounds.entry_of_attention(attention=attention, beta=beta, r=r)
    again = bounds.attention_of_entry(entry=entry, beta=beta, r=r)
    assert again == pytest.approx(attention, rel=1e-9)


def test_entry_of_attention__is_infinite_where_Y_zero_would_do():
    assert bounds.entry_of_attention(attention=2.0, beta=1.0, r=1.0) == math.inf
    assert bounds.entry_of_attention(attention=0.1, beta=1.0, r=0.0) == math.inf
    assert bounds.attention_of_entry(entry=0.0, beta=1.0, r=1.0) == 0
    assert bounds.attention_of_entry(entry=1e9, beta=1.0, r=1.0) == 2
