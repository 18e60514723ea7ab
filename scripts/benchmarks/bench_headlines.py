"""Jobs that people have asked about in public, run whole: time and memory of a fresh process.

sklearn-10885   scikit-learn#10885: PCA of 330 tf-idf documents of 2,000,000 terms. Reported:
                MemoryError, or 3.5 hours.
dask-9934       dask#9934: 2,000 x 786,432 float32, 6 GB. Reported: 27.6 GiB of memory.
dask-6552       dask#6552: 1,000 x 100,000,000 in blocks of whole rows; here a hundredth of the
                columns.
era5            SVD-ROM's ERA5 field, 1,038,240 x 8,766 float32 stored tall, so that features are
                axis 0. Reported: 36 GB in 7 minutes on 10 cores. Here an eighth of the features.
vcf             VCF-Zarr's genotypes: 96,514 variants of 2,504 samples, int8. Reported: 0.33 GB/s
                per core by numba.

``rate`` is that of the whole process, start of the interpreter and certificate included; the
baseline is zarr-python merely reading the same arrays. ``facts`` has the peak of anonymous memory,
beside the budget of 1 GiB. Nothing here has the data of those reports: shapes, dtypes and chunks
are theirs, values are random. ``small`` has a tenth of the features, ``large`` all that is named.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import zarr
from harness import (
    Report,
    Timing,
    intervals,
    parse_arguments,
    peak_of_child,
    rounded_normals,
    time_in_turns,
)

import streamsparse
from streamsparse.storing.zarr_write import write_sparse

SEED = 7
SCALES = {"toy": 0.001, "small": 0.1, "large": 1.0}
TERMS_PER_DOCUMENT = 40_000
BLOCK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """What is made and asked for; ``shape`` and ``chunks`` as stored, ``reported`` elsewhere."""

    shape: tuple[int, int]
    chunks: tuple[int, int]
    dtype: str
    feature_axis: int
    method: str
    m: int | None
    reported: str

    def scaled(self, scale: float) -> Job:
        """Return the job with a share of the features, and of the rows where that is tiny."""
        shape = list(self.shape)
        shape[self.feature_axis] = max(2000, int(scale * shape[self.feature_axis]))
        if scale < 0.01:
            shape[1 - self.feature_axis] = min(100, shape[1 - self.feature_axis])
        m = None if self.m is None else min(self.m, shape[self.feature_axis] // 8)
        chunks = tuple(min(c, s) for c, s in zip(self.chunks, shape, strict=True))
        return Job(
            (shape[0], shape[1]),
            (chunks[0], chunks[1]),
            self.dtype,
            self.feature_axis,
            self.method,
            m,
            self.reported,
        )


JOBS = {
    "sklearn-10885": Job((330, 2_000_000), (330, 0), "sparse", 1, "exact", None, "3.5 h"),
    "dask-9934": Job((2000, 786_432), (2000, 4096), "float32", 1, "exact", None, "27.6 GiB"),
    "dask-6552": Job((1000, 1_000_000), (10, 1_000_000), "float32", 1, "sketch", 4096, ""),
    "era5": Job(
        (129_780, 8766), (1024, 8766), "float32", 0, "sketch", 4096, "36 GB: 420 s, 10 cores"
    ),
    "vcf": Job((96_514, 2504), (10_000, 1000), "int8", 0, "sketch", 4096, "0.33 GB/s per core"),
}


def main() -> None:
    folder = {"default": None, "help": "where to write the data; a temporary folder by default"}
    child = {"nargs": 4, "metavar": ("PATH", "METHOD", "M", "AXIS"), "help": "reduce; internal"}
    arguments = parse_arguments(__doc__, folder=folder, child=child)
    if arguments.child:
        path, method, m, axis = arguments.child
        options: dict[str, Any] = {"feature_axis": int(axis), "seed": SEED, "progress": False}
        result = streamsparse.sparsify(path, method, m=int(m) or None, **options)
        print(
            json.dumps({"seconds": result.certificate.seconds, "passes": result.plan.stream.passes})
        )
        return
    report = Report("headlines", arguments)
    for name, job in JOBS.items():
        if report.wants(name):
            with tempfile.TemporaryDirectory(dir=arguments.folder) as made:
                run(report, name, job.scaled(SCALES[arguments.size]), Path(made) / "X.zarr")
    report.print_table()


def run(report: Report, name: str, job: Job, path: Path) -> None:
    """Make the data, reduce them in a fresh process, and read them by zarr alone."""
    read, size_bytes = (write_documents if job.dtype == "sparse" else write_dense)(path, job)
    command = [sys.executable, __file__, "--child", str(path), job.method]
    peak, seconds, output = peak_of_child([*command, str(job.m or 0), str(job.feature_axis)])
    (roof,) = time_in_turns([read], 1, warm_up=False)
    report.add(
        name,
        {"shape": job.shape, "chunks": job.chunks, "dtype": job.dtype, "method": job.method},
        timing=Timing((seconds,), None),
        rate=(size_bytes / seconds / 1e9, "GB/s"),
        baseline=("zarr reading", size_bytes / roof.best / 1e9),
        facts={"peak_bytes": peak, "reported": job.reported, "bytes": size_bytes}
        | json.loads(output),
    )


def write_dense(path: Path, job: Job) -> tuple[Callable[[], None], int]:
    """Write random values chunk by chunk; return (what reads them by zarr, bytes)."""
    array = zarr.create_array(
        path, shape=job.shape, chunks=job.chunks, dtype=job.dtype, compressors=None
    )
    itemsize = np.dtype(job.dtype).itemsize
    height, width = job.chunks
    width *= max(1, BLOCK_BYTES // (height * width * itemsize))
    regions = [
        (slice(a, b), slice(c, e))
        for a, b in intervals(job.shape[0], height)
        for c, e in intervals(job.shape[1], width)
    ]
    # A few blocks, over and over: random values take longer to draw than to write.
    drawn = [rounded_normals((height, min(width, job.shape[1])), k) for k in range(3)]
    blocks = [
        (np.abs(block) % 3 if job.dtype == "int8" else block).astype(job.dtype) for block in drawn
    ]
    for k, (rows, columns) in enumerate(regions):
        block = blocks[k % len(blocks)]
        array[rows, columns] = block[: rows.stop - rows.start, : columns.stop - columns.start]

    def read() -> None:
        opened = zarr.open(path, mode="r")
        for region in regions:
            opened[region]

    return read, int(np.prod(job.shape, dtype=np.int64)) * itemsize


def write_documents(path: Path, job: Job) -> tuple[Callable[[], None], int]:
    """Write documents whose terms follow Zipf's law, weighted and of unit length, by rows."""
    rng, (n, d) = np.random.default_rng(SEED), job.shape
    count = min(TERMS_PER_DOCUMENT, d // 2)
    rows = [np.unique((d ** rng.random(count)).astype(np.int64) % d) for _ in range(n)]
    indptr = np.concatenate([[0], np.cumsum([row.size for row in rows])])
    data = np.concatenate([np.full(row.size, row.size**-0.5, np.float32) for row in rows])
    X = scipy.sparse.csr_array((data, np.concatenate(rows), indptr), shape=(n, d))
    write_sparse(path, X, chunk_entries=1 << 20)

    def read() -> None:
        group = zarr.open(path, mode="r")
        for key in ("data", "indices", "indptr"):
            group[key][:]

    return read, X.data.nbytes + X.indices.nbytes + X.indptr.nbytes


if __name__ == "__main__":
    main()
