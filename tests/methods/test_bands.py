"""Row bands: the sampled rows are read first and held, and certify the same numbers."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

import drivers
import strategies
import streamsparse as ss
from params import slow_but
from streamsparse.methods.base import Job
from streamsparse.methods.held import hold_sample
from streamsparse.methods.sketch import reduce_by_sketch, rows_to_check
from streamsparse.running.local import Execution
from streamsparse.running.progress import show_progress
from streamsparse.sketching.draws import sample_rows
from streamsparse.sketching.run_hash import hash_words
from streamsparse.sources.open import open_source
from streamsparse.storing.result_store import ResultWriter
from streamsparse.storing.zarr_write import write_sparse


def plan_in_bands(source, *, bands, m=64):
    rows = -(-source.shape[0] // bands)
    stream = {"bands": bands, "band_rows": rows, "block_bytes": 100_000}
    plan = drivers.plan_of(source, stream=stream, method="sketch", m=m, seed=3)
    # As every plan of bands: probes need whole columns.
    return replace(plan, probes=0)


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("bands", slow_but([2, 5], 2))
def test_reduce_by_sketch__certifies_bands_with_the_true_rows_of_G(storage, bands):
    X = strategies.integer_matrix(300, 5000, "int16") * (np.arange(5000) % 4 == 0)
    source = open_source(storage(X), feature_axis=1, missing="error")
    plan = plan_in_bands(source, bands=bands)
    with show_progress(False, label="", total=0) as bar:
        reduction = reduce_by_sketch(Job(source, plan, Execution(2, False, bar), None))
    G = X.astype(np.int64) @ X.astype(np.int64).T
    assert plan.checked_rows == 90
    sample = rows_to_check(plan)
    F = reduction.Y @ reduction.Y.T
    entry = np.abs(F - G)[sample].max() / G.diagonal().max()
    assert reduction.errors.checked_rows == 90
    assert reduction.errors.entry.value == pytest.approx(entry, rel=1e-12)


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
def test_hold_sample__returns_the_sampled_rows_of_any_interval(storage):
    X = strategies.integer_matrix(40, 700, "int32") * (np.arange(700) % 3 == 0)
    source = open_source(storage(X), feature_axis=1, missing="error")
    stream = plan_in_bands(source, bands=4).stream
    sample = np.array([0, 7, 8, 39])
    held = hold_sample(source, stream, sample, zero=False, columns=None)
    for a, b in ((0, 700), (100, 301), (699, 700)):
        piece = held((a, b))
        if scipy.sparse.issparse(storage(X)):
            got = np.zeros((4, b - a))
            for k in range(4):
                extent = slice(*piece.extents[:, k])
                got[k, piece.indices[extent] - a] = piece.data[extent]
        else:
            lo, hi = piece.lo_hi
            got = piece.data[:, lo:hi]
        np.testing.assert_array_equal(got, X[sample, a:b])


def test_sample_rows__is_sorted_unique_and_uses_words_that_S_does_not():
    sample = sample_rows(n=1000, count=32, seed=5)
    assert sample.tolist() == sorted(set(sample.tolist()))
    assert sample.size == 32
    keys = np.arange(1000, dtype=np.uint64)
    for stream in range(16):
        words = hash_words(seed=5, keys=keys, stream=stream)
        assert set(np.argsort(words)[:32].tolist()) != set(sample.tolist())
    assert sample_rows(n=1000, count=32, seed=6).tolist() != sample.tolist()
    assert sample_rows(n=10, count=32, seed=5).tolist() == list(range(10))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """(X, its rows on disk): blocks of all rows do not fit 260 MiB."""
    X = strategies.sparse_matrix(2500, 30_000, 0.01)
    path = tmp_path_factory.mktemp("bands") / "x.zarr"
    write_sparse(path, X, chunk_entries=10_000)
    return X, path


def test_sparsify__with_epsilon_keeps_the_same_Y_in_row_bands_on_disk(stored, tmp_path):
    X, path = stored
    asked = {"epsilon": 0.5, "target": "entries"}
    whole = ss.sparsify(X, "sketch", **asked)
    banded = ss.sparsify(path, "sketch", memory="260 MiB", out=tmp_path / "y.zarr", **asked)
    stream = banded.plan.stream
    assert stream.bands > 1
    assert stream.passes == 1
    assert not banded.plan.dense_stage
    assert banded.plan.sketch_columns == whole.plan.sketch_columns
    # The whole sketch waits on disk, beside the output, until its fold is chosen.
    assert stream.temporary_disk_bytes == 8 * 2500 * banded.plan.sketch_columns
    assert [point.m for point in banded.curve] == [point.m for point in whole.curve]
    assert banded.certificate.m == whole.certificate.m
    assert banded.certificate.met
    np.testing.assert_array_equal(banded.Y[:], whole.Y)
    assert [item.name for item in tmp_path.iterdir()] == ["y.zarr"]
    np.testing.assert_array_equal(banded.transform(X[:3]), whole.Y[:3])


@pytest.mark.slow
def test_sparsify__in_row_bands_says_so_where_too_few_rows_could_be_checked(stored, tmp_path):
    _, path = stored
    asked = {"epsilon": 0.5, "target": "entries", "memory": "230 MiB"}
    with pytest.warns(ss.StreamSparseWarning, match="only .* rows could be compared within memory"):
        result = ss.sparsify(path, "sketch", out=tmp_path / "y.zarr", **asked)
    assert result.plan.checked_rows < 90
    assert result.certificate.met is None
    assert all(point.error is None for point in result.curve)
    # Nothing was lost: the widest fold is the sketch itself.
    assert result.certificate.m == result.plan.sketch_columns


@pytest.mark.parametrize("target", ["entries", "attention"])
@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
def test_reduce_by_sketch__reads_its_sketch_back_from_disk_to_the_last_bit(
    tmp_path, target, storage
):
    X = strategies.sparse_matrix(900, 700, 0.1, dtype="float64").toarray()
    asked = {"method": "sketch", "epsilon": 0.6, "target": target, "s": 1, "has_output": True}
    plan = drivers.plan_of(storage(X), **asked)
    assert not plan.dense_stage
    stream = replace(plan.stream, bands=5, band_rows=200, temporary_disk_bytes=8 * 900 * 512)
    whole = drivers.run(reduce_by_sketch, storage(X), replace(plan, probes=0))
    source = open_source(storage(X), feature_axis=1, missing="error")
    with show_progress(False, label="", total=0) as bar:
        job = Job(
            source,
            replace(plan, probes=0, stream=stream),
            Execution(2, False, bar),
            ResultWriter(tmp_path / "y.zarr"),
            tmp_path,
        )
        banded = reduce_by_sketch(job)
        np.testing.assert_array_equal(banded.Y[:], whole.Y)
    assert banded.map == whole.map
    assert [item.name for item in tmp_path.iterdir()] == ["y.zarr"]
