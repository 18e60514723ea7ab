"""What a task knows of the process that runs it, and what that process knows of our values."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask.base import get_scheduler
from dask.local import get_sync
from dask.sizeof import sizeof
from scipy import sparse

from streamsparse.running.sums import Sums
from streamsparse.running.threads import available_threads
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
    """What the scheduler that dask picks can run at once, about.

    Attributes
    ----------
    count : tasks.
    memory_bytes : for each, None where there is no limit.
    """

    count: int
    memory_bytes: int | None


def lanes() -> Lanes:
    """Return what runs tasks now; workers that come later are not counted."""
    get = _scheduler()
    if get is get_sync:
        return Lanes(1, None)
    # What a cluster's client computes with is a method of it.
    client: Any = getattr(get, "__self__", None)
    if not hasattr(client, "scheduler_info"):
        return Lanes(available_threads(), None)
    # A few of them, where there are many.
    known = client.scheduler_info()["workers"].values()
    limits = [worker["memory_limit"] // worker["nthreads"] for worker in known]
    count = sum(client.nthreads().values())
    return Lanes(max(1, int(count)), min(filter(None, limits), default=None))


def _resident_bytes() -> int | None:
    """Return the memory of this process as a worker counts it."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    return int(pages) * 4096


# Typed here, where dask does not.
_scheduler: Callable[[], Any] = get_scheduler
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


@_register(sparse.sparray)
def _sizeof_sparray(array: Any) -> int:
    """Count the arrays of a scipy array: dask counts matrices alone, and takes arrays for 56 bytes.

    So that workers see what chunks weigh: the user's too, once a task of ours has run there.
    """
    return count_bytes(list(vars(array).values()))
