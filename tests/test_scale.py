"""The model of clusters agrees with the plan and with itself; scripts for clusters run."""

import ast
import inspect
import sys
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

import streamsparse as ss
from script_tools import ROOT, run_script
from streamsparse.methods.plans import (
    DENSE_FLOPS,
    GRAM_FLOPS,
    READ_BYTES_PER_SECOND,
    SKETCH_ADDS,
)
from streamsparse.running.feeds import StoreFeed
from streamsparse.running.graph import BandGraph, key_of
from streamsparse.running.spans import ARITY, cover
from streamsparse.running.threads import available_threads

SCALE = ROOT / "scripts" / "scale"
CLUSTER = ROOT / "scripts" / "cluster"
METHODS = {"exact": {"method": "exact"}, "sketch": {"method": "sketch", "m": 256}}


@pytest.fixture(scope="module")
def scale():
    """Return the modules of scripts/scale."""
    sys.path.insert(0, str(SCALE))
    try:
        import jobs
        import model
        import predict

        yield SimpleNamespace(model=model, jobs=jobs, predict=predict)
    finally:
        sys.path.remove(str(SCALE))


def array(d=1 << 20, width=1 << 14, n=32):
    return zarr.create_array(
        zarr.storage.MemoryStore(), shape=(n, d), chunks=(n, width), dtype="float32"
    )


