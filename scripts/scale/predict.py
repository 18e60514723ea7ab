"""Predict time and bytes of a run on 1 to 10,000 dask workers, and say what bounds it.

The schedule is simulated task by task (``model.py``): the graph, the tree and the waves, two of
them under way, are those of the package, the rates are parameters. The defaults of the workers'
rates were measured on one core of a 2-core machine by ``--calibrate``; those of network and store
are assumptions about a cluster. Every rate can be given:
``python scripts/scale/predict.py --job exact-1k --read 0.5``.

    --job NAME     one of the jobs below, or "all"
    --calibrate    measure the rates of this machine first, and use them
    --what-if      the same job with another schedule: more spans, no waves, and so on
"""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import groupby

from jobs import JOBS, job_of
from model import Cost, Job, Rates, Schedule, bound, powers, predict, with_more_spans

from streamsparse.running.dask_runner import _TASKS_PER_LANE, _WAVE_SECONDS
from streamsparse.running.graph import _FOLD_BYTES
from streamsparse.running.spans import _MAX_SPANS, ARITY
from streamsparse.units import format_bytes, format_seconds

# Rates are given on the command line in these units.
_UNITS = {
    "read": 1e9,
    "store": 1e9,
    "gram": 1e9,
    "sketch": 1e9,
    "add": 1e9,
    "network": 1e9,
    "receive": 1e9,
    "dense": 1e9,
}
_UNALIGNED_COLUMNS = 10_000


def main() -> None:
    arguments = _parse()
    rates = Rates()
    if arguments.calibrate:
        from calibrate import measured

        rates = measured(rates)
    given = {name: getattr(arguments, name) for name in _names()}
    rates = replace(rates, **{k: v * _UNITS.get(k, 1.0) for k, v in given.items() if v is not None})
    print(_describe(rates))
    names = [name for name in JOBS if name != "toy"] if arguments.job == "all" else [arguments.job]
    for name in names:
        job = job_of(name)
        if arguments.what_if:
            _print_what_if(job, rates, arguments.workers)
        else:
            _print_table(job, rates, arguments.workers)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--job", choices=[*JOBS, "all"], default="exact-1k")
    parser.add_argument("--workers", type=int, default=10_000, help="most workers")
    parser.add_argument("--calibrate", action="store_true", help="measure the rates here")
    parser.add_argument("--what-if", action="store_true", help="other schedules")
    for name in _names():
        unit = "1e9 per second" if name in _UNITS else "seconds"
        parser.add_argument(f"--{name}", type=float, metavar="X", help=unit)
    return parser.parse_args()


def _names() -> list[str]:
    return [field.name for field in fields(Rates)]


def _describe(rates: Rates) -> str:
    def said(name: str) -> str:
        value = getattr(rates, name)
        if math.isinf(value):
            return f"{name} unlimited"
        return f"{name} {value / _UNITS[name]:.3g}" if name in _UNITS else f"{name} {value:.2g} s"

    words = [said(name) for name in _names()]
    lines = ["rates, 1e9 bytes, flops or additions per second:"]
    for word in words:
        if len(lines[-1]) + len(word) + 2 > 79 or len(lines) == 1:
            lines.append("  " + word)
        else:
            lines[-1] += ", " + word
    return "\n".join(lines)


def _short(seconds: float) -> str:
    """Return seconds with three digits or so."""
    digits = 0 if seconds >= 100 else 1 if seconds >= 10 else 2
    return f"{seconds:,.{digits}f}"


def _heading(job: Job) -> str:
    return (
        f"\n{job.name}: {job.n:,} x {job.d:,}, {format_bytes(job.stored_bytes)} per pass, "
        f"{job.spans:,} spans\nof {job.span_width:,} columns, "
        f"{format_bytes(job.partial_bytes)} per partial sum"
    )


def _print_table(job: Job, rates: Rates, most: int) -> None:
    """Print one line per number of workers, and a paragraph about the bounds."""
    print(_heading(job))
    print(f"{'':8}{'':>9}{'':>5}{'seconds of each worker':>24}{'seconds in all of':>21}")
    print(
        f"{'workers':>8}{'time, s':>9}{'busy':>6}{'read':>7}{'compute':>9}{'merge':>7}"
        f"{'sched':>7}{'client':>7}{'dense':>7}  bound by"
    )
    costs, bounds = [], []
    for workers in powers(most):
        cost = predict(job, workers, rates)
        costs.append(cost)
        bounds.append(bound(job, cost, rates, Schedule()))
        W = workers
        print(
            f"{W:8,}{_short(cost.seconds):>9}{cost.busy:6.0%}{_short(cost.reading / W):>7}"
            f"{_short(cost.computing / W):>9}{_short(cost.merging / W):>7}"
            f"{_short(cost.scheduler):>7}{_short(cost.client):>7}{_short(cost.dense):>7}"
            f"  {bounds[-1]}"
        )
    print()
    for sentence in _paragraph(costs, bounds):
        print(textwrap.fill(sentence, 80, subsequent_indent="  "))


