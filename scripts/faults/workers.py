"""Kill workers, schedulers and clients of a cluster while it works; run its tasks twice.

    python scripts/faults/workers.py [--small] [--trials N] [--only NAME]

Every job has more than 200 spans. It must end in the bits of a run without dask, each span counted
once; where the scheduler or the client died, after a resume that reads no finished span again.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cloudpickle
import dask
import dask.array as da
import distributed
import jobs
import numpy as np
import scipy.sparse
from tally import Tally, print_table

import streamsparse as ss
from streamsparse.running import checkpoint, dask_runner, spans, stream
from streamsparse.storing.records import read_facts
from streamsparse.storing.zarr_write import DenseWriter

N, SPANS, SPAN_WIDTH = 12, 224, 512
D = SPANS * SPAN_WIDTH - 100
CHUNK, BLOCK = 700, 2100
METHODS: list[tuple[str, dict[str, Any]]] = [
    ("exact", {}),
    ("sketch", {"m": 16}),
    ("sample", {"m": 48}),
]
# A client of dask tries for 30 s to reach its scheduler again.
LOST_WITHIN_SECONDS = 35.0
# What reading the columns of one span takes at least, so that a job is still running when its fault
# comes, however fast the machine: two workers read for nine seconds, or for six.
READ_SECONDS = 0.08
READ_SECONDS_KEPT = 0.05


def _pause(columns: int, seconds: float) -> None:
    """Wait as long as reading so many columns takes."""
    time.sleep(seconds * columns / SPAN_WIDTH)


class Slow:
    """A store whose reads take a while, and are written down in a file."""

    def __init__(self, source: Any, seconds: float, log: Path | None = None) -> None:
        self.source, self.seconds, self.log = source, seconds, log

    def __getattr__(self, name: str) -> Any:
        if name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
        """Read a block."""
        _pause(columns[1] - columns[0], self.seconds)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{columns[0]} {columns[1]}\n")
        return self.source.read(rows, columns)


# Workers do not import scripts.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def make_sources(folder: Path) -> None:
    """Write X, of integers, so that its sums are exact: what is counted twice shows."""
    X = np.random.default_rng(0).integers(-9, 9, (N, D)).astype(np.int16)
    np.save(folder / "x.npy", X)
    DenseWriter(folder / "x.zarr", X.shape, X.dtype, (N, CHUNK)).write((0, N), (0, D), X)


def source_of(folder: Path, kind: str, seconds: float) -> Any:
    """Return X as workers read it: the columns of a span take ``seconds``."""
    if kind == "zarr":
        return Slow(ss.open_source(folder / "x.zarr"), seconds, folder / "reads")

    def chunk(block: Any) -> Any:
        _pause(block.shape[1], seconds)
        return block if kind == "dask" else scipy.sparse.csr_array(block)

    X = np.load(folder / "x.npy")
    meta = X[:0, :0] if kind == "dask" else scipy.sparse.csr_array(X[:1, :1])
    name = f"slow-{kind}-{seconds}"
    return da.from_array(X, chunks=(N, CHUNK), name=name).map_blocks(
        chunk, dtype=X.dtype, meta=meta, name=f"{name}-chunk"
    )


KINDS = ("zarr", "dask", "dask csr")


def everything(result: ss.Result) -> tuple[Any, ...]:
    """Return the bits of a result, and what its certificate says of all columns."""
    Y = result.Y.toarray() if scipy.sparse.issparse(result.Y) else np.asarray(result.Y[:])
    return Y.tobytes(), result.certificate.trace, result.certificate.r


def expected_of(folder: Path) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Return what this process makes of X, by kind of source and method."""
    with dask.config.set(scheduler="threads"):
        return {
            (kind, method): everything(
                ss.sparsify(source_of(folder, kind, 0), method, runner="local", progress=False, **o)
            )
            for kind in KINDS
            for method, o in METHODS
        }


# --- workers


class Killer:
    """Kills a random worker every few seconds while it is entered."""

    def __init__(self, cluster: distributed.LocalCluster, seed: int) -> None:
        self.kills = 0
        self._cluster, self._rng = cluster, random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(self._rng.uniform(1.0, 5.0)):
            # It takes a worker longer than that to start and to load what it needs.
            there = [
                nanny.pid
                for nanny in self._cluster.workers.values()
                if nanny.worker_address in self._cluster.scheduler.workers
            ]
            if len(there) > 1:
                with suppress(ProcessLookupError):
                    os.kill(self._rng.choice(there), signal.SIGKILL)
                    self.kills += 1


