"""Compare two runs of a benchmark: ``compare.py before.jsonl after.jsonl``.

The change is after / before of the rate. The noise is how far the median repeat of either run lies
above its best: a change within it says nothing, and where nothing was repeated there is no noise to
compare with.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

Row = dict[str, Any]

# Processors taken by other processes beyond which a figure is not worth comparing.
BUSY = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, help="JSON lines of the first run")
    parser.add_argument("after", type=Path, help="JSON lines of the second run")
    arguments = parser.parse_args()
    print("\n".join(table(read_rows(arguments.before), read_rows(arguments.after))))


def read_rows(path: Path) -> dict[str, Row]:
    """Return the measurements of one file by name and parameters; a repeated one counts last."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return {json.dumps([row["name"], row["parameters"]], sort_keys=True): row for row in rows}


def table(before: dict[str, Row], after: dict[str, Row]) -> list[str]:
    """Return the lines of the table, at most 80 columns each."""
    lines = [f"{'':30}{'before':>9}{'after':>9} {'unit':<8}{'change':>7}{'noise':>7}"]
    for key in [key for key in before if key in after]:
        old, new = before[key], after[key]
        change, spread = new["rate"] / old["rate"], max(noise(old), noise(new))
        verdict = "  *" if abs(change - 1) > spread > 0 else ""
        if max(old["others"] or 0, new["others"] or 0) > BUSY:
            verdict = "  busy"
        lines.append(
            f"{old['name'][:29]:<30}{old['rate']:9.3g}{new['rate']:9.3g} {old['unit']:<8}"
            f"{change:7.2f}{spread:7.2f}{verdict}"
        )
    lone = sorted(set(before) ^ set(after))
    lines += [f"in one run only: {key}"[:80] for key in lone]
    lines += [f"* exceeds the noise; busy: others worked beside it{other_machine(before, after)}"]
    return lines


def noise(row: Row) -> float:
    """Return how far the median repeat lies above the best, relative to it."""
    return float(statistics.median(row["repeats"]) / min(row["repeats"]) - 1)


def other_machine(before: dict[str, Row], after: dict[str, Row]) -> str:
    """Return a warning if the two runs were made on different processors."""
    machines = [
        {(row["cpu"], row["processors"]) for row in rows.values()} for rows in (before, after)
    ]
    return "" if machines[0] == machines[1] else "; different machines: compare `ratio` instead"


if __name__ == "__main__":
    main()
