"""The standard library's own source files as a sparse matrix of hashed character n-grams."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse

from streamsparse.checks import check_count
from streamsparse.errors import ParameterError, SourceNotFoundError
from streamsparse.sketching.run_hash import mix
from streamsparse.storing.files import Array, reporting

NUM_FEATURES = 1 << 20
NGRAM_CHARACTERS = 5

_MIN_FILE_BYTES = 200
_SKIPPED = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
# Any odd constant will do: the finaliser mixes what it leaves in the low bits.
_BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents as rows.

    Attributes
    ----------
    names : module of each row, such as ``json.decoder``.
    X : (n, d) float32, tf-idf weights of hashed n-grams; every row has the same norm.
    """

    names: list[str]
    X: scipy.sparse.csr_array


def build_corpus(
    features: int = NUM_FEATURES, *, limit: int | None = None, r: float = 1.0
) -> Corpus:
    """Read the standard library's modules into a sparse matrix.

    Parameters
    ----------
    features : d, a power of two from 2 to 2^32.
    limit : read only the first modules in the order of their paths, at least 2; None reads all.
    r : squared norm of every row, positive.

    Raises
    ------
    ParameterError : for a parameter outside its range.
    SourceNotFoundError : if this Python has no source files of its library.
    StoreError : if a file cannot be read.

    Notes
    -----
    Weights are (1 + log count) * idf, idf = 1 + log((1 + n) / (1 + documents with the n-gram)).
    Memory: about 16 bytes per stored entry, and 32 bytes per character of the largest file.
    The same files give the same matrix on every machine, up to rounding.
    """
    check_count("features", features, low=2, high=1 << 32)
    if features & (features - 1):
        raise ParameterError(f"features must be a power of two, not {features:,}")
    if not r > 0:
        raise ParameterError(f"r must be positive, not {r:g}")
    root = Path(sysconfig.get_path("stdlib"))
    files = list_modules(root)
    if limit is not None:
        files = files[: check_count("limit", limit, low=2)]
    if not files:
        raise SourceNotFoundError(f"there are no Python source files below {root}")
    counted = [_count_file(file, features) for file in files]
    lengths = [columns.size for columns, _ in counted]
    indices = np.concatenate([columns for columns, _ in counted])
    # One dtype for both, or scipy widens the indices.
    index_dtype = indices.dtype if indices.size <= np.iinfo(np.int32).max else np.int64
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(index_dtype)
    data = np.concatenate([weights for _, weights in counted])
    X = scipy.sparse.csr_array((data, indices, indptr), shape=(len(files), features))
    _weight_rows(X, r)
    return Corpus([module_name(file, root) for file in files], X)


def list_modules(root: Path) -> list[Path]:
    """Return the source files below ``root`` that are no tests and not tiny, sorted by path."""
    return [
        path
        for path in sorted(root.rglob("*.py"))
        if not _SKIPPED.intersection(path.relative_to(root).parts)
        and path.is_file()
        and path.stat().st_size >= _MIN_FILE_BYTES
    ]


def module_name(file: Path, root: Path) -> str:
    """Return the dotted name of the module in ``file``; a package is named by its directory."""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def hash_ngrams(text: str, features: int) -> Array:
    """Return the feature of every n-gram of ``text``: uint64 in [0, features), in text order."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), "<u4").astype(np.uint64)
    count = max(0, codes.size - NGRAM_CHARACTERS + 1)
    words = np.zeros(count, np.uint64)
    for k in range(NGRAM_CHARACTERS):
        words *= _BASE
        words += codes[k : k + count]
    return mix(words) >> np.uint64(65 - features.bit_length())


def _count_file(file: Path, features: int) -> tuple[Array, Array]:
    """Return the features of one file in increasing order, and 1 + log of how often each occurs."""
    with reporting("reading", file):
        text = file.read_bytes().decode("utf-8", "replace")
    # Sorting 32-bit integers is twice as fast as 64-bit ones, and holds any allowed feature.
    columns, counts = np.unique(hash_ngrams(text, features).astype(np.uint32), return_counts=True)
    index_dtype = np.int32 if features <= 1 << 31 else np.int64
    return columns.astype(index_dtype), (1 + np.log(counts)).astype(np.float32)


def _weight_rows(X: scipy.sparse.csr_array, r: float) -> None:
    """Multiply by idf and scale every row to squared norm ``r``, in place."""
    n, d = X.shape
    documents = np.bincount(X.indices, minlength=d)
    idf = 1 + np.log((1 + n) / (1 + documents))
    for i in range(n):
        part = slice(X.indptr[i], X.indptr[i + 1])
        weights = X.data[part] * idf[X.indices[part]]
        X.data[part] = weights * np.sqrt(r / (weights @ weights))
