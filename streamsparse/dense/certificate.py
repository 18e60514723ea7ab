"""What was measured about Y: each number with its kind, and the certificate that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from streamsparse.dense.statement import certificate_card, describe
from streamsparse.sources.preprocess import Preprocess


@dataclass(frozen=True, slots=True)
class Measure:
    """One number and what it is.

    Attributes
    ----------
    value : the number.
    kind : "exact" (computed from G itself; rounding is below 1 % of it, or below 1e-9), "bound"
        (not exceeded: with the confidence given, or surely where there is none) or "estimate"
        (neither: other rows may be worse, or the method is asymptotic).
    confidence : probability with which a bound holds, nominal for an estimate; None where it is
        certain, or unknown.
    share : the least share of the rows that a bound holds for, or the share that an estimate is
        about; None where it is about all of them.
    """

    value: float
    kind: Literal["exact", "bound", "estimate"]
    confidence: float | None = None
    share: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; ``confidence`` and ``share`` only where there is one."""
        fields: dict[str, Any] = {"value": self.value, "kind": self.kind}
        for name in ("confidence", "share"):
            if getattr(self, name) is not None:
                fields[name] = getattr(self, name)
        return fields

    def __str__(self) -> str:
        """Return value, kind and what qualifies it, on one line."""
        text = f"{self.value:<9.4g} {self.kind}"
        if self.share is not None:
            text += f", {self.share:.1%} of rows"
        if self.confidence is not None:
            text += f", conf. {self.confidence:.4g}"
        return text


@dataclass(frozen=True, slots=True)
class Errors:
    """The measured errors of one Y, E = Y Y^T - G; None where nobody measured.

    Attributes
    ----------
    spectral : smallest epsilon with (1 - epsilon) G <= Y Y^T <= (1 + epsilon) G.
    regularised : smallest epsilon with -epsilon (G + r I) <= E <= epsilon (G + r I).
    barrier : bound on the spectral error that the barriers of the selection prove.
    entry : max |E_ij| / r; where not all rows were checked, over those that were.
    attention : largest row L1 error of softmax(beta G), over the same rows.
    uniform : the same for Y = 0, that is for uniform attention.
    rms_entry : root mean square of E_ij / r over all entries.
    most_rows_entry, most_rows_attention : bounds that hold for a share of all rows.
    all_rows_entry, all_rows_attention : bounds for every row, from Gaussian probes.
    bootstrap_entry : max |E_ij| / r over some rows, as the sketch's own scatter suggests.
    checked_rows : rows of E that were computed.
    """

    spectral: Measure | None = None
    barrier: Measure | None = None
    regularised: Measure | None = None
    entry: Measure | None = None
    attention: Measure | None = None
    uniform: Measure | None = None
    rms_entry: Measure | None = None
    most_rows_entry: Measure | None = None
    most_rows_attention: Measure | None = None
    all_rows_entry: Measure | None = None
    all_rows_attention: Measure | None = None
    bootstrap_entry: Measure | None = None
    checked_rows: int = 0


# Field of Errors: name in JSON.
_JSON_NAMES = {
    "spectral": "spectral_error",
    "barrier": "barrier_spectral_error",
    "regularised": "regularised_error",
    "entry": "entry_error",
    "attention": "attention_error",
    "uniform": "uniform_attention_error",
    "rms_entry": "rms_entry_error",
    "most_rows_entry": "most_rows_entry_error",
    "most_rows_attention": "most_rows_attention_error",
    "all_rows_entry": "all_rows_entry_error",
    "all_rows_attention": "all_rows_attention_error",
    "bootstrap_entry": "bootstrap_entry_error",
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a run did and how close Y Y^T came to X X^T.

    Attributes
    ----------
    n, d, m, method, seed, beta : the problem solved.
    preprocess : what was done to the columns of X first; all numbers are of what came out.
    r : max ||x_i||^2, which is also max |G_ij|; exact. Of a pair: max ||q_i|| max ||k_j||. Where
        columns were centred or taken away, the least that it can be, less than 1 % below.
    trace : sum ||x_i||^2; exact up to rounding.
    errors : the measured errors.
    target, epsilon, met : the error that was asked for, and whether it is certified: for all rows
        where they were compared, else for 95 % of them; None where nothing was asked, or known.
    queries : rows that look at the others, None where all look at all.
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
    preprocess: Preprocess
    r: float
    trace: float
    errors: Errors
    target: str | None
    epsilon: float | None
    met: bool | None
    queries: int | None
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
    def regularised_error(self) -> Measure | None:
        """Loewner epsilon relative to G + r I."""
        return self.errors.regularised

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
        head = ("n", "d", "m", "method", "seed", "beta")
        tail = ("passes", "bytes_read", "peak_memory_bytes", "seconds", "integrity")
        fields: dict[str, Any] = {name: getattr(self, name) for name in head}
        fields["preprocess"] = self.preprocess.to_dict()
        fields |= {"r": self.r, "trace": self.trace}
        for field, name in _JSON_NAMES.items():
            measure: Measure | None = getattr(self.errors, field)
            fields[name] = None if measure is None else measure.to_dict()
        fields["checked_rows"] = self.errors.checked_rows
        fields |= {name: getattr(self, name) for name in ("target", "epsilon", "met", "queries")}
        return fields | {name: getattr(self, name) for name in tail}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Certificate:
        """Return the certificate that :meth:`to_dict` described."""
        rest = dict(fields)
        stored = {field: rest.pop(name) for field, name in _JSON_NAMES.items()}
        measures = {
            field: None if value is None else Measure(**value) for field, value in stored.items()
        }
        errors = Errors(checked_rows=rest.pop("checked_rows"), **measures)
        preprocess = Preprocess(**rest.pop("preprocess"))
        return cls(errors=errors, preprocess=preprocess, **rest)

    def __str__(self) -> str:
        """Return the certificate as lines of at most 80 characters."""
        return "\n".join(describe(self))

    def __repr__(self) -> str:
        """Return the same lines under a head."""
        return f"Certificate\n{self}"

    def _repr_html_(self) -> str:
        """Return the card that notebooks show."""
        return certificate_card(self)
