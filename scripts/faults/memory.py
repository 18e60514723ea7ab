"""Peak memory over budgets, widths, kinds of sources and methods, each in a fresh process.

Kept if the measured peak of anonymous memory (interpreter included, sampled every 10 ms) <= the
projection of the plan <= the budget, or if the budget is refused before a value was read.

The second table compares d with 10 d, where both have many more blocks than are held at once. How
many reads overlap is chance, so a peak is the largest of many draws, of more in a longer run. What
would grow if anything were kept is the level: the median of the peaks of ten equal parts of a run.

X has 64 rows of float32 (sparse: 4 entries per column, or d / 16 per row) and is generated, so d is
not limited by a disk. At d = 10^8 only the cells of LONG run, with the smallest budget, and at 10^7
the larger budgets run "sketch" alone: the rest would take hours, and differs from what runs in the
number of blocks alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from tally import Tally, print_table

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

N = 64
BUDGETS = ("512 MB", "1 GB", "2 GB")
WIDTHS = (100_000, 1_000_000, 10_000_000)
METHODS = {
    "sketch": {"m": 256},
    "exact": {},
    "sample": {"m": 128},
    "select": {"m": 128, "algorithm": "balance"},
}
KINDS = ("columns", "grid", "CSC", "CSR", "npy C", "npy F", "dask", "in memory")
LONG = [
    ("columns", "sketch"),
    ("columns", "exact"),
    ("grid", "sketch"),
    ("CSC", "sketch"),
    ("CSC", "exact"),
    ("CSR", "exact"),
    ("dask", "exact"),
]
# Files of zeros take no disk; their first columns are written.
NPY_BYTES = 4 << 30
WRITTEN = 1000
SLOPE = 0.01
# So many times the blocks held at once make a run that is long enough to show a slope.
MANY = 6
MIB = 1 << 20


@dataclass(frozen=True)
class Cell:
    """One run: what it is made of."""

    kind: str
    method: str
    budget: str
    d: int

    @property
    def is_possible(self) -> bool:
        """Whether X fits where this kind keeps it."""
        X_bytes = 4 * N * self.d
        return X_bytes <= {"npy C": NPY_BYTES, "npy F": NPY_BYTES, "in memory": 1 << 28}.get(
            self.kind, X_bytes
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a few cells, in seconds")
    parser.add_argument(
        "--json", type=Path, help="file of a line per cell; cells in it are not run again"
    )
    parser.add_argument("--at-once", type=int, default=2, help="processes beside each other")
    parser.add_argument("--child", help="run one cell and exit; internal")
    arguments = parser.parse_args()
    if arguments.child:
        run(Cell(**json.loads(arguments.child)))
        return 0
    cells = small() if arguments.small else full()
    found = known(arguments.json)
    left = [cell for cell in cells if cell not in found]
    with ThreadPoolExecutor(arguments.at_once) as pool:
        for cell, result in zip(left, pool.map(in_child, left), strict=True):
            found[cell] = result
            if arguments.json:
                with arguments.json.open("a") as file:
                    print(json.dumps([asdict(cell), result]), file=file)
    status = print_table(matrix(found))
    print_slopes(found)
    return status


def known(path: Path | None) -> dict[Cell, dict]:
    """Return what a file says of cells that ran before."""
    if path is None or not path.exists():
        return {}
    lines = map(json.loads, path.read_text().splitlines())
    return {Cell(**cell): result for cell, result in lines}


def small() -> list[Cell]:
    """Return one cell of each method, the smallest budget, and one that is refused."""
    kinds = ("columns", "CSC", "CSR", "dask")
    cells = [
        Cell(kind, method, "512 MB", 100_000) for kind, method in zip(kinds, METHODS, strict=True)
    ]
    return [*cells, Cell("columns", "exact", "200 MB", 100_000)]


def full() -> list[Cell]:
    """Return every cell that can run, the longest first."""
    long = [Cell(kind, method, BUDGETS[0], 10**8) for kind, method in LONG]
    others = [
        Cell(kind, method, budget, d)
        for d, kind, budget, method in product(WIDTHS[::-1], KINDS, BUDGETS, METHODS)
        if d < WIDTHS[-1] or budget == BUDGETS[0] or method == "sketch"
    ]
    return [cell for cell in [*long, *others] if cell.is_possible]


def in_child(cell: Cell) -> dict[str, object]:
    """Run a cell in a fresh process; return what it printed, or how it ended."""
    command = [sys.executable, __file__, "--child", json.dumps(asdict(cell))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.splitlines()
        return {"outcome": "crashes", "why": lines[-1] if lines else f"status {done.returncode}"}
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(cell: Cell) -> None:
    """Reduce X and print peak, projection and budget: the whole life of a child."""
    import streamsparse as ss
    from streamsparse.units import parse_memory

    with tempfile.TemporaryDirectory() as folder:
        X, values_read, held = make(cell, Path(folder))
        budget = parse_memory(cell.budget)
        try:
            with Level() as level:
                result = ss.sparsify(
                    X, cell.method, memory=cell.budget, progress=False, **METHODS[cell.method]
                )
        except ss.BudgetTooSmallError as error:
            outcome = "silent" if values_read() else "refused"
            print(json.dumps({"outcome": outcome, "why": str(error), "budget": budget}))
            return
        stream = result.plan.stream
        # What X itself takes in memory was there before: a plan cannot give it back.
        measured = result.certificate.peak_memory_bytes - held
        kept = measured <= stream.peak_memory_bytes <= budget
        print(
            json.dumps(
                {
                    "outcome": "survived" if kept else "silent",
                    "measured": measured,
                    "level": level.bytes() - held,
                    "projected": stream.peak_memory_bytes,
                    "budget": budget,
                    "full": stream.blocks > MANY * stream.in_flight,
                    "spans": stream.spans,
                    "rebucket": stream.rebucket,
                    "seconds": round(result.certificate.seconds, 1),
                }
            )
        )


class Level:
    """Context manager that samples anonymous memory: what it mostly is, not what it is at worst."""

    def __enter__(self) -> Level:
        self.samples: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        from streamsparse.running.memory import anonymous_bytes

        while not self._ended.wait(0.01):
            self.samples.append(anonymous_bytes() or 0)

    def bytes(self) -> int:
        """Return the median of the peaks of ten equal parts of the run."""
        parts = np.array_split(np.array(self.samples or [0]), min(10, len(self.samples) or 1))
        return int(np.median([part.max() for part in parts]))


def make(cell: Cell, folder: Path):
    """Return X, a function that says how many chunks of values were read, and the bytes of X."""
    import generated

    kind, d = cell.kind, cell.d
    if kind.startswith("npy"):
        return npy(folder / "x.npy", d, fortran=kind == "npy F"), (lambda: 0), 0
    if kind == "dask":
        return dask_of(d), (lambda: 0), 0
    if kind == "in memory":
        X = np.tile(generated.pattern(N, 1000, "float32"), d // 1000)
        return X, (lambda: 0), X.nbytes
    store = {
        "columns": lambda: generated.dense(N, d, "float32", chunk=(N, 1 << 13)),
        "grid": lambda: generated.dense(N, d, "float32", chunk=(16, 1 << 14)),
        "CSC": lambda: generated.compressed(d, N, 4, dtype="float32"),
        "CSR": lambda: generated.compressed(N, d, d // 16, kind="csr", dtype="float32"),
    }[kind]()
    return store, (lambda: store.values_read), 0


def npy(path: Path, d: int, *, fortran: bool) -> Path:
    """Write a file of which all but the first columns is a hole."""
    import generated

    X = np.lib.format.open_memmap(
        path, mode="w+", dtype="float32", shape=(N, d), fortran_order=fortran
    )
    X[:, :WRITTEN] = generated.pattern(N, WRITTEN, "float32")
    return path


def dask_of(d: int):
    """Return a dask array whose chunks are made when they are computed."""
    import dask.array

    import generated

    width = 1 << 14
    chunk = generated.pattern(N, width, "float32")
    widths = [width] * (d // width) + [d % width] * (d % width > 0)

    def one(block_info=None):
        (_, _), (start, stop) = block_info[None]["array-location"]
        return chunk[:, : stop - start].copy()

    return dask.array.map_blocks(one, chunks=((N,), tuple(widths)), dtype="float32")


def matrix(found: dict[Cell, dict]) -> list[Tally]:
    """Return one row per kind and width: cells, kept, broken, and the largest part of a budget."""
    rows: dict[str, Tally] = {}
    for cell, result in found.items():
        row = rows.setdefault(
            f"{cell.kind}, d = 10^{len(str(cell.d)) - 1}",
            Tally(f"{cell.kind}, d = 10^{len(str(cell.d)) - 1}"),
        )
        refused = result["outcome"] == "refused"
        row.add("survived" if refused else str(result["outcome"]))
    for name, row in rows.items():
        mine = [r for c, r in found.items() if name == f"{c.kind}, d = 10^{len(str(c.d)) - 1}"]
        shares = [r["measured"] / r["budget"] for r in mine if "measured" in r]
        of_plan = [r["measured"] / r["projected"] for r in mine if "measured" in r]
        refused = sum(r["outcome"] == "refused" for r in mine)
        failures = {r["why"] for r in mine if r["outcome"] == "crashes"}
        notes = []
        if shares:
            notes.append(f"at most {max(shares):.0%} of the budget, {max(of_plan):.0%} of the plan")
        if refused:
            notes.append(f"{refused} refused before a value was read")
        row.note = "; ".join([*notes, *sorted(failures)])
    return sorted(rows.values(), key=lambda row: row.name)


def print_slopes(found: dict[Cell, dict]) -> None:
    """Print peak and level at 10 d over those at d, for each kind, method and budget."""
    print("\n| kind | method | budget | d | peak, MiB | at 10 d | ratio | of levels | full |")
    print("|---|---|---|---:|---:|---:|---:|---:|---|")
    for cell, result in found.items():
        wide = found.get(Cell(cell.kind, cell.method, cell.budget, 10 * cell.d), {})
        if "level" not in result or "level" not in wide:
            continue
        both = (wide["measured"] / MIB, result["measured"] / MIB)
        levels = wide["level"] / result["level"]
        full = result["full"] and wide["full"]
        mark = " **grows**" if full and levels > 1 + SLOPE else ""
        print(
            f"| {cell.kind} | {cell.method} | {cell.budget} | {cell.d:,} | {both[1]:.0f} | "
            f"{both[0]:.0f} | {both[0] / both[1]:.3f} | {levels:.3f}{mark} | "
            f"{'yes' if full else 'no'} |"
        )


if __name__ == "__main__":
    sys.exit(main())
