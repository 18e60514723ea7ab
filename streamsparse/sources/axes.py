"""The axis that the features lie along: by its position, or by the name of a dimension."""

from __future__ import annotations

from collections.abc import Sequence

from streamsparse.checks import check_count
from streamsparse.errors import ParameterError


def check_feature_axis(feature_axis: int | str) -> int | str:
    """Return 0, 1, or the name of a dimension.

    Raises
    ------
    ParameterError : for anything else.
    """
    if isinstance(feature_axis, str):
        return feature_axis
    return check_count("feature_axis", feature_axis, low=0, high=1)


def resolve_axis(
    feature_axis: int | str, dimensions: Sequence[str | None] | None, *, name: str
) -> int:
    """Return 0 or 1: the position of the dimension that is meant.

    ``dimensions`` : their names, None for one without; None where a source of this kind has none.

    Raises
    ------
    ParameterError : if no dimension, or more than one, has that name.
    """
    if not isinstance(feature_axis, str):
        return feature_axis
    named = [dimension for dimension in dimensions or () if dimension is not None]
    if not named:
        raise ParameterError(
            f"feature_axis must be 0 or 1, not {feature_axis!r}: the dimensions of {name} have no "
            f"names"
        )
    if named.count(feature_axis) != 1:
        listed = ", ".join(map(repr, named))
        raise ParameterError(
            f"feature_axis must be 0, 1 or the name of one dimension of {name} ({listed}), not "
            f"{feature_axis!r}"
        )
    assert dimensions is not None
    return list(dimensions).index(feature_axis)
