"""The plan of a run: a value that prints itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from streamsparse.running.stream import Stream
from streamsparse.units import format_bytes, format_seconds


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run will do, made from metadata alone; printing it is the dry run.

    Attributes
    ----------
    source, n, d, dtype, nnz, feature_axis : the input, X (n, d).
    method : "sketch" or "exact"; ``why`` says who chose it and for what reason.
    m : columns of Y, None where the rank of X will decide.
    sketch_columns : columns of the sketch made in the pass, None for "exact".
    s : nonzeros per column of S, None for "exact".
    target, epsilon, delta, beta, seed : the request.
    checked_rows : rows of the error that the certificate will compute exactly.
    memory_budget : bytes allowed.
    stream : how the pass reads.
    seconds : predicted time, from round figures for this kind of machine.
    """

    source: str
    n: int
    d: int
    dtype: str
    nnz: int | None
    feature_axis: int
    method: str
    why: str
    m: int | None
    sketch_columns: int | None
    s: int | None
    target: str
    epsilon: float | None
    delta: float
    beta: float
    seed: int
    checked_rows: int
    memory_budget: int
    stream: Stream
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-ready values, the stream's among them."""
        values: dict[str, Any] = asdict(self)
        stream: dict[str, Any] = values.pop("stream")
        return values | stream

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Plan:
        """Return the plan that :meth:`to_dict` described."""
        names = {field.name for field in fields(Stream)}
        stream = Stream(**{name: value for name, value in values.items() if name in names})
        rest = {name: value for name, value in values.items() if name not in names}
        return cls(**rest, stream=stream)

    def __str__(self) -> str:
        """Return the plan as lines of at most 80 columns."""
        p, t = self, self.stream
        kind = f"{p.nnz:,} nonzeros" if p.nnz is not None else "dense"
        m = "rank of X" if p.m is None else f"{p.m:,}"
        made_of = f" from a sketch of {p.sketch_columns:,} columns" if p.sketch_columns else ""
        if p.sketch_columns == p.m:
            made_of = ""
        once = "once" if t.passes == 1 else f"{t.passes} times"
        lines = [
            f"source   {p.source}",
            f"X        {p.n:,} x {p.d:,}, {p.dtype}, {kind}, feature axis {p.feature_axis}",
            f"method   {p.method}: {p.why}",
            f"Y        {p.n:,} x {m}{made_of}",
            f"reading  {once}, {format_bytes(t.bytes_to_read)} in about {t.blocks:,} blocks of "
            f"up to {format_bytes(t.block_bytes)}",
            f"summing  {t.spans:,} spans of {t.span_width:,} columns, "
            f"{t.bands:,} row band{'s' if t.bands != 1 else ''}",
            f"memory   {format_bytes(t.peak_memory_bytes)} projected, "
            f"{format_bytes(p.memory_budget)} allowed",
            f"checks   {p.checked_rows:,} of {p.n:,} rows computed exactly",
            f"time     about {format_seconds(p.seconds)}",
        ]
        if t.rebucket:
            lines.insert(
                5,
                f"rewrites X by columns on temporary disk first: "
                f"{format_bytes(t.temporary_disk_bytes)}",
            )
        return "\n".join(_wrap(line) for line in lines)


def _wrap(line: str, width: int = 80) -> str:
    """Break a line at spaces so that no part exceeds ``width``; continuations are indented."""
    words, parts, current = line.split(" "), [], ""
    for word in words:
        if current and len(current) + 1 + len(word) > width:
            parts.append(current)
            current = " " * 9 + word
        else:
            current = f"{current} {word}" if current else word
    return "\n".join([*parts, current])
