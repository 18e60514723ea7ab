"""Balancing in the first pass: lengths and scale unknown until X has passed."""

import numpy as np
import pytest
import scipy.sparse

import drivers
import strategies
import streamsparse as ss
from streamsparse.accumulators.whitened import WhitenedPicker
from streamsparse.methods.one_pass import OnePassChooser

N, D = 12, 6000
KINDS = {
    "even": np.ones(D),
    "rising": np.linspace(1e-3, 1e3, D),
    "falling": np.linspace(1e3, 1e-3, D),
    "one heavy": np.where(np.arange(D) == 4000, 1e4, 1.0),
    "tiny": np.full(D, 1e-18),
}


def matrix(kind):
    return np.random.default_rng(0).standard_normal((N, D)) * KINDS[kind]


def picked(X, capacity, **cut):
    chooser = OnePassChooser(rows=N, capacity=capacity)
    picker = WhitenedPicker(
        rows=N,
        block_dtype=drivers.block_dtype(X),
        R=None,
        squared_norms=np.ones(N),
        dtype=np.float64,
        chooser=chooser,
    )
    return drivers.accumulate(picker, X, by_rows=False, **cut), chooser


@pytest.mark.parametrize("kind", KINDS)
def test_one_pass__holds_a_pool_that_stands_for_all_columns(kind):
    X = matrix(kind)
    picks, chooser = picked(X, 200)
    assert 100 < picks.count <= 400
    kept = X[:, picks.columns]
    E = (kept * picks.scores) @ kept.T - X @ X.T
    trace = np.square(X).sum()
    # E is what the chooser kept track of, up to rounding: 2 d additions of terms below the trace.
    tracked = np.tril(chooser._balance.error) / chooser._scale**2
    assert np.abs(np.tril(E) - tracked).max() <= 4 * D * np.finfo(float).eps * trace
    # Theorem 4 for every thinning, whose theta at least doubles: 2 theta tr G in all, theta at most
    # tr G / (capacity / 2), and a tenth for the count.
    assert np.square(E).sum() <= 1.1 * 4 * trace**2 / 200


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_one_pass__picks_do_not_depend_on_block_edges(storage):
    X = strategies.sparse_matrix(N, D, 0.2).astype(np.float64)
    X = X.toarray() if storage == "dense" else X.tocsc()
    whole, _ = picked(X, 100, span=2048)
    cut, _ = picked(X, 100, span=2048, edges=[0, 7, 300, 2500, 2501, D])
    np.testing.assert_array_equal(whole.columns, cut.columns)
    np.testing.assert_array_equal(whole.scores, cut.scores)


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csc_array])
@pytest.mark.parametrize("kind", ["even", "rising", "one heavy"])
@pytest.mark.parametrize("m", [N // 2, 4 * N, 16 * N])
def test_balance__of_entries_takes_one_pass_and_keeps_them(storage, kind, m):
    X = matrix(kind)
    result = ss.sparsify(storage(X), "select", m=m, algorithm="balance", target="entries")
    assert result.certificate.passes == result.plan.scans == 1
    assert result.columns.size <= m
    Y = result.Y.toarray() if scipy.sparse.issparse(result.Y) else result.Y
    np.testing.assert_array_equal(Y, X[:, result.columns] * np.sqrt(result.weights))
    # Half of CountSketch's mean square (THEORY 2.2, 3.6), and far below Y = 0.
    G = X @ X.T
    E = np.linalg.norm(Y @ Y.T - G)
    assert np.sqrt(2 / m) * np.trace(G) >= E
    assert m <= N or np.linalg.norm(G) > E
