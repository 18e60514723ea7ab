"""The map of a row against the dense twin: fold, scale, project, rescale."""

import json
import math

import numpy as np
import pytest

import reference
import strategies
import tolerances
from streamsparse.errors import ParameterError
from streamsparse.sketching.row_map import RowMap, diagonal_scale
from streamsparse.sketching.run_hash import SparseSign

EPS = np.finfo(float).eps
D, M, S = 400, 256, 2


@pytest.fixture
def X():
    return strategies.integer_matrix(6, D, "int16", high=100)


def sums_of(X, *, m=M, s=S):
    return reference.sums(X, m=m, s=s, seed=4)


def operator(m=M, s=S):
    return SparseSign.make(d=D, m=m, s=s, seed=4)


def squared_norms(X):
    return np.square(X.astype(float)).sum(axis=1)


def test_apply__without_fold_or_projection_is_the_scaled_sketch(X):
    Y = RowMap(operator(), M).apply(sums_of(X), squared_norms(X))
    np.testing.assert_array_equal(Y, reference.sketch(X, m=M, s=S, seed=4))


@pytest.mark.parametrize(
    ("m", "s", "levels"), [(256, 1, 3), (256, 2, 2), (1024, 8, 2), (1536, 4, 3)]
)
def test_apply__of_every_level_is_the_sketch_of_that_width(X, m, s, levels):
    # The run of a narrower operator is as long, because no level is narrower than the run.
    made = operator(m, s)
    for columns in made.levels:
        Y = RowMap(made, columns).apply(sums_of(X, m=m, s=s), squared_norms(X))
        np.testing.assert_array_equal(Y, reference.sketch(X, m=columns, s=s, seed=4))
    assert len(made.levels) == levels


def test_apply__projects_after_folding(X):
    P = np.random.default_rng(0).standard_normal((128, 5))
    row_map = RowMap(operator(), 128, P)
    Y = row_map.apply(sums_of(X), squared_norms(X))
    narrow = reference.sketch(X, m=128, s=S, seed=4)
    bound = tolerances.sum_error_bound(np.abs(narrow) @ np.abs(P), 128)
    assert row_map.m == 5
    assert (np.abs(Y - narrow @ P) <= 2 * bound).all()


@pytest.mark.parametrize("has_projection", [False, True])
def test_apply__gives_rows_their_exact_norms(X, has_projection):
    # A basis of the rows that the sketch was made of: nothing of them is lost, but by keeping 5.
    P, kept = None, None
    if has_projection:
        P, kept = np.linalg.qr(sums_of(X).T)[0], 5
    plain = RowMap(operator(), M, P, kept).apply(sums_of(X), squared_norms(X))
    row_map = RowMap(operator(), M, P, kept, exact_diagonal=True)
    Y = row_map.apply(sums_of(X), squared_norms(X))
    assert row_map.m == Y.shape[1] == (5 if has_projection else M)
    # A sum of squares, a division, a root and a product each round once: (m + 6) u, twice over.
    np.testing.assert_allclose(np.square(Y).sum(axis=1), squared_norms(X), rtol=(M + 6) * EPS)
    # Directions stay.
    cosine = (Y * plain).sum(axis=1) / np.linalg.norm(Y, axis=1) / np.linalg.norm(plain, axis=1)
    np.testing.assert_allclose(cosine, 1, rtol=(M + 6) * EPS)


def test_apply__depends_on_one_row_alone(X):
    row_map = RowMap(operator(), 128, exact_diagonal=True)
    whole = row_map.apply(sums_of(X), squared_norms(X))
    for i in range(X.shape[0]):
        alone = row_map.apply(sums_of(X[i : i + 1]), squared_norms(X[i : i + 1]))
        np.testing.assert_array_equal(alone[0], whole[i])


def test_diagonal_scale__is_the_root_of_the_ratio():
    scale = diagonal_scale(np.array([4.0, 1.0, 9.0]), np.array([1.0, 4.0, 9.0]))
    np.testing.assert_array_equal(scale, [2, 0.5, 1])


def test_diagonal_scale__leaves_zero_rows_and_overflowing_ratios_alone():
    tiny = np.finfo(float).smallest_subnormal
    norms = np.array([0.0, 1.0, 0.0, 1e300, tiny])
    of_Y = np.array([0.0, 0.0, 1.0, tiny, tiny])
    np.testing.assert_array_equal(diagonal_scale(norms, of_Y), [1, 1, 0, 1, 1])


def test_diagonal_scale__keeps_tiny_rows_finite():
    rows = np.array([1e-160, 1e-150, 1e-3]) ** 2
    scale = diagonal_scale(rows, rows * 4)
    np.testing.assert_allclose(scale[1:], 0.5, rtol=4 * EPS)
    # The square of 1e-160 is subnormal: few of its bits are left.
    assert 0.4 < scale[0] < 0.6


@pytest.mark.parametrize("exact_diagonal", [False, True])
def test_from_dict__gives_the_same_map(X, exact_diagonal):
    P = np.eye(128, 3)
    row_map = RowMap(operator(), 128, P, exact_diagonal=exact_diagonal)
    again = RowMap.from_dict(json.loads(json.dumps(row_map.to_dict())), P)
    assert again.operator == row_map.operator
    assert (again.columns, again.exact_diagonal, again.m) == (128, exact_diagonal, 3)
    np.testing.assert_array_equal(
        again.apply(sums_of(X), squared_norms(X)), row_map.apply(sums_of(X), squared_norms(X))
    )
    assert RowMap.from_dict(RowMap(operator(), M).to_dict(), None) == RowMap(operator(), M)


def test_from_dict__refuses_another_hash_version():
    spec = RowMap(operator(), M).to_dict()
    spec["operator"]["hash_version"] = 2
    with pytest.raises(ParameterError, match="hash version 2"):
        RowMap.from_dict(spec, None)


def test_apply__of_one_nonzero_per_column_does_not_scale(X):
    Y = RowMap(operator(s=1), M).apply(sums_of(X, s=1), squared_norms(X))
    np.testing.assert_array_equal(Y, sums_of(X, s=1))
    assert operator(s=1).scale == 1
    assert operator().scale == 1 / math.sqrt(2)
