"""Queries and keys reduced together: every number is about the block Q K^T."""

import math

import numpy as np
import pytest
import scipy.sparse
from scipy.special import softmax

import reference
import strategies
import streamsparse as ss
from streamsparse.methods.sketch import rows_to_check

EPS = np.finfo(float).eps
D = 600
METHODS = {
    "sketch": {"m": 128},
    "exact": {},
    "sample": {"m": 200},
    "auto": {},
}


def pair(queries=12, keys=20, seed=0):
    rng = np.random.default_rng(seed)
    Q = rng.standard_normal((queries, D)) / np.sqrt(D)
    # Keys of very uneven length, one of them nothing.
    K = rng.standard_normal((keys, D)) * np.linspace(0, 3, keys)[:, None] / np.sqrt(D)
    return Q, K


def block_errors(Q, K, result, beta):
    """(entry error relative to r, attention error, that of Y = 0, r) by brute force."""
    G, F = Q @ K.T, dense(result.Q) @ dense(result.K).T
    r = math.sqrt(np.square(Q).sum(axis=1).max() * np.square(K).sum(axis=1).max())
    zero = reference.attention_error(G, np.zeros_like(G), beta)
    return np.abs(F - G).max() / r, reference.attention_error(G, F, beta), zero, r


def dense(Y):
    return Y.toarray() if scipy.sparse.issparse(Y) else np.asarray(Y)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("beta", [0.5, 4.0])
def test_sparsify_pair__certifies_the_block_of_queries_and_keys_exactly(method, beta):
    Q, K = pair()
    result = ss.sparsify_pair(Q, K, method, beta=beta, **METHODS[method])
    entry, attention, zero, r = block_errors(Q, K, result, beta)
    c = result.certificate
    # Sums of at most d products in two orders; attention moves by beta times that at most.
    bound = 4 * D * EPS
    assert c.r == pytest.approx(r, rel=bound)
    assert c.entry_error.value == pytest.approx(entry, abs=bound)
    assert c.attention_error.value == pytest.approx(attention, abs=20 * beta * r * bound)
    assert c.uniform_attention_error.value == pytest.approx(zero, abs=20 * beta * r * bound)
    assert c.entry_error.kind == "exact"
    assert c.checked_rows == 12
    assert (c.n, c.d) == (32, D)
    assert result.Q.shape == (12, c.m)
    assert result.K.shape == (20, c.m)
    assert "12 queries" in repr(result)


@pytest.mark.parametrize("method", ["sketch", "sample"])
def test_sparsify_pair__of_many_rows_checks_a_sample_of_the_queries(method):
    Q, K = pair(queries=300, keys=60)
    result = ss.sparsify_pair(Q, K, method, **METHODS[method])
    c, plan = result.certificate, result.plan
    rows = rows_to_check(plan)
    assert rows.size == c.checked_rows == 90
    assert rows.max() < 300
    G, F = Q @ K.T, result.Q @ result.K.T
    r = math.sqrt(np.square(Q).sum(axis=1).max() * np.square(K).sum(axis=1).max())
    bound = 4 * D * EPS
    assert c.entry_error.value == pytest.approx(np.abs(F - G)[rows].max() / r, abs=bound)
    moved = np.abs(softmax(F, axis=1) - softmax(G, axis=1)).sum(axis=1)
    assert c.attention_error.value == pytest.approx(moved[rows].max(), abs=300 * r * bound)
    assert c.entry_error.kind == "estimate"
    # What speaks of more rows than were checked bounds the truth.
    errors = c.errors
    assert np.abs(F - G).max() / r <= errors.all_rows_entry.value
    assert moved.max() <= errors.all_rows_attention.value
    assert np.sqrt(np.square(F - G).mean()) / r <= errors.rms_entry.value
    worse = (np.abs(F - G).max(axis=1) / r > errors.most_rows_entry.value).mean()
    assert worse <= 1 - errors.most_rows_entry.share
    assert errors.bootstrap_entry is None


def test_sparsify_pair__of_few_queries_and_many_keys_checks_all_queries_exactly():
    Q, K = pair(queries=20, keys=300)
    result = ss.sparsify_pair(Q, K, "sketch", epsilon=0.5)
    entry, attention, _, _ = block_errors(Q, K, result, 1.0)
    c = result.certificate
    assert c.checked_rows == 20
    assert (c.entry_error.kind, c.attention_error.kind) == ("exact", "exact")
    assert c.entry_error.value == pytest.approx(entry, abs=4 * D * EPS)
    assert c.met == (attention <= 0.5)
    assert "all 20 rows were compared with exact rows of Q K^T" in str(c)
    assert "max ||q_i|| max ||k_j||" in str(c)


