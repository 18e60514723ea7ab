"""The map that takes a row of X to a row of Y, and new rows to theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.sketching.run_hash import SparseSign


@dataclass(frozen=True, slots=True)
class RowMap:
    """y = scale((fold(x S^T) projection)[:kept]): a function of one row of X and of nothing else.

    Attributes
    ----------
    operator : S, as applied in the pass.
    columns : columns after folding, one of ``operator.levels``.
    projection : (columns, k), or None where nothing follows the fold.
    kept : leading columns of the projected row that are kept; None for all.
    exact_diagonal : rescale y by ||x|| / ||x S^T||, which the pass knows exactly (THEORY 2.4), and
        by what leaving out columns took from its length.
    mean : (operator.m,), the mean row of the sums where X was centred, else None.

    Notes
    -----
    A row that the sketch was made of comes out with the norm of x. A new row does not where it has
    a part outside of the span of those: that part is lost, and products with old rows are right.
    """

    operator: SparseSign
    columns: int
    projection: Array | None = None
    kept: int | None = None
    exact_diagonal: bool = False
    mean: Array | None = None

    @property
    def m(self) -> int:
        """Columns of Y."""
        if self.kept is not None:
            return self.kept
        return self.columns if self.projection is None else int(self.projection.shape[1])

    @property
    def is_sketch(self) -> bool:
        """Whether Y is X S^T itself, which is a sum over columns of X."""
        is_whole = self.columns == self.operator.m and self.projection is None
        return is_whole and not self.exact_diagonal

    def apply(self, sums: Array, squared_norms: Array) -> Array:
        """Return rows of Y (rows, m) from their sums (rows, operator.m), which are overwritten.

        ``squared_norms`` (rows,) are those of the rows of X, both of them centred if X was.
        """
        Y = sums if self.columns == self.operator.m else self.operator.fold(sums, self.columns)
        if self.operator.s > 1:
            Y /= np.sqrt(np.float64(self.operator.s))
        scale = np.ones(Y.shape[0])
        if self.exact_diagonal:
            scale = diagonal_scale(squared_norms, _squares(Y))
        if self.projection is not None:
            Y = Y @ self.projection
        if self.kept is not None:
            whole, Y = _squares(Y), np.ascontiguousarray(Y[:, : self.kept])
            scale = scale * diagonal_scale(whole, _squares(Y))
        if self.exact_diagonal:
            Y *= scale[:, None]
        return Y

    def apply_new(self, sums: Array, squared_norms: Array) -> Array:
        """Do the same to new rows, which are not centred; the mean is that of the old ones."""
        if self.mean is not None:
            # The length of a centred new row takes the mean of X itself, which nobody has.
            assert not self.exact_diagonal
            sums -= self.mean
        return self.apply(sums, squared_norms)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but arrays, JSON-ready: small, and all that new rows need."""
        return {
            "operator": self.operator.to_dict(),
            "columns": self.columns,
            "kept": self.kept,
            "exact_diagonal": self.exact_diagonal,
        }

    @classmethod
    def from_dict(
        cls, spec: dict[str, Any], projection: Array | None, mean: Array | None = None
    ) -> RowMap:
        """Return the map that :meth:`to_dict` described.

        Raises
        ------
        ParameterError : if it was made by another version of the hash.
        """
        return cls(
            operator=SparseSign.from_dict(spec["operator"]),
            columns=spec["columns"],
            projection=projection,
            kept=spec["kept"],
            exact_diagonal=spec["exact_diagonal"],
            mean=mean,
        )


def _squares(Y: Array) -> Array:
    return np.asarray(np.einsum("ij,ij->i", Y, Y))


def diagonal_scale(squared_norms: Array, squared_norms_of_Y: Array) -> Array:
    """Return the factor of each row that makes F_ii = G_ii; 1 where the row of Y is zero."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = np.sqrt(squared_norms / squared_norms_of_Y)
    return np.asarray(np.where((squared_norms_of_Y > 0) & np.isfinite(scale), scale, 1.0))
