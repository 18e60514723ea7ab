"""What starting costs: importing, and a second ``reduce`` of a small store, as whole processes.

The baseline is an interpreter that does nothing, in turns with it; rates are starts per second.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from harness import Report, environment, parse_arguments, time_in_turns, write_dense

REPEATS = {"toy": 1, "small": 5, "large": 20}


def main() -> None:
    arguments = parse_arguments(__doc__)
    report, repeats = Report("start", arguments), REPEATS[arguments.size]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "X.zarr"
        write_dense(path, (64, 20_000), 5000, None)
        reduce = ["-m", "streamsparse", "reduce", str(path), str(Path(name) / "Y.zarr"), "--force"]
        jobs = {"import": ["-c", "import streamsparse"], "second reduce": reduce}
        for job, words in jobs.items():
            if report.wants(job):
                # The warm-up is the first reduce: it compiles what is not in numba's cache.
                ours, nothing = time_in_turns(
                    [partial(start, words), partial(start, ["-c", "pass"])], repeats
                )
                report.add(
                    job,
                    {},
                    timing=ours,
                    rate=(1 / ours.best, "1/s"),
                    baseline=("python -c pass", 1 / nothing.best),
                )
    report.print_table()


def start(words: list[str]) -> None:
    """Run the interpreter with these words, and wait for its end."""
    subprocess.run([sys.executable, *words], check=True, capture_output=True, env=environment())


if __name__ == "__main__":
    main()
