"""What was measured about Y, each number with its kind, and the functions that measure it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from streamsparse.dense.attention import row_distances
from streamsparse.dense.linalg import LoewnerError
from streamsparse.sources.base import Array
from streamsparse.units import format_bytes, format_seconds

_CHUNK_BYTES = 4 << 20
# Rounding of this size is what everybody means by exact.
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True)
class Measure:
    """One number and what it is.

    Attributes
    ----------
    value : the number.
    kind : "exact" (computed from G itself; rounding is below 1 % of it, or below 1e-9), "bound"
        (not exceeded: with the confidence given, or surely where there is none) or "estimate" (the
        largest over sampled rows: other rows may be worse).
    confidence : probability with which a bound holds; None where it is certain.
    """

    value: float
    kind: Literal["exact", "bound", "estimate"]
    confidence: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; ``confidence`` only where there is one."""
        fields: dict[str, Any] = {"value": self.value, "kind": self.kind}
        if self.confidence is not None:
            fields["confidence"] = self.confidence
        return fields


@dataclass(frozen=True, slots=True)
class Errors:
    """The measured errors of one Y; None where nobody measured.

    Attributes
    ----------
    spectral : smallest epsilon with (1 - epsilon) G <= Y Y^T <= (1 + epsilon) G.
    entry : max |E_ij| / r, E = Y Y^T - G.
    attention : largest row L1 error of softmax(beta G).
    uniform : the same for Y = 0, that is for uniform attention.
    checked_rows : rows of E that were computed.
    """

    spectral: Measure | None
    entry: Measure | None
    attention: Measure | None
    uniform: Measure | None
    checked_rows: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a run did and how close Y Y^T came to X X^T.

    Attributes
    ----------
    n, d, m, method, seed, beta : the problem solved.
    r : max ||x_i||^2, which is also max |G_ij|; exact.
    trace : sum ||x_i||^2; exact.
    errors : the measured errors.
    passes : complete reads of X.
    bytes_read : bytes of X that the plan reads, as stored where known.
    peak_memory_bytes : largest anonymous memory of the process so far, None where unknown.
    seconds : wall time.
    integrity : "checksummed" if the source's codecs detect changed values, else "structural".
    """

    n: int
    d: int
    m: int
    method: str
    seed: int
    beta: float
    r: float
    trace: float
    errors: Errors
    passes: int
    bytes_read: int
    peak_memory_bytes: int | None
    seconds: float
    integrity: str

    @property
    def spectral_error(self) -> Measure | None:
        """Loewner epsilon."""
        return self.errors.spectral

    @property
    def entry_error(self) -> Measure | None:
        """Max |E_ij| / r."""
        return self.errors.entry

    @property
    def attention_error(self) -> Measure | None:
        """Largest row L1 error of softmax(beta G)."""
        return self.errors.attention

    @property
    def uniform_attention_error(self) -> Measure | None:
        """The attention error of Y = 0: a small number is worth something only below this one."""
        return self.errors.uniform

    @property
    def checked_rows(self) -> int:
        """Rows of the error matrix that were computed exactly."""
        return self.errors.checked_rows

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as JSON-ready values; what nobody measured is None."""
        errors = self.errors
        measures = {
            "spectral_error": errors.spectral,
            "entry_error": errors.entry,
            "attention_error": errors.attention,
            "uniform_attention_error": errors.uniform,
        }
        head = ("n", "d", "m", "method", "seed", "beta", "r", "trace")
        tail = ("passes", "bytes_read", "peak_memory_bytes", "seconds", "integrity")
        fields: dict[str, Any] = {name: getattr(self, name) for name in head}
        fields |= {name: m.to_dict() if m else None for name, m in measures.items()}
        fields["checked_rows"] = errors.checked_rows
        return fields | {name: getattr(self, name) for name in tail}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Certificate:
        """Return the certificate that :meth:`to_dict` described."""
        rest = dict(fields)

        def measure(name: str) -> Measure | None:
            stored = rest.pop(name)
            return None if stored is None else Measure(**stored)

        errors = Errors(
            spectral=measure("spectral_error"),
            entry=measure("entry_error"),
            attention=measure("attention_error"),
            uniform=measure("uniform_attention_error"),
            checked_rows=rest.pop("checked_rows"),
        )
        return cls(errors=errors, **rest)

    def __str__(self) -> str:
        """Return the certificate as lines of at most 80 columns."""
        return "\n".join(_describe(self))


