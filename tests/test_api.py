"""End to end, tiny: what the public functions promise."""

import json
import warnings

import numpy as np
import pytest
import scipy.sparse
import zarr

import reference
import strategies
import streamsparse as ss
from streamsparse.sources.array import ArraySource


@pytest.fixture
def X():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((40, 3000)).astype(np.float32)
    return X / np.sqrt(np.float32(3000))


def gram(X):
    X = np.asarray(X, np.float64)
    return X @ X.T


def test_sparsify__exact_rebuilds_the_gram_matrix(X):
    result = ss.sparsify(X, "exact")
    error = np.abs(result.Y @ result.Y.T - gram(X)).max()
    assert error <= 1e-6 * result.certificate.r  # 256 u32 is 1.5e-5 in the worst case
    assert error <= result.certificate.entry_error.value * result.certificate.r
    assert result.certificate.entry_error.value < 2e-5  # 257 u32, and what eigh adds
    assert result.Y.shape == (40, 40)


def test_sparsify__exact_keeps_the_rank_and_no_more():
    X = strategies.matrix_from_spectrum(30, 500, np.ones(7))
    assert ss.sparsify(X, "exact").Y.shape == (30, 7)


@pytest.mark.parametrize("m", [1, 5, 30])
def test_sparsify__exact_with_m_is_the_best_choice_of_that_rank(m):
    X = strategies.matrix_from_spectrum(30, 500, np.linspace(3, 1, 30))
    result = ss.sparsify(X, "exact", m=m)
    assert result.Y.shape == (30, m)
    tail = np.linspace(3, 1, 30)[m:] ** 2
    E = result.Y @ result.Y.T - gram(X)
    expected = tail.max() if m < 30 else 0
    # Eckart-Young; the rounding of a 30 x 30 eigenproblem of norm 9.
    assert np.linalg.norm(E, 2) == pytest.approx(expected, abs=30 * 9 * 1e-15)


def test_sparsify__exact_with_epsilon_finds_the_smallest_m():
    X = strategies.matrix_from_spectrum(30, 500, 0.5 ** np.arange(30))
    result = ss.sparsify(X, "exact", epsilon=0.01, target="entries")
    m = result.Y.shape[1]
    assert result.certificate.entry_error.value <= 0.01
    smaller = ss.sparsify(X, "exact", m=m - 1)
    assert smaller.certificate.entry_error.value > 0.01


def test_sparsify__sketch_with_m_is_X_times_S(X):
    result = ss.sparsify(X, "sketch", m=256, seed=9)
    expected = reference.sketch(X, m=256, s=8, seed=9)
    S = np.abs(reference.dense_S(d=3000, m=256, s=8, seed=9)) / np.sqrt(8)
    bound = 2 * 3002 * np.finfo(float).eps * (np.abs(X.astype(float)) @ S.T)
    assert (np.abs(result.Y - expected) <= bound).all()


def test_sparsify__sketch_without_m_keeps_at_most_n_columns_and_nothing_is_lost(X):
    result = ss.sparsify(X, "sketch", target="spectral")
    M = result.plan.sketch_columns
    # The smallest s 64 2^k that is at least 16 n.
    assert M == 1024
    assert result.Y.shape == (40, 40)
    sketched = ss.sparsify(X, "sketch", m=M)
    F = sketched.Y @ sketched.Y.T
    assert np.abs(result.Y @ result.Y.T - F).max() <= 40 * 40 * np.finfo(float).eps * F.max()


@pytest.mark.parametrize("kind", strategies.named_matrices())
@pytest.mark.parametrize("method", ["sketch", "exact", "auto"])
def test_sparsify__certifies_what_it_did_on_every_kind_of_matrix(kind, method):
    X = strategies.named_matrices()[kind]
    largest = float(np.abs(X).max()) or 1.0
    result = ss.sparsify(X, method, beta=1 / largest**2)
    again = ss.certify(X, result, exact=True)
    for mine, check in (
        (result.certificate.entry_error, again.entry_error),
        (result.certificate.attention_error, again.attention_error),
    ):
        # One number computed twice from float32 tiles: each is off, or includes, 257 u32 of r.
        allowed = 2 * 257 * float(np.finfo(np.float32).eps)
        assert mine.value == pytest.approx(check.value, rel=1e-6, abs=allowed)
    if method == "exact":
        assert result.certificate.entry_error.value <= 2e-5


@pytest.mark.parametrize("kind", strategies.named_matrices())
@pytest.mark.parametrize("method", ["sketch", "exact"])
def test_certificate__never_claims_less_than_the_float64_truth(kind, method):
    X = strategies.named_matrices()[kind]
    G = reference.gram(X)
    beta = 1 / (float(G.diagonal().max()) or 1.0)
    result = ss.sparsify(X, method, beta=beta)
    E = result.Y @ result.Y.T - G
    c = result.certificate
    r = G.diagonal().max()
    if r > 0:
        assert np.abs(E).max() / r <= c.entry_error.value * 1.01 + 1e-9
    truth = reference.attention_error(G, G + E, beta)
    assert truth <= c.attention_error.value * 1.01 + 1e-9


