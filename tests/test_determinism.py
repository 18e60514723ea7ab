"""The bits of Y depend on (X, method, m, seed) and nothing else."""

import hashlib
from dataclasses import replace

import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr

import drivers
import strategies
import streamsparse as ss
from params import slow_but
from streamsparse.methods.auto import make_plan
from streamsparse.methods.base import Job
from streamsparse.methods.run import run_plan
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution
from streamsparse.running.progress import show_progress
from streamsparse.sources.open import open_source
from streamsparse.storing.zarr_write import write_sparse

N, D, M = 67, 40_000, 200
ARGUMENTS = {
    "sketch": {"m": M},
    "exact": {},
    "sample": {"m": M},
    "select": {"m": M, "algorithm": "balance"},
}


def bits(Y):
    values = Y.toarray() if scipy.sparse.issparse(Y) else Y[:]
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def X():
    # 257 does not divide, rows of very different scale, every eighth entry there: three spans.
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-3, 3, (N, 1))
    return (rng.standard_normal((N, D)) * scale * (rng.random((N, D)) < 0.12)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(X):
    return {
        method: bits(ss.sparsify(X, method, **arguments).Y)
        for method, arguments in ARGUMENTS.items()
    }


@pytest.mark.parametrize("method", ARGUMENTS)
@pytest.mark.parametrize(
    ("chunks", "zarr_format"),
    slow_but(
        [((N, 1000), 2), ((10, 7777), 3), ((1, D), 2), ((1, D), 3), ((N, D), 3), ((64, 333), 2)],
        ((10, 7777), 3),
        ((64, 333), 2),
    ),
)
def test_sparsify__gives_the_same_bits_for_any_zarr_grid(
    X, expected, tmp_path, method, zarr_format, chunks
):
    path = tmp_path / "x.zarr"
    stored = zarr.create_array(
        path, shape=X.shape, chunks=chunks, dtype=X.dtype, zarr_format=zarr_format
    )
    stored[:] = X
    assert bits(ss.sparsify(path, method, **ARGUMENTS[method]).Y) == expected[method]


@pytest.mark.parametrize("method", ARGUMENTS)
def test_sparsify__gives_the_same_bits_for_tall_files(X, expected, tmp_path, method):
    tall = zarr.create_array(tmp_path / "t.zarr", shape=(D, N), chunks=(999, 20), dtype=X.dtype)
    tall[:] = X.T
    result = ss.sparsify(tmp_path / "t.zarr", method, feature_axis=0, **ARGUMENTS[method])
    assert bits(result.Y) == expected[method]


@pytest.mark.parametrize("method", ARGUMENTS)
@pytest.mark.parametrize("kind", ["F", "big-endian", "float64", "npy F"])
def test_sparsify__gives_the_same_bits_for_any_kind_of_dense_source(
    X, expected, tmp_path, method, kind
):
    source = {
        "F": lambda: np.asfortranarray(X),
        "big-endian": lambda: X.astype(">f4"),
        "float64": lambda: X.astype(np.float64),
        "npy F": lambda: saved(tmp_path / "x.npy", np.asfortranarray(X)),
    }[kind]()
    if kind == "float64" and method != "sketch":
        pytest.skip("products of float64 input are float64: another sum than float32's")
    assert bits(ss.sparsify(source, method, **ARGUMENTS[method]).Y) == expected[method]


def saved(path, values):
    np.save(path, values)
    return path


@pytest.mark.parametrize("storage", ["csr", "csc", "dask csr"])
def test_sparsify__sketches_sparse_storage_to_the_bits_of_dense_storage(X, expected, storage):
    assert bits(ss.sparsify(sparse_source(X, storage), "sketch", m=M).Y) == expected["sketch"]


@pytest.mark.parametrize("method", ["exact", "sample", "select"])
@pytest.mark.parametrize("storage", ["csc", "dask csr"])
def test_sparsify__gives_the_same_bits_for_any_sparse_storage(X, method, storage):
    # Columns are scored by the exact Gram matrix, whose tiles differ from those of dense storage.
    reference = bits(ss.sparsify(scipy.sparse.csr_array(X), method, **ARGUMENTS[method]).Y)
    source = sparse_source(X, storage)
    assert bits(ss.sparsify(source, method, **ARGUMENTS[method]).Y) == reference


def sparse_source(X, storage):
    csr = scipy.sparse.csr_array(X)
    if storage == "dask csr":
        return dask.array.from_array(X, chunks=(40, 9000)).map_blocks(scipy.sparse.csr_matrix)
    return csr.asformat(storage)


KINDS = ["memory", "zarr", "shards", "npy", "dask", "csc group", "csr group"]
# A shard of all rows is 0.5 MiB; X is 10 MiB.
BLOCKS = [600_000, 1_700_000, 1 << 30]
THREADS = [1, 2, 4]


@pytest.fixture(scope="module")
def stored(X, tmp_path_factory):
    """X as a source of every kind."""
    folder = tmp_path_factory.mktemp("kinds")
    grid = {"shape": X.shape, "dtype": X.dtype}
    zarr.create_array(folder / "zarr", chunks=(30, 1777), compressors=None, **grid)[:] = X
    shards = zarr.create_array(
        folder / "shards", chunks=(20, 1000), shards=(40, 2000), compressors=None, **grid
    )
    shards[:] = X
    write_sparse(folder / "csc group", scipy.sparse.csc_array(X), chunk_entries=10_000)
    write_sparse(folder / "csr group", scipy.sparse.csr_array(X), chunk_entries=10_000)
    saved(folder / "npy.npy", X)
    return {
        "memory": X,
        "npy": folder / "npy.npy",
        "dask": dask.array.from_array(X, chunks=((30, 37), (1, 1999, 2000) + (2000,) * 18)),
    } | {kind: folder / kind for kind in ("zarr", "shards", "csc group", "csr group")}


@pytest.fixture(scope="module")
def expected_sparse(X, expected):
    # Dense tiles and scattered columns are other sums; the sketch has the same bits.
    csr = scipy.sparse.csr_array(X)
    others = ("exact", "sample", "select")
    return expected | {
        method: bits(ss.sparsify(csr, method, **ARGUMENTS[method]).Y) for method in others
    }


def ways_to_run(kind, method):
    """Three of the nine pairs of threads and blocks, all nine over the kinds and methods."""
    turn = KINDS.index(kind) + list(ARGUMENTS).index(method)
    return [(THREADS[i], BLOCKS[(i + turn) % 3], (1, 4)[(i + turn) % 2]) for i in range(3)]


@pytest.mark.parametrize("method", ARGUMENTS)
@pytest.mark.parametrize("kind", slow_but(KINDS, "memory", "zarr", "csc group"))
def test_run_plan__gives_the_same_bits_for_any_threads_and_blocks_of_any_source(
    stored, expected, expected_sparse, kind, method
):
    wanted = (expected_sparse if kind.endswith("group") else expected)[method]
    arguments = {"algorithm": "auto"} | ARGUMENTS[method]
    request = drivers.request(method=method, **arguments)
    source = open_source(stored[kind], feature_axis=1, missing="error")
    for threads, block_bytes, in_flight in ways_to_run(kind, method):
        plan = make_plan(Facts.of(source), request, threads=threads)
        # All columns of a row are read at once: smaller blocks take a rewriting by columns.
        rebucket = kind == "csr group" and block_bytes < BLOCKS[-1]
        stream = replace(
            plan.stream, block_bytes=block_bytes, in_flight=in_flight, rebucket=rebucket
        )
        with show_progress(False, label="", total=0) as bar:
            job = Job(source, replace(plan, stream=stream), Execution(threads, False, bar), None)
            assert bits(run_plan(job).Y) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["bss", "balance", "auto"])
