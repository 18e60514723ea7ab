import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsparse.errors import RunInterrupted
from streamsparse.storing import records
from streamsparse.storing.records import DamagedRecordError, read_facts, read_record, write_record


def go_on():
    """Nothing asks the writing to end."""


def same(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    return type(a) is type(b) and a == b


ARRAYS = st.builds(
    lambda dtype, shape, start: (
        (np.arange(start, start + np.prod(shape)) % 100).reshape(shape).astype(dtype)
    ),
    st.sampled_from(["<f8", "<f4", "u8", "i4", "u1", ">i2", "?"]),
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    st.integers(0, 50),
)
PORTABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@given(body=PORTABLE)
def test_record__comes_back_bit_by_bit(tmp_path_factory, body):
    path = tmp_path_factory.mktemp("records") / "record"
    write_record(path, {"name": [1, "x"]}, body, check=go_on)
    assert same(body, read_record(path))
    assert read_facts(path) == {"name": [1, "x"]}


def test_record__of_large_arrays_is_written_in_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_STEP_BYTES", 1000)
    monkeypatch.setattr(records, "_JOINED_BYTES", 300)
    body = [np.arange(500.0), np.arange(3), np.asfortranarray(np.arange(600.0).reshape(20, 30))]
    write_record(tmp_path / "record", None, body, check=go_on)
    assert same(body, read_record(tmp_path / "record"))


@pytest.mark.parametrize("change", ["flip", "cut", "append"])
def test_record__any_changed_byte_and_any_other_length_is_refused(tmp_path, change):
    path = tmp_path / "record"
    write_record(path, {"a": 1}, [np.arange(5.0), {"b": 2}], check=go_on)
    whole = path.read_bytes()
    for k in range(len(whole)):
        damaged = {
            "flip": whole[:k] + bytes([whole[k] ^ 4]) + whole[k + 1 :],
            "cut": whole[:k],
            "append": whole + bytes(k + 1),
        }[change]
        path.write_bytes(damaged)
        with pytest.raises(DamagedRecordError):
            read_record(path)


def test_record__a_forged_length_is_not_believed(tmp_path):
    path = tmp_path / "record"
    path.write_bytes(records._MAGIC + (1 << 62).to_bytes(8, "little") + b"{}")
    with pytest.raises(DamagedRecordError, match="no record"):
        read_facts(path)


def test_write_record__that_is_ended_leaves_the_older_one(tmp_path):
    path = tmp_path / "record"
    write_record(path, None, "old", check=go_on)

    def end():
        raise RunInterrupted(2)

    with pytest.raises(RunInterrupted):
        write_record(path, None, "new", check=end)
    assert read_record(path) == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["record"]


def test_write_record__reads_back_what_it_wrote(tmp_path, monkeypatch):
    real = records.PositionedFile.write

    def flipping(self, values, position):
        real(self, values ^ 1 if position == 0 else values, position)

    monkeypatch.setattr(records.PositionedFile, "write", flipping)
    with pytest.raises(records.StoreError, match="other bytes than were written"):
        write_record(tmp_path / "record", None, "new", check=go_on)
    assert list(tmp_path.iterdir()) == []