def of_workers(folder: Path, trials: int) -> Tally:
    """Kill a random worker of two every few seconds of each job."""
    tally, expected = Tally("SIGKILL of a random worker every few seconds"), expected_of(folder)
    kills, took = 0, [0.0]
    for trial in range(trials):
        kind, (method, options) = KINDS[trial % 3], METHODS[trial // 3 % 3]
        source, result = source_of(folder, kind, READ_SECONDS), None
        with _many_deaths(), _local_cluster() as cluster, distributed.Client(cluster):
            began = time.monotonic()
            with Killer(cluster, trial) as killer:
                try:
                    result = ss.sparsify(source, method, runner="dask", progress=False, **options)
                except Exception as error:
                    print(f"{kind}, {method}: {type(error).__name__}: {error}", file=sys.stderr)
            took.append(time.monotonic() - began)
            kills += killer.kills
        if result is None:
            tally.add("crashes")
        else:
            is_same = everything(result) == expected[kind, method]
            tally.add("survived" if is_same else "silent")
    tally.note = f"{SPANS} spans, {kills} kills, jobs of up to {max(took):.0f} s"
    return tally


def _many_deaths() -> Any:
    """Have dask bear what is done here, and say so where it no longer does."""
    return dask.config.set(
        {
            "distributed.scheduler.allowed-failures": 1000,
            "distributed.scheduler.no-workers-timeout": "60s",
            # A local cluster gives up a worker that is not there so long after a death.
            "distributed.deploy.lost-worker-timeout": "1h",
        }
    )


def _local_cluster() -> distributed.LocalCluster:
    return distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    )


# --- duplicates


