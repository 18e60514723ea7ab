"""What the types of all other modules are made of."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
# Half-open: [first, second).
Interval: TypeAlias = tuple[int, int]
