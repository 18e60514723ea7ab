"""Kernels through their accumulators, on blocks in memory, all processors.

The sketch and the norms are compared with the rate at which memory can be read, and with what
others use for a sketch, on the same entries; narrow dtypes with float32, in entries; the Gram
matrix with np.matmul on a block that stays in the caches; sparse ones with scipy on the same
matrices. The sums are made before the clock starts: a pass makes them once, whatever its length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import scipy.linalg
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

from streamsparse.accumulators.base import Accumulator, DensePiece, Each
from streamsparse.accumulators.gram import GramAccumulator
from streamsparse.accumulators.norms import NormsAccumulator
from streamsparse.accumulators.probes import ProbesAccumulator
from streamsparse.accumulators.sketch import SketchAccumulator
from streamsparse.running.pieces import cut_pieces, prepare
from streamsparse.running.threads import available_threads, worker_threads
from streamsparse.sketching.run_hash import SparseSign
from streamsparse.sources.base import SparseBlock
from streamsparse.sources.buffers import reused_buffers
from streamsparse.sources.dtypes import as_block_dtype, copy_values

SEED = 7
DENSITY = 0.003
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """Shapes of one size: ``d`` for sparse data, ``data_bytes`` of dense blocks in memory."""

    n: int
    m: int
    d: int
    tall_n: int
    data_bytes: int
    block_bytes: int


SIZES = {
    "toy": Sizes(n=64, m=256, d=1 << 13, tall_n=200, data_bytes=1 << 20, block_bytes=1 << 18),
    "small": Sizes(
        n=1024, m=4096, d=1 << 20, tall_n=20_000, data_bytes=1 << 30, block_bytes=1 << 26
    ),
    "large": Sizes(
        n=1024, m=4096, d=1 << 22, tall_n=20_000, data_bytes=1 << 32, block_bytes=1 << 26
    ),
}
NARROW = ("float64", "float16", "int8", "uint8")


def main() -> None:
    arguments = parse_arguments(__doc__)
    sizes, report = SIZES[arguments.size], Report("kernels", arguments)
    read = MemoryRead(sizes.data_bytes)
    with worker_threads(available_threads()) as each:
        bench_dense(report, sizes, read, each)
        bench_narrow(report, sizes, each)
        bench_widening(report, sizes)
        bench_rivals(report, sizes, each)
        bench_sparse(report, sizes, sizes.n, each)
        bench_sparse(report, sizes, sizes.tall_n, each)
        bench_exact(report, sizes, each)
    report.print_table()


def dense_pieces(sizes: Sizes, dtype: str, d: int) -> list[DensePiece]:
    """Return the d columns in blocks of their own memory, as a pass would read them."""
    width = min(d, sizes.block_bytes // (sizes.n * np.dtype(dtype).itemsize))
    values = (16 * rounded_normals((sizes.n, width), SEED)).astype(dtype)
    return [DensePiece((0, sizes.n), columns, values.copy(), 0) for columns in intervals(d, width)]


def feed(
    accumulator: Accumulator, pieces: list[Any], each: Each, state: Any = None
) -> list[np.ndarray]:
    """Return the state after all pieces, added to the one given."""
    state = accumulator.start() if state is None else state
    for piece in pieces:
        accumulator.update(state, piece, each)
    accumulator.close_span(state, each)
    return state


def feeding(accumulator: Accumulator, pieces: list[Any], each: Each) -> Callable[[], object]:
    """Return what feeds all pieces to a state that is there already."""
    return partial(feed, accumulator, pieces, each, accumulator.start())


def widening(
    accumulator: Accumulator, pieces: list[DensePiece], each: Each
) -> Callable[[], object]:
    """Return what feeds all pieces after it has widened them, one per processor at a time.

    It is the threads that read who widen, beside the others: here they take turns.
    """
    state, threads = accumulator.start(), available_threads()

    def action() -> None:
        for k in range(0, len(pieces), threads):
            wide = pieces[k : k + threads]

            def widen(at: int, wide: list[DensePiece] = wide) -> None:
                wide[at] = replace(wide[at], data=as_block_dtype(wide[at].data))

            each(widen, len(wide))
            feed(accumulator, wide, each, state)

    return action


def sketching(sizes: Sizes, d: int, s: int, m: int | None = None) -> SketchAccumulator:
    """Return what sketches n x d."""
    operator = SparseSign.make(d=d, m=m or sizes.m, s=s, seed=SEED)
    return SketchAccumulator(rows=sizes.n, operator=operator)


def bench_dense(report: Report, sizes: Sizes, read: MemoryRead, each: Each) -> None:
    """Measure float32, the sketch with s = 1 and 8 and the norms: bytes of X per second."""
    names = {f"sketch float32 s={s}": s for s in (1, 8)} | {"norms float32": 0}
    names = {name: s for name, s in names.items() if report.wants(name)}
    d = sizes.data_bytes // (4 * sizes.n)
    pieces = dense_pieces(sizes, "float32", d) if names else []
    for name, s in names.items():
        accumulator: Any = sketching(sizes, d, s) if s else NormsAccumulator(rows=sizes.n)
        ours, roof = time_in_turns([feeding(accumulator, pieces, each), read], REPEATS)
        report.add(
            name,
            {"n": sizes.n, "d": d, "dtype": "float32"} | ({"m": sizes.m, "s": s} if s else {}),
            timing=ours,
            rate=(sizes.data_bytes / ours.best / 1e9, "GB/s"),
            baseline=("memory read", read.size_bytes / roof.best / 1e9),
            facts={"entry_additions_per_second": max(s, 1) * sizes.n * d / ours.best},
        )


def bench_narrow(report: Report, sizes: Sizes, each: Each) -> None:
    """Measure the sketch of other dtypes against that of as many entries of float32.

    float16 is widened first, within our time.
    """
    names = {f"sketch {dtype} s={s}": (dtype, s) for dtype in NARROW for s in (1, 8)}
    d = sizes.data_bytes // (8 * sizes.n)
    for name, (dtype, s) in names.items():
        if not report.wants(name):
            continue
        actions = [
            (widening if kind == "float16" else feeding)(
                sketching(sizes, d, s), dense_pieces(sizes, kind, d), each
            )
            for kind in (dtype, "float32")
        ]
        with reused_buffers():
            ours, float32 = time_in_turns(actions, REPEATS)
        report.add(
            name,
            {"n": sizes.n, "d": d, "dtype": dtype, "m": sizes.m, "s": s},
            timing=ours,
            rate=(sizes.n * d / ours.best / 1e9, "Ge/s"),
            baseline=("float32", sizes.n * d / float32.best / 1e9),
        )


def bench_widening(report: Report, sizes: Sizes) -> None:
    """Measure float16 made float32, as where a chunk is decoded, against numpy: one thread."""
    name = "widen float16"
    if not report.wants(name):
        return
    d = sizes.data_bytes // (16 * sizes.n)
    halves = rounded_normals((sizes.n, d), SEED).astype(np.float16)
    out = np.zeros(halves.shape, np.float32)
    ours, theirs = time_in_turns(
        [partial(copy_values, halves, out), partial(np.copyto, out, halves)], REPEATS
    )
    report.add(
        name,
        {"n": sizes.n, "d": d},
        timing=ours,
        rate=(halves.size / ours.best / 1e9, "Ge/s"),
        baseline=("numpy", halves.size / theirs.best / 1e9),
    )


def bench_rivals(report: Report, sizes: Sizes, each: Each) -> None:
    """Measure others that sketch a dense X with one nonzero per column of S: entries per second.

    scikit-learn, where it is installed, takes X (n, d) as it is; scipy's takes its transpose.
    """
    names = {"sketch / scipy": _scipy_sketch}
    if find_spec("sklearn"):
        names["sketch / sklearn"] = _sklearn_sketch
    d = sizes.data_bytes // (4 * sizes.n)
    for name, rival in names.items():
        if not report.wants(name):
            continue
        pieces = dense_pieces(sizes, "float32", d)
        X = np.concatenate([piece.data for piece in pieces], axis=1)[:, :d]
        ours, theirs = time_in_turns(
            [feeding(sketching(sizes, d, 1), pieces, each), partial(rival, X, sizes.m)], 1
        )
        report.add(
            name,
            {"n": sizes.n, "d": d, "dtype": "float32", "m": sizes.m, "s": 1},
            timing=ours,
            rate=(X.size / ours.best / 1e9, "Ge/s"),
            baseline=(name.split()[-1], X.size / theirs.best / 1e9),
        )


def _sklearn_sketch(X: np.ndarray, m: int) -> None:
    from sklearn.random_projection import SparseRandomProjection

    made = SparseRandomProjection(m, density=1 / m, dense_output=True, random_state=SEED)
    made.fit(X[:1]).transform(X)


def _scipy_sketch(X: np.ndarray, m: int) -> None:
    scipy.linalg.clarkson_woodruff_transform(X.T, m, rng=SEED)


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


def bench_sparse(report: Report, sizes: Sizes, n: int, each: Each) -> None:
    """Measure sparse data, entries per second, against scipy's products on one thread."""
    d = sizes.d if n == sizes.n else sizes.d // 2
    sketches = {
        f"sketch {layout} n={n} s={s}": (layout, s) for layout in ("csr", "csc") for s in (1, 8)
    }
    grams = {f"gram csc n={n} {density:.1%}": density for density in (0.001, 0.01)}
    wanted = [name for name in sketches if report.wants(name)]
    probes = f"probes csr n={n}"
    needs_X = wanted or report.wants(probes)
    X = sparse_columns(n, d, DENSITY, SEED) if needs_X else None
    if report.wants(probes):
        bench_sparse_probes(report, probes, X.tocsr(), each)
    for name in wanted:
        bench_sparse_sketch(report, name, X, sizes.m, *sketches[name], each)
    for name, density in grams.items():
        if report.wants(name) and n == sizes.n:
            bench_sparse_gram(report, name, sparse_columns(n, d, density, SEED), each)


