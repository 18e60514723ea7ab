"""Files in NumPy's ``.npy`` format."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from streamsparse.errors import CorruptChunkError
from streamsparse.sources.flat import FlatSource, read_head
from streamsparse.sources.reading import within_deadline

SUFFIX = ".npy"
_VERSIONS = ((1, 0), (2, 0), (3, 0))
# No honest header of a plain dtype comes near this; a forged length cannot make us read more.
_HEADER_BYTES = 1 << 17


class NpySource(FlatSource):
    """A two-dimensional ``.npy`` file in either order.

    Parameters
    ----------
    path : the file; its array has shape (n, d) if ``feature_axis`` is 1, (d, n) if it is 0.
    feature_axis : axis of the stored array along which the d columns of X lie.
    """

    def __init__(self, path: str | os.PathLike[str], *, feature_axis: int) -> None:
        file = Path(path)
        shape, is_fortran, dtype, start = within_deadline(
            f"opening {path}", lambda: _read_header(file)
        )
        super().__init__(
            file,
            name=str(path),
            shape=shape,
            dtype=dtype,
            start=start,
            feature_axis=feature_axis,
            is_fortran=is_fortran,
        )


def _read_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return (shape, whether in Fortran order, dtype, position of the first byte of data)."""
    head = io.BytesIO(read_head(path, _HEADER_BYTES))
    try:
        version = npy_format.read_magic(head)
        # Version 3 exists for structured dtypes alone; read as version 2 it gives their dtype.
        parse = (
            npy_format.read_array_header_1_0
            if version == (1, 0)
            else npy_format.read_array_header_2_0
        )
        shape, is_fortran, dtype = parse(head)
    except Exception as error:
        raise CorruptChunkError(f"{path} has no valid npy header: {error}") from error
    if version not in _VERSIONS:
        raise CorruptChunkError(f"{path} has no valid npy header: version {version} is not known")
    return shape, bool(is_fortran), dtype, head.tell()


def has_npy_suffix(path: str | os.PathLike[str]) -> bool:
    """Return whether a path names a ``.npy`` file."""
    return os.fspath(path).lower().endswith(SUFFIX)
