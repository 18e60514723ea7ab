from itertools import pairwise

import numpy as np
import pytest
import zarr

from streamsparse.demo.corpus import (
    Corpus,
    build_corpus,
    hash_ngrams,
    list_modules,
    module_name,
)
from streamsparse.demo.features import (
    project_documents,
    random_fourier_block,
    write_dense_features,
)
from streamsparse.errors import ParameterError


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return build_corpus(limit=40)


def test_build_corpus__same_files_give_the_same_bits(corpus):
    again = build_corpus(limit=40)
    assert again.names == corpus.names
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(again.X, name), getattr(corpus.X, name))


def test_build_corpus__is_canonical_float32_csr_with_one_row_per_module(corpus):
    assert corpus.X.shape == (40, 1 << 20)
    assert corpus.X.dtype == np.float32
    assert corpus.X.indices.dtype == np.int32
    assert corpus.X.has_canonical_format
    assert len(set(corpus.names)) == 40
    assert (np.diff(corpus.X.indptr) > 0).all()
    assert (corpus.X.data > 0).all()


@pytest.mark.parametrize("r", [1.0, 0.1])
def test_build_corpus__every_row_has_squared_norm_r(r):
    X = build_corpus(limit=10, features=1 << 12, r=r).X.astype(np.float64)
    norms = X.multiply(X).sum(axis=1)
    # Rounding each entry to float32 changes its square by at most 2 u and a little.
    np.testing.assert_allclose(norms, r, rtol=1.5 * np.finfo(np.float32).eps)


@pytest.mark.parametrize("arguments", [{"features": 1000}, {"limit": 1}, {"r": 0.0}])
def test_build_corpus__refuses_parameters_outside_their_range(arguments):
    with pytest.raises(ParameterError):
        build_corpus(**arguments)


def test_hash_ngrams__equals_the_definition_one_ngram_at_a_time():
    text = "def f(x):\n    return 'é€😀' * 3"

    def mix(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    expected = []
    for i in range(len(text) - 4):
        word = 0
        for character in text[i : i + 5]:
            word = (word * 0x9E3779B97F4A7C15 + ord(character)) % 2**64
        expected.append(mix(word) >> 44)
    assert hash_ngrams(text, 1 << 20).tolist() == expected


def test_hash_ngrams__short_text_has_none():
    assert hash_ngrams("abcd", 1 << 20).size == 0
    assert hash_ngrams("abcde", 1 << 20).size == 1


def test_list_modules__skips_tests_small_files_and_installed_packages(tmp_path):
    for name in ("json/decoder.py", "json/__init__.py", "site-packages/a.py", "test/b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("#" * 200)
    (tmp_path / "tiny.py").write_text("#" * 199)
    names = [module_name(path, tmp_path) for path in list_modules(tmp_path)]
    assert names == ["json", "json.decoder"]


def test_random_fourier_block__any_cut_gives_the_same_bits(corpus):
    P = project_documents(corpus.X, 3)
    whole = random_fourier_block(P, 0, 3000, d=3000, seed=3)
    edges = [0, 1, 1023, 1024, 1025, 2500, 3000]
    parts = [
        random_fourier_block(P, start, stop, d=3000, seed=3) for start, stop in pairwise(edges)
    ]
    np.testing.assert_array_equal(np.hstack(parts), whole)
    assert whole.dtype == np.float32
    assert not np.array_equal(random_fourier_block(P, 0, 9, d=3000, seed=4), whole[:, :9])


def test_random_fourier_block__approximates_the_gaussian_kernel(corpus):
    P = project_documents(corpus.X, 0)
    np.testing.assert_allclose(np.linalg.norm(P, axis=1), 1, rtol=1e-6)
    d = 1 << 15
    Z = random_fourier_block(P, 0, d, d=d, seed=0).astype(np.float64)
    squared = np.sum((P[:, None] - P[None]) ** 2, axis=2, dtype=np.float64)
    error = np.abs(Z @ Z.T - np.exp(-squared / (2 * 0.5**2))).max()
    # Hoeffding: each entry averages d terms in [-2, 2]; at most 820 of them, failure 1e-6.
    assert error <= np.sqrt(8 * np.log(2 * 820 / 1e-6) / d)


def test_write_dense_features__writes_whole_columns_of_at_least_the_size(tmp_path, corpus):
    shape = write_dense_features(
        tmp_path / "z", corpus, size_bytes=200_000, seed=1, chunk_bytes=64_000
    )
    array = zarr.open_array(tmp_path / "z", mode="r")
    assert array.shape == shape == (40, 1600)
    assert array.chunks == (40, 400)
    assert array.dtype == np.float32
    P = project_documents(corpus.X, 1)
    np.testing.assert_array_equal(array[:], random_fourier_block(P, 0, 1600, d=1600, seed=1))
