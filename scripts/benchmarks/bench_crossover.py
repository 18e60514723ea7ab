"""Where a sketch becomes faster than the exact answer: over rows, dense float32 in memory.

Each method reduces n x d and n x 3 d, certificate included. The difference is what more columns
cost: seconds per GiB of X, without what does not depend on d (the dense stage). ``rate`` is that of
a sketch, ``baseline_rate`` that of the exact answer.

    python scripts/benchmarks/bench_crossover.py --plot crossover.png
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from harness import Report, Timing, parse_arguments, rounded_normals, time_in_turns

import streamsparse

SEED = 7


@dataclass(frozen=True, slots=True)
class Sizes:
    """Cells of the smaller X, numbers of rows, columns of the sketch, and tries."""

    cells: int
    rows: tuple[int, ...]
    m: int
    repeats: int


SIZES = {
    "toy": Sizes(cells=1 << 16, rows=(16, 32), m=256, repeats=1),
    "small": Sizes(cells=1 << 26, rows=(64, 128, 256, 512, 1024, 2048), m=4096, repeats=3),
    "large": Sizes(cells=1 << 28, rows=(64, 128, 256, 512, 1024, 2048, 4096), m=4096, repeats=3),
}


def main() -> None:
    plot = {"default": None, "metavar": "FILE", "help": "draw the times there, with matplotlib"}
    arguments = parse_arguments(__doc__, plot=plot)
    sizes, report = SIZES[arguments.size], Report("crossover", arguments)
    for n in sizes.rows:
        if report.wants(f"n={n}"):
            compare(report, n, sizes)
    report.print_table()
    if arguments.plot is not None:
        draw(report.rows, arguments.plot)


def compare(report: Report, n: int, sizes: Sizes) -> None:
    """Measure both methods for one number of rows."""
    d = sizes.cells // n
    wide = rounded_normals((n, 3 * d), SEED)
    # An array of its own, read without a copy like the other.
    narrow = np.ascontiguousarray(wide[:, :d])
    runs = [
        partial(streamsparse.sparsify, X, method, m=m, seed=SEED, progress=False)
        for method, m in (("sketch", sizes.m), ("exact", None))
        for X in (narrow, wide)
    ]
    times = time_in_turns(runs, sizes.repeats)
    gibibytes = 2 * n * d * 4 / 2**30
    sketch, exact = (more_seconds(*times[k : k + 2]) / gibibytes for k in range(0, len(times), 2))
    report.add(
        f"n={n}",
        {"n": n, "d": d, "dtype": "float32", "m": sizes.m},
        timing=Timing(times[1].repeats, times[1].others),
        rate=(sketch, "s/GiB"),
        baseline=("exact", exact),
    )


def more_seconds(few: Timing, many: Timing) -> float:
    """Return what the longer run took more: a hundredth of it at least, where noise hides it."""
    return max(many.best - few.best, many.best / 100)


def draw(rows: list[dict[str, Any]], path: str) -> None:
    """Draw seconds per GiB over n, and where they cross."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator

    n = np.array([row["parameters"]["n"] for row in rows])
    sketch, exact = (np.array([row[key] for row in rows]) for key in ("rate", "baseline_rate"))
    m = rows[0]["parameters"]["m"]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(n, exact, "o-", color="#0072B2", label="exact")
    axes.plot(n, sketch, "s--", color="#D55E00", label=f"sketch (m = {m:,}, s = 8)")
    axes.set(xscale="log", yscale="log", xlabel="rows n", ylabel="seconds per GiB of float32 X")
    axes.set_xticks(n, [f"{value:,}" for value in n])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    crossing = crossing_of(n, exact / sketch)
    if crossing is not None:
        axes.axvline(crossing, color="0.6", linewidth=1)
        axes.annotate(
            f"equal at n = {crossing:.0f}",
            (crossing, axes.get_ylim()[0]),
            xytext=(4, 6),
            textcoords="offset points",
        )
    axes.set_title(f"{rows[0]['processors']} x {rows[0]['cpu']}, certificate included")
    axes.legend()
    figure.savefig(path, dpi=150)


def crossing_of(n: np.ndarray, ratio: np.ndarray) -> float | None:
    """Return where a ratio first exceeds 1, on logarithmic scales; None where it does not."""
    above = np.flatnonzero((ratio[1:] >= 1) & (ratio[:-1] < 1))
    if above.size == 0:
        return None
    k = int(above[0])
    a, b = np.log(ratio[k : k + 2])
    return float(n[k] * (n[k + 1] / n[k]) ** (a / (a - b)))


if __name__ == "__main__":
    main()
