"""Dense attention of Y, with masks, biases and pairs, against the slow twin."""

import numpy as np
import pytest
import scipy.sparse
import scipy.special

import reference
import streamsparse as ss

EPS = np.finfo(float).eps
D = 300


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return rng.standard_normal((15, D)) / np.sqrt(D) * np.linspace(0.5, 3, 15)[:, None]


@pytest.fixture(scope="module")
def pair(X):
    return ss.sparsify_pair(X[:6], X[6:], "sketch", m=128)


def masked_softmax(logits, mask):
    """Row by row, over the open cells alone; an additive mask is added to the logits first."""
    if mask.dtype != bool:
        logits, mask = logits + np.where(np.isfinite(mask), mask, 0), np.isfinite(mask)
    P = np.zeros(logits.shape)
    for i, row in enumerate(mask):
        P[i, row] = reference.softmax(logits[i : i + 1, row])[0]
    return P


def masks(shape):
    rng = np.random.default_rng(1)
    boolean = rng.random(shape) < 0.5
    boolean[:, 0] = True
    bias = rng.standard_normal(shape) * 3
    return {
        "boolean": boolean,
        "bias": bias,
        "bias and -inf": np.where(boolean, bias, -np.inf),
        "0 and -inf": np.where(boolean, 0.0, -np.inf),
        "causal": np.tri(*shape, shape[1] - shape[0], dtype=bool),
    }


KINDS = list(masks((2, 3)))


