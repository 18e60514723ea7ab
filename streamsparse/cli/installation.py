"""The checks of ``streamsparse doctor`` that look at what is installed and how it is set up."""

from __future__ import annotations

import locale
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from threadpoolctl import threadpool_info

from streamsparse.kernels.jit import cache_folder, is_compiling
from streamsparse.version import __version__

_PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "zarr",
    "numcodecs",
    "dask",
    "click",
    "tqdm",
    "threadpoolctl",
)
# Of each package that nothing needs: what it is for, and what to type for it.
_EXTRAS = {
    "distributed": ("clusters", "pip install 'dask[distributed]'"),
    "h5py": ("HDF5 files, AnnData's .h5ad among them", "pip install h5py"),
    "scikit-learn": ("estimators, streamsparse.sklearn", "pip install scikit-learn"),
    "matplotlib": ("plots", "pip install matplotlib"),
}
# Variables that others read and that change what runs here do.
_VARIABLES = (
    "NUMBA_DISABLE_JIT",
    "NUMBA_CACHE_DIR",
    "NUMBA_CPU_NAME",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "DASK_CONFIG",
)
# A merge of many parts, and a store of many chunks, hold a few hundred files open.
_LEAST_FILES = 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name, ok : what, and whether runs work with it as it is.
    detail : what was found.
    remedy : what to do about it: of a check that is well, what would be better; often nothing.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    @property
    def verdict(self) -> str:
        """Return "ok", "note" (works, could be better) or "FAILED"."""
        if not self.ok:
            return "FAILED"
        return "note" if self.remedy else "ok"


def find_versions() -> dict[str, str | None]:
    """Return the versions of what is needed; None for what is absent."""
    versions: dict[str, str | None] = {
        "python": platform.python_version(),
        "streamsparse": __version__,
    }
    return versions | {name: version_of(name) for name in _PACKAGES}


def version_of(package: str) -> str | None:
    """Return the version of a package that is installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_installation(versions: dict[str, str | None]) -> Iterator[Check]:
    """Yield every check of what is installed and set; none of them raises."""
    yield check_packages(versions)
    yield from map(check_extra, _EXTRAS)
    yield check_blas()
    yield check_numba()
    yield check_environment()
    yield check_text()
    yield check_files()


def check_packages(versions: dict[str, str | None]) -> Check:
    """Look for what no run can do without."""
    absent = [name for name, version in versions.items() if version is None]
    if not absent:
        return Check("packages", True, "all that are needed are installed")
    return Check(
        "packages",
        False,
        f"not installed: {', '.join(absent)}",
        "install streamsparse again with pip, in a fresh virtual environment",
    )


def check_extra(package: str) -> Check:
    """Look for a package that only some need."""
    purpose, line = _EXTRAS[package]
    version = version_of(package)
    if version is None:
        return Check(package, True, f"not installed; for {purpose}", line)
    return Check(package, True, f"{version}; for {purpose}")


def check_blas() -> Check:
    """Look for a BLAS whose threads can be held to one during a pass."""
    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    if not found:
        return Check(
            "blas",
            False,
            "no BLAS that threadpoolctl knows",
            "install numpy and scipy from PyPI wheels or conda-forge, which bring OpenBLAS",
        )
    named = {
        f"{b['internal_api']} {b['version']} for {b.get('architecture', 'any processor')}, "
        f"{b['num_threads']} threads"
        for b in found
    }
    return Check("blas", True, f"{'; '.join(sorted(named))}; runs hold it to one thread")


def check_numba() -> Check:
    """Look whether kernels are compiled, and kept for the next process."""
    version = version_of("numba")
    if not is_compiling():
        return Check(
            "numba",
            False,
            f"{version}, told not to compile: kernels are plain Python, and very slow",
            "unset NUMBA_DISABLE_JIT",
        )
    folder = cache_folder()
    if folder is None:
        return Check(
            "numba",
            True,
            f"{version}, no folder for compiled kernels can be written: every process compiles",
            "set NUMBA_CACHE_DIR to a folder that can be written",
        )
    return Check("numba", True, f"{version}, compiled kernels are kept in {folder}")


def check_environment() -> Check:
    """Name the variables that are set and change what runs do."""
    found = [f"{name}={os.environ[name]}" for name in _VARIABLES if name in os.environ]
    return Check("environment", True, ", ".join(found) or "no variable that matters is set")


def check_text() -> Check:
    """Look whether names and paths of any language can be printed and opened."""
    used = {
        "output": sys.stdout.encoding or locale.getpreferredencoding(False),
        "paths": sys.getfilesystemencoding(),
    }
    detail = ", ".join(f"{what} in {encoding}" for what, encoding in used.items())
    narrow = [code for code in used.values() if code.lower().replace("-", "") != "utf8"]
    return Check("text", True, detail, "set PYTHONUTF8=1" if narrow else "")


def check_files() -> Check:
    """Look how many files this process may hold open."""
    try:
        import resource
    except ImportError:
        return Check("open files", True, "no limit is known on this system")
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = limit in (resource.RLIM_INFINITY, -1)
    if unlimited or limit >= _LEAST_FILES:
        return Check("open files", True, "no limit" if unlimited else f"up to {limit:,}")
    remedy = f"ulimit -n {_LEAST_FILES}"
    if 0 <= most < _LEAST_FILES:
        remedy = f"ask who runs this machine for a hard limit of {_LEAST_FILES} open files"
    return Check("open files", True, f"at most {limit:,}", remedy)
