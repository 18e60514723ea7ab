"""``convert``: the copy holds the very values, in the layout read best; or there is none."""

import os

import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import streamsparse as ss
from streamsparse.running import copying
from streamsparse.running.facts import Facts
from streamsparse.running.stream import BASE_BYTES
from streamsparse.storing import matrix_store

N, D = 7, 130
RNG = np.random.default_rng(0)


def matrix(dtype=np.float32, shape=(N, D)):
    """Values of any size and sign, zeros among them."""
    values = RNG.integers(0, 100, shape) * (RNG.random(shape) < 0.5)
    return values.astype(dtype)


X = matrix()
GENES = [f"gene {k}" for k in range(D)]
CELLS = [f"cell {k}" for k in range(N)]


def dense_of(source):
    """All of X, block by block."""
    out = np.full(source.shape, 77, source.block_dtype)
    for block in source.blocks(1 << 28):
        values = block.view() if source.nnz is None else scipy_of(block)
        out[slice(*block.rows), slice(*block.columns)] = values
    return out


def scipy_of(block):
    made = scipy.sparse.csr_array if block.by_rows else scipy.sparse.csc_array
    shape = tuple(stop - start for start, stop in (block.rows, block.columns))
    return made((block.data, block.indices, block.indptr), shape=shape).toarray()


def bits(values):
    return np.ascontiguousarray(values).view(np.uint8)


def saved(tmp_path, values):
    np.save(tmp_path / "x.npy", values)
    return tmp_path / "x.npy"


def in_rows(tmp_path, values):
    """A zarr array of chunks that hold whole rows."""
    zarr.create_array(
        tmp_path / "rows.zarr",
        data=values,
        chunks=(1, values.shape[1]),
        config={"write_empty_chunks": True},
    )
    return tmp_path / "rows.zarr"


