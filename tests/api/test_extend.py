"""Columns that come to a result and go from it: what one run over those there are would give."""

import itertools
import json
import warnings
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import scipy.sparse
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
import strategies
import streamsparse as ss
from drivers import Failing, Watched, flip_byte
from params import slow_but
from streamsparse.api.access import open_source
from streamsparse.methods import exact_plan, sketch_plan, transform
from streamsparse.methods.measuring import Seen, probe
from streamsparse.methods.sketch import rows_to_check
from streamsparse.results import extend, rows
from streamsparse.sketching.draws import PROBES, normals
from streamsparse.storing.zarr_write import write_sparse
from tolerances import gram_error_bound, sketch_error_bound, sum_error_bound

METHODS = {"sketch": {"m": 48}, "exact": {}}
SMALL = {"progress": False}
ERRORS = ("spectral", "regularised", "entry", "attention", "rms_entry")


def result_of(X, method="sketch", **arguments):
    return ss.sparsify(X, method, **SMALL, **(METHODS[method] | arguments))


def only(X, intervals):
    """X up to the last of some columns, with zeros for all that are not among them."""
    there = np.zeros(X.shape[1], bool)
    for first, stop in intervals:
        there[first:stop] = True
    return (X * there)[:, : max(stop for _, stop in intervals)].astype(X.dtype)


def known_bits(known):
    known = known.in_memory()
    probes = None if known.probes is None else known.probes.tobytes()
    return known.gram.tobytes(), known.squared_norms.tobytes(), probes


def true_errors(X, Y, beta=1.0):
    """Errors of Y against G from exactly rounded sums, as far as a certificate may know them."""
    G, F = reference.gram(X), Y @ Y.T
    r = G.diagonal().max()
    found = {
        "entry": np.abs(F - G).max() / r,
        "attention": reference.attention_error(G, F, beta),
        "rms_entry": np.sqrt(np.mean(((F - G) / r) ** 2)),
    }
    values, vectors = np.linalg.eigh(G + r * np.eye(len(G)))
    W = vectors / np.sqrt(values)
    return found | {"regularised": np.abs(np.linalg.eigvalsh(W.T @ (F - G) @ W)).max()}


@pytest.fixture
def narrow(monkeypatch):
    """Many spans of a small matrix."""
    for module in (exact_plan, sketch_plan, transform):
        monkeypatch.setattr(module, "span_width", lambda **_: 256)


@pytest.fixture
def in_bands(monkeypatch):
    real = extend.plan_change

    def banded(*args, **kwargs):
        plan = real(*args, **kwargs)
        how = replace(plan.stream, bands=3, band_rows=100, block_bytes=30_000)
        return replace(plan, stream=how, probes=0)

    monkeypatch.setattr(extend, "plan_change", banded)


@st.composite
def histories(draw):
    """(d, edges of pieces, the order in which they come, which of them go again)."""
    edges = sorted(draw(st.sets(st.integers(50, 399), min_size=1, max_size=4)))
    edges = [0, *edges, 400]
    pieces = list(itertools.pairwise(edges))
    # What is reduced comes first, and begins with column 0.
    order = [pieces[0], *draw(st.permutations(pieces[1:]))]
    going = draw(st.sets(st.sampled_from(order[1:]), max_size=len(order) - 1))
    return order, sorted(going)


