"""Tensors of .safetensors files: as written by hand, and by the format's own library."""

import json

import numpy as np
import pytest

from streamsparse.errors import (
    CorruptChunkError,
    ParameterError,
    SourceNotFoundError,
    UnsupportedInputError,
)
from streamsparse.sources import flat
from streamsparse.sources.open import open_source

NAMES = {"f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "u2": "U16", "i1": "I8", "?": "BOOL"}


def written(path, tensors, *, change=None):
    """Write {name: (dtype name, array)}; ``change`` edits the header."""
    header, at = {"__metadata__": {"made": "by hand"}}, 0
    for name, (dtype, values) in tensors.items():
        stop = at + values.nbytes
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [at, stop]}
        at = stop
    if change is not None:
        change(header)
    text = json.dumps(header).encode()
    data = b"".join(np.ascontiguousarray(values).tobytes() for _, values in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def opened(path, feature_axis=1):
    return open_source(path, feature_axis=feature_axis, missing="error")


@pytest.mark.parametrize("dtype", NAMES)
@pytest.mark.parametrize("feature_axis", [0, 1])
def test_safetensors__blocks_equal_the_tensor(check, matrix, tmp_path, dtype, feature_axis):
    values = matrix(dtype, shape=(7, 3001))
    other = ("F32", np.zeros(5, np.float32))
    path = written(tmp_path / "m.safetensors", {"bias": other, "w": (NAMES[dtype], values)})
    X = values if feature_axis == 1 else values.T
    for given in (path, str(path), f"{path}:w"):
        check(opened(given, feature_axis), X, budgets=(7 * 4096 * 8, 10**7), heights=(900, 10**9))


@pytest.mark.parametrize("feature_axis", [0, 1])
def test_safetensors__bfloat16_is_the_upper_half_of_float32(
    check, matrix, tmp_path, monkeypatch, feature_axis
):
    monkeypatch.setattr(flat, "PART_BYTES", 640)
    words = matrix("f4", shape=(9, 700)).view(np.uint32) & np.uint32(0xFFFF0000)
    halves = (words >> np.uint32(16)).astype("<u2")
    path = written(tmp_path / "m.safetensors", {"w": ("BF16", halves)})
    X = words.view(np.float32)
    source = opened(path, feature_axis)
    assert source.dtype == np.float32
    assert source.stored_bytes == halves.nbytes
    check(source, X if feature_axis == 1 else X.T, budgets=(10**5,))


def test_safetensors__are_those_of_the_formats_own_library(check, matrix, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    values = {"keys": matrix("f4", shape=(6, 50)), "values": matrix("f2", shape=(6, 50))}
    path = tmp_path / "m.safetensors"
    numpy.save_file(values, path)
    for name, X in values.items():
        check(opened(f"{path}:{name}"), X, budgets=(10**6,))


def test_safetensors__must_be_named_where_there_are_several(matrix, tmp_path):
    tensors = {name: ("F32", matrix("f4")) for name in ("w2", "w1")}
    path = written(tmp_path / "m.safetensors", tensors)
    with pytest.raises(UnsupportedInputError, match=r"2 tensors.*m.safetensors:NAME \(w1, w2\)"):
        opened(path)
    with pytest.raises(UnsupportedInputError, match=r"no tensor 'w3'; it has w1, w2"):
        opened(f"{path}:w3")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda h: h["w"].update(dtype="F8_E5M2"), UnsupportedInputError, "F8_E5M2.*BF16"),
        (lambda h: h["w"].update(data_offsets=[0, 8]), CorruptChunkError, "8 bytes for a tensor"),
        (lambda h: h["w"].update(shape=[-1, 50]), CorruptChunkError, "no valid safetensors"),
        (lambda h: h["w"].update(shape="wide"), CorruptChunkError, "no valid safetensors"),
        (lambda h: h["w"].pop("data_offsets"), CorruptChunkError, "data_offsets"),
        (lambda h: h.update(w=7), CorruptChunkError, "no valid safetensors"),
        (lambda h: h["w"].update(shape=[300]), UnsupportedInputError, "1 dimensions"),
    ],
)
def test_safetensors__with_a_header_that_cannot_be_true_are_refused(
    tmp_path, change, error, message
):
    values = ("F32", np.ones((6, 50), np.float32))
    path = written(tmp_path / "m.safetensors", {"w": values}, change=change)
    with pytest.raises(error, match=message):
        opened(f"{path}:w")


def test_safetensors__that_are_cut_short_or_gone_are_refused(tmp_path):
    path = written(tmp_path / "m.safetensors", {"w": ("F32", np.ones((6, 50), np.float32))})
    whole = path.read_bytes()
    for size in (0, 7, 8, 40, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptChunkError, match=r"no valid safetensors header|is truncated"):
            opened(path)
    path.unlink()
    for given in (path, f"{path}:w"):
        with pytest.raises(SourceNotFoundError, match="nothing at"):
            opened(given)


def test_safetensors__take_a_feature_axis_of_0_or_1(tmp_path):
    path = written(tmp_path / "m.safetensors", {"w": ("F32", np.ones((6, 50), np.float32))})
    with pytest.raises(ParameterError, match="feature_axis"):
        opened(path, feature_axis=2)
