"""What dask users would write today against ``sparsify``: same data, a fresh cluster each.

Two worker processes with one thread and a memory limit each. Everybody reads the same files: dense
columns from one Zarr array of float32, sparse ones from one .npz per chunk. X has 32 directions
whose lengths fall from 1 to 1/32 and noise, so that low rank is worth something.

What the columns of the table are: seconds, warm, without the start of the cluster and the first
call; processor seconds of all processes; tasks computed; the peak of anonymous memory of the
workers together, of the larger one, and of the process that starts the tasks (with its scheduler);
bytes spilled; max |E_ij| / r with r the largest squared row norm, beside that of Y = 0.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from harness import Report, Timing, intervals, parse_arguments
from workers import Watched, measured, python, watch

import streamsparse

SEED = 7
DENSITY = 0.003
DIRECTIONS = 32
NOISE = 0.02
# Sums of blocks by trees of this many at once: the default of dask's reductions, nearly.
FAN_IN = 8
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """Shapes of one size: ``width`` columns per chunk; ``k`` of the SVD, ``m`` of a wide sketch."""

    n: int
    d: int
    width: int
    k: int
    m: int
    sparse_d: int
    sparse_width: int
    memory_limit: str


SIZES = {
    "toy": Sizes(64, 1 << 14, 1 << 11, 32, 256, 1 << 15, 1 << 13, "2 GiB"),
    "small": Sizes(1000, 10**5, 1 << 12, 256, 4096, 10**6, 1 << 15, "2 GiB"),
    "large": Sizes(1000, 10**6, 1 << 12, 256, 4096, 10**7, 1 << 17, "2 GiB"),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One contender on one kind of data: all that its process needs to know."""

    name: str
    kind: str
    folder: str
    size: str
    m: int


def main() -> None:
    folder = {"default": None, "help": "where to write the data; a temporary folder by default"}
    child = {"help": "run one contender and exit; internal"}
    arguments = parse_arguments(__doc__, folder=folder, child=child)
    if arguments.child:
        run(Job(**json.loads(arguments.child)))
        return
    report = Report("dask", arguments)
    for kind in ("dense", "csr"):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            bench(report, arguments, kind, Path(name))
    report.print_table()


def bench(report: Report, arguments: argparse.Namespace, kind: str, folder: Path) -> None:
    """Let everybody reduce data of one kind; figures are bytes of X per second."""
    sizes = SIZES[arguments.size]
    contenders = DENSE if kind == "dense" else SPARSE
    baseline = next(iter(contenders)) if kind == "dense" else "blocks X X^T"
    wanted = [name for name in contenders if report.wants(f"{name} {kind}")]
    if not wanted:
        return
    X_bytes, G = write(kind, sizes, folder)
    fails: dict[str, str] = {}
    lines, of_baseline = [], 0.0
    for name in dict.fromkeys([baseline, *wanted]):
        m = getattr(sizes, contenders[name])
        job = Job(name, kind, str(folder), arguments.size, m)
        try:
            watched = watch(python(__file__, "--child", json.dumps(asdict(job))))
        except RuntimeError as error:
            fails[name] = str(error)
            continue
        error = entry_error(G, folder / f"{name.replace(' ', '-')}.npy")
        facts = facts_of(watched) | {"entry_error": error, "entry_error_of_zero": 1.0}
        rate = X_bytes / facts["seconds"] / 1e6
        of_baseline = of_baseline or rate
        report.add(
            f"{name} {kind}",
            {"n": sizes.n, "bytes": X_bytes, "m": m, "memory_limit": sizes.memory_limit},
            timing=Timing((facts["seconds"],), facts["others"]),
            rate=(rate, "MB/s"),
            baseline=(baseline, of_baseline),
            facts=facts | {"fails": dict(fails)},
        )
        lines.append(line_of(name, facts))
    print_lines(kind, lines, fails)


def facts_of(watched: Watched) -> dict[str, Any]:
    """Return what is known of a run, memory in bytes."""
    peaks = {f"{name}_peak_bytes": value for name, value in asdict(watched.peaks).items()}
    return watched.facts | peaks


def line_of(name: str, facts: dict[str, Any]) -> str:
    """Return one line of the table."""
    return (
        f"{name:<21}{facts['seconds']:7.1f}{facts['processor_seconds']:7.1f}{facts['tasks']:6d}"
        f"{facts['together_peak_bytes'] / MIB:7.0f}{facts['largest_peak_bytes'] / MIB:7.0f}"
        f"{facts['client_peak_bytes'] / MIB:7.0f}{facts['spilled_bytes'] / MIB:8.0f}"
        f"{facts['entry_error']:9.1e}"
    )


