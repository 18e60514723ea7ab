"""A run shared out to processes that know nothing of each other has the bits of one."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import zarr
from hypothesis import example, given
from hypothesis import strategies as st

import streamsparse as ss
from drivers import Interrupting, Watched, flip_byte
from params import slow_but
from streamsparse.api import running, summing
from streamsparse.methods import exact_plan, sample_plan, sketch_plan
from streamsparse.methods.auto import make_plan
from streamsparse.running import stream
from streamsparse.running.shares import columns_of, share_of
from streamsparse.running.spans import cover
from streamsparse.storing.commit import Workplace
from streamsparse.storing.zarr_write import write_sparse

N, D = 12, 6000
# Name: file, method, parameters.
RUNS = {
    "exact": ("dense.zarr", "exact", {}),
    "auto": ("dense.zarr", "auto", {}),
    "sketch": ("x.npy", "sketch", {"m": 32}),
    "sketch to an epsilon": ("dense.zarr", "sketch", {"epsilon": 0.5, "target": "entries"}),
    "sketch in bands": ("rows.zarr", "sketch", {"m": 32}),
    "sketch in bands to an epsilon": (
        "rows.zarr",
        "sketch",
        {"epsilon": 0.9, "target": "entries"},
    ),
    "sketch in bands of columns": ("rows-csc.zarr", "sketch", {"m": 32}),
    "sketch in bands of sparse rows": ("rows-csr.zarr", "sketch", {"m": 32}),
    "exact of sparse columns": ("columns.zarr", "exact", {}),
    "sketch of sparse columns": ("columns.zarr", "sketch", {"m": 32}),
    "sketch of sparse rows": ("csr.zarr", "sketch", {"m": 32}),
    "tall": ("tall.npy", "sketch", {"m": 32, "feature_axis": 0}),
}
# What another run of the same bits may have of its own.
VARIES = ("seconds", "peak_memory_bytes")


@pytest.fixture
def narrow(monkeypatch):
    """Many spans and blocks of a small matrix."""
    for module in (exact_plan, sketch_plan, sample_plan):
        monkeypatch.setattr(module, "span_width", lambda **_: 256)
    monkeypatch.setattr(stream, "_MAX_BLOCK_BYTES", 32 << 10)
    monkeypatch.setattr(stream, "_GOOD_BLOCK_BYTES", 32 << 10)


@pytest.fixture
def banded(request, narrow, monkeypatch):
    """Three bands of rows, where the name of the run asks for them."""
    if "bands" not in request.node.name:
        return

    def in_bands(*args, **kwargs):
        plan = make_plan(*args, **kwargs)
        how = replace(plan.stream, bands=3, band_rows=100)
        return replace(plan, stream=how, probes=0)

    for module in (running, summing):
        monkeypatch.setattr(module, "make_plan", in_bands)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng, path = np.random.default_rng(1), tmp_path_factory.mktemp("parts")
    dense = rng.standard_normal((N, D)).astype(np.float32)
    np.save(path / "x.npy", dense)
    np.save(path / "tall.npy", np.ascontiguousarray(dense.T))
    array = zarr.create_array(path / "dense.zarr", shape=(N, D), chunks=(N, 700), dtype="f4")
    array[:] = dense
    sparse = scipy.sparse.random_array((N, D), density=0.3, rng=rng)
    write_sparse(path / "columns.zarr", sparse.tocsc(), chunk_entries=1000)
    write_sparse(path / "csr.zarr", sparse.tocsr(), chunk_entries=1000)
    rows = rng.integers(-9, 9, (300, 1500)).astype(np.int8)
    array = zarr.create_array(path / "rows.zarr", shape=rows.shape, chunks=(50, 140), dtype="i1")
    array[:] = rows
    few = rows * (rows > 5)
    write_sparse(path / "rows-csc.zarr", scipy.sparse.csc_array(few), chunk_entries=5000)
    write_sparse(path / "rows-csr.zarr", scipy.sparse.csr_array(few), chunk_entries=5000)
    return path


def sum_parts(X, method, count, where, *, after=None, numbers=None, **options):
    """Sum all parts of so many, or those of the given numbers; return their paths."""
    paths = []
    for number in numbers or range(1, count + 1):
        paths.append(where / f"{'first' if after is None else 'second'}-{count}-{number}")
        ss.reduce_part(
            X, paths[-1], method, part=(number, count), after=after, progress=False, **options
        )
    return paths


def bits(result):
    Y = result.Y.toarray() if scipy.sparse.issparse(result.Y) else result.Y[:]
    columns = () if result.columns is None else tuple(result.columns.tolist())
    certificate = {k: v for k, v in result.certificate.to_dict().items() if k not in VARIES}
    curve = [point.to_dict() for point in result.curve]
    return Y.tobytes(), columns, json.dumps(certificate), json.dumps(curve)


@pytest.mark.parametrize("name", slow_but(RUNS, "exact", "sketch", "exact of sparse columns"))
def test_merge__has_the_bits_and_the_certificate_of_one_run(tmp_path, banded, folder, name):
    file, method, options = RUNS[name]
    X = folder / file
    whole = ss.sparsify(X, method, out=tmp_path / "whole.zarr", progress=False, **options)
    counts = {1, 2, 3, 7} if name in {"exact", "sketch in bands"} else {2, 7}
    for count in sorted({min(count, whole.plan.stream.spans) for count in counts}):
        paths = sum_parts(X, method, count, tmp_path, **options)
        np.random.default_rng(count).shuffle(paths)
        out = tmp_path / f"Y{count}.zarr"
        merged = ss.merge(paths, out, progress=False)
        assert bits(merged) == bits(whole)
        assert bits(ss.load(out)) == bits(whole)
        # Where Y is not written the plan is still that of a run that writes.
        if whole.plan.stream.bands == 1 and count == 2:
            in_memory = ss.sparsify(X, method, progress=False, **options)
            assert bits(ss.merge(paths, progress=False)) == bits(in_memory)
    assert sorted(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("options", [{"m": 40}, {"epsilon": 0.9, "target": "entries"}])
@pytest.mark.parametrize("file", slow_but(["dense.zarr", "columns.zarr"], "columns.zarr"))
def test_merge__of_two_passes_has_the_bits_of_one_run(
    tmp_path, narrow, folder, monkeypatch, file, options
):
    X = folder / file
    whole = ss.sparsify(X, "sample", out=tmp_path / "whole.zarr", progress=False, **options)
    first = ss.merge(sum_parts(X, "sample", 3, tmp_path, **options), tmp_path / "first")
    assert (first.scan, first.scans, first.number, first.count) == (1, 2, 1, 1)
    second = sum_parts(X, "sample", 5, tmp_path, after=first.path, **options)
    merged = ss.merge(second[::-1], tmp_path / "Y.zarr", progress=False)
    assert bits(merged) == bits(whole)
    with pytest.raises(ss.PartMismatchError, match=r"pass = 2, the other 1|pass = 1, the other 2"):
        ss.merge([second[0], tmp_path / "first-3-2"], tmp_path / "Z.zarr")
    with pytest.raises(ss.PartMismatchError, match="no first pass"):
        ss.reduce_part(
            X, tmp_path / "p", "sample", part=(1, 2), after=whole_part(second, tmp_path), **options
        )

    monkeypatch.setattr("streamsparse.api.part_set.blas_kernels", lambda: "another")
    with pytest.raises(ss.PartMismatchError, match="other scores of columns"):
        ss.merge(second, tmp_path / "Z.zarr")


def whole_part(second, tmp_path):
    """A part of the second pass that has all of it."""
    facts = json.loads(json.dumps(ss.api.part_set.open_part(second[0]).facts))
    plan = ss.Plan.from_dict(facts["plan"])
    from streamsparse.storing.part_store import PartWriter

    writer = PartWriter(tmp_path / "forged", "key", check=lambda: None)
    writer.finish(facts | {"spans": [0, plan.stream.spans], "number": 1, "count": 1})
    return tmp_path / "forged"


# Where shares of 32 or more begin on multiples of 16: the largest may be too large.
@example(76, 2)
@given(st.integers(1, 5000), st.integers(1, 100) | st.integers(1, 5000))
def test_share_of__every_span_is_in_one_part_and_none_is_much_larger(count, n):
    n = min(n, count)
    shares = [share_of(k, n, spans=count) for k in range(1, n + 1)]
    assert (shares[0][0], shares[-1][1]) == (0, count)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(shares))
    sizes = [stop - start for start, stop in shares]
    assert min(sizes) >= 1
    assert max(sizes) <= -(-count // n) * (1 + 1 / 8) + 1
    for share in shares:
        covered = [node.spans for node in cover(*share)]
        assert [start for start, _ in covered] == [share[0], *(stop for _, stop in covered[:-1])]
        assert covered[-1][1] == share[1]


def test_share_of__a_part_of_many_spans_holds_few_sums():
    most = max(len(cover(*share_of(k, 10, spans=4096))) for k in range(1, 11))
    assert most <= 2 * 15
    assert max(len(cover(*share_of(k, 30, spans=4096))) for k in range(1, 31)) <= 10


def test_reduce_part__reads_its_own_columns_alone(tmp_path, narrow, folder):
    for file, method, options in (RUNS["exact"], RUNS["sketch"]):
        source = Watched(ss.open_source(folder / file))
        for number in (1, 2, 3):
            source.reads.clear()
            path = tmp_path / f"{method}-{number}"
            part = ss.reduce_part(source, path, method, part=(number, 3), progress=False, **options)
            first, stop = columns_of(source, part.spans, part.plan.stream.span_width)
            assert (source.reads[0][1][0], source.reads[-1][1][1]) == (first, stop)
            assert source.cells_read == N * (stop - first)
            assert first <= part.columns[0] < part.columns[1] <= stop


def test_reduce_part__reads_in_bands_of_sampled_rows_its_own_columns_alone(
    tmp_path, banded, folder
):
    source = Watched(ss.open_source(folder / "rows.zarr"))
    part = ss.reduce_part(source, tmp_path / "p", "sketch", m=32, part=(2, 3), progress=False)
    first, stop = columns_of(source, part.spans, part.plan.stream.span_width)
    assert 0 < first < stop < 1500
    assert all(first <= a < b <= stop for _, (a, b) in source.reads)
    # The sampled rows once more, first.
    assert 300 * (stop - first) < source.cells_read <= 600 * (stop - first)


@pytest.mark.parametrize("name", ["exact", "sketch in bands"])
def test_merge__reads_nothing_of_X(tmp_path, banded, folder, name):
    file, method, options = RUNS[name]
    paths = sum_parts(folder / file, method, 2, tmp_path, **options)
    source = Watched(ss.open_source(folder / file))
    ss.merge(paths, tmp_path / "Y.zarr", source=source, progress=False)
    assert source.reads == []


def test_merge__of_parts_of_different_numbers_that_fit(tmp_path, narrow, folder):
    X, expected = folder / "x.npy", bits(ss.sparsify(folder / "x.npy", "exact", progress=False))
    # 24 spans.
    paths = sum_parts(X, "exact", 2, tmp_path, numbers=[1])
    paths += sum_parts(X, "exact", 4, tmp_path, numbers=[3, 4])
    assert bits(ss.merge(paths)) == expected


@pytest.fixture
def two(tmp_path, narrow, folder):
    """Both parts of a sketch, beside a copy of its source."""
    np.save(tmp_path / "x.npy", np.load(folder / "x.npy"))
    return sum_parts(tmp_path / "x.npy", "sketch", 2, tmp_path, m=32)


def test_merge__refuses_what_is_there_twice(tmp_path, two):
    with pytest.raises(ss.PartMismatchError, match=r"part 1/2\).*part 1/2\) both have span 0"):
        ss.merge([*two, two[0]])
    other = sum_parts(tmp_path / "x.npy", "sketch", 3, tmp_path, numbers=[2], m=32)
    with pytest.raises(ss.PartMismatchError, match=r"1/2.*2/3.*both have span 8; leave one"):
        ss.merge([*two, *other])


def test_merge__sees_one_span_too_many_and_one_too_few(tmp_path, two):
    # Of 24 spans: [0, 12) and [11, 24), then [0, 11) and [12, 24).
    def part(number, count):
        return sum_parts(tmp_path / "x.npy", "sketch", count, tmp_path, numbers=[number], m=32)[0]

    ends = {share_of(1, count, spans=24)[1]: count for count in range(2, 25)}
    lone = part(12, 24)
    assert share_of(12, 24, spans=24) == (11, 12)
    with pytest.raises(ss.PartMismatchError, match="both have span 11"):
        ss.merge([*two, lone])
    eight, sixth = part(1, ends[8]), part(3, 6)
    assert share_of(3, 6, spans=24) == (8, 12)
    with pytest.raises(ss.PartMismatchError, match="spans 11 to 12 of 24"):
        ss.merge([eight, *(part(k, 24) for k in (9, 10, 11)), two[1]])
    assert bits(ss.merge([eight, sixth, two[1]])) == bits(ss.merge(two))


def test_merge__refuses_a_gap_and_names_what_is_missing(tmp_path, two):
    with pytest.raises(ss.PartMismatchError, match=r"spans 12 to 24 of 24 .*; missing: 2/2"):
        ss.merge(two[:1])
    with pytest.raises(ss.PartMismatchError, match=r"spans 0 to 12 of 24 .*0 to 3,072.*: 1/2"):
        ss.merge(two[1:])
    many = sum_parts(tmp_path / "x.npy", "sketch", 20, tmp_path, numbers=[20], m=32)
    with pytest.raises(ss.PartMismatchError, match=r"missing: 1/20, .*8/20 and 11 more"):
        ss.merge(many)
    with pytest.raises(ss.PartMismatchError, match="different numbers of parts"):
        ss.merge([two[0], *many])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"m": 31}, "m = 31, the other 32|m = 32, the other 31"),
        ({"seed": 1}, "seed"),
        ({"s": 4}, "s = 4"),
        ({"beta": 2.0}, "beta"),
        ({"delta": 0.1}, "delta"),
        ({"nonfinite": "zero"}, "nonfinite"),
        ({"missing": "fill"}, "missing"),
        ({"m": None, "epsilon": 0.5}, "epsilon|m = "),
        ({"m": None, "method": "exact"}, "method"),
    ],
)
def test_merge__refuses_other_parameters_and_names_them(tmp_path, two, changes, named):
    options = {"method": "sketch", "m": 32} | changes
    other = tmp_path / "other"
    ss.reduce_part(tmp_path / "x.npy", other, part=(2, 2), progress=False, **options)
    with pytest.raises(ss.PartMismatchError, match=f"parts of two runs: it has .*({named})"):
        ss.merge([two[0], other])


def test_merge__takes_parts_of_other_memory(tmp_path, two):
    expected, other = bits(ss.merge(two)), tmp_path / "other"
    ss.reduce_part(tmp_path / "x.npy", other, "sketch", m=32, part=(2, 2), memory="2 GiB")
    assert bits(ss.merge([two[0], other])) == expected


def test_merge__refuses_another_source(tmp_path, two):
    np.save(tmp_path / "z.npy", np.load(tmp_path / "x.npy") + 1)
    other = tmp_path / "other"
    ss.reduce_part(tmp_path / "z.npy", other, "sketch", m=32, part=(2, 2))
    with pytest.raises(ss.PartMismatchError, match="source"):
        ss.merge([two[0], other])
    with pytest.raises(ss.SourceChangedError, match="another one"):
        ss.merge(two, source=tmp_path / "z.npy")


def test_merge__refuses_a_source_that_was_written_to_since(tmp_path, two):
    X = np.load(tmp_path / "x.npy")
    X[3, 4] += 1
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ss.SourceChangedError, match="written to since"):
        ss.merge(two, tmp_path / "Y.zarr")
    assert not (tmp_path / "Y.zarr").exists()


def test_merge__says_so_where_the_source_is_gone_or_moved(tmp_path, two):
    expected = bits(ss.merge(two))
    (tmp_path / "x.npy").rename(tmp_path / "moved.npy")
    with pytest.raises(ss.SourceNotFoundError, match=r"is not where.*x.npy.*--source"):
        ss.merge(two)
    assert bits(ss.merge(two, source=tmp_path / "moved.npy")) == expected


def test_merge__of_a_matrix_in_memory_wants_it_again(tmp_path, narrow, folder):
    X = np.load(folder / "x.npy")
    paths = sum_parts(X, "sketch", 2, tmp_path, m=32)
    with pytest.raises(ss.ParameterError, match="give the same one as source"):
        ss.merge(paths)
    assert bits(ss.merge(paths, source=X)) == bits(ss.sparsify(X, "sketch", m=32))


@pytest.mark.parametrize("what", ["streamsparse", "hash_version"])
def test_merge__refuses_another_version(two, monkeypatch, what):
    name = {"streamsparse": "__version__", "hash_version": "HASH_VERSION"}[what]
    monkeypatch.setattr(f"streamsparse.api.identity.{name}", 99)
    with pytest.raises(ss.PartMismatchError, match=f"another run: it has {what}"):
        ss.merge(two)


def test_merge__warns_of_other_kernels(two, monkeypatch):
    monkeypatch.setattr("streamsparse.api.part_set.blas_kernels", lambda: "another")
    monkeypatch.setattr("streamsparse.running.checkpoint.blas_kernels", lambda: "another")
    with pytest.warns(ss.StreamSparseWarning, match="other BLAS kernels"):
        ss.merge(two)


def test_merge__refuses_a_damaged_part(tmp_path, two):
    sums = two[1] / "band-0-sums-0"
    content = sums.read_bytes()
    for position in (3, len(content) // 2, len(content) - 1):
        flip_byte(sums, position)
        with pytest.raises(ss.CorruptChunkError, match=r"sums-0.*sum this part again"):
            ss.merge(two, tmp_path / "Y.zarr")
        flip_byte(sums, position)
    sums.write_bytes(content[:-100])
    with pytest.raises(ss.CorruptChunkError):
        ss.merge(two)
    sums.unlink()
    with pytest.raises(ss.MissingChunkError, match="is gone; sum this part again"):
        ss.merge(two)
    # Whole, but of another part.
    sums.write_bytes((two[0] / "band-0-sums-0").read_bytes())
    with pytest.raises(ss.CorruptChunkError, match="written as something else"):
        ss.merge(two)
    sums.write_bytes(content)
    flip_byte(two[0] / "part", 40)
    with pytest.raises(ss.CorruptChunkError):
        ss.merge(two)
    assert not (tmp_path / "Y.zarr").exists()
    ss.reduce_part(tmp_path / "x.npy", two[0], "sketch", m=32, part=(1, 2), overwrite=True)
    ss.merge(two)


def test_merge__refuses_what_is_no_part(tmp_path, two):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "x.npy"):
        with pytest.raises(ss.UnsupportedInputError, match="is no part"):
            ss.merge([*two, path])
    with pytest.raises(ss.SourceNotFoundError, match="there is no part at"):
        ss.merge([*two, tmp_path / "absent"])
    with pytest.raises(ss.ParameterError, match="empty"):
        ss.merge([])
    with pytest.raises(ss.ParameterError, match="list of paths"):
        ss.merge(str(two[0]))


def test_merge__refuses_and_replaces_and_resumes_as_sparsify_does(tmp_path, two):
    out = tmp_path / "Y.zarr"
    ss.merge(two, out)
    changed = os.stat(out / "zarr.json").st_mtime_ns
    with pytest.raises(ss.OutputExistsError, match="already exists"):
        ss.merge(two, out)
    ss.merge(two, out, resume=True)
    assert os.stat(out / "zarr.json").st_mtime_ns == changed
    ss.merge(two, out, overwrite=True)
    assert os.stat(out / "zarr.json").st_mtime_ns > changed


def test_reduce_part__refuses_what_is_there_and_skips_what_is_done(tmp_path, two, narrow):
    X, mark = tmp_path / "x.npy", two[0] / "part"
    written = mark.stat().st_mtime_ns
    with pytest.raises(ss.OutputExistsError, match="already exists"):
        ss.reduce_part(X, two[0], "sketch", m=32, part=(1, 2))
    source = Watched(ss.open_source(X))
    again = ss.reduce_part(source, two[0], "sketch", m=32, part=(1, 2), resume=True)
    assert (source.reads, mark.stat().st_mtime_ns, again.number) == ([], written, 1)
    for changes, named in (({"part": (2, 2)}, "part = '1/2'"), ({"seed": 1}, "seed = 0")):
        options = {"m": 32, "part": (1, 2), "resume": True} | changes
        with pytest.raises(ss.OutputExistsError, match=f"another run: it has {named}"):
            ss.reduce_part(X, two[0], "sketch", **options)
    ss.reduce_part(X, two[0], "sketch", m=32, part=(1, 2), overwrite=True)
    assert mark.stat().st_mtime_ns > written


def test_reduce_part__overwrites_nothing_but_parts(tmp_path, two):
    X = tmp_path / "x.npy"
    (tmp_path / "folder").mkdir()
    (two[1] / "notes.txt").write_text("mine")
    ss.sparsify(X, "exact", out=tmp_path / "Y.zarr")
    for path, named in (("folder", "no part"), ("Y.zarr", "no part"), (two[1].name, "notes.txt")):
        with pytest.raises(ss.OutputExistsError, match=named):
            ss.reduce_part(X, tmp_path / path, "sketch", m=32, part=(2, 2), overwrite=True)
    with pytest.raises(ss.OutputExistsError):
        ss.reduce_part(X, X, "sketch", m=32, part=(2, 2), overwrite=True)


@pytest.mark.parametrize("part", [(0, 2), (3, 2), (1, 0), (1.5, 2), 1, "1/2", (1, 2, 3), None])
def test_reduce_part__refuses_what_is_no_part_of_many(tmp_path, part):
    with pytest.raises(ss.ParameterError, match="part"):
        ss.reduce_part(np.ones((3, 50)), tmp_path / "p", part=part)


def test_reduce_part__refuses_more_parts_than_spans_before_it_reads(tmp_path):
    source = Watched(ss.open_source(np.ones((3, 40000))))
    with pytest.raises(ss.ParameterError, match=r"X has 3 spans.*4 parts are too many.*at most 3"):
        ss.reduce_part(source, tmp_path / "p", "sketch", m=8, part=(1, 4))
    assert source.reads == []
    assert list(tmp_path.iterdir()) == []


def test_reduce_part__refuses_methods_that_cannot_be_shared_out(tmp_path, monkeypatch):
    X = np.ones((3, 500))
    with pytest.raises(ss.ParameterError, match=r"one column after the other.*as one job"):
        ss.reduce_part(X, tmp_path / "p", "select", m=8, part=(1, 1))
    with pytest.raises(ss.ParameterError, match="one pass: leave out after"):
        ss.reduce_part(X, tmp_path / "p", "exact", part=(1, 1), after=tmp_path)
    X = scipy.sparse.random_array((600, 40000), density=0.1, rng=1, format="csr")
    write_sparse(tmp_path / "x.zarr", X, chunk_entries=1 << 16)
    with pytest.raises(ss.BudgetTooSmallError, match=r"rewrite all of.*by columns; raise memory"):
        ss.reduce_part(tmp_path / "x.zarr", tmp_path / "p", "exact", part=(1, 1), memory="256 MiB")


def test_reduce_part__refuses_a_source_that_was_written_to_meanwhile(tmp_path, narrow, folder):
    path = tmp_path / "x.npy"
    np.save(path, np.load(folder / "x.npy"))

    class Writing(Watched):
        one_at_a_time = threading.Lock()

        def read(self, rows, columns):
            with self.one_at_a_time:
                if not self.reads:
                    np.save(path, np.load(folder / "x.npy"))
                return super().read(rows, columns)

    with pytest.raises(ss.SourceChangedError, match="was written to"):
        ss.reduce_part(Writing(ss.open_source(path)), tmp_path / "p", "exact", part=(1, 2))
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.npy"]


def test_reduce_part__a_signal_ends_it_and_leaves_nothing(tmp_path, narrow, folder):
    source = Interrupting(ss.open_source(folder / "x.npy"), signal.SIGTERM)
    with pytest.raises(ss.RunInterrupted, match="SIGTERM"):
        ss.reduce_part(source, tmp_path / "p", "sketch", m=32, part=(1, 2))
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, time
import streamsparse as ss
from streamsparse.storing import part_store
put = part_store.PartWriter.finish
def slow(self, facts):
    print("ready", flush=True)
    time.sleep(60)
    put(self, facts)
part_store.PartWriter.finish = slow
ss.reduce_part(sys.argv[1], sys.argv[2], "exact", part=(1, 2), progress=False)
"""


