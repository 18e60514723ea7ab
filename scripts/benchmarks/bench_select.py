"""Method "select" from Zarr, warm page cache: what it costs beside its Gram pass, what it reaches.

time   sparsify with m = 4 n, by algorithm, against the Gram pass of method "exact" alone;
grow   the same when d grows, against the growth of d;
pick   processor time of one step of the barriers: what 2 n more of them take, divided by 2 n, so
       that passes cancel; for more columns of X, which must not matter, and for more rows;
read   how often "bss" reads X: two passes, and the leaves it had to search again;
error  spectral error reached on data in memory, against 2 sqrt(kappa) / (kappa + 1), kappa = m / n,
       which is proved for "bss" and "auto" only.

Every spectral error is computed here, in float64, from X and Y, and compared with the certificate
where that is exact. It is centred, (max - min) / (max + min) of the eigenvalues of Y Y^T against
X X^T: "select" scales its Y like this by itself, "sample" and "sketch" do not, and unscaled they
would look worse than what they have found.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import scipy.linalg
from harness import Report, Timing, parse_arguments, rounded_normals, time_in_turns, write_dense

import streamsparse
from streamsparse.methods.base import Job, Selection
from streamsparse.methods.exact import gram_pass
from streamsparse.running.local import Execution
from streamsparse.running.progress import show_progress
from streamsparse.running.threads import available_threads, one_blas_thread
from streamsparse.sketching.bounds import barrier_epsilon

SEED = 7
PER_ROW = 125
MEMORY = "6 GiB"
ALGORITHMS = ("balance", "bss", "auto")
WAYS = (*ALGORITHMS, "sample", "sketch")
COLUMNS_PER_ROW = 4
# The run of "bss" with half the picks, and a pool of the same size.
SHORT = "bss, half the picks"
# A difference of two times may be lost in their noise; no rate is 0.
LEAST_MILLISECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class Sizes:
    """Shapes of one size: ``rows`` x ``columns`` for times, ``error_rows`` for errors.

    ``factors``: m / n of the errors, below (n + 1) / 2, at which weights alone can make Y exact.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    chunk: int
    repeats: int
    error_rows: tuple[int, ...]
    factors: tuple[int, ...]


SIZES = {
    "toy": Sizes((16,), (2_000, 4_000), 1 << 10, 1, (16,), (2, 4)),
    "small": Sizes((256, 512), (100_000, 200_000), 1 << 13, 2, (64, 128), (2, 4, 8, 16, 32)),
    "large": Sizes(
        (256, 512, 1024),
        (100_000, 300_000, 1_000_000),
        1 << 13,
        1,
        (64, 128, 256),
        (2, 4, 8, 16, 32),
    ),
}


def main() -> None:
    folder = {"default": None, "help": "where to write the data; a temporary folder by default"}
    arguments = parse_arguments(__doc__, folder=folder)
    sizes, report = SIZES[arguments.size], Report("select", arguments)
    compile_kernels()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        shapes = {(n, d): Shape(Path(name), n, d, sizes) for n in sizes.rows for d in sizes.columns}
        for (n, d), shape in shapes.items():
            bench_times(report, shape)
            bench_reads(report, shape)
            if d > sizes.columns[0]:
                narrower = sizes.columns[sizes.columns.index(d) - 1]
                bench_growth(report, shapes[n, narrower], shape)
        bench_picks(report, shapes, sizes)
    for kind in ("gauss", "zipf"):
        for n in sizes.error_rows:
            bench_errors(report, kind, n, sizes.factors)
    report.print_table()


def compile_kernels() -> None:
    """Run everything once on little data, so that long runs need no warm-up of their own."""
    X = rounded_normals((8, 1024), SEED)
    run_gram_pass(X)
    for action in error_actions(X, 32).values():
        action()


def run_gram_pass(X: Path | np.ndarray) -> None:
    """Stream X once through the accumulators of method "exact"."""
    plan = streamsparse.plan(X, "exact", memory=MEMORY)
    source = streamsparse.open_source(X)
    with one_blas_thread(), show_progress(False, label="", total=0) as bar:
        gram_pass(Job(source, plan, Execution(available_threads(), False, bar), None))


def select(X: Path | np.ndarray, m: int, algorithm: str) -> streamsparse.Result:
    """Select m columns."""
    return streamsparse.sparsify(
        X, "select", m=m, algorithm=algorithm, memory=MEMORY, progress=False
    )


