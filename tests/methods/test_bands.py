"""Row bands: the sampled rows are read first and held, and certify the same numbers."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

import strategies
from streamsparse.api.arguments import check_request
from streamsparse.methods.auto import make_plan
from streamsparse.methods.base import Job, hold_sample, sample_rows
from streamsparse.methods.sketch import reduce_by_sketch
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution
from streamsparse.running.progress import show_progress
from streamsparse.sketching.run_hash import hash_words
from streamsparse.sources.open import open_source


def plan_in_bands(source, *, bands, m=64):
    request = check_request(
        method="sketch",
        m=m,
        epsilon=None,
        target="attention",
        delta=0.01,
        beta=1.0,
        seed=3,
        memory="1 GiB",
        feature_axis=1,
        s=8,
        has_output=False,
    )
    plan = make_plan(Facts.of(source), request, threads=2)
    rows = -(-source.shape[0] // bands)
    stream = replace(plan.stream, bands=bands, band_rows=rows, block_bytes=100_000)
    return replace(plan, stream=stream)


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("bands", [2, 5])
def test_reduce_by_sketch__certifies_bands_with_the_true_rows_of_G(storage, bands):
    X = strategies.integer_matrix(300, 5000, "int16") * (np.arange(5000) % 4 == 0)
    source = open_source(storage(X), feature_axis=1, missing="error")
    plan = plan_in_bands(source, bands=bands)
    with show_progress(False, label="", total=0) as bar:
        reduction = reduce_by_sketch(Job(source, plan, Execution(2, False, bar), None))
    G = X.astype(np.int64) @ X.astype(np.int64).T
    assert reduction.sample.size == 32
    np.testing.assert_array_equal(reduction.G_I, G[reduction.sample])
    F = reduction.Y @ reduction.Y.T
    entry = np.abs(F - G)[reduction.sample].max() / G.diagonal().max()
    assert reduction.errors.entry.value == pytest.approx(entry, rel=1e-12)


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
def test_hold_sample__returns_the_sampled_rows_of_any_interval(storage):
    X = strategies.integer_matrix(40, 700, "int32") * (np.arange(700) % 3 == 0)
    source = open_source(storage(X), feature_axis=1, missing="error")
    stream = plan_in_bands(source, bands=4).stream
    sample = np.array([0, 7, 8, 39])
    held = hold_sample(source, stream, sample, zero=False)
    for a, b in ((0, 700), (100, 301), (699, 700)):
        piece = held((a, b))
        if scipy.sparse.issparse(storage(X)):
            got = np.zeros((4, b - a))
            for k in range(4):
                extent = slice(*piece.extents[:, k])
                got[k, piece.indices[extent] - a] = piece.data[extent]
        else:
            lo, hi = piece.lo_hi
            got = piece.data[:, lo:hi]
        np.testing.assert_array_equal(got, X[sample, a:b])


def test_sample_rows__is_sorted_unique_and_uses_words_that_S_does_not():
    sample = sample_rows(n=1000, count=32, seed=5)
    assert sample.tolist() == sorted(set(sample.tolist()))
    assert sample.size == 32
    keys = np.arange(1000, dtype=np.uint64)
    for stream in range(16):
        words = hash_words(seed=5, keys=keys, stream=stream)
        assert set(np.argsort(words)[:32].tolist()) != set(sample.tolist())
    assert sample_rows(n=1000, count=32, seed=6).tolist() != sample.tolist()
    assert sample_rows(n=10, count=32, seed=5).tolist() == list(range(10))
