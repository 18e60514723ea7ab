"""Consecutive ranges of a one-dimensional zarr array, each chunk decoded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from streamsparse.arrays import Array
from streamsparse.sources.zarr_array import StoredArray

# Chunks kept: blocks are read in order, so a chunk is shared by neighbours only.
_SLOTS = 2


class ZarrVector:
    """A one-dimensional array read in ranges that need not end where its chunks do.

    A chunk that a range covers in part is decoded whole and kept for the neighbouring range: small
    blocks of a large chunk would otherwise decode it again and again.

    Parameters
    ----------
    array : one-dimensional.
    dtype : what ranges are returned in.
    """

    def __init__(self, array: StoredArray, dtype: np.dtype[Any]) -> None:
        self._array = array
        self._dtype = dtype
        self._length = array.shape[0]
        index = array.layout.index
        self._width = array.layout.chunk[0] if index is None else index.inner[0]
        self._lock = threading.Lock()
        self._slots: OrderedDict[int, _Slot] = OrderedDict()
        self.overhead_bytes = array.overhead_bytes + _SLOTS * self._width * dtype.itemsize

    def read(self, start: int, stop: int) -> Array:
        """Return the entries [start, stop)."""
        first, last = start // self._width, max(start, stop - 1) // self._width
        if first == last and stop - start < self._extent(first):
            origin = first * self._width
            return self._chunk(first)[start - origin : stop - origin].copy()
        out = np.empty(stop - start, self._dtype)
        inner_start, inner_stop = start, stop
        if start % self._width:
            inner_start = min(stop, (first + 1) * self._width)
            head = self._chunk(first)[start - first * self._width :]
            out[: inner_start - start] = head[: inner_start - start]
        if stop % self._width and stop != self._length:
            inner_stop = max(inner_start, last * self._width)
            tail = self._chunk(last)[: stop - inner_stop]
            out[inner_stop - start :] = tail
        if inner_start < inner_stop:
            whole = self._array.read(((inner_start, inner_stop),), self._dtype)
            out[inner_start - start : inner_stop - start] = whole
        return out

    def _extent(self, chunk: int) -> int:
        return min(self._width, self._length - chunk * self._width)

    def _chunk(self, chunk: int) -> Array:
        with self._lock:
            slot = self._slots.setdefault(chunk, _Slot())
            self._slots.move_to_end(chunk)
            while len(self._slots) > _SLOTS:
                self._slots.popitem(last=False)
        with slot.lock:
            if slot.values is None:
                start = chunk * self._width
                region = ((start, start + self._extent(chunk)),)
                slot.values = self._array.read(region, self._dtype)
            return slot.values

    def __getstate__(self) -> dict[str, Any]:
        # A lock means nothing in another process, and neither do chunks decoded in this one.
        return {**self.__dict__, "_lock": None, "_slots": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _slots=OrderedDict())


class _Slot:
    """One decoded chunk; the lock lets two readers that want it decode it once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.values: Array | None = None
