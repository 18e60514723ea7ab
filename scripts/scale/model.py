"""How long a pass takes on W workers: a simulation of the very tasks that the dask runner makes.

Nothing here runs dask or reads data. Tasks, tree and waves come from the package itself
(``BandGraph``, ``StoreFeed``, ``cover``, ``wave_stop``, ``MergeTree``); what a task costs comes
from :class:`Rates`.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from types import SimpleNamespace
from typing import Any

from streamsparse.kernels.parts import serially
from streamsparse.running import dask_runner
from streamsparse.running.graph import BandGraph, StoreFeed
from streamsparse.running.spans import ARITY, MergeTree, cover, span_count
from streamsparse.running.tasks import read_unit, sum_spans


@dataclass(frozen=True, slots=True)
class Rates:
    """What one worker (one thread), the network, the scheduler and the client do per second.

    Attributes
    ----------
    read : bytes read from the store and decoded by one worker.
    store : bytes that the store gives to all workers together.
    gram : flops of products (Gram matrix, rows and probes of a certificate), one thread.
    sketch : additions of the sketch, one thread.
    add : bytes of partial sums added, one thread; copying one costs about as much.
    network : bytes into or out of one worker, serialised.
    receive : bytes of partial sums that the client receives and unpacks.
    latency : seconds until a message is there.
    scheduler : seconds of the scheduler per task.
    client : seconds of the client per task: graph, keys, messages.
    wave : seconds per wave beside all that.
    dense : flops of the dense stage, one thread.
    """

    read: float = 0.7e9
    store: float = math.inf
    gram: float = 65e9
    sketch: float = 3e9
    add: float = 0.57e9
    network: float = 1.0e9
    receive: float = 1.1e9
    latency: float = 3e-3
    scheduler: float = 1.5e-3
    client: float = 3e-4
    wave: float = 0.03
    dense: float = 20e9


@dataclass(frozen=True, slots=True)
class Job:
    """A run, as its plan has it.

    Attributes
    ----------
    name, n, d : what is reduced.
    stored_bytes : bytes that one pass reads.
    unit_columns : columns of a unit of the source.
    span_width : columns of a span.
    scans : passes over X.
    partial_bytes : of one partial sum.
    products, additions : flops and additions of the sketch for all columns of one pass.
    dense_flops : of the stage after the passes.
    """

    name: str
    n: int
    d: int
    stored_bytes: int
    unit_columns: int
    span_width: int
    scans: int
    partial_bytes: int
    products: float
    additions: float
    dense_flops: float

    @property
    def spans(self) -> int:
        """Return how many spans there are."""
        return span_count(d=self.d, width=self.span_width)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How waves are cut: as the package does it, unless told otherwise.

    Attributes
    ----------
    has_waves : False computes everything at once.
    first_wave : spans of the first wave at least, None for the package's.
    wave_bytes : most bytes of partial sums that a wave brings back.
    """

    has_waves: bool = True
    first_wave: int | None = None
    wave_bytes: int = dask_runner._WAVE_BYTES


@dataclass(slots=True)
class Cost:
    """What a run on W workers takes: seconds, and how long each part was busy.

    Attributes
    ----------
    workers : W.
    seconds : from the first wave to the end of the dense stage.
    reading, computing, merging : seconds of all workers together.
    scheduler, client, dense : seconds of the one scheduler, of the client in passes, and after.
    waves, tasks : how many there were.
    read_bytes, moved_bytes, client_bytes : from the store, between workers, to the client.
    """

    workers: int
    seconds: float = 0.0
    reading: float = 0.0
    computing: float = 0.0
    merging: float = 0.0
    scheduler: float = 0.0
    client: float = 0.0
    dense: float = 0.0
    waves: int = 0
    tasks: int = 0
    read_bytes: float = 0.0
    moved_bytes: float = 0.0
    client_bytes: float = 0.0

    @property
    def busy(self) -> float:
        """Return the share of the time in which a worker has something to do, on average."""
        return (self.reading + self.computing + self.merging) / (self.workers * self.seconds)


@dataclass(eq=False, slots=True)
class Task:
    """A task of the graph: what it needs, what it reads, how many partial sums it adds."""

    number: int
    needs: list[Task]
    columns: int = 0
    folds: int = 0
    # Filled while it is simulated.
    missing: int = 0
    worker: int = -1
    users: list[Task] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Recorder(BandGraph):
    """The graph of a band that notes tasks instead of making them: the package's own shape."""

    made: dict[str, Task] = field(default_factory=dict)

    def task(self, function: Any, *arguments: Any, key: str, **_: Any) -> Task:
        """Note a task; one key is one task."""
        if key not in self.made:
            needs = [argument for argument in arguments if isinstance(argument, Task)]
            task = Task(len(self.made), needs)
            if function is sum_spans:
                task.columns = arguments[2][1] - arguments[2][0]
            elif function is read_unit:
                task.columns = arguments[1][1] - arguments[1][0]
            else:
                task.folds = len(needs)
            self.made[key] = task
        return self.made[key]


