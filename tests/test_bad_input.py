"""Bad input: one documented error and one line each, nothing left behind, nothing changed."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import reference
import streamsparse as ss
from catalogue import GROUPS
from catalogue.chunks import without
from catalogue.common import zarr_array
from catalogue.valid import VALID

KINDS = {(group, name): bad for group, kinds in GROUPS.items() for name, bad in kinds.items()}
# What is found while blocks are read or used: every method has its own passes.
IN_EVERY_METHOD = {
    ("values", "NaN in the last column"),
    ("values", "infinity in zarr"),
    ("values", "NaN in CSC"),
    ("values", "one square overflows"),
    ("sparse", "indptr decreases, group"),
    ("sparse", "index equal to n, group"),
    ("sparse", "duplicates, CSR"),
    ("chunks", "a chunk of 0 bytes"),
    ("chunks", "inner chunks are missing"),
    ("dask", "the second chunk raises"),
}
METHODS = {"sketch": {}, "exact": {}, "sample": {}, "select": {"algorithm": "balance"}}


def state_of(folder):
    """What lies in a folder: names, kinds and contents."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else path.lstat().st_mode
        for path in Path(folder).rglob("*")
    }


def bits_of(X):
    """The bytes of a matrix in memory; None for anything else."""
    if isinstance(X, np.ndarray) and not X.dtype.hasobject:
        return hashlib.sha256(np.ascontiguousarray(X).tobytes()).hexdigest()
    if scipy.sparse.issparse(X) and X.format in {"csr", "csc"}:
        return [bits_of(np.asarray(part)) for part in (X.indptr, X.indices, X.data)]
    return None


def refused(tmp_path, bad, **arguments):
    """Run one kind; return what was raised, after comparing what is left with what was there."""
    X = bad.make(tmp_path)
    before = state_of(tmp_path), bits_of(X)
    with pytest.raises(ss.StreamSparseError) as caught:
        ss.sparsify(X, **({"method": "sketch"} | arguments | bad.arguments(tmp_path)))
    assert (state_of(tmp_path), bits_of(X)) == before
    return caught


@pytest.mark.parametrize(("group", "name"), KINDS)
def test_sparsify__refuses(tmp_path, group, name):
    bad = KINDS[group, name]
    caught = refused(tmp_path, bad)
    assert caught.type is bad.error
    assert caught.match(bad.message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("group", "name"), sorted(IN_EVERY_METHOD))
def test_sparsify__refuses_with_every_method(tmp_path, group, name, method):
    bad = KINDS[group, name]
    caught = refused(tmp_path, bad, method=method, **METHODS[method])
    assert caught.type is bad.error
    assert caught.match(bad.message)


# A copy has any values; and chunks of dask come to it one way, to a reduction another.
@pytest.mark.parametrize(
    ("group", "name"),
    [
        kind
        for kind, bad in KINDS.items()
        if kind[0] not in {"parameters", "dask"}
        and bad.error not in {ss.NonFiniteError, ss.RoundingError}
        and "preprocess" not in bad.arguments(Path())
    ],
)
def test_convert__refuses_what_sparsify_refuses(tmp_path, group, name):
    bad = KINDS[group, name]
    X = bad.make(tmp_path)
    before = state_of(tmp_path), bits_of(X)
    given = bad.arguments(tmp_path)
    arguments = {key: given[key] for key in ("feature_axis", "memory", "missing") if key in given}
    with pytest.raises(bad.error, match=bad.message) as caught:
        ss.convert(X, tmp_path / "copy.zarr", **arguments)
    assert caught.type is bad.error
    assert (state_of(tmp_path), bits_of(X)) == before


def test_catalogue__has_every_documented_error():
    assert len(KINDS) > 300
    # Parts that do not belong together are of merge: tests/api/test_parts.py.
    documented = set(ss.StreamSparseError.__subclasses__()) - {ss.PartMismatchError}
    assert {bad.error for bad in KINDS.values()} == documented


