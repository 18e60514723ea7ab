"""Anonymous memory of this process: as the kernel counts it, and given back when it is free."""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_STATUS = Path("/proc/self/status")
_INTERVAL_SECONDS = 0.01
# The name of the setting in malloc.h.
_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1 << 20


def anonymous_bytes() -> int | None:
    """Return the resident anonymous memory of this process in bytes, None where unknown.

    Pages of mapped files (shared libraries) are left out: the kernel drops them when it must.
    """
    try:
        status = _STATUS.read_text(encoding="ascii")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return None


class PeakMemory:
    """Context manager that samples anonymous memory every 10 ms; ``bytes`` is the largest seen."""

    def __init__(self) -> None:
        self.bytes = anonymous_bytes()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def sample(self) -> int | None:
        """Take one more sample and return the peak so far."""
        now = anonymous_bytes()
        if now is not None:
            self.bytes = max(now, self.bytes or 0)
        return self.bytes

    def include(self, others_bytes: int | None) -> None:
        """Take the peak of other processes into account."""
        if others_bytes is not None and self.bytes is not None:
            self.bytes = max(self.bytes, others_bytes)

    def __enter__(self) -> PeakMemory:
        if self.bytes is not None:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.sample()

    def _watch(self) -> None:
        while not self._stop.wait(_INTERVAL_SECONDS):
            self.sample()


def return_memory_at_once() -> None:
    """Let arrays of a mebibyte and more go back to the system when they are freed.

    glibc raises the size from which it does so to that of the largest array freed, up to 32 MiB:
    blocks then live in heaps, one for each thread, which keep holes between them and grow with the
    run. Fixing it costs a page fault per page of a new block. Other C libraries are left alone.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
