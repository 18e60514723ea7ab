"""What is promised before the pass, kept over seeds: counts of failures against delta.

(L) is (1 - epsilon) G <= Y Y^T <= (1 + epsilon) G. Y = 0 has the error 1 in every sense below, so
each promise is one of epsilon < 1, never of a constant times r.
"""

import math
import warnings

import numpy as np
import pytest
from scipy.stats import binom

import reference
import strategies
import streamsparse as ss
import tolerances
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.sketching.bounds import (
    entrywise_columns,
    largest_sample,
    proved_columns,
    sampling_rate,
    spectral_columns,
)

KINDS = list(strategies.hard_matrices())
# A count over few seeds runs always; over many, the binomial bound is close to delta itself.
SEEDS = [pytest.param(range(10), id="few"), pytest.param(range(100), marks=pytest.mark.slow)]
EPSILON, DELTA = 0.5, 0.1


def sketches(X, seeds, *, m, **arguments):
    """Y = X S^T for each seed."""
    for seed in seeds:
        yield np.asarray(ss.sparsify(X, "sketch", m=m, seed=seed, progress=False, **arguments).Y)


def assert_kept(errors, *, epsilon, delta):
    """Assert that epsilon is exceeded no more often than delta explains, and beats Y = 0 mostly."""
    failures = sum(error > epsilon for error in errors)
    assert failures <= tolerances.most_failures(len(errors), delta)
    assert np.median(errors) < epsilon


@pytest.mark.parametrize("kind", KINDS)
def test_errors__of_zero_are_one_and_of_X_itself_are_zero(kind):
    # The scale of everything below; and the measure itself resolves far less than epsilon.
    X = strategies.hard_matrices()[kind]
    n, d = X.shape
    white = reference.whitening(X)
    zero = np.zeros((n, 1))
    assert reference.loewner_error(white, zero) == 1
    assert reference.cosine_errors(X, zero).max() == pytest.approx(1, rel=d * 2.0**-52)
    assert reference.loewner_error(white, X.astype(np.float64)) <= 1e-6
    assert reference.cosine_errors(X, X.astype(np.float64)).max() <= d * 2.0**-52


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_sketch__keeps_the_spectral_promise_on_every_kind(kind, seeds):
    X = strategies.hard_matrices()[kind]
    white = reference.whitening(X)
    m = spectral_columns(rank=white.inside.shape[0], epsilon=EPSILON, delta=DELTA)
    errors = [reference.loewner_error(white, Y) for Y in sketches(X, seeds, m=m)]
    assert_kept(errors, epsilon=EPSILON, delta=DELTA)


@pytest.mark.parametrize("kind", KINDS)
def test_sketch__is_unbiased_with_the_second_moment_of_theorem_2(kind):
    # Whitened, K = W Y Y^T W^T - I: E K = 0 and E ||K||_F^2 <= k (k + 1) / m; six standard errors.
    X, trials, m = strategies.hard_matrices()[kind], 25, 512
    white = reference.whitening(X)
    k = white.inside.shape[0]
    halves = [white.inside @ Y for Y in sketches(X, range(trials), m=m)]
    K = np.array([half @ half.T - np.eye(k) for half in halves])
    rounding = X.shape[1] * np.finfo(float).eps
    traces = np.trace(K, axis1=1, axis2=2)
    assert abs(traces.mean()) <= 6 * traces.std(ddof=1) / np.sqrt(trials) + k * rounding
    squares = np.square(K).sum(axis=(1, 2))
    noise = squares.std(ddof=1) / np.sqrt(trials)
    assert squares.mean() <= k * (k + 1) / m + 6 * noise


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_sketch__keeps_the_entrywise_promise_on_every_kind(kind, seeds):
    X = strategies.hard_matrices()[kind]
    m = entrywise_columns(n=X.shape[0], epsilon=EPSILON, delta=DELTA)
    errors = [reference.cosine_errors(X, Y).max() for Y in sketches(X, seeds, m=m)]
    assert_kept(errors, epsilon=EPSILON, delta=DELTA)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_strict_sketch__keeps_what_theorem_2_proves(kind, seeds):
    # Small rank: k (k + 1) / (epsilon^2 delta) columns must fit into d.
    X = strategies.hard_matrices(n=4)[kind]
    white = reference.whitening(X)
    m = proved_columns(rank=white.inside.shape[0], epsilon=EPSILON, delta=DELTA)
    ys = list(sketches(X, seeds, m=m, strict=True))
    loewner = [reference.loewner_error(white, Y) for Y in ys]
    assert_kept(loewner, epsilon=EPSILON, delta=DELTA)
    # THEORY 1.1: what holds for (L) holds for every entry.
    entries = [reference.cosine_errors(X, Y).max() for Y in ys]
    assert (np.array(entries) <= np.array(loewner) + 1e-9).all()


