"""Moments of <Sa, Sb> - <a, b>, THEORY 2.2 and 7.1, and the fold, THEORY 5.6."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
import strategies
import tolerances
from streamsparse.sketching.run_hash import SparseSign

D = 1024
TRIALS = [pytest.param(500, id="few"), pytest.param(5000, marks=pytest.mark.slow)]
HASHES = ["splitmix", "poly4"]


def places(operator):
    """Buckets and signs (s, d) of every column, from the tables that the kernels use."""
    runs = -(-operator.d // operator.run)
    offsets, signs = operator.tables(0, runs)
    q, a = np.divmod(np.arange(operator.d), operator.run)
    buckets, flips = [], []
    base = start = 0
    for t, width in enumerate(operator.widths):
        buckets.append(start + (offsets[q, t] - base + a) % width)
        flips.append(1 - 2 * ((signs[q, t] >> a.astype(np.uint64)) & np.uint64(1)).astype(int))
        base, start = base + width + operator.run - 1, start + width
    return np.array(buckets), np.array(flips)


def sums(X, operator):
    """sqrt(s) X S^T, exact for integers."""
    buckets, flips = places(operator)
    Y = np.zeros((X.shape[0], operator.m))
    for bucket, flip in zip(buckets, flips, strict=True):
        for i, row in enumerate(X):
            Y[i] += np.bincount(bucket, weights=row * flip, minlength=operator.m)
    return Y


def run_variance(a, b, *, m, run):
    """Var <Sa, Sb>: the formula of 2.2 without the pairs of columns of one run, which never meet.

    (1/m) sum over j != k in different runs of a_j^2 b_k^2 + a_j b_j a_k b_k. With one column in
    each run this is (|a|^2 |b|^2 + <a,b>^2 - 2 sum a_c^2 b_c^2) / m; less otherwise.
    """
    parts = [(a[j : j + run], b[j : j + run]) for j in range(0, a.size, run)]
    within = sum((p @ p) * (q @ q) + (p @ q) ** 2 for p, q in parts)
    return ((a @ a) * (b @ b) + (a @ b) ** 2 - within) / m


def independent_variance(a, b, *, m):
    """The formula of 2.2, for a bucket of its own for every column."""
    return ((a @ a) * (b @ b) + (a @ b) ** 2 - 2 * np.square(a) @ np.square(b)) / m


def spread_vectors(seed=0, *, places=64):
    """Integers on one column of each run of 64, at one of the first places of the run."""
    rng = np.random.default_rng(seed)
    a, b = np.zeros(D), np.zeros(D)
    columns = np.arange(0, D, 64) + rng.integers(0, places, D // 64)
    a[columns] = rng.integers(1, 4, columns.size)
    b[columns] = rng.integers(-3, 4, columns.size)
    return a, b


def filled_vectors(seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(-3, 4, D).astype(float), rng.integers(-2, 5, D).astype(float)


def smooth_vectors():
    """Two rows that differ little and slowly."""
    x = np.arange(D) / D
    return np.round(3 + 3 * np.sin(6 * x)), np.round(3 + 3 * np.cos(6 * x))


VECTORS = {
    "one per run": spread_vectors(),
    "one per run, stride 64": spread_vectors(places=1),
    "dense": filled_vectors(),
    "smooth": smooth_vectors(),
}


@pytest.mark.parametrize("hash", HASHES)
@pytest.mark.parametrize(("m", "s"), [(96, 1), (130, 2), (96, 4), (512, 8)])
def test_places__are_those_of_the_slow_twin_and_differ_between_replicates(m, s, hash):
    operator = SparseSign.make(d=300, m=m, s=s, seed=11, hash=hash)
    buckets, flips = places(operator)
    S = np.zeros((m, 300))
    for bucket, flip in zip(buckets, flips, strict=True):
        S[bucket, np.arange(300)] += flip
    assert (np.abs(S).sum(axis=0) == s).all()
    # No two replicates share their offsets or their signs: variances alone would not show it.
    for drawn in (buckets - buckets[:, :1], flips):
        assert len(np.unique(drawn, axis=0)) == s
    if hash == "splitmix":
        np.testing.assert_array_equal(S, reference.dense_S(d=300, m=m, s=s, seed=11))


@pytest.mark.slow
@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("hash", HASHES)
@pytest.mark.parametrize("s", [1, 2, 4, 8])
def test_inner_products__have_the_mean_and_variance_of_the_theory(s, hash, trials):
    m = 64 * s
    pairs = list(VECTORS.values())
    X = np.array([row for pair in pairs for row in pair])
    errors = np.empty((trials, len(pairs)))
    for seed in range(trials):
        Y = sums(X, SparseSign.make(d=D, m=m, s=s, seed=seed, hash=hash))
        for k, (a, b) in enumerate(pairs):
            errors[seed, k] = Y[2 * k] @ Y[2 * k + 1] / s - a @ b
    for Z, (a, b) in zip(errors.T, pairs, strict=True):
        variance = run_variance(a, b, m=m, run=64)
        # Six standard errors of a mean of independent trials: of Z known, of Z^2 as it scatters.
        assert abs(Z.mean()) <= 6 * np.sqrt(variance / trials)
        squares = np.square(Z)
        assert abs(squares.mean() - variance) <= 6 * squares.std() / np.sqrt(trials)


def test_run_variance__is_at_most_that_of_independent_buckets_and_equal_at_one_column_per_run():
    for kind, (a, b) in VECTORS.items():
        of_runs = run_variance(a, b, m=64, run=64)
        independent = independent_variance(a, b, m=64)
        # Integers over a power of two: exact.
        assert of_runs == independent if "one per run" in kind else of_runs < independent


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("hash", HASHES)
@pytest.mark.parametrize("s", [1, 8])
def test_gram__has_the_mean_and_the_mean_square_error_of_the_theory(s, hash, trials):
    # E ||E||_F^2 = ((tr G)^2 + ||G||_F^2 - 2 sum ||X_c||^4) / m, one column per run.
    m = 64 * s
    X = np.zeros((3, D))
    X[:, ::64] = strategies.integer_matrix(3, D // 64)
    G = X @ X.T
    E = np.empty((trials, 3, 3))
    for seed in range(trials):
        Y = sums(X, SparseSign.make(d=D, m=m, s=s, seed=seed, hash=hash))
        E[seed] = Y @ Y.T / s - G
    fourth = np.square(np.square(X).sum(axis=0)).sum()
    expected = (np.trace(G) ** 2 + (G**2).sum() - 2 * fourth) / m
    squares = np.square(E).sum(axis=(1, 2))
    assert abs(squares.mean() - expected) <= 6 * squares.std() / np.sqrt(trials)
    assert (np.abs(E.mean(axis=0)) <= 6 * E.std(axis=0) / np.sqrt(trials)).all()


@pytest.mark.parametrize(
    ("m", "s", "levels"),
    [
        (4096, 8, (4096, 2048, 1024, 512)),
        (512, 8, (512,)),
        (1024, 1, (1024, 512, 256, 128, 64)),
        (1000, 4, (1000, 500)),
        (768, 4, (768, 384)),
        (1001, 1, (1001,)),
        (48, 1, (48,)),
        (7, 8, (7,)),
    ],
)
def test_levels__halve_while_a_replicate_holds_a_run(m, s, levels):
    assert SparseSign.make(d=100, m=m, s=s, seed=0).levels == levels


@given(m=st.integers(1, 5000), s=st.sampled_from([1, 2, 4, 8]))
def test_levels__are_operators_of_the_same_run_for_any_m(m, s):
    operator = SparseSign.make(d=100, m=m, s=s, seed=0)
    assert operator.levels[0] == m
    for wide, narrow in pairwise(operator.levels):
        assert wide == 2 * narrow
        made = SparseSign.make(d=100, m=narrow, s=s, seed=0)
        assert operator.folded(narrow) == made
        assert len(set(made.widths)) == 1
    # And no level is left out: one more half would be uneven, or narrower than a run.
    last = operator.levels[-1]
    assert last % (2 * operator.s) or last // (2 * operator.s) < operator.run


FOLDABLE = st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(32, 80), st.integers(1, 3))


@given(size=FOLDABLE, seed=st.integers(0, 2**64 - 1), hash=st.sampled_from(HASHES))
def test_fold__of_integers_is_the_narrower_sketch_to_the_last_bit(size, seed, hash):
    s, half, doublings = size
    m = s * half << doublings
    X = strategies.integer_matrix(3, 500, "int16", seed=seed % 1000)
    operator = SparseSign.make(d=500, m=m, s=s, seed=seed, hash=hash)
    whole = sums(X, operator)
    for columns in operator.levels:
        narrow = SparseSign.make(d=500, m=columns, s=s, seed=seed, hash=hash)
        np.testing.assert_array_equal(operator.fold(whole, columns), sums(X, narrow))


@pytest.mark.slow
@given(size=FOLDABLE, seed=st.integers(0, 2**32), scale=st.integers(-60, 60))
def test_fold__of_floats_is_the_narrower_sketch_within_rounding(size, seed, scale):
    s, half, doublings = size
    m = s * half << doublings
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((3, 400)) * np.exp(rng.standard_normal(400) * 3) * 2.0**scale
    operator = SparseSign.make(d=400, m=m, s=s, seed=seed)
    whole = sums(X, operator)
    for columns in operator.levels:
        narrow = operator.folded(columns)
        buckets, _ = places(narrow)
        S_abs = np.zeros((columns, 400))
        for bucket in buckets:
            S_abs[bucket, np.arange(400)] += 1
        error = np.abs(operator.fold(whole, columns) - sums(X, narrow))
        # Twice: either sum rounds, in its own order.
        assert (error <= 2 * tolerances.sketch_error_bound(X, S_abs)).all()
