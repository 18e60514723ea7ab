"""Dask in, dask out: graphs that compute nothing while they are made, and the same bits as ever."""

import itertools

import cloudpickle
import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse
import zarr
from dask.callbacks import Callback

import streamsparse as ss
from cluster_tools import twice
from params import slow_but

N, D = 40, 60_000
REQUESTS = {
    "exact": {"method": "exact"},
    "sketch": {"method": "sketch", "m": 96},
    "fold": {"method": "sketch", "epsilon": 0.5, "target": "entries"},
    "sample": {"method": "sample", "m": 200},
}
# What is not the same wherever X is read.
HOW = {"seconds", "peak_memory_bytes", "passes", "bytes_read", "integrity"}


@pytest.fixture(scope="module")
def X():
    values = np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)
    values[:, ::7] = 0
    return values / 100


@pytest.fixture(scope="module")
def references(X):
    return {name: ss.sparsify(X, **request) for name, request in REQUESTS.items()}


def assert_same(result, expected):
    assert type(result.Y) is type(expected.Y)
    Y, Y_expected = result.Y, expected.Y
    if scipy.sparse.issparse(Y):
        Y, Y_expected = Y.toarray(), Y_expected.toarray()
    np.testing.assert_array_equal(Y, Y_expected)
    found, wanted = result.certificate.to_dict(), expected.certificate.to_dict()
    assert {k: v for k, v in found.items() if k not in HOW} == {
        k: v for k, v in wanted.items() if k not in HOW
    }


class NothingRuns(Callback):
    """Fails if dask computes anything on this machine."""

    def _start(self, dsk):
        raise AssertionError("computed")


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_lazy_result__has_the_bits_of_an_eager_one(name, scheduler, X, references):
    x = da.from_array(X, chunks=(17, 7_001))
    with NothingRuns():
        lazy = ss.sparsify(x, compute=False, **REQUESTS[name])
    with dask.config.set(scheduler=scheduler):
        assert_same(lazy.compute(), references[name])
        Y, certificate = dask.compute(lazy.Y, lazy.certificate)
    assert certificate.errors == references[name].certificate.errors
    assert Y.shape == references[name].Y.shape


@pytest.mark.parametrize("name", REQUESTS)
def test_lazy_result__is_made_of_tasks_that_may_run_twice(name, X, references):
    lazy = ss.sparsify(da.from_array(X, chunks=(N, 20_000)), compute=False, **REQUESTS[name])
    assert_same(lazy.compute(scheduler=twice(0)), references[name])
    # Of sparse X only one half of G is summed; the other is filled in at the end.
    x = sparse_chunks(X * (X > 0), "csc_array", (N, 20_000))
    lazy = ss.sparsify(x, compute=False, **REQUESTS[name])
    assert_same(lazy.compute(scheduler=twice(0)), ss.sparsify(x, progress=False, **REQUESTS[name]))


@pytest.mark.parametrize("make", [ss.dask.gram, lambda x: ss.dask.sketch(x, 96)])
def test_lazy_arrays__are_made_of_tasks_that_may_run_twice(make, X):
    # Of sparse X only one half of G is summed; the other is filled in at the end.
    lazy = make(sparse_chunks(X * (X > 0), "csc_array", (13, 20_000)))
    np.testing.assert_array_equal(lazy.compute(scheduler=twice(0)), lazy.compute(scheduler="sync"))


@pytest.mark.parametrize("name", ["exact", "sample"])
def test_lazy_result__of_a_path_is_read_when_it_is_computed(name, X, references, tmp_path):
    zarr.create_array(tmp_path / "X.zarr", data=X, chunks=(N, 7_001))
    lazy = ss.sparsify(tmp_path / "X.zarr", runner="dask", compute=False, **REQUESTS[name])
    assert_same(lazy.compute(scheduler="sync"), references[name])
    zarr.open_array(tmp_path / "X.zarr", mode="r+")[0, 0] = 3
    with pytest.raises(ss.SourceChangedError, match="since the graph"):
        lazy.compute(scheduler="sync")


def test_lazy_result__survives_a_pickle(X, references):
    lazy = ss.sparsify(da.from_array(X, chunks=(N, 20_000)), "exact", compute=False)
    # As dask sends graphs.
    sent = cloudpickle.loads(cloudpickle.dumps(lazy))
    assert_same(sent.compute(scheduler="sync"), references["exact"])


def test_lazy_result__has_the_same_key_for_the_same_request(X):
    x = da.from_array(X, chunks=(N, 20_000))
    first, again = (ss.sparsify(x, "sketch", m=96, compute=False).key for _ in range(2))
    other = ss.sparsify(x, "sketch", m=96, seed=1, compute=False).key
    assert first == again != other


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"method": "select", "m": 60}, "column after column"),
        ({"method": "sketch", "m": 96, "out": "Y.zarr"}, "without out"),
        ({"method": "exact", "runner": "local"}, "runner='dask'"),
    ],
)
def test_lazy_result__is_refused_where_it_cannot_be(request_, says, X):
    with pytest.raises(ss.ParameterError, match=says):
        ss.sparsify(da.from_array(X, chunks=(N, 20_000)), compute=False, **request_)


@pytest.mark.parametrize("wrong", [{"runner": "cluster"}, {"compute": 0}])
def test_sparsify__looks_at_how_to_run_before_it_counts_entries(wrong, X):
    def fail(chunk):
        raise AssertionError("X was computed")

    x = sparse_chunks(X, "csr_array", (N, 20_000))
    x = x.map_blocks(fail, dtype=X.dtype, meta=x._meta)
    with pytest.raises(ss.ParameterError, match=next(iter(wrong))):
        ss.sparsify(x, "exact", **wrong)


