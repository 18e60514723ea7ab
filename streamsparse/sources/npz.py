"""``.npz`` files of one sparse matrix, as ``scipy.sparse.save_npz`` writes them."""

from __future__ import annotations

import zipfile
import zlib
from typing import Any

from scipy import sparse

from streamsparse.errors import CorruptChunkError, UnsupportedInputError
from streamsparse.sources.reading import attempt, within_deadline
from streamsparse.sources.sparse import SparseSource

SUFFIX = ".npz"


def open_npz(path: str, *, feature_axis: int) -> SparseSource:
    """Read a sparse matrix into memory, beside what a plan counts; no pickle is ever opened.

    Raises
    ------
    UnsupportedInputError : for a file of anything else.
    CorruptChunkError : for one that is damaged.
    StoreError : if it cannot be read.
    """
    doing = f"reading {path}"
    matrix = within_deadline(doing, lambda: attempt(doing, lambda: _load(path)))
    return SparseSource(matrix, feature_axis=feature_axis, name=path)


def _load(path: str) -> Any:
    with open(path, "rb") as file:
        try:
            # It never allows pickles, and gives no way to say otherwise.
            return sparse.load_npz(file)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise CorruptChunkError(f"{path} is damaged: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
            raise UnsupportedInputError(
                f"{path} is no sparse matrix as scipy.sparse.save_npz writes it ({error}); save a "
                f"dense one as .npy"
            ) from error