@pytest.mark.parametrize("n", slow_but([7, 300], 7))
@pytest.mark.parametrize("method", METHODS)
@given(history=histories(), seed=st.integers(0, 3), on_disk=st.booleans())
@settings(max_examples=8)
def test_append__of_integers_in_any_order_has_the_bits_of_one_run(
    tmp_path_factory, n, method, history, seed, on_disk
):
    X = strategies.integer_matrix(n, 400, "int16", seed=seed)
    order, going = history
    result = result_of(X[:, slice(*order[0])], method)
    for first, stop in order[1:]:
        result = result.append(X[:, first:stop], start=first, **SMALL)
        if on_disk:
            path = tmp_path_factory.mktemp("kept") / "y.zarr"
            result.save(path)
            result = ss.load(path)
    for first, stop in going:
        result = result.remove(X[:, first:stop], first, **SMALL)
    left = [piece for piece in order if piece not in going]
    whole = result_of(only(X, order), method)
    expected = result_of(only(X, left), method)
    np.testing.assert_array_equal(result.Y[:], expected.Y)
    assert result.certificate.d == whole.certificate.d == 400
    assert result.intervals == tuple(joined(left))
    known = result.known.in_memory()
    assert known.gram.shape == expected.known.gram.shape
    np.testing.assert_array_equal(known.gram, expected.known.gram)
    np.testing.assert_array_equal(known.squared_norms, expected.known.squared_norms)
    assert result.certificate.r == expected.certificate.r > 0
    assert result.certificate.trace == expected.certificate.trace
    for name in ("entry", "attention"):
        mine, theirs = (getattr(r.certificate.errors, name) for r in (result, expected))
        # Rounding of what went away is added where it is not negligible.
        assert theirs.value <= mine.value <= theirs.value + 1e-8


def joined(intervals):
    """Neighbours as one, the obvious way: by their columns."""
    columns = sorted({column for first, stop in intervals for column in range(first, stop)})
    starts = [c for c in columns if c - 1 not in columns]
    stops = [c + 1 for c in columns if c + 1 not in columns]
    return list(zip(starts, stops, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array])
def test_append__of_floats_is_one_run_up_to_rounding(dtype, storage, narrow):
    n, d, m = 20, 1500, 48
    X = (np.random.default_rng(0).standard_normal((n, d)) / 40).astype(dtype)
    result = result_of(storage(X[:, :611]))
    result = result.append(storage(X[:, 1000:]), start=1000, **SMALL)
    result = result.append(storage(X[:, 611:1000]), start=611, **SMALL)
    result = result.remove(storage(X[:, 1000:]), 1000, **SMALL)
    S = np.abs(reference.dense_S(d=d, m=m, s=8, seed=0)) / np.sqrt(8)
    there = only(X, [(0, 1000)]).astype(np.float64)
    exact = reference.sketch(there, m=m, s=8, seed=0)
    # Everything that was ever added counts, and three operations of each of three calls.
    bound = sketch_error_bound(X, S) + sum_error_bound(np.abs(X.astype(np.float64)) @ S.T, 9)
    bound += sketch_error_bound(there, S[:, :1000])
    assert (np.abs(result.Y - exact) <= bound).all()
    G = reference.gram(there)
    slack = gram_error_bound(X, np.dtype(dtype)) + sum_error_bound(np.abs(G) + 1, 9)
    moved = np.sqrt(np.outer(result.known.moved, result.known.moved))
    assert (np.abs(result.known.gram - G) <= slack).all()
    assert (np.abs(result.known.gram - G) <= result.known.rounding * moved).all()
    found = true_errors(there, result.Y)
    for name, value in found.items():
        measure = getattr(result.certificate.errors, name)
        assert measure.value == pytest.approx(value, rel=0.02)
    assert found["entry"] < 1


@pytest.mark.parametrize("method", METHODS)
def test_append__has_the_same_bits_whatever_the_chunks_threads_and_memory(
    tmp_path, monkeypatch, narrow, method
):
    X = np.random.default_rng(0).standard_normal((300, 2000)).astype(np.float32)
    first, more = result_of(X[:, :777], method), X[:, 777:]
    expected = first.append(more, **SMALL)
    np.save(tmp_path / "x.npy", more)
    forms = [tmp_path / "x.npy", da.from_array(more, chunks=(300, 177)), np.asfortranarray(more)]
    for chunks in [(300, 100), (64, 999), (300, 1223)]:
        path = tmp_path / f"{chunks}.zarr"
        zarr.create_array(path, shape=more.shape, chunks=chunks, dtype="f4")[:] = more
        forms.append(path)
    for k, form in enumerate(forms):
        monkeypatch.setattr(extend, "available_threads", lambda k=k: 1 + k % 3)
        found = first.append(form, memory=f"{300 + 100 * k} MiB", **SMALL)
        np.testing.assert_array_equal(found.Y, expected.Y)
        assert known_bits(found.known) == known_bits(expected.known)
        assert found.certificate.errors == expected.certificate.errors


