"""What is done to the columns of X before anything is made of them: a value, checked when made."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from streamsparse.checks import IMPUTATIONS, as_float, check_choice
from streamsparse.errors import ParameterError


@dataclass(frozen=True, slots=True)
class Preprocess:
    """What is done to every column of X, in this order: impute, centre, scale.

    X itself stays as it is, and sparse X stays sparse. Y, the certificate and ``certify`` are those
    of the matrix that comes out.

    Parameters
    ----------
    center : subtract from each column its mean.
    scale : divide each column by its standard deviation about its mean (the root of the mean
        square, 1 / n); a constant column is divided by 1.
    impute : what missing values become: "mean", the mean of the column's values that are there
        (0 where none is), or "zero"; None where none are missing. Means and deviations are those
        of the imputed column.
    missing_value : the value that means missing, finite: a code such as -1; None for NaN.

    Raises
    ------
    ParameterError : if a parameter is none of these.

    Notes
    -----
    Centring is exact and made after the pass. Scaling and imputing are made block by block as X is
    read, in a float dtype, and need blocks of whole columns.
    """

    center: bool = False
    scale: bool = False
    impute: str | None = None
    missing_value: float | None = None

    def __post_init__(self) -> None:
        for name in ("center", "scale"):
            if not isinstance(getattr(self, name), bool):
                raise ParameterError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if self.impute is not None:
            check_choice("impute", self.impute, IMPUTATIONS)
        code = self.missing_value
        if code is None:
            return
        number = as_float(code)
        if number is None or not math.isfinite(number):
            raise ParameterError(
                f"missing_value must be a finite number, or None for NaN, not {code!r}"
            )
        if self.impute is None:
            raise ParameterError(
                f"missing_value={code!r} says which values are missing: say with impute what they "
                f"become, 'mean' or 'zero'"
            )
        if number != code:
            raise ParameterError(
                f"missing_value={code!r} is no number of float64, whose nearest is {number!r}"
            )
        object.__setattr__(self, "missing_value", number)

    @property
    def is_needed(self) -> bool:
        """Whether anything is done at all."""
        return self.center or self.rewrites

    @property
    def rewrites(self) -> bool:
        """Whether values of blocks change as they are read."""
        return self.scale or self.impute is not None

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters by name, JSON-ready."""
        return asdict(self)

    def __str__(self) -> str:
        """Return what is done, in words, on one line; "as they are" for nothing."""
        done = []
        if self.impute is not None:
            code = "NaN" if self.missing_value is None else f"{self.missing_value:g}"
            done.append(f"{code} read as {'the mean' if self.impute == 'mean' else '0'}")
        if self.center:
            done.append("centred")
        if self.scale:
            done.append("scaled to unit deviation")
        return ", ".join(done) or "as they are"


# What may be said in one word.
WORDS = {
    "center": Preprocess(center=True),
    "scale": Preprocess(scale=True),
    "standardize": Preprocess(center=True, scale=True),
}