FORMS = {
    "ndarray": lambda _, values: values,
    "npy": saved,
    "F-ordered npy": lambda tmp_path, values: saved(tmp_path, np.asfortranarray(values)),
    "dask": lambda _, values: dask.array.from_array(values, chunks=(3, 50)),
    "zarr by rows": in_rows,
    "CSR": lambda _, values: scipy.sparse.csr_array(values),
    "CSC": lambda _, values: scipy.sparse.csc_array(values),
    "sparse dask": lambda _, values: dask.array.from_array(values, chunks=(3, 50)).map_blocks(
        scipy.sparse.csr_array
    ),
}
DTYPES = ["f2", "f4", ">f8", "f8", "i1", "u2", "i8", "?"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("axis", [0, 1])
def test_convert__keeps_every_value_of_any_source(tmp_path, form, axis):
    given_X = FORMS[form](tmp_path, X if axis == 1 else np.ascontiguousarray(X.T))
    copy = ss.convert(given_X, tmp_path / "out.zarr", feature_axis=axis)
    np.testing.assert_array_equal(dense_of(copy), X)
    assert np.abs(X).max() > 0
    assert copy.dtype == X.dtype
    assert copy.integrity == "checksummed"
    assert (copy.nnz is None) == ("CS" not in form and "sparse" not in form)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wrap", [np.asarray, scipy.sparse.csc_array])
def test_convert__keeps_the_dtype_in_native_order(tmp_path, dtype, wrap):
    if dtype in {"f2", ">f8"} and wrap is not np.asarray:
        pytest.skip("scipy has no such sparse matrix")
    values = matrix(dtype)
    copy = ss.convert(wrap(values), tmp_path / "out.zarr")
    assert copy.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(dense_of(copy), values)


def test_convert__keeps_nan_infinity_and_the_sign_of_zero(tmp_path):
    values = X.astype(np.float64)
    values[0, :5] = [np.nan, np.inf, -np.inf, -0.0, 5e-324]
    copy = ss.convert(values, tmp_path / "out.zarr")
    np.testing.assert_array_equal(bits(dense_of(copy)), bits(values))


def test_convert__keeps_explicit_zeros_and_sorts_entries(tmp_path):
    unsorted = scipy.sparse.csc_array(
        (np.array([1.0, 0.0, 3.0]), np.array([2, 0, 1]), np.array([0, 2, 3])), shape=(3, 2)
    )
    ss.convert(unsorted, tmp_path / "out.zarr")
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert group["indices"][:].tolist() == [0, 2, 1]
    assert group["data"][:].tolist() == [0.0, 1.0, 3.0]
    assert dict(group.attrs)["encoding-type"] == "csc_matrix"


@pytest.mark.parametrize("nnz", [0, 1])
def test_convert__takes_matrices_of_hardly_any_entries(tmp_path, nnz):
    values = np.zeros((N, D))
    values[0, 0] = nnz
    copy = ss.convert(scipy.sparse.csr_array(values), tmp_path / "out.zarr")
    assert copy.nnz == nnz
    np.testing.assert_array_equal(dense_of(copy), values)


def test_convert__gives_the_same_certificate_and_bits(tmp_path):
    for wrap in (np.asarray, scipy.sparse.csr_array):
        copy = ss.convert(wrap(X), tmp_path / f"{wrap.__name__}.zarr")
        np.testing.assert_array_equal(
            ss.sparsify(copy, "sketch", m=16).Y, ss.sparsify(wrap(X), "sketch", m=16).Y
        )


def test_convert__writes_chunks_of_whole_columns_and_names_the_dimensions(tmp_path):
    copy = ss.convert(np.zeros((3, 1 << 21), np.int8), tmp_path / "out.zarr")
    array = zarr.open_array(tmp_path / "out.zarr", mode="r")
    assert array.metadata.dimension_names == ("row", "column")
    assert array.chunks == (3, 1 << 21)
    assert copy.unit[0] == 3


@given(
    n=st.integers(1, 10**8),
    d=st.integers(1, 10**9),
    dtype=st.sampled_from(["float32", "float64", "int8"]),
    mebibytes=st.integers(300, 4096),
)
@settings(deadline=None)
def test_plan_copy__chunks_are_whole_columns_of_32_mebibytes_where_n_allows(n, d, dtype, mebibytes):
    itemsize = np.dtype(dtype).itemsize
    facts = Facts(
        name="x",
        n=n,
        d=d,
        feature_axis=1,
        dtype=dtype,
        block_itemsize=itemsize,
        nnz=None,
        unit=(1, 1),
        stored_bytes=n * d * itemsize,
        read_overhead_bytes=0,
        entry_bytes=0,
        clipped_entry_bytes=0,
        largest_unit_entries=0,
        opening_passes=0,
    )
    budget = mebibytes << 20
    try:
        stream, (rows, columns) = copying.plan_copy(facts, memory_budget=budget)
    except ss.BudgetTooSmallError as error:
        # A few columns of this many rows are more than the budget.
        assert 6 * n * itemsize > budget - BASE_BYTES - (16 << 20)
        assert "the budget is" in str(error)  # noqa: PT017
        return
    assert stream.peak_memory_bytes <= budget
    most = min(32 << 20, (budget - BASE_BYTES) // 8)
    assert rows * columns * itemsize <= most
    assert columns == d or columns & (columns - 1) == 0
    assert rows == n or columns == 1
    assert 2 * columns > d or 2 * rows * columns * itemsize > most or rows < n


@pytest.mark.parametrize("entries", [1, 3, 1000])
@pytest.mark.parametrize("most", [1, 64, 1000])
def test_convert__has_any_chunks_and_the_same_values(tmp_path, monkeypatch, entries, most):
    monkeypatch.setattr(matrix_store, "_ENTRIES", entries)
    monkeypatch.setattr(copying, "_CHUNK_BYTES", most)
    monkeypatch.setattr(copying, "_LEAST_CHUNK_BYTES", 8)
    for wrap in (np.asarray, scipy.sparse.csr_array):
        copy = ss.convert(wrap(X), tmp_path / f"{wrap.__name__}.zarr")
        np.testing.assert_array_equal(dense_of(copy), X)


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [np.asarray, scipy.sparse.csr_array])
def test_convert__reads_rows_once_and_writes_columns_within_little_memory(tmp_path, wrap):
    values = (RNG.random((64, 1 << 18)) < 0.2).astype(np.float64)
    path = tmp_path / "x.zarr"
    if wrap is np.asarray:
        zarr.create_array(path, data=values, chunks=(1, 1 << 18))
    else:
        # Stored by rows: whole columns of it are to be had only by rewriting it.
        matrix_store_of_rows(path, scipy.sparse.csr_array(values))
    copy = ss.convert(path, tmp_path / "out.zarr", memory="270 MiB")
    np.testing.assert_array_equal(dense_of(copy), values)


def matrix_store_of_rows(path, values):
    from streamsparse.storing.zarr_write import write_sparse

    write_sparse(path, values)


def test_convert__refuses_a_budget_before_the_first_read(tmp_path, monkeypatch):
    path = in_rows(tmp_path, X)
    monkeypatch.setattr("streamsparse.sources.zarr_sources.ZarrSource.read", None)
    with pytest.raises(ss.BudgetTooSmallError, match=r"needs .* but the budget is 100"):
        ss.convert(path, tmp_path / "out.zarr", memory="100 MiB")
    assert sorted(os.listdir(tmp_path)) == ["rows.zarr"]


def annotated(path, *, sparse):
    group = zarr.create_group(path, attributes={"encoding-type": "anndata"})
    if sparse:
        matrix_store_of_rows(path / "X", scipy.sparse.csr_array(X))
    else:
        group.create_array("X", data=X)
    for name, names in (("obs", CELLS), ("var", GENES)):
        table = group.create_group(name, attributes={"_index": "_index"})
        table.create_array("_index", shape=(len(names),), dtype=str)[:] = np.array(names, object)
    return path


@pytest.mark.parametrize("sparse", [False, True])
def test_convert__keeps_names_so_that_results_and_new_rows_still_fit(tmp_path, monkeypatch, sparse):
    # Several pieces of names.
    monkeypatch.setattr("streamsparse.api.convert.NAMES", 50)
    monkeypatch.setattr(matrix_store, "NAMES", 50)
    path = annotated(tmp_path / "a.zarr", sparse=sparse)
    copy = ss.convert(path, tmp_path / "out.zarr")
    assert copy.feature_digest() == ss.open_source(path).feature_digest() is not None
    assert copy.row_names().tolist() == CELLS
    result = ss.sparsify(tmp_path / "out.zarr", "sample", m=5)
    assert result.column_names == tuple(GENES[j] for j in result.columns)
    np.testing.assert_array_equal(dense_of(copy), X)


@pytest.mark.parametrize("names", [GENES, np.arange(D) * 10, np.arange(D) / 7])
def test_convert__keeps_coordinates_of_a_data_array(tmp_path, names):
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(X.T, dims=("gene", "cell"), coords={"gene": names})
    copy = ss.convert(array, tmp_path / "out.zarr", feature_axis="gene")
    assert copy.feature_digest() == ss.open_source(array, "gene").feature_digest() is not None
    np.testing.assert_array_equal(dense_of(copy), X)


@pytest.mark.parametrize("sparse", [False, True])
def test_convert__writes_what_anndata_reads(tmp_path, sparse):
    anndata = pytest.importorskip("anndata")
    ss.convert(annotated(tmp_path / "a.zarr", sparse=sparse), tmp_path / "out.zarr")
    read = anndata.read_zarr(tmp_path / "out.zarr")
    values = read.X.toarray() if sparse else read.X
    np.testing.assert_array_equal(values, X)
    assert read.var_names.tolist() == GENES
    assert read.obs_names.tolist() == CELLS


def test_convert__replaces_its_own_copies_and_nothing_else(tmp_path):
    out = tmp_path / "out.zarr"
    ss.convert(X, out)
    with pytest.raises(ss.OutputExistsError, match="already exists"):
        ss.convert(2 * X, out)
    np.testing.assert_array_equal(dense_of(ss.convert(2 * X, out, overwrite=True)), 2 * X)
    sparse = ss.convert(scipy.sparse.csr_array(X), out, overwrite=True)
    np.testing.assert_array_equal(dense_of(sparse), X)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ss.OutputExistsError, match="holds something else"):
        ss.convert(X, out, overwrite=True)
    for foreign in (in_rows(tmp_path, X), tmp_path / "text"):
        if foreign.name == "text":
            foreign.write_text("hello")
        with pytest.raises(ss.OutputExistsError, match="is no matrix that convert"):
            ss.convert(X, foreign, overwrite=True)
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(ss.OutputExistsError, match="is no matrix that convert"):
        ss.convert(X, tmp_path / "link", overwrite=True)