def test_append__in_bands_of_rows_keeps_Y_and_the_sampled_rows(in_bands, tmp_path):
    X = strategies.integer_matrix(300, 900, "int8")
    for storage in (np.asarray, scipy.sparse.csr_array):
        found = result_of(storage(X[:, :500])).append(storage(X[:, 500:]), **SMALL)
        expected = result_of(storage(X))
        np.testing.assert_array_equal(found.Y, expected.Y)
        np.testing.assert_array_equal(found.known.gram, expected.known.gram)
        errors = found.certificate.errors
        assert (errors.all_rows_entry, errors.checked_rows) == (None, 90)
        entry = expected.certificate.errors.most_rows_entry
        # The last digits of products of Y follow from how many rows they are made of.
        assert errors.most_rows_entry.value == pytest.approx(entry.value, rel=1e-9)
        again = found.remove(storage(X[:, 500:]), 500, out=tmp_path / storage.__name__, **SMALL)
        np.testing.assert_array_equal(again.Y[:], result_of(storage(X[:, :500])).Y)


def test_append__certifies_by_the_rows_and_probes_that_one_run_would_take():
    X = strategies.integer_matrix(300, 900, "int8")
    found = result_of(X[:, :500]).append(X[:, 500:], **SMALL)
    G = X.astype(np.int64) @ X.astype(np.int64).T
    sample = rows_to_check(found.plan)
    np.testing.assert_array_equal(found.known.gram, G[sample])
    Omega = normals(seed=0, rows=300, columns=16, stream=PROBES)
    scale = np.abs(G) @ np.abs(Omega)
    assert (np.abs(found.known.probes - G @ Omega) <= sum_error_bound(scale, 1200)).all()
    E = (found.Y @ found.Y.T - G) / G.diagonal().max()
    errors = found.certificate.errors
    assert errors.entry.value == pytest.approx(np.abs(E[sample]).max(), rel=1e-9)
    assert errors.all_rows_entry.value >= np.linalg.norm(E, axis=1).max() > 0.5
    assert errors.rms_entry.value >= np.sqrt(np.mean(E**2)) > 0.01


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e3, 1e5, 1e8])
def test_remove__never_certifies_less_than_the_error_whatever_was_taken_away(method, dtype, scale):
    rng = np.random.default_rng(1)
    small = rng.standard_normal((24, 400)).astype(dtype)
    large = (scale * rng.standard_normal((24, 300))).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ss.StreamSparseWarning)
        both = result_of(small, method).append(large, **SMALL)
        if scale == 1e8:
            with pytest.raises(ss.RoundingError, match="lost in the rounding of what was taken"):
                both.remove(large, 400, **SMALL)
            return
        left = both.remove(large, 400, **SMALL)
    truth = true_errors(small, left.Y)
    measured = {name: getattr(left.certificate.errors, name) for name in truth}
    for name, value in truth.items():
        # "exact" is what rounding moves by a hundredth, or 1e-9, at most.
        assert measured[name] is None or measured[name].value >= 0.99 * value - 1e-9
    if scale <= 30:
        assert measured["entry"] is not None
        assert measured["entry"].value < 1
    G = reference.gram(small)
    assert left.certificate.r <= G.diagonal().max() * (1 + 1e-12)
    if method == "exact" and scale == 1e5 and dtype == "float64":
        # Rounding of the squares that went away is what there is of an error.
        assert truth["entry"] > 1e-9
        assert measured["entry"].kind == "bound"


def test_remove__warns_where_rounding_hides_every_error():
    X = np.random.default_rng(0).standard_normal((20, 200)).astype(np.float32)
    both = result_of(X).append(2000 * X, **SMALL)
    with pytest.warns(ss.StreamSparseWarning, match="rounding of what was taken away"):
        left = both.remove(2000 * X, 200, **SMALL)
    assert left.certificate.errors.entry is None
    # Y itself is good to its own rounding.
    np.testing.assert_allclose(left.Y, result_of(X).Y, atol=2000 * 400 * 2.0**-52 * 5)


