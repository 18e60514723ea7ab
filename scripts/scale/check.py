"""Predict and measure the same runs on 1 and 2 workers of this machine, and print the ratio.

The rates are measured first (``calibrate.py``), then X is written to a temporary folder as a Zarr
array, reduced once to compile, and reduced again on a ``LocalCluster`` of single-threaded workers.
Two workers share the memory and the disk of one machine, which the model takes for two: where they
slow each other down, the ratio says so.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from calibrate import measured
from distributed import Client, LocalCluster
from jobs import planned
from model import Rates, predict

import streamsparse as ss

# n, d, columns of a chunk.
SIZES = {
    "toy": (64, 1 << 18, 1 << 14),
    "small": (512, 1 << 19, 1 << 14),
    "large": (1_000, 1 << 22, 1 << 14),
}
METHODS = {"exact": {"method": "exact"}, "sketch": {"method": "sketch", "m": 1_024}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    n, d, width = SIZES[arguments.size]
    rows = min(n, 1_000)
    rates = measured(Rates(), rows=rows, columns=width)
    print(f"{n:,} x {d:,} float32, chunks of {width:,} columns, zstd; best of {arguments.repeats}")
    print(f"{'method':<8}{'workers':>8}{'predicted, s':>14}{'measured, s':>13}{'ratio':>7}", end="")
    print(f"{'tasks':>7}{'waves':>7}{'read':>12}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.zarr"
        _write(path, n, d, width)
        for workers in (1, 2):
            with (
                LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=":0"
                ) as cluster,
                Client(cluster),
            ):
                for name, request in METHODS.items():
                    job = planned(name, path, **request)
                    cost = predict(job, workers, rates)
                    seconds = min(_seconds(path, request) for _ in range(arguments.repeats + 1))
                    print(
                        f"{name:<8}{workers:8}{cost.seconds:14.2f}{seconds:13.2f}"
                        f"{cost.seconds / seconds:7.2f}{cost.tasks:7,}{cost.waves:7}"
                        f"{cost.read_bytes / 2**20:8,.0f} MiB"
                    )


def _write(path: Path, n: int, d: int, width: int) -> None:
    """Write normal values of 8 significant bits: they compress as measured data does."""
    X = zarr.create_array(path, shape=(n, d), chunks=(n, width), dtype="float32")
    for start in range(0, d, width):
        values = np.random.default_rng(start).standard_normal((n, width), np.float32)
        X[:, start : start + width] = (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(
            np.float32
        )


def _seconds(path: Path, request: dict[str, object]) -> float:
    began = time.perf_counter()
    ss.sparsify(path, runner="dask", progress=False, **request)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