def test_sparsify__reads_missing_chunks_as_the_fill_value_when_told_to(tmp_path):
    path = without("c/1/2")(tmp_path)
    X = np.ones((6, 12))
    X[3:6, 6:9] = 0
    filled = ss.sparsify(path, "exact", missing="fill")
    np.testing.assert_array_equal(filled.Y, ss.sparsify(X, "exact").Y)


def nan_at(value):
    X = np.ones((5, 70))
    X[3, 64] = value
    return X


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_array])
@pytest.mark.parametrize("method", ["sketch", "exact", "sample"])
def test_sparsify__reads_nan_as_zero_when_told_to(storage, method):
    clean = nan_at(0.0)
    X = storage(nan_at(np.nan))
    result = ss.sparsify(X, method, nonfinite="zero")
    expected = ss.sparsify(storage(clean), method)
    np.testing.assert_array_equal(dense(result.Y), dense(expected.Y))


def dense(Y):
    return Y.toarray() if scipy.sparse.issparse(Y) else Y


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_sparsify__leaves_nothing_behind_when_interrupted(tmp_path, monkeypatch, error):
    def interrupted(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("streamsparse.methods.measuring.measure_exactly", interrupted)
    monkeypatch.setattr("streamsparse.api.running.write_rest", interrupted)
    with pytest.raises(error):
        ss.sparsify(np.ones((5, 50)), "sketch", m=8, out=tmp_path / "y.zarr")
    assert state_of(tmp_path) == {}


@pytest.mark.parametrize("name", VALID)
def test_sparsify__takes_what_is_valid_and_is_right(tmp_path, name):
    valid = VALID[name]
    X = valid.make(tmp_path)
    before = state_of(tmp_path), bits_of(X)
    m = min(16, valid.X.shape[1])
    result = ss.sparsify(X, "sketch", m=m, s=1, seed=3, **valid.arguments)
    S = reference.dense_S(d=valid.X.shape[1], m=m, s=1, seed=3)
    # The matrices are of whole numbers, or of multiples of one power of two: no sum is rounded.
    np.testing.assert_array_equal(result.Y, valid.X @ S.T)
    certificate = ss.certify(X, result, exact=True, **valid.arguments)
    assert certificate.r == reference.gram(valid.X).diagonal().max()
    assert certificate.trace == reference.gram(valid.X).trace()
    assert (state_of(tmp_path), bits_of(X)) == before


def test_load__refuses_what_is_not_a_complete_result(tmp_path):
    with pytest.raises(ss.SourceNotFoundError):
        ss.load(tmp_path / "none.zarr")
    with pytest.raises(ss.UnsupportedInputError):
        ss.load(zarr_array(tmp_path, np.ones((6, 12))))
    result = ss.sparsify(np.ones((5, 50)), "sketch", m=8, out=tmp_path / "y.zarr")
    metadata = tmp_path / "y.zarr" / "zarr.json"
    content = json.loads(metadata.read_text())
    content["attributes"] = {}
    metadata.write_text(json.dumps(content))
    assert result.Y.shape == (5, 8)
    with pytest.raises(ss.UnsupportedInputError):
        ss.load(tmp_path / "y.zarr")


@pytest.mark.parametrize("path", [5, None, "a\0b"])
def test_result__refuses_what_is_no_path(path):
    result = ss.sparsify(np.ones((3, 40)), "sketch", m=8)
    with pytest.raises(ss.ParameterError, match="path must be a path"):
        result.save(path)
    if path is not None:
        with pytest.raises(ss.ParameterError, match="out must be a path"):
            result.transform(np.ones((2, 40)), out=path)


def test_transform__refuses_an_unknown_policy():
    result = ss.sparsify(np.ones((3, 40)), "sketch", m=8)
    with pytest.raises(ss.ParameterError, match="nonfinite must be one of"):
        result.transform(np.ones((2, 40)), nonfinite="banana")
