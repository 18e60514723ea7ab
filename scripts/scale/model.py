"""How long a pass takes on W workers: a simulation of the very tasks that the dask runner makes.

Nothing here runs dask or reads data. Tasks, tree and waves come from the package itself
(``BandGraph``, ``StoreFeed``, ``Pace``, ``wave_stop``, ``cover``, ``MergeTree``); what a task costs
comes from :class:`Rates`. One cluster is simulated from the first task to the last: the client
gives it a wave while the one before is under way, and fetches what is done node by node.
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

from streamsparse.kernels.ranges import serially
from streamsparse.running import dask_runner
from streamsparse.running.feeds import StoreFeed
from streamsparse.running.graph import BandGraph, spans_per_task
from streamsparse.running.spans import ARITY, MergeTree, Node, cover, span_count
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
    spread : seconds until stealing has spread tasks that are fewer than two per worker: dask gives
        those to whoever holds what they share. More than that it hands out itself.
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
    spread: float = 1.2
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

    @property
    def column_bytes(self) -> float:
        """Return the bytes of a column."""
        return self.stored_bytes / self.d


@dataclass(frozen=True, slots=True)
class Schedule:
    """How waves are cut: as the package does it, unless told otherwise.

    Attributes
    ----------
    has_waves : False computes everything at once.
    """

    has_waves: bool = True


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
    longest_wave : seconds from the end of one wave to the end of the next, at most.
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
    longest_wave: float = 0.0
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

    needs: list[Task]
    columns: int = 0
    folds: int = 0
    # Filled while it is simulated.
    number: int = 0
    missing: int = 0
    worker: int = -1
    done: float = math.inf
    users: list[Task] = field(default_factory=list)

    @property
    def is_unit(self) -> bool:
        """Return whether it reads a unit for others: all else makes partial sums."""
        return not self.needs and any(user.columns for user in self.users)

    @property
    def is_held(self) -> bool:
        """Return whether somebody still needs what it made: dask has it then."""
        return any(user.done == math.inf for user in self.users)


@dataclass(frozen=True, slots=True)
class Recorder(BandGraph):
    """The graph of a band that notes tasks instead of making them: the package's own shape."""

    made: dict[str, Task] = field(default_factory=dict)

    def task(self, kind: str, *which: object, call: tuple[Any, ...], **_: Any) -> Task:
        """Note a task; one key is one task."""
        key = "-".join([kind, *map(str, which)])
        if key not in self.made:
            function, *arguments = call
            task = Task([argument for argument in arguments if isinstance(argument, Task)])
            if function is sum_spans:
                _, spans, inner, *_ = arguments
                task.columns = inner[1] - inner[0]
                task.folds = spans[1] - spans[0] - 1
            elif function is read_unit:
                task.columns = arguments[1][1] - arguments[1][0]
            else:
                task.folds = len(task.needs)
            self.made[key] = task
        return self.made[key]


def recorder(job: Job, held: dict[str, Task] | None = None) -> Recorder:
    """Return the graph of a pass, nothing in it yet but tasks that dask has begun before."""
    source: Any = SimpleNamespace(shape=(job.n, job.d), unit=(job.n, job.unit_columns))
    span_bytes = job.span_width * job.column_bytes
    return Recorder(
        name="model",
        work=None,
        feed=StoreFeed("model", source, block_bytes=0),
        rows=(0, job.n),
        span_width=job.span_width,
        d=job.d,
        partial_bytes=job.partial_bytes,
        # Workers with memory enough.
        spans_per_task=spans_per_task(
            spans=job.spans, span_bytes=span_bytes, partial_bytes=job.partial_bytes, lanes=None
        ),
        made=dict(held or {}),
    )


def in_order(tasks: list[Task], known: set[Task]) -> Iterator[Task]:
    """Yield tasks that are not known, each right after what it needs, as dask orders a graph."""
    for task in tasks:
        if task not in known:
            known.add(task)
            yield from in_order(task.needs, known)
            yield task


def predict(job: Job, workers: int, rates: Rates, schedule: Schedule | None = None) -> Cost:
    """Return what a run takes on so many workers of one thread each."""
    cost = Cost(workers)
    for _ in range(job.scans):
        _Client(job, rates, schedule or Schedule(), cost).run()
    cost.dense = job.dense_flops / rates.dense
    cost.seconds += cost.dense
    return cost


