"""Pieces of blocks that came from somewhere else."""

import numpy as np
import pytest
import scipy.sparse

import strategies
from drivers import serial
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.running.pieces import cut_pieces
from streamsparse.sources.base import DenseBlock, SparseBlock


def misplaced(array):
    """Return a copy that begins at an odd address, as what comes over a network may."""
    raw = np.empty(array.nbytes + 1, np.uint8)
    shifted = raw[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    assert not shifted.flags.aligned
    return shifted


@pytest.mark.parametrize("place", [np.asarray, misplaced])
def test_cut_pieces__of_dense_blocks_have_the_bits_of_their_values_alone(place):
    rng = np.random.default_rng(0)
    X = (rng.standard_normal((24, 300)) * 10.0 ** rng.uniform(-3, 3, (24, 1))).astype(np.float32)
    made = GramAccumulator(rows=24, block_dtype=X.dtype)
    sums = []
    for data in (X, place(X)):
        state = made.start()
        for _, piece in cut_pieces(DenseBlock((0, 24), (0, 300), data), 300):
            assert piece.data.flags.aligned
            made.update(state, piece, serial)
        made.close_span(state, serial)
        sums.append(made.finish(state))
    np.testing.assert_array_equal(*sums)


@pytest.mark.parametrize("by_rows", [True, False])
def test_cut_pieces__of_sparse_blocks_are_aligned(by_rows):
    X = strategies.sparse_matrix(20, 300, 0.2, high=9, dtype="float32")
    X = scipy.sparse.csr_array(X) if by_rows else scipy.sparse.csc_array(X)
    parts = map(misplaced, (X.indptr.astype(np.int64), X.indices, X.data))
    for _, piece in cut_pieces(SparseBlock((0, 20), (0, 300), by_rows, *parts), 300):
        assert piece.extents.flags.aligned
        assert piece.indices.flags.aligned
        assert piece.data.flags.aligned
