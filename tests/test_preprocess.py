"""Columns centred, scaled, imputed in the stream: what is claimed is true of the twin in memory."""

import json
import warnings
from dataclasses import replace
from itertools import pairwise

import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr
from hypothesis import given
from hypothesis import strategies as st

import drivers
import reference
import strategies
import streamsparse as ss
import tolerances
from streamsparse.methods.base import Job
from streamsparse.methods.run import with_planned_layout
from streamsparse.running.local import Execution
from streamsparse.running.progress import show_progress
from streamsparse.sources.open import open_source
from streamsparse.sources.rewritten import preprocessed
from streamsparse.storing.zarr_write import write_sparse

STORAGES = {"dense": np.asarray, "csr": scipy.sparse.csr_array, "csc": scipy.sparse.csc_array}
WAYS = {
    "exact": ("exact", {}),
    "sketch": ("sketch", {"m": 512}),
    "sketch, cut": ("sketch", {}),
    "sketch to an epsilon": ("sketch", {"epsilon": 0.5, "target": "entries"}),
    "sketch, regularised": ("sketch", {"epsilon": 0.3, "target": "regularised"}),
}


def matrix(n, d=3000, *, offset=1.0, dtype="float32", density=0.5, seed=0):
    """Rows that have much in common, and zeros."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) + offset * rng.uniform(0.5, 1.5, d)
    return (X * (rng.random((n, d)) < density)).astype(dtype)


def errors_of(Y, truth):
    """E = Y Y^T - G of the twin, its G."""
    G = truth @ truth.T
    return np.asarray(Y[:] @ Y[:].T - G), G


def assert_covers(certificate, Y, truth):
    """Every bound of the certificate holds, relative to the r that it states."""
    E, G = errors_of(Y, truth)
    r, errors = certificate.r, certificate.errors
    assert abs(r - G.diagonal().max()) <= 0.01 * r
    worst, rms = np.abs(E).max() / r, np.sqrt(np.square(E).mean()) / r
    shift = 1 if errors.checked_rows == len(G) else None
    for measure, value in ((errors.entry if shift else None, worst), (errors.rms_entry, rms)):
        if measure is not None:
            slack = 0.01 * value + 1e-9 if measure.kind == "exact" else 0
            assert measure.value + slack >= value
    if errors.all_rows_entry is not None:
        assert errors.all_rows_entry.value >= worst
    if errors.most_rows_entry is not None:
        share = (np.abs(E).max(axis=1) / r <= errors.most_rows_entry.value).mean()
        assert share >= errors.most_rows_entry.share
    return worst


# Of 300 rows probes certify no regularised error as small as that.
@pytest.mark.filterwarnings("ignore:whether the regularised error")
@pytest.mark.parametrize("n", [60, 300])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("storage", "offset"), [("dense", 20.0), ("csr", 1.0), ("csc", 1.0)])
def test_center__makes_Y_of_the_centred_matrix_and_measures_it(n, way, storage, offset):
    X = matrix(n, offset=offset)
    method, arguments = WAYS[way]
    truth = reference.preprocessed(X, center=True)
    result = ss.sparsify(STORAGES[storage](X), method, preprocess="center", **arguments)
    worst = assert_covers(result.certificate, result.Y, truth)
    # Y = 0, and Y of X as it is, are further off than that.
    zero = np.abs(errors_of(np.zeros((n, 1)), truth)[0]).max() / result.certificate.r
    assert worst < 0.6 * zero
    plain = ss.sparsify(STORAGES[storage](X), method, **arguments).Y
    assert worst < np.abs(errors_of(plain, truth)[0]).max() / result.certificate.r
    again = ss.certify(STORAGES[storage](X), result, exact=True)
    assert_covers(again, result.Y, truth)
    assert again.preprocess == ss.Preprocess(center=True)


def test_center__sketches_the_centred_matrix_itself():
    X = strategies.integer_matrix(40, 2000, "int8")
    truth = reference.preprocessed(X, center=True)
    for storage in STORAGES.values():
        Y = ss.sparsify(storage(X), "sketch", m=64, s=4, preprocess="center").Y
        expected = reference.sketch(truth, m=64, s=4, seed=0)
        # Sums of integers are exact: what rounds is the mean, the difference and the scale.
        bound = 4 * np.finfo(float).eps * np.abs(reference.sketch(X, m=64, s=4, seed=0)).max()
        bound += reference.sketch(np.abs(truth), m=64, s=4, seed=0).max() * 2000 * 2.0**-53
        assert np.abs(Y - expected).max() <= bound


def test_center__measures_sampled_rows_and_probes_of_the_centred_matrix():
    X = matrix(300, offset=20.0, dtype="float64")
    truth = reference.preprocessed(X, center=True)
    Y = ss.sparsify(X, "sketch", m=512, preprocess="center").Y
    E, G = errors_of(Y, truth)
    rows = [3, 77, 298]
    found = ss.certify(X, Y, rows=rows, preprocess="center")
    # Rounding of the rows as they were, 1e4 times as large as those that are left.
    bound = tolerances.sum_error_bound(4 * np.square(X).sum(axis=1).max(), sum(X.shape))
    assert abs(found.entry_error.value * found.r - np.abs(E[rows]).max()) <= 2 * bound
    # The least that it can be: what it was summed to, less twice that rounding.
    assert abs(found.r - G.diagonal().max()) <= 3 * bound
    # 16 probes bound the mean square within a factor of 3, of Y that is not centred as well.
    for off in (1.01 * truth, Y, Y + 0.1):
        rms = np.sqrt(np.square(errors_of(off, truth)[0]).mean()) / found.r
        measured = ss.certify(X, off, preprocess="center").errors.rms_entry.value
        assert rms <= measured <= 3 * rms


def sparsify_or_none(X, method, **arguments):
    """The result, None where what centring leaves is below rounding."""
    try:
        return ss.sparsify(X, method, **arguments)
    except ss.RoundingError:
        return None


@pytest.mark.parametrize(
    ("dtype", "offset"),
    [("float32", 1e2), ("float32", 1e4), ("float64", 1e4), ("float64", 1e7), ("int16", 2e4)],
)
@pytest.mark.parametrize("n", [40, 280])
def test_center__never_claims_less_than_the_truth_where_little_is_left(dtype, offset, n):
    # Rows agree in all but noise: rounding of their products is larger than what is left of them.
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, 1500)) * (100 if dtype == "int16" else 1)
    X = (X + offset).astype(dtype)
    truth = reference.preprocessed(X, center=True)
    for method, arguments in WAYS.values():
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            result = sparsify_or_none(X, method, preprocess="center", **arguments)
        if result is None:
            assert offset >= (1e2 if dtype == "float32" else 1e6)
            continue
        worst = assert_covers(result.certificate, result.Y, truth)
        assert worst < 0.9
        measured = result.certificate.entry_error
        if measured is None:
            assert any("rounding" in str(warning.message) for warning in told)
        elif n <= 256:
            assert measured.value * (1 + 1e-9) >= worst or measured.kind == "exact"


def test_center__refuses_rows_that_are_all_the_same():
    X = np.tile(np.random.default_rng(0).standard_normal(500), (20, 1))
    with pytest.raises(ss.RoundingError, match="leaves too little of X"):
        ss.sparsify(X, "sketch", m=8, preprocess="center")
    with pytest.raises(ss.ParameterError, match="at least 2 rows"):
        ss.plan(X[:1], "exact", preprocess="center")
    zero = ss.sparsify(np.zeros((20, 500)), "exact", preprocess="center")
    assert zero.certificate.r == 0


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The same X in stores of any grid."""
    folder = tmp_path_factory.mktemp("grids")
    X = matrix(67, 40_000, offset=3.0, density=0.2)
    made = {"memory": X, "F": np.asfortranarray(X)}
    for chunks in [(67, 1000), (10, 7777), (1, 40_000)]:
        path = folder / f"{chunks[0]}.zarr"
        zarr.create_array(path, shape=X.shape, chunks=chunks, dtype=X.dtype)[:] = X
        made[f"zarr {chunks}"] = path
    made["dask"] = dask.array.from_array(X, chunks=((30, 37), (1, 1999, 38_000)))
    sparse = scipy.sparse.csr_array(X)
    for storage in ("csr", "csc"):
        write_sparse(folder / storage, sparse.asformat(storage), chunk_entries=10_000)
        made[storage] = folder / storage
    return made


