"""Small clusters, and what is compared of two results."""

import hashlib
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import scipy.sparse

# What two runs of the same thing may differ in.
_OF_THE_RUN = ("seconds", "peak_memory_bytes", "passes", "bytes_read", "integrity")


@contextmanager
def small_cluster(*, workers=2, threads=1):
    """Worker processes on this machine, the default of whatever is computed meanwhile."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=threads, processes=True, dashboard_address=":0"
        ) as made,
        distributed.Client(made) as client,
    ):
        yield client


def everything(result):
    """Return the bits of a result, and all that its certificate states."""
    Y = result.Y.toarray() if scipy.sparse.issparse(result.Y) else result.Y[:]
    columns = None if result.columns is None else result.columns.tolist()
    weights = None if result.weights is None else result.weights.tobytes()
    stated = asdict(result.certificate)
    for name in _OF_THE_RUN:
        del stated[name]
    return hashlib.sha256(np.ascontiguousarray(Y).tobytes()).hexdigest(), columns, weights, stated