def test_remove__of_probes_includes_the_rounding_of_what_went():
    rng = np.random.default_rng(1)
    small, large = rng.standard_normal((300, 400)), 1e5 * rng.standard_normal((300, 300))
    left = result_of(small).append(large, **SMALL).remove(large, 400, **SMALL)
    E = (left.Y @ left.Y.T - small @ small.T) / (small**2).sum(axis=1).max()
    errors = left.certificate.errors
    assert errors.all_rows_entry.value >= np.linalg.norm(E, axis=1).max()
    sample = rows_to_check(left.plan)
    assert errors.most_rows_entry.value >= np.abs(E[sample]).max()
    Omega = normals(seed=0, rows=300, columns=16, stream=PROBES)
    lost = np.linalg.norm(left.known.probes - small @ (small.T @ Omega), axis=1)
    slack = probe(left.Y, Seen(left.known, sample, Omega)).slack
    plain = replace(left.known, moved=left.known.squared_norms)
    assert (lost <= slack).all()
    assert (lost > probe(left.Y, Seen(plain, sample, Omega)).slack).any()


def test_transform__ignores_columns_that_are_not_there():
    X = strategies.integer_matrix(20, 900, "int16").astype(np.float32)
    result = result_of(X[:, :300]).append(X[:, 600:], start=600, **SMALL)
    result = result.append(X[:, 300:450], start=300, **SMALL).remove(X[:, 600:], 600, **SMALL)
    assert result.intervals == ((0, 450),)
    assert not result.is_whole
    new = X[:6].copy()
    new[:, 450:] = np.nan
    expected = result_of(X[:, :450]).Y[:6]
    for storage in (np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_array):
        np.testing.assert_array_equal(result.transform(storage(new), **SMALL), expected)
    with pytest.raises(ss.ParameterError, match="must have d = 900 columns, not 450"):
        result.transform(new[:, :450])


def test_transform__reads_no_block_of_columns_that_are_not_there(monkeypatch):
    X = strategies.integer_matrix(20, 900, "int16")
    result = result_of(X[:, :300]).append(X[:, 700:], start=700, **SMALL)
    plan = rows.plan_row_map
    monkeypatch.setattr(
        rows, "plan_row_map", lambda *a, **k: replace(plan(*a, **k), block_bytes=20 * 2 * 100)
    )
    source = Watched(open_source(X))
    np.testing.assert_array_equal(result.transform(source, **SMALL), result.Y)
    assert sorted({columns[0] for _, columns in source.reads}) == [0, 100, 200, 700, 800]


def test_append__goes_on_from_a_result_of_columns_alone_with_names_forgotten():
    X = strategies.integer_matrix(10, 300, "int8")
    named = replace(result_of(X[:, :200]), feature_digest="0" * 32)
    more = named.append(X[:, 200:], **SMALL)
    assert (named.feature_digest, more.feature_digest) == ("0" * 32, None)
    assert (named.certificate.d, named.intervals) == (200, ((0, 200),))
    # The old one is as it was.
    assert known_bits(named.known) == known_bits(result_of(X[:, :200]).known)


def test_append__counts_its_own_pass_alone(tmp_path):
    X = strategies.integer_matrix(10, 300, "int8")
    np.save(tmp_path / "more.npy", X[:, 200:])
    source = Watched(open_source(tmp_path / "more.npy"))
    more = result_of(X[:, :200]).append(source, **SMALL)
    assert source.cells_read == 10 * 100
    assert (more.certificate.passes, more.certificate.bytes_read) == (1, 10 * 100)
    assert more.plan.source == str(tmp_path / "more.npy")
    assert "columns 200 to 299 appended" in more.plan.why