def test_convert__refuses_to_write_into_its_source(tmp_path):
    path = in_rows(tmp_path, X)
    with pytest.raises(ss.OutputExistsError, match="is the source"):
        ss.convert(path, path, overwrite=True)


def test_convert__leaves_nothing_behind_when_it_fails(tmp_path):
    def fails(block, block_info=None):
        if block_info[0]["chunk-location"] == (0, 2):
            raise RuntimeError("no")
        return block

    broken = dask.array.from_array(X, chunks=(N, 50)).map_blocks(fails, dtype=X.dtype)
    with pytest.raises(ss.StreamSparseError):
        ss.convert(broken, tmp_path / "out.zarr")
    assert os.listdir(tmp_path) == []


def test_convert__refuses_a_source_that_changes_meanwhile(tmp_path, monkeypatch):
    path = saved(tmp_path, X)
    real = copying.DenseColumns.finish

    def finish(self):
        np.save(path, 2 * X)
        os.utime(path, ns=(1, 1))
        real(self)

    monkeypatch.setattr(copying.DenseColumns, "finish", finish)
    with pytest.raises(ss.SourceChangedError, match="was written to"):
        ss.convert(path, tmp_path / "out.zarr")
    assert os.listdir(tmp_path) == ["x.npy"]


def test_convert__fills_missing_chunks_only_when_told_to(tmp_path):
    path = in_rows(tmp_path, X)
    (path / "c" / "3" / "0").unlink()
    with pytest.raises(ss.MissingChunkError):
        ss.convert(path, tmp_path / "out.zarr")
    expected = X.copy()
    expected[3] = 0
    copy = ss.convert(path, tmp_path / "out.zarr", missing="fill")
    np.testing.assert_array_equal(dense_of(copy), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"out": "y.npy"}, "writes a matrix as a Zarr store"),
        ({"out": 5}, "out must be a path"),
        ({"memory": "lots"}, "memory must be"),
        ({"overwrite": 1}, "overwrite must be"),
        ({"missing": "ignore"}, "missing must be"),
        ({"feature_axis": "gene"}, "have no names"),
        ({"progress": "always"}, "progress must be"),
    ],
)
def test_convert__refuses_bad_parameters(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ss.ParameterError, match=message):
        ss.convert(X, **({"out": "y.zarr"} | arguments))
    assert os.listdir(tmp_path) == []


def test_outputs__are_paths_on_this_machine(tmp_path):
    X = np.ones((2, 30))
    for write in (lambda: ss.convert(X, "s3://b/x.zarr"), lambda: ss.sparsify(X, out="s3://b/y")):
        with pytest.raises(ss.ParameterError, match="on this machine, not the URL s3://b"):
            write()
