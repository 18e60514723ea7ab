"""Products of the tiles of few rows: many tiles in one call, as each is soon multiplied.

Above 256 rows a product takes BLAS longer than it takes Python to ask for one, and bands of rows
keep the threads busy. Below, neighbouring tiles are multiplied in one call each thread, and what
came out is added in their order: the same calls of BLAS, the same additions, the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from streamsparse.accumulators.tiles import BAND_ROWS, Tile, product_dtype
from streamsparse.arrays import Array, Interval
from streamsparse.kernels.gram import add_batch, add_scaled, find_exponents, scale_rows
from streamsparse.kernels.ranges import Each, even_ranges

FEW_ROWS = BAND_ROWS
# Tiles in one call: as many as take BLAS about as long whatever the rows, 8 at most.
_ROWS_IN_CALL = 512


@dataclass(frozen=True, slots=True)
class Job:
    """The product of the rows ``left`` and ``right`` of each tile, added to ``out`` from ``at`` on.

    ``right`` counts the sampled rows where there is a sample.
    """

    left: Interval
    right: Interval
    out: Array
    at: int


@dataclass(frozen=True, slots=True)
class _Batch:
    """Factors of neighbouring tiles.

    Values (tiles, rows, width), exponents (tiles, rows) where any row is scaled.
    """

    values: Array
    exponents: Array | None

    def take(self, rows: Array) -> _Batch:
        exponents = None if self.exponents is None else self.exponents[:, rows]
        return _Batch(self.values[:, rows], exponents)


@dataclass(frozen=True, slots=True)
class _Products:
    """Of one batch: (tiles, a, b), and the exponents of both sides where there are any."""

    values: Array
    exponents: tuple[Array, Array] | None

    def add_to(self, rows: Interval, out: Array, at: int) -> None:
        """Add these rows of each, in the order of tiles."""
        if self.exponents is None:
            add_batch(self.values, rows[0], out, at)
            return
        for product, of_rows, of_columns in zip(self.values, *self.exponents, strict=True):
            add_scaled(product[slice(*rows)], of_rows[slice(*rows)], of_columns, out, at)


def add_batches(
    tiles: Sequence[Tile], jobs: Sequence[Job], each: Each, sample: Array | None = None
) -> None:
    """Do each job for every tile, adding in float64 in the order of tiles."""
    most = max(1, min(8, _ROWS_IN_CALL // len(tiles[0].data)))
    runs = list(_neighbours(tiles, most))
    made: list[list[_Products]] = [[] for _ in runs]
    parts = [(j, a, b) for j, job in enumerate(jobs) for a, b in even_ranges(len(job.out), 16)]

    def multiply(k: int) -> None:
        lefts = _factors(runs[k])
        rights = lefts if sample is None else lefts.take(sample)
        for job in jobs:
            rows, columns = slice(*job.left), slice(*job.right)
            with np.errstate(over="ignore", invalid="ignore"):
                # Squares that overflow are reported by the norms, which name the row.
                product = np.matmul(
                    lefts.values[:, rows], rights.values[:, columns].transpose(0, 2, 1)
                )
            exponents = None
            if lefts.exponents is not None and rights.exponents is not None:
                exponents = lefts.exponents[:, rows], rights.exponents[:, columns]
            made[k].append(_Products(product, exponents))

    def add(part: int) -> None:
        j, a, b = parts[part]
        for products in made:
            products[j].add_to((a, b), jobs[j].out[a:b], jobs[j].at)

    each(multiply, len(runs))
    each(add, len(parts))


def _neighbours(tiles: Sequence[Tile], most: int) -> Iterator[list[Tile]]:
    """Yield runs of tiles that lie side by side in one array, all of one width."""
    run = [tiles[0]]
    for tile in tiles[1:]:
        before = run[-1]
        if (
            tile.data is before.data
            and tile.lo == before.hi
            and tile.width == run[0].width
            and len(run) < most
        ):
            run.append(tile)
        else:
            yield run
            run = [tile]
    yield run


def _factors(run: list[Tile]) -> _Batch:
    """Return a run of tiles as they may be multiplied, as ``as_factor`` does with one."""
    first, count = run[0], len(run)
    rows = len(first.data)
    values = first.data[:, first.lo : run[-1].hi].reshape(rows, count, -1).transpose(1, 0, 2)
    dtype = product_dtype(values.dtype)
    if values.dtype != dtype:
        return _Batch(values.astype(dtype), None)
    if dtype == np.float64:
        return _Batch(values, None)
    exponents = np.empty((count, rows), np.int64)
    find_exponents(first.data.view(np.uint32), first.lo, first.width, exponents)
    if not exponents.any():
        return _Batch(values, None)
    values = values.copy(order="C")
    for k in range(count):
        scale_rows(exponents[k], values[k])
    return _Batch(values, exponents)
