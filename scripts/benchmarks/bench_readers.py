"""Who reads a Zarr array fastest? All of it, in blocks of 64 MiB, warm page cache.

Ours reads as a pass does: as many blocks at a time as there are processors, into memory that is
used again. The others are timed where they are installed: zarr-python with the pipeline of `zarrs`,
and `tensorstore` with as many reads under way. The baseline is zarr-python as it comes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import zarr
from bench_streaming import COMPRESSORS, SIZES, read_blocks
from harness import Report, intervals, parse_arguments, time_in_turns, write_dense

import streamsparse
from streamsparse.arrays import Interval
from streamsparse.running.threads import available_threads
from streamsparse.sources.buffers import reused_buffers
from streamsparse.units import format_bytes

BLOCK_BYTES = 64 << 20
Blocks = list[tuple[Interval, Interval]]


def main() -> None:
    folder = {"default": None, "help": "where to write the data; a temporary folder by default"}
    arguments = parse_arguments(__doc__, folder=folder)
    sizes, report = SIZES[arguments.size], Report("readers", arguments)
    readers: dict[str, Callable[[Path, Blocks], None]] = {"ours": read_ours}
    if find_spec("zarrs"):
        readers["zarrs"] = read_zarrs
    if find_spec("tensorstore"):
        readers["tensorstore"] = read_tensorstore
    for storage in COMPRESSORS:
        for width in sizes.widths:
            size = format_bytes(4 * sizes.n * width)
            names = {name: f"{name} {storage} {size}" for name in readers}
            wanted = {key: name for key, name in names.items() if report.wants(name)}
            if not wanted:
                continue
            with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
                path = Path(name) / "X.zarr"
                write_dense(path, (sizes.n, sizes.d), width, COMPRESSORS[storage])
                step = max(1, BLOCK_BYTES // (4 * sizes.n * width)) * width
                blocks = [((0, sizes.n), columns) for columns in intervals(sizes.d, step)]
                actions = [partial(readers[key], path, blocks) for key in wanted]
                *ours, theirs = time_in_turns(
                    [*actions, partial(read_blocks, path, blocks)], sizes.repeats
                )
            size_bytes = 4 * sizes.n * sizes.d
            for title, taken in zip(wanted.values(), ours, strict=True):
                report.add(
                    title,
                    {"n": sizes.n, "d": sizes.d, "chunk": [sizes.n, width], "storage": storage},
                    timing=taken,
                    rate=(size_bytes / taken.best / 1e9, "GB/s"),
                    baseline=("zarr-python", size_bytes / theirs.best / 1e9),
                )
    report.print_table()


def read_ours(path: Path, blocks: Blocks) -> None:
    """Read as the threads of a pass do."""
    source = streamsparse.open_source(path)
    with reused_buffers(), ThreadPoolExecutor(available_threads()) as pool:
        for _ in pool.map(lambda block: source.read(*block).data.nbytes, blocks):
            pass


def read_zarrs(path: Path, blocks: Blocks) -> None:
    """Read by zarr-python with the codec pipeline of zarrs."""
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        read_blocks(path, blocks)


def read_tensorstore(path: Path, blocks: Blocks) -> None:
    """Read by tensorstore."""
    import tensorstore

    at = {"driver": "file", "path": str(path)}
    array = tensorstore.open({"driver": "zarr3", "kvstore": at}, read=True).result()
    for first in range(0, len(blocks), available_threads()):
        some = blocks[first : first + available_threads()]
        for future in [array[a:b, c:e].read() for (a, b), (c, e) in some]:
            future.result()


if __name__ == "__main__":
    main()
