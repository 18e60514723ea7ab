"""Dask arrays whose chunks are not what the array announces."""

import dask
import dask.array
import numpy as np
import scipy.sparse

import streamsparse as ss
from catalogue.common import Bad, given

STRUCTURE, UNSUPPORTED, STORE = ss.BadStructureError, ss.UnsupportedInputError, ss.StoreError
SPARSE_META = scipy.sparse.csr_array((0, 0))


def chunk(values, *, meta=None, shape=(3, 4)):
    """A dask array of one chunk that turns out to be ``values``."""
    delayed = dask.delayed(lambda: values)()
    return lambda _: dask.array.from_delayed(delayed, shape, float, meta=meta)


def failing(error):
    def fail():
        raise error

    return lambda _: dask.array.from_delayed(dask.delayed(fail)(), (3, 4), float)


def unknown(_):
    x = dask.array.ones((4, 10), chunks=(4, 5))
    return x[:, x.sum(axis=0) > 0]


def second_chunk_fails(_):
    good = dask.array.ones((3, 4), chunks=(3, 4))
    return dask.array.concatenate([good, failing(RuntimeError("the disk is gone"))(None)], axis=1)


class Changing:
    """Other values every time it is called."""

    def __init__(self, values):
        self.values, self.calls = values, 0

    def __call__(self):
        self.calls += 1
        return self.values * self.calls


def changing(values, meta=None):
    def make(_):
        delayed = dask.delayed(Changing(values), pure=False)()
        return dask.array.from_delayed(delayed, values.shape, float, meta=meta)

    return make


class Growing(Changing):
    """One entry more every time it is called."""

    def __call__(self):
        self.calls += 1
        return scipy.sparse.csr_array(np.arange(12.0).reshape(3, 4) < self.calls + 2, dtype=float)


def growing(_):
    delayed = dask.delayed(Growing(None), pure=False)()
    return dask.array.from_delayed(delayed, (3, 4), float, meta=SPARSE_META)


DASK = {
    "unknown chunks": Bad(unknown, UNSUPPORTED, "compute_chunk_sizes"),
    "chunk of another shape": Bad(chunk(np.ones((3, 5))), STRUCTURE, r"shape \(3, 5\).*\(3, 4\)"),
    "chunk transposed": Bad(chunk(np.ones((4, 3))), STRUCTURE, r"shape \(4, 3\)"),
    "chunk of 1 dimension": Bad(chunk(np.ones(12)), STRUCTURE, r"shape \(12,\)"),
    "chunk of another dtype": Bad(
        chunk(np.ones((3, 4), np.float32)), STRUCTURE, "float32.*float64"
    ),
    "chunk of objects": Bad(chunk(np.ones((3, 4), object)), STRUCTURE, "object.*float64"),
    "chunk is None": Bad(chunk(None), STRUCTURE, "NoneType"),
    "chunk is a list": Bad(chunk([[1.0] * 4] * 3), STRUCTURE, "is a list"),
    "chunk is masked": Bad(chunk(np.ma.ones((3, 4))), UNSUPPORTED, "MaskedArray"),
    "chunk is sparse": Bad(
        chunk(scipy.sparse.csr_array(np.ones((3, 4)))), UNSUPPORTED, "csr_array"
    ),
    "chunk is dense, not sparse": Bad(
        chunk(np.ones((3, 4)), meta=SPARSE_META), UNSUPPORTED, "not the scipy.sparse matrix"
    ),
    "sparse chunk of another shape": Bad(
        chunk(scipy.sparse.csr_array(np.ones((3, 5))), meta=SPARSE_META),
        STRUCTURE,
        r"shape \(3, 5\)",
    ),
    "sparse chunk of another dtype": Bad(
        chunk(scipy.sparse.csr_array(np.ones((3, 4), int)), meta=SPARSE_META), STRUCTURE, "int64"
    ),
    "sparse chunk with duplicates": Bad(
        chunk(
            scipy.sparse.coo_array((np.ones(2), ([1, 1], [2, 2])), shape=(3, 4)), meta=SPARSE_META
        ),
        STRUCTURE,
        "occur twice",
    ),
    "computing raises": Bad(
        failing(RuntimeError("boom")), STORE, "with dask failed: RuntimeError: boom"
    ),
    "computing finds no file": Bad(
        failing(FileNotFoundError("x.tif")), STORE, "FileNotFoundError: x.tif"
    ),
    "computing raises in two lines": Bad(failing(ValueError("a\nb")), STORE, "ValueError: a"),
    "the second chunk raises": Bad(second_chunk_fails, STORE, "the disk is gone"),
    "counting raises": Bad(
        lambda _: dask.array.from_delayed(
            dask.delayed(lambda: 1 / 0)(), (3, 4), float, meta=SPARSE_META
        ),
        STORE,
        "ZeroDivisionError",
    ),
    "values change between passes": Bad(
        changing(np.arange(12.0).reshape(3, 4)),
        ss.SourceChangedError,
        "changed|differ",
        given(method="sample", m=3),
    ),
    "entries appear after counting": Bad(growing, STRUCTURE, "when it was counted and has"),
}
