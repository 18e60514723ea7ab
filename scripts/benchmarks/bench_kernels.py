"""Kernels through their accumulators, on blocks in memory, all processors.

The sketch and the norms are compared with the rate at which memory can be read, the Gram matrix
with np.matmul on a block that stays in the caches, sparse ones with scipy on the same matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from harness import (
    MemoryRead,
    Report,
    intervals,
    parse_arguments,
    rounded_normals,
    sparse_columns,
    time_in_turns,
)

from streamsparse.accumulators.base import Accumulator, DensePiece, Each, Piece, SparsePiece
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.running.threads import available_threads, worker_threads
from streamsparse.sketching.run_hash import SparseSign

SEED = 7
DENSITY = 0.003
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """Shapes of one size: ``d`` for sparse data, ``data_bytes`` of dense blocks in memory."""

    n: int
    m: int
    d: int
    data_bytes: int
    block_bytes: int


SIZES = {
    "toy": Sizes(n=64, m=256, d=1 << 13, data_bytes=1 << 20, block_bytes=1 << 18),
    "small": Sizes(n=1024, m=4096, d=1 << 20, data_bytes=1 << 30, block_bytes=1 << 25),
    "large": Sizes(n=1024, m=4096, d=1 << 22, data_bytes=1 << 32, block_bytes=1 << 25),
}


def main() -> None:
    arguments = parse_arguments(__doc__)
    sizes, report = SIZES[arguments.size], Report("kernels", arguments)
    read = MemoryRead(sizes.data_bytes)
    with worker_threads(available_threads()) as each:
        for dtype in ("float32", "float64", "int8"):
            bench_dense(report, sizes, dtype, read, each)
        bench_sparse(report, sizes, each)
        bench_exact(report, sizes, each)
    report.print_table()


def dense_pieces(sizes: Sizes, dtype: str, d: int) -> list[DensePiece]:
    """Return the d columns in blocks of their own memory, as a pass would read them."""
    width = min(d, sizes.block_bytes // (sizes.n * np.dtype(dtype).itemsize))
    values = (16 * rounded_normals((sizes.n, width), SEED)).astype(dtype)
    return [DensePiece((0, sizes.n), columns, values.copy(), 0) for columns in intervals(d, width)]


def feed(accumulator: Accumulator, pieces: list[Any], each: Each) -> list[np.ndarray]:
    """Return the state after all pieces."""
    state = accumulator.start()
    for piece in pieces:
        accumulator.update(state, piece, each)
    accumulator.close_span(state, each)
    return state


def bench_dense(report: Report, sizes: Sizes, dtype: str, read: MemoryRead, each: Each) -> None:
    """Measure the sketch with s = 1 and 8, and the norms: bytes of X per second."""
    names = {f"sketch {dtype} s={s}": s for s in (1, 8)} | {f"norms {dtype}": 0}
    names = {name: s for name, s in names.items() if report.wants(name)}
    d = sizes.data_bytes // (sizes.n * np.dtype(dtype).itemsize)
    pieces = dense_pieces(sizes, dtype, d) if names else []
    for name, s in names.items():
        accumulator: Any = NormsAccumulator(rows=sizes.n)
        parameters: dict[str, Any] = {"n": sizes.n, "d": d, "dtype": dtype}
        if s:
            operator = SparseSign.make(d=d, m=sizes.m, s=s, seed=SEED)
            accumulator = SketchAccumulator(rows=sizes.n, operator=operator)
            parameters |= {"m": sizes.m, "s": s}
        ours, roof = time_in_turns(
            [lambda accumulator=accumulator: feed(accumulator, pieces, each), read], REPEATS
        )
        report.add(
            name,
            parameters,
            timing=ours,
            rate=(sizes.data_bytes / ours.best / 1e9, "GB/s"),
            baseline=("memory read", read.size_bytes / roof.best / 1e9),
            facts={"entry_additions_per_second": max(s, 1) * sizes.n * d / ours.best},
        )


def transposed_operator(operator: SparseSign) -> scipy.sparse.csr_array:
    """Return S^T (d, m), unscaled, made of the tables that the kernels use."""
    d, s, run = operator.d, operator.s, operator.run
    columns = np.arange(d)
    offsets, signs = operator.tables(0, -(-d // run))
    within = columns % run
    widths = np.array(operator.widths)
    starts = np.concatenate([[0], np.cumsum(widths + run - 1)[:-1]])
    # A position in the padded Y is a bucket of its replicate, taken modulo the width.
    buckets = (offsets[columns // run] + within[:, None] - starts) % widths
    buckets += np.concatenate([[0], np.cumsum(widths)[:-1]])
    bits = (signs[columns // run] >> within[:, None].astype(np.uint64)) & np.uint64(1)
    values = (1 - 2 * bits.astype(np.float32)).ravel()
    indptr = np.arange(0, d * s + 1, s)
    return scipy.sparse.csr_array((values, buckets.ravel(), indptr), shape=(d, operator.m))


def bench_sparse(report: Report, sizes: Sizes, each: Each) -> None:
    """Measure sparse data, entries per second, against scipy's products on one thread."""
    sketches = {f"sketch sparse s={s}": s for s in (1, 8)}
    wanted = [name for name in [*sketches, "gram sparse"] if report.wants(name)]
    X = sparse_columns(sizes.n, sizes.d, DENSITY, SEED) if wanted else None
    for name in wanted:
        if name in sketches:
            bench_sparse_sketch(report, name, X, sizes.m, sketches[name], each)
        else:
            bench_sparse_gram(report, name, X, each)


