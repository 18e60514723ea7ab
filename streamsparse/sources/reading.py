"""The one seam through which sources read: failures are retried, named, and never a hang.

Nothing here knows what is read. What a caller passes is an action that touches a store or a file
and nothing else: decoding and checking happen outside, because bad bytes do not get better.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from streamsparse.errors import StoreError, StreamSparseError

T = TypeVar("T")

# Seconds before the second, third and fourth try, each lengthened at random by up to a half.
PAUSES = (0.5, 1.0, 2.0)
# A store that has not answered for this long never will.
DEADLINE_SECONDS = 300.0

# What another try cannot change: the answer is "no", or the question is wrong.
_CERTAIN = (
    StreamSparseError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    AttributeError,
    LookupError,
    MemoryError,
    NotImplementedError,
    TypeError,
    ValueError,
)


def attempt(doing: str, action: Callable[[], T]) -> T:
    """Run an action that reads, again where it fails in a way that may pass.

    Parameters
    ----------
    doing : what errors call it, "reading c/0/1 of x".
    action : reads, and does nothing else.

    Raises
    ------
    StoreError : naming the action and the number of tries.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return action()
        except Exception as error:
            pause = _pause_after(doing, tries, error)
        time.sleep(pause)


async def attempt_async(doing: str, action: Callable[[], Awaitable[T]]) -> T:
    """Run an action that reads on an event loop, by the rules of ``attempt``.

    Raises
    ------
    StoreError : also where one try takes more than ``DEADLINE_SECONDS``.
    """
    tries = 0
    while True:
        tries += 1
        try:
            async with asyncio.timeout(DEADLINE_SECONDS) as scope:
                return await action()
        except Exception as error:
            if scope.expired():
                raise _no_answer(doing) from error
            pause = _pause_after(doing, tries, error)
        await asyncio.sleep(pause)


def attempt_once(doing: str, action: Callable[[], T]) -> T:
    """Run an action whose retries belong to somebody else: a scheduler.

    Raises
    ------
    StoreError : naming the action and the kind of error.
    """
    try:
        return action()
    except StreamSparseError:
        raise
    except Exception as error:
        raise StoreError(f"{doing} failed: {type(error).__name__}: {error}") from error


def within_deadline(doing: str, action: Callable[[], T]) -> T:
    """Run an action on a thread of its own and stop waiting after ``DEADLINE_SECONDS``.

    Raises
    ------
    StoreError : if there is no answer by then; the thread is left behind and ends with the process.
    """
    answers: queue.SimpleQueue[tuple[bool, T | BaseException]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((True, action()))
        except BaseException as error:
            answers.put((False, error))

    threading.Thread(target=run, name=f"streamsparse {doing}", daemon=True).start()
    try:
        is_answer, answer = answers.get(timeout=DEADLINE_SECONDS)
    except queue.Empty:
        raise _no_answer(doing) from None
    if is_answer:
        return answer  # type: ignore[return-value]
    raise answer  # type: ignore[misc]


def _no_answer(doing: str) -> StoreError:
    return StoreError(
        f"{doing} has not ended after {DEADLINE_SECONDS:g} seconds; the store does not answer"
    )


def _pause_after(doing: str, tries: int, error: Exception) -> float:
    """Return how long to wait before the next try; raise where there is none."""
    if isinstance(error, _CERTAIN) or tries > len(PAUSES):
        _give_up(doing, tries, error)
    # Readers that failed together must not come back together.
    return PAUSES[tries - 1] * random.uniform(1.0, 1.5)


def _give_up(doing: str, tries: int, error: Exception) -> NoReturn:
    # A path that is not there is the caller's to explain, and memory is not the store's.
    if isinstance(error, StreamSparseError | MemoryError | FileNotFoundError):
        raise error
    times = "" if tries == 1 else f" {tries} times in a row"
    raise StoreError(f"{doing} failed{times}: {type(error).__name__}: {error}") from error
