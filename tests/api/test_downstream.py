"""Kernels, neighbours and components of Y: against slow twins, and never further off than said."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
import streamsparse as ss
from approximations import approximations, certificate_of, matrices
from streamsparse.api import given as knowledge
from streamsparse.dense.certificate import Errors, Measure
from tolerances import most_failures, sum_error_bound

X_KINDS, Y_KINDS = list(matrices()), list(approximations(matrices()["flat"]))
METRICS = ("euclidean", "cosine", "inner")
PARAMETERS = {
    "linear": {},
    "cosine": {},
    "rbf": {"gamma": 0.3},
    "polynomial": {"gamma": 0.5, "degree": 4, "coef0": -0.2},
    "exponential": {"beta": 0.001},
}


def pairs_of(X_kind):
    X = matrices()[X_kind]
    return [(X, Y) for Y in approximations(X).values()]


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.standard_normal((4, 2000)), 10, axis=0)
    X = (centres + 0.1 * rng.standard_normal((40, 2000))) / np.sqrt(2000)
    return X, ss.sparsify(X, "sketch", m=1024)


# Values: the slow twins.


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("kind", X_KINDS)
def test_kernel__equals_the_formula_entry_by_entry(kind, name):
    Y = matrices()[kind]
    F = Y @ Y.T
    found = ss.kernel(Y, name, **PARAMETERS[name])
    expected = reference.kernel(F, name, **PARAMETERS[name])
    # Few roundings of what goes into a value, times the slope of the kernel there.
    largest = np.diagonal(F).max()
    magnitude = {
        "linear": largest,
        "cosine": 1,
        "rbf": 0.3 * 4 * largest,
        "polynomial": 4 * (0.5 * largest + 0.2) ** 4,
        "exponential": (1 + 0.001 * largest) * np.exp(0.001 * largest),
    }[name]
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=8 * 2**-53 * magnitude)
    assert found.error is None


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 3, 11])
def test_neighbors__of_integers_are_those_of_a_sort_ties_by_index(metric, k):
    # Integers: all products are exact, and there are many ties.
    Y = np.random.default_rng(0).integers(-1, 2, (12, 4)).astype(float)
    found = ss.neighbors(Y, k, metric)
    values = reference.compared(Y @ Y.T, metric)
    if metric == "cosine":
        # Not integers: the same divisions, so the same ties.
        lengths = np.sqrt(np.square(Y).sum(axis=1))
        lengths[lengths == 0] = 1
        values = -((Y @ Y.T) / lengths[:, None] / lengths)
    expected = reference.neighbors(values, k)
    np.testing.assert_array_equal(found.indices, expected)
    near = np.take_along_axis(values, expected, axis=1)
    distances = {"euclidean": lambda: np.sqrt(near), "cosine": lambda: 1 + near}
    np.testing.assert_array_equal(found.distances, distances.get(metric, lambda: -near)())
    assert found.certain is None
    assert found.error is None


def test_neighbors__in_blocks_are_those_of_all_rows_at_once(monkeypatch):
    Y = np.random.default_rng(0).integers(-3, 4, (50, 6)).astype(float)
    whole = ss.neighbors(Y, 5)
    monkeypatch.setattr("streamsparse.api.downstream._CHUNK_BYTES", 8 * 50 * 7)
    np.testing.assert_array_equal(ss.neighbors(Y, 5).indices, whole.indices)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (7, 7)])
def test_pca__has_the_singular_values_and_vectors_of_the_centred_rows(shape):
    Y = np.random.default_rng(0).standard_normal(shape) + 3
    n, k = shape[0], min(shape[0] - 1, shape[1])
    found = ss.pca(Y, k)
    U, sigma, _ = np.linalg.svd(Y - Y.mean(axis=0), full_matrices=False)
    rounding = sum_error_bound(np.square(Y).sum(), 8 * n * shape[1])
    np.testing.assert_allclose(found.variances, sigma[:k] ** 2 / (n - 1), atol=rounding)
    np.testing.assert_allclose(found.ratios, sigma[:k] ** 2 / (sigma**2).sum(), atol=rounding)
    # The gaps of these spectra exceed 0.1, so vectors are off by ten times as much.
    gaps = -np.diff(np.append(sigma**2, 0))[:k]
    assert gaps.min() > 0.1
    overlap = np.abs(np.sum(found.scores * (U[:, :k] * sigma[:k]), axis=0)) / sigma[:k] ** 2
    np.testing.assert_allclose(overlap, 1, atol=10 * rounding)
    largest = np.abs(found.scores).argmax(axis=0)
    assert (found.scores[largest, np.arange(k)] > 0).all()
    assert (found.lower, found.upper, found.error, found.angle) == (None, None, None, None)


@pytest.mark.parametrize("given", ["zarr", "csr", "csc"])
def test_downstream__takes_Y_on_disk_and_sparse(given, tmp_path):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((30, 400)) < 0.1, rng.integers(-3, 4, (30, 400)), 0).astype(float)
    if given == "zarr":
        Y = ss.sparsify(X, "sketch", m=64, out=tmp_path / "y.zarr")
        dense = Y.Y[:]
    else:
        Y, dense = scipy.sparse.csr_array(X).asformat(given), X
    np.testing.assert_array_equal(ss.kernel(Y).values, ss.kernel(dense).values)
    np.testing.assert_array_equal(ss.neighbors(Y, 4).indices, ss.neighbors(dense, 4).indices)
    np.testing.assert_array_equal(ss.pca(Y, 2).variances, ss.pca(dense, 2).variances)


# Errors: never further off than said, whatever X and Y are.


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("kind", X_KINDS)
def test_kernel__is_never_further_off_than_it_says(kind, name):
    told = 0
    for X, Y in pairs_of(kind):
        found = ss.kernel(Y, name, certificate=certificate_of(X, Y), **PARAMETERS[name])
        if found.error is None:
            continue
        told += 1
        true = reference.kernel(X @ X.T, name, **PARAMETERS[name])
        assert np.abs(found.values - true).max() <= found.error.value
        assert found.error.kind == "bound"
        assert found.error.confidence is None
    # Cosines of rows that are short beside the error are anywhere.
    assert told >= (1 if name == "cosine" else 5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", X_KINDS)
def test_neighbors__that_are_certain_are_among_those_of_X(kind, metric):
    for X, Y in pairs_of(kind):
        certificate = certificate_of(X, Y)
        values, true = (reference.compared(M @ M.T, metric) for M in (Y, X))
        for k in (1, 2, 4, 11):
            found = ss.neighbors(Y, k, metric, certificate=certificate)
            if found.error is None:
                assert found.certain is None
                continue
            assert np.abs(values - true).max() <= found.error.value
            for i, j in zip(*np.nonzero(found.certain), strict=True):
                nearer = np.delete(true[i], [i, found.indices[i, j]])
                # Fewer than k others are as near, however ties are broken.
                assert np.count_nonzero(nearer <= true[i, found.indices[i, j]]) < k


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(2, 9),
    noise=st.sampled_from([0.0, 1e-6, 1e-2, 0.3, 10.0]),
    k=st.integers(1, 8),
)
def test_certain_neighbours__are_those_that_counting_rivals_finds(seed, n, noise, k):
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, (n, 3)) * 1.0 + rng.standard_normal((n, 1))
    X[0] += 1e-9
    Y = X + noise * rng.standard_normal(X.shape)
    k = min(k, n - 1)
    found = ss.neighbors(Y, k, certificate=certificate_of(X, Y))
    values = np.square(Y[:, None] - Y).sum(axis=2)
    # Both round their values: nothing may lie so near to the limit that this decides.
    spread = np.abs(np.sort(values + 0, axis=1))
    slack = 64 * 2**-53 * (1 + spread.max())
    least, most = (
        reference.surely_near(values, found.indices, found.error.value + side)
        for side in (slack, -slack)
    )
    assert (least <= found.certain).all()
    assert (found.certain <= most).all()


MEASURED = ("spectral", "regularised", "rms_entry")


@pytest.mark.parametrize(
    ("measured", "least"),
    [((), 0), (MEASURED[:1], 0), (MEASURED[1:2], 3), (MEASURED[2:], 5), (MEASURED, 5)],
)
@pytest.mark.parametrize("kind", X_KINDS)
def test_pca__has_the_variances_of_X_between_its_bars(kind, measured, least):
    told = 0
    for X, Y in pairs_of(kind):
        k = min(3, Y.shape[1])
        certificate = certificate_of(X, Y, matrix_errors=measured)
        found = ss.pca(Y, k, certificate=certificate)
        if found.lower is None:
            assert all(getattr(certificate.errors, name) is None for name in MEASURED)
            continue
        true = reference.centred_eigenvalues(X)[:k] / (len(X) - 1)
        assert (found.lower <= true).all()
        assert (true <= found.upper).all()
        if found.error is not None:
            told += 1
            assert np.abs(found.variances - true).max() <= found.error.value
        if found.angle is not None:
            assert reference.sine_between_spans(X, Y, k) <= found.angle.value < 1
    assert told >= least


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", X_KINDS)
def test_attention_bound__is_kept_for_any_beta_and_mask(kind, masked):
    mask = np.tri(12, dtype=bool) if masked else None
    for X, Y in pairs_of(kind):
        certificate = certificate_of(X, Y)
        for beta in (0.01, 1.0, 30.0):
            found = ss.attention_bound(Y, beta, mask, certificate=certificate)
            if found is not None:
                # Rows of attention add up to 1, so rounding is 2 n units at most.
                true = ss.attention_error(X @ X.T, Y, beta, mask) - 2 * 12 * 2**-52
                assert true <= found.value < 2
    assert ss.attention_bound(matrices()[kind]) is None


def test_attention_bound__is_what_was_measured_only_at_its_beta_and_without_a_mask():
    X = matrices()["flat"]
    Y = approximations(X)["sketch"]
    certificate = certificate_of(X, Y)
    measured, e = certificate.errors.attention, ss.kernel(Y, certificate=certificate).error.value
    # "exact" leaves out rounding of up to 1 %.
    assert ss.attention_bound(Y, certificate=certificate) == Measure(1.01 * measured.value, "bound")
    for beta, mask in ((1.0, "causal"), (2.0, None)):
        found = ss.attention_bound(Y, beta, mask, certificate=certificate)
        assert found == Measure(2 * math.tanh(beta * e / 2), "bound")
    with pytest.raises(ss.ParameterError, match="'causal', not 'anticausal'"):
        ss.attention_bound(Y, mask="anticausal", certificate=certificate)


def test_bounds__are_attained_where_nothing_better_can_be_said():
    # Up to what is added for rounding: 1 % of e, which a slope may enlarge.
    X, e = np.eye(2), 0.1
    Y = np.array([[1.0, 0.0], [e, np.sqrt(1 - e * e)]])
    certificate = certificate_of(X, Y)
    linear = ss.kernel(Y, certificate=certificate)
    assert linear.error.value <= 1.011 * np.abs(linear.values - np.eye(2)).max()
    Y = np.sqrt(1.1) * np.eye(2)
    certificate = certificate_of(X, Y)
    exponential = ss.kernel(Y, "exponential", beta=2.0, certificate=certificate)
    moved = np.abs(exponential.values - np.exp(2 * X)).max()
    assert exponential.error.value <= 1.03 * moved
    cubic = ss.kernel(Y, "polynomial", coef0=0.0, certificate=certificate)
    assert cubic.error.value <= 1.03 * np.abs(cubic.values - np.eye(2)).max()
    # Two equal rows that came apart: every term of F_ii + F_jj - 2 F_ij counts.
    X, Y = np.array([[1.0], [1.0]]), np.array([[1.0, e], [1.0, -e]])
    certificate = certificate_of(X, Y)
    rbf = ss.kernel(Y, "rbf", certificate=certificate)
    assert rbf.error.value <= 1.011 * np.abs(rbf.values - 1).max()


# What nothing supports is not said, and what is supported is.


def test_zero__makes_nothing_certain_and_is_told_honestly():
    X = matrices()["flat"]
    Y = np.zeros((12, 2))
    certificate = certificate_of(X, Y)
    for metric in METRICS:
        found = ss.neighbors(Y, 3, metric, certificate=certificate)
        assert not found.certain.any()
    components = ss.pca(Y, 2, certificate=certificate)
    assert components.angle is None
    assert (components.lower == 0).all()
    for name in PARAMETERS:
        found = ss.kernel(Y, name, certificate=certificate)
        true = reference.kernel(X @ X.T, name)
        assert found.error.value >= np.abs(found.values - true).max() > 0


def test_good_sketch__makes_most_neighbours_certain_and_its_components_narrow(result):
    X, reduced = result
    found = ss.neighbors(reduced, 9)
    # Four clusters of ten: the nine nearest are the others of the cluster.
    assert found.certain.mean() > 0.9
    assert found.error.kind == "bound"
    assert (found.indices // 10 == np.arange(40)[:, None] // 10).all()
    components = ss.pca(reduced, 3)
    true = reference.centred_eigenvalues(X)[:3] / 39
    assert (components.lower <= true).all()
    assert (true <= components.upper).all()
    assert (components.upper - components.lower < 0.5 * components.variances).all()
    assert reference.sine_between_spans(X, reduced.Y, 3) <= components.angle.value < 0.5
    assert ss.kernel(reduced, "rbf", gamma=0.5).error.value < 0.5
    measured = reduced.certificate.attention_error.value
    assert ss.attention_bound(reduced).value == measured + 0.01 * measured
    uniform = reduced.certificate.uniform_attention_error.value
    assert ss.attention_bound(reduced, 0.5).value < uniform


@pytest.mark.slow
def test_bounds__of_sampled_rows_and_probes_fail_as_rarely_as_they_say():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 600)) / np.sqrt(600)
    true = X @ X.T
    trials, failures = 20, {"all": 0, "most": 0, "exact norms": 0, "variances": 0}
    for seed in range(trials):
        plain = ss.sparsify(X, "sketch", m=64, seed=seed)
        every, most = ss.kernel(plain), ss.kernel(plain, share=0.95)
        moved = np.abs(every.values - true).max(axis=1)
        failures["all"] += moved.max() > every.error.value
        failures["most"] += np.mean(moved <= most.error.value) < most.error.share
        components = ss.pca(plain, 2)
        variances = reference.centred_eigenvalues(X)[:2] / 299
        failures["variances"] += np.abs(components.variances - variances).max() > (
            components.error.value
        )
        exact = ss.sparsify(X, "sketch", epsilon=0.5, target="entries", seed=seed)
        found = ss.kernel(exact, "rbf", share=0.95)
        moved = np.abs(found.values - reference_rbf(true)).max(axis=1)
        failures["exact norms"] += np.mean(moved <= found.error.value) < found.error.share
    assert (every.error.confidence, most.error.confidence) == (0.99, 0.99)
    assert max(failures.values()) <= most_failures(trials, 0.01)


def reference_rbf(F):
    """reference.kernel of "rbf" in one go: these matrices are large."""
    return np.exp(-np.maximum(reference.compared(F, "euclidean"), 0))


def test_squared_distances__have_four_errors_where_norms_are_not_exact(result):
    _, reduced = result
    assert not reduced.plan.exact_diagonal
    # The traces agree: long rows make up for short ones.
    trace = np.square(reduced.Y).sum()
    certificate = dataclasses.replace(reduced.certificate, trace=float(trace))
    e = ss.kernel(reduced, certificate=certificate).error.value
    found = ss.neighbors(reduced, 3, certificate=certificate).error.value
    np.testing.assert_allclose(found, 4 * e, rtol=1e-9)


def test_exact_norms__halve_the_error_of_squared_distances(result):
    X, _ = result
    reduced = ss.sparsify(X, "sketch", epsilon=0.2, target="entries")
    assert reduced.plan.exact_diagonal
    e = ss.kernel(reduced).error.value
    found = ss.neighbors(reduced, 3)
    np.testing.assert_allclose(found.error.value, 2 * e, rtol=1e-9)
    true = reference.compared(X @ X.T, "euclidean")
    assert np.abs(reference.compared(reduced.Y @ reduced.Y.T, "euclidean") - true).max() <= 2 * e
    # Of the same rows nobody knows that their norms are exact.
    alone = ss.neighbors(reduced.Y, 3, certificate=reduced.certificate)
    np.testing.assert_allclose(alone.error.value, 4 * e, rtol=1e-9)


def test_exact_norms__are_not_believed_where_the_sketch_has_lost_a_row():
    # Opposite rows: of those that lose one, F_ii + F_jj - 2 F_ij is off by three squares, not two.
    x = np.random.default_rng(0).standard_normal((2, 500))
    X = np.concatenate([x, -x])
    reduced = ss.sparsify(X, "sketch", epsilon=0.5, target="entries")
    assert reduced.plan.exact_diagonal
    Y = np.array(reduced.Y)
    Y[0] = 0
    lost = dataclasses.replace(reduced, Y=Y, certificate=certificate_of(X, Y))
    true, values = (reference.compared(M @ M.T, "euclidean") for M in (X, Y))
    error = ss.neighbors(lost, 3).error.value
    assert 2 * ss.kernel(lost).error.value < np.abs(values - true).max() <= error


def test_angle__is_not_told_where_the_directions_of_X_may_have_changed_places():
    plane = np.random.default_rng(0).standard_normal((6, 2))
    U = np.linalg.qr(np.column_stack([np.ones(6), plane]))[0][:, 1:]
    X, Y = U * np.sqrt([1.45, 1.55]), U * np.sqrt([2.0, 1.0])
    assert reference.sine_between_spans(X, Y, 1) == pytest.approx(1)
    # ||E||_F = 0.78 is below the gap of Y, which is 1.
    certificate = certificate_of(X, Y, matrix_errors=("rms_entry",))
    assert ss.pca(Y, 1, certificate=certificate).angle is None
    near = U * np.sqrt([1.9, 1.0])
    certificate = certificate_of(near, Y, matrix_errors=("rms_entry",))
    assert 0 < ss.pca(Y, 1, certificate=certificate).angle.value < 0.2


def test_claims__keep_their_confidence_and_share_and_estimates_make_nothing_certain():
    X = matrices()["clusters"]
    Y = approximations(X)["sketch"]
    whole = certificate_of(X, Y)
    e = whole.errors.entry.value

    def with_errors(**errors):
        return dataclasses.replace(whole, errors=Errors(**errors))

    every = with_errors(
        entry=Measure(e, "estimate"),
        all_rows_entry=Measure(3 * e, "bound", 0.99),
        most_rows_entry=Measure(e, "bound", 0.98, 0.95),
    )
    found = ss.kernel(Y, certificate=every).error
    assert (found.kind, found.confidence, found.share) == ("bound", 0.99, None)
    found = ss.kernel(Y, certificate=every, share=0.95).error
    assert (found.kind, found.confidence, found.share) == ("bound", 0.98, 0.95)
    found = ss.kernel(Y, certificate=every, share=0.96).error
    assert (found.confidence, found.share) == (0.99, None)
    # Norms of the other rows are not known: most rows do not bound a distance.
    assert ss.neighbors(Y, 2, certificate=every, share=0.95).error.confidence == 0.99
    assert ss.neighbors(Y, 2, "inner", certificate=every, share=0.95).error.share == 0.95
    guessed = with_errors(entry=Measure(e, "estimate"))
    neighbors = ss.neighbors(Y, 2, certificate=guessed)
    assert neighbors.error.kind == "estimate"
    assert neighbors.certain is None
    assert ss.kernel(Y, "rbf", certificate=guessed).error.kind == "estimate"
    nothing = with_errors()
    assert ss.kernel(Y, certificate=nothing).error is None
    assert ss.pca(Y, certificate=nothing).error is None
    assert ss.attention_bound(Y, certificate=nothing) is None


def test_components__by_several_bounds_hold_with_what_is_left_of_their_confidence():
    X = matrices()["one outlier"]
    Y = approximations(X)["sketch"]
    whole = certificate_of(X, Y)
    spectral = Measure(whole.errors.spectral.value, "bound", 0.99)
    rms = Measure(whole.errors.rms_entry.value, "bound", 0.98)

    def error_of(**errors):
        certificate = dataclasses.replace(whole, errors=Errors(**errors))
        return ss.pca(Y, certificate=certificate).error

    assert error_of(spectral=spectral, rms_entry=rms).confidence == pytest.approx(0.97)
    # One event under two names counts once; what is certain stands alone.
    assert error_of(spectral=spectral, regularised=spectral).confidence == pytest.approx(0.99)
    assert error_of(spectral=spectral, rms_entry=whole.errors.rms_entry).confidence is None


def test_kernel__of_a_pair_has_queries_and_keys():
    X = matrices()["clusters"]
    pair = ss.sparsify_pair(X[:5], X[5:], "sketch", m=32)
    for name in ("linear", "exponential", "polynomial", "rbf", "cosine"):
        found = ss.kernel(pair, name)
        assert found.values.shape == (5, 7)
        expected = ss.kernel(pair.Y, name).values[:5, 5:]
        np.testing.assert_allclose(found.values, expected, rtol=1e-12)
        true = reference.kernel(X @ X.T, name)[:5, 5:]
        assert found.error is None or np.abs(found.values - true).max() <= found.error.value
    assert ss.kernel(pair).error is not None
    for refused in (ss.pca, lambda Y: ss.neighbors(Y, 2)):
        with pytest.raises(ss.ParameterError, match="queries and keys"):
            refused(pair)


def test_kernel__of_a_pair_does_not_take_products_for_norms():
    X = np.random.default_rng(0).standard_normal((12, 500)) / np.sqrt(500)
    plain = ss.sparsify_pair(X[:5], X[5:], "sketch", m=256)
    # The same products of queries and keys, other lengths of both.
    stretched = dataclasses.replace(plain, Y=plain.Y * np.where(np.arange(12) < 5, 2, 0.5)[:, None])
    for pair in (plain, stretched):
        assert ss.kernel(pair).error is not None
        assert ss.kernel(pair, "rbf").error is None
        assert ss.kernel(pair, "cosine").error is None
    known = ss.sparsify_pair(X[:5], X[5:], "sketch", epsilon=0.3, target="entries")
    assert known.plan.exact_diagonal
    for name in ("rbf", "cosine"):
        found = ss.kernel(known, name)
        moved = np.abs(found.values - reference.kernel(X @ X.T, name)[:5, 5:]).max()
        assert moved <= found.error.value < 1


# Refusals, with the numbers.


def test_downstream__refuses_what_it_cannot_answer():
    Y = np.eye(4) * 30
    with pytest.raises(ss.ParameterError, match="reaches 900, whose exponential overflows"):
        ss.kernel(Y, "exponential")
    with pytest.raises(ss.ParameterError, match="reaches 901, whose power 200 overflows"):
        ss.kernel(Y, "polynomial", degree=200)
    with pytest.raises(ss.NonFiniteError, match="overflow float64"):
        ss.neighbors(Y * 1e160, 2)
    with pytest.raises(ss.ParameterError, match="gamma = 2 is no parameter of kernel 'linear'"):
        ss.kernel(Y, gamma=2.0)
    with pytest.raises(ss.ParameterError, match="one of 'linear'"):
        ss.kernel(Y, "sigmoid")
    with pytest.raises(ss.ParameterError, match="gamma must be a positive"):
        ss.kernel(Y, "rbf", gamma=-1.0)
    with pytest.raises(ss.ParameterError, match="coef0 must be a finite"):
        ss.kernel(Y, "polynomial", coef0=np.nan)
    with pytest.raises(ss.ParameterError, match="between 1 and 3, not 4"):
        ss.neighbors(Y, 4)
    with pytest.raises(ss.ParameterError, match="2 rows at least, Y has 1"):
        ss.pca(Y[:1])
    with pytest.raises(ss.ParameterError, match="2 rows at least, Y has 1"):
        ss.neighbors(Y[:1], 1)
    for share in (0, 1.5, True, "all"):
        with pytest.raises(ss.ParameterError, match="share"):
            ss.kernel(Y, share=share)
    with pytest.raises(ss.ParameterError, match=r"shape \(12, 2\), this one has \(4, 4\)"):
        ss.pca(Y, certificate=certificate_of(matrices()["flat"], np.zeros((12, 2))))
    with pytest.raises(ss.ParameterError, match="must be a Certificate"):
        ss.neighbors(Y, 1, certificate=0.1)
    with pytest.raises(ss.NonFiniteError, match="Y holds NaN"):
        ss.kernel(scipy.sparse.csr_array([[np.nan, 1.0]]))


def test_reprs__fit_eighty_columns_and_say_what_is_known(result):
    _, reduced = result
    for value in (
        ss.kernel(reduced, "exponential"),
        ss.neighbors(reduced, 9),
        ss.neighbors(reduced.Y, 9),
        ss.pca(reduced, 7),
        ss.pca(reduced.Y, 1),
    ):
        assert all(len(line) <= 80 for line in repr(value).splitlines())
    assert "certain       not known" in repr(ss.neighbors(reduced.Y, 9))
    assert "of 360" in repr(ss.neighbors(reduced, 9))


def test_given__trusts_exact_norms_of_plain_rows_alone():
    X = np.random.default_rng(0).standard_normal((40, 900)) + 5
    options = {"epsilon": 0.3, "target": "entries"}
    plain = ss.sparsify(X, "sketch", **options)
    centred = ss.sparsify(X, "sketch", preprocess="center", **options)
    assert knowledge.given(plain, None).shortfall < 1e-6 * plain.certificate.trace
    assert knowledge.given(centred, None).shortfall == math.inf