class _Client:
    """Does what ``dask_runner._Waves`` does, with a simulated cluster."""

    def __init__(self, job: Job, rates: Rates, schedule: Schedule, cost: Cost) -> None:
        self._job, self._rates, self._cost = job, rates, cost
        self._merges = count()
        self._tree = MergeTree(lambda _into, _other, _each: next(self._merges))
        units = -(-dask_runner._UNITS_PER_WAVE * job.unit_columns // job.span_width)
        tasks = dask_runner._TASKS_PER_LANE * cost.workers
        first = max(ARITY, units, tasks * recorder(job).spans_per_task)
        self._pace = dask_runner.Pace(first if schedule.has_waves else job.spans)
        self._begun: deque[list[tuple[Node, Task]]] = deque()
        self._made: dict[str, Task] = {}
        self._cluster = _Cluster(job, rates, cost)
        self._now = 0.0

    def run(self) -> None:
        """Have all waves of a pass computed."""
        started, last = 0, 0.0
        while started < self._job.spans:
            if not self._begun:
                self._begin(started)
            wave = self._begun[0]
            stop = wave[-1][0].spans[1]
            self._begin(stop)
            for node, task in wave:
                self._take(node, task)
            self._begun.popleft()
            seconds = self._now - last
            self._pace.note(seconds)
            self._cost.longest_wave = max(self._cost.longest_wave, seconds)
            started, last = stop, self._now
        self._cost.seconds += self._now

    def _begin(self, start: int) -> None:
        """Give the cluster the spans from ``start`` on, if there are any and it has one wave."""
        if start == self._job.spans or len(self._begun) > 1:
            return
        stop = dask_runner.wave_stop(
            start, self._pace.count, spans=self._job.spans, most_nodes=None
        )
        nodes = cover(start, stop)
        held = {key: task for key, task in self._made.items() if task.is_unit and task.is_held}
        graph = recorder(self._job, held)
        last = [graph.node(node) for node in nodes]
        self._begun.append(list(zip(nodes, last, strict=True)))
        self._made = graph.made
        tasks = list(in_order(last, set(held.values())))
        self._spend(self._rates.wave + len(tasks) * self._rates.client)
        self._cluster.submit(self._now + self._rates.latency, tasks)
        self._cost.waves += 1

    def _take(self, node: Node, task: Task) -> None:
        """Wait for the sums of a node, ask for them, and put them into the tree."""
        done = self._cluster.run_until(task) + self._rates.latency
        self._now = max(self._now, done) + 2 * self._rates.latency
        before = next(self._merges)
        self._tree.push(node, serially, level=node.level, count=node.count)
        if node.spans[1] == self._job.spans:
            self._tree.result(serially)
        adding = (next(self._merges) - before - 1) * self._job.partial_bytes / self._rates.add
        self._spend(self._job.partial_bytes / self._rates.receive + adding)
        self._cost.client_bytes += self._job.partial_bytes

    def _spend(self, seconds: float) -> None:
        self._now += seconds
        self._cost.client += seconds


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
        self._tasks = count()
        # Tasks that need nothing: those that no worker has, and how many are not done.
        self._leaves: deque[Task] = deque()
        self._open_leaves = 0
        self._events: list[tuple[float, int, str, Task]] = []
        self._order = count()
        self._read = job.column_bytes / rates.read
        work = job.products / rates.gram + job.additions / rates.sketch
        self._compute = work / job.d

    def submit(self, now: float, tasks: list[Task]) -> None:
        """Take tasks at a time, each after those that it needs."""
        while self._events and self._events[0][0] <= now:
            self._step()
        self._cost.tasks += len(tasks)
        ready = []
        for task in tasks:
            task.number = next(self._tasks)
            task.missing = sum(needed.done == math.inf for needed in task.needs)
            for needed in task.needs:
                needed.users.append(task)
            if not task.needs:
                self._leaves.append(task)
                self._open_leaves += 1
            elif task.missing == 0:
                ready.append(task)
        # The store is shared by as many as there is work for.
        W = len(self._queues)
        rate = min(self._rates.read, self._rates.store / max(1, min(W, self._open_leaves)))
        self._read = self._job.column_bytes / rate
        for task in ready:
            self._place(now, task)
        # A few lie with one worker until they are stolen.
        self._hand_out(now, self._rates.spread if 1 < self._open_leaves <= 2 * W else 0.0)

    def run_until(self, task: Task) -> float:
        """Go on until a task is done, if it is not yet, and return when that was."""
        while task.done == math.inf:
            self._step()
        return task.done

    def _step(self) -> None:
        now, _, what, task = heapq.heappop(self._events)
        if what == "there":
            heapq.heappush(self._queues[task.worker], (task.number, task))
        else:
            self._is_busy[task.worker] = False
            self._done(now, task)
        self._start(now, task.worker)

    def _at(self, time: float, what: str, task: Task) -> None:
        heapq.heappush(self._events, (time, next(self._order), what, task))

    def _hand_out(self, now: float, spreading: float = 0.0) -> None:
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
            self._at(self._schedule(now) + spreading, "there", task)

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
        cost.read_bytes += task.columns * self._job.column_bytes
        self._at(now + reading + computing + merging, "done", task)

    def _done(self, now: float, task: Task) -> None:
        task.done = now
        if not task.needs:
            self._open_leaves -= 1
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
        return task.columns * self._job.column_bytes if task.is_unit else self._job.partial_bytes


_MOSTLY = 0.5
# What is free in a world without one of the bounds.
FREE = {
    "reading": {"read": math.inf, "store": math.inf},
    "computing": {"gram": math.inf, "sketch": math.inf},
    "merge tree": {"add": math.inf, "network": math.inf},
    "scheduler": {"scheduler": 0.0, "spread": 0.0},
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