def test_sparsify__keeps_small_directions_beside_a_dominant_one():
    # One eigenvalue holds all but 4e-4 of the trace; attention lives in the rest.
    rng = np.random.default_rng(0)
    X = (1 + 0.02 * rng.standard_normal((60, 20_000))).astype(np.float32)
    result = ss.sparsify(X)
    assert result.Y.shape == (60, 60)
    G = gram(X)
    truth = reference.attention_error(G, result.Y @ result.Y.T, 1.0)
    assert truth <= result.certificate.attention_error.value
    assert truth < 0.01 * reference.attention_error(G, np.zeros_like(G), 1.0)


def test_sparsify__beats_Y_zero_where_attention_is_not_uniform():
    # r = 4: Y = 0 is far off, the sketch must be closer. The paper's own promise would accept 0.
    X = 2 * strategies.matrix_from_spectrum(200, 20_000, np.ones(200))
    X *= np.sqrt(200 / (X**2).sum()) * 2
    c = ss.sparsify(X, "sketch", m=8192).certificate
    assert c.attention_error.value < 0.2 * c.uniform_attention_error.value


def test_sparsify__the_spectral_promise_holds_over_seeds():
    # (1 + epsilon)-distortion at the planned m, delta = 0.1: binomial count over 200 fixed seeds.
    import tolerances
    from streamsparse.sketching.bounds import spectral_columns

    X = strategies.matrix_from_spectrum(16, 2000, np.ones(16))
    m = spectral_columns(rank=16, epsilon=0.5, delta=0.1)
    errors = [
        ss.sparsify(X, "sketch", m=m, seed=seed).certificate.spectral_error.value
        for seed in range(200)
    ]
    failures = sum(error > 0.5 for error in errors)
    assert failures <= tolerances.most_failures(200, 0.1)
    assert max(errors) < 1  # Y = 0 has spectral error 1


def test_sparsify__the_gram_estimate_is_unbiased():
    # Mean over T seeds within 6 standard errors; THEORY 2.2's variance bounds that of runs.
    X = strategies.matrix_from_spectrum(6, 300, np.ones(6)) * 3
    G = gram(X)
    trials, m = 200, 64
    estimates = np.array(
        [(Y := ss.sparsify(X, "sketch", m=m, seed=k).Y) @ Y.T for k in range(trials)]
    )
    variance = (np.outer(G.diagonal(), G.diagonal()) + G**2) / m
    assert (np.abs(estimates.mean(axis=0) - G) <= 6 * np.sqrt(variance / trials)).all()
    # Chi-square of T - 1 degrees: the variance of an entry is at most twice what theory says.
    assert (estimates.var(axis=0) <= 2 * variance).all()


def test_sparsify__warns_when_the_measured_error_exceeds_epsilon():
    X = strategies.matrix_from_spectrum(100, 2000, np.ones(100))
    with pytest.warns(ss.StreamSparseWarning, match="not epsilon"):
        ss.sparsify(X, "sketch", epsilon=0.001, target="attention")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ss.sparsify(X, "exact", epsilon=0.001, target="attention")


