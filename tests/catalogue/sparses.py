"""Sparse matrices whose arrays contradict each other, in memory and in AnnData's encoding."""

import dask.array
import numpy as np
import scipy.sparse
import zarr

import streamsparse as ss
from catalogue.common import Bad, csc, edit, given, group

BAD, UNSUPPORTED = ss.BadStructureError, ss.UnsupportedInputError
WRAPPED = -(2**31) + 12


def broken(make=csc, **changes):
    """A scipy matrix whose arrays were replaced behind its back."""

    def build(_):
        X = make()
        for name, values in changes.items():
            setattr(X, name, np.asarray(values))
        return X

    return build


def csr():
    return csc().tocsr()


def coo(rows, columns):
    values = np.ones(len(rows))
    return lambda _: scipy.sparse.coo_array((values, (rows, columns)), shape=(3, 4))


def tall_csr_called_csc(tmp_path):
    return group(attributes={"encoding-type": "csr_matrix"})(tmp_path)


def h5sparse(tmp_path):
    path = group(without=("encoding-type", "encoding-version", "shape"))(tmp_path)
    legacy = {"h5sparse_format": "csc", "h5sparse_shape": [3, 4]}
    edit(path / "zarr.json", lambda document: document.update(attributes=legacy))
    return path


def group_for_array(tmp_path):
    path = group(without=("data",))(tmp_path)
    zarr.open_group(path).create_group("data")
    return path


def two_dimensional(tmp_path):
    return group(data=np.ones((3, 4)))(tmp_path)


def pointers_replaced(tmp_path):
    """Chunk of the pointers lost: zeros at the end, where 12 should be."""
    path = group()(tmp_path)
    (path / "indptr" / "c" / "0").unlink()
    return path


def dask_of(**changes):
    return lambda t: dask.array.from_delayed(
        dask.delayed(broken(**changes))(None), (3, 4), float, meta=scipy.sparse.csc_array((0, 0))
    )


def shape(value):
    return group(attributes={"shape": value})


# (arrays, what the message says), the same for matrices in memory and for groups of chunks.
ARRAYS = {
    "indptr does not begin at 0": ({"indptr": [1, 3, 6, 9, 12]}, "indptr .* starts at 1, not at 0"),
    "indptr begins below 0": ({"indptr": [-3, 3, 6, 9, 12]}, "indptr .* starts at -3"),
    "indptr ends early": (
        {"indptr": [0, 3, 6, 9, 11]},
        "indptr .* ends at 11 but there are 12 stored entries",
    ),
    "indptr ends late": (
        {"indptr": [0, 3, 6, 9, 13]},
        "indptr .* ends at 13 but there are 12 stored entries",
    ),
    "indptr decreases": ({"indptr": [0, 6, 3, 9, 12]}, "indptr .* wrong at column 1: it reaches 3"),
    "indptr overshoots": ({"indptr": [0, 3, 60, 9, 12]}, "indptr .* wrong at column [12]"),
    "indptr wrapped": (
        {"indptr": np.array([0, 3, WRAPPED, 9, 12], np.int32)},
        "indptr .* column 1: .* -2,147",
    ),
    "indptr wrapped at the end": (
        {"indptr": np.array([0, 3, 6, 9, WRAPPED], np.int32)},
        "ends at -2,147.*overflowed",
    ),
    "indptr beyond int64": (
        {"indptr": np.array([0, 3, 2**64 - 5, 9, 12], np.uint64)},
        "indptr .* wrong at column 1",
    ),
    "indptr too short": ({"indptr": [0, 6, 12]}, r"indptr has shape \(3,\)|indptr .* shape \(3,\)"),
    "indptr too long": ({"indptr": [0, 3, 6, 9, 12, 12]}, r"indptr.* shape \(6,\)"),
    "indptr of floats": ({"indptr": [0.0, 3, 6, 9, 12]}, "indptr.* dtype float64"),
    "data too short": ({"data": np.ones(11)}, r"data|indices"),
    "data too long": ({"data": np.ones(13)}, r"data|indices"),
    "indices too short": ({"indices": [0, 1, 2] * 3}, "indices"),
    "index equal to n": ({"indices": [0, 1, 2, 0, 1, 3, *[0, 1, 2] * 2]}, "index 3 in column 1"),
    "index negative": ({"indices": [-1, 1, 2, *[0, 1, 2] * 3]}, "index -1 in column 0"),
    "index wrapped": (
        {"indices": np.array([0, 1, WRAPPED, *[0, 1, 2] * 3], np.int32)},
        "index -2,147.* column 0",
    ),
    "index beyond int64": (
        {"indices": np.array([0, 1, 2**64 - 1, *[0, 1, 2] * 3], np.uint64)},
        "index 18,446.* column 0",
    ),
    "index beyond int32": (
        {"indices": np.array([0, 1, 2**32, *[0, 1, 2] * 3], np.int64)},
        "index 4,294.* column 0",
    ),
    "duplicates": ({"indices": [0, 1, 1, *[0, 1, 2] * 3]}, "index 1 occurs twice in column 0"),
    "duplicates apart": (
        {"indices": [*[0, 1, 2] * 3, 2, 0, 2]},
        "index 2 occurs twice in column 3",
    ),
    "indices of floats": (
        {"indices": np.array([0.0, 1, 2] * 4)},
        "indices .* dtype float64|indices has dtype float64",
    ),
    "indices of bools": ({"indices": np.array([False, True, True] * 4)}, "dtype bool"),
}

