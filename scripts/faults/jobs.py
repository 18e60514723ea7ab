"""Small runs with many spans and checkpoints, each in a child forked from a warm process."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

import streamsparse as ss
from streamsparse.running import checkpoint, spans, stream
from streamsparse.storing.zarr_write import DenseWriter, write_sparse

# Exit statuses of a child.
FINISHED, STORE_FAILED, INTERRUPTED, REFUSED, BROKEN = 0, 3, 4, 5, 6

N, D = 16, 24_000
_ROWS = 1500


@dataclass(frozen=True)
class Run:
    """A call of ``sparsify`` with ``out``."""

    name: str
    source: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)

    def start(self, folder: Path, *, resume: bool, overwrite: bool = False) -> None:
        """Reduce into ``folder/Y.zarr``."""
        ss.sparsify(
            folder / self.source,
            self.method,
            out=folder / "Y.zarr",
            resume=resume,
            overwrite=overwrite,
            progress=False,
            **self.options,
        )


RUNS = [
    Run("exact, Zarr", "x.zarr", "exact"),
    Run("sketch, Zarr", "x.zarr", "sketch", {"m": 64}),
    Run("sketch in row bands, npy", "rows.npy", "sketch", {"m": 64, "memory": "206 MiB"}),
    Run("exact, X rewritten by columns", "rows.zarr", "exact", {"memory": "227 MiB"}),
    Run("sample, CSC", "csc.zarr", "sample", {"m": 64}),
    Run("select balance, Zarr", "x.zarr", "select", {"m": 64, "algorithm": "balance"}),
    Run("select bss, CSC", "csc.zarr", "select", {"m": 48, "algorithm": "bss"}),
    Run(
        "select in one pass, npy",
        "x.npy",
        "select",
        {"m": 64, "algorithm": "balance", "target": "entries"},
    ),
]


def make_sources(folder: Path) -> None:
    """Write the matrices of the runs."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D), dtype=np.float32)
    np.save(folder / "x.npy", X)
    DenseWriter(folder / "x.zarr", X.shape, X.dtype, (N, 500)).write((0, N), (0, D), X)
    sparse = scipy.sparse.random_array((N, D), density=0.2, rng=rng, dtype=np.float32)
    write_sparse(folder / "csc.zarr", sparse.tocsc(), chunk_entries=5000)
    tall = rng.integers(-9, 9, (_ROWS, 3000)).astype(np.int8)
    np.save(folder / "rows.npy", tall)
    # Too wide for its rows to be held together: it is rewritten by columns.
    wide = rng.integers(-9, 9, (8, 160 * D)).astype(np.int8)
    DenseWriter(folder / "rows.zarr", wide.shape, wide.dtype, (1, wide.shape[1])).write(
        (0, wide.shape[0]), (0, wide.shape[1]), wide
    )


@contextmanager
def prepared() -> Iterator[Path]:
    """Yield a folder with the sources; spans and blocks are narrow, and kept at every chance."""
    spans._MIN_WIDTH = 256
    stream._MAX_BLOCK_BYTES = stream._GOOD_BLOCK_BYTES = 256 << 10
    checkpoint.INTERVAL_SECONDS = checkpoint.WORTH_KEEPING_SECONDS = 0.0
    checkpoint._SHARE_OF_TIME = 1e9
    with tempfile.TemporaryDirectory(prefix="streamsparse-faults-") as name:
        folder = Path(name)
        make_sources(folder)
        warm_up(folder)
        yield folder


def warm_up(folder: Path) -> None:
    """Compile every kernel that the runs need, without a thread left: children are forked."""
    import zarr  # noqa: F401 - imported once, for all children

    X = np.load(folder / "x.npy", mmap_mode="r")[:, :2000]
    small = np.ascontiguousarray(X)
    sparse = scipy.sparse.csc_array(small * (small > 1))
    for values in (small, sparse, sparse.tocsr(), (small * 3).astype(np.int8)):
        for method, options in (
            ("exact", {}),
            ("sketch", {"m": 64}),
            ("sample", {"m": 40}),
            ("select", {"m": 40, "algorithm": "balance"}),
            ("select", {"m": 40, "algorithm": "bss"}),
            ("select", {"m": 40, "algorithm": "balance", "target": "entries"}),
        ):
            ss.sparsify(values, method, progress=False, **options)


def digest(path: Path) -> str:
    """Return a digest of the arrays of a result, chunk by chunk."""
    found = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name != "zarr.json":
            found.update(str(file.relative_to(path)).encode() + file.read_bytes())
    return found.hexdigest()


def spawn(task: Callable[[], None], *, quiet: bool = True) -> int:
    """Fork a child that does a task; return its pid. Its exit status says how it ended."""
    pid = os.fork()
    if pid:
        return pid
    status = BROKEN
    try:
        if quiet:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
        task()
        status = FINISHED
    except KeyboardInterrupt:
        status = INTERRUPTED
    except ss.StreamSparseError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        status = STORE_FAILED if isinstance(error, ss.StoreError) else REFUSED
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def wait_for(pid: int) -> int:
    """Return the exit status of a child, negative for the signal that ended it."""
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def finish(task: Callable[[], None], *, quiet: bool = True) -> int:
    """Return how a child ends that does a task."""
    return wait_for(spawn(task, quiet=quiet))


def clear(folder: Path) -> None:
    """Remove the output and everything unfinished."""
    shutil.rmtree(folder / "Y.zarr", ignore_errors=True)
    shutil.rmtree(folder / ".Y.zarr.unfinished", ignore_errors=True)


def litter(folder: Path) -> list[str]:
    """Return what lies in the folder beside sources and a complete output."""
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.name.startswith(".") or entry.name.endswith(".tmp")
    )


def reference(run: Run, folder: Path) -> tuple[str, float]:
    """Return (digest of the uninterrupted result, seconds it took)."""
    clear(folder)
    began = time.monotonic()
    status = finish(lambda: run.start(folder, resume=False), quiet=False)
    if status != FINISHED:
        raise SystemExit(f"{run.name} does not run at all: status {status}")
    seconds = time.monotonic() - began
    expected = digest(folder / "Y.zarr")
    clear(folder)
    return expected, seconds


def kill_after(pid: int, seconds: float, number: int = signal.SIGKILL) -> int:
    """Send a signal to a child after a while; return how it ended."""
    time.sleep(seconds)
    os.kill(pid, number)
    return wait_for(pid)
