import json
import tempfile
from dataclasses import replace

import pytest

import streamsparse as ss
from streamsparse.demo.report import Run, find_violations
from streamsparse.demo.run import run_demo, run_dense_demo


@pytest.fixture(scope="module")
def report():
    return run_demo(limit=12, say=lambda what: None)


@pytest.mark.slow
def test_demo__every_certificate_holds(report):
    assert report.violations == []
    asked = ["exact", "sketch", "sketch", "sketch", "sample", "select", "auto"]
    assert [run.asked for run in report.runs] == asked
    assert report.n == 12
    assert all(run.check.checked_rows == 12 for run in report.runs)
    assert all(len(entry.before) == len(entry.after) == 3 for entry in report.neighbours)


@pytest.mark.slow
def test_demo__prints_a_table_and_removes_its_folder(run, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = run("demo", "--limit", "10")
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    for words in ("attention error", "Y = 0", "beta = 8", "nearest modules", "next:  streamsparse"):
        assert words in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_demo__json(run, monkeypatch, report):
    monkeypatch.setattr("streamsparse.demo.run.run_demo", lambda **_: report)
    values = json.loads(run("demo", "--json").stdout)
    assert set(values["runs"][0]) == {"asked", "certificate", "check"}
    assert values["violations"] == []


@pytest.mark.slow
def test_demo__dense_keeps_its_budget(run, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = run("demo", "--dense", "1MB", "--limit", "10")
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "fits the budget" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_demo__a_violated_certificate_is_status_1(run, monkeypatch, report):
    broken = replace(report, violations=["sketch claims an entry error of 0.1, found 0.2"])
    monkeypatch.setattr("streamsparse.demo.run.run_demo", lambda **_: broken)
    result = run("demo")
    assert result.exit_code == 1
    assert "CERTIFICATES VIOLATED" in result.stdout
    assert result.stderr == (
        "streamsparse: error: 1 certificate violated: "
        "sketch claims an entry error of 0.1, found 0.2\n"
    )


def test_find_violations__sees_each_broken_promise(report):
    exact = report.runs[0]
    sketch = report.runs[1]
    assert find_violations(report.runs, report.memory) == []
    measured = sketch.check.attention_error.value
    boast = replace(
        sketch.certificate.errors, attention=ss.Measure(measured + 0.01, "estimate", None)
    )
    claimed = Run("sketch", replace(sketch.certificate, errors=boast), sketch.check)
    assert "claims an attention error" in find_violations([claimed], report.memory)[0]
    bad = replace(exact.check.errors, attention=ss.Measure(0.01, "exact"))
    worse = Run("exact", exact.certificate, replace(exact.check, errors=bad))
    assert "above 0.001" in " ".join(find_violations([worse], report.memory))
    heavy = Run("exact", replace(exact.certificate, peak_memory_bytes=2 << 30), exact.check)
    assert "the budget was 1.00 GiB" in find_violations([heavy], report.memory)[0]


@pytest.mark.parametrize("size", ["much", "-3", "0"])
def test_run_dense_demo__refuses_sizes_without_meaning(size):
    with pytest.raises(ss.ParameterError, match="dense array"):
        run_dense_demo(size, limit=20, say=lambda what: None)


def test_run_dense_demo__refuses_more_than_the_disk_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ss.StoreError, match="TMPDIR"):
        run_dense_demo("1000 PB", limit=20, say=lambda what: None)
    assert list(tmp_path.iterdir()) == []
