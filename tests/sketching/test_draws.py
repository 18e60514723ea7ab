"""Uniforms and normals against twins and moments; no two uses share a word."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstwo

import reference
from streamsparse.sketching import draws
from streamsparse.sketching.run_hash import hash_words

STREAMS = {
    "rows": draws.ROW_SAMPLE,
    "probes": draws.PROBES,
    "spectral probes": draws.SPECTRAL_PROBES,
    "columns": draws.COLUMN_SAMPLE,
    "scores": draws.SCORE_VECTORS,
    "digest": draws.DIGEST_FACTORS,
    "bootstrap": draws.BOOTSTRAP,
}


@given(
    seed=st.integers(0, 2**64 - 1),
    keys=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20),
    stream=st.sampled_from(sorted(STREAMS.values())),
)
def test_uniforms__equal_the_twin_and_lie_inside_the_unit_interval(seed, keys, stream):
    found = draws.uniforms(seed=seed, keys=np.array(keys, np.uint64), stream=stream)
    assert found.tolist() == [reference.uniform(seed, key, stream) for key in keys]
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("word", [0, 2**11 - 1, 2**64 - 1, 2**64 - 2**11])
def test_uniforms__never_reach_0_or_1_whatever_the_word(word, monkeypatch):
    monkeypatch.setattr(draws, "hash_words", lambda **_: np.array([word], np.uint64))
    (found,) = draws.uniforms(seed=0, keys=np.zeros(1, np.uint64), stream=0)
    assert 0 < found < 1


def test_uniforms__are_uniform():
    # Kolmogorov-Smirnov, one-in-a-million; the seed is fixed.
    count = 20_000
    found = draws.uniforms(
        seed=1, keys=np.arange(count, dtype=np.uint64), stream=draws.COLUMN_SAMPLE
    )
    steps = np.arange(count) / count
    distance = np.abs(np.sort(found) - steps - 0.5 / count).max() + 0.5 / count
    assert distance <= kstwo.ppf(1 - 1e-6, count)


@pytest.mark.parametrize("stream", [draws.PROBES, draws.SCORE_VECTORS])
def test_normals__have_the_moments_of_independent_normals(stream):
    # Standard errors of mean, variance and fourth moment are 1, sqrt(2), sqrt(96) over sqrt(N).
    rows, columns = 5000, 8
    Omega = draws.normals(seed=3, rows=rows, columns=columns, stream=stream)
    assert Omega.shape == (rows, columns)
    N = Omega.size
    assert abs(Omega.mean()) <= 5 / math.sqrt(N)
    assert abs((Omega**2).mean() - 1) <= 5 * math.sqrt(2 / N)
    assert abs((Omega**4).mean() - 3) <= 5 * math.sqrt(96 / N)
    # Columns, and neighbouring rows, are uncorrelated.
    off_diagonal = Omega.T @ Omega / rows - np.diag((Omega**2).mean(axis=0))
    assert np.abs(off_diagonal).max() <= 5 / math.sqrt(rows)
    assert abs((Omega[1:] * Omega[:-1]).mean()) <= 5 / math.sqrt(N)


def test_normals__column_k_is_stream_plus_k_and_rows_extend():
    few = draws.normals(seed=3, rows=5, columns=4, stream=draws.PROBES)
    more = draws.normals(seed=3, rows=9, columns=3, stream=draws.PROBES + 1)
    np.testing.assert_array_equal(few[:, 1:], more[:5])


def test_streams__share_no_word_with_S_nor_with_each_other():
    # S takes streams 0 .. 15 for its offsets and signs, coefficients included.
    keys = np.arange(500, dtype=np.uint64)
    used = [range(16), *(range(stream, stream + 64) for stream in STREAMS.values())]
    words = np.concatenate(
        [hash_words(seed=5, keys=keys, stream=stream) for block in used for stream in block]
    )
    # 2^64 words: a chance collision of 232,000 has probability 1.5e-9.
    assert np.unique(words).size == words.size
    assert len(set(STREAMS.values())) == len(STREAMS)
    assert all(stream >= 2**32 for stream in STREAMS.values())


def test_uniforms__golden_values_pin_samples_and_probes_for_ever():
    keys = np.array([0, 1, 2**40], np.uint64)
    found = {
        name: [float(u).hex() for u in draws.uniforms(seed=7, keys=keys, stream=stream)]
        for name, stream in STREAMS.items()
    }
    assert found["columns"] == GOLDEN_COLUMNS
    assert found["probes"] == GOLDEN_PROBES
    assert [f"{word:016x}" for word in draws.digest_factors(2**40, 2**40 + 2)] == GOLDEN_FACTORS


GOLDEN_COLUMNS = ["0x1.d0d38d6f59074p-4", "0x1.10e48832209fcp-1", "0x1.23ea9e5170ad8p-1"]
GOLDEN_PROBES = ["0x1.1dd56edb875fcp-1", "0x1.27a6d4dcbf3e8p-1", "0x1.e96c51c6ae5bap-1"]
GOLDEN_FACTORS = ["195fb6533bc8514d", "bc40b1dab288dfb1"]