REFUSED = {
    "overlap": (lambda r, X: r.append(X[:, :20], start=90), "columns 90 to 109 overlap columns 0"),
    "overlap inside": (lambda r, X: r.append(X[:, :5], start=150), "overlap columns 120 to 179"),
    "other rows": (lambda r, X: r.append(X[:-1]), "n = 12 rows, but array has 11"),
    "start": (lambda r, X: r.append(X, start=-1), "start"),
    "start that is none": (lambda r, X: r.append(X, start=2.5), "start"),
    "never there": (lambda r, X: r.remove(X[:, :5], 100), "not in the result as one piece"),
    "half there": (lambda r, X: r.remove(X[:, :10], 95), "made of columns 0 to 99, 120 to 179"),
    "twice": (
        lambda r, X: r.remove(X[:, 120:130], 120).remove(X[:, 120:130], 120),
        "not in the result",
    ),
    "everything": (
        lambda r, X: r.remove(X[:, 120:180], 120).remove(X[:, :100], 0),
        "all there are",
    ),
    "other values": (lambda r, X: r.remove(X[:, 121:181] * 0 + 1, 120), "not the values"),
    "another dtype": (lambda r, X: r.remove(X[:, 120:180].astype("f8"), 120), "same dtype"),
    "columns moved": (lambda r, X: r.remove(np.roll(X[:, 120:180], 1, axis=1), 120), "not the"),
    "wrong in two halves": (
        lambda r, X: r.remove(X[:, 150:180], 120).remove(X[:, 150:180], 150),
        "not the values",
    ),
    "more than there is": (lambda r, X: r.remove(X[:, :40] + 100, 10), "not the values"),
    "policy": (lambda r, X: r.append(X, nonfinite="drop"), "nonfinite"),
    "a pair": (lambda r, X: r.append((X, X)), "tuple"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("method", METHODS)
def test_extend__refuses(tmp_path, name, method):
    X = strategies.integer_matrix(12, 181, "int16")
    result = result_of(X[:, :100], method).append(X[:, 120:180], start=120, **SMALL)
    act, message = REFUSED[name]
    with pytest.raises(ss.StreamSparseError, match=message):
        act(result, X)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("sketch", {}),
        ("sketch", {"epsilon": 0.5, "target": "entries"}),
        ("sample", {"m": 20}),
        ("select", {"m": 20, "algorithm": "balance"}),
    ],
)
def test_extend__refuses_results_that_are_no_sum_over_columns(method, arguments):
    X = np.random.default_rng(0).standard_normal((12, 3000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ss.StreamSparseWarning)
        result = ss.sparsify(X, method, **arguments, **SMALL)
    for act in (lambda: result.append(X), lambda: result.remove(X[:, :5], 0)):
        with pytest.raises(ss.ParameterError, match='reduce with method="sketch", m='):
            act()


def test_append__of_the_very_columns_that_are_there_already_warns():
    X = strategies.integer_matrix(12, 100, "int16")
    result = result_of(X)
    with pytest.warns(ss.StreamSparseWarning, match="have the values of columns 0 to 99"):
        twice = result.append(X, **SMALL)
    np.testing.assert_array_equal(twice.known.squared_norms, 2 * result.known.squared_norms)
    zeros = result.append(np.zeros((12, 3), np.int16), **SMALL)
    zeros.append(np.zeros((12, 3), np.int16), **SMALL)


def test_remove__of_some_columns_of_a_call_leaves_the_others():
    X = strategies.integer_matrix(12, 300, "int16")
    result = result_of(X).remove(X[:, 100:150], 100, **SMALL)
    assert result.intervals == ((0, 100), (150, 300))
    np.testing.assert_array_equal(result.Y, result_of(only(X, result.intervals)).Y)
    again = result.append(X[:, 100:150], start=100, **SMALL)
    assert again.is_whole
    np.testing.assert_array_equal(again.Y, result_of(X).Y)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_array])
