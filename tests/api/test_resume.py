"""A run that was ended goes on: with the same bits, and without making again what was kept."""

import os
import signal
import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

import streamsparse as ss
from drivers import Failing, Interrupting
from params import slow_but
from streamsparse.running import checkpoint, spans, stream
from streamsparse.storing.commit import Workplace
from streamsparse.storing.records import read_facts

N, D = 12, 6000
RUNS = {
    "exact": ("dense", {}),
    "sketch": ("dense", {"m": 32}),
    "sketch to an epsilon": ("dense", {"epsilon": 0.5, "target": "entries"}),
    "sketch of rows": ("rows", {"m": 32, "memory": "206 MiB"}),
    "sample": ("columns", {"m": 40}),
    "select": ("dense", {"m": 40, "algorithm": "balance"}),
    "select columns": ("columns", {"m": 40, "algorithm": "bss"}),
    "select in one pass": ("dense", {"m": 40, "algorithm": "balance", "target": "entries"}),
    "select sparse in one pass": (
        "columns",
        {"m": 40, "algorithm": "balance", "target": "entries"},
    ),
}


@pytest.fixture
def narrow(monkeypatch):
    """Many spans and blocks of a small matrix, kept as soon as they can be."""
    monkeypatch.setattr(spans, "_MIN_WIDTH", 256)
    monkeypatch.setattr(stream, "_MAX_BLOCK_BYTES", 32 << 10)
    monkeypatch.setattr(stream, "_GOOD_BLOCK_BYTES", 32 << 10)
    monkeypatch.setattr(checkpoint, "INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "WORTH_KEEPING_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "_SHARE_OF_TIME", 1e9)


@pytest.fixture(scope="module")
def matrices(tmp_path_factory):
    rng = np.random.default_rng(1)
    dense = rng.standard_normal((N, D)).astype(np.float32)
    sparse = scipy.sparse.random_array((N, D), density=0.3, rng=rng)
    path = tmp_path_factory.mktemp("resume") / "rows.npy"
    np.save(path, rng.integers(-9, 9, (2000, 1500)).astype(np.int8))
    return {"dense": dense, "columns": sparse.tocsc(), "rows": path}


def reduce(X, name, out, **changes):
    method, options = name.split()[0], RUNS[name][1] | changes
    return ss.sparsify(X, method, out=out, progress=False, **options)


def bits(result):
    Y = result.Y.toarray() if scipy.sparse.issparse(result.Y) else result.Y[:]
    columns = () if result.columns is None else tuple(result.columns.tolist())
    weights = b"" if result.weights is None else result.weights.tobytes()
    return Y.tobytes(), columns, weights


def kept(out):
    return sorted(path.name for path in Workplace(out).folder.glob("[cp]*"))


