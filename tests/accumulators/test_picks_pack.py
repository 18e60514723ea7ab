"""What is kept of picks costs about what they hold."""

import tracemalloc

import numpy as np
import pytest

from streamsparse.accumulators.picks import Batch, Picking, Picks
from streamsparse.storing.records import read_record, write_record


def picks_of(count, *, is_sparse):
    picks = Picks()
    for k in range(count):
        size = 1 + k % 2
        values = np.full((size, 5), k, np.float32)
        if is_sparse:
            values = (np.arange(size + 1), np.full(size, k % 7, np.int32), np.full(size, k + 0.5))
        columns = np.arange(9 * k, 9 * k + size)
        picks.batches.append(Batch(columns, np.full(size, k + 0.1), np.full(size, k + 0.2), values))
    return picks


@pytest.mark.parametrize("count", [0, 1, 50])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_pack__batches_come_back_as_they_were(tmp_path, count, is_sparse):
    picks, picking = picks_of(count, is_sparse=is_sparse), Picking()
    write_record(tmp_path / "r", {}, picking.pack(picks), check=lambda: None)
    back = picking.unpack(read_record(tmp_path / "r"))
    assert len(back.batches) == count
    for a, b in zip(picks.batches, back.batches, strict=True):
        for name in ("columns", "scores", "keys"):
            x, y = getattr(a, name), getattr(b, name)
            assert (x.dtype, x.tobytes()) == (y.dtype, y.tobytes())
        assert isinstance(b.values, tuple) == is_sparse
        for x, y in zip(a.values, b.values, strict=True):
            assert (x.dtype, x.tobytes()) == (y.dtype, y.tobytes())


@pytest.mark.parametrize("is_sparse", [False, True])
def test_pack__takes_little_memory_where_every_pick_is_a_batch(tmp_path, is_sparse):
    picks, picking = picks_of(5000, is_sparse=is_sparse), Picking()
    tracemalloc.start()
    try:
        write_record(tmp_path / "r", {}, picking.pack(picks), check=lambda: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # And the buffer that is read back into, 16 MiB.
    assert peak - (16 << 20) < 5000 * (400 if is_sparse else 1600)
