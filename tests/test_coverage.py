"""Certificates over many trials: a bound of confidence 1 - delta fails at rate delta at most.

One level down with made-up error matrices, where trials are cheap and the law of the probes is
known; and end to end, over what sparsify says about every kind of matrix.
"""

import functools
import math
import warnings

import numpy as np
import pytest
from scipy.stats import binom, chi2, hypergeom

import reference
import strategies
import streamsparse as ss
import tolerances
from streamsparse.dense.certificate import Errors
from streamsparse.dense.linalg import loewner_error, regularised_error, whitened_by_factor
from streamsparse.dense.measure import Scope, measure_sampled
from streamsparse.dense.probes import (
    norm_bound,
    probe_error,
    regularised_bound,
    spectral_bound,
    with_probes,
)
from streamsparse.sketching.bounds import frobenius_low
from streamsparse.sketching.draws import PROBES, normals, sample_rows

TRIALS, DELTA = 1000, 0.05
N, Q, MOST_PROBES = 40, 16, 64
SPECTRA = {
    "rank one": np.eye(1, N)[0],
    "flat": np.ones(N),
    "decaying": np.arange(1, N + 1) ** -1.5,
    "two scales": np.where(np.arange(N) < 3, 1, 1e-6),
}


def error_matrix(kind, norm=0.3, seed=0):
    """A symmetric E of this spectrum, signs alternating, with ||E||_2 = norm."""
    values = SPECTRA[kind] * np.where(np.arange(N) % 2, -1, 1) * norm
    U = np.linalg.qr(np.random.default_rng(seed).standard_normal((N, N)))[0]
    return (U * values) @ U.T


def gram_matrix(seed=1):
    """A Gram matrix with r = 1."""
    X = strategies.matrix_from_spectrum(N, 60, np.linspace(2, 1, N), seed)
    G = X @ X.T
    return G / G.diagonal().max()


def omegas(columns=Q):
    """Omega (N, columns) of each trial; fewer columns are the first of more."""
    return all_omegas()[:, :, :columns]


@functools.cache
def all_omegas():
    return np.array(
        [normals(seed=k, rows=N, columns=MOST_PROBES, stream=PROBES) for k in range(TRIALS)]
    )


def probed(E, Omega, *, G=None):
    """Every measure that probes give of E = F - G."""
    G = np.eye(E.shape[0]) if G is None else G
    scope = Scope.of(G.diagonal(), beta=0.5, queries=None, rounding=0.0)
    found = probe_error(
        G_probes=G @ Omega,
        F_probes=(G + E) @ Omega,
        probes=Omega,
        lengths=np.sqrt(G.diagonal()),
        largest_F=float((G + E).diagonal().max()),
        d=60,
    )
    return with_probes(Errors(), found, scope, delta=DELTA)


def assert_covered(failures, trials=TRIALS, delta=DELTA):
    assert failures <= tolerances.most_failures(trials, delta)


def assert_rate(failures, probability, trials=TRIALS):
    """Assert that the count is what this probability gives: not more, and not far less either."""
    assert binom.ppf(1e-6, trials, probability) <= failures
    assert failures <= binom.ppf(1 - 1e-6, trials, probability)


@pytest.mark.parametrize("kind", ["rank one", "flat", "decaying"])
def test_most_rows__hold_for_their_share_as_often_as_they_say(kind):
    # Of 400 rows with different errors, 20 are seen: the bound is too low where all 20 are among
    # the best that may be covered without reaching the share. Drawn without replacement, so that
    # this is hypergeometric, a little rarer than delta.
    n, p = 400, 20
    rng = np.random.default_rng(4)
    k = {"rank one": 1, "flat": 100, "decaying": 10}[kind]
    U = rng.standard_normal((n, k)) * np.arange(1, k + 1) ** -1.0
    G, E = np.eye(n), U @ U.T / 50
    scope = Scope.of(G.diagonal(), beta=1.0, queries=None, rounding=0.0)
    entries = np.abs(E).max(axis=1)
    failures = {"entry": 0, "attention": 0}
    attention = np.array(
        [
            measure_sampled(G_I=G[[i]], F_I=(G + E)[[i]], scope=scope, delta=DELTA).attention.value
            for i in range(n)
        ]
    )
    for seed in range(TRIALS):
        rows = sample_rows(n=n, count=p, seed=seed)
        errors = measure_sampled(G_I=G[rows], F_I=(G + E)[rows], scope=scope, delta=DELTA)
        for name, truth in (("entry", entries), ("attention", attention)):
            bound = getattr(errors, f"most_rows_{name}")
            assert bound.confidence == 1 - DELTA
            # The bound is one of the truths, but for the order of additions.
            covered = np.count_nonzero(truth <= bound.value * (1 + 1e-12))
            failures[name] += covered < bound.share * n
    most = math.ceil(DELTA ** (1 / p) * n) - 1
    probability = hypergeom.pmf(p, n, most, p)
    assert 0.8 * DELTA < probability < DELTA
    assert_rate(failures["attention"], probability)
    # One large entry of a row of E is the same entry of another row: two rows, one error.
    assert_covered(failures["entry"])


