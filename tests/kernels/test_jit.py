"""The cache of compiled kernels, shared by processes."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from streamsparse.kernels.jit import compiled

pytestmark = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled"
)


@pytest.fixture
def double(tmp_path, monkeypatch):
    """Return what makes dispatchers of one function, as several processes have them."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    path = folder / "doubling.py"
    path.write_text("def double(x):\n    return x + x\n")
    monkeypatch.syspath_prepend(folder)
    import doubling

    def make(*, shared=True):
        made = compiled(doubling.double)
        if not shared:
            # What numba does without us.
            del made._cache.load_overload, made._cache.save_overload
        return made

    yield make
    del sys.modules["doubling"]


def lock_in(folder):
    return folder / "kernels" / "__pycache__" / "doubling.double.lock"


def loaded(make, dtype, *, shared=True):
    """Return (what a fresh dispatcher computes, whether it was loaded)."""
    fresh = make(shared=shared)
    with np.errstate(all="ignore"):
        value = fresh(np.full(3, 21, dtype))
    (signature,) = fresh.signatures
    return value, fresh.stats.cache_hits.get(signature, 0) == 1


def race(make, first, second, *, shared):
    """Have two save at once: one has read the index when the other begins, and then waits a bit."""
    has_read, may_write = threading.Event(), threading.Event()

    def prepared(dtype):
        made = make(shared=shared)
        # Numba compiles for one thread at a time, so nothing is saved yet.
        made._cache.disable()
        made(np.full(3, 21, dtype))
        made._cache.enable()
        ((signature, result),) = made.overloads.items()
        return made._cache, (signature, result)

    (slow, arguments), (fast, others) = prepared(first), prepared(second)
    load_index = slow._cache_file._load_index

    def load_slowly():
        index = load_index()
        has_read.set()
        may_write.wait(0.5)
        return index

    slow._cache_file._load_index = load_slowly
    slower = threading.Thread(target=slow.save_overload, args=arguments)
    slower.start()
    assert has_read.wait(30)
    fast.save_overload(*others)
    may_write.set()
    slower.join()


def test_compiled__keeps_both_of_two_that_are_saved_at_once(double):
    race(double, np.int64, np.float64, shared=True)
    for dtype in (np.int64, np.float64):
        value, was_loaded = loaded(double, dtype)
        assert was_loaded
        assert value.dtype == dtype
        assert (value == 42).all()


def test_numba__loses_one_of_two_that_are_saved_at_once(double):
    # If this ever fails, the lock has nothing left to do.
    race(double, np.int64, np.float64, shared=False)
    found = [loaded(double, dtype, shared=False) for dtype in (np.int64, np.float64)]
    assert [was_loaded for _, was_loaded in found] == [True, False]


def test_compiled__empties_an_index_that_was_not_finished(double, tmp_path):
    for dtype in (np.int64, np.float64):
        double()(np.ones(3, dtype))
    lock = lock_in(tmp_path)
    assert lock.read_bytes() == b""
    assert loaded(double, np.float64)[1]
    # As a process leaves it that was killed while it wrote.
    lock.write_bytes(b"writing")
    value, was_loaded = loaded(double, np.float64)
    assert not was_loaded
    assert value[0] == 42
    assert lock.read_bytes() == b""
    assert loaded(double, np.float64)[1]
    # Of others it is not known whether their data is what the index says.
    assert not loaded(double, np.int64)[1]


def test_compiled__does_without_where_nothing_can_be_locked(double, tmp_path):
    lock = lock_in(tmp_path)
    lock.parent.mkdir(exist_ok=True)
    lock.mkdir()
    for _ in range(2):
        value, was_loaded = loaded(double, np.int32)
        assert not was_loaded
        assert value[0] == 42
    assert not list((tmp_path / "kernels" / "__pycache__").glob("*.nbi"))


@pytest.mark.slow
def test_kernels__may_be_compiled_by_six_processes_at_once(tmp_path):
    code = textwrap.dedent(
        """
        import sys
        import numpy as np
        import streamsparse as ss
        kind = int(sys.argv[1])
        X = np.random.default_rng(0).integers(-9, 9, (20, 3000))
        for turn in range(3):
            dtype = ["float32", "float64", "int16"][(kind + turn) % 3]
            Y = ss.sparsify(X.astype(dtype), "sketch", m=16, s=4, progress=False).Y
            print(float(np.abs(Y).sum()))
        """
    )
    # A cache of their own, empty at first: then once more, all from the cache.
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    said = set()
    for _ in range(2):
        running = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(kind)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for kind in range(6)
        ]
        for process in running:
            out, err = process.communicate()
            assert process.returncode == 0, err
            said |= set(out.split())
    assert len(said) == 1
    assert all(path.stat().st_size == 0 for path in tmp_path.rglob("*.lock"))
