"""A fresh cluster of two worker processes, in a process of its own that is watched from outside.

What is measured runs in a child: it starts the cluster, warms it up, says which processes there
are, runs, and says what the workers have to say. The parent samples the memory of all of them
meanwhile.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import busy_processors, environment

WORKERS = 2
_INTERVAL_SECONDS = 0.005
# What distributed says when a worker is short of memory, in its log.
_SHORT_OF_MEMORY = ("Pausing", "Worker is at", "Unmanaged memory", "exceeded", "restart")


@dataclass
class Peaks:
    """The largest memory seen, in bytes: anonymous as the kernel counts it, resident as dask does.

    Attributes
    ----------
    client : anonymous, of the process that starts the tasks; the scheduler is in it.
    largest, together : anonymous, of one worker and of all at one moment.
    resident : of one worker, pages of shared libraries included.
    """

    client: int = 0
    largest: int = 0
    together: int = 0
    resident: int = 0


@dataclass
class Watched:
    """What a child printed, and how much memory it and its workers took."""

    facts: dict[str, Any]
    peaks: Peaks


def watch(command: list[str]) -> Watched:
    """Run a child that calls :func:`measured`; return what it found and what it took.

    Raises
    ------
    RuntimeError : if it fails, with the last line of its standard error.
    """
    peaks, ended = Peaks(), threading.Event()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        # Read beside, so that a child that complains at length does not wait for us.
        complaints: list[str] = []
        reader = threading.Thread(target=lambda: complaints.extend(child.stderr or ()))
        reader.start()
        lines = iter(child.stdout.readline, "")
        first = next(lines, "")
        if first:
            sampler = threading.Thread(target=_sample, args=(json.loads(first), peaks, ended))
            sampler.start()
            rest = list(lines)
            ended.set()
            sampler.join()
        child.wait()
        reader.join()
    if child.returncode or not first:
        raise RuntimeError("".join(complaints[-1:]).strip() or f"status {child.returncode}")
    return Watched(json.loads(rest[-1]), peaks)


def _sample(processes: dict[str, Any], peaks: Peaks, ended: threading.Event) -> None:
    while not ended.wait(_INTERVAL_SECONDS):
        anonymous, resident = zip(*map(memory_of, processes["workers"]), strict=True)
        peaks.client = max(peaks.client, memory_of(processes["client"])[0])
        peaks.largest = max(peaks.largest, *anonymous)
        peaks.together = max(peaks.together, sum(anonymous))
        peaks.resident = max(peaks.resident, *resident)


def memory_of(process: int) -> tuple[int, int]:
    """Return (anonymous, resident) bytes of a process; zeros once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    found = dict(line.split(":", 1) for line in lines if line.endswith(" kB"))
    return _bytes_of(found, "RssAnon"), _bytes_of(found, "VmRSS")


def _bytes_of(found: dict[str, str], name: str) -> int:
    # A process that is ending has no memory left to report.
    return int(found.get(name, "0 kB").split()[0]) << 10


def measured(
    memory_limit: str, warm_up: Callable[[], object], action: Callable[[], dict[str, Any] | None]
) -> None:
    """Run both on a fresh cluster and print what :func:`watch` wants to know: a child's whole life.

    Parameters
    ----------
    memory_limit : of each worker.
    warm_up : does what ``action`` does with little data: imports, compiled kernels.
    action : what is timed; what it returns is printed too.
    """
    began = time.perf_counter()
    with cluster(memory_limit) as (client, events):
        _on_every_worker(client, warm_up)
        pids = list(client.run(os.getpid).values())
        spilled, tasks = _spilled(client), events.tasks
        print(json.dumps({"client": os.getpid(), "workers": pids}), flush=True)
        ready, busy = time.perf_counter() - began, _processor_seconds(client)
        started, elsewhere = time.perf_counter(), busy_processors()
        found = action() or {}
        seconds, ours = time.perf_counter() - started, _processor_seconds(client) - busy
        others = None
        if elsewhere is not None:
            others = max(0.0, (busy_processors() or 0) - elsewhere - ours) / seconds
        facts = {
            "seconds": seconds,
            "processor_seconds": ours,
            "others": others,
            "ready_seconds": ready,
            "tasks": events.tasks - tasks,
            "spilled_bytes": _spilled(client) - spilled,
            "workers_lost": events.lost,
            "workers_paused": events.paused,
            "memory_logs": _complaints(client),
        }
        print(json.dumps(facts | found), flush=True)


def _processor_seconds(client: Any) -> float:
    """Return what this process and all workers have computed so far."""
    return time.process_time() + sum(client.run(time.process_time).values())


def _on_every_worker(client: Any, warm_up: Callable[[], object]) -> None:
    """Warm up as often as there are workers: one alone would do all there is to do."""
    import dask

    for address in client.scheduler_info()["workers"]:
        with dask.annotate(workers=[address]):
            warm_up()


@dataclass
class Events:
    """What a scheduler has seen: tasks computed, workers lost, workers paused."""

    tasks: int = 0
    lost: int = 0
    paused: int = 0
    is_closing: bool = field(default=False, repr=False)


@contextmanager
def cluster(memory_limit: str) -> Iterator[tuple[Any, Events]]:
    """Give (client, events) of two workers with one thread and their own memory limit."""
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)
    with (
        LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            memory_limit=memory_limit,
            dashboard_address=None,
        ) as local,
        Client(local) as client,
    ):
        events = Events()
        local.scheduler.add_plugin(_plugin(events), name="events")
        yield client, events
        events.is_closing = True


def _plugin(events: Events) -> Any:
    from distributed.diagnostics.plugin import SchedulerPlugin

    class Counts(SchedulerPlugin):
        def transition(self, _: Any, start: str, finish: str, *__: Any, **___: Any) -> None:
            events.tasks += start == "processing" and finish == "memory"

        def remove_worker(self, *_: Any, **__: Any) -> None:
            events.lost += not events.is_closing

        def log_event(self, _: Any, msg: Any) -> None:
            paused = isinstance(msg, dict) and msg.get("action") == "worker-status-change"
            events.paused += paused and msg.get("status") == "paused"

    return Counts()


def _spilled(client: Any) -> int:
    """Return the bytes that workers have written to disk since they began, all together."""

    def written(dask_worker: Any) -> int:
        metrics = getattr(dask_worker.data, "cumulative_metrics", {})
        return int(metrics.get(("disk-write", "bytes"), 0))

    return sum(client.run(written).values())


def _complaints(client: Any) -> list[str]:
    """Return what workers have logged about memory."""
    logs = client.get_worker_logs().values()
    lines = [line for log in logs for _, line in log]
    return [line for line in lines if any(words in line for words in _SHORT_OF_MEMORY)]


def python(script: str, *words: str) -> list[str]:
    """Return the command of a child of a script."""
    return [sys.executable, script, *words]
