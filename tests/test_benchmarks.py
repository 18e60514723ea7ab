"""Every benchmark runs at toy size and prints what it documents; nobody asserts a time."""

import json
from pathlib import Path

import pytest

from script_tools import ROOT, run_script

# They start clusters, and some let scikit-learn compete.
NEEDS = {"bench_dask": ("distributed", "sklearn"), "bench_workers_memory": ("distributed",)}
FOLDER = ROOT / "scripts" / "benchmarks"
SCRIPTS = sorted(FOLDER.glob("bench_*.py"))
KEYS = {
    "name",
    "parameters",
    "seconds",
    "repeats",
    "others",
    "rate",
    "unit",
    "baseline",
    "baseline_rate",
    "ratio",
    "facts",
    "commit",
    "cpu",
    "processors",
    "versions",
}


def marked(script):
    # A process for each size and source takes its time.
    marks = [pytest.mark.slow] if script.stem == "bench_memory" else []
    return pytest.param(script, marks=marks, id=script.stem)


@pytest.mark.slow
@pytest.mark.parametrize("script", list(map(marked, SCRIPTS)))
def test_benchmark__toy_run_prints_json_lines_and_a_table(script):
    for package in NEEDS.get(script.stem, ()):
        pytest.importorskip(package)
    if script.stem in {"bench_memory", *NEEDS} and not Path("/proc/self/status").exists():
        pytest.skip("anonymous memory is read from /proc")
    done = run_script(script, "--size", "toy")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows
    for row in rows:
        assert set(row) == KEYS
        assert min(row["seconds"], row["rate"], row["baseline_rate"], row["ratio"]) > 0
        assert row["seconds"] == min(row["repeats"])
    assert len({row["name"] for row in rows}) == len(rows)
    assert max(map(len, done.stderr.splitlines())) <= 80


def test_compare__marks_a_change_that_exceeds_the_noise(tmp_path):
    rows = []
    for name, rate in [("steady", 1.0), ("faster", 2.0)]:
        repeats = [1.0, 1.1, 1.2]
        rows.append({"name": name, "parameters": {"n": 1}, "repeats": repeats, "rate": 1.0})
        rows[-1] |= {"unit": "GB/s", "cpu": "one", "processors": 1, "others": 0.0, "after": rate}
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    before.write_text("\n".join(map(json.dumps, rows)))
    after.write_text("\n".join(json.dumps(row | {"rate": row["after"]}) for row in rows))
    done = run_script(FOLDER / "compare.py", before, after)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert lines["faster"].endswith("*")
    assert "2.00" in lines["faster"]
    assert not lines["steady"].endswith("*")