@pytest.mark.parametrize("name", slow_but(RUNS, "exact", "sketch", "sample", "select in one pass"))
def test_resume__goes_on_with_the_same_bits_from_wherever_it_ended(
    tmp_path, narrow, matrices, name
):
    source = ss.open_source(matrices[RUNS[name][0]])
    whole = Failing(source, after=-1)
    first = reduce(whole, name, tmp_path / "whole.zarr")
    expected, total = bits(first), len(whole.reads)
    assert total > 5
    # The blocks of one span and those read ahead are read again, and of rows what is sampled first.
    how, width = first.plan.stream, max(stop - start for _, (start, stop) in whole.reads)
    again = -(-how.span_width // width) + how.in_flight + first.plan.checked_rows * (how.bands > 1)
    for after in range(1, total, max(1, total // 3)):
        out = tmp_path / f"{after}.zarr"
        with pytest.raises(ss.StoreError, match="gone") as caught:
            reduce(Failing(source, after=after), name, out)
        assert ("resume=True" in str(caught.value)) == bool(kept(out))
        assert not out.exists()
        resumed = Failing(source, after=-1)
        assert bits(reduce(resumed, name, out, resume=True)) == expected
        assert len(resumed.reads) <= total - after + again
        assert not Workplace(out).folder.exists()


def test_resume__begins_where_nothing_was_kept_and_returns_what_is_done(tmp_path, matrices):
    np.save(tmp_path / "x.npy", matrices["dense"])
    out = tmp_path / "Y.zarr"
    first = bits(reduce(tmp_path / "x.npy", "sketch", out, resume=True))
    changed = os.stat(out / "zarr.json").st_mtime_ns
    again = reduce(tmp_path / "x.npy", "sketch", out, resume=True)
    assert bits(again) == first
    assert os.stat(out / "zarr.json").st_mtime_ns == changed
    with pytest.raises(ss.OutputExistsError, match="already exists"):
        reduce(tmp_path / "x.npy", "sketch", out, resume=True, seed=1)
    other = reduce(tmp_path / "x.npy", "sketch", out, resume=True, seed=1, overwrite=True)
    assert bits(other) != first


def fail(X, name, out, **changes):
    with pytest.raises(ss.StoreError):
        reduce(Failing(ss.open_source(X), after=6), name, out, **changes)
    assert kept(out)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 1}, "seed = 0, this one 1"),
        ({"m": 31}, "m = 32, this one 31"),
        ({"s": 4}, "s = 8, this one 4"),
        ({"beta": 2.0}, "beta = 1.0, this one 2.0"),
        ({"nonfinite": "zero"}, "nonfinite = 'error', this one 'zero'"),
        ({"missing": "fill"}, "missing = 'error', this one 'fill'"),
        ({"delta": 0.1}, "delta = 0.01, this one 0.1"),
    ],
)
def test_resume__refuses_what_was_asked_for_otherwise(tmp_path, narrow, matrices, changes, named):
    out = tmp_path / "Y.zarr"
    fail(matrices["dense"], "sketch", out)
    before = kept(out)
    with pytest.raises(ss.CheckpointMismatchError, match=named):
        reduce(matrices["dense"], "sketch", out, resume=True, **changes)
    # Nothing is lost by asking.
    assert kept(out) == before
    with pytest.raises(ss.SourceNotFoundError, match=r"did not end.*--resume"):
        ss.load(out)
    reduce(matrices["dense"], "sketch", out, resume=True)


def test_resume__refuses_another_source(tmp_path, narrow, matrices):
    out = tmp_path / "Y.zarr"
    fail(matrices["dense"], "sketch", out)
    changed = matrices["dense"].copy()
    changed[3, 1] += 1
    with pytest.raises(ss.CheckpointMismatchError, match="source"):
        reduce(changed, "sketch", out, resume=True)


@pytest.mark.parametrize("what", ["streamsparse", "hash_version"])
def test_resume__refuses_another_version(tmp_path, narrow, matrices, monkeypatch, what):
    out = tmp_path / "Y.zarr"
    fail(matrices["dense"], "sketch", out)
    name = {"streamsparse": "__version__", "hash_version": "HASH_VERSION"}[what]
    monkeypatch.setattr(f"streamsparse.api.identity.{name}", 99)
    with pytest.raises(ss.CheckpointMismatchError, match=what):
        reduce(matrices["dense"], "sketch", out, resume=True)


def test_resume__may_have_more_memory_and_says_where_bits_may_differ(
    tmp_path, narrow, matrices, monkeypatch
):
    out = tmp_path / "Y.zarr"
    expected = bits(reduce(matrices["dense"], "sketch", tmp_path / "Z.zarr"))
    fail(matrices["dense"], "sketch", out)
    monkeypatch.setattr(checkpoint, "blas_kernels", lambda: "another processor")
    with pytest.warns(ss.StreamSparseWarning, match="other BLAS kernels"):
        result = reduce(matrices["dense"], "sketch", out, resume=True, memory="2 GiB")
    assert bits(result) == expected


@pytest.mark.parametrize("how", ["flip", "cut"])
def test_resume__takes_the_older_slot_where_the_newer_is_damaged(tmp_path, narrow, matrices, how):
    expected = bits(reduce(matrices["dense"], "sketch", tmp_path / "Z.zarr"))
    for damaged in (["newer"], ["newer", "older"]):
        out = tmp_path / f"{len(damaged)}.zarr"
        fail(matrices["dense"], "sketch", out)
        slots = sorted(
            Workplace(out).folder.glob("checkpoint-*"), key=lambda p: read_facts(p)["span"]
        )
        for path in slots[::-1][: len(damaged)]:
            content = bytearray(path.read_bytes())
            content[-100] ^= 1
            path.write_bytes(content if how == "flip" else content[:-100])
        resumed = Failing(ss.open_source(matrices["dense"]), after=-1)
        assert bits(reduce(resumed, "sketch", out, resume=True)) == expected