@pytest.mark.slow
def test_all_rows__of_a_single_row_fail_at_the_rate_delta_itself():
    # n = 1: q probes of one number, chi-square to the letter.
    failures = 0
    for Omega in omegas():
        errors = probed(np.array([[0.25]]), Omega[:1])
        failures += errors.all_rows_entry.value < 0.25
    assert_rate(failures, DELTA)


@pytest.mark.parametrize("kind", SPECTRA)
def test_probes__cover_every_row_the_mean_square_and_attention(kind):
    G, E = gram_matrix(), error_matrix(kind)
    F = G + E
    longest = np.linalg.norm(E, axis=1).max()
    rms = np.sqrt(np.square(E).mean())
    attention = reference.attention_error(G, F, 0.5)
    failures = np.zeros(3, int)
    for Omega in omegas():
        errors = probed(E, Omega, G=G)
        # Not only max |E_ij| of a row but its length is bounded.
        failures += [
            errors.all_rows_entry.value < longest,
            errors.rms_entry.value < rms,
            errors.all_rows_attention.value < attention,
        ]
        assert errors.all_rows_entry.confidence == errors.rms_entry.confidence == 1 - DELTA
    for count in failures:
        assert_covered(count)


@pytest.mark.parametrize("probes", [2, 8, 16])
def test_mean_square__of_rank_one_fails_at_the_rate_of_its_chi_square(probes):
    # ||E Omega||_F^2 is ||E||_F^2 chi-square_q: the bound is Chernoff's, not tight, yet no looser.
    E = error_matrix("rank one")
    rms = np.sqrt(np.square(E).mean())
    failures = sum(probed(E, Omega).rms_entry.value < rms for Omega in omegas(probes))
    probability = chi2.cdf(probes * frobenius_low(probes=probes, delta=DELTA), probes)
    assert 0.1 * DELTA < probability < DELTA
    assert_rate(failures, probability)


@pytest.mark.parametrize("probes", [1, 2, 3, 16, 64])
@pytest.mark.parametrize("kind", SPECTRA)
def test_norm_bound__covers_the_norm_and_improves_on_frobenius(kind, probes):
    E = error_matrix(kind)
    values = [norm_bound(E @ Omega, delta=DELTA) for Omega in omegas(probes)]
    assert_covered(sum(value < 0.3 for value in values))
    if kind == "flat" and probes == 64:
        # The fourth root of the rank, not its square root.
        assert np.median(values) < 0.3 * math.sqrt(N)


@pytest.mark.parametrize("kind", SPECTRA)
def test_regularised_bound__covers_the_distortion(kind):
    G, E = gram_matrix(), error_matrix(kind, norm=0.1)
    truth = regularised_error(G, G + E, r=1.0, rounding=0.0).value
    whitened = whitened_by_factor(G + E, E, 1.0)
    bounds = [regularised_bound(whitened @ Omega, r=1.0, delta=DELTA) for Omega in omegas()]
    said = [bound.value for bound in bounds if bound is not None]
    assert len(said) > TRIALS / 2
    assert_covered(sum(value < truth for value in said))


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("kind", SPECTRA)
def test_spectral_bound__covers_the_loewner_distortion(kind, passes):
    # F = L L^T, G = L (I + K) L^T; the products are those of certify's passes.
    K = error_matrix(kind, norm=0.1)
    Y = np.linalg.cholesky(gram_matrix())
    G = Y @ (np.eye(N) + K) @ Y.T
    truth = loewner_error(G, Y, rank_tolerance=1e-12 * N, rounding=0.0).value
    power = np.linalg.matrix_power(K, passes)
    bounds = [
        spectral_bound(power @ Omega, power=passes, slack=0.0, delta=DELTA) for Omega in omegas(64)
    ]
    said = [bound.value for bound in bounds if bound is not None]
    assert len(said) > TRIALS / 2
    assert_covered(sum(value < truth for value in said))


# Field of a bound: the exact measure that it must not be below.
TRUTH_OF = {
    "spectral": "spectral",
    "regularised": "regularised",
    "entry": "entry",
    "attention": "attention",
    "uniform": "uniform",
    "rms_entry": "rms_entry",
    "all_rows_entry": "entry",
    "all_rows_attention": "attention",
}
METHODS = {
    "sketch, m": {"method": "sketch", "m": 256},
    "sketch, no m": {"method": "sketch"},
    "sketch, spectral": {"method": "sketch", "target": "spectral"},
    "sketch, epsilon": {"method": "sketch", "epsilon": 0.4, "target": "entries"},
    "sketch, attention": {"method": "sketch", "epsilon": 0.4},
    "sketch, regularised": {"method": "sketch", "epsilon": 0.6, "target": "regularised"},
    "sample, m": {"method": "sample", "m": 256},
    "exact": {"method": "exact"},
    "exact, m": {"method": "exact", "m": 10},
}


