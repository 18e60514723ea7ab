"""What a demo found, and whether the certificates kept their promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import streamsparse as ss
from streamsparse.units import format_bytes

# What "exact" may err by: float32 values summed in float64 stay far below it.
_LARGEST_EXACT_ERROR = 1e-3


@dataclass(frozen=True, slots=True)
class Run:
    """One reduction and the independent check of it.

    Attributes
    ----------
    asked : the method that was asked for.
    certificate : what the run said about itself.
    check : every row, from the exact Gram matrix, in a pass of its own.
    """

    asked: str
    certificate: ss.Certificate
    check: ss.Certificate


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest modules of one module, as (name, cosine), by G and by Y Y^T."""

    module: str
    before: list[tuple[str, float]]
    after: list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Report:
    """What a demo showed.

    Attributes
    ----------
    n, d, nnz, stored_bytes : of the matrix on disk; nnz is None for a dense one.
    beta, memory : scale of the logits and budget in bytes.
    own_attention : median share of its attention that a row gives itself.
    runs : in the order of the table.
    neighbours, neighbours_m : before and after, and columns of the sketch that made "after".
    violations : what a certificate promised and the check did not find; empty if all is well.
    seconds : wall time of everything.
    """

    n: int
    d: int
    nnz: int | None
    stored_bytes: int
    beta: float
    memory: int
    own_attention: float
    runs: list[Run]
    neighbours: list[Neighbours]
    neighbours_m: int | None
    violations: list[str]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        rest = ("n", "d", "nnz", "stored_bytes", "beta", "memory", "own_attention")
        return {name: getattr(self, name) for name in rest} | {
            "runs": [
                {
                    "asked": run.asked,
                    "certificate": run.certificate.to_dict(),
                    "check": run.check.to_dict(),
                }
                for run in self.runs
            ],
            "neighbours": [asdict(entry) for entry in self.neighbours],
            "neighbours_m": self.neighbours_m,
            "violations": self.violations,
            "seconds": self.seconds,
        }


def find_violations(runs: Sequence[Run], memory: int) -> list[str]:
    """Return a sentence for every promise that the check did not find kept."""
    found = []
    for run in runs:
        claimed, checked = run.certificate, run.check
        name = f"{claimed.method} with m = {claimed.m:,}"
        for label, ours, exact, allowed in _compared(claimed, checked):
            if ours is not None and exact is not None and ours.value > exact.value + allowed:
                found.append(f"{name} claims {label} {ours.value:.4g}, found {exact.value:.4g}")
        found += [
            f"{name} bounds {label} by {bound.value:.4g}, found {exact.value:.4g}"
            for label, bound, exact in _bounded(claimed, checked)
            if bound is not None
            and bound.confidence is not None
            and exact is not None
            and exact.value > bound.value
        ]
        worst = checked.attention_error
        if claimed.method == "exact" and not (worst and worst.value <= _LARGEST_EXACT_ERROR):
            found.append(f"{name} has an attention error above {_LARGEST_EXACT_ERROR:g}")
        peak = claimed.peak_memory_bytes
        if peak is not None and peak > memory:
            found.append(f"{name} held {format_bytes(peak)}, the budget was {format_bytes(memory)}")
    return found


def _bounded(
    claimed: ss.Certificate, checked: ss.Certificate
) -> list[tuple[str, ss.Measure | None, ss.Measure | None]]:
    """Return (label, bound of the run on every row, what the check found)."""
    ours, theirs = claimed.errors, checked.errors
    return [
        ("the attention error", ours.all_rows_attention, theirs.attention),
        ("the entry error", ours.all_rows_entry, theirs.entry),
        ("the root mean square of entries", ours.rms_entry, theirs.rms_entry),
    ]


def _compared(
    claimed: ss.Certificate, checked: ss.Certificate
) -> list[tuple[str, ss.Measure | None, ss.Measure | None, float]]:
    """Return (label, by the run, by the check, what rounding may make of it).

    A maximum over some rows of the same matrix cannot exceed that over all rows, up to rounding:
    entries of G are sums of at most 256 float32 products per tile and of d float64 terms, those
    of Y Y^T of m, all relative to r (Cauchy-Schwarz, Higham 3.5), and both sides are computed
    twice. The L1 distance of two softmaxes is at most the largest difference of their logits.
    """
    u32, u64 = (float(np.finfo(dtype).eps) / 2 for dtype in (np.float32, np.float64))
    growth = 1.0 + (checked.entry_error.value if checked.entry_error else 0.0)
    entry = 2 * (257 * u32 + checked.d * u64 + growth * (checked.m + 1) * u64)
    attention = checked.beta * checked.r * entry + 4 * (checked.n + 2) * u64
    return [
        ("an attention error of", claimed.attention_error, checked.attention_error, attention),
        ("an entry error of", claimed.entry_error, checked.entry_error, entry),
    ]