SPECS = {
    "center": "center",
    "scale": "scale",
    "standardize": ss.Preprocess(center=True, scale=True, impute="mean", missing_value=0.5),
}


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("method", ["exact", "sketch"])
def test_preprocess__gives_the_same_bits_for_any_grid(stored, spec, method):
    found = {}
    for kind, X in stored.items():
        arguments = {"m": 200} if method == "sketch" else {}
        result = ss.sparsify(X, method, preprocess=SPECS[spec], memory="512 MiB", **arguments)
        # Dense tiles and scattered columns are other sums; and dense columns are centred where they
        # are scaled, before they are rounded.
        is_sparse = kind in ("csr", "csc") and (method == "exact" or spec == "standardize")
        Y = found.setdefault(is_sparse, result.Y)
        np.testing.assert_array_equal(result.Y, Y, err_msg=kind)


def with_missing(X, code, seed=0):
    """X with a tenth of its values missing, columns of one value, of none, of zeros, and of two."""
    X, missing = X.copy(), np.random.default_rng(seed).random(X.shape) < 0.1
    X[missing] = np.nan if code is None else code
    X[:, 3], X[:, 4], X[:, 5] = 7, 0, np.nan if code is None else code
    X[:, 6] = 7
    X[: len(X) // 2, 6] = np.nan if code is None else code
    return X


REWRITES = {
    "scale": {"scale": True},
    "standardize": {"center": True, "scale": True},
    "mean": {"impute": "mean"},
    "zero, scaled": {"impute": "zero", "scale": True},
    "mean, centred": {"impute": "mean", "center": True},
    "mean, standardized": {"impute": "mean", "center": True, "scale": True},
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "int32"])
@pytest.mark.parametrize("kind", REWRITES)
def test_preprocess__makes_Y_of_the_twin_and_measures_it(dtype, kind):
    spec = REWRITES[kind]
    code = None if dtype.startswith("float") else -1
    X = matrix(60, 1500, offset=3.0).astype(dtype)
    if "impute" in spec:
        X = with_missing(X, code)
        spec = spec | {"missing_value": code}
    truth = reference.preprocessed(X, **spec)
    for storage in STORAGES.values():
        for way in ("exact", "sketch"):
            method, arguments = WAYS[way]
            preprocess = ss.Preprocess(**spec)
            result = ss.sparsify(storage(X), method, preprocess=preprocess, **arguments)
            worst = assert_covers(result.certificate, result.Y, truth)
            # Of Y = 0 it is 1.
            assert worst < (1e-5 if way == "exact" else 0.6)
            again = ss.certify(storage(X), result)
            assert_covers(again, result.Y, truth)


