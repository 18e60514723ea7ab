"""SIGINT and SIGTERM: noticed at once, acted upon where nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from streamsparse.errors import RunInterrupted


class Interrupts:
    """What has asked the run to end.

    While sums are being made (:meth:`deferred`) a signal is only noted; the loop over the data
    looks at it before every piece of work. Everywhere else it raises where it arrives. A second one
    does so in any case, and then nothing more is kept.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._is_deferring = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Listen to SIGINT and SIGTERM where nobody else does.

        Outside of the main thread, and where the program has handlers of its own, nothing is
        changed: a Ctrl-C is then what it always is.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {}
        for number, usual in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGTERM, signal.SIG_DFL),
        ):
            if signal.getsignal(number) is usual:
                before[number] = signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the protocol's
        if self._number is not None and self._is_deferring:
            raise KeyboardInterrupt
        self._number = number
        if not self._is_deferring:
            self.check()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Note signals while the body runs; raise at its end what it has not looked at.

        Raises
        ------
        RunInterrupted : if a signal came.
        """
        self._is_deferring = True
        try:
            yield
        finally:
            self._is_deferring = False
        self.check()

    @contextmanager
    def heard_at_once(self) -> Iterator[None]:
        """Within :meth:`deferred`: raise where a signal arrives, for it can wait for no sum here.

        Raises
        ------
        RunInterrupted : if a signal comes, or came before.
        """
        self._is_deferring = False
        try:
            self.check()
            yield
        finally:
            self._is_deferring = True

    def check(self) -> None:
        """Raise if a signal has come.

        Raises
        ------
        RunInterrupted : naming it.
        """
        if self._number is not None:
            name = signal.Signals(self._number).name
            raise RunInterrupted(self._number, f"interrupted by {name}")