def test_remove__of_a_call_in_pieces_knows_at_the_last_whether_they_were_right(method, storage):
    X = strategies.integer_matrix(12, 300, "int16")
    result = result_of(storage(X[:, :200]), method).append(storage(X[:, 200:]), **SMALL)
    for first, stop in [(230, 260), (260, 300), (200, 230)]:
        result = result.remove(storage(X[:, first:stop]), first, **SMALL)
    assert result.intervals == ((0, 200),)
    np.testing.assert_array_equal(result.Y, result_of(X[:, :200], method).Y)
    wrong = result.append(storage(X[:, 200:]), **SMALL)
    wrong = wrong.remove(storage(X[:, 231:261]), 330, **SMALL)
    with pytest.raises(ss.ParameterError, match="not the values"):
        wrong.remove(storage(X[:, 200:230]), 300).remove(storage(X[:, 260:300]), 360)


def test_extend__of_queries_and_keys_takes_both():
    Q, K = (strategies.integer_matrix(n, 500, "int16", seed=n) for n in (9, 14))
    pair = ss.sparsify_pair(Q[:, :300], K[:, :300], "sketch", m=48, **SMALL)
    whole = ss.sparsify_pair(Q, K, "sketch", m=48, **SMALL)
    found = pair.append((Q[:, 300:], K[:, 300:]), **SMALL)
    np.testing.assert_array_equal(found.Q, whole.Q)
    np.testing.assert_array_equal(found.K, whole.K)
    assert found.certificate.errors == whole.certificate.errors
    back = found.remove((Q[:, 300:], K[:, 300:]), 300, **SMALL)
    np.testing.assert_array_equal(back.Y, pair.Y)
    with pytest.raises(ss.ParameterError, match="9 queries were reduced, but Q has 14 rows"):
        pair.append((K[:, 300:], Q[:, 300:]))
    with pytest.raises(ss.ParameterError, match="must be a tuple"):
        pair.append(Q[:, 300:])


@pytest.mark.parametrize("s", [1, 2, 4, 8])
@pytest.mark.parametrize("m", [5, 48, 331])
def test_append__is_exact_for_any_number_of_signs(s, m):
    X = strategies.integer_matrix(8, 700, "int32", high=10**6)
    found = result_of(X[:, :333], m=m, s=s).append(X[:, 333:], **SMALL)
    np.testing.assert_array_equal(found.Y, result_of(X, m=m, s=s).Y)


def test_append__of_polynomial_signs_is_one_run():
    X = strategies.integer_matrix(4, 900, "int16")
    found = result_of(X[:, :333], m=48, strict=True).append(X[:, 333:], **SMALL)
    whole = result_of(X, m=48, strict=True)
    assert found.map == whole.map
    assert found.map.operator.hash == "poly4"
    np.testing.assert_array_equal(found.Y, whole.Y)


def test_append__goes_on_from_results_of_dask_and_of_parts(tmp_path, narrow):
    X = strategies.integer_matrix(12, 900, "int16")
    np.save(tmp_path / "x.npy", X[:, :500])
    for method, arguments in METHODS.items():
        expected = result_of(X, method)
        parts = [tmp_path / f"{method}-{number}" for number in (1, 2)]
        for number, part in enumerate(parts, 1):
            ss.reduce_part(tmp_path / "x.npy", part, method, part=(number, 2), **SMALL, **arguments)
        merged = ss.merge(parts, tmp_path / f"{method}.zarr", **SMALL)
        lazy = result_of(da.from_array(X[:, :500], chunks=(12, 100)), method, compute=False)
        eager = result_of(da.from_array(X[:, :500], chunks=(12, 100)), method)
        for first in (merged, ss.load(tmp_path / f"{method}.zarr"), lazy.compute(), eager):
            found = first.append(da.from_array(X[:, 500:], chunks=(5, 70)), **SMALL)
            np.testing.assert_array_equal(found.Y, expected.Y)
            np.testing.assert_array_equal(found.known.gram, expected.known.gram)


