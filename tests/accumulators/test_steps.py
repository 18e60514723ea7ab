"""Narrow steps of a sparse piece hold every entry once, in column order."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import drivers
import strategies
from streamsparse.accumulators import steps
from streamsparse.accumulators.rows import RowsAccumulator
from streamsparse.running.pieces import cut_pieces, prepare

X = strategies.sparse_matrix(6, 90, 0.3, high=9)


def pieces(start, stop):
    for block in drivers.blocks_of(X, [start, stop]):
        for _, piece in cut_pieces(prepare(block, by_rows=True, zero=False), 64):
            yield piece


def dense(step):
    """A step made dense: all of its columns, and nothing outside them."""
    out = np.zeros((6, step.columns[1] - step.columns[0]))
    for i in range(6):
        extent = slice(*step.extents[:, i])
        out[i, step.indices[extent] + step.origin - step.columns[0]] = step.data[extent]
    return out


@given(
    start=st.integers(0, 40), width=st.integers(1, 50), bytes_per_column=st.integers(1, 20_000_000)
)
def test_column_steps__cut_a_piece_into_its_columns(start, width, bytes_per_column):
    for piece in pieces(start, start + width):
        cut = list(steps.column_steps(piece, bytes_per_column=bytes_per_column))
        assert cut[0].columns[0] == piece.columns[0]
        assert cut[-1].columns[1] == piece.columns[1]
        assert all(a.columns[1] == b.columns[0] for a, b in pairwise(cut))
        widest = max(1, steps.STACK_BYTES // bytes_per_column)
        assert max(step.columns[1] - step.columns[0] for step in cut) <= widest
        joined = np.concatenate([dense(step) for step in cut], axis=1)
        np.testing.assert_array_equal(joined, X.toarray()[:, slice(*piece.columns)])


@pytest.mark.parametrize("step_bytes", [1, 500, 5000])
def test_rows__of_sparse_pieces_have_the_same_bits_whatever_the_steps(step_bytes, monkeypatch):
    made = strategies.sparse_matrix(30, 3000, 0.1, dtype="float64")
    rows = replace_stack(monkeypatch, made, step_bytes)
    np.testing.assert_array_equal(rows, replace_stack(monkeypatch, made, 1 << 30))
    G = (made @ made.T).toarray()
    bound = 3000 * np.finfo(float).eps * (abs(made) @ abs(made).T).toarray()
    assert (np.abs(rows - G[:, [2, 17]]) <= bound[:, [2, 17]]).all()


def replace_stack(monkeypatch, matrix, step_bytes):
    monkeypatch.setattr(steps, "STACK_BYTES", step_bytes)
    accumulator = RowsAccumulator(
        rows=matrix.shape[0],
        sample=np.array([2, 17]),
        held=None,
        block_dtype=np.dtype("float64"),
    )
    return drivers.accumulate(accumulator, scipy.sparse.csr_array(matrix))


def test_column_steps__of_a_piece_without_entries_cover_its_columns():
    empty = scipy.sparse.csr_array((6, 90))
    (block,) = drivers.blocks_of(empty, [0, 90])
    ((_, piece),) = cut_pieces(prepare(block, by_rows=True, zero=False), 128)
    cut = list(steps.column_steps(piece, bytes_per_column=steps.STACK_BYTES // 7))
    assert [step.columns for step in cut][-1] == (84, 90)
    assert all((step.extents[0] == step.extents[1]).all() for step in cut)