@pytest.mark.slow
@pytest.mark.parametrize("kind", REWRITES)
def test_preprocess__of_many_rows_is_measured_by_probes(kind):
    spec = REWRITES[kind]
    X = matrix(300, offset=3.0)
    X = with_missing(X, None) if "impute" in spec else X
    truth = reference.preprocessed(X, **spec)
    for storage in STORAGES.values():
        result = ss.sparsify(storage(X), "sketch", m=2048, preprocess=ss.Preprocess(**spec))
        assert assert_covers(result.certificate, result.Y, truth) < 0.3
        exact = ss.sparsify(storage(X), "exact", preprocess=ss.Preprocess(**spec))
        # The probes see no more than the rounding of values in float32.
        checked = ss.certify(storage(X), exact)
        assert_covers(checked, exact.Y, truth)
        assert checked.errors.all_rows_entry.value < 1e-3


def test_certify__includes_the_rounding_of_values_to_float32():
    X = matrix(300, offset=3.0)
    bare = open_source(X, feature_axis=1, missing="error")
    # Nothing but that is between Y and the twin.
    Y = preprocessed(bare, ss.Preprocess(scale=True)).read((0, 300), (0, X.shape[1])).view()
    truth = reference.preprocessed(X, scale=True)
    E, _ = errors_of(Y.astype(float), truth)
    found = ss.certify(X, Y, preprocess="scale")
    worst = np.abs(E).max() / found.r
    assert 1e-10 < worst < found.errors.all_rows_entry.value < 1e-4


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("value", [0.1, 1 / 3, -1e300, 5e-324])
def test_rewriting__leaves_a_column_of_one_value_alone(storage, value):
    # Ten times 0.1 do not add up to 1.
    for n in range(3, 40):
        X = np.full((n, 3), value)
        X[2, 1] = np.nan
        X[:, 2] = np.nan
        bare = open_source(STORAGES[storage](X), feature_axis=1, missing="error")
        spec = ss.Preprocess(center=storage == "dense", scale=True, impute="mean")
        block = preprocessed(bare, spec).read((0, n), (0, 3))
        expected = np.where(np.arange(3) < 2, 0.0 if spec.center else value, 0.0)
        np.testing.assert_array_equal(values_of(block), np.tile(expected, (n, 1)))


