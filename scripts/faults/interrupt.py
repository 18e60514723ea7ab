"""Interrupt runs with SIGINT and SIGTERM: they stop soon, say how to go on, and go on.

    python scripts/faults/interrupt.py [--small]

Small runs are forked and interrupted at random times; larger ones are started from the command line
with nothing changed, stopped, and resumed by the very line that they have printed.
"""

from __future__ import annotations

import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import jobs
import numpy as np
from tally import Tally, main

from streamsparse.storing.zarr_write import DenseWriter

LIMIT_SECONDS = 2.0
_LOADING_SECONDS = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def of_small_runs(folder: Path, runs: list[jobs.Run], trials: int) -> Tally:
    """Interrupt at times spread over the whole run, then resume."""
    tally, rng, slowest = (
        Tally("Ctrl-C or SIGTERM at a random time, then resume"),
        random.Random(2),
        0.0,
    )
    for run in runs:
        expected, seconds = jobs.reference(run, folder)
        for k in range(trials):
            jobs.clear(folder)
            pid = jobs.spawn(lambda run=run: run.start(folder, resume=False))
            time.sleep(rng.uniform(0, seconds))
            began = time.monotonic()
            status = jobs.kill_after(pid, 0, _SIGNALS[k % 2])
            slowest = max(slowest, time.monotonic() - began)
            # A child that has not begun to listen dies of the signal, as any process does.
            if status not in (jobs.INTERRUPTED, jobs.FINISHED, -_SIGNALS[k % 2]):
                tally.add("crashes")
                continue
            status = jobs.finish(lambda run=run: run.start(folder, resume=True), quiet=False)
            is_same = status == jobs.FINISHED and jobs.digest(folder / "Y.zarr") == expected
            tally.add("survived" if is_same and not jobs.litter(folder) else "silent")
    tally.note = f"slowest stop {slowest:.2f} s"
    return tally


def _streamsparse(*words: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "streamsparse", *words]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def of_commands(folder: Path, trials: int, *, d: int) -> list[Tally]:
    """Interrupt the command line on a matrix of 512 rows; resume by the line it prints."""
    X = np.random.default_rng(0).standard_normal((512, 2000), dtype=np.float32)
    writer = DenseWriter(folder / "wide.zarr", (512, d), X.dtype, (512, 2000))
    for start in range(0, d, 2000):
        writer.write((0, 512), (start, start + 2000), X * (1 + start))
    return [
        _interrupt_command(folder, method, options, trials)
        for method, options in (
            ("sketch", ["--m", "4096"]),
            ("exact", []),
            ("sample", ["--m", "1024"]),
            ("select", ["--m", "2048", "--algorithm", "balance"]),
        )
    ]


def _interrupt_command(folder: Path, method: str, options: list[str], trials: int) -> Tally:
    words = ["reduce", "wide.zarr", "Y.zarr", "--method", method, *options]
    tally = Tally(f"Ctrl-C or SIGTERM of `reduce --method {method}`, then its line")
    rng, slowest = random.Random(3), 0.0
    jobs.clear(folder)
    began = time.monotonic()
    if _streamsparse(*words, cwd=folder).wait():
        raise SystemExit(f"{words} does not run at all")
    seconds, expected = time.monotonic() - began, jobs.digest(folder / "Y.zarr")
    for k in range(trials):
        jobs.clear(folder)
        process = _streamsparse(*words, cwd=folder)
        _wait_until_it_works(process, folder)
        time.sleep(rng.random() * max(0.1, seconds - _LOADING_SECONDS))
        began = time.monotonic()
        process.send_signal(_SIGNALS[k % 2])
        _, said = process.communicate()
        took = time.monotonic() - began
        slowest = max(slowest, took)
        outcome = "survived"
        # Outside of the run itself a SIGTERM ends it as any process.
        if process.returncode in (128 + _SIGNALS[k % 2], -signal.SIGTERM):
            outcome = _resume_by_its_line(folder, said, words, expected)
        elif process.returncode != 0:
            outcome = "crashes"
        if took > LIMIT_SECONDS:
            outcome = "crashes"
        if outcome != "survived":
            print(
                f"{method}: {outcome}, {process.returncode} in {took:.1f} s: {said}",
                file=sys.stderr,
            )
        tally.add(outcome)
    tally.note = f"run of {seconds:.1f} s, slowest stop {slowest:.2f} s"
    return tally


def _wait_until_it_works(process: subprocess.Popen[str], folder: Path) -> None:
    """Wait for the place of the output: while Python is loading, a signal is Python's own."""
    while process.poll() is None and not (folder / ".Y.zarr.unfinished").exists():
        time.sleep(0.01)


def _resume_by_its_line(folder: Path, said: str, words: list[str], expected: str) -> str:
    lines = [line.strip() for line in said.splitlines()]
    printed = [line for line in lines if line.startswith("streamsparse reduce")]
    # Where there is nothing to keep it says no line.
    line = shlex.split(printed[0])[1:] if printed else [*words, "--resume"]
    if _streamsparse(*line, cwd=folder).wait():
        return "crashes"
    is_same = jobs.digest(folder / "Y.zarr") == expected and not jobs.litter(folder)
    return "survived" if is_same else "silent"


def run(*, small: bool) -> list[Tally]:
    """Return one tally of small runs, and one per method of the command line."""
    # A shell has its background jobs ignore it, and what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with jobs.prepared() as folder:
        runs = jobs.RUNS[:2] if small else jobs.RUNS
        tallies = [of_small_runs(folder, runs, 3 if small else 12)]
        return tallies if small else tallies + of_commands(folder, 8, d=200_000)


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
