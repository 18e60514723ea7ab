"""The digest against Python integers modulo 2^64; its sums wrap, which scalars would report."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse

import reference
import strategies
from strategies import extents_of
from streamsparse.kernels import digest
from streamsparse.sketching.draws import digest_factors

SHAPE = (7, 130)


@pytest.fixture(autouse=True)
def wrapping():
    with np.errstate(over="ignore"):
        yield


def bits_of(values):
    return values.view(f"u{values.dtype.itemsize}")


def matrix(dtype):
    values = strategies.integer_matrix(*SHAPE, dtype) * (np.arange(SHAPE[1]) % 3 == 0)
    values = values.astype(dtype)
    if values.dtype.kind == "f":
        # Every bit of the mantissa counts: sums wrap many times. Sparse storage has no -0.
        values = values * values.dtype.type(np.pi) + 0
    return values


def dense_digest(X, edges=(0, SHAPE[1])):
    words = np.zeros(X.shape[0], np.uint64)
    for lo, hi in pairwise(edges):
        digest.digest_dense(bits_of(X), lo, hi, digest_factors(lo, hi), words)
    return words


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "f4", "f8"])
def test_digest__is_that_of_the_twin_for_dense_rows_and_columns(dtype):
    X = matrix(dtype)
    expected = reference.digest(X)
    assert dense_digest(X).tolist() == expected
    factors = digest_factors(0, SHAPE[1])
    by_rows, by_columns = scipy.sparse.csr_array(X), scipy.sparse.csc_array(X)
    words = np.zeros((2, SHAPE[0]), np.uint64)
    digest.digest_sparse_rows(
        extents_of(by_rows), by_rows.indices, bits_of(by_rows.data), factors, 0, words[0]
    )
    digest.digest_sparse_columns(
        extents_of(by_columns), by_columns.indices, bits_of(by_columns.data), factors, words[1]
    )
    assert words[0].tolist() == words[1].tolist() == expected


@pytest.mark.parametrize("edges", [(0, 1, 130), (0, 64, 65, 130)])
def test_digest__adds_up_over_columns(edges):
    X = matrix("f8")
    assert dense_digest(X, edges).tolist() == reference.digest(X)


def test_digest_sparse_rows__counts_indices_from_the_shift():
    X = matrix("f4")
    part = scipy.sparse.csr_array(X[:, 30:70])
    factors = digest_factors(50, 70)
    extents = extents_of(part)
    # Only the columns from 50 on: index 20 of the block has the first factor.
    extents[0] = [a + int(np.searchsorted(part.indices[a:b], 20)) for a, b in extents.T]
    words = np.zeros(SHAPE[0], np.uint64)
    digest.digest_sparse_rows(extents, part.indices, bits_of(part.data), factors, 20, words)
    masked = np.zeros_like(X)
    masked[:, 50:70] = X[:, 50:70]
    assert words.tolist() == reference.digest(masked)


def test_digest__sees_one_changed_bit_anywhere():
    X = matrix("f4")
    before = dense_digest(X)
    for i, j in ((0, 0), (3, 77), (6, 129)):
        changed = X.copy()
        bits_of(changed)[i, j] ^= 1
        differs = dense_digest(changed) != before
        assert np.flatnonzero(differs).tolist() == [i]


def test_digest_factors__are_odd_and_do_not_depend_on_where_they_start():
    factors = digest_factors(0, 300)
    assert (factors % np.uint64(2) == 1).all()
    np.testing.assert_array_equal(digest_factors(100, 200), factors[100:200])
    assert np.unique(factors).size == 300
