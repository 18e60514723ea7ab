"""Jobs of a batch queue on the command line, from parts to Y."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import streamsparse as ss

SCRIPT = Path(__file__).parents[2] / "scripts" / "cluster" / "slurm_array.sh"
CERTIFIED = ("seconds", "peak_memory_bytes")


@pytest.fixture
def wide(tmp_path):
    """A matrix of five spans."""
    values = np.random.default_rng(0).standard_normal((6, 70_000)).astype(np.float32)
    np.save(tmp_path / "X.npy", values)
    return "X.npy"


def printed(result):
    assert result.exit_code == 0, result.stderr
    return result.stdout


def parsed(result):
    return json.loads(printed(result))


def values_of(path):
    return ss.load(path).Y[:]


@pytest.mark.parametrize("method", [["--method", "exact"], ["--method", "sketch", "--m", "64"]])
def test_merge__makes_of_parts_what_reduce_makes(run, wide, method):
    whole = parsed(run("reduce", wide, "whole.zarr", "--json", *method))
    for number in (1, 2, 3):
        part = parsed(run("reduce", wide, f"p{number}", f"--part={number}/3", "--json", *method))
        assert (part["part"], part["number"], part["count"]) == (f"p{number}", number, 3)
    merged = parsed(run("merge", "Y.zarr", "p3", "p1", "p2", "--json"))
    assert merged["out"] == "Y.zarr"
    assert merged["plan"] == whole["plan"]
    for name in CERTIFIED:
        assert merged["certificate"].pop(name) is not None
        whole["certificate"].pop(name)
    assert merged["certificate"] == whole["certificate"]
    np.testing.assert_array_equal(values_of("Y.zarr"), values_of("whole.zarr"))


def test_reduce_part__and_merge_say_what_they_did_and_what_comes_next(run, wide):
    for number in (1, 2):
        text = printed(run("reduce", wide, f"p{number}", "--part", f"{number}/2", "--m", 64))
        assert f"part {number} of 2: method sketch" in text or "method exact" in text
        assert f"next:  streamsparse merge OUT p{number} ...  (all 2 parts)" in text
        assert max(map(len, text.splitlines())) <= 80
        assert text.startswith(printed(run("info", f"p{number}")))
    assert parsed(run("info", "p1", "--json"))["kind"] == "part"
    text = printed(run("merge", "Y.zarr", "p1", "p2"))
    assert "attention error" in text
    assert "wrote Y.zarr" in text
    program, *words = shlex.split(text.partition("next:")[2].replace("\\\n", " "))
    assert (program, words[0]) == ("streamsparse", "certify")
    assert "all 6 rows were compared" in printed(run(*words))


def test_reduce_part__queued_again_does_nothing(run, wide, tmp_path):
    words = ("reduce", wide, "p1", "--part", "1/2", "--method", "exact", "--resume")
    printed(run(*words))
    written = (tmp_path / "p1" / "part").stat().st_mtime_ns
    assert "wrote p1" in printed(run(*words))
    assert (tmp_path / "p1" / "part").stat().st_mtime_ns == written


def test_plan__takes_the_arguments_of_a_part(run, wide):
    assert "5 spans" in printed(run("plan", wide, "p1", "--part", "1/2", "--method", "exact"))


def test_parts__of_two_passes(run, wide):
    method = ["--method", "sample", "--m", "32"]
    printed(run("reduce", wide, "whole.zarr", *method))
    for number in (1, 2):
        text = printed(run("reduce", wide, f"a{number}", "--part", f"{number}/2", *method))
        assert "pass 1 of 2" in text
        assert "merge FIRST" in text
    text = printed(run("merge", "first", "a1", "a2"))
    assert "--after first" in text
    for number in (1, 2, 3):
        words = ("reduce", wide, f"b{number}", "--part", f"{number}/3", "--after", "first")
        assert "merge OUT" in printed(run(*words, *method))
    printed(run("merge", "Y.zarr", "b1", "b2", "b3"))
    np.testing.assert_array_equal(values_of("Y.zarr"), values_of("whole.zarr"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["merge", "Y.zarr", "p1"], "are in no part; missing: 2/2"),
        (["merge", "Y.zarr", "p1", "p1"], "both have span 0"),
        (["merge", "p1", "p1"], "is one of the parts: the output comes before them"),
        (["merge", "Y.zarr", "p1", "absent"], "there is no part at"),
        (["merge", "Y.zarr", "p1", "X.npy"], "is no part"),
        (["reduce", "X.npy", "p1", "--part", "1/2", "--method", "exact"], "already exists"),
        (["reduce", "X.npy", "p9", "--part", "1/6", "--method", "exact"], "has 5 spans"),
        (["reduce", "X.npy", "p9", "--part", "1/2", "--method", "select"], "as one job"),
        (["reduce", "X.npy", "p9", "--part=1/2", "--method=select", "--algorithm=bss"], "one job"),
    ],
)
def test_parts__what_goes_wrong_is_one_line(run, wide, words, said):
    printed(run("reduce", wide, "p1", "--part", "1/2", "--method", "exact"))
    result = run(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


SBATCH = """#!/usr/bin/env bash
# Run what is submitted, here and now.
set -euo pipefail
while [[ $1 == --* ]]; do
  [[ $1 == --array=1-* ]] && last=${1#--array=1-}
  [[ $1 == --dependency=* ]] && [[ $1 != --dependency=afterok:77 ]] && exit 3
  shift
done
if [[ -n ${last:-} ]]; then
  for ((task = 1; task <= last; task++)); do
    SLURM_JOB_ID=77 SLURM_ARRAY_TASK_ID=$task "$@" >&2
  done
  echo "77;here"
else
  SLURM_JOB_ID=78 "$@"
fi
"""


@pytest.mark.slow
def test_slurm_array__submits_all_parts_and_the_merge(wide, tmp_path):
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "sbatch").write_text(SBATCH)
    (bin / "streamsparse").write_text(f'#!/bin/sh\nexec {sys.executable} -m streamsparse "$@"\n')
    for file in bin.iterdir():
        file.chmod(0o755)
    environment = os.environ | {"PATH": f"{bin}:{os.environ['PATH']}"}
    words = [SCRIPT, wide, "my Y.zarr", "2", "--method", "exact"]
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "wrote my Y.zarr" in done.stdout
    expected = ss.sparsify(tmp_path / wide, "exact")
    np.testing.assert_array_equal(values_of(tmp_path / "my Y.zarr"), expected.Y)
    assert not (tmp_path / "my Y.zarr.parts").exists()