def asked(kind, shape):
    return "causal" if kind == "causal" else masks(shape)[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_attention__of_any_mask_is_softmax_over_the_open_cells(X, kind):
    P = ss.attention(X, beta=2.0, mask=asked(kind, (15, 15)))
    expected = masked_softmax(2.0 * (X @ X.T), masks((15, 15))[kind])
    # Logits below 20 in size, each off by d eps of it, and 15 exponentials.
    np.testing.assert_allclose(P, expected, rtol=40 * D * EPS)
    np.testing.assert_array_equal(P == 0, expected == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_attention__of_a_pair_is_softmax_of_queries_and_keys(pair, kind):
    P = ss.attention(pair, beta=2.0, mask=asked(kind, (6, 9)))
    expected = masked_softmax(2.0 * (pair.Q @ pair.K.T), masks((6, 9))[kind])
    np.testing.assert_allclose(P, expected, rtol=40 * D * EPS)


def test_attention__causal_lets_the_last_query_look_at_the_last_key(pair, X):
    P = ss.attention(pair, mask="causal")
    # Six queries, nine keys: the first query sees four keys.
    assert [np.count_nonzero(row) for row in P] == [4, 5, 6, 7, 8, 9]
    square = ss.attention(X, mask="causal")
    assert square[0].tolist() == [1] + [0] * 14


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", ["G", "X", "csr"])
def test_attention_error__of_any_mask_equals_brute_force(X, kind, given):
    Y = ss.sparsify(X, "sketch", m=128).Y
    source = {"G": X @ X.T, "X": X, "csr": scipy.sparse.csr_array(X)}[given]
    mask = masks((15, 15))[kind]
    P, P_Y = (masked_softmax(2.0 * logits, mask) for logits in (X @ X.T, Y @ Y.T))
    expected = np.abs(P_Y - P).sum(axis=1).max()
    found = ss.attention_error(source, Y, beta=2.0, mask=asked(kind, (15, 15)))
    assert found == pytest.approx(expected, rel=1e-9)
    # THEORY 1.6: masks and biases cancel in the difference of the logits.
    E = np.abs(Y @ Y.T - X @ X.T)
    is_open = mask if mask.dtype == bool else np.isfinite(mask)
    assert found <= 2 * np.tanh(2.0 * E[is_open].max() / 2) * (1 + 1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", ["tuple", "array", "sparse"])
def test_attention_error__of_a_pair_equals_brute_force(X, pair, kind, given):
    Q, K = X[:6], X[6:]
    mask = masks((6, 9))[kind]
    P, P_Y = (masked_softmax(2.0 * logits, mask) for logits in (Q @ K.T, pair.Q @ pair.K.T))
    source = {
        "tuple": (Q, K),
        "array": Q @ K.T,
        "sparse": (scipy.sparse.csr_array(Q), scipy.sparse.csc_array(K)),
    }[given]
    found = ss.attention_error(source, pair, beta=2.0, mask=asked(kind, (6, 9)))
    assert found == pytest.approx(np.abs(P_Y - P).sum(axis=1).max(), rel=1e-9)


def test_attention_error__of_more_rows_than_a_chunk_is_the_largest_of_all():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 40))
    Y = X.copy()
    Y[299] *= 1.5
    P, P_Y = (scipy.special.softmax(0.01 * M @ M.T, axis=1) for M in (X, Y))
    expected = np.abs(P_Y - P).sum(axis=1).max()
    assert ss.attention_error(X, Y, beta=0.01) == pytest.approx(expected, rel=1e-9)


def test_attention__takes_results_whatever_their_Y(X, tmp_path):
    sparse = scipy.sparse.csr_array(X)
    sample = ss.sparsify(sparse, "sample", m=40)
    np.testing.assert_array_equal(ss.attention(sample), ss.attention(sample.Y.toarray()))
    stored = ss.sparsify(X, "sketch", m=64, out=tmp_path / "y.zarr")
    np.testing.assert_array_equal(ss.attention(stored), ss.attention(stored.Y[:]))
    stored_pair = ss.sparsify_pair(X[:6], X[6:], "sketch", m=64, out=tmp_path / "p.zarr")
    assert ss.attention(stored_pair).shape == (6, 9)


def test_attention__refuses_masks_and_sources_that_do_not_fit(X, pair):
    with pytest.raises(ss.ParameterError, match="'causal', not 'anticausal'"):
        ss.attention(X, mask="anticausal")
    with pytest.raises(ss.ParameterError, match="a key per query: 9 and 6"):
        ss.attention(ss.sparsify_pair(X[:9], X[9:], "sketch", m=64), mask="causal")
    with pytest.raises(ss.ParameterError, match=r"shape \(6, 9\)"):
        ss.attention(pair, mask=np.ones((9, 6), bool))
    with pytest.raises(ss.ParameterError, match=r"tuple \(Q, K\)"):
        ss.attention_error(X, pair)
    with pytest.raises(ss.ParameterError, match=r"tuple \(Q, K\)"):
        ss.attention_error((X, X, X), pair)
    with pytest.raises(ss.ParameterError, match="rows of X"):
        ss.attention_error((X[:5], X[6:]), pair)
    with pytest.raises(ss.ParameterError, match="beta"):
        ss.attention(pair, beta=0)


def test_attention__refuses_what_overflows_instead_of_saying_that_all_is_well(X):
    Y = X[:, :20].copy()
    Y[0] *= 1e200
    with pytest.raises(ss.NonFiniteError, match="squares of Y overflow"):
        ss.attention_error(X, Y)
    with pytest.raises(ss.NonFiniteError, match="squares of Y overflow"):
        ss.attention(Y)
    with pytest.raises(ss.NonFiniteError, match="logits overflow float64 at beta"):
        ss.attention(X * 1e3, beta=1e308)
    with pytest.raises(ss.ParameterError, match="beta must be a positive finite number"):
        ss.attention(X, beta=10**400)


def test_attention__refuses_complex_masks_and_masked_values(X):
    n = X.shape[0]
    with pytest.raises(ss.ParameterError, match="of bool or real numbers, not complex128"):
        ss.attention(X, mask=np.zeros((n, n)) + 1j)
    hidden = np.ma.masked_array(X, mask=np.arange(X.size).reshape(X.shape) == 3)
    with pytest.raises(ss.ParameterError, match="Y has masked values, which would count"):
        ss.attention(hidden)