def test_rewriting__leaves_columns_of_one_value_alone_however_many_rows_there_are():
    # What the rounding of so many additions leaves would be taken for a deviation.
    X = np.tile(np.random.default_rng(0).standard_normal(20), (30_001, 1))
    bare = open_source(scipy.sparse.csr_array(X), feature_axis=1, missing="error")
    block = preprocessed(bare, ss.Preprocess(scale=True)).read((0, 30_001), (0, 20))
    np.testing.assert_array_equal(values_of(block), X)


@pytest.mark.parametrize("rebucket", [False, True])
def test_rewriting__makes_no_block_larger_than_planned(rebucket):
    # Of int8 they are four times as large as what is read.
    X = strategies.integer_matrix(50, 4000)
    preprocess = ss.Preprocess(scale=True)
    source = preprocessed(open_source(X, feature_axis=1, missing="error"), preprocess)
    stream = {"rebucket": rebucket, "block_bytes": 40_000, "temporary_disk_bytes": X.nbytes}
    plan = drivers.plan_of(source, stream=stream, method="exact", preprocess=preprocess)
    with show_progress(False, label="", total=0) as bar:
        job = Job(source, plan, Execution(2, False, bar), None)
        with with_planned_layout(job) as ready:
            intervals = list(ready.source.cut((0, 50), 40_000))
            sizes = [ready.source.read((0, 50), columns).data.nbytes for columns in intervals]
    assert sum(sizes) == 4 * X.nbytes
    assert max(sizes) <= 40_000


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("size", [1e8, 1e15])
def test_preprocess__sees_what_little_is_left_of_large_columns(scale, size):
    # At 1e15 the mean of a column is rounded by as much as its values differ.
    rng = np.random.default_rng(0)
    X = size + rng.integers(-2, 3, (40, 600)).astype(np.float64)
    truth = reference.preprocessed(X, center=True, scale=scale)
    preprocess = ss.Preprocess(center=True, scale=scale, impute="mean")
    result = ss.sparsify(X, "exact", preprocess=preprocess)
    assert assert_covers(result.certificate, result.Y, truth) < 1e-9
    assert result.certificate.entry_error.value < 1e-9
    with pytest.raises(ss.RoundingError):
        ss.sparsify(X, "exact", preprocess="center")


@given(
    data=st.data(),
    storage=st.sampled_from(sorted(STORAGES)),
    dtype=st.sampled_from(["float32", "float64", "int8", "uint16", "int64"]),
    center=st.booleans(),
    scale=st.booleans(),
    impute=st.sampled_from([None, "mean", "zero"]),
)
def test_rewriting__gives_the_twin_to_rounding_for_any_cut(
    data, storage, dtype, center, scale, impute
):
    X = strategies.integer_matrix(data.draw(st.integers(1, 20)), 300, dtype, high=3)
    preprocess = ss.Preprocess(center, scale, impute, 2 if impute else None)
    if not preprocess.rewrites:
        return
    source = preprocessed(
        open_source(STORAGES[storage](X), feature_axis=1, missing="error"), preprocess
    )
    n, d = source.shape
    edges = data.draw(strategies.cuts(d))
    whole = values_of(source.read((0, n), (0, d)))
    cut = [values_of(source.read((0, n), columns)) for columns in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(cut, axis=1), whole)
    # Sparse columns are centred after the pass.
    centred = center and storage == "dense"
    truth = reference.preprocessed(
        X, center=centred, scale=scale, impute=impute, missing_value=preprocess.missing_value
    )
    assert whole.dtype == (np.float64 if dtype in ("float64", "int64") else np.float32)
    u = np.finfo(whole.dtype).eps / 2
    size = np.abs(reference.preprocessed(X, scale=scale)).max() + 3
    assert np.abs(whole - truth).max() <= (2 * u + 8 * n * 2.0**-53) * size
    assert preprocessed(source.bare, ss.Preprocess(center=True)) is source.bare


