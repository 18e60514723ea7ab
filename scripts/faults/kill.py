"""Kill runs with SIGKILL: at random times, before every file operation, and again while resuming.

    python scripts/faults/kill.py [--small]

After each kill the run is resumed and must end in the bits of the undisturbed run; no half-written
output may be visible in between.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

import jobs
from faulty_os import Counter, installed
from tally import Tally, main

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


def at_random(folder: Path, runs: list[jobs.Run], trials: int, *, most: int, seed: int) -> Tally:
    """Kill, resume, kill again, up to ``most`` times, at times spread over the run; let it end."""
    what = (
        "at a random time" if most == 1 else f"again and again while resuming, up to {most} times"
    )
    tally, rng = Tally(f"kill -9 {what}, then resume"), random.Random(seed)
    for run in runs:
        expected, seconds = jobs.reference(run, folder)
        for _ in range(trials):
            jobs.clear(folder)
            is_half = False
            for k in range(rng.randint(min(most, 2), most)):
                pid = jobs.spawn(lambda run=run, k=k: run.start(folder, resume=k > 0))
                jobs.kill_after(pid, rng.uniform(0, seconds))
                is_half |= _half_visible(folder)
            if is_half:
                tally.add("silent")
            else:
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


def run(*, small: bool) -> list[Tally]:
    """Return one tally per kind of kill."""
    runs, trials = (jobs.RUNS[:2], 3) if small else (jobs.RUNS, 30)
    with jobs.prepared() as folder:
        return [
            at_random(folder, runs, trials, most=1, seed=0),
            at_random(folder, runs, max(1, trials // 4), most=6, seed=1),
            at_every_operation(folder, runs, 23 if small else 1),
        ]


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