def test_sparsify__does_not_throw_much_work_away_unasked(tmp_path, narrow, matrices, monkeypatch):
    out = tmp_path / "Y.zarr"
    fail(matrices["dense"], "sketch", out)
    monkeypatch.setattr("streamsparse.api.running.PRECIOUS_SECONDS", 0.0)
    with pytest.raises(ss.OutputExistsError, match=r"resume=True \(--resume\)"):
        reduce(matrices["dense"], "sketch", out, seed=1)
    assert kept(out)
    reduce(matrices["dense"], "sketch", out, seed=1, overwrite=True)
    assert not Workplace(out).folder.exists()


def test_sparsify__keeps_nothing_where_nothing_was_summed(tmp_path, matrices):
    source = Failing(ss.open_source(matrices["dense"]), after=0)
    with pytest.raises(ss.StoreError):
        reduce(source, "exact", tmp_path / "Y.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("has_out", [False, True])
def test_sparsify__a_signal_ends_it_and_says_how_to_go_on(
    tmp_path, narrow, matrices, number, has_out
):
    source, out = ss.open_source(matrices["dense"]), tmp_path / "Y.zarr"
    X = Interrupting(source, number, after=D // 2)
    with pytest.raises(ss.RunInterrupted, match=number.name) as caught:
        ss.sparsify(X, "sketch", m=32, out=out if has_out else None, progress=False)
    assert (caught.value.number, caught.value.has_checkpoint) == (number, has_out)
    assert ("resume=True" in str(caught.value)) == has_out
    if has_out:
        expected = bits(reduce(source, "sketch", tmp_path / "Z.zarr"))
        assert bits(reduce(source, "sketch", out, resume=True)) == expected


def test_sparsify__a_signal_in_the_dense_stage_leaves_the_pass_kept(
    tmp_path, narrow, matrices, monkeypatch
):
    out, X = tmp_path / "Y.zarr", ss.open_source(matrices["dense"])
    expected = bits(reduce(X, "exact", tmp_path / "Z.zarr"))

    def interrupted(*_args, **_kwargs):
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the signal was not heard")

    with monkeypatch.context() as patched:
        patched.setattr("streamsparse.methods.exact.eigenpairs", interrupted)
        with pytest.raises(ss.RunInterrupted) as caught:
            reduce(X, "exact", out)
    assert caught.value.has_checkpoint
    resumed = Failing(X, after=0)
    # Nothing of X is read again, and that took no time.
    result = reduce(resumed, "exact", out, resume=True)
    assert bits(result) == expected
    assert [done for _, done in result.timeline] == [0, 0]


@pytest.mark.parametrize("seed", [0, 1])
def test_resume__after_a_death_between_the_two_renames_of_a_replacement(tmp_path, matrices, seed):
    np.save(tmp_path / "x.npy", matrices["dense"])
    out, place = tmp_path / "Y.zarr", Workplace(tmp_path / "Y.zarr")
    first = bits(reduce(tmp_path / "x.npy", "sketch", out))
    place.folder.mkdir()
    out.rename(place.folder / "replaced")
    if seed:
        # What is there again is of another run: nothing is read before that is said.
        with pytest.raises(ss.OutputExistsError):
            reduce(tmp_path / "x.npy", "sketch", out, resume=True, seed=seed)
    else:
        assert bits(reduce(tmp_path / "x.npy", "sketch", out, resume=True)) == first
    assert bits(ss.load(out)) == first
    assert not place.folder.exists()


def test_sparsify__refuses_a_second_writer(tmp_path, matrices):
    out = tmp_path / "Y.zarr"
    with Workplace(out).entered(), pytest.raises(ss.OutputBusyError, match="is locked"):
        reduce(matrices["dense"], "exact", out)
    reduce(matrices["dense"], "exact", out)


def test_sparsify__refuses_a_source_that_was_written_to_meanwhile(tmp_path, matrices):
    path, out = tmp_path / "x.npy", tmp_path / "Y.zarr"
    np.save(path, matrices["dense"])
    content = path.read_bytes()

    class Writing(Failing):
        def read(self, rows, columns):
            if not self.reads:
                # The same values, but nobody can know that. In place: others read meanwhile.
                with path.open("r+b") as file:
                    file.write(content)
            return super().read(rows, columns)

    with pytest.raises(ss.SourceChangedError, match="was written to"):
        reduce(Writing(ss.open_source(path), after=-1), "sketch", out)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npy"]


def test_sparsify_pair__resumes_too(tmp_path, narrow, matrices):
    Q, K = matrices["dense"][:5], matrices["dense"][5:]
    options = {"method": "sketch", "m": 32, "progress": False}
    expected = bits(ss.sparsify_pair(Q, K, out=tmp_path / "Z.zarr", **options))
    out = tmp_path / "Y.zarr"
    with pytest.raises(ss.StoreError):
        ss.sparsify_pair(Failing(ss.open_source(Q), after=6), K, out=out, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bits(ss.sparsify_pair(Q, K, out=out, resume=True, **options)) == expected


def test_place_of_a_pass__is_part_of_the_plan():
    # What is compared must know every field of a plan that can change a bit.
    X = np.ones((4, 500))
    plan = ss.plan(X, "sketch", m=8)
    assert plan.identity() != replace(plan, seed=3).identity()
    assert plan.identity() == replace(plan, memory_budget=1, seconds=0.0).identity()


def test_resume__never_takes_the_sums_of_other_rows(tmp_path, monkeypatch):
    # Uneven rows: where bands end follows from the size of blocks, which memory decides.
    rng = np.random.default_rng(0)
    counts = np.where(np.arange(4000) % 7 == 0, 1500, 200)
    counts[1000:1400] = 2500
    indices = np.concatenate([np.sort(rng.choice(3000, k, replace=False)) for k in counts])
    data = rng.integers(1, 9, indices.size).astype(np.int8)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    X = ss.open_source(scipy.sparse.csr_array((data, indices, indptr), shape=(4000, 3000)))
    monkeypatch.setattr(spans, "_MIN_WIDTH", 256)
    out, options, memories = tmp_path / "Y.zarr", {"m": 64, "progress": False}, [269312, 271360]
    plans = [ss.plan(X, "sketch", m=64, memory=kib << 10) for kib in memories]
    assert plans[0].identity() == plans[1].identity()
    bands = [X.bands(plan.stream.band_rows, plan.stream.block_bytes)[2] for plan in plans]
    assert bands == [(1273, 2273), (1299, 2299)]
    expected = bits(ss.sparsify(X, "sketch", out=tmp_path / "Z.zarr", **options))

    def keep_one(self, place, sums):
        if place.band == 2:
            self._write_slot(place, sums.span, sums.save(), check=lambda: None)
            raise ss.StoreError("the store is gone")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.Checkpoints, "offer", keep_one)
        with pytest.raises(ss.StoreError, match="gone"):
            ss.sparsify(X, "sketch", memory=memories[0] << 10, out=out, **options)
    assert kept(out)
    with pytest.raises(ss.CheckpointMismatchError, match=r"row_bands.*follow from memory"):
        ss.sparsify(X, "sketch", memory=memories[1] << 10, out=out, resume=True, **options)
    again = ss.sparsify(X, "sketch", memory=memories[0] << 10, out=out, resume=True, **options)
    assert bits(again) == expected


def test_sparsify__refuses_before_it_reads_where_an_old_result_is_put_back(tmp_path, matrices):
    out, X = tmp_path / "Y.zarr", matrices["dense"]
    before = bits(reduce(X, "sketch", out))
    # As a run with overwrite leaves it that was killed between the two renames.
    Workplace(out).folder.mkdir()
    out.rename(Workplace(out).folder / "replaced")
    for options in ({}, {"resume": True}):
        with pytest.raises(ss.OutputExistsError):
            reduce(Failing(ss.open_source(X), after=0), "sketch", out, **options)
    assert bits(ss.load(out)) == before
    assert not Workplace(out).folder.exists()


def test_resume__overwrites_a_damaged_result_where_it_may(tmp_path, matrices):
    np.save(tmp_path / "x.npy", matrices["dense"])
    out = tmp_path / "Y.zarr"
    first = bits(reduce(tmp_path / "x.npy", "sketch", out))
    (out / "Y" / "c" / "0" / "0").unlink()
    with pytest.raises(ss.MissingChunkError):
        reduce(tmp_path / "x.npy", "sketch", out, resume=True)
    assert bits(reduce(tmp_path / "x.npy", "sketch", out, resume=True, overwrite=True)) == first


def test_sparsify__overwrite_begins_again_over_records_that_cannot_be_read(tmp_path, matrices):
    out = tmp_path / "Y.zarr"
    (Workplace(out).folder / "checkpoint-a").mkdir(parents=True)
    reduce(matrices["dense"], "sketch", out, overwrite=True)
    assert not Workplace(out).folder.exists()


@pytest.mark.parametrize("name", ["sample", "select"])
def test_resume__with_other_kernels_makes_later_passes_again(
    tmp_path, narrow, matrices, monkeypatch, name
):
    X = ss.open_source(matrices[RUNS[name][0]])
    whole = Failing(X, after=-1)
    expected, out = bits(reduce(whole, name, tmp_path / "Z.zarr")), tmp_path / "Y.zarr"
    one_pass = len(whole.reads) // 2
    with pytest.raises(ss.StoreError):
        reduce(Failing(X, after=one_pass + one_pass // 2), name, out)
    assert {"pass-0-band-0"} < set(kept(out))
    monkeypatch.setattr(checkpoint, "blas_kernels", lambda: "another processor")
    resumed = Failing(X, after=-1)
    with pytest.warns(ss.StreamSparseWarning, match="other BLAS kernels"):
        assert bits(reduce(resumed, name, out, resume=True)) == expected
    assert len(resumed.reads) == one_pass


def test_resume__warns_of_dask_whose_values_nobody_compares(tmp_path, narrow, matrices):
    import dask.array as da

    X, out = da.from_array(matrices["dense"], chunks=(N, 500)), tmp_path / "Y.zarr"
    # Dask sums the 24 spans in two waves; of 13 chunks read by then, one is read in both.
    with pytest.raises(ss.StoreError):
        reduce(Failing(ss.open_source(X), after=10), "sketch", out, m=8)
    with pytest.warns(ss.StreamSparseWarning, match="known by its name alone"):
        reduce(X, "sketch", out, resume=True, m=8)
    # Nothing to say where nothing is gone on with.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reduce(X, "sketch", tmp_path / "Z.zarr", resume=True, m=8)


def test_resume__takes_the_older_slot_where_the_newer_cannot_be_read(
    tmp_path, narrow, matrices, monkeypatch
):
    expected = bits(reduce(matrices["dense"], "sketch", tmp_path / "Z.zarr"))
    out = tmp_path / "Y.zarr"
    fail(matrices["dense"], "sketch", out)
    slots = Workplace(out).folder.glob("checkpoint-*")
    newest = max(slots, key=lambda path: read_facts(path)["span"])
    read = checkpoint.read_record

    def failing(path):
        if path == newest:
            raise ss.StoreError(f"reading {path} failed: Input/output error")
        return read(path)

    monkeypatch.setattr(checkpoint, "read_record", failing)
    assert bits(reduce(matrices["dense"], "sketch", out, resume=True)) == expected


def test_resume__where_another_result_is_names_what_differs(tmp_path):
    X = np.random.default_rng(0).standard_normal((6, 200))
    ss.sparsify(X, "sketch", m=16, out=tmp_path / "y.zarr")
    with pytest.raises(ss.OutputExistsError, match="another run: it has seed = 0, this one 5"):
        ss.sparsify(X, "sketch", m=16, seed=5, out=tmp_path / "y.zarr", resume=True)
