"""Workers with little memory reduce a Zarr array much larger than that, dense columns of float32.

What is promised: no worker pauses, spills or is lost. Two processes with one thread each, dask's
own thresholds: it spills from 70 % of the limit on, pauses at 80 %, and counts resident memory,
pages of shared libraries included. The figure is the peak of one worker, sampled every 5 ms; the
baseline is where it would spill.

Files of chunks are few, and linked often: X repeats, which nothing here can take advantage of.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from harness import Report, Timing, parse_arguments
from workers import measured, python, watch

import streamsparse

SEED = 7
DISTINCT = 4
SPILLS_AT = 0.7
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """Shapes of one size; ``width`` is the columns per chunk."""

    n: int
    d: int
    width: int
    m: int


SIZES = {
    "toy": Sizes(n=1000, d=1 << 14, width=1 << 11, m=256),
    "small": Sizes(n=1000, d=1 << 18, width=1 << 12, m=1024),
    "large": Sizes(n=1000, d=2_000_000, width=1 << 12, m=1024),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One run: all that its process needs to know."""

    method: str
    is_lazy: bool
    path: str
    m: int | None
    memory_limit: str


def main() -> None:
    options: dict[str, dict[str, Any]] = {
        "folder": {"default": None, "help": "where to write the data; a temporary folder if none"},
        "limit": {"default": "512 MB", "help": "memory of each worker"},
        "child": {"help": "reduce and exit; internal"},
    }
    arguments = parse_arguments(__doc__, **options)
    if arguments.child:
        run(Job(**json.loads(arguments.child)))
        return
    sizes, report = SIZES[arguments.size], Report("memory of workers", arguments)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        path = Path(name) / "X.zarr"
        write_repeated(path, sizes)
        for method in ("exact", "sketch"):
            for is_lazy in (False, True):
                m = sizes.m if method == "sketch" else None
                bench(report, sizes, Job(method, is_lazy, str(path), m, arguments.limit))
    report.print_table()


def bench(report: Report, sizes: Sizes, job: Job) -> None:
    """Reduce X on a fresh cluster; the figure is the resident memory of the larger worker."""
    from dask.utils import parse_bytes

    name = f"{job.method} {'dask array' if job.is_lazy else 'path'}"
    if not report.wants(name):
        return
    watched = watch(python(__file__, "--child", json.dumps(asdict(job))))
    facts, limit = watched.facts, parse_bytes(job.memory_limit)
    peaks = {f"{name}_peak_bytes": value for name, value in asdict(watched.peaks).items()}
    report.add(
        name,
        {"n": sizes.n, "d": sizes.d, "m": job.m, "bytes": 4 * sizes.n * sizes.d, "limit": limit},
        timing=Timing((facts["seconds"],), facts["others"]),
        rate=(watched.peaks.resident / MIB, "MiB"),
        baseline=("spills: resident memory at which it does", SPILLS_AT * limit / MIB),
        facts=facts | peaks,
    )
    print(
        f"{name:<20} spilled {facts['spilled_bytes'] / MIB:.0f} MiB, paused "
        f"{facts['workers_paused']} times, {facts['workers_lost']} lost, "
        f"{len(facts['memory_logs'])} complaints",
        file=sys.stderr,
    )


def write_repeated(path: Path, sizes: Sizes) -> None:
    """Write the first chunks of a Zarr array, and link the others to them."""
    import zarr

    chunks = -(-sizes.d // sizes.width)
    array = zarr.create_array(
        path,
        shape=(sizes.n, sizes.d),
        chunks=(sizes.n, sizes.width),
        dtype="float32",
        compressors=None,
    )
    for chunk in range(min(DISTINCT, chunks)):
        X_block = np.random.default_rng([SEED, chunk]).standard_normal(
            (sizes.n, sizes.width), np.float32
        )
        start = chunk * sizes.width
        array[:, start : start + sizes.width] = X_block[:, : sizes.d - start]
    files = path / "c" / "0"
    for chunk in range(DISTINCT, chunks):
        os.link(files / str(chunk % DISTINCT), files / str(chunk))


def run(job: Job) -> None:
    """Reduce X on a fresh cluster: a child's whole life."""
    import dask.array as da

    X = da.from_zarr(job.path)

    def reduce(X: Any) -> None:
        streamsparse.sparsify(X, job.method, m=job.m, seed=SEED, runner="dask", progress=False)

    warm = X[:, : 2 * X.chunks[1][0]]
    measured(job.memory_limit, lambda: reduce(warm), lambda: reduce(X if job.is_lazy else job.path))


if __name__ == "__main__":
    main()
