"""Memory for blocks, used again: a fresh page costs a fault, and a large block has thousands."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import numpy as np

from streamsparse.arrays import Array

# The system gives smaller arrays from memory that it keeps itself.
_LARGE_BYTES = 1 << 20
_LOOSEST = 1.25


class Buffers:
    """Gives out uninitialised arrays, whose memory comes back when nothing refers to them.

    No array can change under whoever still looks at it, be it a part of it only. Memory is taken
    from the system only when none is kept, so what is held is never more than what was given out at
    once, and a quarter: an array may lie in memory that is that much larger.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[Array] = []
        self._is_open = True

    def empty(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], order: Literal["C", "F"] = "C"
    ) -> Array:
        """Return an array as ``np.empty`` does."""
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        memory = self._take(size)
        # Views of what numpy does not own refer to this array, not to the memory behind it.
        given = np.frombuffer(memory.data[:size], dtype)
        weakref.finalize(given, self._give, memory).atexit = False
        return given.reshape(shape, order=order)

    def _take(self, size: int) -> Array:
        with self._lock:
            fitting = [
                k for k, memory in enumerate(self._free) if size <= memory.nbytes <= _LOOSEST * size
            ]
            if fitting:
                return self._free.pop(min(fitting, key=lambda k: self._free[k].nbytes))
            # None fits: it goes back to the system before more is taken.
            self._free.clear()
        return np.empty(size, np.uint8)

    def _give(self, memory: Array) -> None:
        # A finaliser may run within `_take` on the same thread, where a lock would wait for ever;
        # appending needs none.
        if self._is_open:
            self._free.append(memory)

    def close(self) -> None:
        """Keep nothing any more."""
        self._is_open = False
        self._free.clear()


class _Shared:
    """Buffers that everybody takes from while somebody reads; the readers are counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self.buffers: Buffers | None = None

    @contextmanager
    def used(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
            if self.buffers is None:
                self.buffers = Buffers()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self.buffers.close()
                    self.buffers = None


_shared = _Shared()


def reused_buffers() -> AbstractContextManager[None]:
    """Context manager within which :func:`empty_block` uses memory again; around a pass."""
    return _shared.used()


def empty_block(
    shape: tuple[int, ...], dtype: np.dtype[Any], order: Literal["C", "F"] = "C"
) -> Array:
    """Return an uninitialised array for a block, or for what is read to make one."""
    buffers = _shared.buffers
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if buffers is None or size < _LARGE_BYTES:
        return np.empty(shape, dtype, order=order)
    return buffers.empty(shape, dtype, order)
