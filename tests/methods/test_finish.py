"""The dense stage of a sketch: what Y becomes, and what its certificate says of it."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

import drivers
import reference
import strategies
import streamsparse as ss
from streamsparse.methods.choose import count_candidates
from streamsparse.methods.sketch import operator_of, reduce_by_sketch

EPS = np.finfo(float).eps


def true_error(X, Y, target, beta=1.0):
    G, F = X @ X.T, Y @ Y.T
    r = G.diagonal().max()
    if target == "entries":
        return np.abs(F - G).max() / r
    if target == "attention":
        return reference.attention_error(G, F, beta)
    values, vectors = np.linalg.eigh(G + r * np.eye(G.shape[0]))
    W = vectors / np.sqrt(values)
    return np.abs(np.linalg.eigvalsh(W.T @ (F - G) @ W)).max()


def sparsify(X, **arguments):
    """A sketch; a warning that epsilon was missed is not an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ss.StreamSparseWarning)
        return ss.sparsify(X, "sketch", **arguments)


def spread(n, d, decay):
    """Gaussian columns of falling length, among columns of zeros: cheap where n is large."""
    X = np.zeros((n, d))
    columns = np.random.default_rng(0).standard_normal((n, n)) * decay ** np.arange(n)
    X[:, np.arange(n) * (d // n)] = columns / np.linalg.norm(columns, axis=1).max()
    return X


@pytest.fixture(scope="module")
def decaying():
    return strategies.matrix_from_spectrum(60, 5000, 0.9 ** np.arange(60))


@pytest.fixture(scope="module")
def tall():
    """More rows than columns of the sketch: no n x n stage, only folds."""
    return np.random.default_rng(0).standard_normal((700, 600)) / np.sqrt(600)


@pytest.mark.parametrize(
    ("target", "epsilon"), [("entries", 0.2), ("attention", 0.05), ("regularised", 0.3)]
)
def test_finish_sketch__keeps_the_smallest_candidate_that_meets_epsilon(decaying, target, epsilon):
    result = sparsify(decaying, epsilon=epsilon, target=target)
    c = result.certificate
    assert (c.target, c.epsilon, c.met) == (target, epsilon, True)
    assert result.Y.shape == (60, c.m)
    found = true_error(decaying, result.Y, target)
    assert found <= epsilon
    by_m = [point.m for point in result.curve]
    assert by_m == sorted(by_m)
    chosen = next(point for point in result.curve if point.m == c.m and point.meets)
    # Two ways to compute F, in float64: sums of at most 1,024 products of size r.
    assert found == pytest.approx(chosen.error, abs=60 * 1024 * EPS)
    assert not any(point.meets and point.is_worth_it for point in result.curve if point.m < c.m)


@pytest.mark.parametrize("n", [60, 300])
@pytest.mark.parametrize("target", ["entries", "attention", "regularised"])
def test_finish_sketch__certifies_no_more_candidates_than_it_counted(n, target):
    X = spread(n, 2000, 0.95)
    result = sparsify(X, epsilon=0.3, target=target)
    operator = operator_of(result.plan)
    most = count_candidates(operator, n, dense_stage=result.plan.dense_stage)
    assert 1 <= len(result.curve) <= most
    assert len({(point.m, point.way) for point in result.curve}) == len(result.curve)
    if n > 256 and target != "regularised":
        # Each candidate has its share of delta.
        entry = result.certificate.errors.most_rows_entry
        assert entry.confidence == 1 - 0.01
        # THEORY 5.2: so many rows that a share of 95 % is covered all the same.
        assert entry.share >= 0.95


@pytest.mark.parametrize("epsilon", [None, 0.02, 0.3])
def test_transform__of_old_rows_gives_the_old_rows_of_a_truncation(decaying, epsilon):
    result = sparsify(decaying, epsilon=epsilon, target="entries")
    new = result.transform(decaying[7:20])
    # Y = U Lambda^(1/2) and P = Y_M^T U Lambda^(-1/2): where lambda_k is small, eigh's error n eps
    # lambda_1 is divided by it.
    spectrum = np.linalg.eigvalsh(result.Y @ result.Y.T)[::-1]
    condition = spectrum[0] / spectrum[result.Y.shape[1] - 1]
    bound = 60 * EPS * condition * np.sqrt(result.certificate.r)
    assert np.abs(new - result.Y[7:20]).max() <= 10 * bound


def test_finish_sketch__of_more_rows_than_columns_folds(tall):
    result = sparsify(tall, epsilon=0.5, target="entries", s=1)
    assert not result.plan.dense_stage
    assert result.plan.sketch_columns == 512
    assert [point.m for point in result.curve] == [64, 128, 256, 512]
    assert {point.way for point in result.curve} == {"fold"}
    assert result.certificate.met
    assert result.map.columns == result.certificate.m < 512
    # A row of Y is a function of that row of X alone: to the last bit.
    np.testing.assert_array_equal(result.transform(tall[5:9]), result.Y[5:9])
    # The rows have their exact norms: rounding of 600 squares.
    norms = np.square(tall).sum(axis=1)
    np.testing.assert_allclose(np.square(result.Y).sum(axis=1), norms, rtol=1200 * EPS)


@pytest.mark.parametrize("epsilon", [0.5, None])
def test_finish_sketch__of_more_rows_than_columns_measures_no_regularised_error(tall, epsilon):
    # A fold has no certified regularised error, and there is no n x n stage: nothing to choose.
    arguments = {"target": "regularised", "epsilon": epsilon}
    if epsilon is None:
        result = ss.sparsify(tall, "sketch", **arguments)
    else:
        with pytest.warns(ss.StreamSparseWarning, match="epsilon = 0.5 was not certified"):
            result = ss.sparsify(tall, "sketch", **arguments)
        assert result.certificate.met is None
    assert result.curve == ()
    np.testing.assert_array_equal(result.Y, ss.sparsify(tall, "sketch", m=512).Y)


@pytest.mark.parametrize("factor", [1.2, 100])
def test_sparsify__says_what_would_do_where_no_candidate_meets_epsilon(factor):
    X = strategies.matrix_from_spectrum(60, 20_000, np.ones(60)) * 8
    best = min(point.error for point in sparsify(X, epsilon=1e-9, beta=0.05).curve)
    with pytest.warns(ss.StreamSparseWarning, match="not epsilon") as caught:
        result = ss.sparsify(X, "sketch", epsilon=best / factor, beta=0.05)
    assert result.certificate.met is False
    assert not any(point.meets for point in result.curve)
    assert result.certificate.attention_error.value == pytest.approx(best, rel=1e-9)
    text = str(caught[0].message)
    assert f"certified to be at most {best:.3g}" in text
    assert f"m = {result.certificate.m}" in text
    assert 'method="exact"' in text
    # Errors fall as one over the root of the columns; beyond d columns there is nothing to allow.
    needed = result.plan.sketch_columns * factor**2
    allowed = re.search(r"allow about ([\d,]+) columns \(memory='[\d.]+ [MG]iB'\)", text)
    assert (allowed is not None) == (needed <= 20_000)
    if allowed:
        assert int(allowed[1].replace(",", "")) == pytest.approx(needed, abs=0.5)


def test_finish_sketch__without_epsilon_loses_nothing_and_has_no_curve(decaying):
    result = ss.sparsify(decaying, "sketch", target="spectral")
    S = reference.sketch(decaying, m=result.plan.sketch_columns, s=8, seed=0)
    error = np.abs(result.Y @ result.Y.T - S @ S.T).max()
    assert error <= 60 * 60 * EPS * np.abs(S @ S.T).max()
    assert result.curve == ()


def test_finish_sketch__bootstraps_where_not_all_rows_are_known():
    X = spread(300, 3000, 1.0)
    lossless = ss.sparsify(X, "sketch")
    estimate = lossless.certificate.errors.bootstrap_entry
    truth = true_error(X, lossless.Y, "entries")
    assert estimate.kind == "estimate"
    assert truth / 2 < estimate.value < 2 * truth
    few = ss.sparsify(X[:60], "sketch")
    assert few.certificate.errors.bootstrap_entry is None


@pytest.mark.parametrize("target", ["entries", "attention"])
def test_reduce_by_sketch__chooses_the_same_Y_in_row_bands(tall, target):
    plan = drivers.plan_of(tall, method="sketch", epsilon=0.5, target=target, s=1)
    whole = drivers.run(reduce_by_sketch, tall, plan)
    # Bands know no probes; the sampled rows are those of the plan.
    stream = {"bands": 7, "band_rows": 100, "block_bytes": 100_000}
    banded = drivers.plan_of(tall, stream=stream, method="sketch", epsilon=0.5, target=target, s=1)
    found = drivers.run(reduce_by_sketch, tall, replace(banded, probes=0))
    np.testing.assert_array_equal(found.Y, whole.Y)
    assert [point.m for point in found.curve] == [point.m for point in whole.curve]
    assert found.errors.checked_rows == whole.errors.checked_rows
