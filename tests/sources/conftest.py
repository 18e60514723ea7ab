"""Slow, obvious helpers shared by the tests of all sources."""

import numpy as np
import pytest
import zarr
from scipy import sparse

from streamsparse.sources import reading
from streamsparse.storing.zarr_write import sparse_attributes


def densify(block):
    """Return a block of either kind as a plain array."""
    if hasattr(block, "offset"):
        return block.view()
    shape = tuple(stop - start for start, stop in (block.rows, block.columns))
    kind = sparse.csr_array if block.by_rows else sparse.csc_array
    X_block = kind((block.data, block.indices, block.indptr), shape=shape)
    X_block.check_format(full_check=True)
    assert X_block.has_canonical_format
    return X_block.toarray()


def block_bytes(block):
    if hasattr(block, "offset"):
        return block.view().nbytes
    return block.data.nbytes + block.indices.nbytes + block.indptr.nbytes


def check_all(source, X, *, budgets, heights=(3, 10**9)):
    """Bands and cuts cover X once, blocks fit their budget and hold exactly X."""
    assert source.shape == X.shape
    for max_bytes in budgets:
        for max_rows in heights:
            seen = np.zeros(X.shape, np.int64)
            for rows in source.bands(max_rows, max_bytes):
                assert 0 < rows[1] - rows[0] <= max_rows
                at = 0
                for columns in source.cut(rows, max_bytes):
                    assert columns[0] == at < columns[1]
                    at = columns[1]
                    block = source.read(rows, columns)
                    assert (block.rows, block.columns) == (rows, columns)
                    assert block.data.dtype == source.block_dtype
                    assert block.data.dtype.isnative
                    assert block_bytes(block) <= max_bytes
                    where = slice(*rows), slice(*columns)
                    np.testing.assert_array_equal(densify(block), X[where])
                    seen[where] += 1
                assert at == X.shape[1]
            assert (seen == 1).all()


def make_matrix(dtype, shape=(11, 29), density=0.4):
    """Small integers (or booleans) with zeros, exact in every dtype."""
    rng = np.random.default_rng(7)
    values = rng.integers(1, 50, shape) * (rng.random(shape) < density)
    return values.astype(dtype)


def write_anndata(store, matrix, *, path="", zarr_format=3, chunk=7, index_dtype=None, **options):
    """Write a CSR or CSC matrix by hand in AnnData's encoding."""
    group = zarr.open_group(store, path=path, mode="a", zarr_format=zarr_format)
    group.attrs.update(sparse_attributes(matrix))
    for name in ("data", "indices", "indptr"):
        values = getattr(matrix, name)
        if index_dtype is not None and name != "data":
            values = values.astype(index_dtype)
        settings = {"chunks": (chunk,), "config": {"write_empty_chunks": True}, **options}
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, **settings)
        array[:] = values
    return group


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    """Try again at once."""
    monkeypatch.setattr(reading, "PAUSES", (0.0,) * len(reading.PAUSES))


@pytest.fixture(scope="session")
def check():
    return check_all


@pytest.fixture(scope="session")
def matrix():
    return make_matrix


@pytest.fixture(scope="session")
def write_group():
    return write_anndata
