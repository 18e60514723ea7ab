"""BLAS has one thread in every run, whichever thread of the process it is on."""

import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from streamsparse.running.threads import one_blas_thread


def blas_threads():
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


def on_a_thread(action):
    found = []
    thread = threading.Thread(target=lambda: found.append(action()))
    thread.start()
    thread.join()
    return found[0]


def limited():
    with one_blas_thread():
        return blas_threads()


@pytest.fixture(autouse=True)
def several_threads():
    with threadpool_limits(limits=2):
        yield


def test_one_blas_thread__holds_on_any_thread_after_any_other():
    before = blas_threads()
    for _ in range(2):
        assert set(limited()) == {1}
        assert set(on_a_thread(limited)) == {1}
        assert blas_threads() == before


def test_one_blas_thread__ends_on_another_thread_than_it_began_on():
    before = blas_threads()
    begun, ended = threading.Event(), threading.Event()

    def first():
        with one_blas_thread():
            begun.set()
            ended.wait()

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait()
    with one_blas_thread():
        ended.set()
        thread.join()
        assert set(blas_threads()) == {1}
    assert blas_threads() == before
