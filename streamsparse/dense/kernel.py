"""Kernels of rows from their products F, and how far errors of the products can move them.

Each has the values, made in the place of F, and a bound on the error of any value, given bounds on
the errors of F. Names and formulas are scikit-learn's where it has the kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from streamsparse.arrays import Array
from streamsparse.dense.certificate import Measure
from streamsparse.dense.implied import EntryError, describe
from streamsparse.errors import ParameterError

# Powers of degree up to 1,000, and exp, round by no more relative to the largest value.
_ROUNDING = 2.0**-43
# exp() of more overflows float64.
_LARGEST_LOG = math.log(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A kernel of the rows of Y.

    Attributes
    ----------
    name : which.
    values : (n, n) float64, or (queries, keys) of a pair.
    error : no value is further from that of X, as surely as the measure says; None where nothing
        is known.
    """

    name: str
    values: Array
    error: Measure | None

    def __repr__(self) -> str:
        """Return shape and error in two lines."""
        rows, columns = self.values.shape
        return (
            f"Kernel {self.name}, {rows:,} x {columns:,}\n"
            f"  error of a value                  {describe(self.error)}"
        )


class Products(NamedTuple):
    """F = A B^T of two matrices of rows, with the squared norms of both.

    Attributes
    ----------
    F : (rows, columns).
    row_squares, column_squares : (rows,) and (columns,).
    largest_G : max |G_ij|, or more; infinity where it is not known.
    """

    F: Array
    row_squares: Array
    column_squares: Array
    largest_G: float


@dataclass(frozen=True, slots=True)
class Linear:
    """x.y."""

    def values(self, products: Products) -> Array:
        """Return F."""
        return products.F

    def bound(self, products: Products, error: EntryError) -> Measure | None:  # noqa: ARG002
        """Return e."""
        return error.implies(error.entry)


@dataclass(frozen=True, slots=True)
class Cosine:
    """x.y / (||x|| ||y||), 0 where a row is zero."""

    def values(self, products: Products) -> Array:
        """Return F_ij / sqrt(F_ii F_jj)."""
        F, row_squares, column_squares, _ = products
        F /= _lengths(row_squares)[:, None]
        F /= _lengths(column_squares)
        return F

    def bound(self, products: Products, error: EntryError) -> Measure | None:
        """Return b / (2 min F_ii), b the error of D; None at 2: no two cosines are further apart.

        With f = sqrt(F_ii F_jj) and g that of G the error is (E_ij + c (g - f)) / f, c the cosine
        of X, |c| <= 1. With x = |E_ii| / F_ii and y = |E_jj| / F_jj, g / f is at most
        sqrt((1 + x) (1 + y)) <= 1 + (x + y) / 2; and at least 1 - max(x, y), or 1 where norms only
        fall short. So it is below (e + (|E_ii| + |E_jj|) / 2) / min F_ii. A row of Y that is zero
        has cosines 0, off by 1 at most.
        """
        squares = np.concatenate([products.row_squares, products.column_squares])
        shortest = squares.min(where=squares > 0, initial=math.inf)
        moved = error.squared_distance / 2 / float(shortest)
        moved = moved if squares.all() else max(1.0, moved)
        return error.implies(moved + _ROUNDING, trivial=2.0)


@dataclass(frozen=True, slots=True)
class RBF:
    """exp(-gamma ||x - y||^2)."""

    gamma: float

    def values(self, products: Products) -> Array:
        """Return exp(-gamma D) with D = F_ii + F_jj - 2 F_ij >= 0."""
        D = squared_distances(*products[:3])
        with np.errstate(over="ignore"):
            D *= -self.gamma
        return np.exp(D, out=D)

    def bound(self, products: Products, error: EntryError) -> Measure | None:  # noqa: ARG002
        """Return 1 - exp(-gamma b), D being off by at most b; below gamma b.

        exp(-u) - exp(-v) = exp(-u) (1 - exp(u - v)) for 0 <= u <= v, and exp(-u) <= 1. None at 1.
        """
        moved = -math.expm1(-self.gamma * error.squared_distance)
        return error.implies(moved + _ROUNDING, trivial=1.0)


