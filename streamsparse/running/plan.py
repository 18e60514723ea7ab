"""The plan of a run: a value that prints itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from streamsparse.html import Markup, card, table
from streamsparse.running.stream import Stream
from streamsparse.sketching.run_hash import Hash
from streamsparse.sources.preprocess import Preprocess
from streamsparse.units import fold, format_bytes, format_seconds

# Of a plan: names, and how X is read within the memory there is. The bits do not depend on it.
_NO_MATTER = {
    "source",
    "why",
    "promise",
    "promise_kind",
    "memory_budget",
    "seconds",
    "block_bytes",
    "blocks",
    "in_flight",
    "rebucket",
    "temporary_disk_bytes",
    "passes",
    "bytes_to_read",
    "peak_memory_bytes",
}

_LABEL_WIDTH = 9


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a run will do, made from metadata alone; printing it is the dry run.

    Attributes
    ----------
    source, n, d, dtype, nnz, feature_axis : the input, X (n, d).
    preprocess : what is done to its columns first.
    method, why : "sketch", "sample", "select" or "exact"; who chose it and for what reason.
    promise : what is known before the first read about the error.
    promise_kind : "proved" (a theorem with this constant, in exact arithmetic: directions below
        1e-12 n of the largest are noise), "empirical" (a formula that every measurement followed)
        or "none".
    m : columns of Y, None where the pass will decide.
    most_columns : most columns that "sample" or "select" may keep, None for other methods.
    sketch_columns : columns of the sketch made in the first pass, None if none is made.
    s : nonzeros per column of S, None without a sketch.
    hash : how S is drawn, None without a sketch.
    dense_stage : whether the n x n stage follows the pass.
    exact_diagonal : whether rows of Y are rescaled to their exact norms.
    target, epsilon, delta, beta, seed : the request.
    queries : rows [0, queries) look at the others; None where all look at all.
    checked_rows : rows of the error that the certificate will compute exactly.
    probes : Gaussian vectors whose products with G bound the error of every row.
    memory_budget : bytes allowed.
    algorithm : of "select": "balance", "bss" or "auto", None for other methods.
    pool_columns : columns that "select" holds in memory and chooses from, else None.
    leaf_width : columns of a leaf, whose sums say where "bss" finds a column; None without them.
    scans : passes that the method makes over X, in whatever layout it is read.
    stream : how the pass reads.
    seconds : predicted time, from round figures for this kind of machine.
    """

    source: str
    n: int
    d: int
    dtype: str
    nnz: int | None
    feature_axis: int
    preprocess: Preprocess
    method: str
    why: str
    promise: str
    promise_kind: str
    m: int | None
    most_columns: int | None
    sketch_columns: int | None
    s: int | None
    hash: Hash | None
    dense_stage: bool
    exact_diagonal: bool
    target: str
    epsilon: float | None
    delta: float
    beta: float
    seed: int
    queries: int | None
    checked_rows: int
    probes: int
    memory_budget: int
    algorithm: str | None
    pool_columns: int | None
    leaf_width: int | None
    scans: int
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
        rest["preprocess"] = Preprocess(**values["preprocess"])
        return cls(**rest, stream=stream)

    def identity(self) -> dict[str, Any]:
        """Return what of the plan decides bits, or how sums are kept, by name."""
        values = self.to_dict()
        return {name: value for name, value in values.items() if name not in _NO_MATTER}

    def describe_columns(self) -> str:
        """Return how many columns Y will have, and out of what they are made."""
        made_of = ""
        if self.sketch_columns is not None and self.sketch_columns != self.m:
            made_of = f" from a sketch of {self.sketch_columns:,} columns"
        if self.pool_columns is not None:
            most = "" if self.most_columns is None else f"up to {self.most_columns:,} columns of X"
            return f"{most}, chosen among {self.pool_columns:,} by {self.algorithm}"
        if self.most_columns is not None:
            return f"up to {self.most_columns:,} columns of X, scored{made_of or ' exactly'}"
        if self.m is not None:
            return f"{self.m:,}{made_of}"
        decides = "rank of X" if self.epsilon is None else "the fewest columns that meet epsilon"
        return f"{decides}{made_of}"

    def _rows(self) -> list[tuple[str, str]]:
        """Return what the plan says, as (label, text)."""
        p, t = self, self.stream
        kind = f"{p.nnz:,} nonzeros" if p.nnz is not None else "dense"
        once = "once" if t.passes == 1 else f"{t.passes} times"
        probes = f", all rows by {p.probes} probes" if p.probes else ""
        rows = [
            ("source", p.source),
            ("X", f"{p.n:,} x {p.d:,}, {p.dtype}, {kind}, feature axis {p.feature_axis}"),
            ("method", f"{p.method}: {p.why}"),
            ("promise", f"{p.promise_kind}: {p.promise}"),
            ("Y", f"{p.n:,} x {p.describe_columns()}"),
            (
                "reading",
                f"{once}, {format_bytes(t.bytes_to_read)} in about {t.blocks:,} "
                f"block{'s' if t.blocks != 1 else ''} of up to {format_bytes(t.block_bytes)}",
            ),
            (
                "summing",
                f"{t.spans:,} span{'s' if t.spans != 1 else ''} of {t.span_width:,} columns, "
                f"{t.bands:,} row band{'s' if t.bands != 1 else ''}",
            ),
            (
                "memory",
                f"{format_bytes(t.peak_memory_bytes)} projected, "
                f"{format_bytes(p.memory_budget)} allowed",
            ),
            ("checks", f"{p.checked_rows:,} of {p.n:,} rows computed exactly{probes}"),
            ("time", f"about {format_seconds(p.seconds)}"),
        ]
        if p.n > p.d:
            fix = "feature_axis=0 (--feature-axis 0)" if p.feature_axis == 1 else "feature_axis=1"
            rows.insert(2, ("note", f"more rows than columns: if they are features, give {fix}"))
        if p.preprocess.is_needed:
            rows.insert(2, ("columns", str(p.preprocess)))
        if t.temporary_disk_bytes:
            what = "X rewritten by columns" if t.rebucket else "the sketch itself"
            disk = f"{format_bytes(t.temporary_disk_bytes)} temporary disk for {what}"
            rows.insert(-4, ("disk", disk))
        return rows

    def to_html(self) -> Markup:
        """Return the plan as a table."""
        return table("What was planned", (), self._rows())

    def __str__(self) -> str:
        """Return the plan as lines of at most 80 characters."""
        return "\n".join(
            fold(f"{label:<{_LABEL_WIDTH}}{text}", indent=_LABEL_WIDTH)
            for label, text in self._rows()
        )

    def __repr__(self) -> str:
        """Return the same lines under a head."""
        return f"Plan\n{self}"

    def _repr_html_(self) -> str:
        """Return the card that notebooks show."""
        title = f"Plan: X {self.n:,} x {self.d:,}, method {self.method}, seed {self.seed}"
        return card(title, self.to_html())
