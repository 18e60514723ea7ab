"""The main job on real input: reduce the standard library's sources, and check every claim."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import streamsparse as ss
from streamsparse.arrays import Array
from streamsparse.demo.corpus import Corpus, build_corpus
from streamsparse.demo.features import write_dense_features
from streamsparse.demo.report import Neighbours, Report, Run, find_violations
from streamsparse.errors import ParameterError, StoreError
from streamsparse.storing.files import free_disk_bytes
from streamsparse.storing.zarr_write import write_sparse
from streamsparse.units import format_bytes, parse_memory

# With rows of norm 1 a module gives itself exp(8) and a typical other one exp(8 * 0.03): attention
# is then neither uniform nor on one entry; the report prints how much stays on the diagonal.
BETA = 8.0
MEMORY = 1 << 30
SMALLEST_MEMORY = 512 << 20
KNOWN_MODULES = ("json.decoder", "asyncio.tasks", "unittest.case", "http.client")
NUM_NEIGHBOURS = 3

# The check holds all of G and is no part of what is shown, so the budget does not bind it.
_CHECK_MEMORY = 4 << 30
_SKETCH_COLUMNS = (256, 1024)
_DENSE_COLUMNS = 1024
_ROUND_COLUMNS = 2048
_SELECTED_COLUMNS = 2048
# The fastest of select's algorithms: a demo should not take minutes.
_ALGORITHMS = {"select": "balance"}
_DENSE_CHUNK_BYTES = 8 << 20
# Enough rows for the kernels of sampled rows and probes to be compiled.
_WARM_UP_ROWS = 300
_WARM_UP_BYTES = 1 << 18

Say = Callable[[str], None]


def run_demo(*, limit: int | None, say: Say) -> Report:
    """Reduce the hashed n-grams of the standard library with every method.

    Parameters
    ----------
    limit : number of modules, None for all.
    say : told what is going on.

    Raises
    ------
    StreamSparseError : as ``sparsify``.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="streamsparse-demo-") as folder:
        path, small = Path(folder) / "X.zarr", Path(folder) / "small.zarr"
        names, chosen, before = _write_corpus(path, small, limit, say)
        say("compiling the kernels (once per machine)")
        _warm_up(small)
        source = ss.open_source(path)
        n, d = source.shape
        columns = [m for m in (*_SKETCH_COLUMNS, _round_up(n, _ROUND_COLUMNS)) if m < d]
        asked = [
            ("exact", None),
            *(("sketch", m) for m in columns),
            ("sample", None),
            ("select", min(_SELECTED_COLUMNS, d)),
            ("auto", None),
        ]
        runs, results = _reduce_all(path, asked, MEMORY, say)
        Y = results["sketch", columns[-1]].Y
        after = _cosines(Y[chosen] @ Y.T, chosen, np.sqrt(np.einsum("ij,ij->i", Y, Y)))
        return Report(
            n=n,
            d=d,
            nnz=source.nnz,
            stored_bytes=source.stored_bytes,
            beta=BETA,
            memory=MEMORY,
            own_attention=_own_attention(results["exact", None].Y),
            runs=runs,
            neighbours=_neighbours(names, chosen, before, after),
            neighbours_m=columns[-1],
            violations=find_violations(runs, MEMORY),
            seconds=time.perf_counter() - started,
        )


def _write_corpus(
    path: Path, small: Path, limit: int | None, say: Say
) -> tuple[list[str], list[int], Array]:
    """Write the corpus and a few rows of it; return (names, known rows, their true cosines).

    The matrix itself is let go here: the peak that is shown is that of this whole process.
    """
    corpus = _read_corpus(limit, say)
    say("writing it as a sparse Zarr group")
    write_sparse(path, corpus.X.tocsc())
    write_sparse(small, corpus.X[:_WARM_UP_ROWS].tocsc())
    chosen = _known(corpus.names)
    norms = np.sqrt(np.asarray(corpus.X.power(2).sum(axis=1)).ravel())
    before = _cosines((corpus.X[chosen] @ corpus.X.T).toarray(), chosen, norms)
    return corpus.names, chosen, before