def test_strict_sketch__chooses_the_columns_of_theorem_2_and_says_so():
    X = strategies.hard_matrices(n=4)["power law"]
    result = ss.sparsify(
        X, "sketch", epsilon=EPSILON, delta=DELTA, target="spectral", strict=True, progress=False
    )
    assert result.plan.sketch_columns >= proved_columns(rank=4, epsilon=EPSILON, delta=DELTA)
    assert (result.plan.hash, result.plan.s) == ("poly4", 1)
    assert result.plan.promise_kind == "proved"
    assert reference.loewner_error(reference.whitening(X), result.Y) <= EPSILON


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flat spectrum", "leverage one, apart", "heavy columns"])
def test_sketch__with_a_quarter_of_the_columns_breaks_the_promise(kind):
    # Davidson-Szarek at m / 4: epsilon is 2 a + a^2 with a = sqrt(4 k / m) at the least, 0.8 here.
    # What the tests above measure is therefore not small for some other reason.
    X = strategies.hard_matrices(n=64, d=4096)[kind]
    white = reference.whitening(X)
    m = spectral_columns(rank=64, epsilon=EPSILON, delta=DELTA)
    a = math.sqrt(4 * 64 / m)
    assert 2 * a + a * a > 1.5 * EPSILON
    full = [reference.loewner_error(white, Y) for Y in sketches(X, range(20), m=m)]
    quarter = [reference.loewner_error(white, Y) for Y in sketches(X, range(20), m=m // 4)]
    assert_kept(full, epsilon=EPSILON, delta=DELTA)
    failures = sum(error > EPSILON for error in quarter)
    assert failures > tolerances.most_failures(20, DELTA)


@pytest.mark.slow
def test_sketch__with_s_1_fails_as_often_as_two_heavy_columns_collide_and_s_8_does_not():
    # k columns of leverage 1 in k runs: each run has an offset of its own, uniform on w = m (2.3,
    # 7.1). Two in one bucket give the block [[1, +-1], [+-1, 1]] of Y Y^T: epsilon >= 1, no
    # better than Y = 0. P(no collision) = prod (1 - i / m), about exp(-k^2 / (2 m)).
    k, delta, trials = 64, 0.01, 100
    X = strategies.leverage_one(k, 64 * k, stride=64)
    white = reference.whitening(X)
    m = spectral_columns(rank=k, epsilon=EPSILON, delta=delta)
    one = [reference.loewner_error(white, Y) for Y in sketches(X, range(trials), m=m, s=1)]
    eight = [reference.loewner_error(white, Y) for Y in sketches(X, range(trials), m=m, s=8)]
    failures = sum(error >= 1 for error in one)
    # A collision is the only way to err: the rest are exact.
    assert failures == sum(error > 0 for error in one)
    collision = 1 - math.prod(1 - i / m for i in range(k))
    assert binom.ppf(1e-6, trials, collision) <= failures
    assert failures <= binom.ppf(1 - 1e-6, trials, collision)
    assert failures > tolerances.most_failures(trials, delta)
    assert sum(error > EPSILON for error in eight) <= tolerances.most_failures(trials, delta)


@pytest.mark.parametrize("s", [1, 2, 4, 8])
def test_sketch__of_heavy_columns_in_one_run_is_exact(s):
    # THEORY 7.1: columns of one run never share a bucket, so 64 adjacent ones cannot collide.
    X = strategies.leverage_one(64, 640, stride=1)
    white = reference.whitening(X)
    for Y in sketches(X, range(5), m=512, s=s):
        assert reference.loewner_error(white, Y) <= 64 * np.finfo(float).eps


def samples(X, seeds):
    """Results of sampling for (L) at EPSILON and DELTA."""
    asked = {"epsilon": EPSILON, "delta": DELTA, "target": "spectral", "progress": False}
    with warnings.catch_warnings():
        # Where rounding or a tall X leaves epsilon uncertified a run says so; here it is measured.
        warnings.simplefilter("ignore", ss.StreamSparseWarning)
        for seed in seeds:
            yield ss.sparsify(X, "sample", seed=seed, **asked)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_sample__keeps_what_theorem_3_proves_with_exact_scores(kind, seeds):
    X = strategies.hard_matrices()[kind]
    # Scores are those of the directions that float64 can see beside the largest: for rows far below
    # it nothing is promised. (L) passes from G to the part of it that belongs to some of the rows.
    squares = np.square(X.astype(np.float64)).sum(axis=1)
    visible = squares > rank_tolerance(X.shape[0]) * squares.sum()
    white = reference.whitening(X[visible])
    rank = white.inside.shape[0]
    errors, sizes = [], []
    for result in samples(X, seeds):
        assert (result.plan.promise_kind, result.plan.sketch_columns) == ("proved", None)
        errors.append(reference.loewner_error(white, result.Y[visible]))
        sizes.append(result.Y.shape[1])
    assert_kept(errors, epsilon=EPSILON, delta=DELTA)
    # E m <= c k, and the size exceeds Bernstein's quantile as rarely as it says.
    rate = sampling_rate(rank=rank, epsilon=EPSILON, delta=DELTA)
    most = largest_sample(expected=rate * rank, failure=DELTA)
    assert sum(m > most for m in sizes) <= tolerances.most_failures(len(sizes), DELTA)


@pytest.mark.parametrize("stride", [1, 64])
def test_sample__keeps_columns_of_leverage_one_as_they_are(stride):
    # p = min(1, c tau) = 1 where tau = 1: correct by construction, for any seed (THEORY 2.7).
    X = strategies.leverage_one(16, 2048, stride=stride)
    for result in samples(X, range(3)):
        np.testing.assert_array_equal(np.sort(result.columns), np.arange(16) * stride)
        np.testing.assert_array_equal(result.Y @ result.Y.T, np.eye(16))


FEW_TALL = [pytest.param(range(2), id="few"), pytest.param(range(30), marks=pytest.mark.slow)]


@pytest.mark.parametrize("seeds", FEW_TALL)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "norms" not in kind])
def test_sample__keeps_the_promise_with_estimated_scores(kind, seeds):
    # Beyond 256 rows scores are estimated, by 16 random vectors where the rank exceeds 16. T H has
    # the scores of H, and with orthonormal columns of T (L) may be looked at through T^T.
    H = strategies.hard_matrices(n=24)[kind].astype(np.float64)
    T = strategies.matrix_from_spectrum(257, 24, np.ones(24))
    white = reference.whitening(H)
    errors = []
    for result in samples(T @ H, seeds):
        assert (result.plan.promise_kind, result.plan.sketch_columns > 0) == ("empirical", True)
        errors.append(reference.loewner_error(white, T.T @ result.Y))
    assert_kept(errors, epsilon=EPSILON, delta=DELTA)
