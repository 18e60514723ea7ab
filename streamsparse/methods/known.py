"""What a pass has found of X that is a sum over its columns: kept, so that columns can be added."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from streamsparse.arrays import Array, Interval
from streamsparse.errors import ParameterError
from streamsparse.methods.portions import Portion, described, joined
from streamsparse.methods.rounding import UNIT, gram_rounding, value_rounding
from streamsparse.sources.preprocess import Preprocess
from streamsparse.storing.result_store import read_array

# Below it every sum of integers is exact in float64.
_EXACT = 2.0**53


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of X beside Y; every array of it is a sum over columns of X.

    Attributes
    ----------
    gram : rows of G = X X^T, (p, n): all of them, or those that the certificate samples.
    squared_norms : of the rows, (n,).
    portions : which columns these are sums over, in the order in which they came.
    probes : G Omega, (n, q), for the probes Omega of the certificate; None without any.
    moved : what rounding is relative to, (n,): squared norms of all that was ever added or taken
        away, of rows as they were before they were centred.
    summed : how many columns that was.
    rounding : b with |fl(G) - G|_ij <= b sqrt(moved_i moved_j).
    value_rounding : v with |fl(x) - x| <= v |x| for the values of X that was preprocessed.
    is_integer : whether all values were integers: then so are their sums.

    ``gram`` and ``probes`` of a result on disk are read when they are asked for (``in_memory``).
    """

    gram: Any
    squared_norms: Array
    portions: tuple[Portion, ...]
    probes: Any
    moved: Array
    summed: int
    rounding: float
    value_rounding: float
    is_integer: bool

    @classmethod
    def of_pass(
        cls,
        gram: Array,
        squared_norms: Array,
        digest: Array | None,
        probes: Array | None,
        *,
        d: int,
        preprocess: Preprocess,
        block_dtype: np.dtype[np.generic],
        lengths: Array | None,
    ) -> Known:
        """Return what a pass over d columns has found; ``digest`` None: nobody goes on from it.

        ``lengths`` (n,): what rounding is relative to where rows were centred, else None.
        """
        n = squared_norms.size
        portions = () if digest is None else (Portion(0, ((0, d),), digest),)
        values = value_rounding(preprocess, n=n, block_dtype=block_dtype)
        rounding = gram_rounding(d=d, block_dtype=block_dtype) + 2 * values
        if lengths is not None:
            # Taking the means from G rounds as often as there are rows.
            rounding += 8 * n * UNIT
        return cls(
            gram=gram,
            squared_norms=squared_norms,
            portions=portions,
            probes=probes,
            moved=squared_norms if lengths is None else np.square(lengths),
            summed=d,
            rounding=rounding,
            value_rounding=values,
            is_integer=block_dtype.kind in "iub" and lengths is None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the arrays, JSON-ready."""
        return {
            "portions": [{"first": p.first, "left": list(p.left)} for p in self.portions],
            "summed": self.summed,
            "rounding": self.rounding,
            "value_rounding": self.value_rounding,
            "is_integer": self.is_integer,
        }

    @classmethod
    def from_dict(
        cls,
        facts: dict[str, Any],
        *,
        gram: Any,
        probes: Any,
        squared_norms: Array,
        moved: Array,
        digests: Array,
    ) -> Known:
        """Return what :meth:`to_dict` described, with its arrays; ``digests`` (portions, n)."""
        portions = [
            Portion(p["first"], tuple((first, stop) for first, stop in p["left"]), digest)
            for p, digest in zip(facts["portions"], digests, strict=True)
        ]
        return cls(
            gram=gram,
            squared_norms=squared_norms,
            portions=tuple(portions),
            probes=probes,
            moved=moved,
            summed=facts["summed"],
            rounding=facts["rounding"],
            value_rounding=facts["value_rounding"],
            is_integer=facts["is_integer"],
        )

    def in_memory(self) -> Known:
        """Return the same with every array in memory.

        Raises
        ------
        MissingChunkError, CorruptChunkError : if what is on disk is damaged.
        """
        probes = None if self.probes is None else read_array(self.probes)
        return replace(self, gram=read_array(self.gram), probes=probes)

    @property
    def digest(self) -> Array:
        """Of the values of each row of X, (n,) uint64, where all columns came together."""
        (portion,) = self.portions
        return portion.digest

    @property
    def trace(self) -> float:
        """Sum of the squared row norms."""
        return float(self.squared_norms.sum())

    @property
    def width(self) -> int:
        """How many columns these are sums over."""
        return sum(portion.width for portion in self.portions)

    @property
    def is_nonzero(self) -> bool:
        """Whether X is known to have values other than 0, however small."""
        return self.trace > 0 or any(portion.digest.any() for portion in self.portions)

    @property
    def row_cells(self) -> int:
        """Cells of memory that it takes for each row."""
        probes = 0 if self.probes is None else self.probes.shape[1]
        return int(self.gram.shape[0]) + probes + 2 + len(self.portions)

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The columns of X that are in it, in order; neighbours are joined."""
        return joined(interval for portion in self.portions for interval in portion.left)

    @property
    def has_lost(self) -> bool:
        """Whether less is left than was summed: the rounding of the rest stays."""
        return bool((self.moved != self.squared_norms).any())

    @property
    def norm_rounding(self) -> Array:
        """How far rounding may have moved each squared norm, where less is left than was summed."""
        if not self.has_lost or (self.is_integer and float(self.moved.max()) < _EXACT):
            return np.zeros_like(self.moved)
        rounding = (2 * self.summed + self.moved.size) * UNIT + 2 * self.value_rounding
        return np.asarray(rounding * self.moved)

    def refuse_overlap(self, columns: Interval) -> None:
        """Refuse columns where there are some already.

        Raises
        ------
        ParameterError : naming both intervals.
        """
        for start, stop in self.intervals:
            if start < columns[1] and columns[0] < stop:
                raise ParameterError(
                    f"columns {described(columns)} overlap columns {described((start, stop))}, "
                    f"which are in the result; give another start, or remove those first"
                )

    def find(self, columns: Interval) -> int:
        """Return which portion holds these columns.

        Raises
        ------
        ParameterError : if no one does.
        """
        for number, portion in enumerate(self.portions):
            if any(start <= columns[0] and columns[1] <= stop for start, stop in portion.left):
                return number
        there = [described(interval) for portion in self.portions for interval in portion.left]
        raise ParameterError(
            f"columns {described(columns)} are not in the result as one piece: it is made of "
            f"columns {', '.join(there)}; remove columns of one of these at a time"
        )

    def copies(self, portion: Portion) -> list[Interval]:
        """Return where the very columns of a portion are already; columns of zeros are nowhere."""
        if not portion.digest.any():
            return []
        return [
            mine.left[0]
            for mine in self.portions
            if mine.width == portion.width and np.array_equal(mine.digest, portion.digest)
        ]

    def with_columns(self, more: Known, first: int) -> Known:
        """Return the sums over these columns and those of ``more``, put at ``first``; more is lost.

        ``more`` : what a pass over the new columns alone has found.
        """
        portion = Portion(first, ((first, first + more.summed),), more.digest)
        return self._combined(more, 1, (*self.portions, portion))

    def without_columns(self, less: Known, first: int) -> Known:
        """Return the sums without those of ``less``, which lie at ``first``; less is lost.

        Raises
        ------
        ParameterError : if values are taken away that were not added, as far as that can be seen:
            surely where nothing is left of what came together.
        """
        columns = (first, first + less.summed)
        number = self.find(columns)
        portion = self.portions[number].without(columns, less.digest)
        portions = list(self.portions)
        portions[number] = portion
        if not portion.left:
            _refuse_rows(np.flatnonzero(portion.digest), columns)
            del portions[number]
        known = self._combined(less, -1, tuple(portions))
        # What is left is a sum of squares.
        _refuse_rows(np.flatnonzero(known.squared_norms < -known.norm_rounding), columns)
        return replace(known, squared_norms=np.maximum(known.squared_norms, 0))

    def _combined(self, other: Known, sign: int, portions: tuple[Portion, ...]) -> Known:
        probes = None
        if self.probes is not None and other.probes is not None:
            probes = _add(self.probes, other.probes, sign)
        return Known(
            gram=_add(self.gram, other.gram, sign),
            squared_norms=self.squared_norms + sign * other.squared_norms,
            portions=portions,
            probes=probes,
            moved=self.moved + other.moved,
            summed=self.summed + other.summed,
            # The sum itself is rounded once more.
            rounding=max(self.rounding, other.rounding) + 2 * UNIT,
            value_rounding=max(self.value_rounding, other.value_rounding),
            is_integer=self.is_integer and other.is_integer,
        )


def _add(before: Array, change: Array, sign: int) -> Array:
    """Return before + sign change, in the memory of ``change``."""
    np.multiply(change, sign, out=change)
    return np.add(before, change, out=change)


def _refuse_rows(rows: Array, columns: Interval) -> None:
    """Refuse to take away what was not added; ``rows`` are those where that shows."""
    if rows.size:
        raise ParameterError(
            f"these are not the values of columns {described(columns)} that are in the result: "
            f"{rows.size:,} rows differ, the first is row {int(rows[0])}; give the values that "
            f"were added, in the same dtype"
        )