@pytest.mark.parametrize("width", [1 << 14, 10_000, 40_000])
@pytest.mark.parametrize("asked", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("workers", [1, 3, 100])
def test_predict__reads_what_the_plan_says_and_again_what_lies_in_two_waves(
    scale, width, asked, workers
):
    model, jobs = scale.model, scale.jobs
    X = array(width=width)
    job = jobs.planned("job", X, **asked)
    cost = model.predict(job, workers, model.Rates())
    assert job.spans == ss.plan(X, **asked).stream.spans
    planned = ss.plan(X, **asked).stream.bytes_to_read
    # Unless the wave before still has it when the next one begins.
    again = 0 if job.span_width % width == 0 else cost.waves - 1
    assert cost.read_bytes <= planned + again * 4 * job.n * width + 1
    assert cost.read_bytes >= planned - 1


@pytest.mark.parametrize("asked", METHODS.values(), ids=METHODS)
def test_planned__has_the_costs_of_the_plan(scale, asked):
    jobs = scale.jobs
    X = array(n=300)
    job, plan = jobs.planned("job", X, **asked), ss.plan(X, **asked)
    work = job.products / GRAM_FLOPS + job.additions / SKETCH_ADDS
    reading = plan.stream.bytes_to_read / READ_BYTES_PER_SECOND
    finish = job.dense_flops / DENSE_FLOPS
    assert max(reading, work / available_threads()) + finish == pytest.approx(plan.seconds)


def test_predict__one_worker_takes_the_sum_of_its_parts(scale):
    model, jobs = scale.model, scale.jobs
    rates = replace(model.Rates(), latency=0.0, scheduler=1e-9, **model.FREE["client"])
    cost = model.predict(jobs.job_of("toy"), 1, rates)
    parts = cost.reading + cost.computing + cost.merging + cost.dense
    # The client adds while the worker goes on.
    assert parts - 1e-3 <= cost.seconds <= parts + cost.client + 1e-3
    assert cost.moved_bytes == 0


@pytest.mark.parametrize("workers", [1, 64, 5_000])
def test_predict__begins_the_waves_that_the_runner_begins(scale, workers, monkeypatch):
    model, jobs = scale.model, scale.jobs
    begun, stops = [], []

    def wave_stop(start, count, **settings):
        begun.append((start, count))
        stops.append(dask_runner_wave_stop(start, count, **settings))
        return stops[-1]

    dask_runner_wave_stop = model.dask_runner.wave_stop
    monkeypatch.setattr(model.dask_runner, "wave_stop", wave_stop)
    job = jobs.job_of("exact-1k")
    cost = model.predict(job, workers, model.Rates())
    assert [start for start, _ in begun] == [0, *stops[:-1]]
    assert stops[-1] == job.spans
    # Nothing is known of the first wave when the second begins; both have work for everybody.
    assert [count for _, count in begun[:2]] == [max(ARITY, 2 * workers)] * min(2, len(begun))
    assert cost.waves == len(begun)
    at_once = model.predict(job, workers, model.Rates(), model.Schedule(has_waves=False))
    assert at_once.waves == 1
    assert at_once.seconds <= 1.01 * cost.seconds


@pytest.mark.parametrize("name", ["exact-1k", "sketch-1k", "exact-10k"])
def test_predict__more_workers_take_no_longer(scale, name):
    model, jobs = scale.model, scale.jobs
    job = jobs.job_of(name)
    seconds = [model.predict(job, W, model.Rates()).seconds for W in (1, 4, 64, 1024, 10_000)]
    # A list schedule may be a little worse with one worker more.
    for few, many in pairwise(seconds):
        assert many <= 1.05 * few
    assert seconds[1] < 0.5 * seconds[0]


def test_predict__no_resource_that_is_free_makes_it_slower(scale):
    model, jobs = scale.model, scale.jobs
    job, rates = jobs.job_of("exact-1k"), model.Rates()
    for workers in (16, 2_000):
        seconds = model.predict(job, workers, rates).seconds
        for settings in model.FREE.values():
            faster = model.predict(job, workers, replace(rates, **settings)).seconds
            assert faster <= 1.02 * seconds


def test_recorder__notes_the_tasks_that_dask_would_get(scale):
    model, jobs = scale.model, scale.jobs
    job = jobs.planned("job", array(width=10_000), **METHODS["exact"])
    source = ss.open_source(array(width=10_000))
    graph = BandGraph(
        name="model",
        work=None,
        feed=StoreFeed("model", source, block_bytes=1 << 20),
        rows=(0, job.n),
        span_width=job.span_width,
        d=job.d,
        partial_bytes=job.partial_bytes,
        spans_per_task=1,
    )
    noted = model.recorder(job)
    nodes = cover(0, job.spans)
    keys = set()
    for node in nodes:
        keys |= set(dict(graph.node(node).__dask_graph__()))
        noted.node(node)
    kinds = [key.split("-") for key in noted.made]
    named = {key_of(kind, "model", *which) for kind, *which in kinds}
    assert named == keys - {key_of("reader", "model")}


@pytest.mark.parametrize("n", [2, 1_000])
def test_recorder__sums_small_spans_together(scale, n):
    model, jobs = scale.model, scale.jobs
    job = jobs.planned("job", array(n=n, d=1 << 25, width=1 << 15), **METHODS["exact"])
    noted = model.recorder(job)
    for node in cover(0, job.spans):
        noted.node(node)
    readers = [task for task in noted.made.values() if task.columns]
    assert len(readers) == (job.spans if n == 1_000 else job.spans // ARITY)
    assert sum(task.columns for task in readers) == job.d


@pytest.mark.parametrize("arguments", [[], ["--what-if"], ["--network", "0.1"]], ids=str)
def test_predict__prints_a_table_of_80_columns(scale, monkeypatch, capsys, arguments):
    command = ["predict.py", "--job", "toy", "--workers", "128", *arguments]
    monkeypatch.setattr(sys, "argv", command)
    scale.predict.main()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    if "--what-if" not in arguments:
        rows = [line.split()[0] for line in lines if line[:8].strip().isdigit()]
        assert rows == ["1", "2", "4", "8", "16", "32", "64", "128"]


@pytest.mark.slow
def test_check__compares_what_is_predicted_with_what_is_measured():
    pytest.importorskip("distributed")
    done = run_script(SCALE / "check.py", "--size", "toy", "--repeats", "1")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [
        [method, workers] for workers in "12" for method in METHODS
    ]
    assert all(float(row[4]) > 0 for row in rows)


@pytest.mark.slow
def test_local_cluster__writes_the_bits_that_this_process_would_and_resumes(tmp_path):
    pytest.importorskip("distributed")
    values = np.random.default_rng(0).standard_normal((20, 40_000)).astype(np.float32)
    X = zarr.create_array(tmp_path / "X.zarr", shape=values.shape, chunks=(20, 9_000), dtype="f4")
    X[:] = values
    arguments = [tmp_path / "X.zarr", tmp_path / "Y.zarr", "--method", "exact"]
    for _ in range(2):
        done = run_script(CLUSTER / "local_cluster.py", *arguments)
        assert done.returncode == 0, done.stderr
        assert "20 x 40,000" in done.stdout
    alone = ss.sparsify(values, "exact", progress=False)
    np.testing.assert_array_equal(ss.load(tmp_path / "Y.zarr").Y[:], alone.Y)


@pytest.mark.parametrize("script", sorted(CLUSTER.glob("*.py")), ids=lambda path: path.stem)
def test_cluster_scripts__give_only_arguments_that_there_are(script):
    tree = ast.parse(script.read_text(encoding="utf-8"))
    known = inspect.signature(ss.sparsify).parameters
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    ours = [call for call in calls if ast.unparse(call.func) == "ss.sparsify"]
    assert ours
    for call in ours:
        names = {keyword.arg for keyword in call.keywords}
        assert names <= set(known)
        assert {"memory", "out", "resume", "runner"} <= names
