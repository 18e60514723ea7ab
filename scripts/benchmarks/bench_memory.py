"""Peak anonymous memory of a fresh process while d grows tenfold at a fixed budget.

What is promised: the peak stays within the budget, and within the projection of the plan; it does
not grow with d, but for one partial state more whenever the number of spans grows sixteenfold.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness import (
    Report,
    Timing,
    parse_arguments,
    peak_of_child,
    sparse_columns,
    write_dense,
)

import streamsparse
from streamsparse.storing.zarr_write import write_sparse

SEED = 7
DENSITY = 0.003
GROWTH = 10
BUDGET = "512 MiB"
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """Shapes of one size: d grows from ``dense_d`` or ``sparse_d`` to ten times that."""

    n: int
    m: int
    width: int
    dense_d: int
    sparse_d: int


SIZES = {
    "toy": Sizes(n=64, m=256, width=1 << 10, dense_d=1 << 12, sparse_d=1 << 13),
    "small": Sizes(n=1024, m=4096, width=1 << 11, dense_d=1 << 16, sparse_d=1 << 20),
    "large": Sizes(n=1024, m=4096, width=1 << 11, dense_d=1 << 18, sparse_d=1 << 22),
}


def main() -> None:
    folder = {"default": None, "help": "where to write the data; a temporary folder by default"}
    child = {"nargs": 3, "metavar": ("PATH", "METHOD", "M"), "help": "reduce and exit; internal"}
    arguments = parse_arguments(__doc__, folder=folder, child=child)
    if arguments.child:
        reduce(*arguments.child)
        return
    sizes, report = SIZES[arguments.size], Report("memory", arguments)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        for kind in ("dense", "csc"):
            bench(report, sizes, kind, Path(name))
    report.print_table()


def bench(report: Report, sizes: Sizes, kind: str, folder: Path) -> None:
    """Measure both methods on data of one kind; the figure is the peak for ten times d."""
    names = {f"{method} {kind}": method for method in ("sketch", "exact")}
    names = {name: method for name, method in names.items() if report.wants(name)}
    least = sizes.dense_d if kind == "dense" else sizes.sparse_d
    if names:
        paths = [write(folder, kind, sizes, d) for d in (least, GROWTH * least)]
    for name, method in names.items():
        m = sizes.m if method == "sketch" else None
        # The first run of a process may compile kernels, which takes memory of its own.
        streamsparse.sparsify(paths[0], method, m=m, seed=SEED, progress=False)
        narrow, wide = (run_child(path, method, m) for path in paths)
        report.add(
            name,
            {"n": sizes.n, "d": GROWTH * least, "m": m, "kind": kind, "budget": BUDGET},
            timing=Timing((wide["seconds"],), None),
            rate=(wide["peak_bytes"] / MIB, "MiB"),
            baseline=(f"narrow: the peak with d / {GROWTH} columns", narrow["peak_bytes"] / MIB),
            facts={
                "narrow": narrow,
                "wide": wide,
                "of_projected": wide["peak_bytes"] / wide["projected_bytes"],
                "of_budget": wide["peak_bytes"] / wide["budget_bytes"],
            },
        )


def write(folder: Path, kind: str, sizes: Sizes, d: int) -> Path:
    """Write a matrix of d columns and return its path."""
    path = folder / f"{kind}-{d}.zarr"
    if kind == "dense":
        write_dense(path, (sizes.n, d), sizes.width, None)
    else:
        write_sparse(path, sparse_columns(sizes.n, d, DENSITY, SEED))
    return path


def run_child(path: Path, method: str, m: int | None) -> dict[str, float]:
    """Reduce in a fresh process; return its peak, its seconds and the plan's own figures."""
    command = [sys.executable, __file__, "--child", str(path), method, str(m or 0)]
    peak, seconds, output = peak_of_child(command)
    return {"peak_bytes": peak, "seconds": seconds, **json.loads(output)}


def reduce(path: str, method: str, m: str) -> None:
    """Reduce within the budget and print what the plan foretold: the whole life of a child."""
    result = streamsparse.sparsify(
        path, method, m=int(m) or None, seed=SEED, memory=BUDGET, progress=False
    )
    plan = result.plan
    facts = {
        "budget_bytes": plan.memory_budget,
        "projected_bytes": plan.stream.peak_memory_bytes,
        "certified_bytes": result.certificate.peak_memory_bytes,
        "blocks": plan.stream.blocks,
        "spans": plan.stream.spans,
        "bands": plan.stream.bands,
        "passes": plan.stream.passes,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
