"""A pass gives the same bits as tasks of dask, whoever runs them, and the same certificate."""

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import streamsparse as ss
from cluster_tools import everything, small_cluster
from streamsparse.storing.zarr_write import write_sparse

# Fast tests of the same tasks, without a cluster, are in tests/running.
pytestmark = pytest.mark.slow

N, D = 24, 9000
METHODS = {
    "exact": {},
    "sketch": {"m": 40},
    "sketch to an epsilon": {"epsilon": 0.5, "target": "entries"},
    "sample": {"m": 50},
    "select": {"m": 50, "algorithm": "balance"},
}
KINDS = [
    *("zarr", "shards", "csc group", "csr group"),
    *("dask", "dask tall", "dask csr_matrix", "dask csc_matrix", "dask csr_array"),
]


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-3, 3, (N, 1))
    return (rng.standard_normal((N, D)) * scale * (rng.random((N, D)) < 0.2)).astype(np.float32)


@pytest.fixture(scope="module")
def sources(X, narrow, tmp_path_factory):
    """X in all the ways that workers can get at it; chunks divide no span."""
    folder = tmp_path_factory.mktemp("stored")
    grid = {"shape": X.shape, "dtype": X.dtype}
    zarr.create_array(folder / "zarr", chunks=(10, 700), **grid)[:] = X
    zarr.create_array(folder / "shards", chunks=(8, 500), shards=(16, 1000), **grid)[:] = X
    write_sparse(folder / "csc group", scipy.sparse.csc_array(X), chunk_entries=3000)
    write_sparse(folder / "csr group", scipy.sparse.csr_array(X), chunk_entries=3000)
    ragged = ((7, 17), (1, 999, 2000, 13, 87) + (1475,) * 4)
    found = {kind: folder / kind for kind in KINDS[:4]}
    found["dask"] = da.from_array(X, chunks=ragged)
    found["dask tall"] = da.from_array(np.asfortranarray(X).T, chunks=ragged[::-1])
    for kind in KINDS[6:]:
        found[kind] = found["dask"].map_blocks(getattr(scipy.sparse, kind.split()[1]))
    return found


def reduce(sources, kind, name, runner):
    method, options = name.split()[0], METHODS[name] | {"feature_axis": int(kind != "dask tall")}
    return ss.sparsify(sources[kind], method, runner=runner, progress=False, **options)


@pytest.fixture(scope="module")
def expected(sources):
    """What this process makes of each source, once."""
    made = {}

    def find(kind, name):
        if (kind, name) not in made:
            with dask.config.set(scheduler="synchronous"):
                made[kind, name] = everything(reduce(sources, kind, name, "local"))
        return made[kind, name]

    return find


# Each kind of source once, and each method at least once.
FEW = [(kind, list(METHODS)[k % len(METHODS)]) for k, kind in enumerate(KINDS)]
ALL = [(kind, name) for kind in KINDS for name in METHODS]
REST = [pytest.param(*pair, marks=pytest.mark.slow) for pair in ALL if pair not in FEW]


@pytest.mark.parametrize(("kind", "name"), [*FEW, *REST])
def test_sparsify__gives_the_same_on_a_cluster(cluster, sources, expected, kind, name):
    assert everything(reduce(sources, kind, name, "dask")) == expected(kind, name)


@pytest.mark.parametrize(
    ("kind", "name", "scheduler"),
    [
        *((*pair, scheduler) for pair in FEW for scheduler in ("synchronous", "threads")),
        *(pytest.param(*rest.values, "threads", marks=pytest.mark.slow) for rest in REST),
    ],
)
def test_sparsify__gives_the_same_on_the_schedulers_of_one_machine(
    sources, expected, scheduler, kind, name
):
    with dask.config.set(scheduler=scheduler):
        assert everything(reduce(sources, kind, name, "dask")) == expected(kind, name)