def print_lines(kind: str, lines: list[str], fails: dict[str, str]) -> None:
    """Print what was measured and who failed to stderr, at most 80 columns."""
    print(f"{kind}: MiB of both workers, the larger one, the client, spilled", file=sys.stderr)
    heading = f"{'':21}{'s':>7}{'cpu s':>7}{'tasks':>6}{'both':>7}{'larger':>7}{'client':>7}"
    print(f"{heading}{'spilled':>8}{'error':>9}", file=sys.stderr)
    print("\n".join(lines), file=sys.stderr)
    print(f"{'Y = 0':<21}{'':49}{1:9.1e}", file=sys.stderr)
    for name, why in fails.items():
        print(f"{name:<21}fails: {why}"[:80], file=sys.stderr)


def entry_error(G: np.ndarray, found: Path) -> float:
    """Return max |E_ij| / r of what somebody saved: G itself, or Y."""
    values = np.load(found).astype(np.float64)
    G_hat = values if found.name.endswith("X-X^T.npy") else values @ values.T
    return float(np.abs(G_hat - G).max() / G.diagonal().max())


def write(kind: str, sizes: Sizes, folder: Path) -> tuple[int, np.ndarray]:
    """Write X in every form that somebody reads; return (bytes of X, its Gram matrix)."""
    if kind == "dense":
        return write_dense(sizes, folder)
    return write_sparse(sizes, folder)


def write_dense(sizes: Sizes, folder: Path) -> tuple[int, np.ndarray]:
    """Write a Zarr array, uncompressed: chunks of all rows."""
    import zarr

    n, d = sizes.n, sizes.d
    array = zarr.create_array(
        folder / "X.zarr", shape=(n, d), chunks=(n, sizes.width), dtype="float32", compressors=None
    )
    directions = np.random.default_rng(SEED).standard_normal((n, DIRECTIONS), np.float32)
    directions /= np.arange(1, DIRECTIONS + 1, dtype=np.float32)
    G = np.zeros((n, n))
    for chunk, (start, stop) in enumerate(intervals(d, sizes.width)):
        rng = np.random.default_rng([SEED, chunk])
        X_block = directions @ rng.standard_normal((DIRECTIONS, stop - start), np.float32)
        X_block += NOISE * rng.standard_normal(X_block.shape, np.float32)
        array[:, start:stop] = X_block
        wide = X_block.astype(np.float64)
        G += wide @ wide.T
    return 4 * n * d, G


def write_sparse(sizes: Sizes, folder: Path) -> tuple[int, np.ndarray]:
    """Write CSR chunks of all rows, one file each."""
    n, d, G = sizes.n, sizes.sparse_d, np.zeros((sizes.n, sizes.n))
    total = 0
    for chunk, (start, stop) in enumerate(intervals(d, sizes.sparse_width)):
        X_block = scipy.sparse.random_array(
            (n, stop - start),
            density=DENSITY,
            format="csr",
            dtype=np.float32,
            rng=np.random.default_rng([SEED, chunk]),
        )
        scipy.sparse.save_npz(folder / f"{chunk}.npz", X_block, compressed=False)
        wide = X_block.astype(np.float64)
        G += (wide @ wide.T).toarray()
        total += X_block.data.nbytes + X_block.indices.nbytes + X_block.indptr.nbytes
    return total, G


def run(job: Job) -> None:
    """Start a cluster, warm up on a few chunks, reduce X, save what was found: a child's life."""
    sizes = SIZES[job.size]
    contender = CONTENDERS[job.name]

    def reduce(chunks: int | None) -> np.ndarray:
        X = opened(job, sizes, chunks)
        return contender(X, Path(job.folder), job.m)

    def action() -> None:
        found.append(reduce(None))

    found: list[np.ndarray] = []
    measured(sizes.memory_limit, lambda: reduce(2), action)
    np.save(Path(job.folder) / f"{job.name.replace(' ', '-')}.npy", found[0])


def opened(job: Job, sizes: Sizes, chunks: int | None) -> Any:
    """Return X as a dask array, or its first chunks."""
    import dask.array as da

    folder = Path(job.folder)
    if job.kind == "dense":
        X = da.from_zarr(folder / "X.zarr")
    else:
        widths = [stop - start for start, stop in intervals(sizes.sparse_d, sizes.sparse_width)]
        X = da.map_blocks(
            partial(load, folder),
            chunks=((sizes.n,), tuple(widths)),
            dtype=np.float32,
            meta=scipy.sparse.csr_array((0, 0), dtype=np.float32),
        )
    return X if chunks is None else X[:, : sum(X.chunks[1][:chunks])]


def load(folder: Path, block_id: tuple[int, int] = (0, 0)) -> Any:
    """Return a chunk of the sparse X."""
    return scipy.sparse.load_npz(folder / f"{block_id[1]}.npz")


