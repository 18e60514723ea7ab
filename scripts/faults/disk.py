"""Let the disk fail: ENOSPC and EIO at every file operation, power loss.

    python scripts/faults/disk.py [--small]

A failed operation must end in one StoreError without a visible output that is not complete; when
the disk works again, resuming must give the bits of the undisturbed run.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import jobs
import power
from faulty_os import Counter, installed
from tally import Tally, main

_FAILING = [jobs.RUNS[k] for k in (0, 2, 4, 7)]


def at_every_operation(
    folder: Path, runs: list[jobs.Run], step: int, code: int, *, from_then_on: bool
) -> Tally:
    """Fail operation 1, 1 + step, ..., once or from then on, then resume on a sound disk."""
    how = "from then on" if from_then_on else "once"
    tally = Tally(f"{errno.errorcode[code]} at every file operation, {how}, then resume")
    for run in runs:
        expected, _ = jobs.reference(run, folder)
        k = 0
        while _fail_at(folder, run, k, code, from_then_on, expected, tally):
            k += step
    return tally


def _fail_at(
    folder: Path,
    run: jobs.Run,
    k: int,
    code: int,
    from_then_on: bool,
    expected: str,
    tally: Tally,
) -> bool:
    """Fail one operation and count what became of it; return whether there was one."""
    counted, telling = os.pipe()

    def failing() -> None:
        def fail(_operation: str) -> None:
            os.write(telling, b"x")
            raise OSError(code, os.strerror(code))

        with installed(Counter(at=k, action=fail, from_then_on=from_then_on)):
            run.start(folder, resume=False)

    jobs.clear(folder)
    status = jobs.finish(failing)
    os.close(telling)
    was_reached = bool(os.read(counted, 1))
    os.close(counted)
    if not was_reached:
        return False
    output = folder / "Y.zarr"
    if status not in (jobs.FINISHED, jobs.STORE_FAILED):
        tally.add("crashes")
    elif output.exists() and jobs.digest(output) != expected:
        tally.add("silent")
    else:
        status = jobs.finish(lambda: run.start(folder, resume=True), quiet=False)
        is_same = status == jobs.FINISHED and jobs.digest(output) == expected
        tally.add("survived" if is_same and not jobs.litter(folder) else "silent")
    return True


def run(*, small: bool) -> list[Tally]:
    """Return one tally per kind of failure."""
    runs, step = (_FAILING[:1], 11) if small else (_FAILING, 1)
    with jobs.prepared() as folder:
        tallies = [
            # A full disk stays full; a bad sector is one.
            at_every_operation(folder, runs, step, code, from_then_on=code == errno.ENOSPC)
            for code in (errno.ENOSPC, errno.EIO)
        ]
        return tallies + power.losses(folder, jobs.RUNS[0], every=97 if small else 1)


if __name__ == "__main__":
    sys.exit(main(__doc__, run))
