import math

import numpy as np
import pytest

import reference
import strategies
from streamsparse.dense.attention import masked, row_distances, softmax_rows
from streamsparse.dense.certificate import Errors, Measure
from streamsparse.dense.linalg import LoewnerError
from streamsparse.dense.measure import Scope, measure_exactly, measure_sampled


def exactly(G, Y, *, beta=1.0, rounding=0.0, spectral=None, queries=None):
    scope = Scope.of(G.diagonal(), beta=beta, queries=queries, rounding=rounding)
    return measure_exactly(G=G, F=Y @ Y.T, scope=scope, spectral=spectral, regularised=None)


def grams(n=30, beta_r=2.0):
    X = strategies.matrix_from_spectrum(n, 200, np.linspace(1, 2, n))
    G = X @ X.T
    X *= np.sqrt(beta_r / G.diagonal().max())
    Y = X[:, :120] * 1.2
    return X @ X.T, Y


def test_softmax_rows__equals_the_slow_twin_and_survives_large_logits():
    logits = np.array([[0.0, 1.0, 1000.0], [-1e6, 0.0, 5.0]])
    np.testing.assert_allclose(softmax_rows(logits), reference.softmax(logits), rtol=1e-15)


@pytest.mark.parametrize("beta", [0.1, 1.0, 10.0])
def test_measure_exactly__equals_the_slow_twin(beta):
    G, Y = grams()
    r = float(G.diagonal().max())
    errors = exactly(G, Y, beta=beta)
    F = Y @ Y.T
    assert errors.entry.value == pytest.approx(np.abs(F - G).max() / r, rel=1e-12)
    assert errors.attention.value == pytest.approx(reference.attention_error(G, F, beta), rel=1e-9)
    zero = reference.attention_error(G, np.zeros_like(G), beta)
    assert errors.uniform.value == pytest.approx(zero, rel=1e-9)
    assert errors.checked_rows == 30


def test_measure_exactly__of_a_pair_looks_at_the_block_of_queries_and_keys_only():
    G, Y = grams()
    F = Y @ Y.T
    errors = exactly(G, Y, beta=3.0, queries=12)
    G_block, F_block = G[:12, 12:], F[:12, 12:]
    scale = math.sqrt(G.diagonal()[:12].max() * G.diagonal()[12:].max())
    assert errors.entry.value == pytest.approx(np.abs(F_block - G_block).max() / scale)
    attention = reference.attention_error(G_block, F_block, 3.0)
    assert errors.attention.value == pytest.approx(attention, rel=1e-9)
    rms = np.sqrt(np.square(F_block - G_block).mean()) / scale
    assert errors.rms_entry.value == pytest.approx(rms)
    assert errors.checked_rows == 12


@pytest.mark.parametrize("beta", [0.05, 1.0, 5.0])
def test_attention_error__stays_below_the_bound_of_theorem_1(beta):
    # THEORY 1.3: row L1 error <= 2 tanh(max_j |beta E_ij| / 2); 1.4 for Y = 0.
    G, Y = grams()
    E = Y @ Y.T - G
    rows = row_distances(G, G + E, beta=beta, mask_rows=None)
    assert (rows <= 2 * np.tanh(beta * np.abs(E).max(axis=1) / 2) * (1 + 1e-12)).all()
    zero = row_distances(G, np.zeros_like(G), beta=beta, mask_rows=None)
    assert (zero <= 2 * np.tanh(beta * np.abs(G).max(axis=1) / 2) * (1 + 1e-12)).all()


def test_attention_error__reaches_the_bound_of_theorem_1():
    # Two tokens, logits (-eta, 0) moved by (+eta, -eta): THEORY 1.3 says tight.
    for eta in (0.01, 0.3, 2.0):
        G = np.array([[-eta, 0.0]])
        F = np.array([[0.0, -eta]])
        distance = row_distances(G, F, beta=1.0, mask_rows=None)[0]
        assert distance == pytest.approx(2 * np.tanh(eta / 2), rel=1e-12)


def test_measure_sampled__is_the_largest_over_the_sample_only():
    G, Y = grams()
    F = Y @ Y.T
    r = float(G.diagonal().max())
    sample = np.array([2, 11, 29])
    scope = Scope(r=r, ridge=r, beta=1.0, queries=None, rounding=0.01, rounding_of_norm=0.01)
    errors = measure_sampled(G_I=G[sample], F_I=F[sample], scope=scope, delta=0.05)
    entry = np.abs(F - G)[sample].max() / r
    assert errors.entry.value == pytest.approx(entry)
    assert errors.entry.kind == "estimate"
    assert errors.spectral is None
    assert errors.checked_rows == 3
    # THEORY 5.2: three rows speak for a share 0.05^(1/3) of them; bounds include rounding.
    assert errors.most_rows_entry.share == pytest.approx(0.05 ** (1 / 3))
    assert errors.most_rows_entry.confidence == 0.95
    assert errors.most_rows_entry.value == pytest.approx(entry + 0.01)
    chosen = measure_sampled(G_I=G[sample], F_I=F[sample], scope=scope, delta=None)
    assert chosen.most_rows_entry is None


def test_measure_sampled__of_no_row_measures_nothing():
    scope = Scope(r=1.0, ridge=1.0, beta=1.0, queries=None, rounding=0.0, rounding_of_norm=0.0)
    nothing = np.empty((0, 5))
    assert measure_sampled(G_I=nothing, F_I=nothing, scope=scope, delta=0.01) == Errors()


def test_measure_exactly__adds_rounding_and_then_calls_it_a_bound():
    G, Y = grams()
    r = float(G.diagonal().max())
    plain = exactly(G, Y)
    exact = exactly(G, Y, rounding=1e-6, spectral=LoewnerError(0.5, 1e-6))
    assert exact.entry == plain.entry
    assert exact.spectral == Measure(0.5, "exact")
    bound = exactly(G, Y, rounding=0.1, spectral=LoewnerError(0.5, 0.25))
    assert bound.entry == Measure(plain.entry.value + 0.1, "bound")
    moved = 2 * np.tanh(r * 0.1 / 2)
    assert bound.attention == Measure(min(2.0, plain.attention.value + moved), "bound")
    assert bound.spectral == Measure(0.75, "bound")
    nothing = exactly(G, Y, spectral=LoewnerError(np.inf, 0.0))
    assert nothing.spectral is None


def test_masked__hides_tokens_from_both_kinds_of_mask():
    logits = np.zeros((2, 3))
    boolean = np.array([[True, False, True], [True, True, True]])
    additive = np.where(boolean, 0.0, -np.inf)
    for mask in (boolean, additive):
        P = softmax_rows(masked(logits, mask))
        np.testing.assert_allclose(P, [[0.5, 0, 0.5], [1 / 3] * 3])
