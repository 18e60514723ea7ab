"""The sampled rows of a banded source: every unit that holds one is read once."""

import numpy as np
import pytest
import scipy.sparse
import zarr

import drivers
import strategies
from streamsparse.methods.held import hold_sample
from streamsparse.sources.open import open_source
from streamsparse.storing.zarr_write import write_sparse

N, D = 60, 500


@pytest.fixture(scope="module")
def X():
    return (strategies.integer_matrix(N, D, "int16") * (np.arange(D) % 3 == 0)).astype(np.int16)


def stored(X, kind, tmp_path):
    if kind == "csr group":
        write_sparse(tmp_path / "x.zarr", scipy.sparse.csr_array(X), chunk_entries=300)
    else:
        array = zarr.create_array(tmp_path / "x.zarr", shape=X.shape, chunks=(8, 70), dtype=X.dtype)
        array[:] = X
    return drivers.Watched(open_source(tmp_path / "x.zarr", feature_axis=1, missing="error"))


def held_rows(held, columns):
    piece = held(columns)
    if hasattr(piece, "offset"):
        lo, hi = piece.lo_hi
        return piece.data[:, lo:hi]
    out = np.zeros((held.count, columns[1] - columns[0]))
    for k in range(held.count):
        extent = slice(*piece.extents[:, k])
        out[k, piece.indices[extent] + piece.origin - columns[0]] = piece.data[extent]
    return out


@pytest.mark.parametrize("kind", ["zarr", "csr group"])
@pytest.mark.parametrize("sample", [[0], [59], [3, 4, 7, 8, 40, 59], list(range(N))])
def test_hold_sample__reads_each_unit_that_holds_a_row_once(X, kind, sample, tmp_path):
    source = stored(X, kind, tmp_path)
    plan = drivers.plan_of(
        source, method="sketch", m=64, stream={"bands": 3, "band_rows": 24, "block_bytes": 5000}
    )
    held = hold_sample(source, plan.stream, np.array(sample), zero=False, columns=None)
    assert held.count == len(sample)
    for columns in ((0, D), (1, 2), (333, D)):
        np.testing.assert_array_equal(held_rows(held, columns), X[sample][:, slice(*columns)])
    unit = source.unit[0]
    units = np.unique(np.array(sample) // unit) * unit
    assert source.cells_read == sum(min(unit, N - start) * D for start in units.tolist())


def test_hold_sample__holds_nothing_where_blocks_have_all_rows(X):
    source = open_source(X, feature_axis=1, missing="error")
    whole = drivers.plan_of(X, method="sketch", m=64).stream
    assert hold_sample(source, whole, np.array([1]), zero=False, columns=None) is None
    banded = drivers.plan_of(X, method="sketch", m=64, stream={"bands": 2}).stream
    assert hold_sample(source, banded, np.empty(0, np.int64), zero=False, columns=None) is None
    assert hold_sample(source, banded, np.array([1]), zero=False, columns=None) is not None


def test_hold_sample__of_empty_rows_holds_them(tmp_path):
    X = np.zeros((N, D), np.int16)
    X[5, 7] = 3
    source = stored(X, "csr group", tmp_path)
    stream = drivers.plan_of(
        source, method="sketch", m=64, stream={"bands": 3, "band_rows": 24}
    ).stream
    held = hold_sample(source, stream, np.array([2, 5, 50]), zero=False, columns=None)
    np.testing.assert_array_equal(held_rows(held, (0, D)), X[[2, 5, 50]])
