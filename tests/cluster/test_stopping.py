"""A run on dask that is told to stop, from outside: it stops soon and goes on where it was."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import streamsparse as ss
from cluster_tools import everything
from streamsparse.running import checkpoint, dask_runner, spans, stream
from streamsparse.storing.commit import Workplace

# Fast tests of the same tasks, without a cluster, are in tests/running.
pytestmark = pytest.mark.slow

CODE = """
import sys, time
import dask, dask.array as da, numpy as np
import streamsparse as ss
from streamsparse.running import checkpoint, dask_runner, spans

def tasks_left():
    return distributed.get_client().run_on_scheduler(
        lambda dask_scheduler: sum("streamsparse" in str(key) for key in dask_scheduler.tasks)
    )

def slowly(block):
    time.sleep({pause})
    return block

def reduce(folder, **options):
    spans._MIN_WIDTH = 256
    dask_runner._WAVE_SECONDS = 0.2
    checkpoint.INTERVAL_SECONDS = checkpoint.WORTH_KEEPING_SECONDS = 0.0
    X = da.from_array(np.load(folder + "/x.npy"), chunks=(12, 256), name="x")
    X = X.map_blocks(slowly, dtype=X.dtype, meta=np.empty((0, 0)), name="slow-x")
    return ss.sparsify(X, "exact", out=folder + "/Y.zarr", progress=False, **options)

if __name__ == "__main__":
    import signal
    signal.signal(signal.SIGINT, signal.default_int_handler)
    scheduler = sys.argv[2]
    if scheduler == "cluster":
        import distributed
        distributed.Client(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        )
    else:
        dask.config.set(scheduler=scheduler)
    try:
        reduce(sys.argv[1])
    except ss.RunInterrupted as error:
        print(error, time.time(), flush=True)
        if scheduler == "cluster":
            # Cancelling is a message; what is left of the wave takes longer than a second.
            until = time.monotonic() + 1
            while (left := tasks_left()) and time.monotonic() < until:
                time.sleep(0.02)
            print("left", left, flush=True)
"""


@pytest.mark.parametrize("scheduler", ["threads", "synchronous", "cluster"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals__end_a_wave_and_keep_those_before_it(tmp_path, monkeypatch, scheduler, number):
    X = np.random.default_rng(0).standard_normal((12, 60_000)).astype(np.float32)
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "run.py").write_text(textwrap.dedent(CODE.format(pause=0.1)))
    process = subprocess.Popen(
        [sys.executable, "run.py", ".", scheduler],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    place = Workplace(tmp_path / "Y.zarr")
    until = time.monotonic() + 90
    while not list(place.folder.glob("checkpoint-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "nothing was kept"
        time.sleep(0.05)
    time.sleep(0.5)
    began = time.time()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    first, *rest = out.splitlines()
    assert f"interrupted by {number.name}" in first
    assert "resume=True" in first
    assert float(first.split()[-1]) - began < 2.0
    if scheduler == "cluster":
        # What the wave was still to do is done by nobody.
        assert rest == ["left 0"]
    # In a process of its own the run has been the same, and it goes on here.
    monkeypatch.setattr(spans, "_MIN_WIDTH", 256)
    monkeypatch.setattr(dask_runner, "_WAVE_SECONDS", 0.2)
    monkeypatch.setattr(checkpoint, "INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(stream, "_MAX_BLOCK_BYTES", 32 << 10)
    import dask.array as da

    reads = []

    def counted(block):
        reads.append(1)
        return block

    array = da.from_array(X, chunks=(12, 256), name="x")
    array = array.map_blocks(counted, dtype=X.dtype, meta=np.empty((0, 0)), name="slow-x")
    with pytest.warns(ss.StreamSparseWarning, match="known by its name alone"):
        result = ss.sparsify(
            array, "exact", out=tmp_path / "Y.zarr", resume=True, runner="local", progress=False
        )
    assert 0 < len(reads) <= array.numblocks[1] - 16
    assert everything(result) == everything(ss.sparsify(X, "exact", progress=False))


def test_signals__while_a_cluster_is_told_of_a_wave_cancel_that_wave_too(
    cluster, narrow, monkeypatch
):
    import dask.array as da

    def slowly(block):
        time.sleep(0.2)
        return block

    def interrupted(*lazy):
        begun = persist(*lazy)
        if len(lazy) > 1:
            os.kill(os.getpid(), signal.SIGINT)
        return begun

    persist = dask_runner._persist
    monkeypatch.setattr(dask_runner, "_persist", interrupted)
    X = da.ones((12, 60_000), chunks=(12, 256)).map_blocks(slowly, dtype=float)
    # The traceback is kept, as a notebook does: futures of the wave would be kept with it.
    with pytest.raises(ss.RunInterrupted) as caught:
        ss.sparsify(X, "exact", progress=False)
    assert caught.tb is not None
    # What is left of the wave takes longer than a second.
    until = time.monotonic() + 1
    while (left := tasks_left(cluster)) and time.monotonic() < until:
        time.sleep(0.02)
    assert left == 0


def tasks_left(client):
    return client.run_on_scheduler(
        lambda dask_scheduler: sum("streamsparse" in str(key) for key in dask_scheduler.tasks)
    )
