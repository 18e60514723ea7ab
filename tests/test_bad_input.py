"""Bad input: one documented error and one line each, nothing left behind."""

import json
from pathlib import Path

import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr

import streamsparse as ss
from streamsparse.storing.zarr_write import write_sparse


def group(tmp_path, **changes):
    """A CSC group with one array or attribute replaced."""
    path = tmp_path / "g.zarr"
    X = scipy.sparse.csc_array(np.arange(1.0, 13).reshape(3, 4))
    write_sparse(path, X)
    for name, change in changes.items():
        if name == "shape":
            zarr.open_group(path).attrs["shape"] = change
        else:
            values = np.asarray(change)
            array = zarr.create_array(
                zarr.storage.LocalStore(path),
                name=name,
                shape=values.shape,
                dtype=values.dtype,
                overwrite=True,
            )
            array[:] = values
    return path


def text(tmp_path):
    (tmp_path / "x.txt").write_text("hello")
    return tmp_path / "x.txt"


def zarr_file(tmp_path, values):
    stored = zarr.create_array(
        tmp_path / "x.zarr", shape=values.shape, chunks=(3,) * values.ndim, dtype=values.dtype
    )
    stored[...] = values
    return tmp_path / "x.zarr"


def without_a_chunk(tmp_path):
    path = zarr_file(tmp_path, np.ones((6, 12)))
    (path / "c" / "1" / "2").unlink()
    return path


def truncated(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((4, 100)))
    path = tmp_path / "x.npy"
    path.write_bytes(path.read_bytes()[:-8])
    return path


def pickled_objects(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[{}, 1]], dtype=object), allow_pickle=True)
    return tmp_path / "x.npy"


def object_codec(tmp_path):
    path = tmp_path / "o.zarr"
    path.mkdir()
    (path / ".zarray").write_text(
        json.dumps(
            {
                "zarr_format": 2,
                "shape": [2, 2],
                "chunks": [2, 2],
                "dtype": "<f8",
                "compressor": None,
                "fill_value": 0,
                "order": "C",
                "filters": [{"id": "pickle", "protocol": 5}],
            }
        )
    )
    (path / "0.0").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    return path


def nan_at(value):
    X = np.ones((5, 70))
    X[3, 64] = value
    return X


def dask_unknown():
    x = dask.array.ones((4, 10), chunks=(4, 5))
    return x[:, x.sum(axis=0) > 0]


STRUCTURED = np.zeros((2, 2), [("a", "f4"), ("b", "f4")])
INPUTS = {
    "nothing at the path": (lambda t: t / "none.zarr", ss.SourceNotFoundError, "none.zarr"),
    "a text file": (text, ss.UnsupportedInputError, "x.txt"),
    "an empty folder": (lambda t: t, ss.UnsupportedInputError, "neither a .npy file nor a zarr"),
    "a list": (lambda _: [[1, 2]], ss.UnsupportedInputError, "list"),
    "None": (lambda _: None, ss.UnsupportedInputError, "None"),
    "0-d": (lambda _: np.array(1.0), ss.UnsupportedInputError, "0 dimensions"),
    "1-d": (lambda _: np.ones(3), ss.UnsupportedInputError, "1 dimension"),
    "3-d": (lambda _: np.ones((2, 2, 2)), ss.UnsupportedInputError, "3 dimensions"),
    "3-d zarr": (lambda t: zarr_file(t, np.ones((3, 3, 3))), ss.UnsupportedInputError, "3 dim"),
    "no rows": (lambda _: np.ones((0, 4)), ss.UnsupportedInputError, "empty"),
    "no columns": (lambda _: np.ones((4, 0)), ss.UnsupportedInputError, "empty"),
    "complex": (lambda _: np.ones((2, 3), complex), ss.UnsupportedInputError, "complex128"),
    "text dtype": (lambda _: np.array([["a", "b"]]), ss.UnsupportedInputError, "U1"),
    "objects": (lambda _: np.array([[None]]), ss.UnsupportedInputError, "object"),
    "dates": (lambda _: np.zeros((2, 2), "M8[s]"), ss.UnsupportedInputError, "datetime64"),
    "durations": (lambda _: np.zeros((2, 2), "m8[s]"), ss.UnsupportedInputError, "timedelta64"),
    "structured": (lambda _: STRUCTURED, ss.UnsupportedInputError, "dtype"),
    "long double": (lambda _: np.ones((2, 2), "g"), ss.UnsupportedInputError, "float128"),
    "masked": (lambda _: np.ma.ones((2, 2)), ss.UnsupportedInputError, "masked"),
    "sparse complex": (
        lambda _: scipy.sparse.csr_array(np.ones((2, 2), complex)),
        ss.UnsupportedInputError,
        "complex128",
    ),
    "NaN": (lambda _: nan_at(np.nan), ss.NonFiniteError, "nan at row 3, column 64"),
    "infinity": (lambda _: nan_at(-np.inf), ss.NonFiniteError, "-inf at row 3, column 64"),
    "sparse NaN": (
        lambda _: scipy.sparse.csc_array(nan_at(np.nan)),
        ss.NonFiniteError,
        "nan at row 3, column 64",
    ),
    "squares overflow": (lambda _: np.full((2, 3), 1e200), ss.NonFiniteError, "overflow"),
    "dask with unknown chunks": (
        lambda _: dask_unknown(),
        ss.UnsupportedInputError,
        "compute_chunk",
    ),
    "a chunk is missing": (without_a_chunk, ss.MissingChunkError, "c/1/2"),
    "truncated npy": (truncated, ss.CorruptChunkError, "x.npy"),
    "npy of objects": (pickled_objects, ss.UnsupportedInputError, "object"),
    "pickle codec": (object_codec, ss.UnsupportedInputError, "pickle"),
    "indptr does not begin at 0": (
        lambda t: group(t, indptr=[1, 3, 6, 9, 12]),
        ss.BadStructureError,
        "indptr",
    ),
    "indptr does not end at nnz": (
        lambda t: group(t, indptr=[0, 3, 6, 9, 11]),
        ss.BadStructureError,
        "indptr",
    ),
    "indptr decreases": (
        lambda t: group(t, indptr=[0, 6, 3, 9, 12]),
        ss.BadStructureError,
        "indptr",
    ),
    "indptr too short": (lambda t: group(t, indptr=[0, 6, 12]), ss.BadStructureError, "indptr"),
    "data too short": (lambda t: group(t, data=np.ones(11)), ss.BadStructureError, "data|indices"),
    "index too large": (
        lambda t: group(t, indices=[0, 1, 3] * 4),
        ss.BadStructureError,
        "column 0|indices",
    ),
    "index negative": (
        lambda t: group(t, indices=[-1, 1, 2] * 4),
        ss.BadStructureError,
        "column 0|indices",
    ),
    "float indices": (
        lambda t: group(t, indices=np.array([0.0, 1, 2] * 4)),
        ss.BadStructureError,
        "float64",
    ),
    "duplicates": (lambda t: group(t, indices=[0, 1, 1] * 4), ss.BadStructureError, "column 0"),
    "shape disagrees": (lambda t: group(t, shape=[3, 5]), ss.BadStructureError, "indptr"),
}


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("method", ["sketch", "exact", "sample"])
def test_sparsify__refuses(tmp_path, name, method):
    make, error, message = INPUTS[name]
    X = make(tmp_path)
    before = listing(tmp_path)
    with pytest.raises(error, match=message) as caught:
        ss.sparsify(X, method, out=tmp_path / "y.zarr")
    assert isinstance(caught.value, ss.StreamSparseError)
    assert "\n" not in str(caught.value)
    assert listing(tmp_path) == before