@pytest.mark.slow
# Every wave starts processes anew.
@pytest.mark.parametrize(("kind", "name"), FEW[::3])
def test_sparsify__gives_the_same_in_processes(sources, expected, kind, name):
    with dask.config.set(scheduler="processes", num_workers=2):
        assert everything(reduce(sources, kind, name, "dask")) == expected(kind, name)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "threads"), [(1, 2), (2, 2), (3, 1), (5, 1)])
def test_sparsify__gives_the_same_with_any_workers(sources, expected, workers, threads):
    with small_cluster(workers=workers, threads=threads):
        for kind, name in FEW:
            assert everything(reduce(sources, kind, name, "dask")) == expected(kind, name)


def test_sparsify__takes_the_default_of_dask_for_dask_arrays_alone(sources, monkeypatch):
    used = []

    def spy(dsk, keys, **settings):
        used.append(keys)
        return dask.get(dsk, keys, **settings)

    with dask.config.set(scheduler=spy):
        ss.sparsify(sources["zarr"], "exact", progress=False)
        assert not used
        ss.sparsify(sources["dask"], "exact", progress=False)
        assert any("streamsparse" in str(keys) for keys in used)
        used.clear()
        ss.sparsify(sources["dask"], "exact", runner="local", progress=False)
        assert not any("streamsparse" in str(keys) for keys in used)


def chunks(length):
    """Chunks of any sizes that cover a length."""
    return st.lists(st.integers(1, length - 1), max_size=8).map(
        lambda edges: tuple(np.diff([0, *sorted({*edges, length})]).tolist())
    )


@pytest.mark.parametrize("kind", ["dense", "csr_matrix", "csc_array"])
@pytest.mark.parametrize("name", ["exact", "sketch"])
def test_sparsify__gives_the_same_for_any_chunks(X, narrow, kind, name):
    few = X[:, :3000]
    whole = few if kind == "dense" else getattr(scipy.sparse, kind)(few)
    expected = everything(reduce({"": whole}, "", name, "local"))

    @settings(max_examples=8)
    @given(rows=chunks(N), columns=chunks(3000))
    def check(rows, columns):
        array = da.from_array(few, chunks=(rows, columns))
        if kind != "dense":
            array = array.map_blocks(getattr(scipy.sparse, kind))
        assert everything(reduce({"": array}, "", name, "auto")) == expected

    with dask.config.set(scheduler="synchronous"):
        check()


def test_calls__share_no_key_though_source_and_plan_are_the_same():
    # What tasks are given follows from more: here from the Y that is checked.
    seen = []

    def noting(dsk, keys, **settings):
        graph = dsk.__dask_graph__() if hasattr(dsk, "__dask_graph__") else dsk
        seen[-1] |= {str(key) for key in graph}
        return dask.get(dsk, keys, **settings)

    x = da.from_array(np.ones((300, 2000), np.float32), chunks=(300, 700))
    for seed in (0, 1):
        Y = np.random.default_rng(seed).standard_normal((300, 310))
        seen.append(set())
        with dask.config.set(scheduler=noting):
            ss.certify(x, Y, spectral=1, progress=False)
    ours = [{key for key in keys if key.startswith("streamsparse-span")} for keys in seen]
    assert all(ours)
    assert not ours[0] & ours[1]


@pytest.mark.parametrize("kind", ["zarr", "csc group", "npy"])
def test_sparsify__of_a_relative_path_is_read_in_other_directories(
    sources, tmp_path, monkeypatch, kind
):
    path = tmp_path / "x.npy" if kind == "npy" else sources[kind]
    if kind == "npy":
        np.save(path, np.ones((5, 4000), np.float32))

    def elsewhere(dsk, keys, **settings):
        monkeypatch.chdir("/")
        return dask.get(dsk, keys, **settings)

    monkeypatch.chdir(path.parent)
    wanted = ss.sparsify(path.name, "sketch", m=40, progress=False).Y
    with dask.config.set(scheduler=elsewhere):
        found = ss.sparsify(path.name, "sketch", m=40, progress=False, runner="dask").Y
    np.testing.assert_array_equal(found, wanted)