def test_lazy_result__is_refused_where_whole_columns_do_not_fit():
    x = da.zeros((2_000, 500_000), chunks=(1, 500_000), dtype=np.float32)
    with pytest.raises(ss.ParameterError, match="whole columns of X do not fit"):
        ss.sparsify(x, "sketch", m=512, memory="400 MiB", compute=False)


def sparse_chunks(X, kind, chunks):
    """A dask array of scipy.sparse chunks with the values of X."""
    made = getattr(scipy.sparse, kind)
    return da.from_array(X, chunks=chunks).map_blocks(
        made, dtype=X.dtype, meta=made((0, 0), dtype=X.dtype)
    )


SPARSE = [f"{form}_{what}" for form, what in itertools.product(("csr", "csc"), ("array", "matrix"))]


@pytest.mark.parametrize("kind", slow_but(["dense", *SPARSE], "dense", "csr_array"))
@pytest.mark.parametrize("feature_axis", [1, 0])
def test_sketch_and_gram__are_what_sparsify_makes(kind, feature_axis, X, references):
    stored, chunks = (X, (13, 9_000)) if feature_axis == 1 else (X.T.copy(), (9_000, 13))
    x = da.from_array(stored, chunks=chunks)
    if kind != "dense":
        x = sparse_chunks(stored, kind, chunks)
    with NothingRuns():
        Y = ss.dask.sketch(x, 96, feature_axis=feature_axis)
        G = ss.dask.gram(x, feature_axis=feature_axis)
        # They compose with what the user does.
        both = (2 * Y[:, :N] - G).max()
    assert Y.chunks == ((13, 13, 13, 1), (96,))
    with dask.config.set(scheduler="threads"):
        Y, G, difference = dask.compute(Y, G, both)
    np.testing.assert_array_equal(Y, references["sketch"].Y)
    exact = X.astype(np.float64) @ X.T.astype(np.float64)
    lengths = np.sqrt(exact.diagonal())
    # DESIGN 4: tiles of float32 are off by at most 256 u32, and sums by hardly anything.
    assert (np.abs(G - exact) <= 257 * 2.0**-24 * np.outer(lengths, lengths)).all()
    assert difference == (2 * Y[:, :N] - G).max()


def test_gram__of_integers_is_exact_for_any_chunks(X):
    counts = np.random.default_rng(1).integers(-5, 6, (N, D)).astype(np.int16)
    expected = counts.astype(np.int64) @ counts.T.astype(np.int64)
    for chunks in ((N, D), (7, 4_999), (40, 50_000)):
        G = ss.dask.gram(da.from_array(counts, chunks=chunks)).compute(scheduler="sync")
        np.testing.assert_array_equal(G, expected)


def test_sketch__names_the_value_that_is_not_finite(X):
    values = X.copy()
    values[3, 50_001] = np.nan
    x = da.from_array(values, chunks=(13, 9_000))
    with pytest.raises(ss.NonFiniteError, match="row 3, column 50001"):
        ss.dask.sketch(x, 96).compute(scheduler="sync")
    values[3, 50_001] = 0
    zeroed = ss.dask.sketch(x, 96, nonfinite="zero").compute(scheduler="sync")
    np.testing.assert_array_equal(zeroed, ss.sparsify(values, "sketch", m=96).Y)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda x: ss.dask.sketch(np.zeros((3, 9)), 2), ss.UnsupportedInputError, "dask array"),
        (lambda x: ss.dask.gram("X.zarr"), ss.UnsupportedInputError, "dask array"),
        (lambda x: ss.dask.sketch(x, 0), ss.ParameterError, "m must be"),
        (lambda x: ss.dask.sketch(x, D + 1), ss.ParameterError, "m must be"),
        (lambda x: ss.dask.sketch(x, 96, s=3), ss.ParameterError, "s must be"),
        (lambda x: ss.dask.sketch(x, 96, seed=-1), ss.ParameterError, "seed must be"),
        (lambda x: ss.dask.gram(x, feature_axis=2), ss.ParameterError, "feature_axis"),
        (lambda x: ss.dask.gram(x, nonfinite="drop"), ss.ParameterError, "nonfinite"),
        (lambda x: ss.dask.gram(x[x[:, 0] > 0]), ss.UnsupportedInputError, "unknown size"),
        (lambda x: ss.dask.gram(x.astype(complex)), ss.UnsupportedInputError, "complex"),
        (lambda x: ss.dask.gram(x[0]), ss.UnsupportedInputError, "dimensions"),
    ],
)
def test_lazy_arrays__refuse_at_once(make, error, says, X):
    with pytest.raises(error, match=says):
        make(da.from_array(X, chunks=(N, 20_000)))


@pytest.mark.parametrize("feature_axis", [1, 0])
@pytest.mark.parametrize("how", slow_but(["eager", "lazy"], "lazy"))
def test_chunks_of_whole_rows__are_computed_once_and_cut_by_columns(feature_axis, how):
    n, d, memory = 128, 100_000, "300 MiB"
    X = np.random.default_rng(2).standard_normal((n, d)).astype(np.float32) / 300
    stored, chunks = (X, (32, d)) if feature_axis == 1 else (X.T, (d, 32))
    computed = []

    def seen(chunk):
        computed.append(chunk.shape)
        return chunk

    x = da.from_array(stored, chunks=chunks).map_blocks(seen, meta=np.empty((0, 0), np.float32))
    request = {"method": "exact", "memory": memory, "feature_axis": feature_axis}
    assert ss.plan(x, **request).stream.rebucket
    with dask.config.set(scheduler="threads"):
        if how == "eager":
            result = ss.sparsify(x, **request)
        else:
            result = ss.sparsify(x, compute=False, **request).compute()
    assert len(computed) == 4
    assert_same(result, ss.sparsify(X, "exact"))
