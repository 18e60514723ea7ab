"""The table of THEORY 2.5, computed again."""

import pytest

from streamsparse.sketching.bounds import entrywise_columns, spectral_columns


@pytest.mark.parametrize(
    ("epsilon", "few", "many"),
    [(0.9, 236, 293), (0.6, 354, 439), (0.5, 459, 569), (0.3, 1062, 1318), (0.1, 8192, 10165)],
)
def test_entrywise_columns__are_those_of_the_table(epsilon, few, many):
    assert entrywise_columns(n=1000, epsilon=epsilon, delta=0.01) == pytest.approx(few, abs=1)
    assert entrywise_columns(n=10_000, epsilon=epsilon, delta=0.01) == pytest.approx(many, abs=1)


@pytest.mark.parametrize(("epsilon", "ratio"), [(0.9, 7.0), (0.5, 19.8), (0.2, 109.8)])
def test_spectral_columns__approach_the_table_for_large_rank(epsilon, ratio):
    # The sqrt(2 ln(2 / delta)) term is 3.3 beside sqrt(rank) = 10^4: 0.07 %.
    rank = 10**8
    m = spectral_columns(rank=rank, epsilon=epsilon, delta=0.01)
    assert m / rank == pytest.approx(ratio, rel=0.01)


def test_spectral_columns__pay_for_confidence():
    assert spectral_columns(rank=1, epsilon=0.5, delta=1e-6) == pytest.approx(
        (1 + (2 * 14.508657738524219) ** 0.5) ** 2 / (1.5**0.5 - 1) ** 2, abs=1
    )