class Shape:
    """One matrix on disk, and everything that is timed on it, in turns, when first asked for."""

    def __init__(self, folder: Path, n: int, d: int, sizes: Sizes) -> None:
        self.n, self.d = n, d
        self.label = f"{n} {short(d)}"
        self._path = folder / f"{n}-{d}.zarr"
        self._chunk, self._repeats = sizes.chunk, sizes.repeats
        self.selections: dict[str, Selection] = {}
        self.processor_seconds: dict[str, float] = {}

    @property
    def parameters(self) -> dict[str, object]:
        """What rows of the report say about the matrix."""
        m = COLUMNS_PER_ROW * self.n
        return {"n": self.n, "d": self.d, "m": m, "dtype": "float32", "chunk": self._chunk}

    @cached_property
    def timings(self) -> dict[str, Timing]:
        """Times of the Gram pass, of each algorithm, and of ``SHORT``."""
        write_dense(self._path, (self.n, self.d), self._chunk, None)
        m = COLUMNS_PER_ROW * self.n
        actions: dict[str, Callable[[], object]] = {"gram": partial(run_gram_pass, self._path)}
        for name in ALGORITHMS:
            actions[name] = partial(self._select, name, m, name)
        actions[SHORT] = partial(self._select, SHORT, m // 2, "bss")
        counted = [partial(self._count, name, action) for name, action in actions.items()]
        found = time_in_turns(counted, self._repeats, warm_up=False)
        # The next matrix is to find room in the page cache.
        shutil.rmtree(self._path)
        return dict(zip(actions, found, strict=True))

    def _count(self, name: str, action: Callable[[], object]) -> None:
        """Note what an action costs whatever else the machine is doing."""
        started = time.process_time()
        action()
        spent = time.process_time() - started
        self.processor_seconds[name] = min(spent, self.processor_seconds.get(name, spent))

    def _select(self, name: str, m: int, algorithm: str) -> None:
        selection = select(self._path, m, algorithm).selection
        assert selection is not None
        self.selections[name] = selection

    @property
    def milliseconds_per_pick(self) -> float:
        """Processor time of a step of the barriers; passes, pool and certificate cancel."""
        assert SHORT in self.timings
        seconds = self.processor_seconds["bss"] - self.processor_seconds[SHORT]
        more, fewer = (self.selections[name].picks or 0 for name in ("bss", SHORT))
        return max(LEAST_MILLISECONDS, 1e3 * seconds / max(1, more - fewer))

    @property
    def passes(self) -> float:
        """How often "bss" has read X: twice, and whatever it read again."""
        return 2 + self.selections["bss"].bytes_read_again / self.stored_bytes

    @property
    def stored_bytes(self) -> int:
        """Size of X as it is stored, uncompressed."""
        return 4 * self.n * self.d


def short(number: int) -> str:
    """Return 100000 as 1e5: a table has 80 columns."""
    return f"{number:.0e}".replace("e+0", "e")


def bench_times(report: Report, shape: Shape) -> None:
    """Measure each algorithm against the Gram pass."""
    for algorithm in ALGORITHMS:
        name = f"time {algorithm} {shape.label}"
        if report.wants(name):
            timing = shape.timings[algorithm]
            report.add(
                name,
                shape.parameters,
                timing=timing,
                rate=(timing.best, "s"),
                baseline=("gram pass of method exact", shape.timings["gram"].best),
                facts={
                    "selection": shape.selections[algorithm].to_dict(),
                    "processor_seconds": shape.processor_seconds[algorithm],
                    "gram_processor_seconds": shape.processor_seconds["gram"],
                },
            )


def bench_reads(report: Report, shape: Shape) -> None:
    """Count what barriers read."""
    name = f"read bss {shape.label}"
    if report.wants(name):
        timing, selection = shape.timings["bss"], shape.selections["bss"]
        report.add(
            name,
            shape.parameters,
            timing=timing,
            rate=(shape.passes, "passes"),
            baseline=("two passes", 2),
            facts={
                "leaves_read": selection.leaves_read,
                "bytes_read_again": selection.bytes_read_again,
                "stored_bytes": shape.stored_bytes,
            },
        )


def bench_growth(report: Report, narrow: Shape, wide: Shape) -> None:
    """Compare times for more columns with those for fewer: below d itself, or the same."""
    for algorithm in ("gram", *ALGORITHMS):
        name = f"grow {algorithm} {wide.label}"
        if report.wants(name):
            timing = wide.timings[algorithm]
            growth = timing.best / narrow.timings[algorithm].best
            report.add(
                name,
                wide.parameters,
                timing=timing,
                rate=(growth, "times"),
                baseline=("growth of d", wide.d / narrow.d),
                facts={
                    "narrow_d": narrow.d,
                    "processor_growth": wide.processor_seconds[algorithm]
                    / narrow.processor_seconds[algorithm],
                },
            )


def bench_picks(report: Report, shapes: dict[tuple[int, int], Shape], sizes: Sizes) -> None:
    """Compare steps of the barriers for most columns with those for fewest, and n with less n."""
    fewest, most = sizes.columns[0], sizes.columns[-1]
    for n in sizes.rows:
        name = f"pick d {short(fewest)}..{short(most)} {n}"
        if report.wants(name):
            add_pick(report, name, shapes[n, most], f"d = {fewest}", shapes[n, fewest])
    for less, n in zip(sizes.rows, sizes.rows[1:], strict=False):
        name = f"pick n {less}..{n} {short(fewest)}"
        if report.wants(name):
            add_pick(report, name, shapes[n, fewest], f"n = {less}", shapes[less, fewest])


def add_pick(report: Report, name: str, shape: Shape, which: str, other: Shape) -> None:
    """Report the time of a step for one shape against that for another."""
    report.add(
        name,
        shape.parameters,
        timing=shape.timings["bss"],
        rate=(shape.milliseconds_per_pick, "ms"),
        baseline=(which, other.milliseconds_per_pick),
        facts={"picks": shape.selections["bss"].picks},
    )


def error_actions(X: np.ndarray, m: int) -> dict[str, Callable[[], streamsparse.Result]]:
    """Return every way to make m columns of X."""
    reduce = partial(streamsparse.sparsify, X, m=m, seed=SEED, memory=MEMORY, progress=False)
    actions: dict[str, Callable[[], streamsparse.Result]] = {
        algorithm: partial(select, X, m, algorithm) for algorithm in ALGORITHMS
    }
    return actions | {
        "sample": partial(reduce, method="sample"),
        "sketch": partial(reduce, method="sketch", s=8),
    }


def bench_errors(report: Report, kind: str, n: int, factors: tuple[int, ...]) -> None:
    """Measure the spectral error of every method for each m, on one matrix."""
    names, d = [f"error {kind} {n} {factor}n" for factor in factors], PER_ROW * n
    if not any(report.wants(f"{name} {way}") for name in names for way in WAYS):
        return
    X = matrix(kind, n, d)
    wide = X.astype(np.float64)
    G = wide @ wide.T
    for name, factor in zip(names, factors, strict=True):
        for way, action in error_actions(X, factor * n).items():
            if report.wants(f"{name} {way}"):
                bench_error(report, f"{name} {way}", G, action, {"kind": kind, "d": d})


def bench_error(
    report: Report,
    name: str,
    G: np.ndarray,
    action: Callable[[], streamsparse.Result],
    parameters: dict[str, object],
) -> None:
    """Measure the spectral error of one Y."""
    results: list[streamsparse.Result] = []
    (timing,) = time_in_turns([lambda: results.append(action())], 1, warm_up=False)
    result, n = results[0], G.shape[0]
    error, plain = spectral_errors(G, result.Y)
    certified = result.certificate.spectral_error
    if certified is not None and certified.kind == "exact":
        # What "exact" means: rounding is below 1 % of it.
        assert abs(certified.value - plain) <= 0.01 * plain, f"{name}: {certified} is not {plain}"
    m = result.plan.m or result.plan.most_columns
    assert m is not None
    report.add(
        name,
        {"n": n, "m": m, **parameters},
        timing=timing,
        rate=(error, "epsilon"),
        baseline=("theorem of the barriers", barrier_epsilon(rank=n, m=m)),
        facts={
            "columns": int(result.Y.shape[1]),
            "uncentred": plain,
            "certified": None if certified is None else certified.to_dict(),
            "selection": None if result.selection is None else result.selection.to_dict(),
        },
    )


def matrix(kind: str, n: int, d: int) -> np.ndarray:
    """Return normal values (n, d) in float32; "zipf": column norms squared of 1, 1 / 2, 1 / 3, ...

    Heavy columns lie anywhere: an order by weight would be a favour to whoever sees it.
    """
    X = rounded_normals((n, d), SEED)
    if kind == "gauss":
        return X
    ranks = 1 + np.random.default_rng(SEED).permutation(d)
    return X / np.sqrt(ranks.astype(np.float32))


def spectral_errors(G: np.ndarray, Y: np.ndarray) -> tuple[float, float]:
    """Return the spectral error of Y scaled as well as may be, and as it is."""
    values = scipy.linalg.eigh(Y @ Y.T, G, eigvals_only=True)
    low, high = max(0.0, float(values[0])), float(values[-1])
    return (high - low) / (high + low), max(high - 1, 1 - low)


if __name__ == "__main__":
    main()
