import asyncio
import threading
import time

import pytest

from streamsparse.errors import CorruptChunkError, StoreError
from streamsparse.sources import reading


class Flaky:
    """Fails with each of ``errors`` in turn, then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    async def later(self):
        return self()


def sync_attempt(action):
    return reading.attempt("reading c/0/0 of x", action)


def async_attempt(action):
    return asyncio.run(reading.attempt_async("reading c/0/0 of x", action.later))


BOTH = pytest.mark.parametrize("attempt", [sync_attempt, async_attempt])


@BOTH
def test_attempt__three_failures_that_pass_are_tried_again(attempt):
    action = Flaky(OSError(5, "I/O error"), TimeoutError("slow"), RuntimeError("503"))
    assert attempt(action) == "answer"
    assert action.calls == 4


@BOTH
def test_attempt__the_fourth_failure_is_named_with_the_number_of_tries(attempt):
    action = Flaky(*[OSError(5, "I/O error")] * 9)
    with pytest.raises(StoreError, match=r"reading c/0/0 of x failed 4 times in a row.*I/O error"):
        attempt(action)
    assert action.calls == 4


@BOTH
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (PermissionError("denied"), StoreError),
        (NotADirectoryError("no"), StoreError),
        (IsADirectoryError("no"), StoreError),
        (TypeError("wrong"), StoreError),
        (FileNotFoundError("gone"), FileNotFoundError),
        (MemoryError(), MemoryError),
        (CorruptChunkError("bad"), CorruptChunkError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_attempt__what_is_certain_is_not_tried_again(attempt, error, raised):
    action = Flaky(error)
    with pytest.raises(raised):
        attempt(action)
    assert action.calls == 1


def test_attempt__pauses_grow_and_differ(monkeypatch):
    monkeypatch.setattr(reading, "PAUSES", (0.5, 1.0, 2.0))
    slept = []
    monkeypatch.setattr(reading.time, "sleep", slept.append)
    for _ in range(2):
        with pytest.raises(StoreError):
            sync_attempt(Flaky(*[OSError()] * 9))
    assert all(low <= s <= 1.5 * low for low, s in zip((0.5, 1.0, 2.0) * 2, slept, strict=True))
    assert slept[:3] != slept[3:]


def test_attempt_once__is_tried_once_and_named():
    action = Flaky(OSError("lost"))
    with pytest.raises(StoreError, match="computing x failed: OSError: lost"):
        reading.attempt_once("computing x", action)
    assert action.calls == 1
    with pytest.raises(CorruptChunkError):
        reading.attempt_once("computing x", Flaky(CorruptChunkError("ours")))


def test_within_deadline__passes_answers_and_errors_on():
    assert reading.within_deadline("x", lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        reading.within_deadline("x", lambda: 1 / 0)


def test_within_deadline__what_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setattr(reading, "DEADLINE_SECONDS", 0.05)
    over = threading.Event()
    begun = time.perf_counter()
    with pytest.raises(StoreError, match=r"listing x has not ended after 0\.05 seconds"):
        reading.within_deadline("listing x", over.wait)
    assert time.perf_counter() - begun < 1
    over.set()


def test_attempt_async__what_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setattr(reading, "DEADLINE_SECONDS", 0.05)
    calls = []

    async def never():
        calls.append(1)
        await asyncio.sleep(3600)

    with pytest.raises(StoreError, match=r"reading k has not ended after 0\.05 seconds"):
        asyncio.run(reading.attempt_async("reading k", never))
    assert len(calls) == 1
