"""The module ``os`` as ``streamsparse.storing.files`` sees it, with faults.

``files`` is the one module of the library that changes anything on a disk, and it does so by calls
of ``os`` alone: whoever stands between the two sees every operation, and can make any of them fail.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from streamsparse.storing import files

CHANGING = frozenset(
    "open write pwrite ftruncate fsync rename replace unlink mkdir rmdir".split()  # noqa: SIM905
)


class Observer(Protocol):
    """Told about every operation before it is done; may raise, or end the process."""

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        """Take note of an operation."""
        ...

    def after(self, operation: str, arguments: tuple[Any, ...], result: Any) -> None:
        """Take note of what it returned; opening to read is told as well."""
        ...


class Counter:
    """Act at the k-th operation, and with ``from_then_on`` at all that follow."""

    def __init__(
        self, *, at: int, action: Callable[[str], None], from_then_on: bool = False
    ) -> None:
        self.count = 0
        self._at, self._action, self._goes_on = at, action, from_then_on

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        """Count, and act where it is time."""
        del arguments
        number, self.count = self.count, self.count + 1
        if number == self._at or (self._goes_on and number > self._at):
            self._action(operation)

    def after(self, operation: str, arguments: tuple[Any, ...], result: Any) -> None:
        """Do nothing."""


class FaultyOs:
    """Everything of ``os``, those operations that change something announced first."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGING:
            return real

        def announced(*arguments: Any, **keywords: Any) -> Any:
            reads = name == "open" and not arguments[1] & (os.O_CREAT | os.O_TRUNC)
            if not reads:
                self._observer.before(name, arguments)
            result = real(*arguments, **keywords)
            self._observer.after(name, arguments, result)
            return result

        return announced


@contextmanager
def installed(observer: Observer) -> Iterator[None]:
    """Put an observer between ``files`` and ``os``."""
    files.os = FaultyOs(observer)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        files.os = os  # type: ignore[attr-defined]
