"""Where the rows of Y go as they are made: an array in memory, or the job's output."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.methods.base import Output


class RowsOut:
    """Y (n, m), filled row by row in order; ``Y`` is what can be read again afterwards."""

    def __init__(self, output: Output | None, n: int, m: int) -> None:
        self._output, self._shape = output, (n, m)
        self.Y: Any = None
        if output is not None:
            output.start(n, m)

    def put(self, start: int, Y_rows: Array) -> None:
        """Take the next rows; all of them at once are kept without a copy."""
        if self._output is not None:
            self._output.write_rows(start, Y_rows)
            self.Y = self._output.Y
        elif Y_rows.shape == self._shape:
            self.Y = Y_rows
        else:
            if self.Y is None:
                self.Y = np.empty(self._shape)
            self.Y[start : start + Y_rows.shape[0]] = Y_rows
