"""The public face: names, docstrings and what importing costs."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import streamsparse as ss

FUNCTIONS = {
    name: getattr(ss, name) for name in ss.__all__ if inspect.isfunction(getattr(ss, name))
} | {"dask.sketch": ss.dask.sketch, "dask.gram": ss.dask.gram}
FUNCTIONS |= {f"plot.{name}": getattr(ss.plot, name) for name in ss.plot.__all__}


def test_all__is_sorted_and_complete():
    assert list(ss.__all__) == sorted(ss.__all__)
    namespace = {}
    exec("from streamsparse import *", namespace)
    assert set(ss.__all__) <= set(namespace)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions__state_returns_errors_passes_and_memory(name):
    text = inspect.getdoc(FUNCTIONS[name])
    for section in ("Parameters", "Returns", "Raises", "Notes"):
        assert f"{section}\n---" in text, section
    assert "pass" in text.lower()
    for parameter in inspect.signature(FUNCTIONS[name]).parameters:
        assert parameter in text, parameter


def test_signatures__have_the_names_and_defaults_of_the_contract():
    parameters = inspect.signature(ss.sparsify).parameters
    contract = {
        "method": "auto",
        "m": None,
        "epsilon": None,
        "target": "attention",
        "delta": 0.01,
        "beta": 1.0,
        "seed": 0,
        "memory": "1 GiB",
        "feature_axis": 1,
        "out": None,
        "overwrite": False,
        "resume": False,
        "progress": "auto",
        "missing": "error",
        "nonfinite": "error",
        "s": 8,
        "strict": False,
        "algorithm": "auto",
    }
    assert {name: parameters[name].default for name in contract} == contract


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures__have_the_defaults_of_sparsify_where_they_share_a_name(name):
    # Of what is checked afterwards, None is what the result was made with.
    others = {"certify": {"beta", "seed"}}.get(name, set())
    known = inspect.signature(ss.sparsify).parameters
    for parameter in inspect.signature(FUNCTIONS[name]).parameters.values():
        if parameter.name in known.keys() - others and parameter.default is not parameter.empty:
            assert parameter.default == known[parameter.name].default, parameter.name


def test_import__leaves_the_heavy_packages_alone():
    code = (
        "import sys, streamsparse; "
        "print([name for name in ('numpy', 'scipy', 'numba', 'zarr', 'dask', 'distributed', "
        "'sklearn', 'matplotlib', 'tqdm') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_names__are_imported_from_where_type_checkers_are_told():
    tree = ast.parse(Path(ss.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {name.name: node.module for node in block.body for name in node.names}
    assert all(told.pop(name) == "streamsparse" for name in ss._MODULES)
    assert told == ss._HOMES
    assert set(ss.__all__) == set(told) | {"__version__"}


def test_names__are_there_when_asked_for_and_no_others():
    assert {*ss.__all__, "dask", "plot"} <= set(dir(ss))
    for name in ss.__all__:
        assert getattr(ss, name) is getattr(ss, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ss.nothing  # noqa: B018 - looking is the test
