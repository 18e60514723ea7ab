"""The names of rows and columns that AnnData keeps in an HDF5 file beside a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.sources.base import SourceMixin
from streamsparse.sources.hdf5_file import Hdf5File
from streamsparse.sources.labels import as_labels, digest_labels

_TABLES = ("obs", "var")
_ENCODINGS = ("anndata", "raw")


class NamedInHdf5(SourceMixin):
    """Names that are read when they are asked for: tasks elsewhere need none of them."""

    _file: Hdf5File
    _member: str
    feature_axis: int

    def row_names(self) -> Array | None:
        """Return the names of the rows of X, None without names."""
        return _read(self._file, self._member, axis=1 - self.feature_axis)

    def feature_names(self, columns: Array) -> list[Any] | None:
        """Return the names of some columns of X, None without names."""
        labels = _read(self._file, self._member, axis=self.feature_axis)
        return None if labels is None else list(labels[columns].tolist())

    def feature_digest(self) -> str | None:
        """Return a digest of the names of the columns of X, None without names."""
        labels = _read(self._file, self._member, axis=self.feature_axis)
        return None if labels is None else digest_labels([labels.tolist()])


def _read(file: Hdf5File, member: str, *, axis: int) -> Array | None:
    """Return all names along an axis of the matrix as stored."""
    try:
        node = file.node(member)
        while node.attrs.get("encoding-type") not in _ENCODINGS:
            if node.name == "/":
                return None
            node = node.parent
        table = node[_TABLES[axis]]
        names = table[table.attrs["_index"]]
        values = names.asstr()[...] if names.dtype.kind == "O" else names[...]
    except Exception:
        # Names are a help, not a part of X: where they cannot be read there are none.
        return None
    return as_labels(np.asarray(values).tolist())
