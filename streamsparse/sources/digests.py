"""Digests of what a source is: of facts, and of arrays in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from streamsparse.arrays import Array

_DIGEST_BYTES = 16
_PIECE_BYTES = 1 << 20


def digest_of(*facts: object) -> str:
    """Return 32 hexadecimal digits that depend on every one of ``facts``, told by their repr."""
    return hashlib.blake2b(repr(facts).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def digest_array(values: Array) -> str:
    """Return a digest of the dtype, shape, layout and every byte of an array, without a copy of it.

    About a second per GB; an array without a contiguous layout is copied in pieces.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for piece in _byte_pieces(values):
        digest.update(piece)
    return digest_of(values.dtype.str, values.shape, values.flags.f_contiguous, digest.hexdigest())


def _byte_pieces(values: Array) -> Iterator[memoryview]:
    flags = values.flags
    if flags.c_contiguous or flags.f_contiguous:
        yield values.reshape(-1, order="A").view(np.uint8).data
        return
    step = max(1, _PIECE_BYTES // max(1, values[:1].nbytes))
    for start in range(0, len(values), step):
        yield np.ascontiguousarray(values[start : start + step]).reshape(-1).view(np.uint8).data