SPARSE = {
    **{f"{name}, CSC": Bad(broken(**c), BAD, message) for name, (c, message) in ARRAYS.items()},
    **{f"{name}, group": Bad(group(**c), BAD, message) for name, (c, message) in ARRAYS.items()},
    "indptr decreases, CSR": Bad(
        broken(csr, indptr=[0, 8, 4, 12]), BAD, "indptr .* wrong at row 1: it reaches 4"
    ),
    "index equal to d, CSR": Bad(
        broken(csr, indices=[0, 1, 2, 4, *range(4), *range(4)]), BAD, "index 4 in row 0"
    ),
    "duplicates, CSR": Bad(
        broken(csr, indices=[0, 1, 1, 3, *range(4), *range(4)]),
        BAD,
        "index 1 occurs twice in row 0",
    ),
    "duplicates, COO": Bad(coo([0, 1, 1], [0, 2, 2]), BAD, "1 entries .* occur twice"),
    "pointers of a CSR as those of a CSC": Bad(
        tall_csr_called_csc, BAD, r"indptr has shape \(5,\); it must have \(4,\)"
    ),
    **{
        f"no {name}": Bad(group(without=(name,)), BAD, f"no array '{name}'")
        for name in ("data", "indices", "indptr")
    },
    "data is a group": Bad(group_for_array, BAD, "no array 'data'"),
    "data is a matrix": Bad(two_dimensional, BAD, "data must have 1 dimension"),
    "no encoding-type": Bad(
        group(without=("encoding-type",)), UNSUPPORTED, "encoding-type None.*it holds data, indices"
    ),
    "encoding-type of an array": Bad(
        group(attributes={"encoding-type": "array"}), UNSUPPORTED, "encoding-type 'array'"
    ),
    "encoding-type is a list": Bad(
        group(attributes={"encoding-type": ["csc_matrix"]}), UNSUPPORTED, r"\['csc_matrix'\]"
    ),
    "encoding-version of tomorrow": Bad(
        group(attributes={"encoding-version": "9.0"}), UNSUPPORTED, "encoding-version '9.0'"
    ),
    "attributes of h5sparse": Bad(h5sparse, UNSUPPORTED, "encoding-type None"),
    "no shape": Bad(group(without=("shape",)), BAD, "no usable attribute 'shape': None"),
    "shape is a number": Bad(shape(12), BAD, "no usable attribute 'shape': 12"),
    "shape is text": Bad(shape("3x4"), BAD, "no usable attribute 'shape'"),
    "shape of floats": Bad(shape([3.0, 4.0]), BAD, "no usable attribute 'shape'"),
    "shape of three": Bad(shape([3, 4, 1]), UNSUPPORTED, "3 dimensions"),
    "shape empty": Bad(shape([0, 4]), UNSUPPORTED, "empty"),
    "shape negative": Bad(shape([-3, 4]), UNSUPPORTED, "-3"),
    "shape transposed": Bad(shape([4, 3]), BAD, r"indptr has shape \(5,\); it must have \(4,\)"),
    "shape too wide": Bad(shape([3, 5]), BAD, r"indptr has shape \(5,\); it must have \(6,\)"),
    "shape too low": Bad(shape([2, 4]), BAD, "index 2 in column 0 .* outside"),
    "shape of 10^18 columns": Bad(shape([3, 10**18]), BAD, "indptr has shape"),
    "feature axis mistaken": Bad(
        group(attributes={"shape": [4, 3]}), BAD, "indptr", given(feature_axis=0)
    ),
    "pointers lost": Bad(pointers_replaced, ss.MissingChunkError, "indptr.* (is|are) missing"),
    "pointers lost, and to be filled": Bad(
        pointers_replaced, BAD, "indptr .* ends at 0 but", given(missing="fill")
    ),
    "index equal to n in a dask chunk": Bad(
        dask_of(indices=[0, 1, 3, *[0, 1, 2] * 3]), BAD, "index 3 in column 0"
    ),
}
