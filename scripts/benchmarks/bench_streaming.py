"""From Zarr on a local disk, warm page cache, against zarr merely reading the same array.

What is measured, in decoded bytes per second:

reduce   ``sparsify`` by sketch, whole: Y, its certificate, and the dense stage;
sums     the pass that makes Y alone, without the rows and probes of a certificate;
exact    ``sparsify`` by exact, whole.

The baseline is zarr-python in the same run: it reads block after block, decompresses and forgets.
``facts`` has the roof: what as many threads as there are processors read and decode of the same
chunk files, with the same decoders, into memory that is used again ("bare"), and the ratio to it.
"""

from __future__ import annotations

import os
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from harness import Report, intervals, parse_arguments, sparse_columns, time_in_turns, write_dense
from zarr.codecs import BloscCodec, ZstdCodec

import streamsparse
from streamsparse.accumulators.base import Accumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.arrays import Interval
from streamsparse.methods.sketch import operator_of
from streamsparse.running.local import Execution, run_bands
from streamsparse.running.progress import show_progress
from streamsparse.running.threads import available_threads
from streamsparse.storing.zarr_write import write_sparse
from streamsparse.units import format_bytes

SEED = 7
DENSITY = 0.003
COMPRESSORS = {
    "raw": None,
    "zstd": ZstdCodec(level=3),
    "blosc": BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
}
DECODERS = {"raw": None, "zstd": numcodecs.Zstd(), "blosc": numcodecs.Blosc()}
# Entries of a sparse group read at once: one chunk of each array as we write them.
SPARSE_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """Shapes of one size; ``widths`` are the columns per chunk, ``sparse_d`` those of the CSC."""

    n: int
    d: int
    widths: tuple[int, ...]
    m: int
    sparse_d: int
    repeats: int


SIZES = {
    "toy": Sizes(n=64, d=1 << 13, widths=(1 << 10,), m=256, sparse_d=1 << 14, repeats=1),
    "small": Sizes(
        n=1024, d=1 << 18, widths=(1 << 13, 1 << 8), m=4096, sparse_d=1 << 22, repeats=3
    ),
    "large": Sizes(
        n=1024, d=1 << 20, widths=(1 << 13, 1 << 8), m=4096, sparse_d=1 << 24, repeats=2
    ),
}


def main() -> None:
    folder = {"default": None, "help": "where to write the data; a temporary folder by default"}
    arguments = parse_arguments(__doc__, folder=folder)
    sizes, report = SIZES[arguments.size], Report("streaming", arguments)
    for storage in COMPRESSORS:
        for width in sizes.widths:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
                bench_dense(report, sizes, storage, width, Path(name) / "X.zarr")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        bench_sparse(report, sizes, Path(name) / "csc.zarr")
    report.print_table()


def bench_dense(report: Report, sizes: Sizes, storage: str, width: int, path: Path) -> None:
    """Measure a dense array stored in one way; the exact method for the largest chunks only."""
    chunk_bytes = 4 * sizes.n * width
    size = format_bytes(chunk_bytes)
    kinds = ["reduce", "sums"] + (["exact"] if width == max(sizes.widths) else [])
    wanted = {f"{kind} {storage} {size}": kind for kind in kinds}
    wanted = {name: kind for name, kind in wanted.items() if report.wants(name)}
    if not wanted:
        return
    write_dense(path, (sizes.n, sizes.d), width, COMPRESSORS[storage])
    size_bytes = 4 * sizes.n * sizes.d
    parameters = {
        "n": sizes.n,
        "d": sizes.d,
        "chunk": [sizes.n, width],
        "dtype": "float32",
        "storage": storage,
    }
    for name, kind in wanted.items():
        m = None if kind == "exact" else sizes.m
        plan = streamsparse.plan(path, "exact" if kind == "exact" else "sketch", m=m, seed=SEED)
        ours = partial(sum_up if kind == "sums" else reduce, path, plan)
        read = partial(read_blocks, path, blocks_of(path, plan))
        bare = partial(read_bare, path, DECODERS[storage], chunk_bytes)
        done, roof, barely = time_in_turns([ours, read, bare], sizes.repeats)
        report.add(
            name,
            parameters | {"m": m},
            timing=done,
            rate=(size_bytes / done.best / 1e9, "GB/s"),
            baseline=("zarr reading the same blocks", size_bytes / roof.best / 1e9),
            facts=facts_of(plan)
            | {
                "bare_rate": size_bytes / barely.best / 1e9,
                "ratio_to_bare": barely.best / done.best,
            },
        )