@pytest.mark.parametrize(
    "arguments",
    [{"m": M}, {"m": N // 2}, {"epsilon": 0.5}, {"m": M, "target": "entries"}],
    ids=str,
)
def test_sparsify__selects_the_same_columns_and_weights_from_any_grid(
    X, tmp_path, algorithm, arguments
):
    stored = zarr.create_array(tmp_path / "x", shape=X.shape, chunks=(10, 7777), dtype=X.dtype)
    stored[:] = X
    whole, cut = (
        ss.sparsify(source, "select", algorithm=algorithm, **{"target": "regularised"} | arguments)
        for source in (X, stored)
    )
    np.testing.assert_array_equal(whole.columns, cut.columns)
    np.testing.assert_array_equal(whole.weights, cut.weights)
    assert bits(whole.Y) == bits(cut.Y)


@pytest.mark.parametrize("memory", ["270 MiB", "320 MiB", "4 GiB"])
def test_sparsify__gives_the_same_bits_for_any_budget(X, expected, tmp_path, memory):
    path = saved(tmp_path / "x.npy", X)
    for method, arguments in ARGUMENTS.items():
        result = ss.sparsify(path, method, memory=memory, **arguments)
        assert bits(result.Y) == expected[method]


@pytest.mark.slow
def test_sparsify__gives_the_same_bits_in_row_bands_on_disk(tmp_path):
    X = strategies.sparse_matrix(4000, 30_000, 0.01)
    write_sparse(tmp_path / "x.zarr", X, chunk_entries=10_000)
    whole = ss.sparsify(X, "sketch", m=2000)
    banded = ss.sparsify(
        tmp_path / "x.zarr", "sketch", m=2000, memory="240 MiB", out=tmp_path / "y.zarr"
    )
    assert banded.plan.stream.bands > 1
    assert banded.plan.stream.passes == 1
    assert bits(banded.Y) == bits(whole.Y)


def test_sparsify__gives_the_same_bits_after_rewriting_by_columns(tmp_path):
    X = strategies.sparse_matrix(300, 200_000, 0.02)
    write_sparse(tmp_path / "x.zarr", X, chunk_entries=10_000)
    whole = ss.sparsify(X, "exact")
    rewritten = ss.sparsify(tmp_path / "x.zarr", "exact", memory="245 MiB")
    assert rewritten.plan.stream.rebucket
    assert bits(rewritten.Y) == bits(whole.Y)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64", "bool"])
@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_sparsify__of_integers_is_exact(dtype, storage):
    X = strategies.integer_matrix(20, 30_000, dtype) * (np.arange(30_000) % 5 == 0)
    X = X.astype(dtype)
    source = X if storage == "dense" else scipy.sparse.csr_array(X)
    Y = ss.sparsify(source, "sketch", m=64, s=4).Y * 2
    np.testing.assert_array_equal(Y, np.round(Y))
    G = X.astype(np.int64) @ X.astype(np.int64).T
    assert ss.certify(source, Y, exact=True).r == G.diagonal().max()


def test_sparsify__golden_bits_of_a_sketch():
    # Integers: no rounding anywhere, so these bits hold on every machine, for ever.
    X = (np.arange(7 * 5000).reshape(7, 5000) * 2654435761 % 1000 - 500).astype(np.int16)
    assert bits(ss.sparsify(X, "sketch", m=64, s=4, seed=2024).Y)[:32] == GOLDEN


GOLDEN = "8153ad0927926edd2e5721f1fea40d5c"
