"""Ctrl-C and SIGTERM on the command line: how it ends, and the line that goes on."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from streamsparse.cli.options import command_line

# The library stops by itself well before that, unless it is inside of one long call of LAPACK.
PATIENCE_SECONDS = 1.5


def status_of(number: int) -> int:
    """Return the status that a shell reports for a process that a signal has ended."""
    return 128 + number


def resume_line(words: Sequence[str]) -> str:
    """Return the command that goes on with a run, given the words of the one that began it."""
    return command_line(*words, *(() if "--resume" in words else ("--resume",)))


@contextmanager
def within_two_seconds(words: Sequence[str]) -> Iterator[None]:
    """End the process if it still computes a while after a signal: what it kept stands.

    A call of LAPACK takes as long as it takes, and Python hears of a signal only when it returns;
    the kernel tells this thread at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_wait_for_signal, args=(ours, list(words)), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        theirs.close()


def _wait_for_signal(ours: socket.socket, words: list[str]) -> None:
    with ours:
        while heard := ours.recv(1):
            if heard[0] in (signal.SIGINT, signal.SIGTERM):
                ours.settimeout(PATIENCE_SECONDS)
                _end_unless_closed(ours, heard[0], words)
                return


def _end_unless_closed(ours: socket.socket, number: int, words: list[str]) -> None:
    """End the process unless the other end is closed in time."""
    end = time.monotonic() + PATIENCE_SECONDS
    try:
        while ours.recv(1):
            ours.settimeout(max(1e-3, end - time.monotonic()))
    except TimeoutError:
        text = "\nstreamsparse: stopped in the middle of a computation"
        if "reduce" in words:
            text += f"; go on with\n  {resume_line(words)}"
        os.write(2, f"{text}\n".encode())
        os._exit(status_of(number))