@dataclass(frozen=True, slots=True)
class Polynomial:
    """(gamma x.y + coef0)^degree."""

    gamma: float
    degree: int
    coef0: float

    def values(self, products: Products) -> Array:
        """Return (gamma F + coef0)^degree."""
        base = products.F
        with np.errstate(over="ignore"):
            base *= self.gamma
            base += self.coef0
        largest = float(np.abs(base).max())
        if largest > 1 and self.degree * math.log(largest) > _LARGEST_LOG:
            raise ParameterError(
                f"gamma x.y + coef0 reaches {largest:g}, whose power {self.degree} overflows "
                f"float64; take a smaller gamma or degree"
            )
        return np.power(base, self.degree, out=base)

    def bound(self, products: Products, error: EntryError) -> Measure | None:
        """Return (a + gamma e)^degree - a^degree, a the largest |gamma x.y + coef0| of Y or of X.

        |(a + t)^k - a^k| <= (|a| + |t|)^k - |a|^k by the binomial theorem, term by term, and the
        right side rises with |a|: so a may be that of Y, or of X, where it is at most
        gamma r + |coef0|.
        """
        F, moved = products.F, self.gamma * error.entry
        of_Y = max(abs(self.gamma * float(limit) + self.coef0) for limit in (F.min(), F.max()))
        largest = min(of_Y, self.gamma * products.largest_G + abs(self.coef0))
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            # a^k ((1 + t / a)^k - 1): the difference itself would cancel.
            grown = np.expm1(self.degree * np.log1p(np.divide(moved, largest)))
            value = np.power(largest, self.degree) * grown
            if largest == 0:
                value = np.power(moved, self.degree)
            value += _ROUNDING * np.power(of_Y, self.degree)
        return error.implies(float(value))


@dataclass(frozen=True, slots=True)
class Exponential:
    """exp(beta x.y): attention before its rows are divided by their sums."""

    beta: float

    def values(self, products: Products) -> Array:
        """Return exp(beta F)."""
        F = products.F
        largest = float(F.max())
        if self.beta * largest > _LARGEST_LOG:
            raise ParameterError(
                f"beta x.y reaches {self.beta * largest:g}, whose exponential overflows float64 "
                f"(beyond {_LARGEST_LOG:.2f}); take beta below {_LARGEST_LOG / largest:g}, or "
                f"attention, whose rows are normalised"
            )
        with np.errstate(over="ignore"):
            F *= self.beta
        return np.exp(F, out=F)

    def bound(self, products: Products, error: EntryError) -> Measure | None:
        """Return exp(beta p) (exp(beta e) - 1), p = min(max F_ij, r).

        exp(v) - exp(u) = exp(u) (exp(v - u) - 1), and the smaller of two products is at most the
        largest of Y as well as the largest of X, which is r.
        """
        of_Y = float(products.F.max())
        with np.errstate(over="ignore"):
            value = np.exp(self.beta * min(of_Y, products.largest_G)) * np.expm1(
                self.beta * error.entry
            )
            value += _ROUNDING * np.exp(self.beta * of_Y)
        return error.implies(float(value))


KernelFunction: TypeAlias = Linear | Cosine | RBF | Polynomial | Exponential
# Their fields are the parameters that they have.
KERNELS: dict[str, type[KernelFunction]] = {
    "linear": Linear,
    "cosine": Cosine,
    "rbf": RBF,
    "polynomial": Polynomial,
    "exponential": Exponential,
}
# Norms of rows matter to these.
OF_NORMS = ("cosine", "rbf")


def squared_distances(F: Array, row_squares: Array, column_squares: Array) -> Array:
    """Return F_ii + F_jj - 2 F_ij >= 0, in the place of F."""
    F *= -2
    F += row_squares[:, None]
    F += column_squares
    return np.maximum(F, 0, out=F)


def _lengths(squares: Array) -> Array:
    """Return square roots, 1 for rows that are zero: they are divided by."""
    lengths = np.sqrt(squares)
    lengths[lengths == 0] = 1
    return np.asarray(lengths)