def of_duplicates(folder: Path, trials: int) -> Tally:
    """Run every task twice, and go on with the result of either."""
    from dask._task_spec import convert_legacy_graph
    from dask.core import toposort

    tally, expected = Tally("every task run twice, either result used"), expected_of(folder)
    tasks = 0

    def twice(dsk: Any, keys: Any, **_: Any) -> Any:
        nonlocal tasks
        graph = convert_legacy_graph(dict(getattr(dsk, "__dask_graph__", lambda: dsk)()))
        values: dict[Any, Any] = {}
        for key in toposort(graph):
            inputs = {name: values[name] for name in graph[key].dependencies}
            values[key] = rng.choice([graph[key](inputs), graph[key](inputs)])
            tasks += 1
        return [values[key] for key in keys]

    for trial in range(trials):
        rng = random.Random(trial)
        kind, (method, options) = KINDS[trial % 3], METHODS[trial // 3 % 3]
        with dask.config.set(scheduler=twice):
            source = source_of(folder, kind, 0)
            result = ss.sparsify(source, method, runner="dask", progress=False, **options)
        is_same = everything(result) == expected[kind, method]
        tally.add("survived" if is_same else "silent")
    tally.note = f"{tasks:,} tasks"
    return tally


# --- schedulers and clients


@contextmanager
def own_cluster(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a scheduler and two workers as processes; yield the address and the scheduler."""
    about = Path(tempfile.mkdtemp(dir=folder)) / "scheduler.json"

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *words, "--scheduler-file", str(about)]
        null = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=about.parent, stdout=null, stderr=null)

    address = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", ":0")
    scheduler = start("scheduler", *address)
    alone = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "60")
    workers = [start("worker", *alone) for _ in range(2)]
    try:
        while not about.exists():
            time.sleep(0.05)
        yield str(about), scheduler
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()


def _reduce(
    folder: Path, about: str | None, method: str, options: dict[str, Any], **how: Any
) -> None:
    """Reduce X to ``folder/Y.zarr`` on a cluster, or here where there is none."""
    client = distributed.Client(scheduler_file=about) if about else None
    try:
        source = source_of(folder, "zarr", how.pop("seconds"))
        ss.sparsify(source, method, out=folder / "Y.zarr", progress=False, **options, **how)
    finally:
        # Of a lost cluster there is nothing to close.
        if client is not None and client.status == "running":
            client.close()


def _kept_column(folder: Path) -> int | None:
    """Return the first column that a resumed run has to read; None if nothing is kept."""
    kept = [
        read_facts(path)["span"]
        for path in (folder / ".Y.zarr.unfinished").glob("checkpoint-*")
        if path.is_file()
    ]
    return max(kept) * SPAN_WIDTH if kept else None


def _reads(folder: Path) -> list[tuple[int, int]]:
    log = folder / "reads"
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(a), int(b)) for a, b in (line.split() for line in lines)]


def _resume(
    folder: Path,
    about: str | None,
    method: str,
    options: dict[str, Any],
    expected: Any,
    tally: Tally,
) -> None:
    """Resume, and count what came of it."""
    kept = _kept_column(folder)
    (folder / "reads").unlink(missing_ok=True)
    runner = "dask" if about else "local"
    status = jobs.finish(
        lambda: _reduce(folder, about, method, options, seconds=0, resume=True, runner=runner),
        quiet=False,
    )
    if status != jobs.FINISHED:
        tally.add("crashes")
        return
    first = min((start for start, _ in _reads(folder)), default=D)
    # The block on the edge of what is finished lies in both.
    is_again = kept is not None and first < kept - BLOCK
    is_same = everything(ss.load(folder / "Y.zarr")) == expected
    tally.add("survived" if is_same and not is_again and not jobs.litter(folder) else "silent")
    if is_again:
        print(f"{method}: read from {first:,} although {kept:,} were kept", file=sys.stderr)


def of_schedulers(folder: Path, trials: int) -> Tally:
    """Kill the scheduler; the run fails soon and says how to go on; another cluster goes on."""
    tally, rng, slowest = (
        Tally("SIGKILL of the scheduler, then resume on a new cluster"),
        random.Random(0),
        0.0,
    )
    expected = expected_of(folder)
    for trial in range(trials):
        method, options = METHODS[trial % 2]
        jobs.clear(folder)
        said = folder / "said"
        with own_cluster(folder) as (about, scheduler):

            def run(about: str = about, said: Path = said, method: str = method) -> None:
                try:
                    options, seconds = dict(METHODS)[method], READ_SECONDS_KEPT
                    _reduce(folder, about, method, options, seconds=seconds, runner="dask")
                except ss.StoreError as error:
                    said.write_text(str(error))
                    raise

            pid = jobs.spawn(run, quiet=False)
            _wait_until_kept(folder, pid)
            time.sleep(rng.uniform(0, 2))
            scheduler.kill()
            began = time.monotonic()
            status = jobs.wait_for(pid)
            took = time.monotonic() - began
        slowest = max(slowest, took)
        if (
            status != jobs.STORE_FAILED
            or took > LOST_WITHIN_SECONDS
            or "resume=True" not in said.read_text()
        ):
            print(f"{method}: ended with {status} after {took:.1f} s", file=sys.stderr)
            tally.add("crashes")
            continue
        with own_cluster(folder) as (about, _):
            _resume(folder, about, method, options, expected["zarr", method], tally)
    tally.note = f"slowest failure {slowest:.1f} s"
    return tally


def of_clients(folder: Path, trials: int) -> Tally:
    """Kill the client; go on with another cluster, without any, and the other way round."""
    tally, rng = Tally("SIGKILL of the client, then resume elsewhere or locally"), random.Random(1)
    expected = expected_of(folder)
    for trial in range(trials):
        method, options = METHODS[trial % 2]
        jobs.clear(folder)
        begins_here, ends_here = trial % 4 == 3, trial % 2 == 1
        ends_here &= not begins_here
        with own_cluster(folder) as (about, _):

            def run(
                about: str | None = None if begins_here else about, method: str = method
            ) -> None:
                options, seconds = dict(METHODS)[method], READ_SECONDS_KEPT
                runner = "dask" if about else "local"
                _reduce(folder, about, method, options, seconds=seconds, runner=runner)

            pid = jobs.spawn(run, quiet=False)
            _wait_until_kept(folder, pid)
            jobs.kill_after(pid, rng.uniform(0, 2))
        if ends_here:
            _resume(folder, None, method, options, expected["zarr", method], tally)
            continue
        with own_cluster(folder) as (about, _):
            _resume(folder, about, method, options, expected["zarr", method], tally)
    return tally


def _wait_until_kept(folder: Path, pid: int) -> None:
    """Wait for the first checkpoint of a child."""
    while not list((folder / ".Y.zarr.unfinished").glob("checkpoint-*")):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            raise SystemExit("a run has ended before anything was kept")
        time.sleep(0.05)


@contextmanager
def prepared() -> Iterator[Path]:
    """Yield a folder with X; spans are narrow, waves short, and kept at every chance."""
    spans._MIN_WIDTH = SPAN_WIDTH
    stream._MAX_BLOCK_BYTES = stream._GOOD_BLOCK_BYTES = 2 * N * BLOCK
    dask_runner._WAVE_SECONDS = 1.0
    checkpoint.INTERVAL_SECONDS = checkpoint.WORTH_KEEPING_SECONDS = 0.0
    checkpoint._SHARE_OF_TIME = 1e9
    with tempfile.TemporaryDirectory(prefix="streamsparse-faults-") as name:
        folder = Path(name)
        make_sources(folder)
        yield folder


def run(*, small: bool, trials: int | None = None, only: str = "") -> list[Tally]:
    """Return one tally per kind of fault."""
    kinds: list[tuple[Callable[[Path, int], Tally], int]] = [
        # What forks comes before what starts threads.
        (of_schedulers, 2),
        (of_clients, 4),
        (of_duplicates, 3),
        (of_workers, 1),
    ]
    with prepared() as folder:
        return [
            kind(folder, few if small else trials or 20)
            for kind, few in kinds
            if only in kind.__name__
        ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a few faults of each kind")
    parser.add_argument("--trials", type=int, help="jobs of each kind (default 20)")
    parser.add_argument("--only", default="", help="kinds whose name has this")
    chosen = parser.parse_args()
    tallies = run(small=chosen.small, trials=chosen.trials, only=chosen.only)
    sys.exit(print_table(tallies))