def violations(X, result):
    """Return (bounds without a confidence that are too low, those with one, how many of these)."""
    truth = ss.certify(X.astype(np.float64), result, exact=True, progress=False).errors
    G = X.astype(np.float64) @ X.astype(np.float64).T
    Y = result.Y.toarray() if hasattr(result.Y, "toarray") else np.asarray(result.Y)
    F, c = Y @ Y.T, result.certificate
    rows = {
        "most_rows_entry": np.abs(F - G).max(axis=1) / c.r,
        "most_rows_attention": np.abs(softmax(G, c.beta) - softmax(F, c.beta)).sum(axis=1),
    }
    sure, unlucky, count = [], [], 0
    for field in (*TRUTH_OF, *rows):
        bound = getattr(c.errors, field)
        if bound is None or bound.kind != "bound":
            continue
        # Both are computed in float64 from n x n matrices: X.shape[1] roundings of an entry.
        slack = X.shape[1] * 2.0**-52
        if field in rows:
            assert bound.share is not None
            covered = np.mean(rows[field] <= bound.value * (1 + slack) + slack)
            too_low = covered < bound.share
        else:
            exact = getattr(truth, TRUTH_OF[field])
            too_low = exact is not None and bound.value * (1 + slack) + slack < exact.value
        count += bound.confidence is not None
        if too_low:
            (sure if bound.confidence is None else unlucky).append((field, bound, c.method))
    return sure, unlucky, count


def softmax(G, beta):
    logits = beta * G
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def run(X, method, seed):
    r = np.square(X.astype(np.float64)).sum(axis=1).max()
    with warnings.catch_warnings():
        # A run that could not certify its epsilon says so; what it does certify counts here.
        warnings.simplefilter("ignore", ss.StreamSparseWarning)
        return ss.sparsify(X, beta=1 / r, seed=seed, progress=False, **METHODS[method])


def assert_truthful(X, methods, seeds):
    """Assert that no certain bound is too low, and others no more often than their delta."""
    unlucky = count = 0
    for method in methods:
        for seed in seeds:
            sure, rare, number = violations(X, run(X, method, seed))
            assert sure == []
            unlucky, count = unlucky + len(rare), count + number
    # delta = 0.01, the default. Bounds of one run share its probes: binomial in runs at the worst,
    # so each run counts once per bound that it states.
    assert unlucky <= tolerances.most_failures(count, 0.01)
    return count


@pytest.mark.slow
@pytest.mark.parametrize("kind", strategies.hard_matrices())
def test_certificate__of_few_rows_never_says_less_than_the_truth(kind):
    # Up to 256 rows everything is compared, and bounds hold rounding alone.
    X = strategies.hard_matrices()[kind]
    assert assert_truthful(X, METHODS, range(2)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", strategies.hard_matrices())
def test_certificate__of_many_rows_never_says_less_than_the_truth(kind):
    X = strategies.hard_matrices(n=260, d=4096)[kind]
    assert assert_truthful(X, METHODS, range(1)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["decaying", "gaussian"])
def test_certificate__covers_end_to_end_over_seeds(kind):
    # delta = 0.2, so that failures are to be expected where a bound is tight.
    n, d, trials, delta = 300, 1024, 60, 0.2
    spectrum = np.arange(1, n + 1) ** -0.5 if kind == "decaying" else np.ones(n)
    X = strategies.matrix_from_spectrum(n, d, spectrum)
    G = X @ X.T
    r = G.diagonal().max()
    failures = dict.fromkeys(["most_rows_entry", "all_rows_entry", "rms_entry"], 0)
    for seed in range(trials):
        result = ss.sparsify(X, "sketch", m=512, delta=delta, seed=seed, progress=False)
        E = np.abs(result.Y @ result.Y.T - G) / r
        errors = result.certificate.errors
        rows = E.max(axis=1)
        share = np.mean(rows <= errors.most_rows_entry.value * (1 + 1e-12))
        failures["most_rows_entry"] += share < errors.most_rows_entry.share
        failures["all_rows_entry"] += errors.all_rows_entry.value < np.linalg.norm(E, axis=1).max()
        failures["rms_entry"] += errors.rms_entry.value < np.sqrt(np.square(E).mean())
    for count in failures.values():
        assert_covered(count, trials, delta)
    # Not vacuous: within the factor that THEORY 5.1 gives 16 probes, with room for delta.
    assert errors.rms_entry.value < 3 * np.sqrt(np.square(E).mean())


@pytest.mark.slow
def test_certify__spectral_bound_covers_end_to_end_over_seeds():
    n, d, trials, delta = 257, 1024, 60, 0.2
    X = strategies.matrix_from_spectrum(n, d, np.linspace(2, 1, n))
    Y = X * np.sqrt(1 + 0.1 * np.sin(np.arange(d)))
    truth = reference.loewner_error(reference.whitening(X), Y)
    said = []
    for seed in range(trials):
        certificate = ss.certify(X, Y, spectral=True, seed=seed, delta=delta, progress=False)
        assert certificate.spectral_error.confidence == 1 - delta
        said.append(certificate.spectral_error.value)
    assert_covered(sum(value < truth for value in said), trials, delta)
    assert np.median(said) < 1
