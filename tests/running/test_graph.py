"""How passes are cut into tasks: how much each of them does, and what dask calls them."""

import pytest
from dask.utils import key_split

from streamsparse.running.graph import _key, spans_per_task
from streamsparse.running.worker import Lanes

MIB = 1 << 20


@pytest.mark.parametrize(
    ("spans", "span_bytes", "partial_bytes", "lanes", "expected"),
    [
        # Much work in a span.
        (4096, 128 * MIB, MIB, Lanes(2, None), 1),
        # Little: as many as are together little, and leave every lane several tasks.
        (4096, 4 * MIB, 1, Lanes(2, None), 16),
        (4096, MIB // 8, 1, Lanes(2, None), 256),
        (4096, MIB // 8, 1, Lanes(64, None), 16),
        (4096, MIB // 8, 1, Lanes(65, None), 1),
        # Partial sums that are much for a worker, unless lanes would be idle.
        (62, 128 * MIB, 13 * MIB, Lanes(2, 512 * MIB), 16),
        (62, 128 * MIB, 13 * MIB, Lanes(2, 2048 * MIB), 1),
        (20, 128 * MIB, 13 * MIB, Lanes(2, 512 * MIB), 1),
        (62, 128 * MIB, 13 * MIB, Lanes(8, 512 * MIB), 1),
    ],
)
def test_spans_per_task__follows_work_memory_and_lanes(
    spans, span_bytes, partial_bytes, lanes, expected
):
    found = spans_per_task(
        spans=spans, span_bytes=span_bytes, partial_bytes=partial_bytes, lanes=lanes
    )
    assert found == expected


def test_keys__begin_with_their_kind_so_that_dask_groups_by_it():
    key = _key("0123456789abcdef-band-0", "span-16-32")
    assert key == "streamsparse-span-0123456789abcdef-band-0-16-32"
    assert key_split(key) == "streamsparse-span"
    assert key_split(_key("0123456789abcdef-band-0", "work")) == "streamsparse-work"
