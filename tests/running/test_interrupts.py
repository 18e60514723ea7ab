import os
import signal
import threading

import pytest

from streamsparse.errors import RunInterrupted, StreamSparseError
from streamsparse.running.interrupts import Interrupts

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def kill_me(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupts__raise_at_once_outside_of_sums(number):
    interrupts = Interrupts()
    with pytest.raises(RunInterrupted, match=number.name) as caught, interrupts.watching():
        kill_me(number)
    assert caught.value.number == number


@pytest.mark.parametrize("number", SIGNALS)
def test_interrupts__wait_until_they_are_looked_at_within_sums(number):
    interrupts, reached = Interrupts(), []

    def sums():
        kill_me(number)
        reached.append("after the signal")
        interrupts.check()
        reached.append("after the check")

    with pytest.raises(RunInterrupted), interrupts.watching(), interrupts.deferred():
        sums()
    assert reached == ["after the signal"]


def test_interrupts__are_not_lost_where_nobody_looked():
    interrupts = Interrupts()
    with pytest.raises(RunInterrupted), interrupts.watching(), interrupts.deferred():
        kill_me(signal.SIGINT)


def test_interrupts__a_second_one_waits_for_nobody():
    interrupts = Interrupts()

    def sums():
        kill_me(signal.SIGINT)
        kill_me(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught, interrupts.watching(), interrupts.deferred():
        sums()
    assert not isinstance(caught.value, RunInterrupted)


def test_interrupts__leave_handlers_as_they_were():
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interrupts().watching():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_interrupts__leave_the_handlers_of_others_alone():
    def mine(number, frame):
        heard.append(number)

    heard, before = [], signal.signal(signal.SIGTERM, mine)
    try:
        with Interrupts().watching():
            kill_me(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_interrupts__change_nothing_in_other_threads():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run():
        with Interrupts().watching():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]


def test_run_interrupted__is_not_swallowed_by_except_exception():
    assert issubclass(RunInterrupted, KeyboardInterrupt)
    assert not issubclass(RunInterrupted, Exception)
    assert not issubclass(RunInterrupted, StreamSparseError)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_interrupts__are_heard_at_once_where_others_sum(when):
    interrupts, reached = Interrupts(), []

    def sums():
        if when == "before":
            kill_me(signal.SIGINT)
        with interrupts.heard_at_once():
            if when == "meanwhile":
                kill_me(signal.SIGINT)
            reached.append("waited")

    with pytest.raises(RunInterrupted), interrupts.watching(), interrupts.deferred():
        sums()
    assert reached == []