def test_sparsify__writes_what_it_returns(X, tmp_path):
    out = tmp_path / "y.zarr"
    result = ss.sparsify(X, "sketch", out=out)
    assert isinstance(result.Y, zarr.Array)
    loaded = ss.load(out)
    np.testing.assert_array_equal(loaded.Y[:], ss.sparsify(X, "sketch").Y)
    assert loaded.certificate == result.certificate
    assert loaded.plan == result.plan
    assert loaded.map.to_dict() == result.map.to_dict()
    np.testing.assert_array_equal(loaded.map.projection, result.map.projection)
    assert json.dumps(loaded.certificate.to_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["y.zarr"]


def test_save__round_trips_and_refuses_to_overwrite(X, tmp_path):
    result = ss.sparsify(X, "sketch", m=128)
    result.save(tmp_path / "y.zarr")
    with pytest.raises(ss.OutputExistsError):
        result.save(tmp_path / "y.zarr")
    result.save(tmp_path / "y.zarr", overwrite=True)
    np.testing.assert_array_equal(ss.load(tmp_path / "y.zarr").Y[:], result.Y)


def test_transform__gives_old_rows_their_old_values_to_the_last_bit(X, tmp_path):
    result = ss.sparsify(X, "sketch", m=128)
    np.testing.assert_array_equal(result.transform(X[5:9]), result.Y[5:9])
    csr = scipy.sparse.csr_array(X[5:9])
    np.testing.assert_array_equal(result.transform(csr), result.Y[5:9])
    written = result.transform(X[5:9], out=tmp_path / "new.zarr")
    np.testing.assert_array_equal(written[:], result.Y[5:9])


def test_transform__of_a_factorised_sketch_keeps_inner_products(X):
    result = ss.sparsify(X, "sketch")
    new = result.transform(X[:4])
    bound = 40 * result.plan.sketch_columns * np.finfo(float).eps * result.certificate.r
    assert np.abs(new @ result.Y.T - (result.Y @ result.Y.T)[:4]).max() <= 10 * bound


def test_transform__refuses_another_d_and_the_exact_method(X):
    result = ss.sparsify(X, "sketch", m=64)
    with pytest.raises(ss.ParameterError, match="d = 3,000 columns, not 2,999"):
        result.transform(X[:, :-1])
    with pytest.raises(ss.ParameterError, match="keeps no map"):
        ss.sparsify(X, "exact").transform(X)


@pytest.mark.parametrize("rows", [None, 7, [0, 3, 39]])
def test_certify__measures_any_Y_on_the_rows_asked_for(X, rows):
    Y = ss.sparsify(X, "sketch", m=64).Y
    certificate = ss.certify(X, Y, rows=rows)
    exact = ss.certify(X, Y, exact=True)
    assert certificate.checked_rows == {None: 40, 7: 7}.get(rows if rows != [0, 3, 39] else 0, 3)
    assert certificate.entry_error.value <= exact.entry_error.value * (1 + 1e-6)
    assert certificate.entry_error.kind == ("exact" if rows is None else "estimate")
    assert (certificate.errors.most_rows_entry is not None) == (rows == 7)
    assert exact.spectral_error.kind == "exact"


def test_certify__of_Y_zero_equals_the_uniform_baseline(X):
    X = X.astype(np.float64)
    certificate = ss.certify(X, np.zeros((40, 1)), exact=True, beta=20.0)
    uniform = certificate.uniform_attention_error.value
    assert certificate.attention_error.value == uniform > 0
    # r and the diagonal of G are the same sum in two orders.
    assert certificate.entry_error.value == pytest.approx(1, rel=3000 * np.finfo(float).eps)
    assert certificate.spectral_error.value == 1.0


@pytest.mark.parametrize("rows", [0, 41, [-1], [40], [0.5]])
def test_certify__refuses_rows_that_are_not_there(X, rows):
    with pytest.raises(ss.ParameterError, match="rows"):
        ss.certify(X, np.zeros((40, 2)), rows=rows)


def test_attention__rows_sum_to_one_and_respect_the_mask(X):
    causal = np.tril(np.ones((40, 40), bool))
    P = ss.attention(X, beta=3.0, mask=causal)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-14)
    assert (P[~causal] == 0).all()
    np.testing.assert_allclose(
        ss.attention(X, beta=3.0), reference.softmax(3.0 * gram(X)), rtol=1e-12
    )


def test_attention_error__agrees_with_the_slow_twin_from_X_and_from_G(X):
    Y = ss.sparsify(X, "sketch", m=64).Y
    expected = reference.attention_error(gram(X), Y @ Y.T, 2.0)
    assert ss.attention_error(gram(X), Y, beta=2.0) == pytest.approx(expected, rel=1e-9)
    assert ss.attention_error(X.astype(np.float64), Y, beta=2.0) == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((3, 3)),
        np.zeros((40, 40), bool),
        np.full((40, 40), np.inf),
        np.tril(np.ones((40, 40))),
    ],
)
def test_attention__refuses_a_mask_that_makes_no_sense(X, mask):
    with pytest.raises(ss.ParameterError, match="mask"):
        ss.attention(X, mask=mask)


def test_plan__says_what_sparsify_then_does(X, tmp_path):
    np.save(tmp_path / "x.npy", X)
    plan = ss.plan(tmp_path / "x.npy", "sketch", m=64)
    assert ss.sparsify(tmp_path / "x.npy", "sketch", m=64).plan == plan


def test_open_source__tells_shape_dtype_nnz_grid_and_blocks(tmp_path):
    stored = zarr.create_array(tmp_path / "x.zarr", shape=(6, 50), chunks=(6, 7), dtype="int16")
    stored[:] = np.arange(300).reshape(6, 50)
    source = ss.open_source(tmp_path / "x.zarr")
    assert (source.shape, source.dtype, source.nnz, source.unit) == ((6, 50), "int16", None, (6, 7))
    blocks = [block.view() for block in source.blocks(6 * 7 * 2)]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), stored[:])


def test_sparsify__resumes_only_what_goes_to_a_path(X):
    with pytest.raises(ss.ParameterError, match="give out"):
        ss.sparsify(X, resume=True)


def test_sparsify__of_values_in_memory_does_not_digest_them(X, monkeypatch):
    # A second per GB, and nobody asked to resume.
    monkeypatch.setattr(ArraySource, "fingerprint", lambda self: pytest.fail("it was read again"))
    assert ss.sparsify(X, "exact").Y.shape[0] == len(X)