def values_of(block):
    if not hasattr(block, "indptr"):
        return block.view()
    shape = tuple(b - a for a, b in (block.rows, block.columns))
    made = scipy.sparse.csr_array if block.by_rows else scipy.sparse.csc_array
    return made((block.data, block.indices, block.indptr), shape=shape).toarray()


@given(
    data=st.data(),
    storage=st.sampled_from(sorted(STORAGES)),
    kind=st.sampled_from(["gaussian", "power law", "zero rows", "near duplicates"]),
)
def test_center__certifies_no_less_than_the_truth_of_any_matrix(data, storage, kind):
    X = strategies.named_matrices(d=300)[kind]
    X = X[: data.draw(st.integers(2, X.shape[0]))]
    truth = reference.preprocessed(X, center=True)
    Y = ss.sparsify(X, "sketch", m=data.draw(st.integers(1, 64))).Y
    try:
        # Of any Y, even one that is not centred.
        certificate = ss.certify(STORAGES[storage](X), Y, preprocess="center")
    except ss.RoundingError:
        return
    assert_covers(certificate, Y, truth)


@pytest.mark.slow
def test_certify__of_a_plain_Y_takes_preprocess_and_of_a_result_knows_it():
    X = matrix(300, offset=3.0)
    truth = reference.preprocessed(X, center=True)
    result = ss.sparsify(X, "sketch", m=2048, preprocess="center")
    known, given_ = ss.certify(X, result), ss.certify(X, result.Y, preprocess="center")
    assert known.errors == given_.errors
    assert_covers(known, result.Y, truth)
    assert ss.certify(X, result.Y).entry_error.value > 2 * known.entry_error.value
    wide = X.astype(float)
    exact, off = (
        ss.certify(wide, factor * truth, preprocess="center", spectral=2).spectral_error.value
        for factor in (1, 1.01)
    )
    assert exact < 1.01**2 - 1 <= off
    with pytest.raises(ss.ParameterError, match="as they are"):
        ss.certify(X, result, preprocess=ss.Preprocess())
    attention = ss.attention_error(X, result, beta=1e-3)
    expected = reference.attention_error(truth @ truth.T, result.Y @ result.Y.T, 1e-3)
    assert attention == pytest.approx(expected, rel=1e-3)


def test_preprocess__is_saved_and_said(tmp_path):
    X = matrix(30)
    result = ss.sparsify(X, "sketch", m=64, preprocess="center", out=tmp_path / "y")
    for found in (result, ss.load(tmp_path / "y")):
        assert found.plan.preprocess == found.certificate.preprocess == ss.Preprocess(center=True)
        assert "of X with its columns centred" in str(found.certificate)
        assert "columns  centred" in str(found.plan)
        for told in (found.plan.to_dict(), found.certificate.to_dict()):
            assert json.loads(json.dumps(told["preprocess"])) == {
                "center": True,
                "scale": False,
                "impute": None,
                "missing_value": None,
            }
    plain = ss.sparsify(X, "sketch", m=64)
    assert "columns " not in str(plain.certificate)


def test_preprocess__decides_which_run_is_resumed(tmp_path):
    X = tmp_path / "x.npy"
    np.save(X, matrix(30))
    first = ss.sparsify(X, "exact", preprocess="center", out=tmp_path / "y")
    again = ss.sparsify(X, "exact", preprocess="center", out=tmp_path / "y", resume=True)
    assert again.certificate.seconds == first.certificate.seconds
    with pytest.raises(ss.OutputExistsError):
        ss.sparsify(X, "exact", out=tmp_path / "y", resume=True)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("method", ["exact", "sketch"])
