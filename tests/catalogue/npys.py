"""Files in NumPy's format: truncated, forged, or something else altogether."""

import os
import struct

import numpy as np

import streamsparse as ss
from catalogue.common import Bad, given

CORRUPT, UNSUPPORTED = ss.CorruptChunkError, ss.UnsupportedInputError


def written(content):
    def make(tmp_path):
        (tmp_path / "x.npy").write_bytes(content)
        return tmp_path / "x.npy"

    return make


def with_header(text, *, version=(1, 0), data=b"\0" * 64, length=None):
    """A file whose header is ``text``, and claims to be ``length`` long."""
    body = text.encode("latin1") + b"\n"
    count = len(body) if length is None else length
    packed = struct.pack("<H" if version == (1, 0) else "<I", count)
    return written(b"\x93NUMPY" + bytes(version) + packed + body + data)


def of(**changes):
    fields = {"descr": "<f8", "fortran_order": False, "shape": (2, 4)} | changes
    return repr(fields)


def truncated(count):
    def make(tmp_path):
        np.save(tmp_path / "x.npy", np.ones((4, 100)))
        path = tmp_path / "x.npy"
        path.write_bytes(path.read_bytes()[:count])
        return path

    return make


def objects(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[{}, 1]], dtype=object), allow_pickle=True)
    return tmp_path / "x.npy"


def pipe(tmp_path):
    # Opening it for reading would wait for a writer for ever.
    os.mkfifo(tmp_path / "x.npy")
    return tmp_path / "x.npy"


def folder(tmp_path):
    (tmp_path / "x.npy").mkdir()
    return tmp_path / "x.npy"


def archive(tmp_path):
    np.savez(tmp_path / "x.npz", X=np.ones((2, 3)))
    return tmp_path / "x.npz"


NPY = {
    "empty file": Bad(written(b""), CORRUPT, "no valid npy header"),
    "wrong magic": Bad(written(b"\x93NUMPX" + b"\0" * 100), CORRUPT, "no valid npy header.*magic"),
    "text": Bad(written(b"hello, world\n" * 9), CORRUPT, "no valid npy header"),
    "zeros": Bad(written(b"\0" * 4096), CORRUPT, "no valid npy header"),
    "the magic alone": Bad(truncated(6), CORRUPT, "no valid npy header"),
    "cut within the header": Bad(truncated(40), CORRUPT, "no valid npy header"),
    "cut at the first value": Bad(truncated(128), CORRUPT, "truncated.* the file has 128"),
    "one value short": Bad(truncated(-8), CORRUPT, "truncated: its header announces"),
    "one byte short": Bad(truncated(-1), CORRUPT, "truncated: its header announces"),
    "forged shape": Bad(with_header(of(shape=(4, 10**15))), CORRUPT, "truncated"),
    "shape beyond 2^64": Bad(with_header(of(shape=(2**40, 2**40))), CORRUPT, "truncated"),
    "negative shape": Bad(with_header(of(shape=(-2, 4))), UNSUPPORTED, r"shape \(-2, 4\)"),
    "shape of text": Bad(with_header(of(shape="24")), CORRUPT, "no valid npy header"),
    "shape of floats": Bad(with_header(of(shape=(2.0, 4))), CORRUPT, "no valid npy header"),
    "unknown dtype": Bad(with_header(of(descr="<q9")), CORRUPT, "no valid npy header"),
    "order of text": Bad(with_header(of(fortran_order="no")), CORRUPT, "no valid npy header"),
    "key missing": Bad(with_header("{'descr': '<f8'}"), CORRUPT, "no valid npy header"),
    "key too many": Bad(with_header(of(more=1)), CORRUPT, "no valid npy header"),
    "header is a list": Bad(with_header("[1, 2]"), CORRUPT, "no valid npy header"),
    "header is code": Bad(with_header("__import__('os').abort()"), CORRUPT, "no valid npy header"),
    "header is nested": Bad(with_header("(" * 5000), CORRUPT, "no valid npy header"),
    "header of 10 MB": Bad(
        with_header(of() + " " * 10**7, version=(2, 0)), CORRUPT, "no valid npy header"
    ),
    "header claims 4 GB": Bad(
        with_header(of(), version=(2, 0), length=2**32 - 1), CORRUPT, "no valid npy header"
    ),
    "unknown version": Bad(with_header(of(), version=(9, 9)), CORRUPT, "no valid npy header"),
    "pickled objects": Bad(objects, UNSUPPORTED, "object"),
    "a pipe": Bad(pipe, UNSUPPORTED, "not a regular file"),
    "a folder": Bad(folder, UNSUPPORTED, "neither a .npy file nor a zarr"),
    "an npz archive": Bad(archive, UNSUPPORTED, "x.npz"),
    "budget below a page of rows": Bad(
        truncated(None),
        ss.BudgetTooSmallError,
        "needs .* budget is .*; raise",
        given(memory="1 MiB"),
    ),
}
