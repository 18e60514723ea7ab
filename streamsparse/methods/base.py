"""The request, what a reduction yields, and what the methods share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.certificate import Errors
from streamsparse.methods.known import Known
from streamsparse.running.local import Execution
from streamsparse.running.plan import Plan
from streamsparse.sketching.row_map import RowMap
from streamsparse.sources.base import Source
from streamsparse.sources.preprocess import Preprocess
from streamsparse.units import fold, format_bytes

# Every row of the error is computed up to ALL_ROWS of them; else enough to speak about this share
# of the rows, with confidence 1 - delta (THEORY 5.2: 90 rows at delta = 0.01).
ALL_ROWS = 256
SHARE_OF_ROWS = 0.95
# Gaussian vectors in the pass: they bound the length of a row of E within a factor of 3.
PROBES = 16
# Where they must bound the norm of E: within a factor of 1.5 times the fourth root of the rank.
REGULARISED_PROBES = 64


@dataclass(frozen=True, slots=True)
class Request:
    """What the caller asked for, checked; the names are those of ``sparsify``.

    ``queries``: rows [0, queries) look at the rows from there on; None where all look at all.
    ``continues``: there is an earlier selection to start from. ``preprocess``: what is done to the
    columns of X first.
    """

    method: str
    m: int | None
    epsilon: float | None
    target: str
    delta: float
    beta: float
    seed: int
    memory: int
    s: int
    strict: bool
    has_output: bool
    algorithm: str
    continues: bool
    preprocess: Preprocess
    queries: int | None = None


class Output(Protocol):
    """Takes Y as it is made, so that it need not fit in memory."""

    def start(self, n: int, m: int) -> None:
        """Announce the shape of a dense Y; its rows come next."""
        ...

    def write_rows(self, start: int, Y_rows: Array) -> None:
        """Append the rows that begin at ``start``; they come in order."""
        ...

    def write_sparse(self, Y: Any) -> None:
        """Take a sparse Y, a scipy CSC array (n, m)."""
        ...

    @property
    def Y(self) -> Any:
        """Y as it can be read again: rows by index, and ``shape``."""
        ...


@dataclass(frozen=True, slots=True)
class Start:
    """An earlier selection to continue from: (m,) columns and weights, and the Gram pass."""

    columns: Array
    weights: Array
    known: Known

    def digest(self) -> str:
        """Return a digest of the columns, the weights and the X they are of."""
        found = hashlib.sha256()
        for values in (self.columns, self.weights, self.known.digest):
            found.update(np.ascontiguousarray(values).tobytes())
        return found.hexdigest()


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a method.

    Attributes
    ----------
    source, plan : what to reduce and how.
    execution : threads, progress, what to do with NaN.
    output : takes Y; None keeps it in memory.
    scratch : folder for temporary files, None for the system's.
    start : of "select": the earlier selection to continue from.
    """

    source: Source
    plan: Plan
    execution: Execution
    output: Output | None
    scratch: Path | None = None
    start: Start | None = None


# How a smaller Y is made.
Way: TypeAlias = Literal["fold", "truncation", "columns"]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One candidate for Y and what was measured of it.

    Attributes
    ----------
    m : its columns.
    way : "fold" (a narrower sketch), "truncation" (leading eigenvectors of the sketch's Gram) or
        "columns" (fewer columns of X).
    error : its error in the sense of the target, as certified: for most rows, or for all; None
        where nothing could be certified.
    zero_error : the same for Y = 0; None where nobody measured it.
    meets : whether the error is within epsilon.
    """

    m: int
    way: Way
    error: float | None
    zero_error: float | None
    meets: bool

    @property
    def is_worth_it(self) -> bool:
        """Whether it is better than Y = 0, as far as anybody knows."""
        return self.zero_error is None or self.known_error < self.zero_error

    @property
    def known_error(self) -> float:
        """The error, infinite where nothing could be certified."""
        return float("inf") if self.error is None else self.error

    def to_dict(self) -> dict[str, Any]:
        """Return the point as JSON-ready values."""
        return asdict(self)


# What people read for the algorithm of a selection.
_ALGORITHMS = {
    "all": "keeping all that are not zero",
    "balance": "balancing, then better weights",
    "exchange": "balancing, exchange, better weights",
    "bss": "barriers",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """How columns were selected.

    Attributes
    ----------
    algorithm : what made the columns: "balance", "exchange" after a balance, "bss", or "all" where
        nothing had to be left out.
    fell_back : whether balancing missed epsilon, so that barriers took over.
    rank : numerical rank of X: a spectral error below 1 takes more columns than that.
    ridge : lambda; 0 where the whole of G is approximated, else |E| <= epsilon (G + lambda I) is.
    epsilon : error in that sense, in exact arithmetic on the G that was accumulated.
    proved : what the theorem of barriers says for m columns, which holds for "bss" and "auto"; None
        for "balance", and where m is at or below the rank.
    picks : steps of the barriers; None where there were none, as for the next four.
    lower, upper : barriers after the last step.
    smallest, largest : extreme eigenvalues between them: the invariant of the theorem.
    leaves_read, bytes_read_again : leaves that were searched for a column, and what that read.
    """

    algorithm: str
    fell_back: bool
    rank: int
    ridge: float
    epsilon: float
    proved: float | None
    picks: int | None = None
    lower: float | None = None
    upper: float | None = None
    smallest: float | None = None
    largest: float | None = None
    leaves_read: int = 0
    bytes_read_again: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the selection as JSON-ready values."""
        return asdict(self)

    def __str__(self) -> str:
        """Return what chose the columns, and what is lost, as lines of at most 80 characters."""
        return "\n".join(fold(f"  {line}", indent=4) for line in self.sentences())

    def sentences(self) -> Iterator[str]:
        """Yield what chose the columns, and what is lost."""
        yield f"columns chosen by {_ALGORITHMS[self.algorithm]}; X has rank {self.rank:,}"
        if self.fell_back:
            yield "balancing missed epsilon, so barriers took over"
        if self.ridge > 0:
            yield f"chosen for |E| <= {self.epsilon:.4g} (G + lambda I), lambda = {self.ridge:.4g}"
        elif self.proved is not None:
            yield f"theorem of barriers for as many columns: spectral error {self.proved:.4g}"
        if self.picks is not None:
            yield (
                f"{self.picks:,} picks, eigenvalues within their barriers: "
                f"{self.lower:.4g} < {self.smallest:.4g} .. {self.largest:.4g} < {self.upper:.4g}"
            )
        if self.leaves_read:
            again = format_bytes(self.bytes_read_again)
            yield f"{self.leaves_read:,} leaves searched for columns, {again} read again"


@dataclass(frozen=True, slots=True)
class Reduction:
    """What a method made.

    Attributes
    ----------
    Y : (n, m): an ndarray, a scipy CSC array, or what the output reads.
    r, trace : scale of the entries and sum of the squared row norms of X.
    errors : what was measured.
    map : from rows of X to rows of Y; None for methods that keep none.
    columns, weights : of "sample" and "select": Y[:, k] = sqrt(weights[k]) X[:, columns[k]].
    curve : the candidates that were measured, by m; empty where there was no choice.
    selection : how the columns of "select" were found.
    known : what a later selection, or columns that come or go, can start from.
    """

    Y: Any
    r: float
    trace: float
    errors: Errors
    map: RowMap | None = None
    columns: Array | None = None
    weights: Array | None = None
    curve: tuple[CurvePoint, ...] = ()
    selection: Selection | None = None
    known: Known | None = None
