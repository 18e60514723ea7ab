"""Kill runs with SIGKILL: at random times, before every file operation, and again while resuming.

    python scripts/faults/kill.py [--small] [--trials N]

After each kill the run is resumed and must end in the bits of the undisturbed run; no half-written
output may be visible in between.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
from pathlib import Path

import jobs
from faulty_os import Counter, installed
from tally import Tally, print_table

import streamsparse as ss


def _resume(run: jobs.Run, folder: Path, expected: str, tally: Tally) -> None:
    """Resume, and count what came of it."""
    status = jobs.finish(lambda: run.start(folder, resume=True), quiet=False)
    if status != jobs.FINISHED:
        tally.add("crashes")
    elif jobs.digest(folder / "Y.zarr") != expected or jobs.litter(folder):
        tally.add("silent")
    else:
        tally.add("survived")


def _half_visible(folder: Path) -> bool:
    """Whether there is an output that is not complete."""
    if not (folder / "Y.zarr").exists():
        return False
    return jobs.finish(lambda: ss.load(folder / "Y.zarr") and None) != jobs.FINISHED


def at_random(folder: Path, runs: list[jobs.Run], trials: int) -> Tally:
    """Kill at times spread over the whole run."""
    tally, rng = Tally("kill -9 at a random time, then resume"), random.Random(0)
    for run in runs:
        expected, seconds = jobs.reference(run, folder)
        for _ in range(trials):
            jobs.clear(folder)
            pid = jobs.spawn(lambda run=run: run.start(folder, resume=False))
            jobs.kill_after(pid, rng.uniform(0, 1.05 * seconds))
            if _half_visible(folder):
                tally.add("silent")
            else:
                _resume(run, folder, expected, tally)
    return tally


def during_resume(folder: Path, runs: list[jobs.Run], trials: int) -> Tally:
    """Kill, resume, kill again, up to five times, then let it end."""
    tally, rng = Tally("kill -9 again and again while resuming (2 to 6 kills)"), random.Random(1)
    for run in runs:
        expected, seconds = jobs.reference(run, folder)
        for _ in range(trials):
            jobs.clear(folder)
            for k in range(rng.randint(2, 6)):
                pid = jobs.spawn(lambda run=run, k=k: run.start(folder, resume=k > 0))
                jobs.kill_after(pid, rng.uniform(0, 0.6 * seconds))
            _resume(run, folder, expected, tally)
    return tally


def at_every_operation(folder: Path, runs: list[jobs.Run], step: int) -> Tally:
    """Kill before operation 1, 1 + step, ... on files, and after the last one."""
    tally = Tally("kill -9 before every file operation, then resume")
    for run in runs:
        for overwrite in (False, True) if run is runs[0] else (False,):
            _kill_at_operations(folder, run, step, overwrite=overwrite, tally=tally)
    return tally


def _kill_at_operations(
    folder: Path, run: jobs.Run, step: int, *, overwrite: bool, tally: Tally
) -> None:
    expected, _ = jobs.reference(run, folder)
    k = 0
    while True:
        jobs.clear(folder)
        if overwrite:
            jobs.finish(lambda: run.start(folder, resume=False))

        def killed(k: int = k) -> None:
            def kill(_operation: str) -> None:
                os.kill(os.getpid(), signal.SIGKILL)

            with installed(Counter(at=k, action=kill)):
                run.start(folder, resume=False, overwrite=overwrite)

        status = jobs.finish(killed)
        if status == jobs.FINISHED:
            return
        if status != -signal.SIGKILL:
            tally.add("crashes")
        elif _half_visible(folder):
            tally.add("silent")
        else:
            _resume(run, folder, expected, tally)
        k += step


def main() -> int:
    """Run the kinds of kill that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a few trials of few runs")
    parser.add_argument("--trials", type=int, default=40, help="random kills per run")
    options = parser.parse_args()
    runs = jobs.RUNS[:2] if options.small else jobs.RUNS
    trials = 3 if options.small else options.trials
    with jobs.prepared() as folder:
        return print_table(
            [
                at_random(folder, runs, trials),
                during_resume(folder, runs, max(1, trials // 4)),
                at_every_operation(folder, runs, 23 if options.small else 1),
            ]
        )


if __name__ == "__main__":
    sys.exit(main())
