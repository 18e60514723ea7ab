"""How fast this machine is, measured once and kept: what plans predict times with."""

from __future__ import annotations

import json
import math
import os
import platform
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from streamsparse.errors import StreamSparseError
from streamsparse.running.threads import available_threads
from streamsparse.storing.files import make_directories, replace, write_file
from streamsparse.version import __version__

_FILE = "rates.json"


@dataclass(frozen=True, slots=True)
class Rates:
    """What one thread does per second while all others are as busy.

    Attributes
    ----------
    read : bytes from files that the system holds in memory.
    zstd, blosc, gzip, lz4 : decoded bytes.
    norms, visits, adds : entries of dense blocks whose squares are summed; that a sketch stages;
        and that it adds to a cell of Y (s of them per entry).
    gram32, gram64 : flops of X X^T, n (n + 1) per column, by float32 and float64 products.
    rows32, rows64, probes : flops of the sampled rows of G and of its products with probes.
    checks, relayout : entries and columns of sparse blocks that are checked; that are turned into
        rows.
    sparse_entries, sparse_adds, scatter : entries whose squares are summed and that are looked up;
        additions to cells of Y; products added to G.
    sparse_rows, sparse_probes : products of the sampled rows and of the probes.
    merge : bytes of the state of one span added to another, and cleared.
    eigh, dense : flops of eigenvalues, 30 n^3, and of float64 products.
    """

    read: float
    zstd: float
    blosc: float
    gzip: float
    lz4: float
    norms: float
    visits: float
    adds: float
    gram32: float
    gram64: float
    rows32: float
    rows64: float
    probes: float
    checks: float
    relayout: float
    sparse_entries: float
    sparse_adds: float
    scatter: float
    sparse_rows: float
    sparse_probes: float
    merge: float
    eigh: float
    dense: float

    def decode(self, codec: str) -> float:
        """Return decoded bytes per second: infinite without a codec, gzip's for unknown ones."""
        if not codec:
            return float("inf")
        return float(getattr(self, codec, self.gzip))


def rates_path() -> Path:
    """Return where the rates are kept: in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "streamsparse" / _FILE


def machine_name() -> str:
    """Return what rates hold for: processor, threads, and version of this library."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        processor = named[0] if named else processor
    except OSError:
        pass
    return f"{processor}, {available_threads()} threads, streamsparse {__version__}"


def load_rates() -> Rates | None:
    """Return the rates that were measured on this machine; None if nobody has, or they are old."""
    try:
        kept = json.loads(rates_path().read_text(encoding="utf-8"))
        if kept["machine"] != machine_name():
            return None
        rates = {field.name: float(kept["rates"][field.name]) for field in fields(Rates)}
        # Times are quotients of them.
        return Rates(**rates) if all(0 < rate < math.inf for rate in rates.values()) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_rates(rates: Rates) -> Path | None:
    """Keep rates for later plans; return where, None where nothing can be written."""
    path = rates_path()
    text = json.dumps({"machine": machine_name(), "rates": asdict(rates)}, indent=1)
    try:
        make_directories(path.parent)
        beside = path.with_suffix(f".{os.getpid()}")
        write_file(beside, text.encode())
        replace(beside, path)
    except (OSError, StreamSparseError):
        return None
    return path
