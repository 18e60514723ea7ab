"""Run parts of the library by hand: an accumulator over pieces, a plan over a source."""

import itertools
import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import scipy.sparse

from streamsparse.api.arguments import check_request
from streamsparse.errors import StoreError
from streamsparse.methods.auto import make_plan
from streamsparse.methods.base import Job
from streamsparse.running.facts import Facts
from streamsparse.running.local import Execution
from streamsparse.running.pieces import cut_pieces, prepare
from streamsparse.running.progress import show_progress
from streamsparse.running.spans import MergeTree
from streamsparse.running.threads import one_blas_thread
from streamsparse.sources.open import open_source

WHOLE = 1 << 20


def serial(task, count):
    for k in range(count):
        task(k)


def block_dtype(X):
    return open_source(X, feature_axis=1, missing="error").block_dtype


def blocks_of(X, edges):
    """Blocks of X (dense or sparse) cut at ``edges``."""
    source = open_source(X, feature_axis=1, missing="error")
    for a, b in pairwise(edges):
        if not scipy.sparse.issparse(X):
            yield source.read((0, X.shape[0]), (a, b))
            continue
        part = open_source(X.tocsc()[:, a:b].asformat(X.format), feature_axis=1, missing="error")
        yield replace(part.read((0, X.shape[0]), (0, b - a)), columns=(a, b))


def accumulate(accumulator, X, *, edges=None, by_rows=True, each=serial, span=WHOLE):
    """Feed X (dense or sparse) in pieces cut at ``edges`` and ``span``, merge and finish."""
    tree, state, current = MergeTree(accumulator.merge), accumulator.start(), 0
    for block in blocks_of(X, edges or [0, X.shape[1]]):
        ready = prepare(block, by_rows=by_rows, zero=False)
        for number, piece in cut_pieces(ready, span):
            if number != current:
                accumulator.close_span(state, each)
                tree.push(state, each)
                state, current = accumulator.start(), number
            accumulator.update(state, piece, each)
    accumulator.close_span(state, each)
    tree.push(state, each)
    return accumulator.finish(tree.result(each))


def dense_values(picks, rows):
    """The picked columns, (rows, picks)."""
    parts = []
    for batch in picks.batches:
        if isinstance(batch.values, tuple):
            indptr, indices, data = batch.values
            shape = (rows, indptr.size - 1)
            parts.append(scipy.sparse.csc_array((data, indices, indptr), shape=shape).toarray())
        else:
            parts.append(batch.values.T)
    return np.concatenate(parts, axis=1)


def request(**changes):
    """A checked request; what is not given is the default of ``sparsify``."""
    defaults = {
        "method": "auto",
        "m": None,
        "epsilon": None,
        "target": "attention",
        "delta": 0.01,
        "beta": 1.0,
        "seed": 0,
        "memory": "1 GiB",
        "s": 8,
        "strict": False,
        "has_output": False,
    }
    return check_request(**(defaults | changes))


def facts_of_size(n=1000, d=10**6, unit=(1000, 4096), nnz=None, overhead=4 << 20):
    """What a plan knows of a float32 matrix of this size, dense or sparse."""
    return Facts(
        name="x.zarr",
        n=n,
        d=d,
        feature_axis=1,
        dtype="float32",
        block_itemsize=4,
        nnz=nnz,
        unit=(min(unit[0], n), min(unit[1], d)),
        stored_bytes=4 * n * d if nnz is None else 8 * nnz,
        read_overhead_bytes=overhead,
        entry_bytes=0 if nnz is None else 16,
        clipped_entry_bytes=0 if nnz is None else 48,
        largest_unit_entries=0 if nnz is None else min(nnz, n),
        opening_passes=0,
    )


def plan_of(X, *, stream=None, **changes):
    """The plan for a matrix or source, with fields of its stream replaced."""
    source = open_source(X, feature_axis=1, missing="error") if not hasattr(X, "read") else X
    plan = make_plan(Facts.of(source), request(**changes), threads=2)
    return replace(plan, stream=replace(plan.stream, **(stream or {})))


def run(method, X, plan, *, threads=2):
    """Run a method of the library, ``method(job)``, on a matrix or source, as a plan is run."""
    source = open_source(X, feature_axis=1, missing="error") if not hasattr(X, "read") else X
    with one_blas_thread(), show_progress(False, label="", total=0) as bar:
        return method(Job(source, plan, Execution(threads, False, bar), None))


class Watched:
    """A source that records what is read, and gives the values of ``later`` after one pass."""

    def __init__(self, source, *, later=None):
        self._source, self._later = source, later or source
        self.reads = []

    def __getattr__(self, name):
        return getattr(self._source, name)

    @property
    def cells_read(self):
        return sum((b - a) * (d - c) for (a, b), (c, d) in self.reads)

    def read(self, rows, columns):
        n, d = self._source.shape
        source = self._source if self.cells_read < n * d else self._later
        self.reads.append((rows, columns))
        return source.read(rows, columns)


def flip_byte(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


class Failing:
    """A source whose store fails after a number of reads, once."""

    def __init__(self, source, *, after):
        self._source, self._left = source, after
        self.reads = []

    def __getattr__(self, name):
        return getattr(self._source, name)

    def read(self, rows, columns):
        if self._left == 0:
            raise StoreError("the store is gone")
        self._left -= 1
        self.reads.append((rows, columns))
        return self._source.read(rows, columns)


class Interrupting:
    """A source that sends its own process a signal, once, when columns from ``after`` are read."""

    def __init__(self, source, number, *, after=0):
        self._source, self._number, self._after = source, number, after
        # Two readers may arrive at once, and a second signal is another matter.
        self._once = itertools.count()

    def __getattr__(self, name):
        return getattr(self._source, name)

    def read(self, rows, columns):
        if columns[0] >= self._after and next(self._once) == 0:
            os.kill(os.getpid(), self._number)
        return self._source.read(rows, columns)