@pytest.mark.parametrize("method", METHODS)
def test_append__to_disk_and_back_keeps_everything(tmp_path, method):
    X = strategies.integer_matrix(300, 900, "int16")
    first = result_of(X[:, :500], method, out=tmp_path / "first.zarr")
    more = first.append(X[:, 600:], start=600, out=tmp_path / "more.zarr", **SMALL)
    loaded = ss.load(tmp_path / "more.zarr")
    for name in ("certificate", "plan", "map", "intervals", "feature_digest"):
        assert getattr(loaded, name) == getattr(more, name)
    assert loaded.intervals == ((0, 500), (600, 900))
    assert known_bits(loaded.known) == known_bits(more.known)
    assert loaded.known.to_dict() == more.known.to_dict()
    np.testing.assert_array_equal(loaded.known.moved, more.known.moved)
    for mine, theirs in zip(loaded.known.portions, more.known.portions, strict=True):
        assert (mine.first, mine.left) == (theirs.first, theirs.left)
        np.testing.assert_array_equal(mine.digest, theirs.digest)
    with pytest.raises(ss.OutputExistsError):
        first.append(X[:, 500:], out=tmp_path / "more.zarr")
    replaced = loaded.append(X[:, 500:600], start=500, out=tmp_path / "more.zarr", overwrite=True)
    np.testing.assert_array_equal(replaced.Y[:], result_of(X, method).Y)


def test_append__reads_what_it_starts_from_when_it_is_asked_and_checks_it(tmp_path):
    X = strategies.integer_matrix(300, 900, "int16")
    first = result_of(X[:, :500], out=tmp_path / "first.zarr")
    assert first.certificate.checked_rows == 90
    flip_byte(tmp_path / "first.zarr" / "gram" / "c" / "0" / "0", 100)
    loaded = ss.load(tmp_path / "first.zarr")
    np.testing.assert_array_equal(loaded.transform(X[:3, :500], **SMALL), first.Y[:3])
    with pytest.raises(ss.CorruptChunkError, match="gram is damaged"):
        loaded.append(X[:, 500:])


