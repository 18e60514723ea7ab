"""What methods of several passes share."""

from __future__ import annotations

import numpy as np

from streamsparse.arrays import Array
from streamsparse.errors import SourceChangedError
from streamsparse.sources.base import Source


def refuse_change(source: Source, first: Array, second: Array, *, since: str) -> None:
    """Compare the digests of two passes, (n,) each; ``since`` says when it may have changed.

    Raises
    ------
    SourceChangedError : naming the first row that differs.
    """
    changed = np.flatnonzero(first != second)
    if changed.size:
        raise SourceChangedError(
            f"{source.name} changed {since}: {changed.size:,} of "
            f"{first.size:,} rows differ, the first is row {int(changed[0])}; reduce it again "
            f"when nobody writes to it"
        )
