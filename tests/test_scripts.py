"""Scripts beside the benchmarks run at toy size and print what the README shows."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.mark.slow
def test_accuracy__prints_predicted_certified_and_exact_errors_of_each_target():
    command = [sys.executable, SCRIPTS / "accuracy.py", "--modules", "8"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line] for line in lines]
    assert header == ["method", "m", "attention", "entries", "spectral"]
    assert rows[-1][:2] == ["Y = 0", "0"]
    for row in rows[:-1]:
        for cell in row[2:]:
            _, certified, exact = cell.split(" / ")
            # 8 rows are all compared: certified is exact, up to the rounding of d products.
            if certified != "-" and float(exact) > 1e-9:
                assert certified == exact