def _paragraph(costs: list[Cost], bounds: list[str]) -> Iterator[str]:
    """Yield lines: where the bound changes, the bytes, and what would move it."""
    pairs = zip((cost.workers for cost in costs), bounds, strict=True)
    for name, group in groupby(pairs, key=lambda pair: pair[1]):
        workers = [pair[0] for pair in group]
        first, last = f"{workers[0]:,}", f"{workers[-1]:,}"
        yield f"{first if first == last else f'{first} to {last}'} workers: {_moves(name)}"
    last_cost = costs[-1]
    yield (
        f"Bytes with {last_cost.workers:,} workers: {format_bytes(last_cost.read_bytes)} read, "
        f"{format_bytes(last_cost.moved_bytes)} between workers, "
        f"{format_bytes(last_cost.client_bytes)} to the client in {last_cost.waves:,} waves, "
        f"{last_cost.tasks:,} tasks. From the end of a wave to that of the next: "
        f"{format_seconds(last_cost.longest_wave)} at most."
    )


def _moves(name: str) -> str:
    """Return what a bound is, and what would move it."""
    return {
        "reading": "reading. More workers; chunks that decode faster.",
        "computing": "products and additions. More workers; a smaller m.",
        "merge tree": f"adding and moving partial sums, {ARITY} to one, in groups of "
        f"{format_bytes(_FOLD_BYTES)} at most. A smaller m; a faster network.",
        "scheduler": "the one scheduler: tasks per second, and how long it takes to spread few "
        "of them. Wider spans.",
        "client": "the client, which makes graphs and receives partial sums. Fewer waves.",
        "dense stage": "the dense stage on the client. A sketch with m given has none.",
        "waves": f"waves. Two are under way, of {_TASKS_PER_LANE} spans per worker and {ARITY} at "
        f"least; later ones have up to {ARITY} times as many while a wave takes under "
        f"{_WAVE_SECONDS:.0f} s.",
        "few spans": f"spans: there are {_MAX_SPANS:,} at most, and a pass takes as long as one "
        f"of them at least. Narrower spans.",
    }[name]


def _print_what_if(job: Job, rates: Rates, most: int) -> None:
    """Print the time of the same job with other schedules."""
    print(_heading(job))
    columns = [W for W in (1, 16, 128, 512, 2_048, 10_000) if most >= W]
    print(f"{'seconds on W workers, W =':<26}" + "".join(f"{W:>9,}" for W in columns))
    for name, (changed, schedule, other) in _what_ifs(job, rates).items():
        seconds = [predict(changed, W, other, schedule(W)).seconds for W in columns]
        print(f"{name:<26}" + "".join(f"{_short(value):>9}" for value in seconds))
    best = predict(job, columns[-1], rates, Schedule(has_waves=False)).seconds
    now = predict(job, columns[-1], rates).seconds
    sentence = (
        f"Waves cost {format_seconds(max(0.0, now - best))} of {format_seconds(now)} with "
        f"{columns[-1]:,} workers. They are what makes a lost cluster cheap: what came back is "
        f"kept, and what is lost lies in two waves at most. Spans fix the bits of Y: another "
        f"number of them takes another version of the library."
    )
    print("\n" + textwrap.fill(sentence, 80))


def _what_ifs(job: Job, rates: Rates) -> dict[str, tuple[Job, Callable[[int], Schedule], Rates]]:
    def at_once(_: int) -> Schedule:
        return Schedule(has_waves=False)

    def as_is(_: int) -> Schedule:
        return Schedule()

    unaligned = replace(job, unit_columns=min(job.d, _UNALIGNED_COLUMNS))
    slow = replace(rates, store=100e9)
    more = with_more_spans(job, ARITY)
    return {
        "as it is": (job, as_is, rates),
        "no waves": (job, at_once, rates),
        "16 x as many spans": (more, as_is, rates),
        "  and no waves": (more, at_once, rates),
        "chunks of 10,000 columns": (unaligned, as_is, rates),
        "a store of 100 GB/s": (job, as_is, slow),
    }


if __name__ == "__main__":
    main()
