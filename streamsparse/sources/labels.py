"""Names of rows and columns: brought into one form, and digested."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from streamsparse.arrays import Array

_DIGEST_BYTES = 16


def as_labels(values: Any) -> Array | None:
    """Return names as a one-dimensional array of text, integers, finite floats, dates or durations.

    None for anything else: names are a help, not a part of X.
    """
    labels: Array = np.asarray(values)
    kind = labels.dtype.kind
    if kind in {"O", "T"} and all(isinstance(label, str) for label in labels.tolist()):
        labels = labels.astype(np.str_)
    elif kind not in "UiufmM" or (kind == "f" and not np.isfinite(labels).all()):
        return None
    return labels if labels.ndim == 1 else None


def pack_labels(labels: Array | None) -> dict[str, Any] | None:
    """Return names as JSON has them."""
    if labels is None:
        return None
    plain = labels.view(np.int64) if labels.dtype.kind in "mM" else labels
    return {"dtype": labels.dtype.str, "values": plain.tolist()}


def unpack_labels(packed: dict[str, Any] | None) -> Array | None:
    """Return the names that were packed."""
    if packed is None:
        return None
    dtype = np.dtype(packed["dtype"])
    stored = np.dtype(np.int64) if dtype.kind in "mM" else dtype
    labels: Array = np.asarray(packed["values"], stored).view(dtype)
    return labels


def digest_labels(pieces: Iterable[list[Any]]) -> str:
    """Return 32 hexadecimal digits, equal for equal names in equal order."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for labels in pieces:
        for label in labels:
            digest.update(repr(label).encode() + b"\n")
    return digest.hexdigest()
