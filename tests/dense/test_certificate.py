import json

import numpy as np
import pytest

import reference
import strategies
from streamsparse.dense.attention import masked, row_distances, softmax_rows
from streamsparse.dense.certificate import (
    Certificate,
    Errors,
    Measure,
    measure_exactly,
    measure_sampled,
)
from streamsparse.dense.linalg import LoewnerError


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
    errors = measure_exactly(G=G, Y=Y, r=r, beta=beta, rounding=0.0, spectral=None)
    F = Y @ Y.T
    assert errors.entry.value == pytest.approx(np.abs(F - G).max() / r, rel=1e-12)
    assert errors.attention.value == pytest.approx(reference.attention_error(G, F, beta), rel=1e-9)
    zero = reference.attention_error(G, np.zeros_like(G), beta)
    assert errors.uniform.value == pytest.approx(zero, rel=1e-9)
    assert errors.checked_rows == 30


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
    errors = measure_sampled(G_I=G[sample], F_I=F[sample], r=r, beta=1.0)
    assert errors.entry.value == pytest.approx(np.abs(F - G)[sample].max() / r)
    assert errors.entry.kind == "estimate"
    assert errors.spectral is None
    assert errors.checked_rows == 3


def test_measure_sampled__of_no_row_measures_nothing():
    errors = measure_sampled(G_I=np.empty((0, 5)), F_I=np.empty((0, 5)), r=1.0, beta=1.0)
    assert errors == Errors(None, None, None, None, checked_rows=0)


def test_measure_exactly__adds_rounding_and_then_calls_it_a_bound():
    G, Y = grams()
    r = float(G.diagonal().max())
    plain = measure_exactly(G=G, Y=Y, r=r, beta=1.0, rounding=0.0, spectral=None)
    exact = measure_exactly(
        G=G, Y=Y, r=r, beta=1.0, rounding=1e-6, spectral=LoewnerError(0.5, 1e-6)
    )
    assert exact.entry == plain.entry
    assert exact.spectral == Measure(0.5, "exact")
    bound = measure_exactly(G=G, Y=Y, r=r, beta=1.0, rounding=0.1, spectral=LoewnerError(0.5, 0.25))
    assert bound.entry == Measure(plain.entry.value + 0.1, "bound")
    moved = 2 * np.tanh(r * 0.1 / 2)
    assert bound.attention == Measure(min(2.0, plain.attention.value + moved), "bound")
    assert bound.spectral == Measure(0.75, "bound")
    nothing = measure_exactly(
        G=G, Y=Y, r=r, beta=1.0, rounding=0.0, spectral=LoewnerError(np.inf, 0.0)
    )
    assert nothing.spectral is None


def test_masked__hides_tokens_from_both_kinds_of_mask():
    logits = np.zeros((2, 3))
    boolean = np.array([[True, False, True], [True, True, True]])
    additive = np.where(boolean, 0.0, -np.inf)
    for mask in (boolean, additive):
        P = softmax_rows(masked(logits, mask))
        np.testing.assert_allclose(P, [[0.5, 0, 0.5], [1 / 3] * 3])


def certificate(**changes):
    fields = {
        "n": 1786,
        "d": 1048576,
        "m": 1786,
        "method": "sketch",
        "seed": 0,
        "beta": 1.0,
        "r": 0.1,
        "trace": 178.6,
        "errors": Errors(
            spectral=None,
            entry=Measure(0.11, "exact"),
            attention=Measure(0.004, "bound", 0.99),
            uniform=Measure(0.05, "estimate"),
            checked_rows=32,
        ),
        "passes": 1,
        "bytes_read": 123,
        "peak_memory_bytes": None,
        "seconds": 1.0,
        "integrity": "checksummed",
    }
    return Certificate(**(fields | changes))


def test_certificate__json_has_the_documented_keys_in_order_and_null_for_the_unmeasured():
    fields = certificate().to_dict()
    assert list(fields) == [
        "n",
        "d",
        "m",
        "method",
        "seed",
        "beta",
        "r",
        "trace",
        "spectral_error",
        "entry_error",
        "attention_error",
        "uniform_attention_error",
        "checked_rows",
        "passes",
        "bytes_read",
        "peak_memory_bytes",
        "seconds",
        "integrity",
    ]
    assert fields["spectral_error"] is None
    assert fields["entry_error"] == {"value": 0.11, "kind": "exact"}
    assert fields["attention_error"] == {"value": 0.004, "kind": "bound", "confidence": 0.99}
    assert Certificate.from_dict(json.loads(json.dumps(fields))) == certificate()


def test_certificate__prints_within_80_columns_and_says_what_was_not_measured():
    text = str(certificate())
    assert max(map(len, text.splitlines())) <= 80
    assert "not measured" in text
    assert "with 95 % confidence,\n  that 91.1% of all rows are no worse" in text
    assert "bound, confidence 99%" in text
    assert "no better than Y = 0" not in text


def test_certificate__says_so_where_Y_zero_is_as_good():
    worse = Errors(
        spectral=None,
        entry=Measure(0.11, "exact"),
        attention=Measure(0.06, "exact"),
        uniform=Measure(0.05, "exact"),
        checked_rows=1786,
    )
    text = str(certificate(errors=worse))
    assert "no better than Y = 0" in text
    assert max(map(len, text.splitlines())) <= 80
