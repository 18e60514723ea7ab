"""Imports point down: the folder listing is the architecture (DESIGN.md)."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "streamsparse"

# A unit imports only units with a smaller number; equal numbers are strangers.
LAYERS = {
    "errors": 0,
    "version": 0,
    "arrays": 0,
    "units": 1,
    "checks": 1,
    "html": 2,
    "kernels": 2,
    "sources": 3,
    "storing": 3,
    "sketching": 4,
    "dense": 5,
    "accumulators": 5,
    "running": 6,
    "methods": 7,
    "results": 8,
    "api": 9,
    "dask": 10,
    "plot": 10,
    "sklearn": 10,
    "__init__": 11,
    "demo": 12,
    "cli": 13,
    "__main__": 14,
}

# The one file per job in which a third party may be imported.
HOMES = {
    "numba": {"kernels/jit.py", "kernels/vector_code.py"},
    "llvmlite": {"kernels/vector_code.py"},
    "zarr": {
        "sources/zarr_seam.py",
        "sources/zarr_array.py",
        "sources/zarr_open.py",
        "sources/zarr_names.py",
        "storing/zarr_write.py",
        "storing/folder_store.py",
        "cli",
    },
    "dask": {
        "sources/dask_array.py",
        "sources/dask_sparse.py",
        "running/graph.py",
        "running/dask_runner.py",
        "running/recipes.py",
        "running/worker.py",
        "api/lazy.py",
        "api/lazy_arrays.py",
        "dask.py",
        "units.py",
    },
    "click": {"cli"},
    "sklearn": {"sklearn"},
    "h5py": {"sources/hdf5_file.py"},
    "matplotlib": {"plot"},
    "xarray": {"results/labelled.py"},
    "tqdm": {"running/progress.py"},
    "threadpoolctl": {"running/threads.py", "cli/installation.py"},
}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def unit_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Yield every absolute module name a file imports, function-level imports included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "streamsparse":
                for alias in node.names:
                    known = alias.name in LAYERS
                    yield f"streamsparse.{alias.name}" if known else "streamsparse.__init__"
            else:
                yield node.module


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_layering__imports_point_down(path):
    here = unit_of(path)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "streamsparse":
            continue
        there = parts[1] if len(parts) > 1 else "__init__"
        if there != here:
            assert LAYERS[there] < LAYERS[here], f"{here} imports {there}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_layering__third_parties_stay_in_their_home(path):
    relative = path.relative_to(PACKAGE)
    for name in imported(path):
        homes = HOMES.get(name.split(".")[0])
        if homes is not None:
            assert str(relative) in homes or relative.parts[0] in homes, f"{name} in {relative}"


def test_layering__every_unit_has_a_layer():
    assert {unit_of(path) for path in modules()} <= set(LAYERS)