def dask_gram(X: Any, _folder: Path, _m: int) -> np.ndarray:
    """G by dask's product."""
    return np.asarray((X @ X.T).compute())


def dask_svd(X: Any, _folder: Path, m: int) -> np.ndarray:
    """Y = U Sigma by dask's randomized SVD, no power iterations."""
    import dask
    import dask.array as da

    U, sizes, _ = da.linalg.svd_compressed(X, m, seed=SEED)
    U, sizes = dask.compute(U, sizes)
    return np.asarray(U * sizes)


def blocks_gram(X: Any, _folder: Path, _m: int) -> np.ndarray:
    """G as a sum of products of chunks: what works for sparse ones."""
    return summed(X, products_of_block, X.shape[0])


def products_of_block(X_block: Any) -> np.ndarray:
    """X X^T of one chunk, dense."""
    product = X_block @ X_block.T
    return (product.toarray() if scipy.sparse.issparse(product) else product)[:, :, None]


def random_projection(X: Any, _folder: Path, m: int) -> np.ndarray:
    """Y = X S^T by scikit-learn, S drawn chunk by chunk with as many entries as all of X asks."""
    density = X.shape[1] ** -0.5
    return summed(X, partial(project_block, m=m, density=density), m)


def project_block(
    X_block: Any, *, m: int, density: float, block_id: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """X S^T of one chunk, S a function of where it is."""
    from sklearn.random_projection import SparseRandomProjection

    projection = SparseRandomProjection(
        m, density=density, dense_output=True, random_state=SEED + block_id[1]
    )
    projected = projection.fit(X_block).transform(X_block)
    return np.asarray(projected, np.float32)[:, :, None]


def summed(X: Any, of_block: Callable[..., np.ndarray], columns: int) -> np.ndarray:
    """Return the sum of what is made of every chunk, each (n, columns, 1), by a tree."""
    blocks = X.map_blocks(
        of_block,
        new_axis=1,
        chunks=((X.shape[0],), (columns,), (1,) * X.numblocks[1]),
        dtype=np.float32,
        meta=np.empty((0, 0, 0), np.float32),
    )
    return np.asarray(blocks.sum(axis=2, split_every=FAN_IN).compute())


def exact(X: Any, _folder: Path, _m: int) -> np.ndarray:
    """Ours, given the dask array."""
    return np.asarray(streamsparse.sparsify(X, "exact", progress=False).Y)


def exact_by_path(X: Any, folder: Path, _m: int) -> np.ndarray:
    """Ours, given the path; the warm-up, of fewer columns, is given the dask array."""
    return np.asarray(streamsparse.sparsify(source_of(X, folder), "exact", **BY_PATH).Y)


def sketch(X: Any, _folder: Path, m: int) -> np.ndarray:
    """Ours, given the dask array."""
    return np.asarray(streamsparse.sparsify(X, "sketch", m=m, seed=SEED, progress=False).Y)


def sketch_by_path(X: Any, folder: Path, m: int) -> np.ndarray:
    """Ours, given the path."""
    found = streamsparse.sparsify(source_of(X, folder), "sketch", m=m, seed=SEED, **BY_PATH)
    return np.asarray(found.Y)


BY_PATH: dict[str, Any] = {"runner": "dask", "progress": False}


def source_of(X: Any, folder: Path) -> Any:
    """Return the path if X is all that is there, else X."""
    import zarr

    path = folder / "X.zarr"
    return path if zarr.open_array(path, mode="r").shape == X.shape else X


CONTENDERS: dict[str, Callable[[Any, Path, int], np.ndarray]] = {
    "dask X X^T": dask_gram,
    "dask svd_compressed": dask_svd,
    "blocks X X^T": blocks_gram,
    "sklearn blocks": random_projection,
    "sklearn blocks, wide": random_projection,
    "exact": exact,
    "exact, path": exact_by_path,
    "sketch": sketch,
    "sketch, wide": sketch,
    "sketch, wide, path": sketch_by_path,
}
# By name: which of the sizes is their m.
DENSE = {
    "dask X X^T": "n",
    "dask svd_compressed": "k",
    "sklearn blocks": "k",
    "sklearn blocks, wide": "m",
    "exact": "n",
    "exact, path": "n",
    "sketch": "k",
    "sketch, wide": "m",
    "sketch, wide, path": "m",
}
SPARSE = {
    "dask X X^T": "n",
    "dask svd_compressed": "k",
    "blocks X X^T": "n",
    "sklearn blocks": "k",
    "sklearn blocks, wide": "m",
    "exact": "n",
    "sketch": "k",
    "sketch, wide": "m",
}


if __name__ == "__main__":
    main()
