"""Polynomials modulo 2^61 - 1 against Python integers, which never overflow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from streamsparse.kernels.polynomial import PRIME, polynomial_words

GOLDEN_COEFFICIENTS = [1, 2**60 + 3, 2**61 - 2, 123456789012345678]
GOLDEN_WORDS = {
    0: ["0000000000000001", "11b69b4ba630f351"],
    2**32: ["11879a73eda6d2e2", "1eef9ebf518d249b"],
    2**60: ["0836d36974c61e6c", "0dc84c1f50e5352b"],
}

coefficients = st.lists(st.integers(0, PRIME - 1), min_size=4, max_size=4)


def words_of(first, chosen, count):
    words = np.empty(count, np.uint64)
    polynomial_words(first, np.array(chosen, np.uint64), words)
    return words.tolist()


@given(first=st.integers(0, 2**60), chosen=coefficients, count=st.integers(0, 9))
def test_polynomial_words__equals_the_integer_twin(first, chosen, count):
    expected = [reference.polynomial(chosen, first + j) for j in range(count)]
    assert words_of(first, chosen, count) == expected


@pytest.mark.parametrize("first", [0, 2**32 - 3, 2**59, 2**60 - 4, PRIME - 5])
@pytest.mark.parametrize("value", [0, 1, 2**32 - 1, 2**32, 2**60, PRIME - 1])
def test_polynomial_words__carries_through_every_half_word(first, value):
    # The largest coefficients at the edges of the 32-bit halves: every intermediate at its most.
    chosen = [value] * 4
    expected = [reference.polynomial(chosen, first + j) for j in range(5)]
    assert words_of(first, chosen, 5) == expected


def test_polynomial_words__of_a_constant_and_of_the_identity():
    assert words_of(7, [5, 0, 0, 0], 3) == [5, 5, 5]
    assert words_of(PRIME - 1, [0, 1, 0, 0], 3) == [PRIME - 1, 0, 1]


def test_polynomial_words__golden_values_pin_them_for_ever():
    for first, expected in GOLDEN_WORDS.items():
        words = words_of(first, GOLDEN_COEFFICIENTS, 2)
        assert [f"{word:016x}" for word in words] == expected


def test_polynomial_words__are_of_degree_three():
    # The fourth finite difference of a cubic vanishes.
    words = words_of(1000, [11, 22, 33, 44], 5)
    difference = words[0] - 4 * words[1] + 6 * words[2] - 4 * words[3] + words[4]
    assert difference % PRIME == 0