def _describe(certificate: Certificate) -> Iterator[str]:
    c = certificate
    yield f"X {c.n:,} x {c.d:,} -> Y {c.n:,} x {c.m:,}   method {c.method}, seed {c.seed}"
    rows = [
        ("attention error (largest row, L1)", c.attention_error),
        ("  the same for Y = 0", c.uniform_attention_error),
        ("entry error, max |E_ij| / r", c.entry_error),
        ("spectral error, Loewner epsilon", c.spectral_error),
    ]
    for label, measure in rows:
        if measure is None:
            yield f"  {label:<36} not measured"
        else:
            kind: str = measure.kind
            if measure.confidence is not None:
                kind += f", confidence {measure.confidence:.0%}"
            yield f"  {label:<36} {measure.value:<10.4g} {kind}"
    if any(m is not None and m.kind == "bound" and m.confidence is None for _, m in rows):
        yield "  bounds include the rounding of products in float32; float64 input has less"
    ours, zero = c.attention_error, c.uniform_attention_error
    if ours is not None and zero is not None and ours.value >= zero.value > 0:
        yield "  no better than Y = 0: for attention at this beta, Y adds nothing; raise m"
    yield f"  {_describe_rows(c)}"
    yield f"  r = max ||x_i||^2 = {c.r:.6g}, trace = {c.trace:.6g}, beta = {c.beta:g}"
    peak = "" if c.peak_memory_bytes is None else f", peak {format_bytes(c.peak_memory_bytes)}"
    yield (
        f"  {c.passes} pass{'es' if c.passes != 1 else ''}, {format_bytes(c.bytes_read)} read "
        f"in {format_seconds(c.seconds)}{peak}, source {c.integrity}"
    )


def _describe_rows(c: Certificate) -> str:
    if c.checked_rows == c.n:
        return f"all {c.n:,} rows were checked"
    if c.checked_rows == 0:
        return "no row was checked"
    # If all p sampled rows are fine, P(fraction of worse rows > q) <= (1 - q)^p (THEORY 5.2).
    share = 0.05 ** (1 / c.checked_rows)
    return (
        f"{c.checked_rows} rows checked; drawn at random they say, with 95 % confidence,\n"
        f"  that {share:.1%} of all rows are no worse"
    )


def measure_exactly(
    *, G: Array, Y: Array, r: float, beta: float, rounding: float, spectral: LoewnerError | None
) -> Errors:
    """Measure every row of E = Y Y^T - G, in chunks of rows.

    Parameters
    ----------
    G, Y : shapes (n, n) and (n, m).
    r : largest squared row norm of X.
    beta : scale of the logits.
    rounding : |fl(G) - G|_ij <= rounding * r; kinds say whether it matters.
    spectral : the distortion, if it was computed.

    Notes
    -----
    Memory: about 32 MiB beside the inputs.
    """
    n = G.shape[0]
    entry = attention = uniform = 0.0
    step = max(1, _CHUNK_BYTES // (8 * n))
    for a in range(0, n, step):
        rows = slice(a, a + step)
        chunk = _measure_rows(G[rows], Y[rows] @ Y.T, beta)
        entry, attention, uniform = (
            max(pair) for pair in zip((entry, attention, uniform), chunk, strict=True)
        )
    # Logits off by eta move a row of softmax by at most 2 tanh(eta / 2): THEORY 1.3, Theorem 1.
    moved = 2 * math.tanh(beta * r * rounding / 2)
    return Errors(
        spectral=None if spectral is None else _with_rounding(*spectral, most=math.inf),
        entry=_with_rounding(_relative(entry, r), rounding, most=math.inf),
        attention=_with_rounding(attention, moved, most=2.0),
        uniform=_with_rounding(uniform, moved, most=2.0),
        checked_rows=n,
    )


def _with_rounding(value: float, rounding: float, *, most: float) -> Measure | None:
    """Return an exact measure where rounding is below 1 % of it, else a bound that includes it.

    None where the bound says nothing: no finite number, or rounding alone exceeds 1.
    """
    if not math.isfinite(value) or (most == math.inf and rounding > 1):
        return None
    if rounding <= 0.01 * value or rounding <= _NEGLIGIBLE:
        return Measure(value, "exact")
    return Measure(min(value + rounding, most), "bound")


def measure_sampled(*, G_I: Array, F_I: Array, r: float, beta: float) -> Errors:
    """Measure the sampled rows: G_I and F_I (p, n) hold the rows I of G and of Y Y^T."""
    if G_I.shape[0] == 0:
        return Errors(None, None, None, None, checked_rows=0)
    entry, attention, uniform = _measure_rows(G_I, F_I, beta)
    return Errors(
        spectral=None,
        entry=Measure(_relative(entry, r), "estimate") if r > 0 or entry == 0 else None,
        attention=Measure(attention, "estimate"),
        uniform=Measure(uniform, "estimate"),
        checked_rows=G_I.shape[0],
    )


def _measure_rows(G_rows: Array, F_rows: Array, beta: float) -> tuple[float, float, float]:
    attention = row_distances(G_rows, F_rows, beta=beta, mask_rows=None)
    uniform = row_distances(G_rows, np.zeros_like(G_rows), beta=beta, mask_rows=None)
    entry = np.abs(F_rows - G_rows).max()
    return float(entry), float(attention.max()), float(uniform.max())


def _relative(entry: float, r: float) -> float:
    if r > 0:
        return entry / r
    return 0.0 if entry == 0 else math.inf
