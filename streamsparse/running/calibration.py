"""Measure the rates of this machine, in about three seconds beside what is compiled first."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np

from streamsparse.accumulators.base import Accumulator, Piece
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.probes import ProbesAccumulator
from streamsparse.accumulators.rows import RowsAccumulator
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.arrays import Array
from streamsparse.kernels.ranges import Each
from streamsparse.running.pieces import cut_pieces, prepare
from streamsparse.running.rates import Rates
from streamsparse.running.threads import available_threads, worker_threads
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.sources.base import Block, DenseBlock, SparseBlock
from streamsparse.sources.buffers import reused_buffers
from streamsparse.sources.structure import check_indices
from streamsparse.storing.files import write_file

# A block as a pass has them, and a sketch that does not fit the caches.
_ROWS, _COLUMNS, _SKETCH_COLUMNS = 1024, 8192, 4096
_SAMPLE, _PROBES = 90, 16
_SPARSE_COLUMNS, _DENSITY = 1 << 18, 0.003
_DENSE_ROWS = 512
_REPEATS = 2


def measure_rates(*, rows: int = _ROWS, columns: int = _COLUMNS) -> Rates:
    """Return what this machine does; ``rows`` and ``columns``: of the blocks it is tried on."""
    threads = available_threads()
    rng = np.random.default_rng(0)
    values = rng.standard_normal((rows, columns), np.float32)
    with worker_threads(threads) as each:
        return Rates(
            **{
                name: rate / threads
                for measured in (
                    _reading(values, each, threads),
                    _dense(values, each),
                    _sparse(rng, rows, columns, each),
                )
                for name, rate in measured.items()
            },
            **_small_dense(rng, min(rows, _DENSE_ROWS)),
        )


def _seconds(action: Callable[[], object]) -> float:
    """Return the shorter of two times, after one that compiles and warms up."""
    action()
    times = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return max(min(times), 1e-9)


def _reading(values: Array, each: Each, threads: int) -> dict[str, float]:
    """Every thread reads, or decodes, chunks like those of measured data."""
    rounded = (values.view(np.uint32) & np.uint32(0xFFFF0000)).reshape(-1)[: 1 << 20]
    raw = rounded.view(np.uint8)
    outs = [np.empty(raw.size, np.uint8) for _ in range(threads)]
    size = threads * raw.size
    rates = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chunk"
        write_file(path, raw.data)

        def read(k: int) -> None:
            with path.open("rb", buffering=0) as file:
                file.readinto(outs[k].data)

        rates["read"] = size / _seconds(lambda: each(read, threads))
    codecs: dict[str, Any] = {
        "zstd": numcodecs.Zstd(3),
        "blosc": numcodecs.Blosc("lz4", 5),
        "gzip": numcodecs.GZip(5),
        "lz4": numcodecs.LZ4(),
    }
    for name, codec in codecs.items():
        encoded = codec.encode(raw)

        def decode(k: int, codec: Any = codec, encoded: Any = encoded) -> None:
            codec.decode(encoded, out=outs[k])

        rates[name] = size / _seconds(partial(each, decode, threads))
    return rates


def _fed(accumulator: Accumulator, block: Block, each: Each) -> float:
    """Return the seconds in which an accumulator takes a block, its state being there."""
    state = accumulator.start()
    pieces: list[Piece] = [piece for _, piece in cut_pieces(block, block.columns[1])]

    def feed() -> None:
        for piece in pieces:
            accumulator.update(state, piece, each)

    return _seconds(feed)


def _dense(values: Array, each: Each) -> dict[str, float]:
    n, d = values.shape
    sample, probes = np.arange(min(n, _SAMPLE)), np.ones((n, _PROBES))
    rates = {}
    for dtype, bits in ((np.dtype(np.float64), "64"), (np.dtype(np.float32), "32")):
        block = DenseBlock((0, n), (0, d), values.astype(dtype))
        gram = GramAccumulator(rows=n, block_dtype=dtype)
        rates[f"gram{bits}"] = n * (n + 1) * d / _fed(gram, block, each)
        rows = RowsAccumulator(rows=n, sample=sample, held=None, block_dtype=dtype)
        rates[f"rows{bits}"] = 2 * sample.size * n * d / _fed(rows, block, each)
    made = ProbesAccumulator(probes=probes, block_dtype=dtype)
    rates["probes"] = 4 * _PROBES * n * d / _fed(made, block, each)
    rates["norms"] = n * d / _fed(NormsAccumulator(rows=n), block, each)
    once, often = (_fed(_sketch(n, d, s), block, each) for s in (1, 8))
    rates["merge"] = _merging(_sketch(n, d, 1), each)
    return rates | _split(n * d, once, often, "visits", "adds")


def _merging(sketch: SketchAccumulator, each: Each) -> float:
    """Return bytes per second of the states of spans that are added up."""
    into, state = sketch.start(), sketch.start()

    def merge() -> None:
        sketch.merge(into, state, each)
        sketch.clear(state)

    return int(state[0].nbytes) / _seconds(merge)


def _split(entries: float, once: float, often: float, fixed: str, each: str) -> dict[str, float]:
    """Return the rates of t = entries (1 / fixed + s / each) from the times for s = 1 and 8."""
    addition = max(often - once, 0.1 * often) / 7
    return {fixed: entries / max(once - addition, 0.1 * once), each: entries / addition}


def _sketch(n: int, d: int, s: int) -> SketchAccumulator:
    operator = SparseSign.make(d=d, m=min(d, _SKETCH_COLUMNS), s=s, seed=0)
    return SketchAccumulator(rows=n, operator=operator)


def _sparse(rng: np.random.Generator, n: int, columns: int, each: Each) -> dict[str, float]:
    d = columns * (_SPARSE_COLUMNS // _COLUMNS)
    places = np.unique(rng.integers(0, n * d, int(n * d * _DENSITY)))
    counts, indices = np.bincount(places // n, minlength=d), (places % n).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    data = np.ones(indices.size, np.float32)
    block = SparseBlock((0, n), (0, d), False, indptr, indices, data)
    nnz = indices.size
    threads = available_threads()
    by_rows = prepare(block, by_rows=True, zero=False)

    def turn(_: int) -> None:
        prepare(block, by_rows=True, zero=False)

    def check(_: int) -> None:
        check_indices(
            indptr, indices, data, minors=n, name="", by_rows=False, first=0, is_ours=True
        )

    looked_at = (nnz + d) * threads
    with reused_buffers():
        rates = {"relayout": looked_at / _seconds(lambda: each(turn, threads))}
    rates["checks"] = looked_at / _seconds(lambda: each(check, threads))
    once, often = (_fed(_sketch(n, d, s), by_rows, each) for s in (1, 8))
    once_with_norms = once + _fed(NormsAccumulator(rows=n), by_rows, each)
    rates |= _split(
        nnz, once_with_norms, often + once_with_norms - once, "sparse_entries", "sparse_adds"
    )
    dtype = np.dtype(np.float32)
    products = float((counts * (counts + 1) / 2).sum())
    rates["scatter"] = products / _fed(GramAccumulator(rows=n, block_dtype=dtype), block, each)
    sample = np.arange(min(n, _SAMPLE))
    rows = RowsAccumulator(rows=n, sample=sample, held=None, block_dtype=dtype)
    rates["sparse_rows"] = nnz * (1 + _DENSITY * sample.size) / _fed(rows, by_rows, each)
    probes = ProbesAccumulator(probes=np.ones((n, _PROBES)), block_dtype=dtype)
    rates["sparse_probes"] = 2 * _PROBES * nnz / _fed(probes, by_rows, each)
    return rates


def _small_dense(rng: np.random.Generator, n: int) -> dict[str, float]:
    """Return the rates of what comes after the pass, on one thread."""
    A = rng.standard_normal((n, n))
    G = A @ A.T
    return {
        "eigh": 30 * n**3 / _seconds(lambda: np.linalg.eigh(G)),
        "dense": 2 * n**3 / _seconds(lambda: A @ G),
    }