def test_reduce_part__after_a_kill_the_same_job_does_it(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((4, 40000)))
    X, path = tmp_path / "x.npy", tmp_path / "first-2-1"
    command = [sys.executable, "-c", KILLED, X, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(ss.OutputBusyError):
            ss.reduce_part(X, path, "exact", part=(1, 2))
        process.kill()
    assert not path.exists()
    assert any(Workplace(path).folder.iterdir())
    with pytest.raises(ss.SourceNotFoundError, match="unfinished"):
        ss.merge([path])
    began = time.monotonic()
    paths = sum_parts(X, "exact", 2, tmp_path, resume=True)
    assert time.monotonic() - began < 30
    assert not Workplace(path).folder.exists()
    assert bits(ss.merge(paths)) == bits(ss.sparsify(X, "exact"))


def test_part__says_what_it_holds(two):
    part = ss.reduce_part(two[0].parent / "x.npy", two[0], "sketch", m=32, part=(1, 2), resume=True)
    text, facts = str(part), part.to_dict()
    assert "part 1 of 2: method sketch" in text
    assert "columns  0 to 3,072 of 6,000" in text
    assert max(map(len, text.splitlines())) <= 80
    assert json.loads(json.dumps(facts))["columns"] == [0, 3072]
    assert facts["bytes_written"] > 12 * 32 * 8
