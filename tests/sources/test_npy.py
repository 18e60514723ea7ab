import gc
import os
import pickle
import threading

import numpy as np
import pytest

from streamsparse.errors import (
    CorruptChunkError,
    SourceNotFoundError,
    StoreError,
    UnsupportedInputError,
)
from streamsparse.sources import flat
from streamsparse.sources.open import open_source


def opened(path, feature_axis=1):
    return open_source(path, feature_axis=feature_axis, missing="error")


@pytest.mark.parametrize("feature_axis", [0, 1])
@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8", ">u2", "i1", "i8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_source__blocks_equal_the_array(check, matrix, tmp_path, dtype, order, feature_axis):
    values = matrix(dtype, shape=(7, 5003))
    path = tmp_path / "x.npy"
    np.save(path, np.asarray(values, order=order))
    X = values if feature_axis == 1 else values.T
    source = opened(path, feature_axis)
    check(source, X, budgets=(7 * 4096 * 8, 10**7), heights=(900, 10**9))


def test_npy_source__float16_wider_than_its_buffer_is_read_in_parts(
    check, matrix, tmp_path, monkeypatch
):
    monkeypatch.setattr(flat, "PART_BYTES", 64)
    values = matrix("f2")
    np.save(tmp_path / "x.npy", values)
    check(opened(tmp_path / "x.npy"), values, budgets=(10**6,))


def test_npy_source__format_version_2_is_read(check, matrix, tmp_path):
    with (tmp_path / "x.npy").open("wb") as file:
        np.lib.format.write_array(file, matrix("f4"), version=(2, 0))
    check(opened(str(tmp_path / "x.npy")), matrix("f4"), budgets=(10**6,))


def test_npy_source__truncated_file_is_refused_with_both_numbers(matrix, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, matrix("f4"))
    size = path.stat().st_size
    os.truncate(path, size - 1)
    with pytest.raises(CorruptChunkError, match=rf"truncated.*{size:,}.*{size - 1:,}"):
        opened(path)


def test_npy_source__file_that_shrinks_after_opening_raises(matrix, tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, matrix("f4"))
    source = opened(path)
    os.truncate(path, 200)
    with pytest.raises(CorruptChunkError, match="cut short"):
        source.read((0, 11), (0, 29))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not npy at all, but long enough to hold a magic string",
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'\n",
        b"\x93NUMPY\x09\x00\x10\x00{'descr': '<f4'\n",
    ],
)
def test_npy_source__bad_header_is_refused(tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(CorruptChunkError, match="header"):
        opened(tmp_path / "x.npy")


def test_npy_source__forged_shape_is_refused_before_any_allocation(tmp_path):
    with (tmp_path / "x.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(CorruptChunkError, match="truncated"):
        opened(tmp_path / "x.npy")


def test_npy_source__objects_are_refused_and_never_unpickled(tmp_path):
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self):
            return (open, (str(canary), "w"))

    values = np.empty((2, 2), object)
    values[:] = Bomb()
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    with pytest.raises(UnsupportedInputError, match="object"):
        opened(tmp_path / "x.npy")
    assert not canary.exists()


def test_npy_source__structured_dtypes_and_vectors_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 2), [("a", "f4")]))
    with pytest.raises(UnsupportedInputError, match="dtype"):
        opened(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", np.zeros(4))
    with pytest.raises(UnsupportedInputError, match="1 dimensions"):
        opened(tmp_path / "y.npy")


def test_npy_source__missing_path_is_said_to_be_missing(tmp_path):
    with pytest.raises(SourceNotFoundError, match="nothing at"):
        opened(tmp_path / "none.npy")


def test_npy_source__threads_share_one_descriptor_that_is_closed(matrix, tmp_path):
    np.save(tmp_path / "x.npy", matrix("f8"))
    source = opened(tmp_path / "x.npy")
    blocks = [None] * 8

    def read(at, source=source):
        blocks[at] = source.read((0, 11), (at, at + 4)).view()

    threads = [threading.Thread(target=read, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at, block in enumerate(blocks):
        np.testing.assert_array_equal(block, matrix("f8")[:, at : at + 4])
    descriptor = source._descriptor
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.read((0, 11), (0, 4)).view(), blocks[0])
    del source, read, thread, threads
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_read__a_failure_that_passes_is_tried_again(monkeypatch, tmp_path):
    X = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "x.npy", X)
    source = open_source(tmp_path / "x.npy", feature_axis=1, missing="error")
    read, failures = os.preadv, [OSError(5, "I/O error")] * 3

    def flaky(*arguments):
        if failures:
            raise failures.pop()
        # A short read is no error: the rest is asked for.
        descriptor, (view,), position = arguments
        return read(descriptor, [view[: max(1, len(view) // 2)]], position)

    monkeypatch.setattr(os, "preadv", flaky)
    np.testing.assert_array_equal(source.read((0, 3), (0, 4)).view(), X)
    failures.extend([OSError(5, "I/O error")] * 4)
    with pytest.raises(StoreError, match=r"reading .*x\.npy failed 4 times in a row.*I/O error"):
        source.read((0, 3), (0, 4))


def test_read__a_file_that_is_gone_before_the_first_read(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    source = open_source(tmp_path / "x.npy", feature_axis=1, missing="error")
    (tmp_path / "x.npy").unlink()
    with pytest.raises(SourceNotFoundError, match="any more"):
        source.read((0, 2), (0, 2))
