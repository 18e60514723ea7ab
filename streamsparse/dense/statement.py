"""What a certificate says: said once, for the lines of a terminal and the card of a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from streamsparse.html import Markup, card, element, listing, table
from streamsparse.units import fold, format_bytes, format_seconds

if TYPE_CHECKING:
    from streamsparse.dense.certificate import Certificate, Measure

_LABELS = {
    "attention": "attention error (largest row, L1)",
    "entry": "entry error, max |E_ij| / r",
    "spectral": "spectral error, Loewner epsilon",
    "regularised": "regularised error, lambda = r",
    "most_rows_attention": "most rows",
    "most_rows_entry": "most rows",
    "all_rows_attention": "every row",
    "all_rows_entry": "every row",
    "bootstrap_entry": "some rows, by bootstrap",
    "rms_entry": "root mean square",
    "barrier": "what the barriers prove",
}
# Of each target fields of Errors in the order of lines: its error, and what else is known of it.
_GROUPS = {
    "attention": ("attention", "most_rows_attention", "all_rows_attention"),
    "entries": ("entry", "most_rows_entry", "all_rows_entry", "bootstrap_entry", "rms_entry"),
    "spectral": ("spectral", "barrier"),
    "regularised": ("regularised",),
}
_HEAD = ("error", "value", "kind", "of rows", "confidence", "Y = 0")
_INDENT = 4


class Finding(NamedTuple):
    """One error of the certificate.

    Attributes
    ----------
    target : in the sense of which it is an error.
    label : what people read.
    is_more : whether it says more about the error above it.
    measure : what was measured, None where nobody did.
    of_zero : the same for Y = 0, where that was measured.
    sampled : of how many rows it is the largest, where it says nothing of others; else None.
    """

    target: str
    label: str
    is_more: bool
    measure: Measure | None
    of_zero: Measure | None
    sampled: int | None

    def __str__(self) -> str:
        """Return value, kind and what qualifies it."""
        if self.measure is None:
            return "not measured"
        if self.sampled is not None:
            return f"{self.measure.value:<9.4g} the largest of {self.sampled:,} rows"
        return str(self.measure)

    @property
    def name(self) -> str:
        """What the error is called where it stands alone."""
        kind = "entry" if self.target == "entries" else self.target
        return f"{kind} error, {self.label}" if self.is_more else self.label

    def cells(self) -> list[str]:
        """Return the cells of a table, as many as there are in its head."""
        zero = "" if self.of_zero is None else f"{self.of_zero.value:.4g}"
        if self.measure is None:
            return [self.name, "not measured", "", "", "", zero]
        kind, share, confidence = self.measure.kind, self.measure.share, self.measure.confidence
        return [
            self.name,
            f"{self.measure.value:.4g}",
            kind if self.sampled is None else f"the largest of {self.sampled:,} rows",
            "" if share is None else f"{share:.1%}",
            "" if confidence is None else f"{confidence:.4g}",
            zero,
        ]


class Verdict(NamedTuple):
    """Whether what was asked for is certified: "met", "missed", or "open" where nobody knows."""

    state: str
    text: str


def findings(certificate: Certificate) -> Iterator[Finding]:
    """Yield the errors in order; the first of a group also where nobody measured it."""
    errors = certificate.errors
    for target, (first, *others) in _GROUPS.items():
        measure: Measure | None = getattr(errors, first)
        # Of some rows the largest is known, and of no other row anything.
        is_sample = first in ("attention", "entry") and measure and measure.kind == "estimate"
        zero = errors.uniform if first == "attention" else None
        rows = certificate.checked_rows if is_sample else None
        yield Finding(target, _LABELS[first], False, measure, zero, rows)
        for field in others:
            more: Measure | None = getattr(errors, field)
            if more is not None:
                yield Finding(target, _LABELS[field], True, more, None, None)


def headline(certificate: Certificate) -> str:
    """Return what became what, and how."""
    c = certificate
    return f"X {c.n:,} x {c.d:,} -> Y {c.n:,} x {c.m:,}   method {c.method}, seed {c.seed}"


def verdict(certificate: Certificate) -> Verdict:
    """Return what was asked for and whether it is met; else the best that is known."""
    c = certificate
    if c.epsilon is None:
        return Verdict("open", f"no error was asked for; {_best_known(c)}")
    asked = f"asked: {c.target} error {c.epsilon:g}: "
    if c.met is None:
        return Verdict("open", f"{asked}not certified")
    if not c.met:
        return Verdict("missed", f"{asked}NOT MET")
    most = {"attention": c.errors.most_rows_attention, "entries": c.errors.most_rows_entry}
    measure = most.get(c.target or "")
    whose = f" by {measure.share:.1%} of rows" if measure is not None and measure.share else ""
    return Verdict("met", f"{asked}met{whose}")


def _best_known(certificate: Certificate) -> str:
    """Return the first error that was measured: what is certified before what is not."""
    known = [(f, f.measure.kind) for f in findings(certificate) if f.measure is not None]
    if not known:
        return "nothing was measured"
    best, _ = min(known, key=lambda pair: pair[1] == "estimate")
    zero = certificate.errors.uniform
    beside = f"; {zero.value:.4g} for Y = 0" if zero and best.target == "attention" else ""
    return f"{best.target} error {' '.join(str(best).split())}{beside}"


def remarks(certificate: Certificate) -> Iterator[str]:
    """Yield what must be known to read the numbers."""
    c = certificate
    measures = [c.errors.uniform, *(finding.measure for finding in findings(c))]
    measures = [measure for measure in measures if measure is not c.errors.barrier]
    if any(m is not None and m.kind == "bound" and m.confidence is None for m in measures):
        yield "bounds include the rounding of products in float32; float64 input has less"
    ours, zero = c.attention_error, c.uniform_attention_error
    if ours is not None and zero is not None and ours.value >= zero.value > 0:
        yield "no better than Y = 0: for attention at this beta, Y adds nothing"
    if ours is not None and ours.value >= 2:
        yield (
            f"nothing is known of attention: logits reach beta r = {c.beta * c.r:.4g}, where "
            f"rounding decides; take a smaller beta"
        )
    looking = c.n if c.queries is None else c.queries
    rows = f"all {looking:,} rows were" if c.checked_rows == looking else f"{c.checked_rows:,} rows"
    if c.checked_rows < looking:
        rows = f"{c.checked_rows:,} of {looking:,} rows were" if c.checked_rows else "no row was"
    yield f"{rows} compared with exact rows of {'X X^T' if c.queries is None else 'Q K^T'}"
    scale = "max ||x_i||^2" if c.queries is None else "max ||q_i|| max ||k_j||"
    yield f"r = {scale} = {c.r:.6g}, trace = {c.trace:.6g}, beta = {c.beta:g}"


def describe(certificate: Certificate) -> Iterator[str]:
    """Yield lines of at most 80 characters."""
    c = certificate
    yield fold(headline(c), indent=_INDENT)
    if c.preprocess.is_needed:
        yield fold(f"  of X with its columns {c.preprocess}", indent=_INDENT)
    if c.epsilon is not None:
        yield fold(f"  {verdict(c).text}", indent=_INDENT)
    for finding in findings(c):
        label = f"  {finding.label}" if finding.is_more else finding.label
        yield fold(f"  {label:<33} {finding}", indent=_INDENT)
        if finding.of_zero is not None:
            yield fold(f"  {'  the same for Y = 0':<33} {finding.of_zero}", indent=_INDENT)
    peak = "" if c.peak_memory_bytes is None else f", peak {format_bytes(c.peak_memory_bytes)}"
    for remark in remarks(c):
        yield fold(f"  {remark}", indent=_INDENT)
    yield fold(
        f"  {c.passes} pass{'es' if c.passes != 1 else ''}, {format_bytes(c.bytes_read)} read "
        f"in {format_seconds(c.seconds)}{peak}, source {c.integrity}",
        indent=_INDENT,
    )


def certificate_tables(certificate: Certificate) -> tuple[Markup, ...]:
    """Return verdict, errors, remarks and the table of the run, as HTML."""
    c = certificate
    peak = "not known" if c.peak_memory_bytes is None else format_bytes(c.peak_memory_bytes)
    run = [
        ("passes over X", f"{c.passes:,}"),
        ("read", format_bytes(c.bytes_read)),
        ("time", format_seconds(c.seconds)),
        ("peak memory", peak),
        ("integrity of the source", c.integrity),
    ]
    if c.preprocess.is_needed:
        run.insert(0, ("columns", str(c.preprocess)))
    state, text = verdict(c)
    return (
        element("p", text, class_=f"verdict {state}"),
        table("Measured errors", _HEAD, (finding.cells() for finding in findings(c))),
        listing(remarks(c)),
        table("The run", (), run),
    )


def certificate_card(certificate: Certificate) -> str:
    """Return the certificate as a card for notebooks."""
    return card(headline(certificate), *certificate_tables(certificate))
