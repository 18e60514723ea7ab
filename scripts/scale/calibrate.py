"""Measure the rates of the model on this machine: one worker, one thread each.

What one process does is timed on little data, best of three. What passes between processes is
timed on a cluster of two, if ``distributed`` is installed; else those rates stay as they are.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from model import Rates

import streamsparse as ss
from streamsparse.accumulators.base import DensePiece
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.kernels.ranges import serially
from streamsparse.running.tasks import Work, fold
from streamsparse.running.threads import one_blas_thread
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.sources.open import open_source

_REPEATS = 3
# n, and columns of the blocks that kernels are timed on.
_ROWS, _COLUMNS = 1_000, 1 << 14
_M = 8_192
_CHUNKS = 4
_DENSE_ROWS = 400
_TASKS = 300
_MOVED = 32 << 20


def measured(rates: Rates, *, rows: int = _ROWS, columns: int = _COLUMNS) -> Rates:
    """Return the rates with what was measured here in their place."""
    block = np.random.default_rng(0).standard_normal((rows, columns), np.float32)
    with one_blas_thread():
        rates = replace(
            rates,
            read=_read_rate(block),
            gram=rows * (rows + 1) * columns / _best(_adding(_gram(rows), block)),
            sketch=8 * block.size / _best(_adding(_sketch(rows, columns), block)),
            add=_add_rate(rows),
            dense=_dense_rate(),
        )
    if importlib.util.find_spec("distributed") is None:
        return rates
    return replace(rates, **_between_processes())


def _best(action: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some repeats, after one that compiles."""
    action()
    seconds = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _read_rate(block: np.ndarray) -> float:
    """Return bytes per second of chunks stored with zstd, from the cache of the system."""
    # Of 8 significant bits: values compress as measured ones do.
    rounded = (block.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    n, width = rounded.shape
    with tempfile.TemporaryDirectory() as folder:
        shape = (n, _CHUNKS * width)
        path = Path(folder) / "x.zarr"
        X = zarr.create_array(path, shape=shape, chunks=(n, width), dtype="float32")
        for k in range(_CHUNKS):
            X[:, k * width : (k + 1) * width] = rounded
        source = open_source(path, feature_axis=1, missing="error")
        norms = NormsAccumulator(rows=n)

        def read() -> None:
            for k in range(_CHUNKS):
                columns = (k * width, (k + 1) * width)
                data = np.ascontiguousarray(source.read((0, n), columns).data)
                norms.update(norms.start(), DensePiece((0, n), columns, data, 0), serially)

        return _CHUNKS * block.nbytes / _best(read)


def _gram(rows: int) -> GramAccumulator:
    return GramAccumulator(rows=rows, block_dtype=np.dtype(np.float32))


def _sketch(rows: int, columns: int) -> SketchAccumulator:
    return SketchAccumulator(
        rows=rows, operator=SparseSign.make(d=columns, m=_M, s=8, seed=0, hash="splitmix")
    )


def _adding(accumulator: Any, block: np.ndarray) -> Callable[[], object]:
    state = accumulator.start()
    piece = DensePiece((0, block.shape[0]), (0, block.shape[1]), block, 0)

    def add() -> None:
        accumulator.update(state, piece, serially)
        accumulator.close_span(state, serially)

    return add


def _add_rate(rows: int) -> float:
    work = Work(
        accumulators=lambda _: {"gram": _gram(rows)},
        rows=(0, rows),
        span_width=1,
        d=1,
        by_rows=False,
        zero_nonfinite=False,
    )
    packed = [[np.ones((rows, rows))] for _ in range(16)]
    return 16 * packed[0][0].nbytes / _best(lambda: fold(work, *packed))


def _dense_rate() -> float:
    """Return nominal flops (30 n^3) per second of a run that has next to no columns to read."""
    X = np.random.default_rng(0).standard_normal((_DENSE_ROWS, 2 * _DENSE_ROWS))
    return 30 * _DENSE_ROWS**3 / _best(lambda: ss.sparsify(X, "exact", progress=False))


def _between_processes() -> dict[str, float]:
    """Return what a cluster of two processes on this machine takes for tasks and bytes."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        one, other = client.scheduler_info()["workers"]

        def made(worker: str) -> Any:
            future = client.submit(np.ones, _MOVED // 8, workers=[worker], pure=False)
            future.result(timeout=60)
            return client.submit(np.ones, _MOVED // 8, workers=[worker], pure=False)

        def timed(action: Callable[[], object]) -> float:
            began = time.perf_counter()
            action()
            return time.perf_counter() - began

        moving, receiving, tasks = [], [], []
        for k in range(_REPEATS + 1):
            value = made(one)
            client.submit(len, value, workers=[one], pure=False).result()
            asked = timed(lambda: client.submit(len, [], pure=False).result())
            moved = client.submit(len, value, workers=[other], pure=False)
            moving.append(max(1e-6, timed(moved.result) - 0.5 * asked))
            receiving.append(timed(value.result))
            futures = client.map(_nothing, range(k * _TASKS, (k + 1) * _TASKS))
            tasks.append(timed(lambda futures=futures: client.gather(futures)) / _TASKS)
    return {
        "network": _MOVED / min(moving),
        "receive": _MOVED / min(receiving),
        "scheduler": min(tasks),
        "latency": asked / 4,
    }


def _nothing(_: int) -> None:
    """Do nothing: what is left is the time of scheduler and messages."""
