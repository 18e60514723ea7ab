"""What every benchmark shares: arguments, timing, roofs, data, and JSON lines with the machine.

A measurement and the roof or baseline it is compared with are taken in turns, in one run: whatever
else the machine is doing then slows both. Figures of different machines are never divided.

Every line of output is a JSON object with the keys

name, parameters        what was measured, and on what;
seconds, repeats        of the best repeat, and of all; compiling and one warm-up left out;
others                  processors that other processes kept busy meanwhile, null where unknown: a
                        figure taken beside other work is to be taken again;
rate, unit              what it comes to;
baseline, baseline_rate the roof or rival measured in the same run, in the same unit;
ratio                   rate / baseline_rate;
facts                   what else belongs to the figure: blocks, passes, bytes, projections;
commit, cpu, processors, versions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

import streamsparse
from streamsparse.running.threads import available_threads

SIZES = ("toy", "small", "large")
_PACKAGES = ("numpy", "scipy", "numba", "zarr", "numcodecs", "dask")
_ROOF_PARTS = 64


def parse_arguments(description: str | None, **options: dict[str, Any]) -> argparse.Namespace:
    """Read ``--size``, ``--only`` and the options of one script from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--size", choices=SIZES, default="small", help="how much data")
    parser.add_argument("--only", default="", help="run measurements whose name contains this")
    for name, settings in options.items():
        parser.add_argument(f"--{name}", **settings)
    return parser.parse_args()


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one action took.

    Attributes
    ----------
    repeats : seconds of every repeat, the warm-up left out.
    others : processors that other processes kept busy meanwhile; None where unknown.
    """

    repeats: tuple[float, ...]
    others: float | None

    @property
    def best(self) -> float:
        """Return the seconds of the fastest repeat."""
        return min(self.repeats)


def time_in_turns(
    actions: Sequence[Callable[[], object]], repeats: int, *, warm_up: bool = True
) -> list[Timing]:
    """Run each action once to warm up, then all of them in turns, ``repeats`` times.

    Without ``warm_up`` the caller has seen to it that everything is compiled, on little data.
    """
    for action in actions if warm_up else ():
        action()
    seconds: list[list[float]] = [[] for _ in actions]
    before, began = _busy_elsewhere(), time.perf_counter()
    for _ in range(repeats):
        for action, spent in zip(actions, seconds, strict=True):
            started = time.perf_counter()
            action()
            spent.append(time.perf_counter() - started)
    after, elapsed = _busy_elsewhere(), time.perf_counter() - began
    others = None if before is None or after is None else max(0.0, after - before) / elapsed
    return [Timing(tuple(spent), others) for spent in seconds]


def _busy_elsewhere() -> float | None:
    """Return processor seconds spent by all processes but this one; None where unknown."""
    busy = busy_processors()
    return None if busy is None else busy - time.process_time()


def busy_processors() -> float | None:
    """Return processor seconds spent by all processes; None where unknown."""
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)[1:9]
    except OSError:
        return None
    user, nice, system, _idle, _waiting, *interrupts = map(int, words)
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


class MemoryRead:
    """The memory-read roof: the sum of a large float64 array by all processors.

    Parameters
    ----------
    size_bytes : of the array; more than the caches hold, if the roof is to be that of memory.
    """

    def __init__(self, size_bytes: int) -> None:
        values = np.ones(size_bytes // 8)
        self.size_bytes = values.nbytes
        self._parts = np.array_split(values, _ROOF_PARTS)

    def __call__(self) -> float:
        """Read the array once; numpy leaves the interpreter lock while it sums."""
        with ThreadPoolExecutor(available_threads()) as pool:
            return float(sum(pool.map(np.sum, self._parts)))


def peak_of_child(command: list[str]) -> tuple[int, float, str]:
    """Run a command; return its peak anonymous memory in bytes, seconds and standard output.

    The memory is read from /proc every 5 ms, from outside: a child that holds its interpreter lock
    cannot hide from it.
    """
    started, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as child:
        status = Path(f"/proc/{child.pid}/status")
        while child.poll() is None:
            peak = max(peak, _anonymous_bytes(status))
            time.sleep(0.005)
        assert child.stdout is not None
        output = child.stdout.read()
    if child.returncode:
        raise RuntimeError(f"{command} ended with status {child.returncode}")
    return peak, time.perf_counter() - started, output


def _anonymous_bytes(status: Path) -> int:
    try:
        lines = status.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    # A process that is ending has no memory left to report.
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon:"))


def environment() -> dict[str, str]:
    root = str(Path(streamsparse.__file__).parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


class Report:
    """One JSON line per measurement to stdout; ``print_table`` ends with a table on stderr."""

    def __init__(self, title: str, arguments: argparse.Namespace) -> None:
        self._title = f"{title}, {arguments.size}"
        self._only = arguments.only
        self.rows: list[dict[str, Any]] = []

    def wants(self, name: str) -> bool:
        """Tell whether ``--only`` asks for this measurement."""
        return self._only in name

    def add(
        self,
        name: str,
        parameters: dict[str, Any],
        *,
        timing: Timing,
        rate: tuple[float, str],
        baseline: tuple[str, float],
        facts: dict[str, Any] | None = None,
    ) -> None:
        """Print one measurement; ``rate`` is (value, unit), ``baseline`` (name, value)."""
        row = {
            "name": name,
            "parameters": parameters,
            "seconds": timing.best,
            "repeats": list(timing.repeats),
            "others": timing.others,
            "rate": rate[0],
            "unit": rate[1],
            "baseline": baseline[0],
            "baseline_rate": baseline[1],
            "ratio": rate[0] / baseline[1],
            "facts": facts or {},
            **machine_facts(),
        }
        self.rows.append(row)
        print(json.dumps(row), flush=True)

    def print_table(self) -> None:
        """Print what was measured as a table of at most 80 columns to stderr."""
        facts = machine_facts()
        heading = f"{self._title}: {facts['processors']} x {facts['cpu']}, {facts['commit']}"
        lines = [
            heading,
            f"{'':27}{'s':>8}{'rate':>8} {'unit':<7}{'base':>7}{'ratio':>7}{'others':>7}  of",
        ]
        for row in self.rows:
            others = "?" if row["others"] is None else f"{row['others']:.1f}"
            lines.append(
                f"{row['name'][:26]:<27}{row['seconds']:8.3g}{row['rate']:8.3g} {row['unit']:<7}"
                f"{row['baseline_rate']:7.3g}{row['ratio']:7.2f}{others:>7}  "
                f"{row['baseline'].split()[0][:6]}"
            )
        print("\n".join(line[:80] for line in lines), file=sys.stderr)


@cache
def machine_facts() -> dict[str, Any]:
    """Return what a figure depends on beside the code: commit, processor, versions."""
    versions = {name: metadata.version(name) for name in _PACKAGES}
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "commit": _commit(),
        "cpu": _processor_name(),
        "processors": available_threads(),
        "versions": {
            "python": platform.python_version(),
            "streamsparse": streamsparse.__version__,
            **versions,
            "blas": f"{blas['name']} {blas['version']}",
        },
    }


def _commit() -> str:
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], check=False, cwd=folder, capture_output=True, text=True
        )
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-changed" if changed else "")
    except OSError:
        return "unknown"


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def rounded_normals(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return float32 normal values of 8 significant bits: they compress as measured data does."""
    values = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def sparse_columns(n: int, d: int, density: float, seed: int) -> scipy.sparse.csc_array:
    """Return a float32 matrix (n, d) whose entries lie anywhere with equal chance, by columns."""
    rng = np.random.default_rng(seed)
    # Positions drawn twice are kept once: a little less than the density asked for.
    keys = np.unique(rng.integers(0, n * d, int(n * d * density)))
    counts = np.bincount(keys // n, minlength=d)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    data = rng.standard_normal(keys.size, np.float32)
    return scipy.sparse.csc_array((data, (keys % n).astype(np.int32), indptr), shape=(n, d))


def write_dense(path: Path, shape: tuple[int, int], width: int, compressors: Any) -> None:
    """Write rounded normals as a Zarr array with chunks of all rows and ``width`` columns."""
    import zarr

    n, d = shape
    array = zarr.create_array(
        path, shape=shape, chunks=(n, width), dtype="float32", compressors=compressors
    )
    for chunk, (start, stop) in enumerate(intervals(d, width)):
        array[:, start:stop] = rounded_normals((n, stop - start), chunk)


def intervals(length: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield half-open intervals of ``width`` that cover [0, length)."""
    for start in range(0, length, width):
        yield start, min(start + width, length)