def bench_sparse_sketch(
    report: Report, name: str, X: scipy.sparse.csc_array, m: int, s: int, each: Each
) -> None:
    """Measure Y = X S^T, by rows, against the same product by scipy."""
    (n, d), by_rows = X.shape, X.tocsr()
    operator = SparseSign.make(d=d, m=m, s=s, seed=SEED)
    S_transposed = transposed_operator(operator)
    accumulator = SketchAccumulator(rows=n, operator=operator)
    pieces = [compressed_piece(by_rows, by_rows=True)]
    sums = accumulator.finish(feed(accumulator, pieces, each))
    check_same(sums, (by_rows @ S_transposed).toarray())
    ours, theirs = time_in_turns(
        [lambda: feed(accumulator, pieces, each), lambda: by_rows @ S_transposed], REPEATS
    )
    report.add(
        name,
        {"n": n, "d": d, "m": m, "s": s, "nnz": X.nnz, "dtype": "float32"},
        timing=ours,
        rate=(X.nnz / ours.best / 1e6, "Mnnz/s"),
        baseline=("scipy X @ S.T, CSR, one thread", X.nnz / theirs.best / 1e6),
    )


def bench_sparse_gram(report: Report, name: str, X: scipy.sparse.csc_array, each: Each) -> None:
    """Measure G = X X^T, by columns, against the same product by scipy."""
    (n, d), by_rows, transposed = X.shape, X.tocsr(), X.T.tocsr()
    accumulator = GramAccumulator(rows=n, block_dtype=X.dtype)
    pieces = [compressed_piece(X, by_rows=False)]
    G = accumulator.finish(feed(accumulator, pieces, each))
    check_same(G, (by_rows @ transposed).toarray())
    ours, theirs = time_in_turns(
        [lambda: feed(accumulator, pieces, each), lambda: by_rows @ transposed], REPEATS
    )
    counts = np.diff(X.indptr)
    report.add(
        name,
        {"n": n, "d": d, "nnz": X.nnz, "dtype": "float32"},
        timing=ours,
        rate=(X.nnz / ours.best / 1e6, "Mnnz/s"),
        baseline=("scipy X @ X.T, CSR, one thread", X.nnz / theirs.best / 1e6),
        facts={"products_per_second": int((counts * (counts + 1) // 2).sum()) / ours.best},
    )


def bench_exact(report: Report, sizes: Sizes, each: Each) -> None:
    """Measure the dense Gram matrix, n (n + 1) d flops, against np.matmul."""
    for dtype in ("float32", "float64", "int8"):
        name = f"gram {dtype}"
        if not report.wants(name):
            continue
        # A quarter of the float32 data is enough: this one is bound by arithmetic.
        d = sizes.data_bytes // (16 * sizes.n)
        pieces = dense_pieces(sizes, dtype, d)
        accumulator = GramAccumulator(rows=sizes.n, block_dtype=np.dtype(dtype))
        matmul = ResidentMatmul(sizes.n, np.float64 if dtype == "float64" else np.float32, each)
        ours, theirs = time_in_turns(
            [
                lambda accumulator=accumulator, pieces=pieces: feed(accumulator, pieces, each),
                matmul,
            ],
            REPEATS,
        )
        flops = sizes.n * (sizes.n + 1) * d
        report.add(
            name,
            {"n": sizes.n, "d": d, "dtype": dtype},
            timing=ours,
            rate=(flops / ours.best / 1e9, "GF/s"),
            baseline=(
                f"matmul of resident blocks, {matmul.dtype}",
                matmul.flops / theirs.best / 1e9,
            ),
        )


class ResidentMatmul:
    """The arithmetic roof: every processor multiplies one block that stays in its caches.

    One product per processor, each on one thread, waits for nobody: it is what BLAS can do on a
    machine that others use too.
    """

    def __init__(self, n: int, dtype: type, each: Each) -> None:
        self._each, self._number = each, 16 * available_threads()
        self._left = rounded_normals((n, n), SEED).astype(dtype)
        self._right = np.ascontiguousarray(self._left[::-1].T)
        self.dtype = self._left.dtype
        self.flops = 2 * n**3 * self._number

    def __call__(self) -> None:
        """Multiply ``flops`` flops' worth."""
        self._each(lambda _: np.matmul(self._left, self._right), self._number)


def compressed_piece(X: Any, *, by_rows: bool) -> Piece:
    """Return all of a compressed matrix as one piece."""
    extents = np.stack([X.indptr[:-1], X.indptr[1:]]).astype(np.int64)
    n, d = X.shape
    return SparsePiece((0, n), (0, d), by_rows, extents, X.indices.astype(np.int32), X.data, 0)


def check_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Refuse to time two things that are not the same; theirs is summed in float32."""
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert error < 1e-4, f"the answers differ by {error:.1e} of the largest"


if __name__ == "__main__":
    main()
