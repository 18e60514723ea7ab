"""What a function of Y is given: its rows, and what is known about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsparse.api.arguments import check_sparse_or_dense
from streamsparse.arrays import Array
from streamsparse.dense.certificate import Certificate
from streamsparse.dense.implied import EntryError, entry_error, shortfall_of
from streamsparse.dense.measure import ROUNDING_SHARE
from streamsparse.errors import NonFiniteError, ParameterError
from streamsparse.methods.products import squared_row_norms
from streamsparse.results.result import Result


@dataclass(frozen=True, slots=True)
class Given:
    """Y with its certificate.

    Attributes
    ----------
    Y : (n, m) float64 in memory: an ndarray, or a CSR array where it was sparse.
    squares : (n,), squared norms of its rows.
    largest_G : no less than max |G_ij|; infinity where it is not known.
    certificate : what was measured, None where nothing was.
    queries : rows [0, queries) look at the rest; None where all look at all.
    shortfall : sum of |G_jj - F_jj|, as :func:`entry_error` takes it.
    """

    Y: Any
    squares: Array
    largest_G: float
    certificate: Certificate | None
    queries: int | None
    shortfall: float

    @property
    def largest_F(self) -> float:
        """Max F_ii."""
        return float(self.squares.max())

    def entry_error(self, *, share: float, needs_diagonal: bool) -> EntryError | None:
        """Return how far products of rows may be from those of X; None where nothing is known."""
        if self.certificate is None:
            return None
        return entry_error(
            self.certificate,
            share=share,
            needs_diagonal=needs_diagonal,
            shortfall=self.shortfall,
            largest_F=self.largest_F,
        )


def given(
    Y: npt.ArrayLike | Result, certificate: Certificate | None, *, pairs: str | None = None
) -> Given:
    """Return what is given, checked; ``pairs`` says what to do with a pair, None: it is taken.

    Raises
    ------
    ParameterError : for a certificate of a Y of another shape, and for a pair where it has no
        meaning.
    NonFiniteError : where squares overflow.
    """
    result = Y if isinstance(Y, Result) else None
    queries = None if result is None else result.plan.queries
    if queries is not None and pairs is not None:
        raise ParameterError(f"this result has queries and keys, not rows of one matrix: {pairs}")
    values = check_sparse_or_dense("Y", Y)
    if certificate is None and result is not None:
        certificate = result.certificate
    if certificate is not None:
        _check_certificate(certificate, values.shape, queries)
    with np.errstate(over="ignore"):
        squares = squared_row_norms(values)
        # Four times a square is the largest distance there can be.
        if not np.isfinite(4 * squares.sum()):
            raise NonFiniteError("the squares of Y overflow float64; scale X and Y down")
    shortfall = math.inf
    # Method "exact" rescales only where that needs fewer columns, and its G may be of float32.
    # Norms of rows that were preprocessed carry more rounding than the traces allow for.
    is_rescaled = (
        result is not None
        and result.map is not None
        and result.plan.exact_diagonal
        and not result.plan.preprocess.is_needed
    )
    if is_rescaled and certificate is not None:
        shortfall = shortfall_of(certificate, float(squares.sum()))
    return Given(values, squares, _largest_G(result, certificate), certificate, queries, shortfall)


def _largest_G(result: Result | None, certificate: Certificate | None) -> float:
    """Return what no entry of G exceeds: r, or a little more where r is the least it can be."""
    if certificate is None:
        return math.inf
    has_lost = result is not None and result.known is not None and result.known.has_lost
    if not (has_lost or certificate.preprocess.center):
        return certificate.r
    return certificate.r * (1 + ROUNDING_SHARE) / (1 - ROUNDING_SHARE)


def _check_certificate(
    certificate: Certificate, shape: tuple[int, int], queries: int | None
) -> None:
    if not isinstance(certificate, Certificate):
        raise ParameterError(f"certificate must be a Certificate, not {certificate!r}")
    c = certificate
    if (c.n, c.m) != shape or c.queries != queries:
        of = "" if c.queries is None else f" with {c.queries:,} queries"
        raise ParameterError(
            f"the certificate is of a Y of shape ({c.n:,}, {c.m:,}){of}, this one has "
            f"({shape[0]:,}, {shape[1]:,}){'' if queries is None else f' with {queries:,} queries'}"
        )
