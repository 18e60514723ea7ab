"""Predicted, certified and exact errors on real data, as the Markdown table of the README.

The data is the demo's: hashed n-grams of the Python standard library's own sources.

    python scripts/accuracy.py                  the table (a minute)
    python scripts/accuracy.py --modules 60     the same for fewer rows
"""

from __future__ import annotations

import argparse
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import streamsparse as ss
from streamsparse.demo.corpus import build_corpus
from streamsparse.demo.run import BETA
from streamsparse.sketching.bounds import (
    attention_of_entry,
    entrywise_epsilon,
    spectral_epsilon,
)
from streamsparse.storing.zarr_write import write_sparse

COLUMNS = (1024, 4096, 16384, 65536)
EPSILON = 0.2
DELTA = 0.01
SPECTRAL_PASSES = 3
MEMORY = "6 GiB"
TARGETS = ("attention", "entries", "spectral")


def main() -> None:
    """Print the table: every cell is predicted / certified / exact."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", type=int, help="use only the first N modules")
    modules = parser.parse_args().modules
    with tempfile.TemporaryDirectory(prefix="streamsparse-accuracy-") as folder:
        path = Path(folder) / "X.zarr"
        # In float64 rounding hides nothing: two modules are all but the same.
        write_sparse(path, build_corpus(limit=modules).X.tocsc().astype(np.float64))
        n, d = ss.open_source(path).shape
        print(f"{n} x {d:,}, beta = {BETA:g}, delta = {DELTA}; predicted / certified / exact\n")
        print(line(["method", "m", *TARGETS]))
        print(line(["---"] * 5))
        zero = None
        for name, result in reductions(path):
            exact = ss.certify(path, result, exact=True, memory=MEMORY)
            zero = exact.uniform_attention_error
            cells = [cell(target, result, exact, path) for target in TARGETS]
            print(line([name, f"{result.certificate.m:,}", *cells]))
        print(line(["Y = 0", "0", f"- / - / {text(zero)}", "- / - / 1", "- / - / 1"]))


def reductions(path: Path) -> Iterator[tuple[str, ss.Result]]:
    """Yield the ways of reducing that are compared."""
    for m in COLUMNS:
        yield "sketch", ss.sparsify(path, "sketch", m=m, beta=BETA)
    yield "sample", ss.sparsify(path, "sample", m=COLUMNS[-1], beta=BETA, memory=MEMORY)
    for target in ("attention", "entries"):
        with warnings.catch_warnings():
            # That epsilon was not met is what the table would say.
            warnings.simplefilter("ignore", ss.StreamSparseWarning)
            result = ss.sparsify(path, "sketch", epsilon=EPSILON, target=target, beta=BETA)
        yield f"sketch, {target} to {EPSILON}", result
    yield "exact", ss.sparsify(path, "exact", beta=BETA)


def cell(target: str, result: ss.Result, exact: ss.Certificate, path: Path) -> str:
    """Return predicted / certified / exact of one target; a number that nobody has is a dash."""
    truth = {
        "attention": exact.attention_error,
        "entries": exact.entry_error,
        "spectral": exact.spectral_error,
    }[target]
    numbers = [predicted(target, result), certified(target, result, path), truth]
    return " / ".join(map(text, numbers))


def predicted(target: str, result: ss.Result) -> float | None:
    """Return what the formulas say of a plain sketch; for attention with the r of the pass."""
    c = result.certificate
    if result.map is None or result.map.projection is not None or result.map.exact_diagonal:
        return None
    if target == "spectral":
        return spectral_epsilon(rank=c.n, m=c.m, delta=DELTA)
    entry = entrywise_epsilon(n=c.n, m=c.m, delta=DELTA)
    return entry if target == "entries" else attention_of_entry(entry=entry, beta=c.beta, r=c.r)


def certified(target: str, result: ss.Result, path: Path) -> ss.Measure | None:
    """Return the bound of the run's own certificate; for spectral, that of more passes."""
    errors = result.certificate.errors
    if target == "attention":
        return errors.most_rows_attention or errors.attention
    if target == "entries":
        return errors.most_rows_entry or errors.entry
    if errors.spectral is not None:
        return errors.spectral
    return ss.certify(path, result, spectral=SPECTRAL_PASSES, memory=MEMORY).spectral_error


def text(number: float | ss.Measure | None) -> str:
    """Return a number as text."""
    value = number.value if isinstance(number, ss.Measure) else number
    return "-" if value is None or math.isinf(value) else f"{value:.2g}"


def line(cells: Sequence[str]) -> str:
    """Return one line of the table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
