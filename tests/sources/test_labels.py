"""Names of rows and columns: one form, through JSON and back, or None."""

import json

import numpy as np
import pytest

from streamsparse.sources.labels import as_labels, digest_labels, pack_labels, unpack_labels


@pytest.mark.parametrize(
    "names",
    [
        np.array(["a", "bcd", ""]),
        np.array(["a", "bcd", ""], object),
        np.arange(3),
        np.array([2**63, 1], np.uint64),
        np.arange(3, dtype=">i4"),
        np.array([0.1, -0.0, 5e-324]),
        np.array([0.1], np.float32),
        np.array(["2020-02-29", "NaT"], "M8[s]"),
        np.array(["2020-02-29"], "M8[D]"),
        np.array(["2020-02-29"], "M8[ns]"),
        np.array([1, -5], "m8[ms]"),
    ],
)
def test_pack_labels__round_trip_through_json_keeps_values_and_kind(names):
    labels = as_labels(names)
    again = unpack_labels(json.loads(json.dumps(pack_labels(labels))))
    np.testing.assert_array_equal(again, labels)
    assert again.dtype == labels.dtype
    assert again.dtype.kind == ("U" if names.dtype == object else names.dtype.kind)


@pytest.mark.parametrize(
    "names", [[0.0, np.nan], [None], [b"a"], [1j], [["a"]], np.array(3), [True]]
)
def test_as_labels__is_none_for_what_is_no_name(names):
    assert as_labels(names) is None
    assert pack_labels(None) is unpack_labels(None) is None


def test_digest_labels__does_not_depend_on_pieces_and_tells_text_from_numbers():
    assert digest_labels([["a", "b"], ["c"]]) == digest_labels([["a"], ["b", "c"]])
    assert digest_labels([["1"]]) != digest_labels([[1]])
    assert digest_labels([["a", "b"]]) != digest_labels([["b", "a"]])
