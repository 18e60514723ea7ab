"""The checks of ``scripts/faults/limits.py`` at sizes of seconds; the generated store itself."""

import pickle

import limits
import numpy as np
import pytest
import zarr

import generated
import streamsparse as ss
from streamsparse.sources.open import open_source


@pytest.mark.parametrize("name", limits.CHECKS)
def test_limits__every_answer_is_right(name):
    answers = list(limits.CHECKS[name](limits.SMALL))
    assert answers
    assert all(answers)


def test_limits__counts_a_wrong_answer(monkeypatch, capsys):
    monkeypatch.setattr(limits, "CHECKS", {"good": lambda _: [True], "bad": lambda _: [False]})
    assert limits.main(["--small"]) == 1
    assert "| bad | 1 | 0 | 1 | 0 | **broken**" in capsys.readouterr().out


def test_generated__dense_chunks_repeat():
    store = generated.dense(3, 20, "int16", chunk=(3, 8))
    chunk = generated.pattern(3, 8, "int16")
    X = np.tile(chunk, 3)[:, :20]
    np.testing.assert_array_equal(zarr.open_array(store, mode="r")[:], X)
    np.testing.assert_array_equal(generated.dense_gram(3, 20, chunk), X.astype(object) @ X.T)
    assert store.reads == {"": 3}


@pytest.mark.parametrize("kind", ["csc", "csr"])
def test_generated__groups_are_matrices(kind):
    store = pickle.loads(pickle.dumps(generated.compressed(5, 12, 4, kind=kind, nnz=18)))
    source = open_source(store, feature_axis=1, missing="error")
    source.verify()
    dense = np.zeros((5, 12))
    dense[:, ::3] = 1
    dense[4, 6:] = 0
    X = dense if kind == "csr" else dense.T
    assert source.shape == X.shape
    found = ss.sparsify(store, "exact").certificate
    assert (found.r, found.trace) == ((X @ X.T).diagonal().max(), 18)


def test_plan__of_indices_beyond_int32_is_refused_before_values_are_read():
    d = 2**31 + 10
    store = generated.listed_csr([0, 1], np.array([d - 1]), np.ones(1, np.int8), d)
    with pytest.raises(ss.BudgetTooSmallError, match=r"needs 128\.22 GiB"):
        ss.sparsify(store, "sketch", m=64)
    assert store.values_read == 0