def test_sparsify__reads_missing_chunks_as_the_fill_value_when_told_to(tmp_path):
    path = without_a_chunk(tmp_path)
    X = np.ones((6, 12))
    X[3:6, 6:9] = 0
    filled = ss.sparsify(path, "exact", missing="fill")
    np.testing.assert_array_equal(filled.Y, ss.sparsify(X, "exact").Y)


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


def test_sparsify__refuses_a_small_budget_with_both_numbers_and_the_remedy(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((3000, 100), np.float32))
    for method in ("exact", "sketch", "sample"):
        with pytest.raises(ss.BudgetTooSmallError, match=r"needs .* but the budget is .*; raise"):
            ss.sparsify(tmp_path / "x.npy", method, memory="50 MiB")
    assert listing(tmp_path) == ["x.npy"]


def test_sparsify__refuses_an_output_in_the_way(tmp_path):
    X = zarr_file(tmp_path, np.ones((6, 12)))
    before = listing(tmp_path)
    with pytest.raises(ss.OutputExistsError):
        ss.sparsify(X, out=X)
    with pytest.raises(ss.OutputExistsError):
        ss.sparsify(X, out=X, overwrite=True)
    with pytest.raises(ss.OutputExistsError):
        ss.sparsify(X, out=X / "inside.zarr")
    with pytest.raises(ss.OutputExistsError):
        ss.sparsify(zarr.open_array(X), out=X / "inside.zarr")
    with pytest.raises(ss.StoreError):
        ss.sparsify(X, out=tmp_path / "no" / "folder.zarr")
    assert listing(tmp_path) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_sparsify__leaves_nothing_behind_when_interrupted(tmp_path, monkeypatch, error):
    def interrupted(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("streamsparse.methods.measuring.measure_exactly", interrupted)
    monkeypatch.setattr("streamsparse.api.running.results.finish_writing", interrupted)
    with pytest.raises(error):
        ss.sparsify(np.ones((5, 50)), "sketch", m=8, out=tmp_path / "y.zarr")
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"missing": "ignore"}, "missing must be one of"),
        ({"nonfinite": "ignore"}, "nonfinite must be one of"),
        ({"progress": "always"}, "progress must be one of"),
        ({"m": 51}, "m must be at most d"),
        ({"m": 51, "method": "sample"}, "m must be at most d"),
        ({"strict": 1}, "strict must be True or False"),
        ({"target": "logits"}, "target must be one of"),
        ({"m": 5, "epsilon": 0.5, "method": "sample"}, "m or epsilon"),
        (
            {"method": "sketch", "strict": True, "epsilon": 0.5, "target": "spectral"},
            r"strict needs n \(n \+ 1\) / \(epsilon\^2 delta\) = 12,000 columns, more than d = 50",
        ),
    ],
)
def test_sparsify__names_the_bad_argument(argument, message):
    with pytest.raises(ss.ParameterError, match=message):
        ss.sparsify(np.ones((5, 50)), **argument)


def test_load__refuses_what_is_not_a_complete_result(tmp_path):
    with pytest.raises(ss.SourceNotFoundError):
        ss.load(tmp_path / "none.zarr")
    with pytest.raises(ss.UnsupportedInputError):
        ss.load(zarr_file(tmp_path, np.ones((6, 12))))
    result = ss.sparsify(np.ones((5, 50)), "sketch", m=8, out=tmp_path / "y.zarr")
    metadata = tmp_path / "y.zarr" / "zarr.json"
    content = json.loads(metadata.read_text())
    content["attributes"] = {}
    metadata.write_text(json.dumps(content))
    assert result.Y.shape == (5, 8)
    with pytest.raises(ss.UnsupportedInputError):
        ss.load(tmp_path / "y.zarr")
