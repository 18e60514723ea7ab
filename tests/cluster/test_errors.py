"""What goes wrong in a task is said here, in the same words as where no task is."""

import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
import scipy.sparse
import zarr
from dask.sizeof import sizeof

import streamsparse as ss
from streamsparse.sources.zarr_sources import ZarrSource

# Fast tests of the same tasks, without a cluster, are in tests/running.
pytestmark = pytest.mark.slow

N, D = 10, 5000


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).standard_normal((N, D)).astype(np.float32)


def error_of(X, runner, method="exact", **options):
    with pytest.raises(ss.StreamSparseError) as caught:
        ss.sparsify(X, method, runner=runner, progress=False, **options)
    return type(caught.value), str(caught.value)


def in_zarr(path, X):
    zarr.create_array(path, shape=X.shape, chunks=(4, 700), dtype=X.dtype)[:] = X
    return path


def spoiled(X, value):
    X = X.copy()
    X[3, 4321] = value
    return X


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("kind", ["zarr", "dask", "dask csr"])
def test_values__that_are_refused_are_named(cluster, narrow, tmp_path, X, kind, value):
    bad = spoiled(X.astype(np.float64), value)
    if kind == "zarr":
        source = in_zarr(tmp_path / "x.zarr", bad)
    else:
        source = da.from_array(bad, chunks=(4, 700))
        if kind == "dask csr":
            source = source.map_blocks(scipy.sparse.csr_array)
    found = error_of(source, "dask")
    assert found == error_of(source, "local")
    assert found[0] is ss.NonFiniteError
    assert "row 3" in found[1]


@pytest.mark.parametrize("how", ["missing", "cut"])
def test_chunks__that_cannot_be_read_are_named(cluster, narrow, tmp_path, X, monkeypatch, how):
    path = in_zarr(tmp_path / "x.zarr", X)
    chunk = path / "c" / "1" / "3"
    if how == "missing":
        chunk.unlink()
        # As if it vanished after the listing.
        monkeypatch.setattr(ZarrSource, "verify", lambda _: None)
    else:
        chunk.write_bytes(chunk.read_bytes()[:-50])
    found = error_of(path, "dask")
    assert found == error_of(path, "local")
    assert found[0] is (ss.MissingChunkError if how == "missing" else ss.CorruptChunkError)


@pytest.mark.parametrize("how", ["shape", "dtype", "class"])
def test_chunks__that_are_not_what_was_announced_are_named(cluster, narrow, X, how):
    def change(block, block_info=None):
        if block_info[0]["chunk-location"] != (1, 2):
            return block
        return {
            "shape": lambda: block[:, :-1],
            "dtype": lambda: block.astype(np.float64),
            "class": lambda: scipy.sparse.csr_array(block),
        }[how]()

    source = da.from_array(X, chunks=(4, 700)).map_blocks(change, dtype=X.dtype, meta=X[:0, :0])
    found = error_of(source, "dask")
    assert found == error_of(source, "local")
    assert "(1, 2)" in found[1] or how == "class"


def test_tasks__that_raise_are_a_store_that_fails(cluster, narrow, X):
    def fail(block, block_info=None):
        if block_info[0]["chunk-location"] == (1, 2):
            raise RuntimeError("the chunk is gone")
        return block

    source = da.from_array(X, chunks=(4, 700)).map_blocks(fail, dtype=X.dtype, meta=X[:0, :0])
    kind, text = error_of(source, "dask")
    assert kind is ss.StoreError
    assert "RuntimeError: the chunk is gone" in text
    assert "summing spans 0 to 10 of dask array" in text


def test_sparsify__refuses_what_workers_cannot_read(X):
    for source in (X, scipy.sparse.csr_array(X), ss.open_source(X)):
        with pytest.raises(ss.ParameterError, match="in the memory of this process"):
            ss.sparsify(source, "exact", runner="dask")
    with pytest.raises(ss.ParameterError, match="runner"):
        ss.sparsify(X, "exact", runner="cluster")


def test_sparsify__refuses_unknown_chunk_sizes(X):
    array = da.from_array(X, chunks=(4, 700))
    unknown = array[:, array[0] > 0]
    with pytest.raises(ss.UnsupportedInputError, match="compute_chunk_sizes"):
        ss.sparsify(unknown, "exact")


FORMATS = ["csr_array", "csc_array", "coo_array", "bsr_array", "dia_array"]


@pytest.mark.parametrize("name", FORMATS)
def test_sizeof__counts_what_sparse_arrays_hold(name):
    import streamsparse.running.worker

    assert streamsparse.running.worker is not None
    array = getattr(scipy.sparse, name)(np.eye(500))
    assert sizeof(array) >= array.data.nbytes >= 4000


def test_sizeof__is_right_where_dask_has_asked_before():
    code = (
        "import scipy.sparse; from dask.sizeof import sizeof\n"
        "X = scipy.sparse.random_array((1000, 1000), density=0.1, format='csc')\n"
        "sizeof(X)\n"
        "import streamsparse.running.worker\n"
        "assert sizeof(X) >= X.data.nbytes + X.indices.nbytes, sizeof(X)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_sizeof__is_right_in_workers_that_had_a_task(cluster, narrow, X):
    ss.sparsify(da.from_array(X, chunks=(4, 700)), "exact", progress=False)

    def measure():
        array = scipy.sparse.csc_array(np.ones((500, 500)))
        return sizeof(array) >= array.data.nbytes

    assert all(cluster.run(measure).values())
