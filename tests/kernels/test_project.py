"""Products with a few dense vectors against dense NumPy: exact for small integers."""

import numpy as np
import pytest
import scipy.sparse

import strategies
from strategies import extents_of
from streamsparse.kernels import project

DTYPES = ["float32", "float64", "int8", "uint16", "int64"]


def matrix(dtype):
    values = strategies.integer_matrix(9, 40, dtype) * (np.arange(40) % 3 != 1)
    return values.astype(dtype)


def integers(*shape):
    return np.random.default_rng(1).integers(-9, 10, shape).astype(np.float64)


def tall(dtype, rows, columns):
    return strategies.integer_matrix(rows, columns, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 9, 300])
def test_project_dense__multiplies_some_columns_by_the_probes(dtype, rows):
    X, probes = tall(dtype, rows, 60), integers(16, rows)
    stage = np.zeros((project.STAGED_ROWS, 64), dtype)
    out = np.full((37, 16), 5.0)
    project.project_dense(X, 11, 48, probes, stage, out)
    np.testing.assert_array_equal(out, X[:, 11:48].astype(float).T @ probes.T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 4, 7])
def test_expand_dense__adds_some_columns_times_what_was_projected(dtype, rows):
    X, projected, out = tall(dtype, rows, 60), integers(37, 32), integers(rows, 32)
    expected = out + X[:, 11:48].astype(float) @ projected
    project.expand_dense(X, 11, 48, projected, out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_project_rows__adds_X_transposed_times_the_probes(dtype):
    X, probes, out = matrix(dtype), integers(9, 32), integers(40, 32)
    rows = scipy.sparse.csr_array(X)
    expected = out + X.astype(float).T @ probes
    project.project_rows(extents_of(rows), rows.indices, rows.data, 0, probes, out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_expand_rows__adds_X_times_what_was_projected(dtype):
    X, projected, out = matrix(dtype), integers(40, 32), integers(9, 32)
    rows = scipy.sparse.csr_array(X)
    expected = out + X.astype(float) @ projected
    project.expand_rows(extents_of(rows), rows.indices, rows.data, 0, projected, out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_project_columns__writes_over_what_was_there(dtype):
    X, probes, out = matrix(dtype), integers(9, 4), np.full((40, 4), np.nan)
    columns = scipy.sparse.csc_array(X)
    project.project_columns(extents_of(columns), columns.indices, columns.data, probes, out)
    np.testing.assert_array_equal(out, X.astype(float).T @ probes)


@pytest.mark.parametrize("shift", [1, 13])
def test_rows__count_their_indices_from_the_shift(shift):
    # The entries before the shift lie outside the extents, as in a piece that begins later.
    X, probes = matrix("int8"), integers(9, 16)
    rows = scipy.sparse.csr_array(X)
    extents = extents_of(rows)
    extents[0] = [a + int(np.searchsorted(rows.indices[a:b], shift)) for a, b in extents.T]
    projected = np.zeros((40 - shift, 16))
    project.project_rows(extents, rows.indices, rows.data, shift, probes, projected)
    later = X[:, shift:].astype(float)
    np.testing.assert_array_equal(projected, later.T @ probes)
    out = np.zeros((9, 16))
    project.expand_rows(extents, rows.indices, rows.data, shift, projected, out)
    np.testing.assert_array_equal(out, later @ projected)
