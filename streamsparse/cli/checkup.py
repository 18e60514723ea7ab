"""The checks of ``streamsparse doctor`` that look at the machine, and try it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import streamsparse as ss
from streamsparse.cli.installation import Check
from streamsparse.kernels.jit import is_compiling
from streamsparse.running.calibration import measure_rates
from streamsparse.running.rates import rates_path, save_rates
from streamsparse.running.threads import available_threads
from streamsparse.storing.files import free_disk_bytes
from streamsparse.units import format_bytes

# The interpreter, the libraries and room for a few blocks: the smallest useful budget.
_LEAST_MEMORY = 512 << 20
_LEAST_DISK = 100 << 20
# Every method, with the columns that the self test asks of it.
_METHODS = {"exact": None, "sketch": 64, "sample": 64, "select": 64}
_CGROUPS = Path("/sys/fs/cgroup")


def run_checks() -> Iterator[Check]:
    """Yield every check of the machine; none of them raises."""
    yield check_processors()
    yield check_memory()
    yield check_disk("disk here", Path.cwd)
    yield check_disk("disk temp", lambda: Path(tempfile.gettempdir()))
    yield check_codecs()
    yield check_self()
    yield check_rates()


def check_rates() -> Check:
    """Measure how fast this machine is, and keep it for plans."""
    if not is_compiling():
        return Check("rates", True, "not measured: kernels are not compiled")
    rates = measure_rates()
    kept = save_rates(rates)
    detail = (
        f"sketch {rates.adds / 1e9:.1f} G additions/s, exact {rates.gram32 / 1e9:.0f} GFlop/s, "
        f"page cache {format_bytes(rates.read)}/s, each per thread"
    )
    if kept is None:
        return Check(
            "rates",
            True,
            f"{detail}; not kept: {rates_path()} cannot be written",
            "set XDG_CACHE_HOME to a folder that can be written: plans then predict times",
        )
    return Check("rates", True, f"{detail}; kept for plans in {kept}")


def check_processors() -> Check:
    """Count the processors that this process may use."""
    count, there = available_threads(), os.cpu_count()
    return Check("processors", True, f"{count} of {there} available to this process")


def check_memory() -> Check:
    """Compare the free memory, of the machine or of our cgroup, with the smallest useful budget."""
    free = free_memory_bytes()
    if free is None:
        return Check("memory", True, "free memory unknown on this system")
    if free >= _LEAST_MEMORY:
        return Check("memory", True, f"{format_bytes(free)} free")
    return Check(
        "memory",
        False,
        f"{format_bytes(free)} free",
        f"runs need about {format_bytes(_LEAST_MEMORY)}: close programs, or raise the limit of "
        f"the container or job",
    )


def free_memory_bytes() -> int | None:
    """Return the bytes this process may still take: of the machine, or of a tighter cgroup."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return min([*found, *_cgroup_rooms()], default=None)


def _cgroup_rooms() -> Iterator[int]:
    """Yield limit minus use of every memory cgroup that we are in, versions 1 and 2."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":
            root, limit, used = _CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, used = (
                _CGROUPS / "memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
        else:
            continue
        here = root / name.lstrip("/")
        for folder in (here, *here.parents):
            if folder.is_relative_to(root):
                room = _room(folder / limit, folder / used)
                if room is not None:
                    yield room


def _room(limit: Path, used: Path) -> int | None:
    try:
        # An unlimited group says "max".
        return max(0, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):
        return None


def check_disk(name: str, find: Callable[[], Path]) -> Check:
    """Try to write in a directory, and look at the space that is left there."""
    remedy = f"free {format_bytes(_LEAST_DISK)}, or make it writable, or use another directory"
    if name == "disk temp":
        remedy += " (set TMPDIR)"
    try:
        folder = find()
        free = free_disk_bytes(folder)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Check(name, False, f"cannot be written: {error}", remedy)
    detail = f"{format_bytes(free)} free and writable: {folder}"
    ok = free >= _LEAST_DISK
    return Check(name, ok, detail, "" if ok else remedy)


def check_codecs() -> Check:
    """Write and read a small array through every codec that stores commonly use."""
    decoded, failed = [], []
    for name, settings in _codecs():
        try:
            _round_trip(settings())
        except Exception as error:
            failed.append(f"{name} ({error})")
        else:
            decoded.append(name)
    detail = f"decoded: {', '.join(decoded) or 'none'}"
    if not failed:
        return Check("codecs", True, detail)
    detail += f"; failed: {', '.join(failed)}"
    return Check("codecs", False, detail, "install zarr and numcodecs again with pip")


def _codecs() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield (name, maker of the settings of ``zarr.create_array``)."""

    def of_zarr(name: str) -> Callable[[], dict[str, Any]]:
        def settings() -> dict[str, Any]:
            import zarr.codecs

            return {"compressors": getattr(zarr.codecs, name)(), "zarr_format": 3}

        return settings

    def lz4() -> dict[str, Any]:
        import numcodecs

        return {"compressors": numcodecs.LZ4(), "zarr_format": 2}

    yield "zstd", of_zarr("ZstdCodec")
    yield "blosc", of_zarr("BloscCodec")
    yield "gzip", of_zarr("GzipCodec")
    yield "crc32c", of_zarr("Crc32cCodec")
    yield "lz4", lz4


def _round_trip(settings: dict[str, Any]) -> None:
    import zarr

    values = np.arange(4096, dtype=np.int32).reshape(64, 64)
    store = zarr.storage.MemoryStore()
    zarr.create_array(store, data=values, chunks=(16, 64), **settings)
    read = zarr.open_array(store, mode="r")[...]
    if not np.array_equal(read, values):
        raise ValueError("another array came back")


def check_self() -> Check:
    """Reduce a tiny matrix with every method and compare the certificates with plain NumPy."""
    try:
        wrong = [f"{method}: {fault}" for method in _METHODS for fault in _faults(method)]
    except Exception as error:
        wrong = [f"{type(error).__name__}: {error}"]
    if not wrong:
        methods = ", ".join(_METHODS)
        return Check("self test", True, f"{methods} agree with NumPy, certificates are right")
    return Check(
        "self test",
        False,
        "; ".join(wrong),
        "install streamsparse again in a fresh virtual environment; if it stays, report it "
        "with `streamsparse doctor --json`",
    )


def _faults(method: str) -> Iterator[str]:
    """Yield what is wrong with the result or the certificate of one method."""
    n, d = 8, 4096
    X = np.cos(np.arange(1.0, n * d + 1) ** 1.1).reshape(n, d) / np.sqrt(d)
    G = X @ X.T
    result = ss.sparsify(X, method, m=_METHODS[method], progress=False)
    certificate = result.certificate
    r = float(G.diagonal().max())
    # Sums of d products in any order, of G and of Y Y^T (Higham, section 3.5).
    rounding = 4 * d * float(np.finfo(np.float64).eps)
    entry = float(np.abs(result.Y @ result.Y.T - G).max()) / r
    claimed = certificate.entry_error
    if abs(certificate.r - r) > rounding * r:
        yield f"r is {certificate.r:.6g}, not {r:.6g}"
    if claimed is None or abs(claimed.value - entry) > rounding:
        yield f"the entry error is {entry:.3g}, claimed {claimed}"
    if method == "exact" and entry > rounding:
        yield f"Y Y^T differs from X X^T by {entry:.3g} r"
