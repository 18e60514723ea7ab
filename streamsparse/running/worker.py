"""What a task knows of the process that runs it, and what that process knows of our values."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask.sizeof import sizeof
from scipy import sparse

from streamsparse.running.sums import Sums
from streamsparse.sources.base import DenseBlock, SparseBlock
from streamsparse.storing.records import count_bytes

# Of a worker's limit: from 60 % on it spills what it keeps, from 80 % on it takes no more tasks.
_SHARE_OF_LIMIT = 0.5
# A block while it is read, prepared and cut.
_COPIES = 3
_LEAST_BYTES = 1 << 20


def room_for_block() -> int | None:
    """Return how large a block may be in this worker of a cluster, from its memory limit.

    None where there is no limit, or no worker: schedulers of one machine have the plan alone.
    """
    # Where a worker of a cluster runs, its package is loaded.
    distributed: Any = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        worker = distributed.get_worker()
    except ValueError:
        return None
    limit = worker.memory_manager.memory_limit
    resident = _resident_bytes()
    if not limit or resident is None:
        return None
    free = _SHARE_OF_LIMIT * limit - resident
    return max(_LEAST_BYTES, int(free / (_COPIES * worker.state.nthreads)))


@dataclass(frozen=True, slots=True)
class Lanes:
    """What a cluster can run at once, about.

    Attributes
    ----------
    count : tasks.
    memory_bytes : for each of them, None where there is no limit.
    """

    count: int
    memory_bytes: int | None


def lanes_of(values: list[Any]) -> Lanes | None:
    """Return what computes values that dask has begun, from whom it has promised them by.

    None where nobody has: then they were computed by this machine. Workers that come later are not
    counted.
    """
    futures = futures_of(values)
    if not futures:
        return None
    client = futures[0].client
    # A few of the workers, where there are many.
    known = client.scheduler_info()["workers"].values()
    limits = [worker["memory_limit"] // worker["nthreads"] for worker in known]
    count = sum(client.nthreads().values())
    return Lanes(max(1, int(count)), min(filter(None, limits), default=None))


def futures_of(values: list[Any]) -> list[Any]:
    """Return what a cluster has promised of values that dask has begun."""
    distributed: Any = sys.modules.get("distributed")
    return [] if distributed is None else list(distributed.client.futures_of(values))


def _resident_bytes() -> int | None:
    """Return the memory of this process as a worker counts it."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


# Typed here, where dask does not.
_register: Callable[[type], Callable[[Callable[[Any], int]], object]] = sizeof.register


@_register(Sums)
def _sizeof_sums(sums: Sums) -> int:
    return sums.nbytes


@_register(DenseBlock)
def _sizeof_dense(block: DenseBlock) -> int:
    return int(block.data.nbytes)


@_register(SparseBlock)
def _sizeof_sparse(block: SparseBlock) -> int:
    return int(block.indptr.nbytes + block.indices.nbytes + block.data.nbytes)


def _sizeof_sparray(array: Any) -> int:
    """Count the arrays of a scipy array: dask counts matrices alone, and takes arrays for 56 bytes.

    So that workers see what chunks weigh: the user's too, once a task of ours has run there.
    """
    return count_bytes(list(vars(array).values()))


# One by one: of a class that it was asked about before, dask remembers what it answered.
for _format in ("bsr", "coo", "csc", "csr", "dia"):
    _register(getattr(sparse, f"{_format}_array"))(_sizeof_sparray)