def run_dense_demo(size: str, *, limit: int | None, say: Say) -> Report:
    """Reduce random Fourier features of the modules, an array larger than the memory budget.

    Parameters
    ----------
    size : bytes of the array, or text with a unit. The budget is half of it, from 512 MiB to 1 GiB.
    limit, say : as for :func:`run_demo`.

    Raises
    ------
    ParameterError : if the size means nothing.
    StoreError : if the disk has no room for the array.
    """
    started = time.perf_counter()
    size_bytes = _parse_size(size)
    memory = max(SMALLEST_MEMORY, min(MEMORY, size_bytes // 2))
    with tempfile.TemporaryDirectory(prefix="streamsparse-demo-") as folder:
        _check_disk(Path(folder), size_bytes)
        path, small = Path(folder) / "X.zarr", Path(folder) / "small.zarr"
        corpus = _read_corpus(limit, say)
        say(f"writing {format_bytes(size_bytes)} of random Fourier features")
        n, d = _write_features(path, corpus, size_bytes)
        say("compiling the kernels (once per machine)")
        _write_features(small, corpus, _WARM_UP_BYTES)
        _warm_up(small)
        del corpus
        asked = [("sketch", min(_DENSE_COLUMNS, d)), ("auto", None)]
        runs, results = _reduce_all(path, asked, memory, say)
        return Report(
            n=n,
            d=d,
            nnz=None,
            stored_bytes=ss.open_source(path).stored_bytes,
            beta=BETA,
            memory=memory,
            own_attention=_own_attention(results["auto", None].Y),
            runs=runs,
            neighbours=[],
            neighbours_m=None,
            violations=find_violations(runs, memory),
            seconds=time.perf_counter() - started,
        )


def _parse_size(size: str) -> int:
    try:
        return parse_memory(size)
    except ParameterError:
        raise ParameterError(
            f"the size of the dense array must be positive bytes or text with a unit such as "
            f"'2 GB', not {size!r}"
        ) from None


def _check_disk(folder: Path, size_bytes: int) -> None:
    free = free_disk_bytes(folder)
    if size_bytes > free:
        raise StoreError(
            f"the array needs {format_bytes(size_bytes)} of disk but {format_bytes(free)} is free "
            f"in {folder.parent}; ask for less, or set TMPDIR to a larger disk"
        )


def _read_corpus(limit: int | None, say: Say) -> Corpus:
    say("reading the standard library's own source files")
    return build_corpus(limit=limit)


def _write_features(path: Path, corpus: Corpus, size_bytes: int) -> tuple[int, int]:
    return write_dense_features(
        path,
        corpus,
        size_bytes=size_bytes,
        seed=0,
        chunk_bytes=min(_DENSE_CHUNK_BYTES, size_bytes),
    )


def _round_up(count: int, step: int) -> int:
    return -(-count // step) * step


def _warm_up(path: Path) -> None:
    """Compile what the runs will use, so that their seconds are their own."""
    for method in ("exact", "sketch", "sample", "select"):
        algorithm = _ALGORITHMS.get(method, "auto")
        result = ss.sparsify(path, method, progress=False, algorithm=algorithm)
    ss.certify(path, result, exact=True, progress=False)


def _reduce_all(
    path: Path, asked: Sequence[tuple[str, int | None]], memory: int, say: Say
) -> tuple[list[Run], dict[tuple[str, int | None], ss.Result]]:
    """Return the runs, and the results by what was asked for."""
    runs, results = [], {}
    for method, m in asked:
        say(f"reducing with {method}" + (f", m = {m:,}" if m else ""))
        algorithm = _ALGORITHMS.get(method, "auto")
        result = ss.sparsify(path, method, m=m, beta=BETA, memory=memory, algorithm=algorithm)
        check = ss.certify(path, result, exact=True, memory=_CHECK_MEMORY)
        runs.append(Run(method, result.certificate, check))
        results[method, m] = result
    return runs, results


def _own_attention(Y: Array) -> float:
    return float(np.median(ss.attention(Y, beta=BETA).diagonal()))


def _known(names: Sequence[str]) -> list[int]:
    """Return the rows of the modules that people know, or of the first ones if none is there."""
    rows = [names.index(name) for name in KNOWN_MODULES if name in names]
    return rows or list(range(min(2, len(names))))


def _cosines(products: Array, rows: Sequence[int], norms: Array) -> Array:
    """Return cosines of some rows with all: ``products`` (p, n) over the norms (n,)."""
    cosines: Array = products / (norms[list(rows)][:, None] * norms)
    return cosines


def _neighbours(
    names: Sequence[str], rows: Sequence[int], before: Array, after: Array
) -> list[Neighbours]:
    def nearest(cosines: Array, row: int) -> list[tuple[str, float]]:
        order = [int(j) for j in np.argsort(-cosines, kind="stable") if j != row]
        return [(names[j], float(cosines[j])) for j in order[:NUM_NEIGHBOURS]]

    return [
        Neighbours(names[row], nearest(before[k], row), nearest(after[k], row))
        for k, row in enumerate(rows)
    ]