def reduce(path: Path, plan: streamsparse.Plan) -> None:
    """Make Y and its certificate."""
    streamsparse.sparsify(path, plan.method, m=plan.m, seed=SEED, progress=False)


def sum_up(path: Path, plan: streamsparse.Plan) -> None:
    """Make the sums of a sketch, and nothing else but the norms that check for NaN."""
    source, operator = streamsparse.open_source(path), operator_of(plan)

    def accumulators(band: Interval) -> dict[str, Accumulator]:
        rows = band[1] - band[0]
        sums = SketchAccumulator(rows=rows, operator=operator)
        return {"norms": NormsAccumulator(rows=rows), "sums": sums}

    with show_progress(False, label="", total=0) as bar:
        execution = Execution(available_threads(), False, bar)
        for _ in run_bands(source, plan.stream, execution, accumulators, by_rows=True):
            pass


def read_blocks(path: Path, blocks: list[tuple[Interval, Interval]]) -> None:
    """Read the array by zarr-python alone."""
    array = zarr.open(path, mode="r")
    for (a, b), (c, e) in blocks:
        array[a:b, c:e]


def read_bare(path: Path, decoder: Any, chunk_bytes: int) -> None:
    """Read and decode every chunk file into memory of each thread, and forget it."""
    files = [file for file in path.rglob("*") if file.is_file() and file.name != "zarr.json"]
    held = threading.local()

    def load(file: Path) -> None:
        if not hasattr(held, "raw"):
            held.raw, held.out = np.empty(2 * chunk_bytes, np.uint8), np.empty(chunk_bytes, "u1")
        with file.open("rb", buffering=0) as opened:
            size = os.fstat(opened.fileno()).st_size
            opened.readinto(held.raw[:size])
        if decoder is not None:
            decoder.decode(held.raw[:size], out=held.out)

    with ThreadPoolExecutor(available_threads()) as pool:
        list(pool.map(load, files))


def bench_sparse(report: Report, sizes: Sizes, path: Path) -> None:
    """Measure an AnnData CSC group; bytes of its three arrays per second."""
    wanted = {f"{kind} csc zstd": kind for kind in ("reduce", "exact")}
    wanted = {name: kind for name, kind in wanted.items() if report.wants(name)}
    if not wanted:
        return
    X = sparse_columns(sizes.n, sizes.sparse_d, DENSITY, SEED)
    write_sparse(path, X, chunk_entries=SPARSE_CHUNK)
    size_bytes = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    parameters = {"n": sizes.n, "d": sizes.sparse_d, "nnz": X.nnz, "dtype": "float32"}
    del X

    def read() -> None:
        group = zarr.open(path, mode="r")
        for key in ("data", "indices", "indptr"):
            for start, stop in intervals(group[key].shape[0], SPARSE_CHUNK):
                group[key][start:stop]

    for name, kind in wanted.items():
        m = None if kind == "exact" else sizes.m
        plan = streamsparse.plan(path, "exact" if kind == "exact" else "sketch", m=m, seed=SEED)
        done, roof = time_in_turns([partial(reduce, path, plan), read], sizes.repeats)
        report.add(
            name,
            parameters | {"m": m},
            timing=done,
            rate=(size_bytes / done.best / 1e9, "GB/s"),
            baseline=("zarr reading the same arrays", size_bytes / roof.best / 1e9),
            facts=facts_of(plan),
        )


def blocks_of(path: Path, plan: streamsparse.Plan) -> list[tuple[Interval, Interval]]:
    """Return the blocks, as intervals of rows and columns, that this plan reads."""
    source, stream = streamsparse.open_source(path), plan.stream
    bands = source.bands(stream.band_rows, stream.block_bytes)
    return [(band, columns) for band in bands for columns in source.cut(band, stream.block_bytes)]


def facts_of(plan: streamsparse.Plan) -> dict[str, Any]:
    """Return what of a plan belongs to a figure."""
    stream = plan.stream
    return {
        "stored_bytes": stream.bytes_to_read,
        "passes": stream.passes,
        "blocks": stream.blocks,
        "block_bytes": stream.block_bytes,
        "in_flight": stream.in_flight,
        "projected_bytes": stream.peak_memory_bytes,
        "predicted_seconds": plan.seconds,
    }


if __name__ == "__main__":
    main()