def test_preprocess__of_parts_has_the_bits_of_one_run(tmp_path, method, spec):
    X = matrix(30, 40_000)
    np.save(tmp_path / "x.npy", X)
    arguments = {"preprocess": SPECS[spec], **({"m": 64} if method == "sketch" else {})}
    whole = ss.sparsify(X, method, **arguments)
    parts = []
    for k in (1, 2):
        parts.append(tmp_path / f"part-{k}")
        ss.reduce_part(tmp_path / "x.npy", parts[-1], method, part=(k, 2), **arguments)
    merged = ss.merge(parts)
    np.testing.assert_array_equal(merged.Y, whole.Y)
    assert merged.certificate.errors == whole.certificate.errors
    arguments.pop("preprocess")
    ss.reduce_part(tmp_path / "x.npy", tmp_path / "other", method, part=(2, 2), **arguments)
    with pytest.raises(ss.PartMismatchError):
        ss.merge([parts[0], tmp_path / "other"])


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("method", ["exact", "sketch"])
def test_preprocess__on_dask_has_the_bits_of_one_run(tmp_path, method, spec):
    X = matrix(30, 40_000)
    np.save(tmp_path / "x.npy", X)
    arguments = {"preprocess": SPECS[spec], **({"m": 64} if method == "sketch" else {})}
    whole = ss.sparsify(X, method, **arguments)
    chunked = dask.array.from_array(X, chunks=(10, 9000))
    by_path = ss.sparsify(tmp_path / "x.npy", method, runner="dask", **arguments)
    lazy = ss.sparsify(chunked, method, compute=False, **arguments).compute()
    for result in (by_path, ss.sparsify(chunked, method, **arguments), lazy):
        np.testing.assert_array_equal(result.Y, whole.Y)
        assert result.certificate.errors == whole.certificate.errors


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("centre", "'center', 'scale', 'standardize', or an ss.Preprocess, not 'centre'"),
        (True, "not True"),
        ({"center": True}, "ss.Preprocess"),
    ],
)
def test_preprocess__refuses_other_words(spec, text):
    for call in (ss.plan, ss.sparsify):
        with pytest.raises(ss.ParameterError, match=text):
            call(np.ones((2, 2)), preprocess=spec)
    with pytest.raises(ss.ParameterError, match=text):
        ss.certify(np.ones((2, 2)), np.ones((2, 2)), preprocess=spec)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"center": 1}, "center must be True or False, not 1"),
        ({"scale": None}, "scale must be True or False"),
        ({"impute": "median"}, "'mean', 'zero', not 'median'"),
        ({"impute": "mean", "missing_value": "-1"}, "a finite number, or None for NaN, not '-1'"),
        ({"impute": "mean", "missing_value": float("inf")}, "not inf"),
        ({"missing_value": -1}, "say with impute what they become"),
    ],
)
def test_preprocess__checks_its_parameters(arguments, text):
    with pytest.raises(ss.ParameterError, match=text):
        ss.Preprocess(**arguments)


@pytest.mark.parametrize("arguments", [{"m": 64}, {"epsilon": 0.9, "target": "spectral"}])
@pytest.mark.parametrize("storage", STORAGES)
def test_transform__takes_the_old_mean_from_new_rows(tmp_path, arguments, storage):
    X, new = matrix(40, offset=3.0), matrix(7, offset=5.0, seed=3)
    # A spectral error that small takes more columns than there is memory for: the bound says so.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = ss.sparsify(X, "sketch", preprocess="center", **arguments)
    result.save(tmp_path / "y")
    loaded = ss.load(tmp_path / "y")
    Y_new = result.transform(STORAGES[storage](new))
    np.testing.assert_array_equal(loaded.transform(STORAGES[storage](new)), Y_new)
    if "m" in arguments:
        np.testing.assert_array_equal(result.transform(STORAGES[storage](X[5:9])), result.Y[5:9])
    # The same map of the centred rows, which it takes as they are.
    centred = new.astype(float) - X.astype(float).mean(axis=0)
    bare = replace(result, map=replace(result.map, mean=None), plan=ss.plan(X, "sketch", m=64))
    expected = bare.transform(centred)
    # Sums of |x| and of the mean, in any order, and what a projection makes of them.
    size = np.abs(new).sum(axis=1).max() + np.abs(X).mean(axis=0).sum()
    if result.map.projection is not None:
        size *= np.abs(result.map.projection).sum(axis=0).max()
    assert np.abs(Y_new - expected).max() <= tolerances.sum_error_bound(size, 2 * sum(X.shape))
    assert np.abs(Y_new - bare.transform(new)).max() > 0.1 * np.abs(expected).max()


