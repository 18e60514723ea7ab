"""Rates of this machine: measured, kept, and what plans make of them."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import scipy.sparse

import streamsparse as ss
from streamsparse.methods.predict import predicted_seconds
from streamsparse.running import rates as module
from streamsparse.running.calibration import measure_rates
from streamsparse.running.facts import Facts
from streamsparse.running.rates import Rates, load_rates, rates_path, save_rates
from streamsparse.sources.open import open_source

RATES = Rates(**dict.fromkeys(Rates.__dataclass_fields__, 1e9))


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_measure_rates__are_positive_and_finite():
    found = asdict(measure_rates(rows=64, columns=512))
    assert all(0 < rate < 1e15 for rate in found.values()), found


def test_rates__are_kept_for_this_machine_and_version(monkeypatch):
    assert load_rates() is None
    assert save_rates(RATES) == rates_path()
    assert load_rates() == RATES
    monkeypatch.setattr(module, "__version__", "99")
    assert load_rates() is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"machine": 3, "rates": {}}', "\0"])
def test_rates__that_cannot_be_read_are_none(text):
    rates_path().parent.mkdir(parents=True)
    rates_path().write_text(text, encoding="utf-8")
    assert load_rates() is None


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_rates__that_no_machine_has_are_none(bad):
    assert save_rates(replace(RATES, norms=bad))
    assert load_rates() is None
    assert ss.plan(np.ones((300, 4000)), "exact").seconds > 0


def test_rates__that_cannot_be_kept_are_not(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert save_rates(RATES) is None
    assert load_rates() is None


def test_decode__takes_gzip_for_what_it_does_not_know():
    rates = replace(RATES, zstd=2.0, gzip=3.0)
    assert rates.decode("") == np.inf
    assert rates.decode("zstd") == 2.0
    assert rates.decode("bz2") == 3.0


@pytest.mark.parametrize("method", ["exact", "sketch", "sample", "select"])
def test_plan__predicts_by_rates_and_changes_nothing_else(method):
    X = np.ones((300, 4000), np.float32)
    before = ss.plan(X, method).to_dict()
    save_rates(replace(RATES, eigh=1e6))
    after = ss.plan(X, method).to_dict()
    assert after.pop("seconds") > before.pop("seconds") > 0
    assert after == before


@pytest.mark.parametrize("method", ["exact", "sketch"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_predicted_seconds__grow_with_every_slower_rate_that_matters(method, dtype):
    source = open_source(np.ones((300, 4000), dtype), feature_axis=1, missing="error")
    facts, plan = Facts.of(source), ss.plan(source, method)
    usual = predicted_seconds(plan, facts, RATES, threads=2)
    assert predicted_seconds(plan, facts, RATES, threads=1) > usual
    bits = "32" if dtype == "float32" else "64"
    matter = {"exact": {f"gram{bits}", "eigh"}}
    matter["sketch"] = {f"rows{bits}", "probes", "visits", "adds", "dense"}
    everywhere = {"read", "norms", "merge"}
    for name in Rates.__dataclass_fields__:
        slower = predicted_seconds(plan, facts, replace(RATES, **{name: 1e8}), threads=2)
        is_finish = name == "eigh" and plan.dense_stage
        if name in matter[method] | everywhere or is_finish:
            assert slower > usual, name
        else:
            assert slower == usual, name


@pytest.mark.parametrize("method", ["exact", "sketch"])
@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_predicted_seconds__of_sparse_sources_grow_with_checks_and_changes_of_layout(
    method, layout
):
    X = scipy.sparse.random_array((300, 4000), density=0.01, format=layout, rng=0)
    source = open_source(X, feature_axis=1, missing="error")
    facts, plan = Facts.of(source), ss.plan(source, method)
    usual = predicted_seconds(plan, facts, RATES, threads=2)
    is_turned = (method == "exact") == (layout == "csr")
    for name, matters in (("checks", True), ("relayout", is_turned)):
        slower = predicted_seconds(plan, facts, replace(RATES, **{name: 1e6}), threads=2)
        assert (slower > usual) == matters, name


def test_predicted_seconds__count_the_decoding(tmp_path):
    import zarr

    path = tmp_path / "x"
    array = zarr.create_array(path, shape=(20, 3000), chunks=(20, 500), dtype="f4")
    array[:] = 1
    facts, plan = Facts.of(ss.open_source(path)), ss.plan(path, "sketch", m=64)
    assert facts.codec == "zstd"
    usual = predicted_seconds(plan, facts, RATES, threads=1)
    slower = predicted_seconds(plan, facts, replace(RATES, zstd=1e8), threads=1)
    assert slower - usual == pytest.approx(20 * 3000 * 4 * (1e-8 - 1e-9))
