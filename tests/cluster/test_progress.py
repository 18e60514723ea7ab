"""In a notebook the bar of distributed shows what a cluster does; elsewhere nobody is asked."""

import sys
import types

import dask.array as da
import distributed
import numpy as np
import pytest

import streamsparse as ss

# Fast tests of the same tasks, without a cluster, are in tests/running.
pytestmark = pytest.mark.slow


@pytest.fixture
def shown(monkeypatch):
    """What is displayed in a notebook that has ipywidgets."""
    found = []
    display = types.ModuleType("IPython.display")
    display.display = found.append
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(
        distributed, "progress", lambda futures, notebook: ("bar", len(futures), notebook)
    )
    return found


def reduce(progress):
    x = da.from_array(np.ones((5, 40_000), np.float32), chunks=(5, 9_000))
    ss.sparsify(x, "exact", progress=progress)


def test_progress__is_shown_by_distributed_in_a_notebook(cluster, shown, monkeypatch):
    reduce(True)
    assert shown == []
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    reduce(True)
    assert shown
    assert all(kind == "bar" and count > 0 and notebook for kind, count, notebook in shown)
    shown.clear()
    reduce(False)
    assert shown == []


@pytest.mark.parametrize("preprocess", [None, "standardize"])
def test_progress__is_not_sent_to_workers(cluster, preprocess):
    x = da.random.default_rng(0).standard_normal((300, 20_000), chunks=(300, 4_000))
    options = {"preprocess": preprocess, "progress": True}
    for method in ("exact", "sketch"):
        result = ss.sparsify(x, method, m=32, **options)
        for arguments in ({}, {"exact": True}, {"spectral": 1}):
            ss.certify(x, result, progress=True, **arguments)
    if preprocess is None:
        ss.sparsify(x, "sample", m=400, progress=True)


def test_progress__does_without_widgets(cluster, shown, monkeypatch):
    def nothing(*_, **__):
        raise ImportError("ipywidgets")

    monkeypatch.setattr(distributed, "progress", nothing)
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    reduce(True)
    assert shown == []
