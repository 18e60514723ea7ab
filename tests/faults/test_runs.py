"""Kills, failing disks, power losses and interrupts of whole runs, a few of each."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent.parent / "scripts" / "faults"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "kinds"), [("kill", 3), ("disk", 4), ("interrupt", 1), ("workers", 4)]
)
def test_faults__leave_the_bits_as_they_are(script, kinds):
    # In a process of its own: it forks.
    command = [sys.executable, FOLDER / f"{script}.py", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == kinds