def recorder(job: Job) -> Recorder:
    """Return the graph of a pass, nothing in it yet."""
    source: Any = SimpleNamespace(shape=(job.n, job.d), unit=(job.n, job.unit_columns))
    return Recorder(
        name="model",
        work=None,
        feed=StoreFeed("model", source, block_bytes=0),
        rows=(0, job.n),
        span_width=job.span_width,
        d=job.d,
        partial_bytes=job.partial_bytes,
    )


def predict(job: Job, workers: int, rates: Rates, schedule: Schedule | None = None) -> Cost:
    """Return what a run takes on so many workers of one thread each."""
    cost = Cost(workers)
    for _ in range(job.scans):
        _predict_pass(job, rates, schedule or Schedule(), cost)
    cost.dense = job.dense_flops / rates.dense
    cost.seconds += cost.dense
    return cost


def _predict_pass(job: Job, rates: Rates, schedule: Schedule, cost: Cost) -> None:
    """Do what ``dask_runner._waves`` does, with a simulated cluster."""
    merges = count()
    tree = MergeTree(lambda _into, _other, _each: next(merges))
    units = dask_runner._UNITS_PER_WAVE * job.unit_columns
    fewest = max(ARITY, -(-units // job.span_width), schedule.first_wave or 0)
    wanted = fewest if schedule.has_waves else job.spans
    most_nodes = max(1, schedule.wave_bytes // job.partial_bytes)
    if not schedule.has_waves:
        most_nodes = job.spans
    position = 0
    while position < job.spans:
        stop = dask_runner.wave_stop(position, wanted, spans=job.spans, most_nodes=most_nodes)
        nodes = cover(position, stop)
        graph = recorder(job)
        last = [graph.node(node) for node in nodes]
        tasks = list(graph.made.values())
        preparing = rates.wave + len(tasks) * rates.client
        seconds = preparing + _Cluster(job, rates, cost).run(tasks)
        received = len(last) * job.partial_bytes
        before = next(merges)
        for node in nodes:
            tree.push(node, serially, level=node.level, count=node.count)
        if stop == job.spans:
            tree.result(serially)
        adding = (next(merges) - before - 1) * job.partial_bytes / rates.add
        receiving = rates.latency + received / rates.receive
        seconds += receiving + adding
        cost.client += preparing + receiving + adding
        cost.client_bytes += received
        cost.waves += 1
        cost.seconds += seconds
        position = stop
        grown = min(ARITY, dask_runner._WAVE_SECONDS / max(1e-3, seconds))
        wanted = max(fewest, int(wanted * grown))


class _Cluster:
    """Workers that take tasks in order, hold what they made, and fetch what others hold.

    A worker has two tasks that need nothing in hand at most, so that it does not wait for the
    scheduler; what needs partial sums runs where most of them lie, least busy first.
    """

    def __init__(self, job: Job, rates: Rates, cost: Cost) -> None:
        self._job, self._rates, self._cost = job, rates, cost
        W = cost.workers
        self._queues: list[list[tuple[int, Task]]] = [[] for _ in range(W)]
        self._is_busy = [False] * W
        self._assigned = [0] * W
        # Workers with none, and with one task that needs nothing.
        self._free: tuple[deque[int], deque[int]] = (deque(range(W)), deque())
        self._in, self._out = [0.0] * W, [0.0] * W
        self._scheduler = 0.0
        self._leaves: deque[Task] = deque()
        self._events: list[tuple[float, int, str, Task]] = []
        self._order = count()
        column_bytes = job.stored_bytes / job.d
        self._column_bytes = column_bytes
        self._read = column_bytes / rates.read
        work = job.products / rates.gram + job.additions / rates.sketch
        self._compute = work / job.d

    def run(self, tasks: list[Task]) -> float:
        """Return the seconds from the submission of the tasks until all are done."""
        for task in tasks:
            task.missing = len(task.needs)
            for needed in task.needs:
                needed.users.append(task)
        self._leaves.extend(task for task in tasks if not task.needs)
        # The store is shared by as many as there is work for.
        readers = min(len(self._queues), len(self._leaves))
        rate = min(self._rates.read, self._rates.store / readers)
        self._read = self._column_bytes / rate
        self._cost.tasks += len(tasks)
        self._hand_out(0.0)
        now = 0.0
        while self._events:
            now, _, what, task = heapq.heappop(self._events)
            if what == "there":
                heapq.heappush(self._queues[task.worker], (task.number, task))
            else:
                self._is_busy[task.worker] = False
                self._done(now, task)
            self._start(now, task.worker)
        return now

    def _at(self, time: float, what: str, task: Task) -> None:
        heapq.heappush(self._events, (time, next(self._order), what, task))

    def _hand_out(self, now: float) -> None:
        """Have the scheduler give tasks that need nothing to those that have fewest."""
        while self._leaves:
            worker = self._with_fewest()
            if worker is None:
                return
            task = self._leaves.popleft()
            task.worker = worker
            self._assigned[worker] += 1
            if self._assigned[worker] == 1:
                self._free[1].append(worker)
            self._at(self._schedule(now), "there", task)

    def _with_fewest(self) -> int | None:
        for has, workers in enumerate(self._free):
            while workers:
                worker = workers.popleft()
                # Others may have been noted when they had fewer, or more.
                if self._assigned[worker] == has:
                    return worker
        return None

    def _schedule(self, now: float) -> float:
        self._scheduler = max(self._scheduler, now) + self._rates.scheduler
        self._cost.scheduler += self._rates.scheduler
        return self._scheduler + self._rates.latency

    def _start(self, now: float, worker: int) -> None:
        if self._is_busy[worker] or not self._queues[worker]:
            return
        self._is_busy[worker] = True
        _, task = heapq.heappop(self._queues[worker])
        reading, computing = task.columns * self._read, task.columns * self._compute
        merging = task.folds * self._job.partial_bytes / self._rates.add
        cost = self._cost
        cost.reading += reading
        cost.computing += computing
        cost.merging += merging
        cost.read_bytes += task.columns * self._column_bytes
        self._at(now + reading + computing + merging, "done", task)

    def _done(self, now: float, task: Task) -> None:
        if not task.needs:
            self._release(task.worker)
        for user in task.users:
            user.missing -= 1
            if user.missing == 0:
                self._place(now, user)
        self._hand_out(now)

    def _release(self, worker: int) -> None:
        self._assigned[worker] -= 1
        self._free[self._assigned[worker]].append(worker)

    def _place(self, now: float, task: Task) -> None:
        """Let a task run where most of what it needs lies; the rest is fetched."""
        held: dict[int, int] = {}
        for needed in task.needs:
            held[needed.worker] = held.get(needed.worker, 0) + 1
        task.worker = min(held, key=lambda w: (-held[w], len(self._queues[w]), self._is_busy[w], w))
        told = self._schedule(now)
        ready = told
        for needed in task.needs:
            if needed.worker == task.worker:
                continue
            moved = self._bytes_of(needed)
            begin = max(told, self._in[task.worker], self._out[needed.worker])
            end = begin + moved / self._rates.network
            self._in[task.worker] = self._out[needed.worker] = end
            self._cost.moved_bytes += moved
            ready = max(ready, end + self._rates.latency)
        self._at(ready, "there", task)

    def _bytes_of(self, task: Task) -> float:
        # A unit that two spans share is sent as it was read; all else is a partial sum.
        is_unit = not task.needs and any(user.columns for user in task.users)
        return task.columns * self._column_bytes if is_unit else self._job.partial_bytes


_MOSTLY = 0.5
# What is free in a world without one of the bounds.
FREE = {
    "reading": {"read": math.inf, "store": math.inf},
    "computing": {"gram": math.inf, "sketch": math.inf},
    "merge tree": {"add": math.inf, "network": math.inf},
    "scheduler": {"scheduler": 0.0},
    "client": {"client": 0.0, "wave": 0.0, "receive": math.inf},
    "dense stage": {"dense": math.inf},
}


def bound(job: Job, cost: Cost, rates: Rates, schedule: Schedule) -> str:
    """Return what would shorten the run most if it took no time.

    Where workers are idle half of the time or more it is not their speed, but what keeps them so.
    """
    W = cost.workers
    saved = {
        name: cost.seconds - predict(job, W, replace(rates, **settings), schedule).seconds
        for name, settings in FREE.items()
    }
    if cost.busy >= _MOSTLY:
        names = ("reading", "computing", "merge tree")
        return max(names, key=lambda name: saved[name])
    del saved["reading"], saved["computing"]
    if schedule.has_waves:
        at_once = predict(job, W, rates, replace(schedule, has_waves=False))
        saved["waves"] = cost.seconds - at_once.seconds
    finer = with_more_spans(job, ARITY)
    saved["few spans"] = cost.seconds - predict(finer, W, rates, schedule).seconds
    return max(saved, key=lambda name: saved[name])


def with_more_spans(job: Job, times: int) -> Job:
    """Return the same job with narrower spans."""
    return replace(job, span_width=max(1, job.span_width // times))


def powers(most: int) -> Iterator[int]:
    """Yield 1, 2, 4, ... below ``most``, and ``most``."""
    workers = 1
    while workers < most:
        yield workers
        workers *= 2
    yield most