@pytest.mark.parametrize("method", ["sketch", "exact", "sample"])
def test_sparsify_pair__gives_the_rows_of_the_stacked_matrix(method):
    Q, K = pair()
    together = ss.sparsify(np.vstack([Q, K]), method, **METHODS[method])
    result = ss.sparsify_pair(Q, K, method, **METHODS[method])
    np.testing.assert_array_equal(np.vstack([result.Q, result.K]), together.Y)
    assert result.certificate.spectral_error.value == pytest.approx(
        together.certificate.spectral_error.value, rel=1e-9
    )


@pytest.mark.parametrize("target", ["attention", "entries"])
@pytest.mark.parametrize("method", ["sketch", "exact"])
def test_sparsify_pair__meets_epsilon_for_the_block(method, target):
    Q, K = pair()
    result = ss.sparsify_pair(Q, K, method, epsilon=0.4, target=target)
    entry, attention, _, _ = block_errors(Q, K, result, 1.0)
    assert result.certificate.met
    assert {"entries": entry, "attention": attention}[target] <= 0.4


@pytest.mark.parametrize("method", ["sketch", "sample"])
def test_sparsify_pair__takes_sparse_queries_and_keys(method):
    Q, K = (strategies.sparse_matrix(n, D, 0.1, seed=n, dtype="float64") for n in (12, 20))
    result = ss.sparsify_pair(Q, K.tocsc(), method, **METHODS[method])
    entry, _, _, _ = block_errors(Q.toarray(), K.toarray(), result, 1.0)
    assert result.certificate.entry_error.value == pytest.approx(entry, abs=4 * D * EPS)
    assert scipy.sparse.issparse(result.Q) == (method == "sample")


def test_sparsify_pair__takes_matrices_stored_the_other_way_round():
    Q, K = pair()
    expected = ss.sparsify_pair(Q, K, "sketch", m=64)
    result = ss.sparsify_pair(Q.T.copy(), K.T.copy(), "sketch", m=64, feature_axis=0)
    np.testing.assert_array_equal(result.Q, expected.Q)


@pytest.mark.parametrize("method", ["sketch", "sample"])
def test_sparsify_pair__writes_both_to_one_group(tmp_path, method):
    Q, K = pair()
    expected = ss.sparsify_pair(Q, K, method, **METHODS[method])
    result = ss.sparsify_pair(Q, K, method, out=tmp_path / "y.zarr", **METHODS[method])
    np.testing.assert_array_equal(np.asarray(result.K), expected.K)
    loaded = ss.load(tmp_path / "y.zarr")
    np.testing.assert_array_equal(loaded.Q, expected.Q)
    assert loaded.plan.queries == 12
    assert loaded.certificate == result.certificate


def test_sparsify_pair__refuses_an_output_inside_either_source(tmp_path):
    Q, K = pair()
    for name, values in (("q.npy", Q), ("k.npy", K)):
        np.save(tmp_path / name, values)
        parts = [tmp_path / "q.npy", tmp_path / "k.npy" if name == "k.npy" else K]
        with pytest.raises(ss.OutputExistsError):
            ss.sparsify_pair(*parts, "sketch", m=8, out=tmp_path / name, overwrite=True)


def test_sparsify_pair__new_queries_are_mapped_by_the_result():
    Q, K = pair()
    result = ss.sparsify_pair(Q, K, "sketch", m=128)
    np.testing.assert_array_equal(result.transform(Q[3:5]), result.Q[3:5])


@pytest.mark.parametrize("exact", [False, True])
def test_certify__of_a_pair_measures_the_same_block(exact):
    Q, K = pair()
    result = ss.sparsify_pair(Q, K, "sketch", m=128, beta=2.0)
    check = ss.certify((Q, K), result, exact=exact)
    entry, attention, _, r = block_errors(Q, K, result, 2.0)
    bound = 4 * D * EPS
    assert check.entry_error.value == pytest.approx(entry, abs=bound)
    assert check.attention_error.value == pytest.approx(attention, abs=40 * r * bound)
    assert check.r == pytest.approx(r, rel=bound)


def test_sparsify_pair__refuses_what_does_not_go_together():
    Q, K = pair()
    result = ss.sparsify_pair(Q, K, "sketch", m=16)
    with pytest.raises(ss.ParameterError, match=r"tuple \(Q, K\)"):
        ss.certify(np.vstack([Q, K]), result)
    with pytest.raises(ss.ParameterError, match="only sparsify_pair"):
        _ = ss.sparsify(Q, "sketch", m=16).K
    with pytest.raises(ss.ParameterError, match="same columns"):
        ss.sparsify_pair(Q, K[:, :-1])
    with pytest.raises(ss.ParameterError, match="both be dense or both sparse"):
        ss.sparsify_pair(Q, scipy.sparse.csr_array(K))
    bad = K.copy()
    bad[2, 5] = np.inf
    with pytest.raises(ss.NonFiniteError, match="row 14, column 5"):
        ss.sparsify_pair(Q, bad)