@pytest.mark.parametrize("error", ["source", "values", "disk"])
def test_extend__that_fails_leaves_nothing(tmp_path, monkeypatch, error):
    X = strategies.integer_matrix(12, 300, "int16")
    result = result_of(X[:, :200]).append(X[:, 200:], **SMALL)
    out = tmp_path / "y.zarr"
    if error == "source":
        with pytest.raises(ss.StoreError):
            result.append(Failing(open_source(X), after=0), out=out, **SMALL)
    elif error == "values":
        with pytest.raises(ss.ParameterError):
            result.remove(X[:, 199:299], 200, out=out, **SMALL)
    else:

        def stop(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(extend, "write_rest", stop)
        with pytest.raises(KeyboardInterrupt):
            result.append(X, out=out, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_append__refuses_a_source_that_changes_meanwhile(tmp_path):
    X = strategies.integer_matrix(12, 300, "int16")
    zarr.create_array(tmp_path / "x", shape=(12, 100), chunks=(12, 50), dtype="i2")[:] = X[:, 200:]
    source = open_source(tmp_path / "x")

    class Written(Watched):
        def read(self, rows, columns):
            zarr.open_array(tmp_path / "x")[:, 99] = 7
            return super().read(rows, columns)

    with pytest.raises(ss.SourceChangedError, match="written to while it was read"):
        result_of(X[:, :200]).append(Written(source), **SMALL)


def test_append__refuses_a_budget_that_cannot_hold_what_is_kept():
    X = strategies.integer_matrix(300, 500, "int16")
    with pytest.raises(ss.BudgetTooSmallError, match="raise memory to"):
        result_of(X[:, :400], "exact").append(X[:, 400:], memory="195 MiB")


def test_append__of_sparse_groups_and_dense_stores_agree(tmp_path):
    X = strategies.sparse_matrix(40, 900, 0.1)
    first = result_of(X.tocsr()[:, :500])
    write_sparse(tmp_path / "csc", X.tocsc()[:, 500:])
    write_sparse(tmp_path / "csr", X.tocsr()[:, 500:])
    dense = first.append(X.toarray()[:, 500:], **SMALL)
    for name in ("csc", "csr"):
        np.testing.assert_array_equal(first.append(tmp_path / name, **SMALL).Y, dense.Y)


def test_result__says_which_columns_are_in_it():
    X = strategies.integer_matrix(12, 300, "int16")
    result = result_of(X[:, :100]).append(X[:, 200:], start=200, **SMALL)
    assert "of columns 0 to 99 of X\n  of columns 200 to 299 of X" in repr(result)
    assert "of columns" not in repr(result.append(X[:, 100:200], start=100, **SMALL))
    assert json.dumps(result.known.to_dict())


@pytest.mark.parametrize("n", [20, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("word", ["center", "standardize"])
@pytest.mark.parametrize("method", ["sketch", "exact"])
def test_append__preprocesses_columns_as_the_first_ones_were(tmp_path, n, word, method):
    X = np.random.default_rng(0).standard_normal((n, 700)) + np.arange(700)
    options = {"method": method, "preprocess": word, "m": 64 if method == "sketch" else None}
    first = ss.sparsify(X[:, :400], **options, out=tmp_path / "first")
    both = ss.load(tmp_path / "first").append(X[:, 400:])
    whole = ss.sparsify(X, **options)
    columns = reference.preprocessed(X, center=True, scale=word == "standardize")
    G = reference.gram(columns)
    # Products of d values, less means of n: lengths are at most twice those of uncentred rows.
    moved = 8 * (700 + 10 * n) * 2.0**-53 * np.square(X).sum(axis=1).max()
    np.testing.assert_allclose(both.Y @ both.Y.T, whole.Y @ whole.Y.T, atol=moved)
    assert both.certificate.r == pytest.approx(G.diagonal().max(), abs=moved)
    assert both.certificate.preprocess == first.certificate.preprocess
    error = np.abs(both.Y @ both.Y.T - G).max() / both.certificate.r
    found = both.certificate.errors
    bound = found.all_rows_entry if found.all_rows_entry is not None else found.entry
    assert error <= 1.01 * bound.value + 1e-9
    # That of Y = 0 is 1.
    assert found.entry.value < 1
    if method == "sketch" and word == "center":
        np.testing.assert_allclose(both.transform(X[:5]), both.Y[:5], atol=moved)
    again = both.remove(X[:, 400:], 400)
    np.testing.assert_allclose(again.Y @ again.Y.T, first.Y[:] @ first.Y[:].T, atol=moved)


def test_append__refuses_rows_of_other_names():
    xarray = pytest.importorskip("xarray")
    X = np.random.default_rng(0).standard_normal((4, 60))
    names = ["a", "b", "c", "d"]

    def named(values, rows):
        return xarray.DataArray(values, dims=("cell", "gene"), coords={"cell": rows})

    first = ss.sparsify(named(X[:, :40], names), "sketch", m=8)
    with pytest.raises(ss.ParameterError, match="row 0 is 'd', not 'a'; reorder them"):
        first.append(named(X[::-1, 40:], names[::-1]))
    assert first.append(named(X[:, 40:], names)).certificate.d == 60


def test_append__has_no_timeline_and_checks_its_flags(tmp_path):
    X = np.random.default_rng(0).standard_normal((6, 90))
    first = ss.sparsify(X[:, :60], "sketch", m=8)
    assert first.append(X[:, 60:]).timeline == ()
    with pytest.raises(ss.ParameterError, match="overwrite must be True or False"):
        first.append(X[:, 60:], out=tmp_path / "y", overwrite="yes")
    with pytest.raises(ss.ParameterError, match="start must be between"):
        first.append(X[:, 60:], start=2**53 - 2)


def test_output__inside_a_result_is_refused_and_leaves_it_whole(tmp_path):
    X = np.random.default_rng(0).standard_normal((6, 90))
    first = ss.sparsify(X[:, :60], "sketch", m=8, out=tmp_path / "y.zarr")
    inside = tmp_path / "y.zarr" / "more"
    for write in (
        lambda: first.append(X[:, 60:], out=inside),
        lambda: ss.sparsify(X, "exact", out=inside),
        lambda: first.transform(X[:, :60], out=inside),
        lambda: first.save(inside),
        lambda: first.export(inside.with_suffix(".npy")),
    ):
        with pytest.raises(ss.OutputExistsError, match="lies inside the result"):
            write()
    np.testing.assert_array_equal(ss.load(tmp_path / "y.zarr").Y[:], first.Y[:])
