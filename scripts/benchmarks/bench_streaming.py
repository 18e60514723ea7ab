"""``sparsify`` end to end from Zarr, warm page cache, against zarr merely reading the same blocks.

The roof is zarr-python itself, one block after another, in the same run: it reads, decompresses and
forgets. The dense stage after the pass and the certificate are part of our time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr
from harness import Report, intervals, parse_arguments, sparse_columns, time_in_turns, write_dense
from zarr.codecs import BloscCodec, ZstdCodec

import streamsparse
from streamsparse.storing.zarr_write import write_sparse

SEED = 7
DENSITY = 0.003
COMPRESSORS = {
    "uncompressed": None,
    "zstd": ZstdCodec(level=3),
    "blosc": BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
}
# Entries of a sparse group read at once: one chunk of each array as we write them.
SPARSE_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """Shapes of one size; ``width`` is the columns per chunk, ``sparse_d`` those of the CSC."""

    n: int
    d: int
    width: int
    m: int
    sparse_d: int
    repeats: int


SIZES = {
    "toy": Sizes(n=64, d=1 << 13, width=1 << 10, m=256, sparse_d=1 << 14, repeats=1),
    "small": Sizes(n=1024, d=1 << 17, width=1 << 13, m=4096, sparse_d=1 << 22, repeats=3),
    "large": Sizes(n=1024, d=1 << 20, width=1 << 13, m=4096, sparse_d=1 << 24, repeats=2),
}


def main() -> None:
    folder = {"default": None, "help": "where to write the data; a temporary folder by default"}
    arguments = parse_arguments(__doc__, folder=folder)
    sizes, report = SIZES[arguments.size], Report("streaming", arguments)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        for storage in COMPRESSORS:
            bench_dense(report, sizes, storage, Path(name) / f"{storage}.zarr")
        bench_sparse(report, sizes, Path(name) / "csc.zarr")
    report.print_table()


def bench_dense(report: Report, sizes: Sizes, storage: str, path: Path) -> None:
    """Measure every method on a dense array stored in one way; decoded bytes per second."""
    wanted = wanted_methods(report, f"dense {storage}")
    if wanted:
        write_dense(path, (sizes.n, sizes.d), sizes.width, COMPRESSORS[storage])
    for name, method in wanted.items():
        m = sizes.m if method == "sketch" else None
        plan = streamsparse.plan(path, method, m=m)
        blocks = blocks_of(path, plan)

        def read(blocks: Any = blocks) -> None:
            array = zarr.open(path, mode="r")
            for (a, b), (c, e) in blocks:
                array[a:b, c:e]

        parameters = {
            "n": sizes.n,
            "d": sizes.d,
            "m": m,
            "chunk": [sizes.n, sizes.width],
            "dtype": "float32",
            "storage": storage,
        }
        size_bytes = 4 * sizes.n * sizes.d
        measure(report, name, parameters, path, plan, read, size_bytes, sizes.repeats)


def bench_sparse(report: Report, sizes: Sizes, path: Path) -> None:
    """Measure every method on an AnnData CSC group; bytes of its three arrays per second."""
    wanted = wanted_methods(report, "csc zstd")
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

    for name, method in wanted.items():
        m = sizes.m if method == "sketch" else None
        plan = streamsparse.plan(path, method, m=m)
        measure(report, name, parameters | {"m": m}, path, plan, read, size_bytes, sizes.repeats)


def wanted_methods(report: Report, what: str) -> dict[str, str]:
    """Return the methods asked for, by the name of their measurement."""
    names = {f"{method} {what}": method for method in ("sketch", "exact")}
    return {name: method for name, method in names.items() if report.wants(name)}


def blocks_of(path: Path, plan: streamsparse.Plan) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the blocks, as intervals of rows and columns, that this plan reads."""
    source, stream = streamsparse.open_source(path), plan.stream
    bands = source.bands(stream.band_rows, stream.block_bytes)
    return [(band, columns) for band in bands for columns in source.cut(band, stream.block_bytes)]


def measure(
    report: Report,
    name: str,
    parameters: dict[str, Any],
    path: Path,
    plan: streamsparse.Plan,
    read: Callable[[], None],
    size_bytes: int,
    repeats: int,
) -> None:
    """Time ``sparsify`` and ``read`` in turns; facts of the plan go with the figure."""

    def reduce() -> None:
        streamsparse.sparsify(path, plan.method, m=plan.m, seed=SEED, progress=False)

    ours, roof = time_in_turns([reduce, read], repeats)
    stream = plan.stream
    report.add(
        name,
        parameters,
        timing=ours,
        rate=(size_bytes / ours.best / 1e9, "GB/s"),
        baseline=("zarr reading the same blocks", size_bytes / roof.best / 1e9),
        facts={
            "stored_bytes": stream.bytes_to_read,
            "passes": stream.passes,
            "blocks": stream.blocks,
            "block_bytes": stream.block_bytes,
            "in_flight": stream.in_flight,
            "projected_bytes": stream.peak_memory_bytes,
            "predicted_seconds": plan.seconds,
        },
    )


if __name__ == "__main__":
    main()