def test_transform__is_refused_where_what_was_done_is_not_kept():
    X = matrix(40, offset=3.0)
    for spec in ("scale", "standardize", ss.Preprocess(impute="mean")):
        result = ss.sparsify(X, "sketch", m=64, preprocess=spec)
        with pytest.raises(ss.ParameterError, match="numbers of each column that are not kept"):
            result.transform(X)
    rescaled = ss.sparsify(X, "sketch", preprocess="center", epsilon=0.9, target="entries")
    with pytest.raises(ss.ParameterError, match="reduce with m, or with target='spectral'"):
        rescaled.transform(X)


@pytest.mark.parametrize("method", ["exact", "sketch"])
def test_preprocess__of_chunks_of_whole_rows_rewrites_X_by_columns(tmp_path, method):
    X = strategies.sparse_matrix(300, 200_000, 0.02, high=9, dtype="int8")
    write_sparse(tmp_path / "x.zarr", X, chunk_entries=10_000)
    arguments = {"preprocess": "standardize", **({"m": 256} if method == "sketch" else {})}
    result = ss.sparsify(tmp_path / "x.zarr", method, memory="248 MiB", **arguments)
    assert result.plan.stream.rebucket
    np.testing.assert_array_equal(result.Y, ss.sparsify(X, method, **arguments).Y)


def test_preprocess__names_what_is_not_finite_where_it_is():
    X = matrix(20, 300)
    X[7, 41] = np.nan
    X[3, 99] = np.inf
    for storage in STORAGES.values():
        with pytest.raises(ss.NonFiniteError, match="nan at row 7, column 41"):
            ss.sparsify(storage(X), "exact", preprocess="standardize")
        with pytest.raises(ss.NonFiniteError, match="inf at row 3, column 99"):
            ss.sparsify(storage(X), "exact", preprocess=ss.Preprocess(scale=True, impute="mean"))


def test_preprocess__refuses_what_cannot_be_meant():
    X = matrix(20, 300)
    spec = ss.Preprocess(impute="mean", missing_value=0)
    with pytest.raises(ss.ParameterError, match="would make X dense"):
        ss.plan(scipy.sparse.csr_array(X), "exact", preprocess=spec)
    ss.plan(X, "exact", preprocess=spec)
    for code in (-1, 300, 0.5):
        with pytest.raises(ss.ParameterError, match="uint8 has integers from 0 to 255"):
            ss.plan(X.astype(np.uint8), preprocess=ss.Preprocess(impute="zero", missing_value=code))
    with pytest.raises(ss.ParameterError, match="impute='zero'"):
        ss.sparsify(X, "exact", preprocess="scale", nonfinite="zero")
    # Centring alone is made after NaN were read as zero.
    X[3, 4] = np.nan
    truth = reference.preprocessed(np.nan_to_num(X), center=True)
    result = ss.sparsify(X, "exact", preprocess="center", nonfinite="zero")
    assert assert_covers(result.certificate, result.Y, truth) < 1e-5


@pytest.mark.parametrize("method", ["sample", "select"])
def test_preprocess__is_refused_by_methods_that_keep_columns(method):
    with pytest.raises(ss.ParameterError, match="keeps columns of X as they are"):
        ss.plan(np.ones((20, 50)), method, preprocess="center")


@pytest.mark.slow
def test_certify__sees_a_direction_that_Y_lacks_however_large_the_means_were():
    rng = np.random.default_rng(0)
    n, d = 300, 20_000
    X = rng.standard_normal((n, d))
    # A direction far smaller than the squares of the means, and far above rounding of what is left.
    u = np.linalg.qr(X @ rng.standard_normal((d, 2)))[0][:, :1]
    u -= u.mean()
    u /= np.linalg.norm(u)
    X -= (1 - 1 / 40) * (u @ (u.T @ X))
    centred = X - X.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    Y = vectors[:, 2:] * np.sqrt(values[2:])
    found = ss.certify(X + 1000.0, Y, spectral=1, preprocess="center").spectral_error
    assert found is None or found.value >= 1