def bench_sparse_sketch(
    report: Report, name: str, X: scipy.sparse.csc_array, m: int, layout: str, s: int, each: Each
) -> None:
    """Measure Y = X S^T against the same product by scipy, X as it is stored.

    Columns are turned into rows first, within our time, by the threads that read.
    """
    (n, d), by_rows = X.shape, X.tocsr()
    operator = SparseSign.make(d=d, m=m, s=s, seed=SEED)
    S_transposed = transposed_operator(operator)
    accumulator = SketchAccumulator(rows=n, operator=operator)
    blocks = [sparse_block(by_rows, by_rows=True)]
    if layout == "csc":
        edges = list(intervals(d, -(-d // (2 * available_threads()))))
        blocks = [sparse_block(X[:, a:b], by_rows=False, first=a) for a, b in edges]
    stored = by_rows if layout == "csr" else X

    def sketch(state: Any) -> Any:
        prepared: dict[int, Any] = {}

        def prepare_one(k: int) -> None:
            prepared[k] = prepare(blocks[k], by_rows=True, zero=False)

        each(prepare_one, len(blocks))
        for k in range(len(blocks)):
            for _, piece in cut_pieces(prepared[k], d):
                accumulator.update(state, piece, each)
        return state

    check_same(accumulator.finish(sketch(accumulator.start())), (stored @ S_transposed).toarray())
    state = accumulator.start()
    ours, theirs = time_in_turns([lambda: sketch(state), lambda: stored @ S_transposed], REPEATS)
    report.add(
        name,
        {"n": n, "d": d, "m": m, "s": s, "nnz": X.nnz, "dtype": "float32", "layout": layout},
        timing=ours,
        rate=(X.nnz / ours.best / 1e6, "Mnnz/s"),
        baseline=("scipy X @ S.T, one thread", X.nnz / theirs.best / 1e6),
    )


def bench_sparse_probes(report: Report, name: str, X: scipy.sparse.csr_array, each: Each) -> None:
    """Measure G Omega for the 16 probes of a certificate against scipy's two products."""
    n, d = X.shape
    probes = rounded_normals((n, 16), SEED)
    accumulator = ProbesAccumulator(probes=probes, block_dtype=X.dtype)
    pieces = [piece for _, piece in cut_pieces(sparse_block(X, by_rows=True), d)]
    check_same(accumulator.finish(feed(accumulator, pieces, each)), X @ (X.T @ probes))
    ours, theirs = time_in_turns(
        [feeding(accumulator, pieces, each), lambda: X @ (X.T @ probes)], REPEATS
    )
    report.add(
        name,
        {"n": n, "d": d, "nnz": X.nnz, "probes": 16, "dtype": "float32"},
        timing=ours,
        rate=(X.nnz / ours.best / 1e6, "Mnnz/s"),
        baseline=("scipy X @ (X.T @ Omega), one thread", X.nnz / theirs.best / 1e6),
    )


def bench_sparse_gram(report: Report, name: str, X: scipy.sparse.csc_array, each: Each) -> None:
    """Measure G = X X^T, by columns, against the same product by scipy."""
    (n, d), by_rows, transposed = X.shape, X.tocsr(), X.T.tocsr()
    accumulator = GramAccumulator(rows=n, block_dtype=X.dtype)
    pieces = [piece for _, piece in cut_pieces(sparse_block(X, by_rows=False), d)]
    G = accumulator.finish(feed(accumulator, pieces, each))
    check_same(G, (by_rows @ transposed).toarray())
    ours, theirs = time_in_turns(
        [feeding(accumulator, pieces, each), lambda: by_rows @ transposed], REPEATS
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
                feeding(accumulator, pieces, each),
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


def sparse_block(X: Any, *, by_rows: bool, first: int = 0) -> SparseBlock:
    """Return all of a compressed matrix as one block, from column ``first`` on."""
    n, d = X.shape
    indptr, indices = X.indptr.astype(np.int64), X.indices.astype(np.int32)
    return SparseBlock((0, n), (first, first + d), by_rows, indptr, indices, X.data)


def check_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Refuse to time two things that are not the same; theirs is summed in float32."""
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert error < 1e-4, f"the answers differ by {error:.1e} of the largest"


if __name__ == "__main__":
    main()
