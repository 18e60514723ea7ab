"""Objects in memory, and stores, of the wrong shape, of the wrong dtype, with the wrong values."""

import dask.array
import numpy as np
import scipy.sparse

import streamsparse as ss
from catalogue.common import Bad, given, group, zarr_array

UNSUPPORTED, NONFINITE = ss.UnsupportedInputError, ss.NonFiniteError
WIDE = (5, 200)


def saved(values):
    def make(tmp_path):
        np.save(tmp_path / "x.npy", values)
        return tmp_path / "x.npy"

    return make


def stored(values, **options):
    return lambda tmp_path: zarr_array(tmp_path, values, **options)


def held(value):
    return lambda _: value


def opened(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    return (tmp_path / "x").read_bytes()


def nan_at(column, value=np.nan, dtype=np.float64):
    X = np.ones(WIDE, dtype)
    X[3, column] = value
    return X


SHAPE = {
    "a list": Bad(held([[1, 2]]), UNSUPPORTED, "list"),
    "a tuple of matrices": Bad(held((np.ones((2, 3)),) * 2), UNSUPPORTED, "tuple"),
    "a dict": Bad(held({}), UNSUPPORTED, "dict"),
    "a number": Bad(held(7), UNSUPPORTED, "int"),
    "None": Bad(held(None), UNSUPPORTED, "None"),
    "bytes": Bad(opened, UNSUPPORTED, "bytes"),
    "a generator": Bad(lambda _: (x for x in [1]), UNSUPPORTED, "generator"),
    "a class": Bad(held(np.ndarray), UNSUPPORTED, "type"),
    "0-d": Bad(held(np.array(1.0)), UNSUPPORTED, "0 dimensions"),
    "1-d": Bad(held(np.ones(3)), UNSUPPORTED, "1 dimension"),
    "3-d": Bad(held(np.ones((2, 2, 2))), UNSUPPORTED, "3 dimensions"),
    "no rows": Bad(held(np.ones((0, 4))), UNSUPPORTED, "empty"),
    "no columns": Bad(held(np.ones((4, 0))), UNSUPPORTED, "empty"),
    "no columns, transposed": Bad(
        held(np.ones((0, 4))), UNSUPPORTED, "empty", given(feature_axis=0)
    ),
    "0-d zarr": Bad(stored(np.array(1.0)), UNSUPPORTED, "0 dimensions"),
    "1-d zarr": Bad(stored(np.ones(3)), UNSUPPORTED, "1 dimension"),
    "3-d zarr": Bad(stored(np.ones((3, 3, 3))), UNSUPPORTED, "3 dimensions"),
    "zarr without rows": Bad(stored(np.ones((0, 3))), UNSUPPORTED, "empty"),
    "zarr without columns": Bad(stored(np.ones((3, 0))), UNSUPPORTED, "empty"),
    "0-d npy": Bad(saved(np.array(1.0)), UNSUPPORTED, "0 dimensions"),
    "1-d npy": Bad(saved(np.ones(3)), UNSUPPORTED, "1 dimension"),
    "3-d npy": Bad(saved(np.ones((2, 2, 2))), UNSUPPORTED, "3 dimensions"),
    "npy without columns": Bad(saved(np.ones((3, 0))), UNSUPPORTED, "empty"),
    "1-d sparse": Bad(held(scipy.sparse.coo_array(np.ones(3))), UNSUPPORTED, "1 dimension"),
    "sparse without rows": Bad(held(scipy.sparse.csr_array((0, 4))), UNSUPPORTED, "empty"),
    "sparse without columns": Bad(held(scipy.sparse.csc_array((4, 0))), UNSUPPORTED, "empty"),
    "1-d dask": Bad(held(dask.array.ones(3)), UNSUPPORTED, "1 dimension"),
    "3-d dask": Bad(held(dask.array.ones((2, 2, 2))), UNSUPPORTED, "3 dimensions"),
    "dask without rows": Bad(held(dask.array.ones((0, 3))), UNSUPPORTED, "empty"),
}

STRUCTURED = np.zeros((2, 2), [("a", "f4"), ("b", "f4")])
DTYPES = {
    "complex64": np.ones((2, 3), np.complex64),
    "complex128": np.ones((2, 3), np.complex128),
    "text": np.array([["a", "b"]]),
    "byte strings": np.array([[b"a", b"b"]]),
    "dates": np.zeros((2, 2), "M8[s]"),
    "durations": np.zeros((2, 2), "m8[s]"),
    "void": np.zeros((2, 2), "V8"),
    "structured": STRUCTURED,
}
# zarr 3.1 warns that it may change how it writes these; that is not ours to test.
NOT_IN_ZARR = {"void", "text", "byte strings", "structured"}
IN_MEMORY = {"objects": np.array([[None]]), "long double": np.ones((2, 2), "g")}

DTYPE = {
    **{
        f"{name}": Bad(held(values), UNSUPPORTED, "has dtype .*; X must be")
        for name, values in (DTYPES | IN_MEMORY).items()
    },
    **{
        f"{name} in npy": Bad(saved(values), UNSUPPORTED, "has dtype .*; X must be")
        for name, values in DTYPES.items()
    },
    **{
        f"{name} in zarr": Bad(stored(values), UNSUPPORTED, "has dtype .*; X must be")
        for name, values in DTYPES.items()
        if name not in NOT_IN_ZARR
    },
    "complex, big-endian": Bad(held(np.ones((2, 3), ">c16")), UNSUPPORTED, ">c16|complex"),
    "masked": Bad(held(np.ma.ones((2, 2))), UNSUPPORTED, "masked"),
    "sparse complex": Bad(
        held(scipy.sparse.csr_array(np.ones((2, 2), complex))), UNSUPPORTED, "complex128"
    ),
    "sparse long double": Bad(
        held(scipy.sparse.csc_array(np.ones((2, 2), "g"))), UNSUPPORTED, "float128"
    ),
    "group of complex data": Bad(group(data=np.ones(12, complex)), UNSUPPORTED, "complex128"),
    "group of dates": Bad(group(data=np.zeros(12, "M8[s]")), UNSUPPORTED, "datetime64"),
    "dask complex": Bad(held(dask.array.ones((2, 3), dtype=complex)), UNSUPPORTED, "complex"),
    "dask objects": Bad(
        held(dask.array.from_array(np.array([[None, 1]], object), chunks=1)), UNSUPPORTED, "object"
    ),
}

VALUES = {
    "nothing but a common value, centred": Bad(
        held(1e8 + nan_at(0, 1.001)),
        ss.RoundingError,
        "centring leaves too little of X: .*; subtract from each column",
        given(preprocess="center"),
    ),
    "squares that vanish": Bad(
        held(np.full(WIDE, 1e-170)), ss.RoundingError, "vanish in float64: .*; scale X up"
    ),
    "a missing value that float16 has not": Bad(
        held(np.ones(WIDE, np.float16)),
        ss.ParameterError,
        "missing_value=1e-09 is no value of array: float16 has 0",
        given(preprocess=ss.Preprocess(impute="mean", missing_value=1e-9)),
    ),
    "NaN in the first column": Bad(held(nan_at(0)), NONFINITE, "nan at row 3, column 0"),
    "NaN in the last column": Bad(held(nan_at(199)), NONFINITE, "nan at row 3, column 199"),
    "infinity": Bad(held(nan_at(64, np.inf)), NONFINITE, "inf at row 3, column 64"),
    "minus infinity": Bad(held(nan_at(64, -np.inf)), NONFINITE, "-inf at row 3, column 64"),
    "NaN among float32": Bad(
        held(nan_at(64, dtype=np.float32)), NONFINITE, "nan at row 3, column 64"
    ),
    "infinity among float16": Bad(
        held(nan_at(64, np.inf, np.float16)), NONFINITE, "inf at row 3, column 64"
    ),
    "NaN, big-endian": Bad(held(nan_at(64).astype(">f8")), NONFINITE, "nan at row 3, column 64"),
    "NaN, F order": Bad(held(np.asfortranarray(nan_at(64))), NONFINITE, "nan at row 3, column 64"),
    "NaN, transposed": Bad(
        held(nan_at(64).T), NONFINITE, "nan at row 3, column 64", given(feature_axis=0)
    ),
    "NaN in npy": Bad(saved(nan_at(64)), NONFINITE, "nan at row 3, column 64"),
    "infinity in zarr": Bad(stored(nan_at(64, np.inf)), NONFINITE, "inf at row 3, column 64"),
    "NaN in dask": Bad(
        lambda _: dask.array.from_array(nan_at(64), chunks=(2, 50)),
        NONFINITE,
        "nan at row 3, column 64",
    ),
    "NaN in CSC": Bad(
        lambda _: scipy.sparse.csc_array(nan_at(64)), NONFINITE, "nan at row 3, column 64"
    ),
    "infinity in CSR": Bad(
        lambda _: scipy.sparse.csr_array(nan_at(64, np.inf)), NONFINITE, "inf at row 3, column 64"
    ),
    "NaN in a group": Bad(group(data=[np.nan, *range(1, 12)]), NONFINITE, "nan at row 0, column 0"),
    "squares overflow": Bad(held(np.full((2, 3), 1e200)), NONFINITE, "overflow"),
    "one square overflows": Bad(held(nan_at(64, 1e300)), NONFINITE, "overflow"),
    "squares overflow in CSC": Bad(
        lambda _: scipy.sparse.csc_array(nan_at(64, -1e300)), NONFINITE, "overflow"
    ),
    "NaN stands for a missing chunk": Bad(
        lambda t: without_a_chunk(t, fill_value=np.nan),
        NONFINITE,
        "nan at row 3, column 6",
        given(missing="fill"),
    ),
}


def without_a_chunk(tmp_path, **options):
    path = zarr_array(tmp_path, np.ones((6, 12)), **options)
    (path / "c" / "1" / "2").unlink()
    return path
