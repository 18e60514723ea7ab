"""What plans predict against what runs take: rates measured first, data in the page cache.

``rate`` is the predicted time, ``baseline_rate`` the time that the run took, both in seconds.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench_streaming import COMPRESSORS
from harness import Report, parse_arguments, sparse_columns, time_in_turns, write_dense

import streamsparse
from streamsparse.methods.predict import predicted_seconds
from streamsparse.running.calibration import measure_rates
from streamsparse.running.facts import Facts
from streamsparse.running.threads import available_threads
from streamsparse.storing.zarr_write import write_sparse

SEED = 7
DENSITY = 0.003


@dataclass(frozen=True, slots=True)
class Sizes:
    """``cells`` of dense X, ``entries`` of sparse X, rows of each, and tries."""

    cells: int
    entries: int
    rows: tuple[int, ...]
    m: int
    repeats: int


SIZES = {
    "toy": Sizes(cells=1 << 19, entries=1 << 14, rows=(64,), m=256, repeats=1),
    "small": Sizes(cells=1 << 27, entries=1 << 23, rows=(256, 1024, 2048), m=4096, repeats=2),
    "large": Sizes(cells=1 << 30, entries=1 << 26, rows=(256, 1024, 2048), m=4096, repeats=2),
}


def main() -> None:
    folder = {"default": None, "help": "where to write the data; a temporary folder by default"}
    arguments = parse_arguments(__doc__, folder=folder)
    sizes, report = SIZES[arguments.size], Report("plans", arguments)
    rates = measure_rates() if arguments.size != "toy" else measure_rates(rows=64, columns=2048)
    for n in sizes.rows:
        for storage in COMPRESSORS:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
                path, d = Path(name) / "X.zarr", sizes.cells // n
                if any(report.wants(title(kind, storage, n)) for kind in ("sketch", "exact")):
                    write_dense(path, (n, d), min(d, (32 << 20) // (4 * n)), COMPRESSORS[storage])
                for kind in ("sketch", "exact"):
                    compare(report, title(kind, storage, n), path, kind, sizes, rates)
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            path, d = Path(name) / "X.zarr", int(sizes.entries / DENSITY / n)
            write_sparse(path, sparse_columns(n, d, DENSITY, SEED), chunk_entries=1 << 20)
            for kind in ("sketch", "exact"):
                compare(report, title(kind, "csc", n), path, kind, sizes, rates)
    report.print_table()
    ratios = [row["ratio"] for row in report.rows]
    within = int(np.sum(np.abs(np.log(ratios)) < np.log(1.3)))
    line = f"predicted / measured: {min(ratios):.2f} to {max(ratios):.2f}, "
    print(f"{line}{within} of {len(ratios)} within 30 %", file=sys.stderr)


def title(kind: str, storage: str, n: int) -> str:
    """Return the name of one measurement."""
    return f"{kind} {storage} n={n}"


def compare(report: Report, name: str, path: Path, kind: str, sizes: Sizes, rates: Any) -> None:
    """Predict a run, and run it."""
    if not report.wants(name):
        return
    m = sizes.m if kind == "sketch" else None
    plan = streamsparse.plan(path, kind, m=m, seed=SEED)
    facts = Facts.of(streamsparse.open_source(path))
    predicted = predicted_seconds(plan, facts, rates, threads=available_threads())
    run = partial(streamsparse.sparsify, path, kind, m=m, seed=SEED, progress=False)
    (took,) = time_in_turns([run], sizes.repeats)
    report.add(
        name,
        {"n": plan.n, "d": plan.d, "nnz": plan.nnz, "m": m},
        timing=took,
        rate=(predicted, "s"),
        baseline=("measured", took.best),
    )


if __name__ == "__main__":
    main()
