"""Small clusters, a scheduler that runs tasks twice, and what is compared of two results."""

import hashlib
import random
from contextlib import contextmanager
from dataclasses import asdict, fields

import numpy as np
import scipy.sparse
from dask._task_spec import convert_legacy_graph
from dask.core import toposort

import streamsparse as ss
from streamsparse.running.sums import Sums
from streamsparse.running.tasks import Work
from streamsparse.sources.base import DenseBlock, SparseBlock

# What two runs of the same thing may differ in.
_OF_THE_RUN = ("seconds", "peak_memory_bytes", "passes", "bytes_read", "integrity")


@contextmanager
def small_cluster(*, workers=2, threads=1):
    """Worker processes on this machine, the default of whatever is computed meanwhile."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=threads, processes=True, dashboard_address=":0"
        ) as made,
        distributed.Client(made) as client,
    ):
        yield client


def everything(result):
    """Return the bits of a result, and all that its certificate states."""
    Y = result.Y.toarray() if scipy.sparse.issparse(result.Y) else result.Y[:]
    columns = None if result.columns is None else result.columns.tolist()
    weights = None if result.weights is None else result.weights.tobytes()
    stated = asdict(result.certificate)
    for name in _OF_THE_RUN:
        del stated[name]
    return hashlib.sha256(np.ascontiguousarray(Y).tobytes()).hexdigest(), columns, weights, stated


def flat(value):
    """Everything in a value of a task, as what can be compared."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return [flat(item) for item in value]
    if isinstance(value, dict):
        return {key: flat(item) for key, item in value.items()}
    if isinstance(value, Sums):
        states = zip(value._accumulators, value._states, strict=False)
        tiles = [vars(part._stack) for part in value._accumulators if hasattr(part, "_stack")]
        return flat([value.save(), [part.pack(state) for part, state in states], tiles])
    if isinstance(value, DenseBlock | SparseBlock):
        return flat([getattr(value, field.name) for field in fields(value)])
    if isinstance(value, ss.Result):
        return everything(value)
    if isinstance(value, Work):
        # What it makes of a pass before it is a closure, which compares with nothing.
        return value.rows, value.span_width, value.d, value.by_rows
    return flat(vars(value)) if scipy.sparse.issparse(value) else value


def twice(seed):
    """A scheduler that runs every task twice, goes on with either, and watches what they change."""
    rng = random.Random(seed)

    def get(dsk, keys, **_):
        # An expression, of late.
        dsk = dsk.__dask_graph__() if hasattr(dsk, "__dask_graph__") else dsk
        graph = convert_legacy_graph(dict(dsk))
        values = {}
        for key in toposort(graph):
            given = {name: values[name] for name in graph[key].dependencies}
            before = flat(given)
            made = [graph[key](given) for _ in range(2)]
            assert flat(given) == before, f"{key} changes what it is given"
            assert flat(made[0]) == flat(made[1]), f"{key} gives two answers"
            values[key] = rng.choice(made)
        return [values[key] for key in keys] if isinstance(keys, list) else values[keys]

    return get
