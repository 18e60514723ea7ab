"""Method "select": columns of X chosen without randomness, whatever X looks like."""

import dataclasses
import functools
import warnings

import dask.array
import numpy as np
import pytest
import scipy.sparse
import zarr

import drivers
import reference
import strategies
import streamsparse as ss
from streamsparse.dense.polish import Polished
from streamsparse.methods import candidates, leaves, search, select_plan
from streamsparse.methods.rounding import rank_tolerance
from streamsparse.methods.select import reduce_by_selecting
from streamsparse.sketching.bounds import barrier_columns, barrier_epsilon
from streamsparse.sources.open import open_source
from streamsparse.storing.zarr_write import write_sparse

ALGORITHMS = ["balance", "bss", "auto"]
N, D = 24, 2400


def gaussian(n=N, d=D, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


@functools.cache
def adversaries():
    """Matrices that a selection must survive, in float64: rounding hides nothing."""
    X = gaussian(d=600)
    blocks = np.zeros((N, 600))
    for b in range(6):
        blocks[4 * b : 4 * b + 4, 100 * b : 100 * b + 100] = gaussian(4, 100, seed=b)
    column = np.arange(600)
    three = np.zeros((N, 600))
    rng = np.random.default_rng(1)
    for j in range(600):
        three[rng.choice(N, 3, replace=False), j] = rng.standard_normal(3)
    hard = {kind: Y.astype(np.float64) for kind, Y in strategies.hard_matrices(N, 600).items()}
    return hard | {
        "gaussian": X,
        "sorted blocks": blocks,
        "sorted columns": X[:, np.argsort(np.linalg.norm(X, axis=0))],
        "near-duplicate columns": np.repeat(X[:, :60], 10, axis=1) + 1e-9 * X,
        "3-sparse columns": three,
        "one dominant column": np.where(column == 17, 1e3, 1.0) * X,
        "zero columns": X * (column % 3 == 0),
        "d < n": X[:, :10],
        "d = n": X[:, :N],
        "all columns equal": np.repeat(X[:, :1], 600, axis=1),
        "one row": X[:1],
        "one column": X[:, :1],
    }


KINDS = list(adversaries())


def rank_of(X):
    values = np.linalg.eigvalsh(X @ X.T)
    return int(np.count_nonzero(values > rank_tolerance(X.shape[0]) * values[-1]))


def whole(Y):
    return Y.toarray() if scipy.sparse.issparse(Y) else np.asarray(Y[:])


def assert_made_of_columns(result, X):
    """Y[:, k] = sqrt(w_k) X[:, c_k] to the last bit, no column twice, weights above 0."""
    assert np.unique(result.columns).size == result.columns.size == result.certificate.m
    assert (result.weights > 0).all()
    expected = X[:, result.columns].astype(np.float64) * np.sqrt(result.weights)
    np.testing.assert_array_equal(whole(result.Y), expected)


@pytest.mark.parametrize(
    "algorithm",
    [
        "balance",
        pytest.param("bss", marks=pytest.mark.slow),
        pytest.param("auto", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_select__keeps_what_barriers_prove_of_every_matrix(kind, algorithm):
    X = adversaries()[kind]
    rank = rank_of(X)
    m = min(X.shape[1], 4 * rank)
    result = ss.sparsify(X, "select", m=m, algorithm=algorithm)
    assert_made_of_columns(result, X)
    assert result.columns.size <= m
    assert result.selection.rank == rank
    epsilon = reference.loewner_error(reference.whitening(X, rank), result.Y)
    if kind != "norms 1e-18 to 1e18":
        # There a whitening of doubles resolves nothing; the regularised error is below.
        measured = result.certificate.spectral_error
        assert epsilon == pytest.approx(result.selection.epsilon, abs=1e-6)
        assert measured is None or measured.value == pytest.approx(epsilon, abs=1e-6)
    if m > rank:
        assert result.selection.epsilon <= barrier_epsilon(rank=rank, m=m)
    else:
        # d <= n: all that there is.
        assert result.selection.epsilon <= 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_bss__eigenvalues_stay_between_the_barriers(kind):
    X = adversaries()[kind]
    rank = rank_of(X)
    result = ss.sparsify(X, "select", m=min(X.shape[1], 4 * rank), algorithm="bss")
    s = result.selection
    if s.algorithm == "all":
        return
    assert s.lower < s.smallest <= s.largest < s.upper
    kappa = s.picks / rank
    assert s.proved == pytest.approx(barrier_epsilon(rank=rank, m=s.picks), rel=1e-9)
    ratio = ((1 + kappa**-0.5) / (1 - kappa**-0.5)) ** 2
    assert s.largest / s.smallest <= ratio
    assert s.epsilon <= s.proved == result.certificate.errors.barrier.value


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csr_array, scipy.sparse.csc_array])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_select__of_sparse_X_gives_sparse_Y(storage, algorithm):
    X = strategies.sparse_matrix(N, D, 0.1).toarray().astype(np.float64)
    result = ss.sparsify(storage(X), "select", m=4 * N, algorithm=algorithm)
    assert_made_of_columns(result, X)
    assert scipy.sparse.issparse(result.Y) == (storage is not np.asarray)
    assert result.certificate.spectral_error.kind == "exact"


@pytest.mark.parametrize("dtype", strategies.DTYPES)
def test_select__takes_every_dtype(dtype):
    X = strategies.integer_matrix(12, 900, dtype)
    result = ss.sparsify(X, "select", m=60)
    assert_made_of_columns(result, X)
    assert result.selection.epsilon < barrier_epsilon(rank=12, m=60)


@pytest.mark.parametrize("target", ["attention", "entries"])
@pytest.mark.parametrize("scale", [1e-130, 1e-30, 1e30, 1e150])
@pytest.mark.parametrize("algorithm", ["balance", "bss"])
def test_select__does_not_depend_on_the_scale_of_X(algorithm, scale, target):
    X = gaussian(8, 3000)
    factor = 2.0 ** np.round(np.log2(scale))
    plain, scaled = (
        ss.sparsify(Z, "select", m=40, algorithm=algorithm, target=target) for Z in (X, X * factor)
    )
    np.testing.assert_array_equal(plain.columns, scaled.columns)
    np.testing.assert_allclose(plain.weights, scaled.weights, rtol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "power law", "heavy columns", "3-sparse columns"])
def test_balance__keeps_what_its_plan_says_after_thinning_and_polish(kind):
    X = adversaries()[kind]
    for m in (4 * N, 12 * N):
        result = ss.sparsify(X, "select", m=m, algorithm="balance")
        white = reference.whitening(X).inside @ result.Y
        assert np.square(white @ white.T - np.eye(N)).sum() <= N**2 / m


def test_balance__is_within_theorem_4():
    # ||K||_F^2 <= k / c + lam m with lam = 0.1 / c^2, c = m / k: 1.1 k^2 / m, whatever the order.
    X = gaussian()
    for m in (4 * N, 16 * N):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(select_plan, "THOROUGH", select_plan.NONE)
            patch.setattr(select_plan, "QUICK", select_plan.NONE)
            patch.setattr(select_plan, "pool_size", lambda n, d, m: d)
            result = ss.sparsify(X, "select", m=m, algorithm="balance")
        white = reference.whitening(X).inside @ result.Y
        A = white @ white.T
        scale = np.trace(A) / np.square(A).sum()
        assert np.square(A * scale - np.eye(N)).sum() <= 1.1 * N**2 / m


@pytest.mark.slow
def test_auto__is_better_than_the_best_ratio_over_all_columns():
    # Of all columns the naive algorithm takes the one of largest L / U.
    X = gaussian(24, 1500)
    white = reference.whitening(X).inside @ X
    picks, ts = reference.bss(white, 96, 4.0)
    weights = np.bincount(picks, ts, minlength=1500)
    values = np.linalg.eigvalsh((white * weights) @ white.T)
    naive = (values[-1] - values[0]) / (values[-1] + values[0])
    result = ss.sparsify(X, "select", m=96)
    assert result.selection.epsilon < naive < barrier_epsilon(rank=24, m=96)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("target", ["spectral", "regularised", "entries", "attention"])
def test_select__epsilon_is_met_with_few_columns(algorithm, target):
    X = gaussian() / np.sqrt(D)
    epsilon = {"attention": 0.1}.get(target, 0.3)
    result = ss.sparsify(X, "select", epsilon=epsilon, target=target, algorithm=algorithm)
    c = result.certificate
    assert c.met
    assert c.m < barrier_columns(rank=N, epsilon=0.3)
    if algorithm != "bss":
        # Fewer were tried and failed, or nothing fewer is there.
        assert [p.m for p in result.curve] == sorted(p.m for p in result.curve)
        failed = [p for p in result.curve if not p.meets]
        assert failed
        assert max(p.m for p in failed) >= c.m / 1.2 - 1
        assert c.m == min(p.m for p in result.curve if p.meets)
    if target == "attention":
        assert c.attention_error.value < c.uniform_attention_error.value


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("target", ["attention", "entries"])
def test_select__is_better_than_zero_where_zero_meets_epsilon_too(algorithm, target):
    X = gaussian() / np.sqrt(20 * D)
    beta = 1.0
    zero = ss.attention_error(X, np.zeros((N, 1)), beta=beta)
    epsilon = 2 * zero if target == "attention" else 0.99
    result = ss.sparsify(X, "select", epsilon=epsilon, target=target, algorithm=algorithm)
    c = result.certificate
    assert c.met
    assert c.attention_error.value < zero or target == "entries"
    assert c.entry_error.value < 1


def test_select__says_so_where_epsilon_is_out_of_reach(tmp_path):
    X = gaussian(N, 30)
    with pytest.warns(ss.StreamSparseWarning, match="is certified to be at most"):
        result = ss.sparsify(X, "select", epsilon=0.01, target="spectral", algorithm="bss")
    assert result.certificate.met is False


def test_select__says_all_only_where_no_column_was_left_out():
    # Beside three heavy columns the others are dust: the pool holds the three, of weight 1.
    X = gaussian(8, 3000)
    X[:, :3] *= 1e6
    few = ss.sparsify(X, "select", m=20, target="regularised", algorithm="balance")
    assert few.columns.size < 8
    assert few.selection.algorithm == "balance"
    X[:, 20:] = 0
    everything = ss.sparsify(X[:, :200], "select", m=20)
    assert everything.selection.algorithm == "all"
    np.testing.assert_array_equal(np.sort(everything.columns), np.arange(20))


def only_the_first(pool, weights, m, care):
    """A balance that always fails."""
    found = np.zeros(pool.size)
    found[0] = 1
    return Polished(found, 1.0)


def test_balance__falls_back_to_barriers_and_says_so(monkeypatch):
    monkeypatch.setattr(search, "choose_balanced", only_the_first)
    X = gaussian()
    result = ss.sparsify(X, "select", epsilon=0.5, target="spectral", algorithm="balance")
    assert result.certificate.met
    assert result.selection.fell_back
    assert result.selection.algorithm == "bss"
    assert "barriers took over" in str(result)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("m", [1, N // 2, N])
def test_select__at_or_below_the_rank_is_regularised_and_better_than_zero(algorithm, m):
    X = strategies.matrix_from_spectrum(N, 600, 0.7 ** np.arange(N))
    result = ss.sparsify(X, "select", m=m, algorithm=algorithm)
    assert_made_of_columns(result, X)
    G = X @ X.T
    r = G.diagonal().max()
    assert result.selection.ridge == pytest.approx(r)
    assert result.selection.proved is None
    E = result.Y @ result.Y.T - G
    values = np.abs(scipy.linalg.eigh(E, G + r * np.eye(N), eigvals_only=True))
    assert result.certificate.regularised_error.value == pytest.approx(values.max(), abs=1e-9)
    assert result.selection.epsilon == pytest.approx(values.max(), abs=1e-9)
    # (L_lambda) of THEORY 1.1, entry by entry; and Y = 0.
    scale = np.sqrt(G.diagonal() + r)
    assert (np.abs(E) <= values.max() * scale[:, None] * scale * (1 + 1e-9)).all()
    zero = scipy.linalg.eigh(G, G + r * np.eye(N), eigvals_only=True).max()
    assert values.max() < zero
    assert "lambda" in str(result)


@pytest.mark.parametrize("target", ["regularised", "entries"])
def test_select__needs_few_columns_where_the_spectrum_decays(target):
    X = strategies.matrix_from_spectrum(N, 3000, 0.5 ** np.arange(N))
    result = ss.sparsify(X, "select", epsilon=0.1, target=target)
    assert result.certificate.met
    assert result.certificate.m < N


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_start__goes_on_to_more_columns_in_one_pass(tmp_path, algorithm):
    X = gaussian()
    first = ss.sparsify(X, "select", m=3 * N, algorithm=algorithm)
    first.save(tmp_path / "first")
    for start in (first, tmp_path / "first"):
        more = ss.sparsify(X, "select", m=8 * N, algorithm=algorithm, start=start)
        assert more.certificate.passes == 1
        assert_made_of_columns(more, X)
        assert more.selection.epsilon <= barrier_epsilon(rank=N, m=8 * N)
        assert more.selection.epsilon < first.selection.epsilon
        assert np.isin(first.columns, more.columns).mean() > 0.6
    tighter = ss.sparsify(
        X, "select", epsilon=0.4, target="spectral", algorithm=algorithm, start=first
    )
    assert tighter.certificate.met


def test_start__of_barriers_keeps_all_earlier_picks_and_walks_on():
    X = gaussian()
    first = ss.sparsify(X, "select", m=3 * N, algorithm="bss")
    more = ss.sparsify(X, "select", m=8 * N, algorithm="bss", start=first)
    assert np.isin(first.columns, more.columns).all()
    assert more.selection.picks == 8 * N - first.columns.size
    s = more.selection
    assert s.lower < s.smallest <= s.largest < s.upper
    assert s.epsilon <= s.proved < 1


def test_start__keeps_columns_that_balancing_would_not_hold():
    X = gaussian(d=6000)
    tau = np.square(reference.whitening(X).inside @ X).sum(axis=0)
    first = ss.sparsify(X, "select", m=3 * N, algorithm="bss")
    # Made up: the shortest columns, of which a pool has few.
    shortest = np.argsort(tau)[: 3 * N]
    start = dataclasses.replace(first, columns=shortest, weights=np.ones(3 * N))
    more = ss.sparsify(X, "select", m=8 * N, algorithm="bss", start=start)
    assert np.isin(shortest, more.columns).all()
    assert_made_of_columns(more, X)


def test_start__refuses_another_matrix_and_other_results():
    X = gaussian()
    first = ss.sparsify(X, "select", m=3 * N)
    with pytest.raises(ss.SourceChangedError, match="since the result to start from"):
        ss.sparsify(X + 1e-9, "select", m=5 * N, start=first)
    with pytest.raises(ss.ParameterError, match=r"\(24, 2,400\), but X is \(24, 100\)"):
        ss.sparsify(X[:, :100], "select", m=50, start=first)
    with pytest.raises(ss.ParameterError, match="of method 'select', not of 'exact'"):
        ss.sparsify(X, "select", m=50, start=ss.sparsify(X, "exact"))
    with pytest.raises(ss.ParameterError, match="start is of method 'select', not 'auto'"):
        ss.sparsify(X, start=first)


def test_select__refuses_a_source_that_changes_between_its_passes():
    X = gaussian()
    plan = drivers.plan_of(X, method="select", m=5 * N)
    later = open_source(X * (1 + 1e-15), feature_axis=1, missing="error")
    source = drivers.Watched(open_source(X, feature_axis=1, missing="error"), later=later)
    with pytest.raises(ss.SourceChangedError, match="between the two passes"):
        drivers.run(reduce_by_selecting, source, plan)


class KeepsFirst(candidates.PoolChooser):
    """A pool of the first columns only: a walk soon finds none in it that it may pick."""

    def choose(self, columns, V, each):
        _, weights = super().choose(columns, V, each)
        return (columns < 3000).astype(float), weights


def half_and_half():
    """Four leaves of which the first has columns in half of the directions only."""
    n, d = 8, 4 * 16384
    X = np.zeros((n, d), np.float32)
    rng = np.random.default_rng(0)
    X[:4, :3000:10] = rng.standard_normal((4, 300))
    X[:, 16384::200] = rng.standard_normal((n, X[:, 16384::200].shape[1]))
    return X


@pytest.mark.parametrize("storage", [np.asarray, scipy.sparse.csc_array])
def test_bss__reads_leaves_again_where_the_pool_has_no_column(monkeypatch, storage):
    X = half_and_half()
    monkeypatch.setattr(candidates, "PoolChooser", KeepsFirst)
    result = ss.sparsify(storage(X), "select", m=64, algorithm="bss")
    assert_made_of_columns(result, X)
    s = result.selection
    # The sum of the first leaf lacks directions: another one was read, and that was enough.
    assert s.leaves_read == 1
    assert s.bytes_read_again == pytest.approx(ss.open_source(storage(X)).stored_bytes / 4, abs=1)
    assert s.picks == 64
    assert s.proved == pytest.approx(barrier_epsilon(rank=8, m=64))
    assert s.lower < s.smallest <= s.largest < s.upper
    assert s.epsilon <= s.proved


def test_auto__keeps_the_columns_it_has_found_while_a_walk_reads_others(monkeypatch):
    # Barriers take over, read a leaf into the places of the shortest columns, and are not better.
    X, kept = half_and_half(), []

    def shortest(pool, weights, m, care):
        found = np.zeros(pool.size)
        found[np.argsort(pool.tau, kind="stable")[:12]] = 1
        kept.append(pool.V[:, found > 0].copy())
        return Polished(found, 1.0)

    monkeypatch.setattr(candidates, "PoolChooser", KeepsFirst)
    monkeypatch.setattr(search, "choose_balanced", shortest)
    monkeypatch.setattr(search, "improve", lambda _pool, weights, _m, _care: Polished(weights, 2.0))
    result = ss.sparsify(X, "select", m=64)
    assert result.selection.leaves_read > 0
    assert result.columns.size == 12
    G = X.astype(np.float64) @ X.T
    tau = np.einsum("ij,ij->j", X, np.linalg.solve(G, X))
    lengths = np.square(kept[0]).sum(axis=0)
    np.testing.assert_allclose(np.sort(tau[result.columns]), np.sort(lengths), rtol=1e-4)


def test_leaves__are_tried_by_the_sum_of_what_their_columns_score():
    rng = np.random.default_rng(0)
    n, width = 6, 50
    X = rng.standard_normal((n, 5 * width))
    triangle = np.tril_indices(n)
    parts = [X[:, a : a + width] for a in range(0, 5 * width, width)]
    sums = {leaf: (part @ part.T)[triangle] for leaf, part in enumerate(parts)}
    reader = leaves.Leaves(job=None, known=None, whitener=None, sums=sums, held=None)
    for _ in range(20):
        M = rng.standard_normal((n, n))
        M += M.T
        scores = [sum(x @ M @ x for x in part.T) for part in parts]
        assert reader._promising(M) == sorted(range(5), key=lambda leaf: -scores[leaf])


def test_balance__falls_back_to_one_more_pass_where_its_pool_lacks_directions(monkeypatch):
    X = half_and_half().astype(np.float64)
    monkeypatch.setattr(candidates, "PoolChooser", KeepsFirst)
    result = ss.sparsify(X, "select", epsilon=0.6, target="spectral", algorithm="balance")
    assert result.plan.leaf_width is None
    assert_made_of_columns(result, X)
    assert result.certificate.met
    assert result.selection.fell_back
    assert result.selection.leaves_read > 0


def test_bss__gives_the_same_columns_from_any_grid_when_it_reads_again(monkeypatch, tmp_path):
    X = half_and_half()
    monkeypatch.setattr(candidates, "PoolChooser", KeepsFirst)
    results = [ss.sparsify(X, "select", m=64, algorithm="bss")]
    for chunks in ((8, 999), (3, 17_000)):
        stored = zarr.create_array(
            tmp_path / f"{chunks}", shape=X.shape, chunks=chunks, dtype=X.dtype
        )
        stored[:] = X
        results.append(ss.sparsify(stored, "select", m=64, algorithm="bss", missing="fill"))
    assert results[0].selection.leaves_read > 0
    for result in results[1:]:
        np.testing.assert_array_equal(result.columns, results[0].columns)
        np.testing.assert_array_equal(result.Y, results[0].Y)


def test_transform__gives_the_rows_of_Y_again():
    X = gaussian(N, 40_000).astype(np.float32)
    X[:, 5000:35_000] = 0
    result = ss.sparsify(X, "select", m=4 * N)
    chunked = dask.array.from_array(X, chunks=(N, 1000))
    np.testing.assert_array_equal(result.transform(X), result.Y)
    np.testing.assert_array_equal(result.transform(chunked), result.Y)


@pytest.mark.parametrize("method", ["select", "sample"])
def test_column_names__are_those_of_the_columns_that_were_kept(tmp_path, method):
    names = [f"gene {j}" for j in range(300)]
    X = scipy.sparse.csc_array(gaussian(6, 300))
    group = zarr.create_group(tmp_path / "a", attributes={"encoding-type": "anndata"})
    write_sparse(tmp_path / "a" / "X", X)
    table = group.create_group("var", attributes={"_index": "names"})
    with warnings.catch_warnings():
        # zarr says that its string type may yet change.
        warnings.simplefilter("ignore")
        stored = table.create_array("names", shape=(300,), dtype="str", chunks=(50,))
        stored[:] = np.asarray(names)
    result = ss.sparsify(tmp_path / "a" / "X", method, m=30, out=tmp_path / "y")
    assert result.column_names == tuple(names[j] for j in result.columns)
    assert ss.load(tmp_path / "y").column_names == result.column_names
    assert ss.sparsify(X, method, m=30).column_names is None


@pytest.mark.parametrize("sparse", [False, True])
def test_result__of_a_selection_survives_saving(tmp_path, sparse):
    X = gaussian(N, 500)
    source = scipy.sparse.csc_array(X) if sparse else X
    result = ss.sparsify(source, "select", m=60, algorithm="bss", out=tmp_path / "y")
    loaded = ss.load(tmp_path / "y")
    assert loaded.selection == result.selection
    assert loaded.certificate == result.certificate
    np.testing.assert_array_equal(loaded.columns, result.columns)
    np.testing.assert_array_equal(loaded.known.gram, result.known.gram)
    np.testing.assert_array_equal(whole(loaded.Y), whole(result.Y))
    assert str(loaded.selection) in repr(loaded)
    assert all(len(line) <= 80 for line in repr(loaded).splitlines())


PROMISES = {
    # (request, kind): proved only where the walk of the theorem is what remains.
    "bss m": ({"m": 100, "algorithm": "bss"}, "proved"),
    "auto m": ({"m": 100}, "proved"),
    "neither": ({}, "proved"),
    "auto spectral": ({"epsilon": 0.5, "target": "spectral"}, "proved"),
    "bss entries": ({"epsilon": 0.5, "target": "entries", "algorithm": "bss"}, "proved"),
    "auto entries": ({"epsilon": 0.5, "target": "entries"}, "none"),
    "auto regularised m": ({"m": 100, "target": "regularised"}, "none"),
    "attention": ({"epsilon": 0.5, "algorithm": "bss"}, "none"),
    "few": ({"m": N}, "none"),
    "balance": ({"m": 100, "algorithm": "balance"}, "empirical"),
    "one pass": ({"m": 100, "algorithm": "balance", "target": "entries"}, "empirical"),
}


@pytest.mark.parametrize("kind", PROMISES)
def test_plan__calls_proved_what_a_theorem_covers_only(kind):
    request, expected = PROMISES[kind]
    plan = ss.plan(gaussian(), "select", **request)
    assert plan.promise_kind == expected
    assert all(len(line) <= 80 for line in str(plan).splitlines())


def test_auto__lets_barriers_take_over_where_exchange_is_above_the_theorem(monkeypatch):
    monkeypatch.setattr(search, "choose_balanced", only_the_first)
    result = ss.sparsify(gaussian(), "select", m=4 * N)
    assert result.selection.algorithm == "bss"
    assert result.selection.epsilon <= barrier_epsilon(rank=N, m=4 * N)


def test_columns__come_strongest_first_or_as_picked():
    X = gaussian(d=700)
    tau = np.square(reference.whitening(X).inside @ X).sum(axis=0)
    balanced = ss.sparsify(X, "select", m=100, algorithm="balance")
    strength = balanced.weights * tau[balanced.columns]
    assert (np.diff(strength) <= 1e-9 * strength.max()).all()
    # All columns fit the pool: of equal ratios the longest is picked first.
    picked = ss.sparsify(X, "select", m=100, algorithm="bss")
    assert picked.columns[0] == tau.argmax()
    assert (np.diff(picked.weights * tau[picked.columns]) > 0).any()


def test_select__refuses_zero_and_strict_without_a_theorem():
    with pytest.raises(ss.ParameterError, match="X is zero"):
        ss.sparsify(np.zeros((3, 40)), "select", m=5)
    with pytest.raises(ss.RoundingError, match=r"vanish in float64.*; scale X up"):
        ss.sparsify(gaussian() * 1e-160, "select", m=50)
    with pytest.raises(ss.ParameterError, match="algorithm='bss'"):
        ss.sparsify(gaussian(), "select", m=50, strict=True)
    assert (
        ss.plan(gaussian(), "select", m=50, strict=True, algorithm="bss").promise_kind == "proved"
    )


def test_select__of_queries_and_keys_measures_their_product():
    Q, K = gaussian(5, 900), gaussian(N, 900, seed=1)
    result = ss.sparsify_pair(Q, K, "select", m=6 * N)
    E = result.Q @ result.K.T - Q @ K.T
    assert result.certificate.entry_error.value == pytest.approx(
        np.abs(E).max() / result.certificate.r
    )
    np.testing.assert_array_equal(result.Q, Q[:, result.columns] * np.sqrt(result.weights))


@pytest.mark.parametrize("algorithm", ["balance", "auto"])
@pytest.mark.parametrize("seed", range(3))
def test_select__accepts_columns_by_what_the_certificate_will_say_of_rounding(algorithm, seed):
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((30, 30)))[0]
    # Rounding of float32, 1.5e-5 of the trace, is 2 % and more of the smallest direction.
    X = ((U * np.sqrt(np.geomspace(1, 1e-3, 30))) @ gaussian(30, 6000, seed)).astype(np.float32)
    for epsilon in (0.2, 0.4):
        result = ss.sparsify(X, "select", epsilon=epsilon, target="spectral", algorithm=algorithm)
        assert result.certificate.met
        assert result.certificate.spectral_error.kind == "bound"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_select__whitens_no_noise_of_float32(algorithm):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 6)) @ rng.standard_normal((6, 3000))
    narrow = ss.sparsify(X.astype(np.float32), "select", m=100, algorithm=algorithm)
    wide = ss.sparsify(X, "select", m=100, algorithm=algorithm)
    assert narrow.selection.rank == wide.selection.rank == 6
    # That of Y = 0 is 1.
    assert narrow.certificate.entry_error.value < 0.5
