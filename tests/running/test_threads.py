import threading
import time

import pytest

from streamsparse.errors import RunInterrupted, StoreError
from streamsparse.running.threads import (
    READER,
    available_threads,
    interruptible,
    read_ahead,
    worker_threads,
)


@pytest.mark.parametrize("ahead", [0, 1, 3, 50])
def test_read_ahead__keeps_the_order_and_reads_no_further_than_asked(ahead):
    begun, taken = [], 0

    def load(item):
        begun.append(item)
        # Never more than what is taken, what waits, and the one that is asked for.
        assert len(begun) <= taken + ahead + 1
        return item * item

    for k, found in enumerate(read_ahead(load, range(20), ahead=ahead)):
        taken = k + 1
        assert found == k * k
    assert sorted(begun) == list(range(20))


def test_read_ahead__raises_what_a_read_raised_in_its_turn():
    def load(item):
        if item == 3:
            raise StoreError("three")
        return item

    found = read_ahead(load, range(10), ahead=4)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StoreError, match="three"):
        next(found)


def test_read_ahead__a_read_that_hangs_meets_its_deadline_and_holds_nothing_up():
    hanging = threading.Event()
    with pytest.raises(StoreError, match=r"nothing was read for 0\.1 s"):
        list(read_ahead(lambda _: hanging.wait(60), [0], ahead=0, deadline=0.1))
    readers = [thread for thread in threading.enumerate() if thread.name == READER]
    assert readers
    assert all(thread.daemon for thread in readers)
    hanging.set()


def test_read_ahead__looks_at_whether_to_end_while_it_waits():
    hanging, asked = threading.Event(), []

    def check():
        asked.append(True)
        if len(asked) > 2:
            raise RunInterrupted(2)

    with pytest.raises(RunInterrupted):
        list(read_ahead(lambda _: hanging.wait(60), [0], ahead=2, check=check))
    hanging.set()


def test_read_ahead__its_threads_end():
    def mine():
        return {thread for thread in threading.enumerate() if thread.name == READER} - others

    others = set(threading.enumerate())
    reading = read_ahead(lambda item: item, range(5), ahead=2)
    next(reading)
    assert len(mine()) == min(2, available_threads())
    assert list(reading) == [1, 2, 3, 4]
    end = time.monotonic() + 5
    while mine() and time.monotonic() < end:
        time.sleep(0.01)
    assert not mine()


@pytest.mark.parametrize("threads", [1, 3])
def test_interruptible__ends_before_the_next_task(threads):
    done = []

    def check():
        if len(done) >= 4:
            raise RunInterrupted(15)

    with worker_threads(threads) as each, pytest.raises(RunInterrupted):
        interruptible(each, check)(done.append, 1000)
    assert 4 <= len(done) < 4 + threads
